"""The Identity service of the driver."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

from google.protobuf import wrappers_pb2

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.driver.calls import Context
from snapshotter.testing.driver.options import DriverOptions

VERSION = "1"

Service = csi_pb2.PluginCapability.Service
Expansion = csi_pb2.PluginCapability.VolumeExpansion


class Identity(csi_pb2_grpc.IdentityServicer):
    def __init__(self, options: DriverOptions) -> None:
        self._options = options
        self._probes = 0

    async def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: Context
    ) -> csi_pb2.GetPluginInfoResponse:
        return csi_pb2.GetPluginInfoResponse(name=self._options.name, vendor_version=VERSION)

    async def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: Context
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        services = [Service.CONTROLLER_SERVICE]
        if self._options.groups:
            services.append(Service.GROUP_CONTROLLER_SERVICE)
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[
                *(csi_pb2.PluginCapability(service=Service(type=kind)) for kind in services),
                csi_pb2.PluginCapability(volume_expansion=Expansion(type=Expansion.ONLINE)),
            ]
        )

    async def Probe(self, request: csi_pb2.ProbeRequest, context: Context) -> csi_pb2.ProbeResponse:
        self._probes += 1
        ready = self._probes > self._options.probes_not_ready
        return csi_pb2.ProbeResponse(ready=wrappers_pb2.BoolValue(value=ready))
