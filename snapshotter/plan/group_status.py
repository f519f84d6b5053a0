"""What is recorded in a group content's status: changes of single keys, or None for no change."""

from datetime import UTC, datetime

from snapshotter.model.group_content import GroupContent, MemberInfo
from snapshotter.model.snapshot import GroupSnapshot, Snapshot
from snapshotter.plan.status import StatusPatch, nanoseconds, rfc3339


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
    present = {
        "volumeGroupSnapshotHandle": status.volume_group_snapshot_handle,
        "readyToUse": status.ready_to_use,
        "creationTime": status.creation_time,
        "error": status.error,
    }
    return {key: None for key, value in present.items() if value is not None} or None


def _members(content: GroupContent, group: GroupSnapshot, now: datetime) -> tuple[MemberInfo, ...]:
    """The members in the order in which the content names them, each with what was known of it before."""
    known = {info.snapshot_handle: info for info in content.status.volume_snapshot_info_list}
    order = {name: place for place, name in enumerate(content.volumes or content.imported_members)}

    def place(member: Snapshot) -> int:
        return order.get(member.volume if content.volumes and member.volume else member.handle, len(order))

    return tuple(
        _member(known.get(member.handle, MemberInfo()), member, now) for member in sorted(group.members, key=place)
    )


def _member(known: MemberInfo, member: Snapshot, now: datetime) -> MemberInfo:
    return MemberInfo(
        volume_handle=known.volume_handle or member.volume,
        snapshot_handle=member.handle,
        creation_time=known.creation_time or member.created_at_ns or nanoseconds(now),
        ready_to_use=member.ready,
        restore_size=known.restore_size if member.size_bytes is None else member.size_bytes,
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
