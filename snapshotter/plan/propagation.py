"""What a content's status says to the user who asked for it: changes of the request's status, and events."""

from datetime import UTC, datetime

from snapshotter.model.content import Content
from snapshotter.model.group_content import GroupContent
from snapshotter.model.lifecycle import AnyContent, StatusError
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.lifecycle import waits_for_cut
from snapshotter.plan.quantities import is_zero, possible, quantity
from snapshotter.plan.requests import DELETION_WAITS, GROUP_REASONS, SINGLE_REASONS, Reasons, Report, Told
from snapshotter.plan.status import rfc3339


def snapshot_report(snapshot: VolumeSnapshot, content: Content, group_name: str | None) -> Report | None:
    """What a VolumeSnapshot's status is to learn from its content; None when it knows.

    `group_name`: the group that the content's snapshot is a member of.
    """
    status = snapshot.status
    change = _shared(snapshot, content, time_of(content), ready=content.ready)
    size = possible(content.status.restore_size)
    if not snapshot.ready and size is not None and (status.restore_size is None or is_zero(status.restore_size)):
        written = quantity(size)
        if written != status.restore_size and not (size == 0 and status.restore_size is not None):
            change["restoreSize"] = written
    if group_name is not None and not status.volume_group_snapshot_name:
        change["volumeGroupSnapshotName"] = group_name
    return _report(snapshot, change, SINGLE_REASONS)


def group_report(group: VolumeGroupSnapshot, content: GroupContent, *, ready: bool) -> Report | None:
    """What a VolumeGroupSnapshot's status is to learn from its content; None when it knows.

    `ready`: whether the group and all its members are.
    """
    return _report(group, _shared(group, content, content.status.creation_time, ready=ready), GROUP_REASONS)


def waits_for_content(content: AnyContent) -> str | None:
    """What the deletion of a request waits for while its content is on its way out; None if its error says it."""
    if content.status.error is not None:
        return None
    called = f'{content.keys.snapshot}Content "{content.name}"'
    driver = f'CSI driver "{content.spec.driver}"'
    if waits_for_cut(content):
        return f"{driver} has not answered yet whether the snapshot of {called} was cut"
    if content.protected:
        return f"{driver}, or its csi-snapshotter, has not finished the deletion of {called}; see the events of that"
    return f"{called} is kept by the finalizers of others: {', '.join(content.metadata.finalizers)}"


def time_of(content: Content) -> str | None:
    """When a content's snapshot was cut, in the form of a request's status: whole seconds, the rest cut off."""
    created = content.status.creation_time
    return None if created is None else rfc3339(datetime.fromtimestamp(created // 1_000_000_000, UTC))


def _shared(request: UserSnapshot, content: AnyContent, created: str | None, *, ready: bool) -> dict[str, object]:
    """What requests of both kinds learn. A request that was ready once hears only of errors that are over."""
    status = request.status
    change: dict[str, object] = {}
    if request.bound_name is None:
        change[request.keys.bound_name] = content.name
    if status.creation_time is None and created is not None:
        change["creationTime"] = created
    if not request.ready and status.ready_to_use is not ready:
        change["readyToUse"] = ready
    error = content.status.error
    if error is None and _waits(request):
        return change
    if not _same(status.error, error) and (error is None or not request.ready or request.deleting):
        change["error"] = _written(error)
    return change


def _waits(request: UserSnapshot) -> bool:
    """Whether the status tells what a deletion waits for, which is not over when the content has no error."""
    error = request.status.error
    return request.deleting and error is not None and (error.message or "").startswith(DELETION_WAITS)


def _same(one: StatusError | None, other: StatusError | None) -> bool:
    """Whether two errors say the same; when they say it does not matter."""
    return (one is None and other is None) or (one is not None and other is not None and one.message == other.message)


def _written(error: StatusError | None) -> dict[str, object] | None:
    if error is None:
        return None
    return {key: value for key, value in (("message", error.message), ("time", error.time)) if value is not None}


def _report(request: UserSnapshot, change: dict[str, object], reasons: Reasons) -> Report | None:
    if not change:
        return None
    kind = request.keys.kind
    events = []
    if "creationTime" in change:
        events.append(Told(reasons.created, f"{kind} {request.key} was cut by the CSI driver"))
    if change.get("readyToUse") is True:
        events.append(Told(reasons.became_ready, f"{kind} {request.key} is ready to use"))
    return Report(change, tuple(events))
