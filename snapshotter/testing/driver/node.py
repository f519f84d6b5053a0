"""The Node service of the driver, as far as a driver must serve it.

Publishing a volume puts a link to its file of bytes at the target path: nothing is mounted, so no rights are
needed, and who reads and writes there reads and writes the volume.
"""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

from pathlib import Path

import grpc

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.refusal import Refused, invalid, not_found
from snapshotter.testing.driver.state import Store


class Node(csi_pb2_grpc.NodeServicer):
    def __init__(self, options: DriverOptions, store: Store) -> None:
        self._options = options
        self._store = store

    async def NodeGetInfo(self, request: csi_pb2.NodeGetInfoRequest, context: Context) -> csi_pb2.NodeGetInfoResponse:
        return csi_pb2.NodeGetInfoResponse(node_id=self._options.node)

    async def NodeGetCapabilities(
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        return csi_pb2.NodeGetCapabilitiesResponse()

    async def NodePublishVolume(
        self, request: csi_pb2.NodePublishVolumeRequest, context: Context
    ) -> csi_pb2.NodePublishVolumeResponse:
        _check_paths(request.volume_id, request.target_path)
        if not request.HasField("volume_capability"):
            raise invalid("volume_capability is missing")
        volume = self._store.volumes.by_id.get(request.volume_id)
        if volume is None:
            raise not_found("volume", request.volume_id)
        _link(Path(request.target_path), self._store.path(volume).resolve())
        return csi_pb2.NodePublishVolumeResponse()

    async def NodeUnpublishVolume(
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: Context
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        _check_paths(request.volume_id, request.target_path)
        _unlink(Path(request.target_path))
        return csi_pb2.NodeUnpublishVolumeResponse()


def _link(target: Path, bytes_file: Path) -> None:
    if not target.is_symlink():
        target.symlink_to(bytes_file)
    elif target.readlink() != bytes_file:
        raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"{target} is another volume")


def _unlink(target: Path) -> None:
    if target.is_symlink():
        target.unlink()


def _check_paths(volume_id: str, target_path: str) -> None:
    if not volume_id:
        raise invalid("volume_id is missing")
    if not target_path:
        raise invalid("target_path is missing")
