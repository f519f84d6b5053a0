"""OpenAPI v3 of what is served, as far as `kubectl explain`, `apply` and `create` read it."""

from typing import Any, Final

from snapshotter.testing.apiserver.discovery import served_kinds
from snapshotter.testing.apiserver.kinds import Catalogue, Kind, Version, metadata_schema
from snapshotter.testing.apiserver.status import Json

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
OLDER_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OLDER: Final = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.0"
"""The answer at `/openapi/v2`, in the only form that kubectl asks for: a document without a schema. kubectl looks there
for kinds that the newer documents do not have, and says that there is no such kind when this one has not either."""

_IDENTITY: Json = {
    "apiVersion": {"type": "string", "description": "Group and version of the API that this object is written in."},
    "kind": {"type": "string", "description": "Kind of this object."},
}


def index(catalogue: Catalogue) -> Json:
    """The answer at `/openapi/v3`: where the documents are."""
    paths = {}
    for group, versions in catalogue.group_versions().items():
        for version in versions:
            path = _path(group, version)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
    return {"paths": paths}


def document(catalogue: Catalogue, group: str, version: str) -> Json | None:
    """The document of one group and version; None when it is not served."""
    kinds = served_kinds(catalogue, group, version)
    if not kinds:
        return None
    schemas: Json = {_OBJECT_META: _plain(metadata_schema())}
    paths: Json = {}
    for kind, served in kinds:
        name = _schema_name(kind, served)
        schemas[name] = _schema(kind, served)
        paths |= _paths(kind, served, name)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _schema_name(kind: Kind, version: Version) -> str:
    reversed_group = ".".join(reversed((kind.group or "core.api.k8s.io").split(".")))
    return f"{reversed_group}.{version.name}.{kind.kind}"


def _identity(kind: Kind, version: Version) -> Json:
    return {"group": kind.group, "version": version.name, "kind": kind.kind}


def _schema(kind: Kind, version: Version) -> Json:
    schema = _plain(version.source)
    own = {name: part for name, part in schema.get("properties", {}).items() if name not in _IDENTITY}
    metadata = {
        "description": "Name, labels and other things that every object has.",
        "allOf": [{"$ref": f"#/components/schemas/{_OBJECT_META}"}],
    }
    return {
        **schema,
        "type": "object",
        "properties": {**_IDENTITY, **own, "metadata": metadata},
        "x-kubernetes-group-version-kind": [_identity(kind, version)],
    }


def _plain(value: Any) -> Any:
    """The schema in the words of OpenAPI."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: _plain(item) for key, item in value.items() if key != "x-kubernetes-validations"}
    if result.pop("x-kubernetes-int-or-string", None) is True:
        result["x-kubernetes-int-or-string"] = True
    if "x-kubernetes-list-map-keys" in result:
        result["x-kubernetes-patch-strategy"] = "merge"
        result["x-kubernetes-patch-merge-key"] = result["x-kubernetes-list-map-keys"][0]
    elif result.get("x-kubernetes-list-type") == "set":
        result["x-kubernetes-patch-strategy"] = "merge"
    return result


def _paths(kind: Kind, version: Version, schema_name: str) -> Json:
    root = f"/{_path(kind.group, version.name)}"
    collection = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    gvk = {"x-kubernetes-group-version-kind": _identity(kind, version)}
    body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema_name}"}}}}
    write = {
        **gvk,
        "parameters": [_query(name) for name in ("dryRun", "fieldManager", "fieldValidation")],
        "requestBody": body,
        "responses": {"200": {"description": "OK", **body}},
    }
    read = {**gvk, "responses": {"200": {"description": "OK", **body}}}
    if not kind.is_stored:
        return {collection: {"post": {**write, "x-kubernetes-action": "post"}}}
    return {
        collection: {"get": {**read, "x-kubernetes-action": "list"}, "post": {**write, "x-kubernetes-action": "post"}},
        f"{collection}/{{name}}": {
            "get": {**read, "x-kubernetes-action": "get"},
            "put": {**write, "x-kubernetes-action": "put"},
            "patch": {**write, "x-kubernetes-action": "patch"},
            "delete": {**read, "x-kubernetes-action": "delete"},
        },
    }


def _query(name: str) -> Json:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
