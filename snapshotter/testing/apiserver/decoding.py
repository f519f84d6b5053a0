"""From the JSON of a request to an object of a kind: types, unknown fields, defaults."""

from collections.abc import Iterator

from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.schema import ABSENT, fill, prune, validate
from snapshotter.testing.apiserver.status import Cause, Json, invalid


class DecodeError(Exception):
    """The JSON is no object of the kind; the text says why."""


class UnknownFieldsError(DecodeError):
    """The JSON has fields that the kind does not have, and the client wants to be told so."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in paths))


def check_identity(kind: Kind, version: Version, body: Json) -> None:
    """Check that `apiVersion` and `kind` are those of the kind; built-in objects may leave them out.

    Raises `DecodeError`, and `ApiError` 422 for an object of another kind.
    """
    api_version = kind.api_version(version.name)
    if not kind.is_custom:
        body["apiVersion"] = body.get("apiVersion") or api_version
        body["kind"] = body.get("kind") or kind.kind
    given = body.get("apiVersion") or ""
    if given != api_version:
        raise DecodeError(
            f"the API version in the data ({given}) does not match the expected API version ({api_version})"
        )
    if not body.get("kind") or not isinstance(body["kind"], str):
        raise DecodeError(f"the object provided is unrecognized (must be of type {kind.kind}): no kind")
    if body["kind"] != kind.kind:
        cause = Cause("kind", "FieldValueInvalid", f"must be {kind.kind}", value=body["kind"])
        metadata = body.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        raise invalid(kind.subject(name), [cause])


def complete(kind: Kind, version: Version, body: Json, earlier: Json | None, *, strict: bool) -> list[str]:
    """Drop unknown fields and fill in defaults, in place; the answer is the paths of what was dropped.

    `earlier`: the object before, if known; what did not change is not looked at again.
    Raises `DecodeError`: with `strict` for unknown fields, and where a type is wrong that is no matter of the
    schema of a custom kind: in metadata, and anywhere in a built-in object.
    """
    if body.get("metadata") is None:
        body["metadata"] = {}
    fill(body, version.node)
    for cause in _of_wrong_type(kind, version, body, earlier):
        raise DecodeError(cause.detail)
    dropped = prune(body, version.node)
    if dropped and strict:
        raise UnknownFieldsError(dropped)
    return dropped


def _of_wrong_type(kind: Kind, version: Version, body: Json, earlier: Json | None) -> Iterator[Cause]:
    if kind.is_custom:
        metadata = ABSENT if earlier is None else earlier["metadata"]
        causes = validate(body["metadata"], version.node.properties["metadata"], metadata, "metadata")
    else:
        causes = validate(body, version.node, ABSENT if earlier is None else earlier)
    return (cause for cause in causes if cause.reason == "FieldValueTypeInvalid")
