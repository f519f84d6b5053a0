"""The driver's snapshots, seen by a client on its socket."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from csi_proto.csi_pb2 import (
    CapacityRange,
    ControllerGetCapabilitiesRequest,
    ControllerServiceCapability,
    CreateSnapshotRequest,
    CreateVolumeRequest,
    DeleteSnapshotRequest,
    GetSnapshotRequest,
    ListSnapshotsRequest,
    VolumeCapability,
    VolumeContentSource,
)
from csi_proto.csi_pb2_grpc import ControllerStub
from snapshotter.testing.driver import Driver, DriverOptions

RPC = ControllerServiceCapability.RPC


@asynccontextmanager
async def serving(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Driver, ControllerStub]]:
    socket = tmp_path / "csi.sock"
    async with (
        Driver.serve(socket, DriverOptions(state=tmp_path / "state", **options)) as driver,
        grpc.aio.insecure_channel(f"unix:{socket}") as channel,
    ):
        yield driver, ControllerStub(channel)


async def test_a_snapshot_holds_the_bytes_of_its_instant(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        volume = await driver.make_volume("vol-1", b"before")
        begun_ns = time.time_ns()
        snapshot = (await controller.CreateSnapshot(request("a", volume))).snapshot
        ended_ns = time.time_ns()
        driver.write_volume(volume, b"after!")

        assert driver.read_snapshot(snapshot.snapshot_id) == b"before"
        assert driver.read_volume(volume) == b"after!"
        assert (snapshot.source_volume_id, snapshot.size_bytes, snapshot.ready_to_use) == (volume, 6, True)
        assert begun_ns <= snapshot.creation_time.ToNanoseconds() <= ended_ns
        assert driver.snapshots[snapshot.snapshot_id].parameters == {"kind": "thin"}


async def test_the_same_name_is_the_same_snapshot(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1")
        await driver.make_volume("vol-2")
        first = await controller.CreateSnapshot(request("a", "vol-1"))
        assert await controller.CreateSnapshot(request("a", "vol-1")) == first
        assert await code_of(controller.CreateSnapshot(request("a", "vol-2"))) is StatusCode.ALREADY_EXISTS
        assert len(driver.snapshots) == 1


async def test_state_outlives_the_driver(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1", b"bytes")
        first = await controller.CreateSnapshot(request("a", "vol-1"))
    async with serving(tmp_path) as (driver, controller):
        assert await controller.CreateSnapshot(request("a", "vol-1")) == first
        assert driver.read_snapshot(first.snapshot.snapshot_id) == b"bytes"


async def test_a_deleted_snapshot_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1")
        first = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        for _ in range(2):
            await controller.DeleteSnapshot(DeleteSnapshotRequest(snapshot_id=first.snapshot_id))
        assert not driver.snapshots
        assert list((tmp_path / "state" / "snapshots").iterdir()) == []
        again = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        assert again.snapshot_id != first.snapshot_id


async def test_a_volume_is_made_from_a_snapshot(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1", b"bytes")
        snapshot = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        made = await controller.CreateVolume(
            CreateVolumeRequest(
                name="restored",
                volume_capabilities=[VolumeCapability()],
                capacity_range=CapacityRange(required_bytes=8),
                volume_content_source=VolumeContentSource(
                    snapshot=VolumeContentSource.SnapshotSource(snapshot_id=snapshot.snapshot_id)
                ),
            )
        )
        assert driver.read_volume(made.volume.volume_id) == b"bytes\0\0\0"
        assert made.volume.content_source.snapshot.snapshot_id == snapshot.snapshot_id


REFUSALS = {
    "a name is needed": (CreateSnapshotRequest(source_volume_id="vol-1"), StatusCode.INVALID_ARGUMENT),
    "a source is needed": (CreateSnapshotRequest(name="a"), StatusCode.INVALID_ARGUMENT),
    "the source must exist": (CreateSnapshotRequest(name="a", source_volume_id="b"), StatusCode.NOT_FOUND),
    "a name has at most 128 bytes": (
        CreateSnapshotRequest(name="ä" * 65, source_volume_id="vol-1"),
        StatusCode.INVALID_ARGUMENT,
    ),
}


@pytest.mark.parametrize(("wrong", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusals(tmp_path: Path, wrong: CreateSnapshotRequest, expected: StatusCode) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1")
        assert await code_of(controller.CreateSnapshot(wrong)) is expected
        assert not driver.snapshots


async def test_a_full_storage_takes_no_snapshot(tmp_path: Path) -> None:
    async with serving(tmp_path, capacity_bytes=1000) as (driver, controller):
        await driver.make_volume("vol-1", size_bytes=600)
        assert await code_of(controller.CreateSnapshot(request("a", "vol-1"))) is StatusCode.RESOURCE_EXHAUSTED


async def test_a_snapshot_becomes_ready_later(tmp_path: Path) -> None:
    async with serving(tmp_path, ready_after_seconds=math.inf) as (driver, controller):
        await driver.make_volume("vol-1")
        snapshot = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        assert not snapshot.ready_to_use
    async with serving(tmp_path) as (driver, controller):
        assert not (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot.ready_to_use
        driver.make_ready(snapshot.snapshot_id)
        assert (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot.ready_to_use


async def test_the_time_until_ready_runs_while_the_driver_is_down(tmp_path: Path) -> None:
    async with serving(tmp_path, ready_after_seconds=0.3) as (driver, controller):
        await driver.make_volume("vol-1")
        snapshot = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
    left = driver.snapshots[snapshot.snapshot_id].ready_at_ns
    assert left is not None
    await asyncio.sleep(max(0.0, left / 1e9 - time.time()))
    async with serving(tmp_path, ready_after_seconds=1000) as (driver, controller):
        assert (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot.ready_to_use


async def test_a_driver_may_say_little(tmp_path: Path) -> None:
    async with serving(tmp_path, omit_creation_time=True, omit_size=True) as (driver, controller):
        await driver.make_volume("vol-1")
        snapshot = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        assert not snapshot.HasField("creation_time")
        assert snapshot.size_bytes == 0


async def test_what_is_not_announced_is_not_served(tmp_path: Path) -> None:
    async with serving(tmp_path, list_snapshots=False, get_snapshot=False) as (_, controller):
        assert await announced(controller) == {RPC.CREATE_DELETE_SNAPSHOT}
        assert await code_of(controller.ListSnapshots(ListSnapshotsRequest())) is StatusCode.UNIMPLEMENTED
        get = GetSnapshotRequest(snapshot_id="a")
        assert await code_of(controller.GetSnapshot(get)) is StatusCode.UNIMPLEMENTED


async def test_a_driver_without_snapshots_serves_none_of_their_methods(tmp_path: Path) -> None:
    async with serving(tmp_path, snapshots=False) as (driver, controller):
        await driver.make_volume("vol-1")
        assert await announced(controller) == set()
        assert await code_of(controller.CreateSnapshot(request("a", "vol-1"))) is StatusCode.UNIMPLEMENTED
        assert await code_of(controller.ListSnapshots(ListSnapshotsRequest())) is StatusCode.UNIMPLEMENTED


async def test_a_required_secret_is_required(tmp_path: Path) -> None:
    required = {"CreateSnapshot": {"user": "admin"}}
    async with serving(tmp_path, required_secrets=required) as (driver, controller):
        await driver.make_volume("vol-1")
        for secrets in ({}, {"user": "guest"}):
            create = request("a", "vol-1", secrets=secrets)
            assert await code_of(controller.CreateSnapshot(create)) is StatusCode.UNAUTHENTICATED
        made = await controller.CreateSnapshot(request("a", "vol-1", secrets={"user": "admin", "more": "1"}))
        await controller.DeleteSnapshot(DeleteSnapshotRequest(snapshot_id=made.snapshot.snapshot_id))


async def test_lists_come_in_pages_and_by_filter(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1")
        await driver.make_volume("vol-2")
        ids = [
            (await controller.CreateSnapshot(request(f"s{n}", f"vol-{1 + n % 2}"))).snapshot.snapshot_id
            for n in range(5)
        ]

        async def listed(**query: Any) -> tuple[list[str], str]:
            answer = await controller.ListSnapshots(ListSnapshotsRequest(**query))
            return [entry.snapshot.snapshot_id for entry in answer.entries], answer.next_token

        assert await listed() == (ids, "")
        first, token = await listed(max_entries=2)
        assert first == ids[:2]
        await controller.DeleteSnapshot(DeleteSnapshotRequest(snapshot_id=ids[1]))
        assert await listed(starting_token=token) == (ids[2:], "")
        assert await listed(snapshot_id=ids[3]) == ([ids[3]], "")
        assert await listed(source_volume_id="vol-2") == ([ids[3]], "")
        assert await listed(snapshot_id=ids[3], source_volume_id="vol-1") == ([], "")
        assert await listed(snapshot_id="unknown") == ([], "")
        bad = ListSnapshotsRequest(starting_token=f"bad {token}")
        assert await code_of(controller.ListSnapshots(bad)) is StatusCode.ABORTED


async def test_get_knows_what_there_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as (driver, controller):
        await driver.make_volume("vol-1")
        made = (await controller.CreateSnapshot(request("a", "vol-1"))).snapshot
        got = await controller.GetSnapshot(GetSnapshotRequest(snapshot_id=made.snapshot_id))
        assert got.snapshot == made
        unknown = GetSnapshotRequest(snapshot_id="unknown")
        assert await code_of(controller.GetSnapshot(unknown)) is StatusCode.NOT_FOUND


def request(name: str, volume: str, *, secrets: dict[str, str] | None = None) -> CreateSnapshotRequest:
    return CreateSnapshotRequest(name=name, source_volume_id=volume, secrets=secrets, parameters={"kind": "thin"})


async def code_of(call: Any) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def announced(controller: ControllerStub) -> set[Any]:
    """What the driver says that it can do with snapshots."""
    answer = await controller.ControllerGetCapabilities(ControllerGetCapabilitiesRequest())
    of_snapshots = {RPC.CREATE_DELETE_SNAPSHOT, RPC.LIST_SNAPSHOTS, RPC.GET_SNAPSHOT}
    return {capability.rpc.type for capability in answer.capabilities} & of_snapshots
