"""The volume methods of the Controller service."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import time

import grpc

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.paging import page
from snapshotter.testing.driver.records import Snapshot, Volume
from snapshotter.testing.driver.refusal import Refused, already_exists, invalid, not_found
from snapshotter.testing.driver.state import Store


class VolumeMethods(csi_pb2_grpc.ControllerServicer):
    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store

    async def CreateVolume(
        self, request: csi_pb2.CreateVolumeRequest, context: Context
    ) -> csi_pb2.CreateVolumeResponse:
        if not request.name:
            raise invalid("name is missing")
        if not request.volume_capabilities:
            raise invalid("volume_capabilities are missing")
        source = self._source(request.volume_content_source)
        volume = self._store.volumes.by_name.get(request.name)
        if volume is None:
            volume = self._create(request.name, self._size_bytes(request.capacity_range, source), source)
        elif not _is_as_asked(volume, request):
            raise already_exists(f"{request.name} is a volume of another size or content")
        return csi_pb2.CreateVolumeResponse(volume=_message(volume))

    async def DeleteVolume(
        self, request: csi_pb2.DeleteVolumeRequest, context: Context
    ) -> csi_pb2.DeleteVolumeResponse:
        if not request.volume_id:
            raise invalid("volume_id is missing")
        if volume := self._store.volumes.by_id.get(request.volume_id):
            self._store.delete_volume(volume)
        return csi_pb2.DeleteVolumeResponse()

    async def ControllerPublishVolume(
        self, request: csi_pb2.ControllerPublishVolumeRequest, context: Context
    ) -> csi_pb2.ControllerPublishVolumeResponse:
        if not request.node_id:
            raise invalid("node_id is missing")
        if not request.HasField("volume_capability"):
            raise invalid("volume_capability is missing")
        volume = self._volume(request.volume_id)
        if request.node_id != self._options.node:
            raise not_found("node", request.node_id)
        if volume.published.get(request.node_id, request.readonly) != request.readonly:
            raise already_exists(f"{volume.id} is published to {request.node_id} with another readonly")
        self._store.publish_volume(volume, volume.published | {request.node_id: request.readonly})
        return csi_pb2.ControllerPublishVolumeResponse()

    async def ControllerUnpublishVolume(
        self, request: csi_pb2.ControllerUnpublishVolumeRequest, context: Context
    ) -> csi_pb2.ControllerUnpublishVolumeResponse:
        if not request.volume_id:
            raise invalid("volume_id is missing")
        if volume := self._store.volumes.by_id.get(request.volume_id):
            kept = {
                node: readonly
                for node, readonly in volume.published.items()
                if request.node_id and node != request.node_id
            }
            self._store.publish_volume(volume, kept)
        return csi_pb2.ControllerUnpublishVolumeResponse()

    async def ValidateVolumeCapabilities(
        self, request: csi_pb2.ValidateVolumeCapabilitiesRequest, context: Context
    ) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        if not request.volume_capabilities:
            raise invalid("volume_capabilities are missing")
        self._volume(request.volume_id)
        return csi_pb2.ValidateVolumeCapabilitiesResponse(
            confirmed=csi_pb2.ValidateVolumeCapabilitiesResponse.Confirmed(
                volume_context=request.volume_context,
                volume_capabilities=request.volume_capabilities,
                parameters=request.parameters,
            )
        )

    async def ListVolumes(self, request: csi_pb2.ListVolumesRequest, context: Context) -> csi_pb2.ListVolumesResponse:
        listed = page(
            self._store.volumes.by_id.values(),
            request.starting_token,
            request.max_entries,
            self._options.page_size,
        )
        return csi_pb2.ListVolumesResponse(
            entries=[
                csi_pb2.ListVolumesResponse.Entry(
                    volume=_message(volume),
                    status=csi_pb2.ListVolumesResponse.VolumeStatus(published_node_ids=volume.published),
                )
                for volume in listed.records
            ],
            next_token=listed.next_token,
        )

    async def ControllerGetVolume(
        self, request: csi_pb2.ControllerGetVolumeRequest, context: Context
    ) -> csi_pb2.ControllerGetVolumeResponse:
        volume = self._volume(request.volume_id)
        return csi_pb2.ControllerGetVolumeResponse(
            volume=_message(volume),
            status=csi_pb2.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=volume.published),
        )

    async def GetCapacity(self, request: csi_pb2.GetCapacityRequest, context: Context) -> csi_pb2.GetCapacityResponse:
        return csi_pb2.GetCapacityResponse(available_capacity=self._free_bytes())

    async def ControllerExpandVolume(
        self, request: csi_pb2.ControllerExpandVolumeRequest, context: Context
    ) -> csi_pb2.ControllerExpandVolumeResponse:
        if not request.volume_id:
            raise invalid("volume_id is missing")
        if not request.HasField("capacity_range"):
            raise invalid("capacity_range is missing")
        volume = self._volume(request.volume_id)
        size_bytes = max(volume.size_bytes, request.capacity_range.required_bytes)
        if 0 < request.capacity_range.limit_bytes < size_bytes:
            raise Refused(grpc.StatusCode.OUT_OF_RANGE, f"{volume.id} cannot be that small")
        self._check_space(size_bytes - volume.size_bytes)
        self._store.grow_volume(volume, size_bytes)
        return csi_pb2.ControllerExpandVolumeResponse(capacity_bytes=size_bytes)

    def _volume(self, identifier: str) -> Volume:
        if not identifier:
            raise invalid("volume_id is missing")
        volume = self._store.volumes.by_id.get(identifier)
        if volume is None:
            raise not_found("volume", identifier)
        return volume

    def _source(self, source: csi_pb2.VolumeContentSource) -> Volume | Snapshot | None:
        match source.WhichOneof("type"):
            case "volume":
                return self._volume(source.volume.volume_id)
            case "snapshot":
                snapshot = self._store.snapshots.by_id.get(source.snapshot.snapshot_id)
                if snapshot is None:
                    raise not_found("snapshot", source.snapshot.snapshot_id)
                if not snapshot.ready(time.time_ns()):
                    raise Refused(grpc.StatusCode.UNAVAILABLE, f"{snapshot.id} is not ready to use")
                return snapshot
        return None

    def _size_bytes(self, asked: csi_pb2.CapacityRange, source: Volume | Snapshot | None) -> int:
        least = source.size_bytes if source else 1
        size_bytes = asked.required_bytes or max(least, self._options.volume_size_bytes)
        if asked.limit_bytes:
            size_bytes = min(size_bytes, asked.limit_bytes)
        if size_bytes < max(least, asked.required_bytes):
            raise Refused(grpc.StatusCode.OUT_OF_RANGE, f"no volume of {size_bytes} bytes can be made of this")
        return size_bytes

    def _create(self, name: str, size_bytes: int, source: Volume | Snapshot | None) -> Volume:
        self._check_space(size_bytes)
        if source is None:
            return self._store.create_volume(name, size_bytes)
        return self._store.copy_volume(name, size_bytes, source)

    def _free_bytes(self) -> int:
        return max(0, self._options.capacity_bytes - self._store.used_bytes)

    def _check_space(self, needed_bytes: int) -> None:
        if needed_bytes > self._free_bytes():
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the storage is full")


def _is_as_asked(volume: Volume, request: csi_pb2.CreateVolumeRequest) -> bool:
    asked = request.capacity_range
    source = request.volume_content_source
    return (
        volume.size_bytes >= asked.required_bytes
        and (not asked.limit_bytes or volume.size_bytes <= asked.limit_bytes)
        and volume.from_snapshot == source.snapshot.snapshot_id
        and volume.from_volume == source.volume.volume_id
    )


def _message(volume: Volume) -> csi_pb2.Volume:
    message = csi_pb2.Volume(volume_id=volume.id, capacity_bytes=volume.size_bytes)
    if volume.from_snapshot:
        message.content_source.snapshot.snapshot_id = volume.from_snapshot
    if volume.from_volume:
        message.content_source.volume.volume_id = volume.from_volume
    return message
