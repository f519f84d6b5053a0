"""JSON values as trees of dicts, lists and scalars."""

from typing import Any


def copied(value: Any) -> Any:
    """A tree that shares nothing with the given one."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def same(one: object, other: object) -> bool:
    """Whether two trees are the same JSON. For Python alone, true and 1 would be equal."""
    return one == other and not _differ_in_type(one, other)


def _differ_in_type(one: object, other: object) -> bool:
    """For trees that are equal: whether somewhere a boolean faces a number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_differ_in_type(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return any(map(_differ_in_type, one, other))
    return isinstance(one, bool) != isinstance(other, bool)
