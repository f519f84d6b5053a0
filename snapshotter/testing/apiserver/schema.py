"""Structural schemas: what an object may hold, compiled once and walked often.

A `Node` prunes what the schema does not know, fills in defaults, and names the causes why a value is refused.
An update is held against the earlier value: what did not change is not refused again.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from snapshotter.testing.apiserver.json_tree import copied, same
from snapshotter.testing.apiserver.rules import Rule, compile_rule, escaped
from snapshotter.testing.apiserver.status import OMITTED, Cause, Json


class Absent:
    """The type of `ABSENT`, which stands for a value that is not there; null is a value."""


ABSENT: Final = Absent()

_INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_DATE_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")

_MICRO_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$")

_BLOCKING = frozenset(
    (
        "FieldValueRequired",
        "FieldValueNotSupported",
        "FieldValueTypeInvalid",
        "FieldValueTooLong",
        "FieldValueTooMany",
    )
)
"""What must be right before rules are evaluated."""
_SKIPPED_RULES = Cause(
    "<nil>",
    "FieldValueInvalid",
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    value=None,
)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The schema of one value. `type` is empty where any type will do."""

    type: str = ""
    format: str = ""
    nullable: bool = False
    int_or_string: bool = False
    preserve_unknown: bool = False
    properties: Mapping[str, "Node"] = field(default_factory=dict)
    additional: "Node | None" = None
    items: "Node | None" = None
    required: tuple[str, ...] = ()
    default: object = ABSENT
    enum: tuple[object, ...] = ()
    pattern: re.Pattern[str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    all_of: tuple["Node", ...] = ()
    any_of: tuple["Node", ...] = ()
    one_of: tuple["Node", ...] = ()
    none_of: "Node | None" = None
    merges: Literal["atomic", "set", "map"] = "atomic"
    """How a list is merged: as one value, as a set, or item by item, known by `map_keys`."""
    is_unique: bool = False
    """Whether the items of a list must differ, as a whole or in their `map_keys`."""
    map_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    rules: tuple[Rule, ...] = ()
    has_rules: bool = False
    """Whether this node or one below it has rules."""
    has_defaults: bool = False
    needs_translation: bool = False
    """Whether a rule sees the value in another form than JSON has it: escaped names, times."""

    def child(self, name: str) -> "Node | None":
        """The schema of a member of a map, if it is known."""
        return self.properties.get(name, self.additional)

    def key_of(self, item: object) -> tuple[object, ...]:
        """What tells the items of a list of maps apart."""
        return tuple(item.get(key) for key in self.map_keys) if isinstance(item, dict) else ()


def compile_schema(source: Mapping[str, Any]) -> Node:
    """Raises `RuleError` for a CEL rule that does not compile and `re.error` for a bad pattern."""
    properties = {name: compile_schema(part) for name, part in source.get("properties", {}).items()}
    additional = source.get("additionalProperties")
    items = source.get("items")
    node = {
        "properties": properties,
        "additional": _compile_additional(additional),
        "items": compile_schema(items) if items else None,
        "rules": tuple(compile_rule(rule) for rule in source.get("x-kubernetes-validations", ())),
    }
    below = [
        *properties.values(),
        *(part for part in (node["additional"], node["items"]) if isinstance(part, Node)),
    ]
    merges, map_keys = _merging(source)
    return Node(
        type=source.get("type", ""),
        format=source.get("format", ""),
        nullable=bool(source.get("nullable")),
        int_or_string=bool(source.get("x-kubernetes-int-or-string")),
        preserve_unknown=bool(source.get("x-kubernetes-preserve-unknown-fields")),
        required=tuple(source.get("required", ())),
        default=source.get("default", ABSENT),
        enum=tuple(source.get("enum", ())),
        pattern=re.compile(source["pattern"]) if "pattern" in source else None,
        minimum=source.get("minimum"),
        maximum=source.get("maximum"),
        exclusive_minimum=bool(source.get("exclusiveMinimum")),
        exclusive_maximum=bool(source.get("exclusiveMaximum")),
        multiple_of=source.get("multipleOf"),
        min_length=source.get("minLength"),
        max_length=source.get("maxLength"),
        min_items=source.get("minItems"),
        max_items=source.get("maxItems"),
        min_properties=source.get("minProperties"),
        max_properties=source.get("maxProperties"),
        all_of=tuple(compile_schema(part) for part in source.get("allOf", ())),
        any_of=tuple(compile_schema(part) for part in source.get("anyOf", ())),
        one_of=tuple(compile_schema(part) for part in source.get("oneOf", ())),
        none_of=compile_schema(source["not"]) if "not" in source else None,
        merges=merges,
        map_keys=map_keys,
        is_unique=source.get("x-kubernetes-list-type") in ("set", "map"),
        atomic_map=source.get("x-kubernetes-map-type") == "atomic",
        has_rules=bool(node["rules"]) or any(part.has_rules for part in below),
        has_defaults="default" in source or any(part.has_defaults for part in below),
        needs_translation=source.get("format") == "date-time"
        or any(escaped(name) != name for name in properties)
        or any(part.needs_translation for part in below),
        **node,  # type: ignore[arg-type]
    )


def _merging(source: Mapping[str, Any]) -> tuple[Literal["atomic", "set", "map"], tuple[str, ...]]:
    """Custom kinds state a list type, built-in kinds a patch strategy."""
    keys = tuple(source.get("x-kubernetes-list-map-keys", ()))
    if "x-kubernetes-patch-merge-key" in source:
        keys = (source["x-kubernetes-patch-merge-key"],)
    if source.get("x-kubernetes-list-type") == "map" or keys:
        return "map", keys
    is_set = source.get("x-kubernetes-list-type") == "set" or source.get("x-kubernetes-patch-strategy") == "merge"
    return ("set" if is_set else "atomic"), ()


def _compile_additional(source: object) -> Node | None:
    if isinstance(source, dict):
        return compile_schema(source)
    return Node(preserve_unknown=True) if source else None


_NOTHING_KNOWN = Node()


# Pruning and defaults: both change the tree that they are given.


def prune(value: object, node: Node, path: str = "") -> list[str]:
    """Drop what the schema does not know; the answer is the paths of what went."""
    dropped: list[str] = []
    if isinstance(value, dict) and not node.preserve_unknown:
        for name in list(value):
            child = node.child(name)
            if child is None:
                del value[name]
                dropped.append(joined(path, name))
            else:
                dropped += prune(value[name], child, joined(path, name))
    elif isinstance(value, dict):
        for name, child in node.properties.items():
            if name in value:
                dropped += prune(value[name], child, joined(path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            dropped += prune(item, node.items or _NOTHING_KNOWN, f"{path}[{index}]")
    return dropped


def fill(value: object, node: Node) -> None:
    """Drop the nulls of optional fields that may not be null, write integers as such, and fill in defaults."""
    if isinstance(value, dict):
        for name, item in list(value.items()):
            child = node.child(name)
            if child is None:
                continue
            if item is None and not child.nullable and name not in node.required:
                if name in node.properties or child.default is ABSENT:
                    del value[name]
                else:
                    value[name] = child.default
            elif isinstance(item, float) and child.type == "integer" and item.is_integer():
                value[name] = int(item)
            else:
                fill(item, child)
        if node.has_defaults:
            _set_defaults(value, node)
    elif isinstance(value, list) and node.items is not None:
        for item in value:
            fill(item, node.items)


def _set_defaults(value: Json, node: Node) -> None:
    for name, child in node.properties.items():
        if value.get(name, ABSENT) is ABSENT and child.default is not ABSENT:
            value[name] = copied(child.default)
            fill(value[name], child)


# Validation.


def validate(value: object, node: Node, old: object = ABSENT, path: str = "") -> list[Cause]:
    """Why the value is refused; empty when it is fine.

    Rules are held against it only when its structure is right, as they may rely on that.
    """
    causes = list(_structure(value, node, old, path))
    if not node.has_rules:
        return causes
    if any(cause.reason in _BLOCKING for cause in causes):
        return [*causes, _SKIPPED_RULES]
    return causes + list(_broken_rules(value, node, old, path))


def _structure(value: object, node: Node, old: object, path: str) -> Iterator[Cause]:
    if same(value, old):
        return
    if not has_type(value, node):
        yield _wrong_type(value, node, path)
        yield from _not_offered(value, node, path)
        return
    yield from _constraints(value, node, path)
    if isinstance(value, dict):
        missing = [name for name in node.required if _is_missing(value, node, name)]
        for name, item in value.items():
            child = node.child(name)
            if child is not None and name not in missing:
                yield from _structure(item, child, _member(old, name), joined(path, name))
        for name in missing:
            yield Cause(joined(path, name), "FieldValueRequired")
    elif isinstance(value, list) and node.items is not None:
        for index, (item, earlier) in enumerate(_paired(value, node, old)):
            yield from _structure(item, node.items, earlier, f"{path}[{index}]")


def _is_missing(value: Mapping[str, object], node: Node, name: str) -> bool:
    child = node.child(name)
    return value.get(name) is None and not (name in value and child is not None and child.nullable)


def has_type(value: object, node: Node) -> bool:
    if value is None:
        return node.nullable or not (node.type or node.int_or_string)
    if node.int_or_string:
        return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    match node.type:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _is_integer(value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True


def _is_integer(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and value.is_integer() and abs(value) < 2**63


def type_name(value: object) -> str:
    """The JSON type of a value. A whole number beyond 64 bits is a `number`, as for the real server."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() if _is_integer(value):
            return "integer"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _wrong_type(value: object, node: Node, path: str) -> Cause:
    wanted = "integer,string" if node.int_or_string else node.type
    actual = type_name(value)
    return Cause(
        path or "<nil>",
        "FieldValueTypeInvalid",
        f'{path} in body must be of type {wanted}: "{actual}"',
        value=actual,
    )


def _constraints(value: object, node: Node, path: str) -> Iterator[Cause]:
    yield from _not_offered(value, node, path)
    match value:
        case str():
            yield from _text_constraints(value, node, path)
        case bool():
            pass
        case int() | float():
            yield from _number_constraints(value, node, path)
        case list():
            yield from _list_constraints(value, node, path)
        case dict():
            yield from _size_constraints(value, node.min_properties, node.max_properties, "properties", path)
    yield from _combinations(value, node, path)


def _not_offered(value: object, node: Node, path: str) -> Iterator[Cause]:
    if node.enum and value not in node.enum:
        supported = ", ".join(f'"{item}"' for item in node.enum)
        yield Cause(path, "FieldValueNotSupported", f"supported values: {supported}", value=value)


def _text_constraints(value: str, node: Node, path: str) -> Iterator[Cause]:
    if node.min_length is not None and len(value) < node.min_length:
        detail = f"{path} in body should be at least {node.min_length} chars long"
        yield Cause(path, "FieldValueInvalid", detail, value=value)
    if node.max_length is not None and len(value) > node.max_length:
        yield Cause(path, "FieldValueTooLong", f"may not be more than {node.max_length} bytes")
    if node.pattern is not None and not node.pattern.search(value):
        detail = f"{path} in body should match '{node.pattern.pattern}'"
        yield Cause(path, "FieldValueInvalid", detail, value=value)
    if node.format == "byte" and not _is_base64(value):
        yield Cause(path, "FieldValueTypeInvalid", "illegal base64 data")
    if node.format == "micro-time" and not _MICRO_TIME.match(value):
        yield Cause(path, "FieldValueTypeInvalid", f'{path} in body must be of type micro-time: "{value}"', value=value)
    if node.format == "date-time" and not is_date_time(value):
        detail = f'{path} in body must be of type date-time: "{value}"'
        yield Cause(path, "FieldValueTypeInvalid", detail, value=value)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


def is_date_time(value: str) -> bool:
    """Whether the text is an RFC 3339 time."""
    if not _DATE_TIME.match(value):
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


def _number_constraints(value: float, node: Node, path: str) -> Iterator[Cause]:
    def refused(detail: str) -> Cause:
        return Cause(path, "FieldValueInvalid", f"{path} in body {detail}", value=value)

    if node.minimum is not None and (value < node.minimum or (node.exclusive_minimum and value == node.minimum)):
        relation = "greater than" if node.exclusive_minimum else "greater than or equal to"
        yield refused(f"should be {relation} {node.minimum}")
    if node.maximum is not None and (value > node.maximum or (node.exclusive_maximum and value == node.maximum)):
        relation = "less than" if node.exclusive_maximum else "less than or equal to"
        yield refused(f"should be {relation} {node.maximum}")
    if node.multiple_of is not None and math.fmod(value, node.multiple_of):
        yield refused(f"should be a multiple of {node.multiple_of}")
    lowest, highest = _INT_RANGES.get(node.format, (-math.inf, math.inf))
    if not lowest <= value <= highest:
        yield refused(f'must be of type {node.format}: "{value}"')


def _list_constraints(value: Sequence[object], node: Node, path: str) -> Iterator[Cause]:
    yield from _size_constraints(value, node.min_items, node.max_items, "items", path)
    if not node.is_unique:
        return
    seen = []
    for index, item in enumerate(value):
        key = item if node.merges == "set" else node.key_of(item)
        if key == ():
            continue
        if key in seen:
            keys = item if node.merges == "set" else dict(zip(node.map_keys, node.key_of(item), strict=True))
            yield Cause(f"{path}[{index}]", "FieldValueDuplicate", value=keys)
        seen.append(key)


def _size_constraints(
    value: Sequence[object] | Mapping[str, object],
    lowest: int | None,
    highest: int | None,
    unit: str,
    path: str,
) -> Iterator[Cause]:
    if lowest is not None and len(value) < lowest:
        detail = f"{path} in body should have at least {lowest} {unit}"
        yield Cause(path, "FieldValueInvalid", detail, value=value)
    if highest is not None and len(value) > highest:
        yield Cause(path, "FieldValueTooMany", f"must have at most {highest} items", value=len(value))


def _combinations(value: object, node: Node, path: str) -> Iterator[Cause]:
    """`allOf`, `anyOf`, `oneOf` and `not`. With int-or-string, `anyOf` only repeats the two types."""
    for part in node.all_of:
        yield from _structure(value, part, ABSENT, path)
    if node.any_of and not any(_fits(value, part) for part in node.any_of):
        detail = f'"{path}" must validate at least one schema (anyOf)'
        yield Cause(path, "FieldValueInvalid", detail, value=OMITTED)
    if node.one_of and sum(_fits(value, part) for part in node.one_of) != 1:
        detail = f'"{path}" must validate one and only one schema (oneOf)'
        yield Cause(path, "FieldValueInvalid", detail, value=OMITTED)
    if node.none_of is not None and _fits(value, node.none_of):
        yield Cause(path, "FieldValueInvalid", f'"{path}" must not validate the schema (not)', value=OMITTED)


def _fits(value: object, node: Node) -> bool:
    return next(_structure(value, node, ABSENT, ""), None) is None


def _broken_rules(value: object, node: Node, old: object, path: str) -> Iterator[Cause]:
    """Transition rules hold in every update; the others only where something changed."""
    unchanged = same(value, old)
    if node.rules:
        variables = {"self": translated(value, node)}
        if old is not ABSENT:
            variables["oldSelf"] = translated(old, node)
        for rule in node.rules:
            if rule.is_transition and old is ABSENT and not rule.optional_old_self:
                continue
            if not rule.is_transition and unchanged:
                continue
            if (detail := rule.violation(variables)) is not None:
                yield Cause(path + rule.field_path, rule.reason, detail, value=value)
    if isinstance(value, dict):
        for name, item in value.items():
            child = node.child(name)
            if child is not None and child.has_rules:
                yield from _broken_rules(item, child, _member(old, name), joined(path, name))
    elif isinstance(value, list) and node.items is not None and node.items.has_rules:
        for index, (item, earlier) in enumerate(_paired(value, node, old)):
            yield from _broken_rules(item, node.items, earlier, f"{path}[{index}]")


def translated(value: object, node: Node) -> Any:
    """The value as rules see it: names escaped, times as times."""
    if not node.needs_translation:
        return value
    match value:
        case dict():
            return {
                escaped(name) if name in node.properties else name: _translated_member(item, node.child(name))
                for name, item in value.items()
            }
        case list() if node.items is not None:
            return [translated(item, node.items) for item in value]
        case str() if node.format == "date-time" and is_date_time(value):
            return datetime.fromisoformat(value.upper())
        case _:
            return value


def _translated_member(value: object, node: Node | None) -> Any:
    return value if node is None else translated(value, node)


def _member(old: object, name: str) -> object:
    return old.get(name, ABSENT) if isinstance(old, dict) else ABSENT


def _paired(value: Sequence[object], node: Node, old: object) -> Iterator[tuple[object, object]]:
    """Each item with its earlier self. Only the items of a map-like list are known over time."""
    if node.merges != "map" or not isinstance(old, list):
        return ((item, ABSENT) for item in value)
    earlier = {node.key_of(item): item for item in old}
    return ((item, earlier.get(node.key_of(item), ABSENT)) for item in value)


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
