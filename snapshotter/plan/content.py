"""What the sidecar does next for one VolumeSnapshotContent. Pure: every rule is an expression here.

`snapshotter.sidecar.content` carries the actions out; `snapshotter.plan.status` says what is then recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.snapshot import Capabilities
from snapshotter.plan.create import Naming, driver_parameters, extra_metadata, snapshot_name
from snapshotter.plan.secrets import Problem, SecretRef, list_secret, secret_from_annotations


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every content alike: the driver beside us and what it can do, and our flags."""

    driver: str
    capabilities: Capabilities
    naming: Naming
    extra_create_metadata: bool = False


class Step(StrEnum):
    """What is being attempted; named in messages, and the reason of an event follows from it."""

    CREATE = "CreateSnapshot"
    CHECK = "check"
    DELETE = "DeleteSnapshot"


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """Cut a volume, or ask again for the snapshot that we are cutting."""

    name: str
    volume: str
    secret: SecretRef | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    without_class: str | None = None
    """Why the class is of no use: the call only settles whether there is anything to delete."""


@dataclass(frozen=True, slots=True)
class CheckSnapshot:
    """Look up a snapshot that exists."""

    handle: str
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class TrustSnapshot:
    """Take an imported snapshot as ready: this driver has no way to look one up."""

    handle: str


@dataclass(frozen=True, slots=True)
class DeleteSnapshot:
    handle: str
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Let the API server remove the object: drop our finalizer."""


@dataclass(frozen=True, slots=True)
class Unmark:
    """Remove a being-created mark that a crash or a failed write has left behind."""


@dataclass(frozen=True, slots=True)
class ClearError:
    """Remove an error that a late write has left on a snapshot that is ready."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """As the objects are, the step cannot be taken; say why, and look again later."""

    step: Step
    problem: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody changes something. `blocker`: what a requested deletion waits for."""

    blocker: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """All is as it should be."""


Action = (
    CreateSnapshot
    | CheckSnapshot
    | TrustSnapshot
    | DeleteSnapshot
    | Release
    | Unmark
    | ClearError
    | Refuse
    | Wait
    | Settle
)


class Lane(StrEnum):
    """Actions that share workers. None of the lanes waits for another."""

    CREATE = "create"
    CHECK = "check"
    DELETE = "delete"
    WRITE = "write"
    """What needs the API server alone, and so never waits for a driver that hangs."""


def next_action(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    """What to do for a content whose class, if it is known, is this one."""
    if not is_ours(content, terms.driver):
        return Wait()
    if content.marked_as_being_created and content.handle is not None:
        # Also before a deletion: once the handle is cleared, the mark would say that a cut has no answer yet.
        return Unmark()
    if may_delete(content):
        return _delete_or_release(content)
    if content.ready and content.deleting:
        return Wait(waits_for_controller(content))
    if content.ready:
        return Settle() if content.status.error is None else ClearError()
    if exists_on_storage(content):
        return _check(content, snapshot_class, terms)
    if content.is_group_member:
        # The group was cut; whoever made this content records the member's handle in it.
        return Wait(waits_for_controller(content))
    if content.deleting and not (content.protected or content.marked_as_being_created):
        # Nothing would keep the object until its snapshot is known, and no finalizer can be added any more.
        return Wait(waits_for_controller(content))
    # CreateSnapshot is idempotent, and calling it again is how CSI polls a cut in progress.
    return _create(content, snapshot_class, terms)


def is_ours(content: Content, driver: str) -> bool:
    """Whether the content is for this driver and says what to do."""
    return content.spec.driver == driver and (content.volume is not None or content.imported_handle is not None)


def may_delete(content: Content) -> bool:
    """Whether the content may go, with or without its snapshot.

    While a cut has no answer, its snapshot could not be found again: the content stays until there is one.
    """
    if not content.deleting:
        return False
    if _import_never_bound(content):
        return True
    return content.marked_as_being_deleted and not _cut_without_answer(content)


def waits_for_controller(content: Content) -> str | None:
    """What a deletion that somebody asked for waits for, when it is the controller's mark."""
    if not content.deleting or content.marked_as_being_deleted or _import_never_bound(content):
        return None
    ref = content.spec.volume_snapshot_ref
    return (
        f"VolumeSnapshot {ref.namespace}/{ref.name} has not been deleted, or the snapshot-controller has not "
        "yet marked this content as being deleted"
    )


def waits_for_cut(content: Content) -> bool:
    """Whether only the answer to a CreateSnapshot holds a deletion back."""
    return content.deleting and content.marked_as_being_deleted and _cut_without_answer(content)


def exists_on_storage(content: Content) -> bool:
    """Whether the snapshot was made by others, or with a group, and so is looked up and never created."""
    return content.imported_handle is not None or (
        content.is_group_member and content.has_group_handle and content.handle is not None
    )


def worth_a_look(old: Content | None, new: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> bool:
    """Whether a change by somebody else makes the content due now: it must change what would be done.

    `snapshot_class` is the class of the new one; which class was the old one's is not asked for.
    """
    if not is_ours(new, terms.driver):
        return False
    if old is None or old.metadata.uid != new.metadata.uid:
        return True
    after = next_action(new, snapshot_class, terms)
    if old.class_name != new.class_name:
        return not isinstance(after, Settle)
    return (
        next_action(old, snapshot_class, terms) != after
        # A deletion that begins is told of, whatever it waits for.
        or waits_for_cut(old) != waits_for_cut(new)
        or waits_for_controller(old) != waits_for_controller(new)
    )


def lane(content: Content, action: Action) -> Lane:
    """Where the next action waits for a worker. Asking again for a snapshot that is cut is a check."""
    match action:
        case CreateSnapshot():
            return Lane.CREATE if content.handle is None else Lane.CHECK
        case CheckSnapshot():
            return Lane.CHECK
        case DeleteSnapshot():
            return Lane.DELETE
        case TrustSnapshot() | Release() | Unmark() | ClearError() | Refuse() | Wait() | Settle():
            return Lane.WRITE
        case _:
            assert_never(action)


def is_pending(content: Content, action: Action) -> bool:
    """Whether the snapshot is made, and the action only asks whether it is ready by now."""
    return isinstance(action, CheckSnapshot | CreateSnapshot) and content.handle is not None


def _cut_without_answer(content: Content) -> bool:
    return (
        content.marked_as_being_created
        and content.handle is None
        and content.volume is not None
        and not content.is_group_member
    )


def _import_never_bound(content: Content) -> bool:
    return content.imported_handle is not None and not content.spec.volume_snapshot_ref.uid


def _delete_or_release(content: Content) -> Action:
    # A snapshot is deleted only on the word of the controller, and a member of a group only with its group.
    if (
        content.spec.deletion_policy == "Delete"
        and content.marked_as_being_deleted
        and content.handle is not None
        and not content.is_group_member
        and not content.has_group_handle
    ):
        secret = secret_from_annotations(content.metadata.annotations)
        if isinstance(secret, Problem):
            return Refuse(Step.DELETE, secret.text)
        return DeleteSnapshot(content.handle, secret)
    return Release() if content.protected else Settle()


def _check(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    handle = content.handle or content.imported_handle or ""
    if content.class_name is None:
        secret = secret_from_annotations(content.metadata.annotations) if content.has_group_handle else None
    elif snapshot_class is None:
        return Refuse(Step.CHECK, _missing_class(content.class_name))
    elif snapshot_class.driver != terms.driver:
        return Refuse(Step.CHECK, _foreign_class(snapshot_class, terms))
    else:
        secret = list_secret(snapshot_class.parameters, content)
    if isinstance(secret, Problem):
        return Refuse(Step.CHECK, secret.text)
    if terms.capabilities.can_look_up:
        return CheckSnapshot(handle, secret)
    if content.is_group_member:
        # Whether it is ready only its group knows, and that is told through the group's content.
        return Wait(waits_for_controller(content))
    return TrustSnapshot(handle)


def _create(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    if content.class_name is None:
        return Refuse(Step.CREATE, "spec.volumeSnapshotClassName is not set, and creating needs a class")
    secret = secret_from_annotations(content.metadata.annotations)
    if isinstance(secret, Problem):
        return Refuse(Step.CREATE, secret.text)
    name = snapshot_name(terms.naming, content)
    if isinstance(name, Problem):
        return Refuse(Step.CREATE, name.text)
    volume = content.volume or ""
    parameters = _class_parameters(content.class_name, snapshot_class, terms)
    if isinstance(parameters, Problem):
        if waits_for_cut(content):
            return CreateSnapshot(name, volume, secret, without_class=parameters.text)
        return Refuse(Step.CREATE, parameters.text)
    if terms.extra_create_metadata:
        parameters |= extra_metadata(content)
    return CreateSnapshot(name, volume, secret, parameters)


def _foreign_class(snapshot_class: SnapshotClass, terms: Terms) -> str:
    return (
        f'VolumeSnapshotClass "{snapshot_class.name}" is for driver "{snapshot_class.driver}", '
        f'this content for "{terms.driver}"'
    )


def _class_parameters(name: str, snapshot_class: SnapshotClass | None, terms: Terms) -> dict[str, str] | Problem:
    if snapshot_class is None:
        return Problem(_missing_class(name))
    if snapshot_class.driver != terms.driver:
        return Problem(_foreign_class(snapshot_class, terms))
    return driver_parameters(snapshot_class.parameters)


def _missing_class(name: str) -> str:
    return f'VolumeSnapshotClass "{name}" does not exist'
