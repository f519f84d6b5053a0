"""Conversion by a webhook: the review that is sent, and what is demanded of the answer."""

import uuid
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.metadata import broken_metadata
from snapshotter.testing.apiserver.schema import prune
from snapshotter.testing.apiserver.status import ApiError, Json, as_one_text
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls, WebhookFailed

_API_VERSION: Final = "apiextensions.k8s.io/v1"
_SECONDS: Final = 30
_MAY_CHANGE: Final = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What an object is in another version of its kind. The answer is the JSON of the object there."""

    kind: Kind
    version: Version
    encoded: bytes
    """The JSON of the object."""

    async def ask(self, calls: WebhookCalls) -> bytes:
        """Raises `ApiError` 500."""
        given: Json = msgspec.json.decode(self.encoded)
        wanted = self.kind.api_version(self.version.name)
        uid = str(uuid.uuid4())
        request = {"uid": uid, "desiredAPIVersion": wanted, "objects": [given]}
        review = {"kind": "ConversionReview", "apiVersion": _API_VERSION, "request": request}
        about = f"conversion webhook for {given['apiVersion']}, Kind={given['kind']}"
        try:
            answer = await calls.post(self.kind.conversion["webhook"]["clientConfig"], review, _SECONDS)
            objects = _objects(answer, uid)
        except WebhookFailed as error:
            raise _failure(f"{about} failed: {error}") from error
        if len(objects) != 1:
            raise _failure(f"{about} returned {len(objects)} objects, expected 1")
        if not isinstance(objects[0], dict):
            found = _JSON_TYPES[type(objects[0])]
            raise _failure(f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
        if (wrong := _wrong_object(objects[0], given, wanted)) is not None:
            raise _failure(f"{about} returned invalid object{wrong}")
        converted: Json = objects[0]
        if (wrong := _wrong_metadata(converted["metadata"])) is not None:
            raise _failure(f"{about} returned invalid metadata: {wrong}")
        converted["metadata"] = _metadata(converted["metadata"], given["metadata"])
        prune(converted, self.version.node)
        return msgspec.json.encode(converted)


def _failure(message: str) -> ApiError:
    return ApiError(500, "", message)


def _objects(review: Json, uid: str) -> list[Any]:
    """The objects of a successful answer. Raises `WebhookFailed`."""
    found = review.get("apiVersion", ""), review.get("kind", "")
    if found != (_API_VERSION, "ConversionReview"):
        group, _, version = str(found[0]).rpartition("/")
        expected = f"{_API_VERSION}, Kind=ConversionReview"
        raise WebhookFailed(f"expected webhook response of {expected}, got {group}/{version}, Kind={found[1]}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise WebhookFailed("no response provided")
    if response.get("uid", "") != uid:
        raise WebhookFailed(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    status, message = result.get("status", ""), result.get("message", "")
    if status != "Success":
        raise WebhookFailed(message or f"response.result.status was '{status}', not 'Success'")
    return response.get("convertedObjects") or []


def _wrong_object(converted: Json, given: Json, wanted: str) -> str | None:
    """Why this cannot be the object in the wanted version."""
    if (version := converted.get("apiVersion", "")) != wanted:
        return f" at index 0: invalid groupVersion (expected {wanted}, received {version})"
    if (kind := converted.get("kind", "")) != given["kind"]:
        return f" at index 0: invalid kind (expected {given['kind']}, received {kind})"
    metadata = converted.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return ": invalid metadata of type string"
    for member, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = given["metadata"].get(member, ""), metadata.get(member, "")
        if before != after:
            return f": must have the same {name}: {before} != {after}"
    return None


_JSON_TYPES: Final = {
    str: "string",
    int: "number",
    float: "number",
    bool: "bool",
    list: "array",
    type(None): "null",
}
_GO_TYPES: Final = {
    int: "int64",
    float: "float64",
    bool: "bool",
    dict: "map[string]interface {}",
    list: "[]interface {}",
    type(None): "<nil>",
}


def _wrong_metadata(metadata: Json) -> str | None:
    for member in _MAY_CHANGE:
        for key, value in (metadata.get(member) or {}).items():
            if not isinstance(value, str):
                found = _GO_TYPES[type(value)]
                return f"metadata.{member}[{key}] must be a string, but is {found} in converted object"
    causes = list(broken_metadata({member: metadata.get(member) or {} for member in _MAY_CHANGE}))
    return as_one_text(causes) if causes else None


def _metadata(converted: Json, given: Json) -> Json:
    """The metadata as given, with the labels and annotations of the webhook: it may change nothing else."""
    kept = {name: value for name, value in given.items() if name not in _MAY_CHANGE}
    return kept | {name: converted[name] for name in _MAY_CHANGE if converted.get(name)}
