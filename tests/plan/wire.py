"""Patches as an API server applies them, on plain JSON objects. Tests of what we send use it."""

import copy
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """The patch does not fit the object; nothing of it is applied."""


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396: a JSON merge patch."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def merge_patched(document: Json, patch: Mapping[str, Any]) -> Json:
    """A merge patch of an object; uid and resource version in it are preconditions."""
    metadata = patch.get("metadata", {})
    for key in ("uid", "resourceVersion"):
        if key in metadata and metadata[key] != document["metadata"][key]:
            raise Refused(f"metadata.{key} is another one")
    result: Json = merged(document, patch)
    return result


def json_patched(document: Json, operations: list[dict[str, object]]) -> Json:
    """RFC 6902 as far as we use it: test, add, remove and replace of members of objects, add at the end of a list.

    A test for null holds where nothing is, as API servers have it.
    """
    result = copy.deepcopy(document)
    for operation in operations:
        parent, member = _place(result, str(operation["path"]))
        if isinstance(parent, list):
            if (operation["op"], member) != ("add", "-"):
                raise Refused(str(operation))
            parent.append(operation["value"])
            continue
        match operation["op"]:
            case "test" if parent.get(member) == operation["value"]:
                pass
            case "add":
                parent[member] = operation["value"]
            case "remove" if member in parent:
                del parent[member]
            case "replace" if member in parent:
                parent[member] = operation["value"]
            case _:
                raise Refused(str(operation))
    return result


def _place(document: Json, path: str) -> tuple[Json | list[Any], str]:
    *parents, member = (part.replace("~1", "/").replace("~0", "~") for part in path.removeprefix("/").split("/"))
    place: Any = document
    for part in parents:
        if not isinstance(place, dict) or part not in place:
            raise Refused(f"there is no {path}")
        place = place[part]
    if not isinstance(place, dict | list):
        raise Refused(f"{path} is not in an object")
    return place, member
