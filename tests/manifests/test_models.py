"""The structs that the programs read objects into, against the definitions of those objects: one tells the same as the
other, so nothing is read that a server does not serve, and no valid object is refused.
"""

from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from snapshotter.kube import kinds
from snapshotter.model.lifecycle import StatusError
from snapshotter.names import GROUP_SNAPSHOT_VERSIONS
from tests.manifests.test_crds import GROUP_KINDS, KINDS, SINGLE_KINDS, Json, schema

READ: list[kinds.Kind[Any]] = [
    kinds.SNAPSHOT,
    kinds.CONTENT,
    kinds.SNAPSHOT_CLASS,
    *(
        made(version)
        for version in GROUP_SNAPSHOT_VERSIONS
        for made in (kinds.group_snapshot, kinds.group_content, kinds.group_class)
    ),
]


def test_all_kinds_are_read_in_every_version_that_is_spoken() -> None:
    assert {(kind.plural, kind.version) for kind in READ} == {
        *((plural, "v1") for plural in SINGLE_KINDS),
        *((plural, version) for plural in GROUP_KINDS for version in GROUP_SNAPSHOT_VERSIONS),
    }
    assert {(kind.plural, kind.name, kind.group) for kind in READ} == {
        (plural, kind.name, kind.group) for plural, kind in KINDS.items()
    }


def unlike(struct: inspect.Type, node: Json, path: str = "") -> list[str]:
    """Where a field of a struct does not fit the node of a schema that it is read from."""
    match struct:
        case inspect.UnionType(types=types):
            allowed = [each for each in types if not isinstance(each, inspect.NoneType)]
            if node.get("x-kubernetes-int-or-string"):
                kinds = {type(each) for each in allowed}
                return [] if kinds == {inspect.StrType, inspect.IntType} else [f"{path}: a string or an integer"]
            return unlike(allowed[0], node, path) if len(allowed) == 1 else [f"{path}: {allowed}"]
        case inspect.StructType(fields=fields) if node["type"] == "object":
            return unlike_fields(fields, node, path)
        case inspect.DictType(key_type=inspect.StrType(), value_type=value) if "additionalProperties" in node:
            return unlike(value, node["additionalProperties"], f"{path}.*")
        case inspect.VarTupleType(item_type=item) if node["type"] == "array":
            return unlike(item, node["items"], f"{path}[]")
        case inspect.LiteralType(values=values):
            return [] if list(values) == node.get("enum") else [f"{path}: {values}"]
        case inspect.StrType() if node["type"] == "string" and not node.get("x-kubernetes-int-or-string"):
            return []
        case inspect.IntType() if node["type"] == "integer":
            return []
        case inspect.BoolType() if node["type"] == "boolean":
            return []
        case inspect.DateTimeType() if node.get("format") == "date-time":
            return []
        case _:
            return [f"{path}: {type(struct).__name__} is read where a {node['type']} is served"]


NO_DEFINITION: Final = {".metadata", ".cutInDoubt"}
"""What is the same for all kinds, and what no API server says."""


def unlike_fields(fields: tuple[inspect.Field, ...], node: Json, path: str) -> list[str]:
    found = []
    for field in fields:
        below = f"{path}.{field.encode_name}"
        if below in NO_DEFINITION:
            continue
        served = node["properties"].get(field.encode_name)
        if served is None:
            found.append(f"{below}: is not served")
            continue
        if field.required and field.encode_name not in node.get("required", ()):
            found.append(f"{below}: may be absent")
        found += unlike(field.type, served, below)
    return found


@pytest.mark.parametrize("kind", READ, ids=lambda kind: f"{kind.plural}-{kind.version}")
def test_what_is_read_is_served_in_that_form(kind: kinds.Kind[Any]) -> None:
    assert unlike(inspect.type_info(kind.type), schema(kind.plural, kind.version)) == []


class _Misread(msgspec.Struct, kw_only=True, rename="camel"):
    snapshot_handle: int = 0
    restore_size: int
    ready: bool = False
    error: StatusError | None = None
    creation_time: str | int | None = None


def test_a_struct_that_does_not_fit_would_be_seen() -> None:
    status = schema("volumesnapshotcontents", "v1")["properties"]["status"]
    found = {text.partition(":")[0] for text in unlike(inspect.type_info(_Misread), status)}
    assert found == {".snapshotHandle", ".restoreSize", ".ready", ".creationTime"}
