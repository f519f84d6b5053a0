"""The driver's volumes, on the controller's side and on the node's."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc import StatusCode

from csi_proto.csi_pb2 import (
    CapacityRange,
    ControllerExpandVolumeRequest,
    ControllerGetVolumeRequest,
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    CreateSnapshotRequest,
    CreateVolumeRequest,
    DeleteVolumeRequest,
    GetCapacityRequest,
    ListVolumesRequest,
    NodeGetInfoRequest,
    NodePublishVolumeRequest,
    NodeUnpublishVolumeRequest,
    ValidateVolumeCapabilitiesRequest,
    VolumeCapability,
    VolumeContentSource,
)
from csi_proto.csi_pb2_grpc import ControllerStub, NodeStub
from snapshotter.testing.driver import Driver, DriverOptions

BLOCK = VolumeCapability(block=VolumeCapability.BlockVolume())
GIB = 1 << 30


class Served(NamedTuple):
    driver: Driver
    controller: ControllerStub
    node: NodeStub


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    options = DriverOptions(state=tmp_path / "state", volume_size_bytes=1000, capacity_bytes=20 * GIB)
    async with (
        grpc.aio.insecure_channel(f"unix:{tmp_path}/csi.sock") as channel,
        Driver.serve(tmp_path / "csi.sock", options) as driver,
    ):
        yield Served(driver, ControllerStub(channel), NodeStub(channel))


def request(name: str = "a", **fields: Any) -> CreateVolumeRequest:
    return CreateVolumeRequest(name=name, volume_capabilities=[BLOCK], **fields)


def of_size(required: int, limit: int = 0) -> CapacityRange:
    return CapacityRange(required_bytes=required, limit_bytes=limit)


def from_volume(identifier: str) -> VolumeContentSource:
    return VolumeContentSource(volume=VolumeContentSource.VolumeSource(volume_id=identifier))


def from_snapshot(identifier: str) -> VolumeContentSource:
    return VolumeContentSource(snapshot=VolumeContentSource.SnapshotSource(snapshot_id=identifier))


async def code_of(call: Awaitable[Any]) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


SIZES = {
    "none is asked": (None, 1000),
    "a size is asked": (of_size(5), 5),
    "a limit below the default": (of_size(0, 10), 10),
    "a size and a limit": (of_size(5, 10), 5),
    "a large one costs nothing": (of_size(10 * GIB), 10 * GIB),
}


@pytest.mark.parametrize(("asked", "given"), SIZES.values(), ids=SIZES.keys())
async def test_the_size_of_a_new_volume(served: Served, asked: CapacityRange | None, given: int) -> None:
    made = await served.controller.CreateVolume(request(capacity_range=asked))
    assert made.volume.capacity_bytes == given
    assert await served.controller.CreateVolume(request(capacity_range=asked)) == made
    assert list(served.driver.volumes) == [made.volume.volume_id]


WRONG = {
    "a name is needed": (request(""), StatusCode.INVALID_ARGUMENT),
    "a capability is needed": (CreateVolumeRequest(name="a"), StatusCode.INVALID_ARGUMENT),
    "a limit must not be below the size": (request(capacity_range=of_size(5, 4)), StatusCode.OUT_OF_RANGE),
    "the storage must have the space": (request(capacity_range=of_size(21 * GIB)), StatusCode.RESOURCE_EXHAUSTED),
    "a source volume must exist": (request(volume_content_source=from_volume("x")), StatusCode.NOT_FOUND),
    "a source snapshot must exist": (request(volume_content_source=from_snapshot("x")), StatusCode.NOT_FOUND),
    "a volume must hold its source": (
        request(volume_content_source=from_volume("vol-1"), capacity_range=of_size(4)),
        StatusCode.OUT_OF_RANGE,
    ),
}


@pytest.mark.parametrize(("wrong", "expected"), WRONG.values(), ids=WRONG.keys())
async def test_refusals(served: Served, wrong: CreateVolumeRequest, expected: StatusCode) -> None:
    await served.driver.make_volume("vol-1", b"bytes")
    assert await code_of(served.controller.CreateVolume(wrong)) is expected
    assert list(served.driver.volumes) == ["vol-1"]


DIFFERENT = {
    "larger": request(capacity_range=of_size(6)),
    "limited below": request(capacity_range=of_size(0, 4)),
    "from something": request(capacity_range=of_size(5), volume_content_source=from_volume("vol-1")),
}


@pytest.mark.parametrize("different", DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_the_same_name_asks_for_the_same_volume(served: Served, different: CreateVolumeRequest) -> None:
    await served.driver.make_volume("vol-1", b"b")
    await served.controller.CreateVolume(request(capacity_range=of_size(5)))
    assert await code_of(served.controller.CreateVolume(different)) is StatusCode.ALREADY_EXISTS


async def test_a_clone_has_the_bytes_of_its_source(served: Served) -> None:
    await served.driver.make_volume("vol-1", b"bytes")
    made = await served.controller.CreateVolume(
        request(volume_content_source=from_volume("vol-1"), capacity_range=of_size(7))
    )
    served.driver.write_volume("vol-1", b"other")
    assert served.driver.read_volume(made.volume.volume_id) == b"bytes\0\0"
    assert made.volume.content_source.volume.volume_id == "vol-1"


async def test_a_deleted_volume_leaves_its_snapshots(served: Served) -> None:
    await served.driver.make_volume("vol-1", b"bytes")
    cut = CreateSnapshotRequest(name="a", source_volume_id="vol-1")
    snapshot = (await served.controller.CreateSnapshot(cut)).snapshot
    for _ in range(2):
        await served.controller.DeleteVolume(DeleteVolumeRequest(volume_id="vol-1"))
    assert not served.driver.volumes
    made = await served.controller.CreateVolume(
        request(volume_content_source=from_snapshot(snapshot.snapshot_id), capacity_range=of_size(5))
    )
    assert served.driver.read_volume(made.volume.volume_id) == b"bytes"


async def test_a_volume_grows_and_never_shrinks(served: Served) -> None:
    await served.driver.make_volume("vol-1", b"bytes")

    def expand(**fields: int) -> Awaitable[Any]:
        asked = CapacityRange(**fields)
        return served.controller.ControllerExpandVolume(
            ControllerExpandVolumeRequest(volume_id="vol-1", capacity_range=asked)
        )

    assert (await expand(required_bytes=7)).capacity_bytes == 7
    assert (await expand(required_bytes=3)).capacity_bytes == 7
    assert await code_of(expand(limit_bytes=3)) is StatusCode.OUT_OF_RANGE
    assert await code_of(expand(required_bytes=21 * GIB)) is StatusCode.RESOURCE_EXHAUSTED
    assert served.driver.read_volume("vol-1") == b"bytes\0\0"


async def test_volumes_are_listed_and_found(served: Served) -> None:
    for n in range(3):
        await served.driver.make_volume(f"vol-{n}")
    first = await served.controller.ListVolumes(ListVolumesRequest(max_entries=2))
    rest = await served.controller.ListVolumes(ListVolumesRequest(starting_token=first.next_token))
    listed = [entry.volume.volume_id for entry in (*first.entries, *rest.entries)]
    assert listed == ["vol-0", "vol-1", "vol-2"]
    found = await served.controller.ControllerGetVolume(ControllerGetVolumeRequest(volume_id="vol-1"))
    assert found.volume.capacity_bytes == 1000
    unknown = ControllerGetVolumeRequest(volume_id="unknown")
    assert await code_of(served.controller.ControllerGetVolume(unknown)) is StatusCode.NOT_FOUND


async def test_capacity_is_what_is_left(served: Served) -> None:
    await served.driver.make_volume("vol-1", size_bytes=10)
    await served.controller.CreateSnapshot(CreateSnapshotRequest(name="a", source_volume_id="vol-1"))
    left = await served.controller.GetCapacity(GetCapacityRequest())
    assert left.available_capacity == 20 * GIB - 20


async def test_capabilities_are_confirmed(served: Served) -> None:
    await served.driver.make_volume("vol-1")
    asked = ValidateVolumeCapabilitiesRequest(volume_id="vol-1", volume_capabilities=[BLOCK])
    answer = await served.controller.ValidateVolumeCapabilities(asked)
    assert list(answer.confirmed.volume_capabilities) == [BLOCK]


async def test_publishing_says_where_a_volume_is_used(served: Served) -> None:
    await served.driver.make_volume("vol-1")
    node = (await served.node.NodeGetInfo(NodeGetInfoRequest())).node_id

    def publish(node: str, *, readonly: bool = False) -> Awaitable[Any]:
        return served.controller.ControllerPublishVolume(
            ControllerPublishVolumeRequest(volume_id="vol-1", node_id=node, volume_capability=BLOCK, readonly=readonly)
        )

    async def users() -> list[str]:
        found = await served.controller.ControllerGetVolume(ControllerGetVolumeRequest(volume_id="vol-1"))
        return list(found.status.published_node_ids)

    for _ in range(2):
        await publish(node)
    assert await users() == [node]
    assert await code_of(publish(node, readonly=True)) is StatusCode.ALREADY_EXISTS
    assert await code_of(publish("other")) is StatusCode.NOT_FOUND
    for _ in range(2):
        await served.controller.ControllerUnpublishVolume(ControllerUnpublishVolumeRequest(volume_id="vol-1"))
    assert await users() == []


async def test_a_volume_is_written_where_it_is_published(served: Served, tmp_path: Path) -> None:
    await served.driver.make_volume("vol-1", b"bytes")
    await served.driver.make_volume("vol-2")
    target = tmp_path / "target"

    def publish(volume_id: str) -> Awaitable[Any]:
        return served.node.NodePublishVolume(
            NodePublishVolumeRequest(volume_id=volume_id, target_path=str(target), volume_capability=BLOCK)
        )

    for _ in range(2):
        await publish("vol-1")
    with target.open("r+b") as file:
        file.write(b"BY")
    assert served.driver.read_volume("vol-1") == b"BYtes"
    assert await code_of(publish("vol-2")) is StatusCode.ALREADY_EXISTS
    assert await code_of(publish("unknown")) is StatusCode.NOT_FOUND
    for _ in range(2):
        await served.node.NodeUnpublishVolume(NodeUnpublishVolumeRequest(volume_id="vol-1", target_path=str(target)))
    assert not target.exists()
    assert served.driver.read_volume("vol-1") == b"BYtes"


async def test_a_volume_made_by_hand_is_named_as_asked(served: Served) -> None:
    assert await served.driver.make_volume("vol-1", b"b", size_bytes=3) == "vol-1"
    assert served.driver.read_volume("vol-1") == b"b\0\0"
    for name, size_bytes, reason in (("vol-1", 1, "there is"), ("vol-2", 0, "larger"), ("a/b", 9, "not a")):
        with pytest.raises(ValueError, match=reason):
            await served.driver.make_volume(name, b"b", size_bytes=size_bytes)
