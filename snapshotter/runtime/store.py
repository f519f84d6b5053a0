"""The last known state of the objects of one kind. The informer fills it; our own writes go in at once."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """What the store must know of an object."""

    @property
    def name(self) -> str: ...
    @property
    def metadata(self) -> "HasVersion": ...


class HasVersion(Protocol):
    @property
    def resource_version(self) -> str: ...
    @property
    def deletion_timestamp(self) -> object | None: ...
    @property
    def finalizers(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Versioned)


class Store(Generic[T]):
    """Objects by name, never older than what was once known of them."""

    def __init__(self) -> None:
        self._objects: dict[str, T] = {}
        self._deleted_by_us: dict[str, str] = {}
        """The last version of objects that a write of ours has ended, until the watch has told of it: its late
        events must not bring them back."""

    def get(self, name: str) -> T | None:
        return self._objects.get(name)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects.values()))

    def names(self) -> set[str]:
        """The names of all objects, and of those of which the watch has not told yet that they are gone."""
        return self._objects.keys() | self._deleted_by_us.keys()

    def put(self, new: T) -> bool:
        """Take an object in; False if the one that is there is the same version or newer."""
        known = self._version(new.name)
        if known is not None and not is_newer(new.metadata.resource_version, known):
            return False
        self._deleted_by_us.pop(new.name, None)
        self._objects[new.name] = new
        return True

    def record(self, written: T) -> None:
        """Take in what the API server answered to a write of ours.

        An object that is not here any more was deleted meanwhile, and stays away: the watch brings it back
        if it was made anew. One that has lost its last finalizer is deleted, and is then answered with the
        version that it had before.
        """
        if written.metadata.deletion_timestamp is not None and not written.metadata.finalizers:
            if self.end(written.name, written.metadata.resource_version) is not None:
                self._deleted_by_us[written.name] = written.metadata.resource_version
        elif written.name in self._objects:
            self.put(written)

    def end(self, name: str, version: str) -> T | None:
        """The server had no such object any more at this version; gives what was known of it.

        What is known from later is another object of the same name, and stays.
        """
        known = self._version(name)
        if known is not None and is_older(version, known):
            return None
        return self.remove(name)

    def remove(self, name: str) -> T | None:
        """The server has no such object any more; gives what was known of it."""
        self._deleted_by_us.pop(name, None)
        return self._objects.pop(name, None)

    def _version(self, name: str) -> str | None:
        known = self._objects.get(name)
        return self._deleted_by_us.get(name) if known is None else known.metadata.resource_version


def is_newer(new: str, old: str) -> bool:
    """Whether a resource version is later than another.

    They are numbers that grow, as far as one knows (Kubernetes, "Resource versions"). If one is not a number,
    any other version is taken for a later one: better to look twice than never.
    """
    if new.isdecimal() and old.isdecimal():
        return int(new) > int(old)
    return new != old


def is_older(version: str, than: str) -> bool:
    """Whether a resource version is certainly earlier than another: both are numbers, and it is the smaller."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
