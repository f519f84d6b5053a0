"""What the sidecar does next for one VolumeGroupSnapshotContent. What both kinds share is in `lifecycle`.

`snapshotter.sidecar.group_content` carries the actions out; `snapshotter.plan.group_status` says what is recorded.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from snapshotter import names
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
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
from snapshotter.plan.secrets import Problem, SecretRef, group_get_secret, secret_from_annotations

MOST_NAMED = 3
"""Volumes of a group that a message names; the others are counted, so that an event can hold the message."""


@dataclass(frozen=True, slots=True)
class CreateGroupSnapshot:
    """Cut volumes at one instant, or ask again for the group that we are cutting."""

    name: str
    volumes: tuple[str, ...]
    secret: SecretRef | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    without_class: str | None = None
    """Why the class is of no use: the call only settles whether there is anything to delete."""


@dataclass(frozen=True, slots=True)
class CheckGroupSnapshot:
    """Look up a group that others have made."""

    handle: str
    members: tuple[str, ...]
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class DeleteGroupSnapshot:
    """Delete a group with all of its members, as far as these are known."""

    handle: str
    members: tuple[str, ...]
    secret: SecretRef | None = None


Action = CreateGroupSnapshot | CheckGroupSnapshot | DeleteGroupSnapshot | WithoutDriver


def next_action(content: GroupContent, group_class: GroupSnapshotClass | None, terms: Terms) -> Action:
    """What to do for a group content whose class, if it is known, is this one."""
    if (idle := without_work(content, terms)) is not None:
        return idle
    if content.marked_as_being_created and content.handle is not None:
        # Also before a deletion: once the handle is cleared, the mark would say that a cut has no answer yet.
        return Unmark()
    if may_delete(content):
        return _delete_or_release(content, terms)
    if content.ready:
        return resting(content)
    if content.imported_handle is not None:
        return _check(content, group_class, terms)
    if would_be_forgotten(content):
        return Wait(waits_for_controller(content))
    # CreateVolumeGroupSnapshot is idempotent, and calling it again is how CSI polls a cut in progress.
    return _create(content, group_class, terms)


def worth_a_look(
    old: GroupContent | None, new: GroupContent, group_class: GroupSnapshotClass | None, terms: Terms
) -> bool:
    """Whether a change by somebody else makes the content due now. Class and driver of a group never change."""
    if new.spec.driver != terms.driver:
        return False
    if old is None or old.metadata.uid != new.metadata.uid:
        return True
    before, after = (next_action(content, group_class, terms) for content in (old, new))
    return before != after or begins_to_wait(old, new)


def lane(content: GroupContent, action: Action) -> Lane:
    """Where the next action waits for a worker. Asking again for a group that is cut is a check."""
    match action:
        case CreateGroupSnapshot():
            return Lane.CREATE if content.handle is None else Lane.CHECK
        case CheckGroupSnapshot():
            return Lane.CHECK
        case DeleteGroupSnapshot():
            return Lane.DELETE
        case Release() | Unmark() | ClearError() | Refuse() | Wait() | Settle():
            return Lane.WRITE
        case _:
            assert_never(action)


def is_pending(content: GroupContent, action: Action) -> bool:
    """Whether the group is made, and the action only asks whether it is ready by now."""
    return isinstance(action, CheckGroupSnapshot | CreateGroupSnapshot) and content.handle is not None


def attempted(content: GroupContent, action: Action) -> Attempted:
    """What an action attempts."""
    match action:
        case CreateGroupSnapshot() | Refuse(step=Step.CREATE) if content.handle is None:
            return Attempted(
                f"CreateVolumeGroupSnapshot of volumes {_listed(content.volumes)}", names.GROUP_CREATION_FAILED
            )
        case DeleteGroupSnapshot() | Refuse(step=Step.DELETE):
            return Attempted(
                f'DeleteVolumeGroupSnapshot of group snapshot "{content.handle}"', names.GROUP_DELETE_FAILED
            )
        case Release():
            return Attempted("removal of our finalizer", names.GROUP_DELETE_FAILED)
        case _:
            handle = content.handle or content.imported_handle
            return Attempted(f'check of group snapshot "{handle}"', names.GROUP_CHECK_FAILED)


def secret_of(action: Action) -> SecretRef | None:
    """The Secret whose values go with an action's call."""
    calls = CreateGroupSnapshot | CheckGroupSnapshot | DeleteGroupSnapshot
    return action.secret if isinstance(action, calls) else None


def _delete_or_release(content: GroupContent, terms: Terms) -> Action:
    if not goes_with_content(content):
        return letting_go(content)
    if (problem := _cannot(terms)) is not None:
        return Refuse(Step.DELETE, problem)
    secret = secret_from_annotations(content)
    if isinstance(secret, Problem):
        return Refuse(Step.DELETE, secret.text)
    return DeleteGroupSnapshot(content.handle or "", content.members, secret)


def _check(content: GroupContent, group_class: GroupSnapshotClass | None, terms: Terms) -> Action:
    if (problem := _cannot(terms)) is not None:
        return Refuse(Step.CHECK, problem)
    if not content.imported_members:
        return Refuse(Step.CHECK, "spec.source.groupSnapshotHandles.volumeSnapshotHandles is empty")
    secret: SecretRef | Problem | None = None
    if content.class_name is not None:
        parameters = usable(content, group_class, terms)
        secret = parameters if isinstance(parameters, Problem) else group_get_secret(parameters, content)
    if isinstance(secret, Problem):
        return Refuse(Step.CHECK, secret.text)
    return CheckGroupSnapshot(content.handle or content.imported_handle or "", content.imported_members, secret)


def _create(content: GroupContent, group_class: GroupSnapshotClass | None, terms: Terms) -> Action:
    if (problem := _cannot(terms)) is not None:
        return Refuse(Step.CREATE, problem)
    if doubled := [volume for volume, count in Counter(content.volumes).items() if count > 1]:
        # The driver's answer could not be told from one that has a member twice.
        return Refuse(Step.CREATE, f"spec.source.volumeHandles has more than once: {_listed(tuple(doubled))}")
    prepared = prepare(content, group_class, terms)
    if isinstance(prepared, Refuse):
        return prepared
    return CreateGroupSnapshot(
        prepared.name, content.volumes, prepared.secret, prepared.parameters, prepared.without_class
    )


def _cannot(terms: Terms) -> str | None:
    return None if terms.capabilities.groups else f'CSI driver "{terms.driver}" does not support group snapshots'


def _listed(volumes: tuple[str, ...]) -> str:
    named = ", ".join(f'"{volume}"' for volume in volumes[:MOST_NAMED])
    more = len(volumes) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


PLAN: Final[Plan[GroupContent, GroupSnapshotClass, Action]] = Plan(
    next_action=next_action,
    worth_a_look=worth_a_look,
    lane=lane,
    is_pending=is_pending,
    attempted=attempted,
    secret_of=secret_of,
)
