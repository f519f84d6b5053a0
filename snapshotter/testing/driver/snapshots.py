"""The snapshot methods of the Controller service."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence

import grpc
from google.protobuf import timestamp_pb2

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.paging import page
from snapshotter.testing.driver.records import Group, Snapshot, Volume
from snapshotter.testing.driver.refusal import Refused, already_exists, invalid, not_found, unimplemented
from snapshotter.testing.driver.state import Store

LONGEST_NAME_BYTES = 128


class Snapshots:
    """Snapshots as the services see them, alone and in groups."""

    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store

    def sources(self, volume_ids: Sequence[str]) -> list[Volume]:
        """The volumes that are to be cut. Refuses unknown ones, and when there is no space for their snapshots."""
        by_id = self._store.volumes.by_id
        for volume_id in volume_ids:
            if volume_id not in by_id:
                raise not_found("volume", volume_id)
        volumes = [by_id[volume_id] for volume_id in volume_ids]
        if self._store.used_bytes + sum(volume.size_bytes for volume in volumes) > self._options.capacity_bytes:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the storage is full")
        return volumes

    def cut(self, name: str, volume_id: str, parameters: Mapping[str, str]) -> Snapshot:
        """A snapshot of the volume at this instant, if `sources` has nothing against it."""
        [volume] = self.sources([volume_id])
        now_ns = time.time_ns()
        return self._store.create_snapshot(
            name, volume, created_at_ns=now_ns, ready_at_ns=self._ready_at_ns(now_ns), parameters=parameters
        )

    def cut_group(self, name: str, volume_ids: Sequence[str], parameters: Mapping[str, str]) -> Group:
        """Snapshots of these volumes at one instant, if `sources` has nothing against it."""
        volumes = self.sources(volume_ids)
        now_ns = time.time_ns()
        members = [(volume, self._ready_at_ns(now_ns, place)) for place, volume in enumerate(volumes)]
        return self._store.create_group(name, members, created_at_ns=now_ns, parameters=parameters)

    def _ready_at_ns(self, now_ns: int, place: int = 0) -> int | None:
        wait = self._options.ready_after_seconds + place * self._options.member_ready_spread_seconds
        return None if math.isinf(wait) else now_ns + int(wait * 1e9)

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
            message.creation_time.CopyFrom(timestamp(snapshot.created_at_ns))
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
        check_name(request.name)
        if not request.source_volume_id:
            raise invalid("source_volume_id is missing")
        snapshot = self._store.snapshots.by_name.get(request.name)
        if snapshot is None:
            self._snapshots.sources([request.source_volume_id])
            await asyncio.sleep(self._options.create_delay_seconds)
            snapshot = self._snapshots.cut(request.name, request.source_volume_id, request.parameters)
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


def check_name(name: str) -> None:
    """Refuse a name under which nothing can be made."""
    if not name:
        raise invalid("name is missing")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise invalid(f"name is longer than {LONGEST_NAME_BYTES} bytes")


def timestamp(time_ns: int) -> timestamp_pb2.Timestamp:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
