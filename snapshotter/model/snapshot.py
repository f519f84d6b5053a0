"""What a CSI driver answers: snapshots, capabilities, errors."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as the driver describes it. None: the driver did not say."""

    handle: str
    ready: bool
    volume: str | None = None
    size_bytes: int | None = None
    created_at_ns: int | None = None
    group_handle: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Snapshots of several volumes, cut at one instant. None: the driver did not say."""

    handle: str
    ready: bool
    members: tuple[Snapshot, ...]
    created_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What of the driver's services matters to snapshots."""

    create_delete_snapshot: bool = False
    list_snapshots: bool = False
    get_snapshot: bool = False
    groups: bool = False
    """Creates, deletes and looks up group snapshots."""

    @property
    def can_look_up(self) -> bool:
        return self.list_snapshots or self.get_snapshot


class Code(StrEnum):
    """The canonical status codes of gRPC, spelled as upstream's metrics and messages spell them."""

    OK = "OK"
    CANCELED = "Canceled"
    UNKNOWN = "Unknown"
    INVALID_ARGUMENT = "InvalidArgument"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    PERMISSION_DENIED = "PermissionDenied"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    FAILED_PRECONDITION = "FailedPrecondition"
    ABORTED = "Aborted"
    OUT_OF_RANGE = "OutOfRange"
    UNIMPLEMENTED = "Unimplemented"
    INTERNAL = "Internal"
    UNAVAILABLE = "Unavailable"
    DATA_LOSS = "DataLoss"
    UNAUTHENTICATED = "Unauthenticated"


# After these the driver may still be at work, or may have finished it without our hearing of it
# (CSI specification, "Error Scheme": the caller repeats the call to find out).
OUTCOME_UNKNOWN = frozenset(
    {
        Code.CANCELED,
        Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED,
        Code.ABORTED,
        Code.UNAVAILABLE,
    }
)


class CsiError(Exception):
    """A call to the driver that did not give what it should.

    `final`: the driver is certainly not at it any more and has made nothing.
    """

    def __init__(self, code: Code, text: str, *, final: bool | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.final = code not in OUTCOME_UNKNOWN if final is None else final


class BadAnswer(CsiError):
    """The driver said OK and then something that cannot be.

    Never final: it may well have made a snapshot, so the call is repeated until the answer makes sense.
    """

    def __init__(self, text: str) -> None:
        super().__init__(Code.OK, text, final=False)

    def __str__(self) -> str:
        return self.text


class Stalled(CsiError):
    """The driver takes nothing from its socket: the request could not even be written in the time of the call."""

    def __init__(self) -> None:
        super().__init__(Code.DEADLINE_EXCEEDED, "the driver does not read from its socket")


class DriverAway(CsiError):
    """There is no connection to the driver, or another driver answers: the call was not sent."""

    def __init__(self, text: str) -> None:
        super().__init__(Code.UNAVAILABLE, text)
