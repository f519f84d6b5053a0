"""The Controller service of the driver: its capabilities, the volume methods and the snapshot methods."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

from csi_proto import csi_pb2
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.snapshots import SnapshotMethods
from snapshotter.testing.driver.state import Store
from snapshotter.testing.driver.volumes import VolumeMethods

RPC = csi_pb2.ControllerServiceCapability.RPC

VOLUME_CAPABILITIES = (
    RPC.CREATE_DELETE_VOLUME,
    RPC.PUBLISH_UNPUBLISH_VOLUME,
    RPC.PUBLISH_READONLY,
    RPC.LIST_VOLUMES,
    RPC.LIST_VOLUMES_PUBLISHED_NODES,
    RPC.GET_VOLUME,
    RPC.GET_CAPACITY,
    RPC.CLONE_VOLUME,
    RPC.EXPAND_VOLUME,
)


class Controller(VolumeMethods, SnapshotMethods):
    def __init__(self, options: DriverOptions, store: Store) -> None:
        VolumeMethods.__init__(self, options, store)
        SnapshotMethods.__init__(self, options, store)

    async def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[
                csi_pb2.ControllerServiceCapability(rpc=RPC(type=kind))
                for kind in (*VOLUME_CAPABILITIES, *self._snapshot_capabilities())
            ]
        )

    def _snapshot_capabilities(self) -> list[RPC.Type.ValueType]:
        options = self._options
        announced = {
            RPC.CREATE_DELETE_SNAPSHOT: options.snapshots,
            RPC.LIST_SNAPSHOTS: options.snapshots and options.list_snapshots,
            RPC.GET_SNAPSHOT: options.snapshots and options.get_snapshot,
        }
        return [kind for kind, is_announced in announced.items() if is_announced]
