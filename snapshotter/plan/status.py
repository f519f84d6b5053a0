"""What is recorded in a content's status: changes of single keys, or None for no change.

`None` for a key removes it; `snapshotter.plan.patches` makes the patch.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from snapshotter.model.content import Content
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.snapshot import Snapshot

StatusPatch = Mapping[str, object]


def recorded(content: Content, snapshot: Snapshot, now: datetime) -> StatusPatch | None:
    """A driver's answer, folded into the status.

    Handle, group handle and creation time are set once. The size follows the driver until the snapshot is
    ready. An answer ends an error, also when the snapshot is not ready yet.
    """
    status = content.status
    patch: dict[str, object] = {}
    if content.handle is None:
        patch["snapshotHandle"] = snapshot.handle
    if status.creation_time is None:
        patch["creationTime"] = snapshot.created_at_ns or nanoseconds(now)
    if snapshot.size_bytes is not None and snapshot.size_bytes != status.restore_size and not content.ready:
        patch["restoreSize"] = snapshot.size_bytes
    if snapshot.group_handle is not None and not content.has_group_handle:
        patch["volumeGroupSnapshotHandle"] = snapshot.group_handle
    if status.ready_to_use is not snapshot.ready:
        patch["readyToUse"] = snapshot.ready
    if status.error is not None:
        patch["error"] = None
    return patch or None


def cleared(content: Content) -> StatusPatch | None:
    """The status after the storage has deleted the snapshot: a retry finds no handle to delete again."""
    status = content.status
    return removal(
        snapshotHandle=status.snapshot_handle,
        readyToUse=status.ready_to_use,
        creationTime=status.creation_time,
        restoreSize=status.restore_size,
        error=status.error,
    )


def error_cleared(content: AnyContent) -> StatusPatch | None:
    """The status without an error that is over."""
    return removal(error=content.status.error)


def removal(**present: object) -> StatusPatch | None:
    """The removal of those keys that are there."""
    return {key: None for key, value in present.items() if value is not None} or None


def failed(content: AnyContent, message: str, now: datetime) -> StatusPatch:
    """A failure, for users to read. A snapshot that was ready stays so: a failed delete says nothing else."""
    patch: dict[str, object] = {"error": {"message": message, "time": rfc3339(now)}}
    if content.status.ready_to_use is None:
        patch["readyToUse"] = False
    return patch


def nanoseconds(time: datetime) -> int:
    """Nanoseconds since the epoch."""
    return int(time.timestamp() * 1_000_000) * 1_000


def rfc3339(time: datetime) -> str:
    """The form of a Kubernetes `Time`: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
