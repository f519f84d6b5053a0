r"""The JSONPaths of printer columns: members, indexes, wildcards and equality filters.

For example `.spec.driver`, `.metadata.annotations.example\.com/key`, `.status.conditions[?(@.type=="Ready")].status`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""
      \.(?P<member>(?:[^.\[\]\\]|\\.)+)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<wildcard>\*)\s*\]
    | \[\s*['"](?P<quoted>[^'"]+)['"]\s*\]
    | \[\s*\?\(\s*@(?P<left>[^=!<>]+?)\s*==\s*(?P<right>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\s*\]
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """The path cannot be read."""


def find(value: Any, path: str) -> list[Any]:
    """What the path leads to; empty when it leads nowhere. Raises `PathError`."""
    found: Iterable[Any] = [value]
    for step in compiled(path):
        found = [result for place in found for result in step(place)]
    return list(found)


@cache
def compiled(path: str) -> tuple[Step, ...]:
    """Raises `PathError`."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise PathError(f"cannot read the JSONPath {path!r} at {text[position:]!r}")
        steps.append(_step(token))
        position = token.end()
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if (name := token["member"] or token["quoted"]) is not None:
        member = re.sub(r"\\(.)", r"\1", name)
        return lambda place: iter([place[member]] if isinstance(place, dict) and member in place else ())
    if token["index"] is not None:
        index = int(token["index"])
        return lambda place: iter(_nth(place, index))
    if token["wildcard"]:
        return _members
    wanted = token["right"].strip("\"'")
    left = token["left"].strip()
    return lambda place: (item for item in _members(place) if wanted in [str(found) for found in find(item, left)])


def _nth(place: Any, index: int) -> list[Any]:
    return [place[index]] if isinstance(place, list) and -len(place) <= index < len(place) else []


def _members(place: Any) -> Iterator[Any]:
    if isinstance(place, dict):
        return iter(place.values())
    return iter(place if isinstance(place, list) else ())
