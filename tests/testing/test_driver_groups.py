"""The driver's groups of snapshots, seen by a client on its socket."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc import StatusCode

from csi_proto.csi_pb2 import (
    CreateSnapshotRequest,
    CreateVolumeGroupSnapshotRequest,
    DeleteSnapshotRequest,
    DeleteVolumeGroupSnapshotRequest,
    GetPluginCapabilitiesRequest,
    GetSnapshotRequest,
    GetVolumeGroupSnapshotRequest,
    GroupControllerGetCapabilitiesRequest,
    GroupControllerServiceCapability,
    ListSnapshotsRequest,
    PluginCapability,
    VolumeGroupSnapshot,
)
from csi_proto.csi_pb2_grpc import ControllerStub, GroupControllerStub, IdentityStub
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault

GENEROUS_SECONDS = 20
VOLUMES = ("vol-1", "vol-2", "vol-3")


class Served(NamedTuple):
    driver: Driver
    groups: GroupControllerStub
    controller: ControllerStub
    identity: IdentityStub

    async def create(self, name: str = "g", volumes: tuple[str, ...] = VOLUMES, **fields: Any) -> VolumeGroupSnapshot:
        answer = await self.groups.CreateVolumeGroupSnapshot(create(name, volumes, **fields), timeout=GENEROUS_SECONDS)
        return answer.group_snapshot

    async def get(self, group: VolumeGroupSnapshot) -> VolumeGroupSnapshot:
        request = GetVolumeGroupSnapshotRequest(
            group_snapshot_id=group.group_snapshot_id, snapshot_ids=member_ids(group)
        )
        return (await self.groups.GetVolumeGroupSnapshot(request)).group_snapshot


@asynccontextmanager
async def serving(tmp_path: Path, **options: Any) -> AsyncIterator[Served]:
    """A driver with three volumes that hold their names, and clients."""
    socket = tmp_path / "csi.sock"
    async with (
        grpc.aio.insecure_channel(f"unix:{socket}") as channel,
        Driver.serve(socket, DriverOptions(state=tmp_path / "state", **options)) as driver,
    ):
        for volume in VOLUMES:
            if volume not in driver.volumes:
                await driver.make_volume(volume, volume.encode())
        yield Served(driver, GroupControllerStub(channel), ControllerStub(channel), IdentityStub(channel))


def create(name: str = "g", volumes: tuple[str, ...] = VOLUMES, **fields: Any) -> CreateVolumeGroupSnapshotRequest:
    return CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=volumes, **fields)


def get(group: str, *members: str) -> GetVolumeGroupSnapshotRequest:
    return GetVolumeGroupSnapshotRequest(group_snapshot_id=group, snapshot_ids=members)


def delete(group: str, *members: str) -> DeleteVolumeGroupSnapshotRequest:
    return DeleteVolumeGroupSnapshotRequest(group_snapshot_id=group, snapshot_ids=members)


def member_ids(group: VolumeGroupSnapshot) -> list[str]:
    return [member.snapshot_id for member in group.snapshots]


async def code_of(call: Awaitable[Any]) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def test_groups_are_announced(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        plugin = await served.identity.GetPluginCapabilities(GetPluginCapabilitiesRequest())
        assert PluginCapability.Service.GROUP_CONTROLLER_SERVICE in [it.service.type for it in plugin.capabilities]
        answer = await served.groups.GroupControllerGetCapabilities(GroupControllerGetCapabilitiesRequest())
        rpc = GroupControllerServiceCapability.RPC
        assert [it.rpc.type for it in answer.capabilities] == [rpc.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT]


async def test_a_driver_without_groups_serves_none_of_their_methods(tmp_path: Path) -> None:
    async with serving(tmp_path, groups=False) as served:
        plugin = await served.identity.GetPluginCapabilities(GetPluginCapabilitiesRequest())
        assert PluginCapability.Service.GROUP_CONTROLLER_SERVICE not in [it.service.type for it in plugin.capabilities]
        for call in (
            served.groups.GroupControllerGetCapabilities(GroupControllerGetCapabilitiesRequest()),
            served.groups.CreateVolumeGroupSnapshot(create()),
            served.groups.GetVolumeGroupSnapshot(get("g")),
            served.groups.DeleteVolumeGroupSnapshot(delete("g")),
        ):
            assert await code_of(call) is StatusCode.UNIMPLEMENTED
        assert not served.driver.snapshots


async def test_a_group_holds_the_bytes_of_its_volumes(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create(volumes=("vol-2", "vol-1"), parameters={"kind": "thin"})
        for volume in VOLUMES:
            served.driver.write_volume(volume, b"xxxxx")

        assert [member.source_volume_id for member in group.snapshots] == ["vol-2", "vol-1"]
        assert [served.driver.read_snapshot(member) for member in member_ids(group)] == [b"vol-2", b"vol-1"]
        assert {member.group_snapshot_id for member in group.snapshots} == {group.group_snapshot_id}
        assert {member.creation_time.ToNanoseconds() for member in group.snapshots} == {
            group.creation_time.ToNanoseconds()
        }
        assert [member.size_bytes for member in group.snapshots] == [5, 5]
        assert group.ready_to_use

        record = served.driver.groups[group.group_snapshot_id]
        assert (record.name, record.volume_ids, record.parameters) == ("g", ["vol-2", "vol-1"], {"kind": "thin"})
        assert record.snapshot_ids == member_ids(group)


async def test_the_same_name_is_the_same_group(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create(parameters={"kind": "thin"})
        assert await served.create(parameters={"kind": "thin"}) == group
        assert await served.create(volumes=VOLUMES[::-1], parameters={"kind": "thin"}) == group
        for other in (
            create(volumes=VOLUMES[:2], parameters={"kind": "thin"}),
            create(volumes=(*VOLUMES, "vol-4"), parameters={"kind": "thin"}),
            create(parameters={"kind": "thick"}),
            create(),
        ):
            assert await code_of(served.groups.CreateVolumeGroupSnapshot(other)) is StatusCode.ALREADY_EXISTS
        assert list(served.driver.snapshots) == member_ids(group)


async def test_a_group_and_a_snapshot_may_have_the_same_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create("a")
        single = CreateSnapshotRequest(name="a", source_volume_id="vol-1")
        made = (await served.controller.CreateSnapshot(single)).snapshot
        assert made.group_snapshot_id == ""
        assert made.snapshot_id not in member_ids(group)


REFUSALS = {
    "a name is needed": (create(""), StatusCode.INVALID_ARGUMENT),
    "a name has at most 128 bytes": (create("x" * 129), StatusCode.INVALID_ARGUMENT),
    "sources are needed": (create(volumes=()), StatusCode.INVALID_ARGUMENT),
    "every source has an id": (create(volumes=("vol-1", "")), StatusCode.INVALID_ARGUMENT),
    "no source is named twice": (create(volumes=("vol-1", "vol-1")), StatusCode.INVALID_ARGUMENT),
    "every source must exist": (create(volumes=("vol-1", "unknown")), StatusCode.NOT_FOUND),
}


@pytest.mark.parametrize(("wrong", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusals(tmp_path: Path, wrong: CreateVolumeGroupSnapshotRequest, expected: StatusCode) -> None:
    async with serving(tmp_path) as served:
        assert await code_of(served.groups.CreateVolumeGroupSnapshot(wrong)) is expected
        assert not served.driver.groups
        assert not served.driver.snapshots


async def test_a_group_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    async with serving(tmp_path, capacity_bytes=29) as served:  # the volumes take 15 bytes, their snapshots as much
        assert await code_of(served.groups.CreateVolumeGroupSnapshot(create())) is StatusCode.RESOURCE_EXHAUSTED
        assert not served.driver.snapshots
        assert list((tmp_path / "state" / "snapshots").iterdir()) == []
        await served.create(volumes=VOLUMES[:2])


async def test_a_group_is_found_by_its_id_and_its_members(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create()
        members = member_ids(group)
        identifier = group.group_snapshot_id
        for order in itertools.permutations(members):
            assert (await served.groups.GetVolumeGroupSnapshot(get(identifier, *order))).group_snapshot == group
        for wrong, expected in (
            (get(""), StatusCode.INVALID_ARGUMENT),
            (get("unknown"), StatusCode.NOT_FOUND),
            (get("unknown", *members), StatusCode.NOT_FOUND),
            (get(identifier), StatusCode.INVALID_ARGUMENT),
            (get(identifier, *members[1:]), StatusCode.INVALID_ARGUMENT),
            (get(identifier, *members, members[0]), StatusCode.INVALID_ARGUMENT),
            (get(identifier, *members[1:], "foreign"), StatusCode.INVALID_ARGUMENT),
        ):
            assert await code_of(served.groups.GetVolumeGroupSnapshot(wrong)) is expected


async def test_a_deleted_group_is_gone_with_its_members_and_may_be_deleted_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        kept = await served.create("kept")
        group = await served.create()
        identifier, members = group.group_snapshot_id, member_ids(group)
        for wrong in (delete(""), delete(identifier), delete(identifier, *members[:2])):
            assert await code_of(served.groups.DeleteVolumeGroupSnapshot(wrong)) is StatusCode.INVALID_ARGUMENT
        assert list(served.driver.groups) == [kept.group_snapshot_id, identifier]
        for _ in range(2):
            await served.groups.DeleteVolumeGroupSnapshot(delete(identifier, *members))
        await served.groups.DeleteVolumeGroupSnapshot(delete("unknown"))
        assert list(served.driver.groups) == [kept.group_snapshot_id]
        assert list(served.driver.snapshots) == member_ids(kept)
        assert {path.name for path in (tmp_path / "state" / "snapshots").iterdir()} == set(member_ids(kept))
        assert (await served.create()).group_snapshot_id != identifier


async def test_a_member_tells_its_group_and_is_not_deleted_singly(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create()
        member = group.snapshots[0]
        got = await served.controller.GetSnapshot(GetSnapshotRequest(snapshot_id=member.snapshot_id))
        assert got.snapshot == member
        listed = await served.controller.ListSnapshots(ListSnapshotsRequest())
        assert [entry.snapshot for entry in listed.entries] == list(group.snapshots)
        single = DeleteSnapshotRequest(snapshot_id=member.snapshot_id)
        assert await code_of(served.controller.DeleteSnapshot(single)) is StatusCode.INVALID_ARGUMENT
        assert list(served.driver.snapshots) == member_ids(group)


async def test_state_outlives_the_driver(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create(parameters={"kind": "thin"})
    async with serving(tmp_path) as served:
        assert await served.create(parameters={"kind": "thin"}) == group
        assert await served.get(group) == group


async def test_a_group_is_ready_when_its_last_member_is(tmp_path: Path) -> None:
    async with serving(tmp_path, ready_after_seconds=math.inf) as served:
        group = await served.create()
        for so_far, member in enumerate(member_ids(group)):
            seen = await served.get(group)
            assert [it.ready_to_use for it in seen.snapshots].count(True) == so_far
            assert not seen.ready_to_use
            served.driver.make_ready(member)
        assert (await served.get(group)).ready_to_use


async def test_a_group_is_made_ready_as_a_whole(tmp_path: Path) -> None:
    async with serving(tmp_path, ready_after_seconds=math.inf) as served:
        group = await served.create()
        served.driver.make_ready(group.group_snapshot_id)
        seen = await served.create()
        assert seen.ready_to_use
        assert all(member.ready_to_use for member in seen.snapshots)


async def test_members_become_ready_one_after_another(tmp_path: Path) -> None:
    async with serving(tmp_path, ready_after_seconds=10, member_ready_spread_seconds=1000) as served:
        group = await served.create()
        assert not group.ready_to_use
        created_ns = group.creation_time.ToNanoseconds()
        ready_at_ns = [served.driver.snapshots[member].ready_at_ns for member in member_ids(group)]
        assert ready_at_ns == [created_ns + seconds * 10**9 for seconds in (10, 1010, 2010)]


async def test_a_driver_may_say_little(tmp_path: Path) -> None:
    async with serving(tmp_path, omit_creation_time=True, omit_size=True) as served:
        group = await served.create()
        assert not group.HasField("creation_time")
        assert not any(member.HasField("creation_time") for member in group.snapshots)
        assert {member.size_bytes for member in group.snapshots} == {0}


async def test_a_required_secret_is_required(tmp_path: Path) -> None:
    required = {
        method: {"user": method}
        for method in ("CreateVolumeGroupSnapshot", "GetVolumeGroupSnapshot", "DeleteVolumeGroupSnapshot")
    }
    async with serving(tmp_path, required_secrets=required) as served:
        assert await code_of(served.create()) is StatusCode.UNAUTHENTICATED
        group = await served.create(secrets={"user": "CreateVolumeGroupSnapshot"})
        assert await code_of(served.get(group)) is StatusCode.UNAUTHENTICATED
        request = delete(group.group_snapshot_id, *member_ids(group))
        assert await code_of(served.groups.DeleteVolumeGroupSnapshot(request)) is StatusCode.UNAUTHENTICATED
        request.secrets["user"] = "DeleteVolumeGroupSnapshot"
        await served.groups.DeleteVolumeGroupSnapshot(request)
        assert "CreateVolumeGroupSnapshot'" not in repr([call.request for call in served.driver.calls])


async def test_faults_are_told_by_name_or_by_group(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create("a")
        identifier, members = group.group_snapshot_id, member_ids(group)
        served.driver.faults.set(Fault(match="^CreateVolumeGroupSnapshot b$", error="FAILED_PRECONDITION"))
        served.driver.faults.set(Fault(match=f"^GetVolumeGroupSnapshot {identifier}$", error="DATA_LOSS"))
        served.driver.faults.set(Fault(match=f"^DeleteVolumeGroupSnapshot {identifier}$", error="INTERNAL"))
        await served.create("a")
        assert await code_of(served.create("b")) is StatusCode.FAILED_PRECONDITION
        assert await code_of(served.get(group)) is StatusCode.DATA_LOSS
        request = delete(identifier, *members)
        assert await code_of(served.groups.DeleteVolumeGroupSnapshot(request)) is StatusCode.INTERNAL
        assert [call.result_id for call in served.driver.log.of("CreateVolumeGroupSnapshot")] == [
            identifier,
            identifier,
            "",
        ]


STRANGE_ANSWERS: dict[str, tuple[dict[str, object], list[str]]] = {
    "a member is missing": ({"group_snapshot.snapshots": [0, 2]}, ["vol-1", "vol-3"]),
    "a member comes twice": ({"group_snapshot.snapshots": [0, 1, 1, 2]}, ["vol-1", "vol-2", "vol-2", "vol-3"]),
    "a member is foreign": (
        {"group_snapshot.snapshots": [0, {"snapshot_id": "foreign", "source_volume_id": "vol-9"}]},
        ["vol-1", "vol-9"],
    ),
    "there is no member": ({"group_snapshot.snapshots": []}, []),
    "there are thousands": ({"group_snapshot.snapshots": [0] * 5000}, ["vol-1"] * 5000),
    "a source is empty": ({"group_snapshot.snapshots.1.source_volume_id": ""}, ["vol-1", "", "vol-3"]),
}


@pytest.mark.parametrize(("answer", "sources"), STRANGE_ANSWERS.values(), ids=STRANGE_ANSWERS.keys())
async def test_an_answer_may_be_nonsense(tmp_path: Path, answer: dict[str, object], sources: list[str]) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="VolumeGroupSnapshot ", answer=answer, times=2))
        group = await served.create()
        assert [member.source_volume_id for member in group.snapshots] == sources
        true = served.driver.groups[group.group_snapshot_id].snapshot_ids
        got = await served.groups.GetVolumeGroupSnapshot(get(group.group_snapshot_id, *true))
        assert got.group_snapshot == group
        assert member_ids(await served.create()) == true


async def test_an_answer_may_have_the_wrong_ids_or_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for told in ("", "other"):
            answer: dict[str, object] = {"group_snapshot.group_snapshot_id": told}
            served.driver.faults.set(Fault(match="CreateVolumeGroupSnapshot", answer=answer, times=1))
            assert (await served.create()).group_snapshot_id == told
        served.driver.faults.set(Fault(match="CreateVolumeGroupSnapshot", answer={"group_snapshot": None}))
        assert await served.create() == VolumeGroupSnapshot()
        assert len(served.driver.groups) == 1


async def test_a_held_create_goes_on_when_its_client_has_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateVolumeGroupSnapshot", hold="before"))
        await abandon(served, served.groups.CreateVolumeGroupSnapshot(create()))
        assert await code_of(served.create()) is StatusCode.ABORTED
        assert not served.driver.groups
        served.driver.faults.lift(hold)
        await eventually(served.driver, lambda: len(served.driver.groups) == 1)
        assert list(served.driver.groups) == [(await served.create()).group_snapshot_id]


async def test_a_held_delete_goes_on_when_its_client_has_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        group = await served.create()
        request = delete(group.group_snapshot_id, *member_ids(group))
        hold = served.driver.faults.set(Fault(match="DeleteVolumeGroupSnapshot", hold="before"))
        await abandon(served, served.groups.DeleteVolumeGroupSnapshot(request))
        assert await code_of(served.groups.DeleteVolumeGroupSnapshot(request)) is StatusCode.ABORTED
        served.driver.faults.lift(hold)
        await eventually(served.driver, lambda: not served.driver.groups)
        assert not served.driver.snapshots


async def test_a_slow_group_goes_on_when_its_deadline_has_passed(tmp_path: Path) -> None:
    async with serving(tmp_path, create_delay_seconds=1) as served:
        await served.identity.GetPluginCapabilities(GetPluginCapabilitiesRequest())  # connects
        slow = served.groups.CreateVolumeGroupSnapshot(create(), timeout=0.5)
        assert await code_of(slow) is StatusCode.DEADLINE_EXCEEDED
        assert not served.driver.groups
        await eventually(served.driver, lambda: len(served.driver.groups) == 1)
        assert len(served.driver.snapshots) == len(VOLUMES)


async def abandon(served: Served, call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> None:
    """Give a call up as soon as it is held."""
    await served.driver.faults.wait_for_held()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    await eventually(served.driver, lambda: served.driver.calls[-1].code == "CANCELLED")


async def eventually(driver: Driver, condition: Any) -> None:
    """Return once the condition holds; it is looked at whenever the log of calls changes."""
    async with asyncio.timeout(GENEROUS_SECONDS):
        await driver.log.wait_until(lambda _: condition())
