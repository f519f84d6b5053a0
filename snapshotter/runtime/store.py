"""The last known state of the objects of one kind. The informer fills it; our own writes go in at once."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

LONGEST_NUMBER = 100
"""Digits of a resource version that is taken for a number."""


class Versioned(Protocol):
    """What the store must know of an object."""

    @property
    def key(self) -> str: ...
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


@dataclass(frozen=True, slots=True)
class SetAside:
    """An object is there that cannot be understood, or not any more."""

    key: str
    """Empty where not even that is known."""
    version: str
    reason: str
    """Why, and where in the object."""
    uid: str = ""


class Index(Generic[T]):
    """The objects of a store by what `values` says of each: found without looking at all of them."""

    def __init__(self, values: Callable[[T], Iterable[Hashable]]) -> None:
        self._values = values
        self._found: dict[Hashable, dict[str, T]] = {}

    def of(self, value: Hashable) -> tuple[T, ...]:
        """The objects with this value, in no particular order."""
        return tuple(self._found.get(value, {}).values())

    def add(self, item: T) -> None:
        for value in self._values(item):
            self._found.setdefault(value, {})[item.key] = item

    def discard(self, item: T) -> None:
        for value in self._values(item):
            if (found := self._found.get(value)) is not None:
                found.pop(item.key, None)
                if not found:
                    del self._found[value]


class Store(Generic[T]):
    """Objects by key, never older than what was once known of them."""

    def __init__(self) -> None:
        self._objects: dict[str, T] = {}
        self._indexes: list[Index[T]] = []
        self._told_up_to = ""
        """The version up to which the server has told of everything that happened."""
        self._deleted_by_us: dict[str, str] = {}
        """The last version of objects that a write of ours has ended, until the watch has told of it: its late
        events must not bring them back."""
        self._set_aside: dict[str, SetAside] = {}
        """The objects that are there and cannot be understood. None of them is in `_objects`."""

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects.values()))

    def index(self, values: Callable[[T], Iterable[Hashable]]) -> Index[T]:
        """An index that is kept up to date from now on."""
        index = Index(values)
        for item in self._objects.values():
            index.add(item)
        self._indexes.append(index)
        return index

    def told_up_to(self, version: str) -> None:
        """Everything that happened up to this version has been put in."""
        self._told_up_to = version

    def keys(self) -> set[str]:
        """The keys of all objects, of those of which the watch has not told yet that they are gone, and of those that
        cannot be understood.
        """
        return self._objects.keys() | self._deleted_by_us.keys() | self._set_aside.keys()

    def trouble_with(self, key: str) -> SetAside | None:
        """Why an object is not here though it is there; None: that is not so."""
        return self._set_aside.get(key)

    def troubles(self) -> tuple[SetAside, ...]:
        """The objects that are there and cannot be understood."""
        return tuple(self._set_aside.values())

    def set_aside(self, found: SetAside) -> bool:
        """An object is there that cannot be understood. False if that, or something newer, is known."""
        known = self._version(found.key)
        if known is not None and not is_newer(found.version, known):
            return False
        self.remove(found.key)
        self._set_aside[found.key] = found
        return True

    def put(self, new: T) -> bool:
        """Take an object in; False if the one that is there is the same version or newer."""
        known = self._version(new.key)
        if known is not None and not is_newer(new.metadata.resource_version, known):
            return False
        self._deleted_by_us.pop(new.key, None)
        self._set_aside.pop(new.key, None)
        self._set(new)
        return True

    def add(self, created: T) -> None:
        """Take in what the API server answered when we created an object.

        If the watch has come as far and the object is not here, it has been deleted again.
        """
        if created.key in self._objects or is_newer(created.metadata.resource_version, self._told_up_to):
            self.put(created)

    def record(self, written: T) -> None:
        """Take in what the API server answered to a write of ours.

        An object that is not here any more was deleted meanwhile, and stays away: the watch brings it back
        if it was made anew. One that has lost its last finalizer is deleted, and is then answered with the
        version that it had before.
        """
        if written.metadata.deletion_timestamp is not None and not written.metadata.finalizers:
            if self.end(written.key, written.metadata.resource_version) is not None:
                self._deleted_by_us[written.key] = written.metadata.resource_version
        elif written.key in self._objects:
            self.put(written)

    def end(self, key: str, version: str) -> T | None:
        """The server had no such object any more at this version; gives what was known of it.

        What is known from later is another object of the same key, and stays.
        """
        known = self._version(key)
        if known is not None and is_older(version, known):
            return None
        return self.remove(key)

    def remove(self, key: str) -> T | None:
        """The server has no such object any more; gives what was known of it."""
        self._deleted_by_us.pop(key, None)
        self._set_aside.pop(key, None)
        gone = self._objects.pop(key, None)
        if gone is not None:
            for index in self._indexes:
                index.discard(gone)
        return gone

    def _set(self, new: T) -> None:
        old = self._objects.get(new.key)
        self._objects[new.key] = new
        for index in self._indexes:
            if old is not None:
                index.discard(old)
            index.add(new)

    def _version(self, key: str) -> str | None:
        if (known := self._objects.get(key)) is not None:
            return known.metadata.resource_version
        if (odd := self._set_aside.get(key)) is not None:
            return odd.version
        return self._deleted_by_us.get(key)


def is_newer(new: str, old: str) -> bool:
    """Whether a resource version is later than another.

    They are numbers that grow, as far as one knows (Kubernetes, "Resource versions"). If one is not a number,
    any other version is taken for a later one: better to look twice than never.
    """
    numbers = _number(new), _number(old)
    if numbers[0] is None or numbers[1] is None:
        return new != old
    return numbers[0] > numbers[1]


def is_older(version: str, than: str) -> bool:
    """Whether a resource version is certainly earlier than another: both are numbers, and it is the smaller."""
    numbers = _number(version), _number(than)
    return numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]


def _number(version: str) -> int | None:
    # Python refuses numbers of thousands of digits.
    return int(version) if version.isdecimal() and len(version) <= LONGEST_NUMBER else None
