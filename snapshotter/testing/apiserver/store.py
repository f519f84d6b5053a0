"""The objects, their versions, and the history that watches read. Knows nothing of HTTP and of kinds' rules.

Objects in the store never change: a write puts a new one in the place of the old one. Who wants to change
an object takes a `fresh()` copy.
"""

import copy
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import msgspec

from snapshotter.testing.apiserver.status import Json

Resource = tuple[str, str]
"""The group and the plural."""
Key = tuple[str, str]
"""The namespace (empty for objects of the whole cluster) and the name."""

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_HISTORY_LENGTH = 20_000

PLANTED_VERSION = b"@version@"
"""Stands for the resource version in the JSON of an object that is planted."""


class Expired(Exception):
    """The history does not reach back that far."""


@dataclass(frozen=True, eq=False)
class Stored:
    """An object as it is at one version, in the form that it is stored in."""

    key: Key
    version: int
    object: Json
    encoded_as: dict[Hashable, bytes] = field(default_factory=dict)
    """Its JSON in other versions of its kind, for who serves it; filled as they are asked for."""

    @cached_property
    def encoded(self) -> bytes:
        return msgspec.json.encode(self.object)

    def fresh(self) -> Json:
        """A copy that may be changed."""
        copy: Json = msgspec.json.decode(self.encoded)
        return copy


@dataclass(frozen=True, eq=False)
class Planted(Stored):
    """An object whose JSON was put in past every rule. `object` is what the server itself makes of it."""

    raw: bytes = b""

    @property
    def encoded(self) -> bytes:
        return self.raw

    def fresh(self) -> Json:
        return copy.deepcopy(self.object)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One write. `new` is the object after it; for a deletion what was stored last, at the version of the deletion."""

    type: EventType
    version: int
    new: Stored
    old: Stored | None


Listener = Callable[[Resource, Change], None]


@dataclass(eq=False)
class _Collection:
    objects: dict[Key, Stored] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    sorted_keys: list[Key] | None = None

    def in_order(self) -> list[Key]:
        if self.sorted_keys is None:
            self.sorted_keys = sorted(self.objects)
        return self.sorted_keys


class Store:
    """All objects under one counter of versions, with the latest changes of each resource."""

    def __init__(self) -> None:
        self.version = 0
        self.compacted = 0
        """Changes up to this version are forgotten."""
        self._collections: dict[Resource, _Collection] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call the listener within each write, after it. It must be quick and must not write."""
        self._listeners.append(listener)

    def get(self, resource: Resource, key: Key) -> Stored | None:
        return self._collection(resource).objects.get(key)

    def has_any(self, resource: Resource) -> bool:
        return bool(self._collection(resource).objects)

    def all(self, resource: Resource, namespace: str | None = None) -> list[Stored]:
        """The objects sorted by namespace and name."""
        collection = self._collection(resource)
        return [collection.objects[key] for key in collection.in_order() if namespace is None or key[0] == namespace]

    def all_at(self, resource: Resource, version: int, namespace: str | None = None) -> list[Stored]:
        """The objects as they were at a version. Raises `Expired`."""
        later = self.changes_since(resource, version)
        if not later:
            return self.all(resource, namespace)
        objects = dict(self._collection(resource).objects)
        for change in reversed(later):
            objects.pop(change.new.key, None)
            if change.old is not None:
                objects[change.old.key] = change.old
        return [objects[key] for key in sorted(objects) if namespace is None or key[0] == namespace]

    def changes_since(self, resource: Resource, version: int) -> list[Change]:
        """The changes after a version, oldest first. Raises `Expired`."""
        if version < self.compacted:
            raise Expired
        history = self._collection(resource).history
        return history[bisect_right(history, version, key=lambda change: change.version) :]

    def put(self, resource: Resource, key: Key, value: Json) -> Stored:
        """Store the object at a new version, which is written into its metadata. The store owns it from now on."""
        collection = self._collection(resource)
        old = collection.objects.get(key)
        new = self._stamped(key, value)
        collection.objects[key] = new
        if old is None:
            collection.sorted_keys = None
        self._record(resource, Change("MODIFIED" if old else "ADDED", new.version, new, old))
        return new

    def plant(self, resource: Resource, key: Key, value: Json, raw: bytes) -> Stored:
        """As `put`, but clients get this JSON as it is, with the new version in the place of `PLANTED_VERSION`."""
        collection = self._collection(resource)
        old = collection.objects.get(key)
        outline = self._stamped(key, value)
        new = Planted(key, outline.version, value, raw=raw.replace(PLANTED_VERSION, str(outline.version).encode()))
        collection.objects[key] = new
        if old is None:
            collection.sorted_keys = None
        self._record(resource, Change("MODIFIED" if old else "ADDED", new.version, new, old))
        return new

    def remove(self, resource: Resource, key: Key) -> Stored:
        """Drop the object; the answer is what was stored last, at the version of its deletion."""
        collection = self._collection(resource)
        old = collection.objects.pop(key)
        collection.sorted_keys = None
        gone = self._stamped(key, old.fresh())
        self._record(resource, Change("DELETED", gone.version, gone, old))
        return gone

    def compact(self) -> None:
        """Forget the history: whoever asks for an older version than now is refused."""
        self.compacted = self.version
        for collection in self._collections.values():
            collection.history.clear()

    def forget(self, resource: Resource) -> None:
        """Drop a resource whose objects are gone, with its history."""
        self._collections.pop(resource, None)

    def resources(self) -> Iterator[Resource]:
        return iter(list(self._collections))

    def _collection(self, resource: Resource) -> _Collection:
        return self._collections.setdefault(resource, _Collection())

    def _stamped(self, key: Key, value: Json) -> Stored:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        return Stored(key, self.version, value)

    def _record(self, resource: Resource, change: Change) -> None:
        history = self._collection(resource).history
        history.append(change)
        if len(history) > _HISTORY_LENGTH:
            half = len(history) // 2
            self.compacted = max(self.compacted, history[half - 1].version)
            del history[:half]
        for listener in self._listeners:
            listener(resource, change)
