"""Patches on JSON trees: merge patch, JSON patch, and the strategic merge patch of built-in kinds.

`merge` and `strategic` build new trees and leave what they are given alone; `json_patch` changes the tree that it
is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from snapshotter.testing.apiserver.json_tree import copied, same
from snapshotter.testing.apiserver.schema import Node
from snapshotter.testing.apiserver.status import Json


class PatchError(Exception):
    """The patch does not fit the object: a path leads nowhere, a `test` failed, a step makes no sense."""


def merge(target: object, patch: object) -> Any:
    """JSON merge patch (RFC 7396): maps are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(document: Json, steps: Sequence[object]) -> Json:
    """JSON patch (RFC 6902), as lenient as Kubernetes.

    It differs from the RFC, and so from the usual libraries, in two points: `replace` may create a member of
    a map, and an absent member passes a `test` for null.
    """
    root: Json = {"": document}
    for step in steps:
        _apply_step(root, step)
    result = root[""]
    if not isinstance(result, dict):
        raise PatchError("a JSON patch must leave an object")
    return result


def _apply_step(root: Json, step: object) -> None:
    if not isinstance(step, dict) or not isinstance(step.get("path"), str):
        raise PatchError("a step of a JSON patch has an op and a path")
    path = step["path"]
    match step.get("op"):
        case "add":
            _add(root, path, _value(step))
        case "replace":
            _replace(root, path, _value(step))
        case "remove":
            _remove(root, path)
        case "test":
            if not same(_get(root, path, absent_is_none=True), step.get("value")):
                raise PatchError(f"testing value {path} failed")
        case "move":
            value = _get(root, _source(step))
            _remove(root, _source(step))
            _add(root, path, value)
        case "copy":
            _add(root, path, copied(_get(root, _source(step))))
        case op:
            raise PatchError(f"unexpected kind: {op}")


def _value(step: Mapping[str, Any]) -> Any:
    if "value" not in step:
        raise PatchError("missing value")
    return step["value"]


def _source(step: Mapping[str, Any]) -> str:
    if not isinstance(step.get("from"), str):
        raise PatchError("missing from")
    return str(step["from"])


def _parts(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]


def _parent(root: Json, path: str) -> tuple[Any, str]:
    """The map or list that holds what `path` names, and the key or index in it."""
    *way, last = _parts(path)
    place: Any = root
    for part in way:
        place = _member(place, part, path)
    if not isinstance(place, dict | list):
        raise PatchError(f"doc is missing path: {path}")
    return place, last


def _member(place: Any, part: str, path: str) -> Any:
    if isinstance(place, dict) and part in place:
        return place[part]
    if isinstance(place, list):
        return place[_index(part, len(place) - 1, path)]
    raise PatchError(f"doc is missing path: {path}")


def _index(part: str, highest: int, path: str) -> int:
    if not part.removeprefix("-").isdigit():
        raise PatchError(f"not an index: {path}")
    index = int(part)
    if index < 0:
        index += highest + 1
    if not 0 <= index <= highest:
        raise PatchError(f"index out of bounds: {path}")
    return index


def _get(root: Json, path: str, *, absent_is_none: bool = False) -> Any:
    place, last = _parent(root, path)
    if absent_is_none and isinstance(place, dict):
        return place.get(last)
    return _member(place, last, path)


def _add(root: Json, path: str, value: Any) -> None:
    place, last = _parent(root, path)
    if isinstance(place, dict):
        place[last] = value
    elif last == "-":
        place.append(value)
    else:
        place.insert(_index(last, len(place), path), value)


def _replace(root: Json, path: str, value: Any) -> None:
    place, last = _parent(root, path)
    if isinstance(place, dict):
        place[last] = value
    else:
        place[_index(last, len(place) - 1, path)] = value


def _remove(root: Json, path: str) -> None:
    place, last = _parent(root, path)
    if isinstance(place, dict):
        if last not in place:
            raise PatchError(f"unable to remove nonexistent key: {path}")
        del place[last]
    else:
        del place[_index(last, len(place) - 1, path)]


def strategic(target: object, patch: object, node: Node | None) -> Any:
    """Strategic merge patch: as `merge`, but lists with a merge key are merged by it.

    Understands the directives `$patch: replace`, `$patch: delete`, `$retainKeys`,
    `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>` (whose order is not enforced).
    """
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    if keep := patch.get("$retainKeys"):
        result = {key: value for key, value in result.items() if key in keep}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field, ()) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_member(result.get(key), value, node.child(key) if node else None)
    return result


def _strategic_member(target: object, patch: object, node: Node | None) -> Any:
    if not isinstance(patch, list) or node is None or node.merges == "atomic":
        return strategic(target, patch, node)
    existing = list(target) if isinstance(target, list) else []
    if node.merges == "set":
        return existing + [item for item in patch if item not in existing]
    return _merge_by_key(existing, patch, node)


def _merge_by_key(existing: list[Any], patch: Sequence[Any], node: Node) -> list[Any]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    result = list(existing)
    for change in patch:
        key = node.key_of(change)
        place = next((index for index, item in enumerate(result) if node.key_of(item) == key), None)
        if change.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic({}, change, node.items))
        else:
            result[place] = strategic(result[place], change, node.items)
    return result
