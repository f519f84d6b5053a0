"""The driver's answers as our types; what cannot be is refused with a clear text and never trusted."""

from collections.abc import Iterable

import structlog

from csi_proto import csi_pb2
from snapshotter.model.snapshot import BadAnswer, Capabilities, Snapshot

log = structlog.get_logger(__name__)

_INT64_MAX = 2**63 - 1


def snapshot_from(message: csi_pb2.Snapshot, *, call: str, volume: str | None = None) -> Snapshot:
    """A snapshot; raises `BadAnswer` if it has no id, or is one of another volume than the one asked for."""
    if not message.snapshot_id:
        raise BadAnswer(f"the driver answered {call} with a snapshot without an id")
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


def capabilities_from(answer: csi_pb2.ControllerGetCapabilitiesResponse) -> Capabilities:
    kinds = csi_pb2.ControllerServiceCapability.RPC
    announced = {entry.rpc.type for entry in answer.capabilities if entry.HasField("rpc")}
    return Capabilities(
        create_delete_snapshot=kinds.CREATE_DELETE_SNAPSHOT in announced,
        list_snapshots=kinds.LIST_SNAPSHOTS in announced,
        get_snapshot=kinds.GET_SNAPSHOT in announced,
    )


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


def _creation_time(message: csi_pb2.Snapshot) -> int | None:
    """Nanoseconds since the epoch. Drivers that leave the time out often send the epoch itself."""
    if not message.HasField("creation_time"):
        return None
    time_ns = message.creation_time.seconds * 1_000_000_000 + message.creation_time.nanos
    return time_ns if 0 < time_ns <= _INT64_MAX else None
