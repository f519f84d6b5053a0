"""The snapshot methods of the Controller service."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

import grpc
from google.protobuf import timestamp_pb2

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.paging import page
from snapshotter.testing.driver.records import Snapshot
from snapshotter.testing.driver.refusal import Refused, already_exists, invalid, not_found, unimplemented
from snapshotter.testing.driver.state import Cut, Store

LONGEST_NAME_BYTES = 128


class Snapshots:
    """Snapshots as the services see them; groups of several are cut here as well."""

    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store

    def check(self, cuts: Sequence[Cut]) -> None:
        """Refuse unknown volumes, and when there is no space."""
        volumes = self._store.volumes.by_id
        for cut in cuts:
            if cut.volume_id not in volumes:
                raise not_found("volume", cut.volume_id)
        needed = sum(volumes[cut.volume_id].size_bytes for cut in cuts)
        if self._store.used_bytes + needed > self._options.capacity_bytes:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the storage is full")

    def cut(self, cuts: Sequence[Cut], group_id: str = "") -> list[Snapshot]:
        """Snapshots of these volumes at one instant, if `check` has nothing against it."""
        self.check(cuts)
        now_ns = time.time_ns()
        wait = self._options.ready_after_seconds
        ready_at_ns = None if math.isinf(wait) else now_ns + int(wait * 1e9)
        return self._store.cut(cuts, created_at_ns=now_ns, ready_at_ns=ready_at_ns, group_id=group_id)

    def message(self, snapshot: Snapshot) -> csi_pb2.Snapshot:
        """What the driver says of a snapshot at this moment."""
        message = csi_pb2.Snapshot(
            snapshot_id=snapshot.id,
            source_volume_id=snapshot.volume_id,
            ready_to_use=snapshot.ready(time.time_ns()),
            group_snapshot_id=snapshot.group_id,
        )
        if not self._options.omit_size:
            message.size_bytes = snapshot.size_bytes
        if not self._options.omit_creation_time:
            message.creation_time.CopyFrom(_timestamp(snapshot.created_at_ns))
        return message


class SnapshotMethods(csi_pb2_grpc.ControllerServicer):
    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store
        self._snapshots = Snapshots(options, store)

    async def CreateSnapshot(
        self, request: csi_pb2.CreateSnapshotRequest, context: Context
    ) -> csi_pb2.CreateSnapshotResponse:
        self._check_announced("CreateSnapshot", announced=self._options.snapshots)
        if not request.name:
            raise invalid("name is missing")
        if len(request.name.encode()) > LONGEST_NAME_BYTES:
            raise invalid(f"name is longer than {LONGEST_NAME_BYTES} bytes")
        if not request.source_volume_id:
            raise invalid("source_volume_id is missing")
        snapshot = self._store.snapshots.by_name.get(request.name)
        if snapshot is None:
            cuts = [Cut(request.name, request.source_volume_id, dict(request.parameters))]
            self._snapshots.check(cuts)
            await asyncio.sleep(self._options.create_delay_seconds)
            [snapshot] = self._snapshots.cut(cuts)
        elif snapshot.volume_id != request.source_volume_id:
            raise already_exists(f"{request.name} is a snapshot of {snapshot.volume_id}")
        return csi_pb2.CreateSnapshotResponse(snapshot=self._snapshots.message(snapshot))

    async def DeleteSnapshot(
        self, request: csi_pb2.DeleteSnapshotRequest, context: Context
    ) -> csi_pb2.DeleteSnapshotResponse:
        self._check_announced("DeleteSnapshot", announced=self._options.snapshots)
        if not request.snapshot_id:
            raise invalid("snapshot_id is missing")
        snapshot = self._store.snapshots.by_id.get(request.snapshot_id)
        if snapshot is not None:
            if snapshot.group_id:
                raise invalid(f"{snapshot.id} belongs to the group {snapshot.group_id}")
            self._store.delete_snapshot(snapshot)
        return csi_pb2.DeleteSnapshotResponse()

    async def ListSnapshots(
        self, request: csi_pb2.ListSnapshotsRequest, context: Context
    ) -> csi_pb2.ListSnapshotsResponse:
        self._check_announced("ListSnapshots", announced=self._options.list_snapshots)
        listed = page(self._matching(request), request.starting_token, request.max_entries, self._options.page_size)
        return csi_pb2.ListSnapshotsResponse(
            entries=[
                csi_pb2.ListSnapshotsResponse.Entry(snapshot=self._snapshots.message(snapshot))
                for snapshot in listed.records
            ],
            next_token=listed.next_token,
        )

    async def GetSnapshot(self, request: csi_pb2.GetSnapshotRequest, context: Context) -> csi_pb2.GetSnapshotResponse:
        self._check_announced("GetSnapshot", announced=self._options.get_snapshot)
        if not request.snapshot_id:
            raise invalid("snapshot_id is missing")
        snapshot = self._store.snapshots.by_id.get(request.snapshot_id)
        if snapshot is None:
            raise not_found("snapshot", request.snapshot_id)
        return csi_pb2.GetSnapshotResponse(snapshot=self._snapshots.message(snapshot))

    def _matching(self, request: csi_pb2.ListSnapshotsRequest) -> Iterable[Snapshot]:
        snapshots: Iterable[Snapshot] = self._store.snapshots.by_id.values()
        if request.snapshot_id:
            found = self._store.snapshots.by_id.get(request.snapshot_id)
            snapshots = [found] if found else []
        if request.source_volume_id:
            return [snapshot for snapshot in snapshots if snapshot.volume_id == request.source_volume_id]
        return snapshots

    def _check_announced(self, method: str, *, announced: bool) -> None:
        if not (self._options.snapshots and announced):
            raise unimplemented(method)


def _timestamp(time_ns: int) -> timestamp_pb2.Timestamp:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
