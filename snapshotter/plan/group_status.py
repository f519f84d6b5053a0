"""What is recorded in a group content's status: changes of single keys, or None for no change."""

from datetime import UTC, datetime

from snapshotter.model.group_content import GroupContent, MemberInfo
from snapshotter.model.snapshot import GroupSnapshot, Snapshot
from snapshotter.plan.quantities import possible
from snapshotter.plan.status import StatusPatch, nanoseconds, removal, rfc3339


def recorded(content: GroupContent, group: GroupSnapshot, now: datetime) -> StatusPatch | None:
    """A driver's answer, folded into the status.

    Handle and creation time are set once, for the group and for each member. The members' readiness and sizes follow
    the driver until the group is ready, and the group is ready only when all of its members are.
    """
    status = content.status
    ready = group.ready and all(member.ready for member in group.members)
    members = _members(content, group, now)
    patch: dict[str, object] = {}
    if content.handle is None:
        patch["volumeGroupSnapshotHandle"] = group.handle
    if status.creation_time is None:
        patch["creationTime"] = rfc3339(_time(group.created_at_ns) or now)
    if members != status.volume_snapshot_info_list:
        patch["volumeSnapshotInfoList"] = [_entry(member) for member in members]
    if status.ready_to_use is not ready:
        patch["readyToUse"] = ready
    if status.error is not None:
        patch["error"] = None
    return patch or None


def cleared(content: GroupContent) -> StatusPatch | None:
    """The status after the storage has deleted the group. The members stay: others may still look them up there."""
    status = content.status
    return removal(
        volumeGroupSnapshotHandle=status.volume_group_snapshot_handle,
        readyToUse=status.ready_to_use,
        creationTime=status.creation_time,
        error=status.error,
    )


def _members(content: GroupContent, group: GroupSnapshot, now: datetime) -> tuple[MemberInfo, ...]:
    """The members in the order in which the content names them, each with what was known of it before.

    A cut names volumes, so a member is known by its volume there; an import names snapshots.
    """
    cut = bool(content.volumes)
    # Without a handle the list is what was left of a group that is deleted.
    listed = () if content.handle is None else content.status.volume_snapshot_info_list
    known = {info.volume_handle if cut else info.snapshot_handle: info for info in listed}
    order = {name: place for place, name in enumerate(content.volumes or content.imported_members)}
    # All members are of one instant: that of the group, where the driver gives them none.
    cut_at_ns = group.created_at_ns or nanoseconds(now)

    def key(member: Snapshot) -> str:
        return (member.volume if cut else None) or member.handle

    return tuple(
        _member(known.get(key(member), MemberInfo()), member, cut_at_ns)
        for member in sorted(group.members, key=lambda member: order.get(key(member), len(order)))
    )


def _member(known: MemberInfo, member: Snapshot, cut_at_ns: int) -> MemberInfo:
    return MemberInfo(
        volume_handle=known.volume_handle or member.volume,
        snapshot_handle=known.snapshot_handle or member.handle,
        creation_time=known.creation_time or member.created_at_ns or cut_at_ns,
        ready_to_use=member.ready,
        restore_size=possible(known.restore_size) if member.size_bytes is None else member.size_bytes,
    )


def _entry(member: MemberInfo) -> dict[str, object]:
    values = {
        "volumeHandle": member.volume_handle,
        "snapshotHandle": member.snapshot_handle,
        "creationTime": member.creation_time,
        "readyToUse": member.ready_to_use,
        "restoreSize": member.restore_size,
    }
    return {key: value for key, value in values.items() if value is not None}


def _time(time_ns: int | None) -> datetime | None:
    return None if time_ns is None else datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
