"""`python -m bench.silent_driver SOCKET`: a CSI driver that introduces itself, and then never answers in time."""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import asyncio
import sys
from typing import Any

import grpc.aio

from csi_proto import csi_pb2, csi_pb2_grpc

NAME = "silent.csi.example.com"
NEVER_SECONDS = 3600.0

RPC = csi_pb2.ControllerServiceCapability.RPC
Context = grpc.aio.ServicerContext[Any, Any]


class Identity(csi_pb2_grpc.IdentityServicer):
    async def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: Context
    ) -> csi_pb2.GetPluginInfoResponse:
        return csi_pb2.GetPluginInfoResponse(name=NAME)

    async def Probe(self, request: csi_pb2.ProbeRequest, context: Context) -> csi_pb2.ProbeResponse:
        return csi_pb2.ProbeResponse()


class Controller(csi_pb2_grpc.ControllerServicer):
    async def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[
                csi_pb2.ControllerServiceCapability(rpc=RPC(type=kind))
                for kind in (RPC.CREATE_DELETE_SNAPSHOT, RPC.GET_SNAPSHOT)
            ]
        )

    async def CreateSnapshot(
        self, request: csi_pb2.CreateSnapshotRequest, context: Context
    ) -> csi_pb2.CreateSnapshotResponse:
        await asyncio.sleep(NEVER_SECONDS)
        return csi_pb2.CreateSnapshotResponse()


async def serve(socket: str) -> None:
    server = grpc.aio.server()
    csi_pb2_grpc.add_IdentityServicer_to_server(Identity(), server)
    csi_pb2_grpc.add_ControllerServicer_to_server(Controller(), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
