"""A CSI driver in its fastest form: no bytes, no state but counts. `python -m bench.driver SOCKET` runs it.

It answers at once, after a delay, or when it is let go. Beside its CSI services it says what was asked of it, and when.
"""

# ruff: noqa: N802, ARG002 - gRPC names the methods and gives each a context

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc.aio
import msgspec
import uvloop
from google.protobuf import timestamp_pb2, wrappers_pb2

from bench.processes import running
from csi_proto import csi_pb2, csi_pb2_grpc

NAME = "fast.csi.example.com"
SIZE_BYTES = 1 << 30
CONTROL = "bench.Control"
START_SECONDS = 60.0

RPC = csi_pb2.ControllerServiceCapability.RPC
GROUP_RPC = csi_pb2.GroupControllerServiceCapability.RPC
Context = grpc.aio.ServicerContext[Any, Any]
Raw = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


class Behaviour(msgspec.Struct, frozen=True):
    """How creates and deletes are answered."""

    held: bool = False
    """They wait until they are not held any more."""
    delay_seconds: float = 0.0
    """After that they take so long."""


class Report(msgspec.Struct, frozen=True):
    """What was asked of the driver. Times are seconds of the machine's monotonic clock."""

    calls: dict[str, int]
    """By method, from their beginning."""
    began: dict[str, float]
    """When the first create or delete for a name began."""
    first_call: float | None
    waiting: int
    """Creates and deletes that have no answer yet."""


class Counts:
    """Every call passes here."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self._calls: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._first_call: float | None = None
        self._waiting = 0
        self._let_go = asyncio.Event()

    def behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        if not behaviour.held:
            self._let_go.set()
            self._let_go = asyncio.Event()

    def called(self, method: str) -> None:
        self._calls[method] += 1
        if self._first_call is None:
            self._first_call = time.monotonic()

    async def work(self, method: str, name: str) -> None:
        """A create or a delete: begins, and takes its time."""
        self.called(method)
        self._began.setdefault(name, time.monotonic())
        self._waiting += 1
        try:
            if self.behaviour.held:
                await self._let_go.wait()
            if self.behaviour.delay_seconds:
                await asyncio.sleep(self.behaviour.delay_seconds)
        finally:
            self._waiting -= 1

    def report(self) -> Report:
        return Report(dict(self._calls), self._began, self._first_call, self._waiting)


class Identity(csi_pb2_grpc.IdentityServicer):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: Context
    ) -> csi_pb2.GetPluginInfoResponse:
        self._counts.called("GetPluginInfo")
        return csi_pb2.GetPluginInfoResponse(name=NAME, vendor_version="1")

    async def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: Context
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        self._counts.called("GetPluginCapabilities")
        service = csi_pb2.PluginCapability.Service
        kinds = (service.CONTROLLER_SERVICE, service.GROUP_CONTROLLER_SERVICE)
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[csi_pb2.PluginCapability(service=service(type=kind)) for kind in kinds]
        )

    async def Probe(self, request: csi_pb2.ProbeRequest, context: Context) -> csi_pb2.ProbeResponse:
        self._counts.called("Probe")
        return csi_pb2.ProbeResponse(ready=wrappers_pb2.BoolValue(value=True))


class Controller(csi_pb2_grpc.ControllerServicer):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        self._counts.called("ControllerGetCapabilities")
        kinds = (RPC.CREATE_DELETE_SNAPSHOT, RPC.LIST_SNAPSHOTS, RPC.GET_SNAPSHOT)
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[csi_pb2.ControllerServiceCapability(rpc=RPC(type=kind)) for kind in kinds]
        )

    async def CreateSnapshot(
        self, request: csi_pb2.CreateSnapshotRequest, context: Context
    ) -> csi_pb2.CreateSnapshotResponse:
        await self._counts.work("CreateSnapshot", request.name)
        return csi_pb2.CreateSnapshotResponse(snapshot=_snapshot(request.name, request.source_volume_id))

    async def DeleteSnapshot(
        self, request: csi_pb2.DeleteSnapshotRequest, context: Context
    ) -> csi_pb2.DeleteSnapshotResponse:
        await self._counts.work("DeleteSnapshot", request.snapshot_id)
        return csi_pb2.DeleteSnapshotResponse()

    async def GetSnapshot(self, request: csi_pb2.GetSnapshotRequest, context: Context) -> csi_pb2.GetSnapshotResponse:
        self._counts.called("GetSnapshot")
        return csi_pb2.GetSnapshotResponse(snapshot=_snapshot(request.snapshot_id, ""))

    async def ListSnapshots(
        self, request: csi_pb2.ListSnapshotsRequest, context: Context
    ) -> csi_pb2.ListSnapshotsResponse:
        self._counts.called("ListSnapshots")
        entry = csi_pb2.ListSnapshotsResponse.Entry(snapshot=_snapshot(request.snapshot_id, ""))
        return csi_pb2.ListSnapshotsResponse(entries=[entry])


class GroupController(csi_pb2_grpc.GroupControllerServicer):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def GroupControllerGetCapabilities(
        self, request: csi_pb2.GroupControllerGetCapabilitiesRequest, context: Context
    ) -> csi_pb2.GroupControllerGetCapabilitiesResponse:
        self._counts.called("GroupControllerGetCapabilities")
        kind = GROUP_RPC(type=GROUP_RPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT)
        return csi_pb2.GroupControllerGetCapabilitiesResponse(
            capabilities=[csi_pb2.GroupControllerServiceCapability(rpc=kind)]
        )

    async def CreateVolumeGroupSnapshot(
        self, request: csi_pb2.CreateVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.CreateVolumeGroupSnapshotResponse:
        await self._counts.work("CreateVolumeGroupSnapshot", request.name)
        members = {f"{request.name}-of-{volume}": volume for volume in request.source_volume_ids}
        return csi_pb2.CreateVolumeGroupSnapshotResponse(group_snapshot=_group(request.name, members))

    async def GetVolumeGroupSnapshot(
        self, request: csi_pb2.GetVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.GetVolumeGroupSnapshotResponse:
        self._counts.called("GetVolumeGroupSnapshot")
        members = dict.fromkeys(request.snapshot_ids, "")
        return csi_pb2.GetVolumeGroupSnapshotResponse(group_snapshot=_group(request.group_snapshot_id, members))

    async def DeleteVolumeGroupSnapshot(
        self, request: csi_pb2.DeleteVolumeGroupSnapshotRequest, context: Context
    ) -> csi_pb2.DeleteVolumeGroupSnapshotResponse:
        await self._counts.work("DeleteVolumeGroupSnapshot", request.group_snapshot_id)
        return csi_pb2.DeleteVolumeGroupSnapshotResponse()


def _now() -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=int(time.time()))


def _snapshot(handle: str, volume: str) -> csi_pb2.Snapshot:
    return csi_pb2.Snapshot(
        snapshot_id=handle,
        source_volume_id=volume,
        size_bytes=SIZE_BYTES,
        creation_time=_now(),
        ready_to_use=True,
    )


def _group(handle: str, members: dict[str, str]) -> csi_pb2.VolumeGroupSnapshot:
    group = csi_pb2.VolumeGroupSnapshot(group_snapshot_id=handle, creation_time=_now(), ready_to_use=True)
    for member, volume in members.items():
        snapshot = _snapshot(member, volume)
        snapshot.group_snapshot_id = handle
        group.snapshots.append(snapshot)
    return group


def _control(counts: Counts) -> grpc.GenericRpcHandler:
    """What the measurement asks and tells, as JSON."""

    async def report(_: bytes, __: Context) -> bytes:
        return msgspec.json.encode(counts.report())

    async def behave(request: bytes, _: Context) -> bytes:
        counts.behave(msgspec.json.decode(request, type=Behaviour))
        return b""

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(cast("Any", answer))
        for name, answer in {"Report": report, "Behave": behave}.items()
    }
    return grpc.method_handlers_generic_handler(CONTROL, handlers)


async def serve(socket: str) -> None:
    """Serve for ever; says so once it does."""
    counts = Counts()
    server = grpc.aio.server()
    csi_pb2_grpc.add_IdentityServicer_to_server(Identity(counts), server)
    csi_pb2_grpc.add_ControllerServicer_to_server(Controller(counts), server)
    csi_pb2_grpc.add_GroupControllerServicer_to_server(GroupController(counts), server)
    server.add_generic_rpc_handlers((_control(counts),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("serving", flush=True)  # noqa: T201 - who starts the process waits for this line
    await server.wait_for_termination()


class FastDriver:
    """The driver as a process of its own, seen from the measurement."""

    def __init__(self, socket: Path, channel: grpc.aio.Channel) -> None:
        self.socket = socket
        self.channel = channel
        self._report = cast("Raw", channel.unary_unary(f"/{CONTROL}/Report"))
        self._behave = cast("Raw", channel.unary_unary(f"/{CONTROL}/Behave"))

    async def report(self) -> Report:
        return msgspec.json.decode(await self._report(b""), type=Report)

    async def behave(self, behaviour: Behaviour) -> None:
        await self._behave(msgspec.json.encode(behaviour))


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[FastDriver]:
    """A driver that serves on a socket in the directory until the block is left."""
    socket = directory / "csi.sock"
    socket.unlink(missing_ok=True)
    command = (sys.executable, "-m", "bench.driver", str(socket))
    async with running(command, directory / "driver.log", stdout=asyncio.subprocess.PIPE) as process:
        async with asyncio.timeout(START_SECONDS):
            if process.stdout is None or not await process.stdout.readline():
                raise RuntimeError(f"the driver does not serve: {(directory / 'driver.log').read_text()}")
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield FastDriver(socket, channel)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
