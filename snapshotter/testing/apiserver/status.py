"""Refusals as the API server words them: `ApiError` carries a Status body, and the functions here make it.

A message names a resource as `<plural>.<group> "<name>"`, a refused object as `<Kind>.<group> "<name>"`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Json = dict[str, Any]

Reason = Literal[
    "FieldValueRequired",
    "FieldValueNotSupported",
    "FieldValueTypeInvalid",
    "FieldValueInvalid",
    "FieldValueForbidden",
    "FieldValueDuplicate",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldManagerConflict",
]

_LABELS: dict[str, str] = {
    "FieldValueRequired": "Required value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
}


class Omitted:
    """Stands for a value that is not printed in a cause."""


OMITTED = Omitted()


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why an object is refused, at one field."""

    field: str
    reason: Reason
    detail: str = ""
    value: object = OMITTED

    @property
    def message(self) -> str:
        parts = [_LABELS.get(self.reason, "")]
        if not (isinstance(self.value, Omitted) or self._is_too_large()):
            parts.append(msgspec.json.encode(self.value).decode())
        parts.append(self.detail)
        return ": ".join(part for part in parts if part)

    def _is_too_large(self) -> bool:
        """Whether the value is left out of the message, as invalid objects and lists are."""
        return self.reason == "FieldValueInvalid" and isinstance(self.value, dict | list)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a refusal is about: the group, the plural, the kind and the name of an object."""

    group: str
    plural: str
    kind: str
    name: str = ""

    @property
    def resource(self) -> str:
        return f'{_qualified(self.plural, self.group)} "{self.name}"'

    def details(self) -> Json:
        return _details(self.group, self.plural, self.name)


@dataclass(eq=False)
class ApiError(Exception):
    """A request that is refused; `body()` is what the client gets."""

    code: int
    reason: str
    message: str
    details: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    def body(self) -> Json:
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


def not_found(subject: Subject) -> ApiError:
    return ApiError(404, "NotFound", f"{subject.resource} not found", subject.details())


def unknown_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(subject: Subject, *, is_terminating: bool = False) -> ApiError:
    message = f"{subject.resource} already exists"
    if is_terminating:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, subject.details())


def conflict(subject: Subject, detail: str) -> ApiError:
    message = f"Operation cannot be fulfilled on {subject.resource}: {detail}"
    return ApiError(409, "Conflict", message, subject.details())


def stale(subject: Subject) -> ApiError:
    """The resourceVersion of the writer is not that of the object."""
    return conflict(
        subject, "the object has been modified; please apply your changes to the latest version and try again"
    )


def forbidden(subject: Subject, detail: str, *causes: Mapping[str, str]) -> ApiError:
    details = subject.details()
    if causes:
        details["causes"] = list(causes)
    return ApiError(403, "Forbidden", f"{subject.resource} is forbidden: {detail}", details)


def invalid(subject: Subject, causes: Sequence[Cause]) -> ApiError:
    """The object breaks its schema, its rules or those of metadata."""
    text = as_one_text(causes)
    details = _details(subject.group, subject.kind, subject.name)
    details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    kind = _qualified(subject.kind, subject.group)
    return ApiError(422, "Invalid", f'{kind} "{subject.name}" is invalid: {text}', details)


def as_one_text(causes: Sequence[Cause]) -> str:
    unique = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unprocessable_patch() -> ApiError:
    """A JSON patch that cannot be applied, a failed `test` included; the server does not say which step."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))


def precondition_failed(subject: Subject, detail: str) -> ApiError:
    """A precondition of a DELETE; here the details name the kind, not the plural."""
    message = f'Operation cannot be fulfilled on {_qualified(subject.kind, subject.group)} "{subject.name}": {detail}'
    return ApiError(409, "Conflict", message, _details(subject.group, subject.kind, subject.name))


def too_new(wanted: int, current: int) -> ApiError:
    """A list at a version that is not reached yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return ApiError(504, "Timeout", message, details)


def not_acceptable(offered: Sequence[str]) -> ApiError:
    message = "only the following media types are accepted: " + ", ".join(offered)
    return ApiError(406, "NotAcceptable", message)


def expired(message: str, metadata: Json | None = None) -> ApiError:
    return ApiError(410, "Expired", message, metadata=metadata or {})


def from_code(code: int, message: str, headers: dict[str, str]) -> ApiError:
    """A scripted failure with the reason that belongs to its code."""
    seconds = headers.get("Retry-After", "")
    details = {"retryAfterSeconds": int(seconds)} if seconds.isdigit() else None
    return ApiError(code, _REASONS.get(code, ""), message, details, headers)


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def _qualified(name: str, group: str) -> str:
    return f"{name}.{group}" if group else name


def _details(group: str, kind: str, name: str) -> Json:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}
