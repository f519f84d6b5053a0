"""Server-side apply: a manager states the fields that it wants; those that it wanted earlier are taken away.

Only what was applied has an owner here; ordinary updates own nothing. So two appliers that disagree conflict,
and an ordinary update never does.

A field is known by its path, whose parts are written as in `managedFields`: `f:<member>`, `k:<keys of an item>`
and `v:<item of a set>`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from snapshotter.testing.apiserver.json_tree import same
from snapshotter.testing.apiserver.metadata import timestamp
from snapshotter.testing.apiserver.schema import Node
from snapshotter.testing.apiserver.status import ApiError, Json, Subject

Path = tuple[str, ...]

_IDENTITY = {("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")}


def merged(current: Any, wanted: Any, node: Node | None) -> Any:
    """The current value with what is wanted; atomic maps and lists are replaced."""
    if isinstance(wanted, dict) and isinstance(current, dict) and not (node and node.atomic_map):
        result = dict(current)
        for name, value in wanted.items():
            result[name] = merged(current.get(name), value, node.child(name) if node else None)
        return result
    if isinstance(wanted, list) and isinstance(current, list) and node is not None:
        if node.merges == "set":
            return current + [item for item in wanted if item not in current]
        if node.merges == "map":
            return _merged_items(current, wanted, node)
    return wanted


def _merged_items(current: list[Any], wanted: list[Any], node: Node) -> list[Any]:
    wanted_by_key = {node.key_of(item): item for item in wanted}
    result = [
        merged(item, wanted_by_key.pop(node.key_of(item)), node.items) if node.key_of(item) in wanted_by_key else item
        for item in current
    ]
    return result + list(wanted_by_key.values())


def fields_of(value: Any, node: Node | None, path: Path = ()) -> Iterator[Path]:
    """The fields that a value sets."""
    if isinstance(value, dict) and value and not (node and node.atomic_map):
        for name, item in value.items():
            yield from fields_of(item, node.child(name) if node else None, (*path, f"f:{name}"))
    elif isinstance(value, list) and value and node is not None and node.merges != "atomic":
        for item in value:
            part = _item_part(item, node)
            yield from fields_of(item, node.items, (*path, part)) if node.merges == "map" else [(*path, part)]
    else:
        yield path


def _item_part(item: Any, node: Node) -> str:
    shown = dict(zip(node.map_keys, node.key_of(item), strict=True)) if node.merges == "map" else item
    return ("k:" if node.merges == "map" else "v:") + msgspec.json.encode(shown, order="sorted").decode()


def value_at(value: Any, path: Path, node: Node | None) -> Any:
    """What a path leads to, or None."""
    for part in path:
        if isinstance(value, dict):
            name = part[2:]
            value, node = value.get(name), node.child(name) if node else None
        elif isinstance(value, list) and node is not None:
            value = next((item for item in value if _item_part(item, node) == part), None)
            node = node.items
        else:
            return None
    return value


def without(value: Any, path: Path, node: Node | None) -> Any:
    """The value without a field; maps that become empty go as well."""
    head, *rest = path
    if isinstance(value, dict):
        name = head[2:]
        if name not in value:
            return value
        left = without(value[name], tuple(rest), node.child(name) if node else None) if rest else None
        others = {key: item for key, item in value.items() if key != name}
        return {**value, name: left} if left else others
    if isinstance(value, list) and node is not None:
        kept = []
        for item in value:
            if _item_part(item, node) != head:
                kept.append(item)
            elif rest and rest[-1] not in {f"f:{key}" for key in node.map_keys}:
                kept.append(without(item, tuple(rest), node.items))
        return kept
    return value


def applied(
    current: Json, wanted: Json, node: Node, subject: Subject, manager: str, now: float, *, force: bool
) -> Json:
    """The current object with what the manager wants now. Raises `ApiError` 409 when another manager disagrees."""
    entries = [entry for entry in current["metadata"].get("managedFields", ()) if entry["operation"] == "Apply"]
    owned = {entry["manager"]: set(_flat(entry["fieldsV1"])) for entry in entries}
    mine = set(fields_of(wanted, node)) - _IDENTITY
    disputed = {
        other: {path for path in paths & mine if not same(value_at(current, path, node), value_at(wanted, path, node))}
        for other, paths in owned.items()
        if other != manager
    }
    if any(disputed.values()) and not force:
        raise _disagreement(subject, disputed)
    others: set[Path] = set()
    for other, paths in disputed.items():
        owned[other] -= paths
        others |= owned[other]
    result: Json = current
    for path in owned.get(manager, set()) - mine - others:
        result = without(result, path, node)
    result = merged(result, wanted, node)
    owned[manager] = mine
    times = {entry["manager"]: entry["time"] for entry in entries}
    if set(_flat(next((e["fieldsV1"] for e in entries if e["manager"] == manager), {}))) != mine:
        times[manager] = timestamp(now)
    result["metadata"] = {
        **result["metadata"],
        "managedFields": [
            _entry(name, paths, wanted["apiVersion"], times.get(name, timestamp(now)))
            for name, paths in sorted(owned.items())
            if paths
        ],
    }
    return result


def _entry(manager: str, paths: set[Path], api_version: str, time: str) -> Json:
    fields: Json = {}
    for path in sorted(paths):
        place = fields
        for part in path:
            place = place.setdefault(part, {})
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _flat(fields: Json, path: Path = ()) -> Iterator[Path]:
    for part, below in fields.items():
        if below:
            yield from _flat(below, (*path, part))
        else:
            yield (*path, part)


def _disagreement(subject: Subject, disputed: dict[str, set[Path]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": shown(path)}
        for other, paths in sorted(disputed.items())
        for path in sorted(paths)
    ]
    listed = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    many = "conflicts" if len(causes) > 1 else "conflict"
    message = f"Apply failed with {len(causes)} {many}: {listed}"
    return ApiError(409, "Conflict", message, {**subject.details(), "causes": causes})


def shown(path: Path) -> str:
    """A path as people read it: `.spec.driver`, `.list[name="a"]`."""
    parts = []
    for part in path:
        kind, _, text = part.partition(":")
        if kind == "k":
            keys = msgspec.json.decode(text)
            text = ",".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in keys.items())
        parts.append(f".{text}" if kind == "f" else f"[{text}]")
    return "".join(parts)
