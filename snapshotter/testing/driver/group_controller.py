"""The GroupController service of the driver: snapshots of several volumes at one instant."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import asyncio
from collections.abc import Iterable

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.records import Group
from snapshotter.testing.driver.refusal import already_exists, invalid, not_found, unimplemented
from snapshotter.testing.driver.snapshots import Snapshots, check_name, timestamp
from snapshotter.testing.driver.state import Store

RPC = csi_pb2.GroupControllerServiceCapability.RPC


class GroupController(csi_pb2_grpc.GroupControllerServicer):
    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store
        self._snapshots = Snapshots(options, store)

    async def GroupControllerGetCapabilities(
        self, request: csi_pb2.GroupControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.GroupControllerGetCapabilitiesResponse:
        self._check_announced("GroupControllerGetCapabilities")
        return csi_pb2.GroupControllerGetCapabilitiesResponse(
            capabilities=[
                csi_pb2.GroupControllerServiceCapability(rpc=RPC(type=RPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT))
            ]
        )

    async def CreateVolumeGroupSnapshot(
        self, request: csi_pb2.CreateVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.CreateVolumeGroupSnapshotResponse:
        self._check_announced("CreateVolumeGroupSnapshot")
        check_name(request.name)
        _check_sources(request.source_volume_ids)
        group = self._store.groups.by_name.get(request.name)
        if group is None:
            self._snapshots.sources(request.source_volume_ids)
            await asyncio.sleep(self._options.create_delay_seconds)
            group = self._snapshots.cut_group(request.name, request.source_volume_ids, request.parameters)
        elif not _is_as_asked(group, request):
            raise already_exists(f"{request.name} is a group of other volumes or parameters")
        return csi_pb2.CreateVolumeGroupSnapshotResponse(group_snapshot=self._message(group))

    async def GetVolumeGroupSnapshot(
        self, request: csi_pb2.GetVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.GetVolumeGroupSnapshotResponse:
        self._check_announced("GetVolumeGroupSnapshot")
        group = self._group(request.group_snapshot_id, request.snapshot_ids)
        if group is None:
            raise not_found("group", request.group_snapshot_id)
        return csi_pb2.GetVolumeGroupSnapshotResponse(group_snapshot=self._message(group))

    async def DeleteVolumeGroupSnapshot(
        self, request: csi_pb2.DeleteVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.DeleteVolumeGroupSnapshotResponse:
        self._check_announced("DeleteVolumeGroupSnapshot")
        group = self._group(request.group_snapshot_id, request.snapshot_ids)
        if group is not None:
            self._store.delete_group(group)
        return csi_pb2.DeleteVolumeGroupSnapshotResponse()

    def _group(self, identifier: str, snapshot_ids: Iterable[str]) -> Group | None:
        """The group, if there is one; its members must be just these, in any order."""
        if not identifier:
            raise invalid("group_snapshot_id is missing")
        group = self._store.groups.by_id.get(identifier)
        if group is not None and sorted(snapshot_ids) != sorted(group.snapshot_ids):
            raise invalid(f"snapshot_ids are not the members of {identifier}")
        return group

    def _message(self, group: Group) -> csi_pb2.VolumeGroupSnapshot:
        """What the driver says of a group at this moment."""
        members = [self._snapshots.message(member) for member in self._store.members(group)]
        message = csi_pb2.VolumeGroupSnapshot(
            group_snapshot_id=group.id,
            snapshots=members,
            ready_to_use=all(member.ready_to_use for member in members),
        )
        if not self._options.omit_creation_time:
            message.creation_time.CopyFrom(timestamp(group.created_at_ns))
        return message

    def _check_announced(self, method: str) -> None:
        if not self._options.groups:
            raise unimplemented(method)


def _check_sources(volume_ids: Iterable[str]) -> None:
    asked = list(volume_ids)
    if not asked or not all(asked):
        raise invalid("source_volume_ids are missing")
    if len(set(asked)) < len(asked):
        raise invalid("source_volume_ids name a volume twice")


def _is_as_asked(group: Group, request: csi_pb2.CreateVolumeGroupSnapshotRequest) -> bool:
    return sorted(group.volume_ids) == sorted(request.source_volume_ids) and group.parameters == dict(
        request.parameters
    )
