"""What is done for a request of either kind, VolumeSnapshot or VolumeGroupSnapshot: the steps that both know.

`snapshotter.plan.snapshot` and `snapshotter.plan.group_snapshot` decide with these.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.plan.status import StatusPatch

DELETION_WAITS: Final = "the deletion waits: "
"""What the text about something that a deletion waits for begins with."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that says that something went well, sent once it is written."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Put our finalizers on the request, and the class that is used for it into its spec, in one write."""

    finalizers: tuple[str, ...] = ()
    class_name: str | None = None


@dataclass(frozen=True, slots=True)
class ProtectClaims:
    """Keep the claims that are about to be cut from being deleted."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseClaims:
    """Let claims go that nobody is cutting any more."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateContent:
    """Make the content from which the sidecar makes the snapshot."""

    body: Mapping[str, Any]
    claims: tuple[str, ...] = ()
    """The keys of the claims that must be protected at that moment."""
    driver: str = ""
    warning: str | None = None
    """Something about the content that its user should know."""

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class BindContent:
    """Write into a content that somebody has made which request it is for."""

    name: str
    uid: str
    class_name: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Write what is known into the request's status, and tell users what has come about."""

    change: StatusPatch
    events: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkContent:
    """Tell the sidecar that a content is being deleted by its user's wish."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteContent:
    """Ask for the content's deletion; the sidecar's finalizer keeps it until the storage has followed."""

    name: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let the request go: drop these finalizers."""

    finalizers: tuple[str, ...]
    missing: str | None = None
    """The content that was not found; it is asked for once more, since the request would forget it."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """As the objects are, the request cannot be served; say why in its status, and look again later."""

    reason: str | None
    """Of the event; None: there is none."""
    problem: str
    ready: bool | None = False
    """What becomes of readiness; None: it is left alone."""
    missing: str | None = None
    """The content that was not found; it is asked for once more before users are alarmed."""
    passing: bool = False
    """Whether it is likely to be over in a moment: users are told only if it lasts."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A requested deletion waits for others; users are told whom for."""

    blocker: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody changes something.

    `blocker`: what a requested deletion waits for, as long as nothing else says so; told when it takes long.
    """

    blocker: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """All is as it should be."""


RequestAction = (
    Prepare
    | ProtectClaims
    | ReleaseClaims
    | CreateContent
    | BindContent
    | Report
    | MarkContent
    | DeleteContent
    | Release
    | Refuse
    | Blocked
    | Wait
    | Settle
)
"""The actions that both kinds of requests have."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every request alike: our flags."""

    record_volume_mode: bool = True
    distributed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A step that cannot be taken, on its way to becoming a `Refuse`."""

    problem: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Reasons:
    """The event reasons of one kind of request."""

    class_missing: str
    no_default_class: str
    invalid: str
    finalizer_failed: str
    content_missing: str
    content_mismatch: str
    content_misbound: str
    bind_failed: str
    creation_failed: str
    content_post_failed: str
    status_failed: str
    content_delete_failed: str
    creating: str
    created: str
    became_ready: str


SINGLE_REASONS = Reasons(
    class_missing="GetSnapshotClassFailed",
    no_default_class="SetDefaultSnapshotClassFailed",
    invalid="SnapshotValidationError",
    finalizer_failed="SnapshotFinalizerError",
    content_missing="SnapshotContentMissing",
    content_mismatch="SnapshotContentMismatch",
    content_misbound="SnapshotContentMisbound",
    bind_failed="SnapshotBindFailed",
    creation_failed="SnapshotContentCreationFailed",
    content_post_failed="CreateSnapshotContentFailed",
    status_failed="SnapshotStatusUpdateFailed",
    content_delete_failed="SnapshotContentObjectDeleteError",
    creating="CreatingSnapshot",
    created="SnapshotCreated",
    became_ready="SnapshotReady",
)

GROUP_REASONS = Reasons(
    class_missing="GetGroupSnapshotClassFailed",
    no_default_class="SetDefaultGroupSnapshotClassFailed",
    invalid="GroupSnapshotValidationError",
    finalizer_failed="GroupSnapshotFinalizerError",
    content_missing="GroupSnapshotContentMissing",
    content_mismatch="GroupSnapshotContentMismatch",
    content_misbound="GroupSnapshotContentMisbound",
    bind_failed="GroupSnapshotBindFailed",
    creation_failed="GroupSnapshotContentCreationFailed",
    content_post_failed="CreateGroupSnapshotContentFailed",
    status_failed="GroupSnapshotStatusUpdateFailed",
    content_delete_failed="GroupSnapshotContentObjectDeleteError",
    creating="CreatingGroupSnapshot",
    created="GroupSnapshotCreated",
    became_ready="GroupSnapshotReady",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an action attempts, in words, and the reasons of what is told when the API server does not do it."""

    what: str
    event: str
    in_status: str | None = None
    """The reason of an error in the status; None: the event is enough."""


CLAIM_RELEASE_FAILED: Final = "ErrorPVCFinalizer"


def attempted(action: RequestAction, reasons: Reasons) -> Attempt:
    """What an action attempts that both kinds have."""
    match action:
        case Prepare() | Release():
            return Attempt("writing the finalizers", reasons.finalizer_failed)
        case ProtectClaims(keys):
            return Attempt(
                f"protecting PersistentVolumeClaim {_listed(keys)}", reasons.creation_failed, reasons.creation_failed
            )
        case ReleaseClaims(keys):
            return Attempt(f"letting PersistentVolumeClaim {_listed(keys)} go", CLAIM_RELEASE_FAILED)
        case CreateContent():
            what = f'creating content "{action.name}"'
            return Attempt(what, reasons.content_post_failed, reasons.creation_failed)
        case BindContent(name):
            return Attempt(f'binding content "{name}"', reasons.bind_failed, reasons.bind_failed)
        case MarkContent(name) | DeleteContent(name):
            return Attempt(f'deleting content "{name}"', reasons.content_delete_failed)
        case Report() | Refuse() | Blocked() | Wait() | Settle():
            return Attempt("writing the status", reasons.status_failed)
        case _:
            assert_never(action)


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def lacking(request: UserSnapshot, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the finalizers that the request does not have."""
    return tuple(name for name in wanted if name not in request.metadata.finalizers)


def present(request: UserSnapshot) -> tuple[str, ...]:
    """The finalizers of ours that the request has."""
    return tuple(name for name in request.keys.own_finalizers if name in request.metadata.finalizers)


def absent(trouble: str | None) -> str:
    """What to say of an object that is not known: that it is not there, or why it cannot be read."""
    return "does not exist" if trouble is None else f"cannot be read: {trouble}"


def was_told(request: UserSnapshot) -> bool:
    """Whether users rely on what the storage holds: they were told of a time, or that it is ready."""
    return request.cut or request.ready


def was_snatched(request: UserSnapshot) -> bool:
    """Whether a request that is gone was removed although our finalizers held it, before its content was seen to.

    An API server looks for finalizers when a deletion comes in. One that is put on while the deletion is at work is
    written, and goes with the object. So it happens to those that are deleted as soon as they are made, and before
    users were told of anything.
    """
    return request.held and not request.deleting and request.imported_name is None and not was_told(request)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labels and a remark about them."""

    labels: Mapping[str, str] = field(default_factory=dict)
    remark: str | None = None
