"""How much a program remembers: the entries of all containers that can be reached from it."""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

BOUNDED = frozenset({"_sent", "_snatched", "requests", "registry"})
"""Attributes that are bounded by themselves, or grow with the number of metrics' labels alone."""


def remembered(root: object) -> dict[str, int]:
    """The number of entries by where they are: `Store._objects`."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([(type(root).__name__, root)])
    while waiting:
        where, value = waiting.popleft()
        if id(value) in seen or isinstance(value, str | bytes | int | float | type):
            continue
        seen.add(id(value))
        if isinstance(value, dict | list | set | frozenset | tuple | deque):
            found[where] = found.get(where, 0) + len(value)
            waiting.extend((where, each) for each in _items(value))
        elif type(value).__module__.startswith("snapshotter."):
            name = type(value).__name__
            waiting.extend((f"{name}.{key}", each) for key, each in _attributes(value) if key not in BOUNDED)
    return found


def _items(value: Collection[Any]) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        for key in getattr(kind, "__slots__", ()):
            if hasattr(value, key):
                yield key, getattr(value, key)
