"""Questions about access, and requests for tokens: they are answered and not kept."""

from typing import Any, Final

import msgspec

from snapshotter.testing.apiserver.authorization import Access, Authorizer, PathAccess, ResourceAccess
from snapshotter.testing.apiserver.metadata import timestamp
from snapshotter.testing.apiserver.status import Cause, Json, Subject, bad_request, invalid
from snapshotter.testing.apiserver.store import Stored
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.users import User

_AUDIENCE: Final = "https://kubernetes.default.svc"
_USUAL_SECONDS: Final = 3600
_LEAST_SECONDS: Final = 600
_NAMELESS: Final = Subject("authorization.k8s.io", "", "")
"""The real server names neither kind nor object when it refuses a review."""


def answered(review: Json, namespace: str, user: User, authorizer: Authorizer) -> Json:
    """The review with its answer. Raises `ApiError` 422."""
    if review["kind"] == "SelfSubjectReview":
        return {**review, "metadata": {}, "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
    return reviewed(review, namespace, user, authorizer)


def reviewed(review: Json, namespace: str, user: User, authorizer: Authorizer) -> Json:
    """The review with its answer. Raises `ApiError` 422."""
    spec: Json = review.get("spec") or {}
    causes = list(_broken(review["kind"], spec, namespace))
    if causes:
        raise invalid(_NAMELESS, causes)
    whom = user if review["kind"] == "SelfSubjectAccessReview" else _other(spec)
    verdict = authorizer.verdict(whom, _asked(spec))
    status: Json = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    metadata = {"namespace": namespace} if namespace else {}
    return {**review, "metadata": metadata, "spec": spec, "status": status}


def _broken(kind: str, spec: Json, namespace: str) -> list[Cause]:
    causes = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        causes.append(Cause("spec.nonResourceAttributes", "FieldValueInvalid", detail, value=path))
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(Cause("spec.resourceAttributes", "FieldValueInvalid", detail, value=None))
    if kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        detail = "at least one of user or group must be specified"
        causes.append(Cause("spec.user", "FieldValueInvalid", detail, value=""))
    if kind == "LocalSubjectAccessReview" and (asked := (resource or {}).get("namespace", "")) != namespace:
        field = "spec.resourceAttributes.namespace"
        causes.append(Cause(field, "FieldValueInvalid", "must match metadata.namespace", value=asked))
    return causes


def _other(spec: Json) -> User:
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()))


def _asked(spec: Json) -> Access:
    path: Json | None = spec.get("nonResourceAttributes")
    if path is not None:
        return PathAccess(path.get("verb", ""), path.get("path", ""))
    asked: Json = spec["resourceAttributes"]
    resource, subresource = asked.get("resource", ""), asked.get("subresource", "")
    return ResourceAccess(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=f"{resource}/{subresource}" if subresource else resource,
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )


class _TokenSpec(msgspec.Struct, rename="camel"):
    audiences: list[str] | None = None
    expiration_seconds: int | None = None
    bound_object_ref: Any = None


class _TokenRequest(msgspec.Struct):
    spec: _TokenSpec


def token_answer(account: Stored, body: Json, tokens: Tokens, now: float) -> Json:
    """The answer to a TokenRequest for a ServiceAccount. Raises `ApiError` 400 and 422."""
    try:
        asked = msgspec.convert({"spec": body.get("spec") or {}}, _TokenRequest).spec
    except msgspec.ValidationError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type TokenRequest): {error}") from error
    seconds = _USUAL_SECONDS if asked.expiration_seconds is None else asked.expiration_seconds
    if seconds < _LEAST_SECONDS:
        detail = "may not specify a duration less than 10 minutes"
        cause = Cause("spec.expirationSeconds", "FieldValueInvalid", detail, value=seconds)
        raise invalid(Subject("authentication.k8s.io", "", "TokenRequest"), [cause])
    (namespace, name), uid = account.key, account.object["metadata"]["uid"]
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": timestamp(now)},
        "spec": {
            "audiences": asked.audiences or [_AUDIENCE],
            "expirationSeconds": seconds,
            "boundObjectRef": asked.bound_object_ref,
        },
        "status": {
            "token": tokens.issue(namespace, name, uid, seconds),
            "expirationTimestamp": timestamp(now + seconds),
        },
    }
