"""What the sidecar does next for one VolumeSnapshotContent. Pure: every rule is an expression here.

`snapshotter.sidecar.content` carries the actions out; `snapshotter.plan.status` says what is then recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from snapshotter import names
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.plan.create import prepare
from snapshotter.plan.lifecycle import (
    Attempted,
    ClearError,
    Lane,
    Plan,
    Refuse,
    Release,
    Settle,
    Step,
    Terms,
    Unmark,
    Wait,
    WithoutDriver,
    begins_to_wait,
    goes_with_content,
    letting_go,
    may_delete,
    resting,
    usable,
    waits_for_controller,
    without_work,
    would_be_forgotten,
)
from snapshotter.plan.secrets import Problem, SecretRef, list_secret, secret_from_annotations


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


Action = CreateSnapshot | CheckSnapshot | TrustSnapshot | DeleteSnapshot | WithoutDriver


def next_action(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    """What to do for a content whose class, if it is known, is this one."""
    if (idle := without_work(content, terms)) is not None:
        return idle
    if content.marked_as_being_created and content.handle is not None:
        # Also before a deletion: once the handle is cleared, the mark would say that a cut has no answer yet.
        return Unmark()
    if may_delete(content):
        return _delete_or_release(content)
    if content.ready:
        return resting(content)
    if exists_on_storage(content):
        return _check(content, snapshot_class, terms)
    if content.is_group_member:
        # The group was cut; whoever made this content records the member's handle in it.
        return Wait(waits_for_controller(content))
    if would_be_forgotten(content):
        return Wait(waits_for_controller(content))
    # CreateSnapshot is idempotent, and calling it again is how CSI polls a cut in progress.
    return _create(content, snapshot_class, terms)


def exists_on_storage(content: Content) -> bool:
    """Whether the snapshot was made by others, or with a group, and so is looked up and never created."""
    return content.imported_handle is not None or (
        content.is_group_member and content.has_group_handle and content.handle is not None
    )


def worth_a_look(old: Content | None, new: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> bool:
    """Whether a change by somebody else makes the content due now: it must change what would be done.

    `snapshot_class` is the class of the new one; which class was the old one's is not asked for.
    """
    if new.spec.driver != terms.driver:
        return False
    if old is None or old.metadata.uid != new.metadata.uid:
        return True
    after = next_action(new, snapshot_class, terms)
    if old.class_name != new.class_name:
        return not isinstance(after, Settle)
    return next_action(old, snapshot_class, terms) != after or begins_to_wait(old, new)


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


def attempted(content: Content, action: Action) -> Attempted:
    """What an action attempts."""
    match action:
        case CreateSnapshot() | Refuse(step=Step.CREATE) if content.handle is None:
            return Attempted(f'CreateSnapshot of volume "{content.volume}"', names.CREATION_FAILED)
        case DeleteSnapshot() | Refuse(step=Step.DELETE):
            return Attempted(f'DeleteSnapshot of snapshot "{content.handle}"', names.DELETE_FAILED)
        case Release():
            return Attempted("removal of our finalizer", names.DELETE_FAILED)
        case _:
            handle = content.handle or content.imported_handle
            return Attempted(f'check of snapshot "{handle}"', names.CHECK_FAILED)


def secret_of(action: Action) -> SecretRef | None:
    """The Secret whose values go with an action's call."""
    return action.secret if isinstance(action, CreateSnapshot | CheckSnapshot | DeleteSnapshot) else None


def is_pending(content: Content, action: Action) -> bool:
    """Whether the snapshot is made, and the action only asks whether it is ready by now."""
    return isinstance(action, CheckSnapshot | CreateSnapshot) and content.handle is not None


def _delete_or_release(content: Content) -> Action:
    # A member of a group is deleted only with its group.
    if not goes_with_content(content) or content.is_group_member or content.has_group_handle:
        return letting_go(content)
    secret = secret_from_annotations(content)
    if isinstance(secret, Problem):
        return Refuse(Step.DELETE, secret.text)
    return DeleteSnapshot(content.handle or "", secret)


def _check(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    handle = content.handle or content.imported_handle or ""
    if content.class_name is None:
        secret = secret_from_annotations(content) if content.has_group_handle else None
    else:
        parameters = usable(content, snapshot_class, terms)
        secret = parameters if isinstance(parameters, Problem) else list_secret(parameters, content)
    if isinstance(secret, Problem):
        return Refuse(Step.CHECK, secret.text)
    if terms.capabilities.can_look_up:
        return CheckSnapshot(handle, secret)
    if content.is_group_member:
        # Whether it is ready only its group knows, and that is told through the group's content.
        return Wait(waits_for_controller(content))
    return TrustSnapshot(handle)


def _create(content: Content, snapshot_class: SnapshotClass | None, terms: Terms) -> Action:
    prepared = prepare(content, snapshot_class, terms)
    if isinstance(prepared, Refuse):
        return prepared
    return CreateSnapshot(
        prepared.name, content.volume or "", prepared.secret, prepared.parameters, prepared.without_class
    )


PLAN: Final[Plan[Content, SnapshotClass, Action]] = Plan(
    next_action=next_action,
    worth_a_look=worth_a_look,
    lane=lane,
    is_pending=is_pending,
    attempted=attempted,
    secret_of=secret_of,
)
