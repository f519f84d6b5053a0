"""What the API server's refusals mean to us, by a table of HTTP statuses."""

from typing import ClassVar, Final

import msgspec

from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.plan.failure import LONGEST_TEXT, one_line
from snapshotter.plan.permissions import Access
from snapshotter.runtime.workers import ReconcileError


class ApiError(ReconcileError):
    """A request that the API server did not carry out, or of which no answer came.

    `transient`: the same request may well work a little later.
    """

    transient: ClassVar[bool] = False

    def __init__(self, text: str) -> None:
        # A request names what an object names, and nothing bounds that.
        super().__init__(one_line(text, LONGEST_TEXT))


class BadRequest(ApiError):
    """400: such as a field selector that the server does not know."""


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""

    transient = True


class Forbidden(ApiError):
    """403: the role lacks a permission, or admission refuses; the message says which."""

    missing: Access | None = None
    """What the role does not give; None: there is another reason, such as the word of admission."""


class NamespaceEnding(Forbidden):
    """403: nothing is made in a namespace that is being deleted."""


class NotFound(ApiError):
    """404: there is no such object, or no such kind."""


class Conflict(ApiError):
    """The object is not as the request supposed (409, or a failed test of a JSON patch): read it anew."""


class AlreadyExists(Conflict):
    """409: an object of this name is there; the message names it."""


class Gone(ApiError):
    """410: the version is too old to list or watch from."""


class Invalid(ApiError):
    """422: what would be written breaks the schema or a rule."""


class TooManyRequests(ApiError):
    """429: of a request that is no watch, still after waiting as the server asked."""

    transient = True
    retry_after: float | None = None
    """Seconds after which the server wants to be asked again, if it says so."""


class ServerTrouble(ApiError):
    """5xx: the server could not do it now."""

    transient = True


class Unreachable(ApiError):
    """No answer came. Whether the request was carried out is not known."""

    transient = True


class Malformed(ApiError):
    """The answer is not what the API promises."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class _Cause(msgspec.Struct, frozen=True):
    field: str = ""
    reason: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Status(msgspec.Struct, frozen=True):
    """The part of a `Status` body that is read."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details = _Details()


_statuses: Final = Reader(_Status)


def api_error(status: int, body: bytes, what: str) -> ApiError:
    """The error for an HTTP status and the `Status` object in its body; `what` was attempted."""
    try:
        answer = _statuses.read(body)
    except Unreadable:
        answer = _Status(message=body[:200].decode(errors="replace"))
    kind = _BY_STATUS.get(status, ServerTrouble if status >= 500 else ApiError)
    if kind is Invalid and _is_failed_precondition(answer):
        kind = Conflict
    if kind is Conflict and answer.reason == "AlreadyExists":
        kind = AlreadyExists
    if kind is Forbidden and any(cause.reason == "NamespaceTerminating" for cause in answer.details.causes):
        kind = NamespaceEnding
    return kind(f"{what}: {status}: {answer.message}")


def _is_failed_precondition(answer: _Status) -> bool:
    """Some preconditions fail with 422: a uid that is not the object's, and the tests of a JSON patch.

    The former names its field; the latter is the one refusal of a patch that names no field at all.
    """
    fields = [cause.field for cause in answer.details.causes]
    return not fields or "metadata.uid" in fields
