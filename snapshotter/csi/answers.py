"""The driver's answers as our types; what cannot be is refused with a clear text and never trusted."""

from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from csi_proto import csi_pb2
from snapshotter.model.snapshot import BadAnswer, Capabilities, GroupSnapshot, Snapshot

log = structlog.get_logger(__name__)

_INT64_MAX = 2**63 - 1

LONGEST_ID = 4096
"""Characters of an id, 32 times what CSI allows (CSI specification, "Size Limits"): an object must have room for it."""
MOST_SHOWN = 5
"""Names that a complaint about an answer shows."""


def snapshot_from(message: csi_pb2.Snapshot, *, call: str, volume: str | None = None) -> Snapshot:
    """A snapshot; raises `BadAnswer` if it has no id, or is one of another volume than the one asked for."""
    if not message.snapshot_id:
        raise BadAnswer(f"the driver answered {call} with a snapshot without an id")
    _require_short(message.snapshot_id, "snapshot", call)
    _require_short(message.group_snapshot_id, "group", call)
    if volume is not None and message.source_volume_id and message.source_volume_id != volume:
        raise BadAnswer(
            f'the driver answered {call} with snapshot "{message.snapshot_id}" of volume '
            f'"{message.source_volume_id}" instead of "{volume}"'
        )
    return Snapshot(
        handle=message.snapshot_id,
        ready=message.ready_to_use,
        volume=message.source_volume_id or None,
        size_bytes=_size(message),
        created_at_ns=_creation_time(message),
        group_handle=message.group_snapshot_id or None,
    )


def group_from(
    message: csi_pb2.VolumeGroupSnapshot,
    *,
    call: str,
    volumes: Sequence[str] = (),
    members: Sequence[str] = (),
) -> GroupSnapshot:
    """A group, of which the volumes or the members that were asked for are known.

    Raises `BadAnswer` for ids that are missing, members that are missing, doubled or foreign, and for members that say
    that they belong to another group.
    """
    if not message.group_snapshot_id:
        raise BadAnswer(f"the driver answered {call} with a group without an id")
    _require_short(message.group_snapshot_id, "group", call)
    found = tuple(snapshot_from(member, call=call) for member in message.snapshots)
    for member in found:
        if member.group_handle not in (None, message.group_snapshot_id):
            raise BadAnswer(
                f'the driver answered {call} with group "{message.group_snapshot_id}" and a member "{member.handle}" '
                f'of group "{member.group_handle}"'
            )
    handles = [member.handle for member in found]
    _require_same("snapshots", handles, members or handles, call)
    if volumes:
        _require_same("volumes", [member.volume or "" for member in found], volumes, call)
    return GroupSnapshot(
        handle=message.group_snapshot_id,
        ready=message.ready_to_use,
        members=found,
        created_at_ns=_creation_time(message),
    )


def _require_short(given: str, what: str, call: str) -> None:
    if len(given) > LONGEST_ID:
        raise BadAnswer(f"the driver answered {call} with a {what} whose id has {len(given)} characters")


def _require_same(what: str, given: Sequence[str], asked: Sequence[str], call: str) -> None:
    """Raise `BadAnswer` unless the answer holds exactly what was asked for, each once."""
    here, wanted = set(given), set(asked)
    wrong = {
        "without": [item for item in asked if item not in here],
        "with foreign": [item for item in dict.fromkeys(given) if item not in wanted],
        "with doubled": [item for item, count in Counter(given).items() if count > 1],
    }
    complaints = [f"{how} {what} {_few(items)}" for how, items in wrong.items() if items]
    if complaints:
        raise BadAnswer(f"the driver answered {call} {', '.join(complaints)}")


def _few(items: Sequence[str]) -> str:
    shown = ", ".join(f'"{item}"' for item in items[:MOST_SHOWN])
    return shown if len(items) <= MOST_SHOWN else f"{shown} and {len(items) - MOST_SHOWN} more"


def capabilities_from(answer: csi_pb2.ControllerGetCapabilitiesResponse) -> Capabilities:
    kinds = csi_pb2.ControllerServiceCapability.RPC
    announced = {entry.rpc.type for entry in answer.capabilities if entry.HasField("rpc")}
    return Capabilities(
        create_delete_snapshot=kinds.CREATE_DELETE_SNAPSHOT in announced,
        list_snapshots=kinds.LIST_SNAPSHOTS in announced,
        get_snapshot=kinds.GET_SNAPSHOT in announced,
    )


def has_groups(answer: csi_pb2.GroupControllerGetCapabilitiesResponse) -> bool:
    """Whether the driver creates, deletes and looks up group snapshots."""
    wanted = csi_pb2.GroupControllerServiceCapability.RPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT
    return any(entry.HasField("rpc") and entry.rpc.type == wanted for entry in answer.capabilities)


def entry_of(entries: Iterable[csi_pb2.ListSnapshotsResponse.Entry], handle: str) -> Snapshot | None:
    """The entry of a list that is about this snapshot: drivers have been seen that do not filter."""
    for entry in entries:
        if entry.snapshot.snapshot_id == handle:
            return snapshot_from(entry.snapshot, call="ListSnapshots")
    return None


def _size(message: csi_pb2.Snapshot) -> int | None:
    if message.size_bytes < 0:
        log.warning("driver gave a negative size", handle=message.snapshot_id, size_bytes=message.size_bytes)
        return None
    return message.size_bytes or None


def _creation_time(message: csi_pb2.Snapshot | csi_pb2.VolumeGroupSnapshot) -> int | None:
    """Nanoseconds since the epoch. Drivers that leave the time out often send the epoch itself."""
    if not message.HasField("creation_time"):
        return None
    time_ns = message.creation_time.seconds * 1_000_000_000 + message.creation_time.nanos
    return time_ns if 0 < time_ns <= _INT64_MAX else None
