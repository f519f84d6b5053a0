"""What the server makes of an object whose JSON was put in past every rule, as if an earlier schema had let it pass.

Clients get the JSON as it is. The server's own decisions, and patches, are about the object as it is here: with
metadata of the right types, which a Kubernetes API server sees to whatever is stored, and with nothing that JSON cannot
say.
"""

import json
from typing import Any

from snapshotter.testing.apiserver.kinds import Kind
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Key

_LONG_AGO = "2000-01-01T00:00:00Z"
_INT64 = range(-(2**63), 2**63)


def outline(kind: Kind, key: Key, raw: bytes) -> Json:
    """The object as far as it can be understood; of what cannot be parsed at all that is its name."""
    try:
        tree = _plain(json.loads(raw.decode(errors="replace"), parse_int=_number))
    except (ValueError, RecursionError):
        tree = {}
    found: Json = tree if isinstance(tree, dict) else {}
    metadata = found.get("metadata")
    namespace, name = key
    return {
        **found,
        "apiVersion": kind.api_version(kind.storage_version),
        "kind": kind.kind,
        "metadata": {
            **_sound(metadata if isinstance(metadata, dict) else {}),
            "name": name,
            **({"namespace": namespace} if namespace else {}),
        },
    }


def _sound(metadata: Json) -> Json:
    """The metadata without what is of a wrong type."""
    kept: Json = {"uid": "", "generation": 1, "creationTimestamp": _LONG_AGO}
    for field in ("uid", "creationTimestamp", "deletionTimestamp"):
        if isinstance(metadata.get(field), str):
            kept[field] = metadata[field]
    if "deletionTimestamp" in kept:
        kept["deletionGracePeriodSeconds"] = 0
    for field in ("labels", "annotations"):
        given = metadata.get(field)
        if isinstance(given, dict):
            kept[field] = {key: value for key, value in given.items() if isinstance(value, str)}
    given = metadata.get("finalizers")
    if isinstance(given, list):
        kept["finalizers"] = [item for item in given if isinstance(item, str)]
    given = metadata.get("ownerReferences")
    if isinstance(given, list):
        wanted = ("apiVersion", "kind", "name", "uid")
        kept["ownerReferences"] = [
            item for item in given if isinstance(item, dict) and all(isinstance(item.get(key), str) for key in wanted)
        ]
    return kept


def _number(digits: str) -> int | float:
    if len(digits) <= 20 and int(digits) in _INT64:
        return int(digits)
    return float(digits)


def _plain(value: Any) -> Any:
    """Without halves of surrogate pairs, which cannot be written again."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
