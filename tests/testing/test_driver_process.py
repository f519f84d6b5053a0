"""The driver as a process of its own: started, steered over HTTP, stopped and killed."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from csi_proto.csi_pb2 import (
    CreateSnapshotRequest,
    CreateVolumeGroupSnapshotRequest,
    DeleteVolumeGroupSnapshotRequest,
    GetPluginInfoRequest,
    ProbeRequest,
    Snapshot,
    VolumeGroupSnapshot,
)
from csi_proto.csi_pb2_grpc import ControllerStub, GroupControllerStub, IdentityStub
from snapshotter.testing.admin import Admin
from snapshotter.testing.driver import DriverOptions
from snapshotter.testing.driver.__main__ import parser
from snapshotter.testing.driver.options import from_arguments
from snapshotter.testing.faults import Fault

GENEROUS_SECONDS = 30
COMMAND = (sys.executable, "-W", "error", "-m", "snapshotter.testing.driver")


class Process:
    """A driver that runs on its own."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path) -> None:
        self.process = process
        self.socket = directory / "csi.sock"
        self.admin_url = (directory / "admin").read_text()

    async def end(self) -> int:
        """Ask it to stop; the exit code."""
        self.process.terminate()
        async with asyncio.timeout(GENEROUS_SECONDS):
            return await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def started(directory: Path, *options: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments(directory),
        *("--admin", "127.0.0.1:0", "--admin-file", str(directory / "admin")),
        *options,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(GENEROUS_SECONDS):
            line = (await process.stdout.readline()).decode()
        driver = Process(process, directory)
        assert str(driver.socket) in line
        assert driver.admin_url in line
        yield driver
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def arguments(directory: Path) -> list[str]:
    return ["--socket", str(directory / "csi.sock"), "--state", str(directory / "state")]


async def test_it_ends_well_on_sigterm_whatever_it_is_at(tmp_path: Path) -> None:
    hang = '{"match": "^(CreateSnapshot|Probe)", "hold": "before"}'
    async with (
        started(tmp_path, "--fault", hang) as driver,
        Admin(driver.admin_url) as admin,
        grpc.aio.insecure_channel(f"unix:{driver.socket}") as channel,
    ):
        hanging: list[Awaitable[object]] = [
            asyncio.ensure_future(ControllerStub(channel).CreateSnapshot(CreateSnapshotRequest(name=name)))
            for name in ("a", "b")
        ]
        hanging.append(asyncio.ensure_future(IdentityStub(channel).Probe(ProbeRequest())))
        await admin.wait_for_held(3, timeout=GENEROUS_SECONDS)
        waiting = asyncio.create_task(admin.wait_for_held(9, timeout=GENEROUS_SECONDS))

        begun = asyncio.get_running_loop().time()
        assert await driver.end() == 0
        assert asyncio.get_running_loop().time() - begun < 10
        assert not driver.socket.exists()
        outcomes = await asyncio.gather(*hanging, waiting, return_exceptions=True)
        assert all(isinstance(outcome, BaseException) for outcome in outcomes)


async def test_it_is_steered_over_http(tmp_path: Path) -> None:
    async with (
        started(tmp_path, "--ready-after-seconds", "inf", "--name", "other.example.com") as driver,
        Admin(driver.admin_url) as admin,
        aiohttp.ClientSession(driver.admin_url) as http,
        grpc.aio.insecure_channel(f"unix:{driver.socket}") as channel,
    ):

        async def post(path: str, body: object = None, expected: int = 200) -> object:
            async with http.post(f"/_standin/{path}", json=body) as response:
                assert response.status == expected
                return await response.json()

        async def read(path: str) -> bytes:
            async with http.get(f"/_standin/{path}") as response:
                return await response.read()

        info = await IdentityStub(channel).GetPluginInfo(GetPluginInfoRequest())
        assert info.name == "other.example.com"

        content = base64.b64encode(b"before").decode()
        assert await post("volumes", {"name": "vol-1", "content": content}) == {"id": "vol-1"}
        assert await post("volumes", {"name": "vol-2", "size": 5}) == {"id": "vol-2"}
        for wrong in ({"name": "vol-1"}, {"name": "../x"}, {"name": "x", "content": "?"}, {"nane": "x"}):
            await post("volumes", wrong, expected=400)

        snapshot = await create(channel, "a")
        overwritten = base64.b64encode(b"AF").decode()
        await post("volumes/vol-1/write", {"content": overwritten, "offset": 1})
        await post("volumes/vol-1/write", {"content": overwritten, "offset": 5}, expected=400)
        await post("volumes/unknown/write", {"content": ""}, expected=404)
        assert await read("volumes/vol-1/content") == b"bAFore"
        assert await read(f"snapshots/{snapshot.snapshot_id}/content") == b"before"

        assert not snapshot.ready_to_use
        await post(f"snapshots/{snapshot.snapshot_id}/ready")
        assert (await create(channel, "a")).ready_to_use

        async with http.get("/_standin/state") as response:
            state = await response.json()
        assert list(state["volumes"]) == ["vol-1", "vol-2"]
        assert state["volumes"]["vol-2"]["size_bytes"] == 5
        assert list(state["snapshots"]) == [snapshot.snapshot_id]
        assert state["snapshots"][snapshot.snapshot_id]["volume_id"] == "vol-1"
        assert state["groups"] == {}

        assert [call["method"] for call in await admin.calls()] == [
            "GetPluginInfo",
            "CreateSnapshot",
            "CreateSnapshot",
        ]
        await admin.reset_calls()
        await admin.set_fault(Fault(match="CreateSnapshot vol-1", error="INTERNAL"))
        with pytest.raises(grpc.aio.AioRpcError):
            await create(channel, "b")
        [call] = await admin.calls()
        assert (call["number"], call["code"]) == (4, "INTERNAL")


@pytest.mark.parametrize("count", [1, 77])
async def test_a_kill_at_any_instant_leaves_whole_snapshots(tmp_path: Path, count: int) -> None:
    content = bytes(range(256)) * 256
    names = [f"s{n}" for n in range(200)]
    answered: dict[str, Snapshot] = {}

    async def create_all(socket: Path, enough: asyncio.Event) -> None:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel, asyncio.TaskGroup() as group:
            left = iter(names)

            async def worker() -> None:
                for name in left:
                    try:
                        snapshot = await create(channel, name)
                    except grpc.aio.AioRpcError:
                        return
                    assert answered.setdefault(name, snapshot) == snapshot
                    if len(answered) == count:
                        enough.set()

            for _ in range(8):
                group.create_task(worker())

    async with started(tmp_path) as driver, aiohttp.ClientSession(driver.admin_url) as http:
        encoded = base64.b64encode(content).decode()
        async with http.post("/_standin/volumes", json={"name": "vol-1", "content": encoded}) as response:
            assert response.status == 200
        enough = asyncio.Event()
        creating = asyncio.create_task(create_all(driver.socket, enough))
        await enough.wait()
        await driver.kill()
        await creating
    assert len(answered) < len(names)

    async with started(tmp_path) as driver, aiohttp.ClientSession(driver.admin_url) as http:
        await create_all(driver.socket, asyncio.Event())
        assert sorted(answered) == sorted(names)
        async with http.get("/_standin/state") as response:
            kept = (await response.json())["snapshots"]
        assert sorted(snapshot["name"] for snapshot in kept.values()) == sorted(names)
        files = {path.name: path for path in (tmp_path / "state" / "snapshots").iterdir()}
        assert sorted(files) == sorted(kept)
        assert all(path.read_bytes() == content for path in files.values())


async def test_groups_are_steered_over_http(tmp_path: Path) -> None:
    async with (
        started(tmp_path, "--ready-after-seconds", "inf") as driver,
        aiohttp.ClientSession(driver.admin_url) as http,
        grpc.aio.insecure_channel(f"unix:{driver.socket}") as channel,
    ):
        await make_volumes(http, b"bytes", "vol-1", "vol-2")
        group = await create_group(channel, "g")
        assert not group.ready_to_use
        kept = (await state_of(http))["groups"]
        assert list(kept) == [group.group_snapshot_id]
        record = kept[group.group_snapshot_id]
        assert (record["name"], record["volume_ids"]) == ("g", ["vol-1", "vol-2"])
        assert record["snapshot_ids"] == [member.snapshot_id for member in group.snapshots]
        for identifier, status in ((group.group_snapshot_id, 200), ("unknown", 404)):
            async with http.post(f"/_standin/groups/{identifier}/ready") as response:
                assert response.status == status
        assert (await create_group(channel, "g")).ready_to_use


async def test_no_write_falls_between_the_members_of_a_group(tmp_path: Path) -> None:
    """A writer counts in the first volume, then in the second: a member of a later instant would be ahead."""
    cuts = 30
    async with (
        started(tmp_path) as driver,
        aiohttp.ClientSession(driver.admin_url) as http,
        grpc.aio.insecure_channel(f"unix:{driver.socket}") as channel,
    ):
        await make_volumes(http, bytes(1 << 18), "vol-1", "vol-2")
        done = asyncio.Event()

        async def count() -> int:
            number = 0
            while not done.is_set():
                number += 1
                content = base64.b64encode(number.to_bytes(8, "big")).decode()
                for volume in ("vol-1", "vol-2"):
                    async with http.post(f"/_standin/volumes/{volume}/write", json={"content": content}) as response:
                        assert response.status == 200
            return number

        async def counted(snapshot: Snapshot) -> int:
            async with http.get(f"/_standin/snapshots/{snapshot.snapshot_id}/content") as response:
                return int.from_bytes((await response.read())[:8], "big")

        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(count())
            groups = [await create_group(channel, f"g{number}") for number in range(cuts)]
            done.set()

        seen = [(await counted(group.snapshots[0]), await counted(group.snapshots[1])) for group in groups]
        assert all(first - 1 <= second <= first for first, second in seen), seen
        assert seen == sorted(seen)
        assert seen[-1][0] <= counting.result()
        assert seen[-1] > seen[0]


@pytest.mark.parametrize("count", [1, 40])
async def test_a_kill_at_any_instant_leaves_whole_groups(tmp_path: Path, count: int) -> None:
    names = [f"g{n}" for n in range(100)]
    answered: dict[str, VolumeGroupSnapshot] = {}

    async def create_and_delete_all(socket: Path, enough: asyncio.Event) -> None:
        """Make every group, and remove those with an odd number again."""
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel, asyncio.TaskGroup() as tasks:
            left = iter(names)

            async def worker() -> None:
                for name in left:
                    try:
                        group = answered.get(name) or await create_group(channel, name)
                        answered[name] = group
                        if int(name[1:]) % 2:
                            await delete_group(channel, group)
                    except grpc.aio.AioRpcError:
                        return
                    if len(answered) >= count:
                        enough.set()

            for _ in range(8):
                tasks.create_task(worker())

    async with started(tmp_path) as driver, aiohttp.ClientSession(driver.admin_url) as http:
        await make_volumes(http, b"bytes", "vol-1", "vol-2")
        enough = asyncio.Event()
        working = asyncio.create_task(create_and_delete_all(driver.socket, enough))
        await enough.wait()
        await driver.kill()
        await working

    async with started(tmp_path) as driver, aiohttp.ClientSession(driver.admin_url) as http:
        await assert_groups_are_whole(http, tmp_path)
        await create_and_delete_all(driver.socket, asyncio.Event())
        groups = await assert_groups_are_whole(http, tmp_path)
        assert sorted(group["name"] for group in groups.values()) == sorted(names[::2])
        assert all(answered[group["name"]].group_snapshot_id == group["id"] for group in groups.values())


async def assert_groups_are_whole(http: aiohttp.ClientSession, directory: Path) -> Any:
    """Every member is there with its bytes, and there is no snapshot besides; gives the groups."""
    state = await state_of(http)
    members = {member: group["id"] for group in state["groups"].values() for member in group["snapshot_ids"]}
    assert {snapshot["id"]: snapshot["group_id"] for snapshot in state["snapshots"].values()} == members
    assert len(members) == 2 * len(state["groups"])
    files = {path.name: path.read_bytes() for path in (directory / "state" / "snapshots").iterdir()}
    assert files == dict.fromkeys(members, b"bytes")
    return state["groups"]


async def test_it_says_in_one_line_why_it_cannot_serve(tmp_path: Path) -> None:
    async with started(tmp_path):
        code, told = await failed_start(tmp_path)
    assert code == 1
    assert told.splitlines() == [f"the driver cannot serve: another driver uses {tmp_path / 'state'}"]


async def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "csi.sock").mkdir()
    code, told = await failed_start(tmp_path)
    assert code == 1
    assert len(told.splitlines()) == 1
    assert "csi.sock" in told


async def create(channel: grpc.aio.Channel, name: str) -> Snapshot:
    request = CreateSnapshotRequest(name=name, source_volume_id="vol-1")
    answer = await ControllerStub(channel).CreateSnapshot(request, timeout=GENEROUS_SECONDS)
    return answer.snapshot


async def create_group(channel: grpc.aio.Channel, name: str) -> VolumeGroupSnapshot:
    request = CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=["vol-1", "vol-2"])
    answer = await GroupControllerStub(channel).CreateVolumeGroupSnapshot(request, timeout=GENEROUS_SECONDS)
    return answer.group_snapshot


async def delete_group(channel: grpc.aio.Channel, group: VolumeGroupSnapshot) -> None:
    request = DeleteVolumeGroupSnapshotRequest(
        group_snapshot_id=group.group_snapshot_id, snapshot_ids=[member.snapshot_id for member in group.snapshots]
    )
    await GroupControllerStub(channel).DeleteVolumeGroupSnapshot(request, timeout=GENEROUS_SECONDS)


async def make_volumes(http: aiohttp.ClientSession, content: bytes, *names: str) -> None:
    for name in names:
        body = {"name": name, "content": base64.b64encode(content).decode()}
        async with http.post("/_standin/volumes", json=body) as response:
            assert response.status == 200


async def state_of(http: aiohttp.ClientSession) -> Any:
    async with http.get("/_standin/state") as response:
        return await response.json()


async def failed_start(directory: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments(directory), stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(GENEROUS_SECONDS):
        _, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


BAD_ARGUMENTS = {
    "an address needs a port": ["--admin", "127.0.0.1"],
    "a fault is JSON": ["--fault", "hold"],
    "a fault has known fields": ["--fault", '{"match": "x", "holt": "before"}'],
    "a required secret names method, key and value": ["--required-secret", "user=admin"],
    "a size is a number": ["--volume-size-bytes", "1Gi"],
}


@pytest.mark.parametrize("wrong", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*arguments(tmp_path), *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_command_line_says_what_the_options_say(tmp_path: Path) -> None:
    parsed = parser().parse_args(
        [
            *arguments(tmp_path),
            *("--no-list-snapshots", "--omit-size", "--ready-after-seconds", "1.5", "--probes-not-ready", "2"),
            *("--no-groups", "--member-ready-spread-seconds", "0.5"),
            *("--required-secret", "CreateSnapshot:user=a=b", "--required-secret", "CreateSnapshot:key=k"),
        ]
    )
    assert from_arguments(parsed) == DriverOptions(
        state=tmp_path / "state",
        list_snapshots=False,
        omit_size=True,
        groups=False,
        ready_after_seconds=1.5,
        member_ready_spread_seconds=0.5,
        probes_not_ready=2,
        required_secrets={"CreateSnapshot": {"user": "a=b", "key": "k"}},
    )
    assert from_arguments(parser().parse_args(arguments(tmp_path))) == DriverOptions(state=tmp_path / "state")
