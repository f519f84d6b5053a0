"""The installed command as a process: how it ends, and what it says."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kubernetes.server import Kube
from tests.world import SINGLE, Kind, World, each_kind, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"


@pytest.fixture
def kind() -> Kind:
    return SINGLE


@pytest.fixture
async def world(tmp_path: Path, kind: Kind, kube: Kube | None) -> AsyncIterator[World]:
    async with make_world(tmp_path, kind, kube=kube) as made:
        await made.make_class()
        yield made


async def run(*arguments: str, seconds: float = 20.0) -> tuple[int, str, str]:
    """Run the command to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def own_lines(err: str) -> list[str]:
    """What the program says to the person who started it, apart from the log."""
    lines = [line for line in err.splitlines() if line.startswith("csi-snapshotter: ")]
    return [line for line in lines if not line.startswith("csi-snapshotter: warning: ")]


def arguments(world: World) -> list[str]:
    return [f"--csi-address={world.driver.socket}", f"--kubeconfig={world.kubeconfig}"]


@each_kind
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_amid_ten_hanging_creates_ends_it_within_the_grace_time(
    world: World, number: signal.Signals
) -> None:
    world.hold(world.kind.create)
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments(world), "--shutdown-grace-period=1s", stderr=asyncio.subprocess.DEVNULL
    )
    for content in range(10):
        await world.make_content(f"c{content}")
    await world.driver.faults.wait_for_held(10)
    process.send_signal(number)
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    # The outcome is not known, so the marks stay for the next process to find out.
    assert all(world.kind.being_created in world.annotations(f"c{content}") for content in range(10))


@each_kind
async def test_case_111_a_create_in_flight_is_finished_within_the_grace_time(world: World) -> None:
    hold = world.hold(world.kind.create)
    process = await asyncio.create_subprocess_exec(COMMAND, *arguments(world), stderr=asyncio.subprocess.PIPE)
    await world.make_content("one")
    await world.driver.faults.wait_for_held(1)
    process.terminate()
    assert process.stderr is not None
    async for line in process.stderr:
        if b"stopping" in line:
            break
    await world.make_content("too-late")
    world.driver.faults.lift(hold)
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert world.ready("one")
    assert world.kind.being_created not in world.annotations("one")
    assert world.calls(world.kind.create) == 1


@pytest.mark.anywhere
async def test_a_signal_during_the_start_ends_it_at_once(world: World, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        f"--csi-address={tmp_path}/none",
        f"--kubeconfig={world.kubeconfig}",
        "--http-endpoint=127.0.0.1:0",
        stderr=asyncio.subprocess.PIPE,
    )
    # The signal must find the program, not the interpreter that loads it.
    assert process.stderr is not None
    async for line in process.stderr:
        if b"serving metrics" in line:
            break
    process.terminate()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


COMPLAINTS = {
    "an unknown flag": (["--leader"], 2, "unrecognized arguments: --leader"),
    "a bad value": (["--timeout=5"], 2, '"5" is not a duration such as 5s or 1m30s'),
    "settings that make no sense": (
        ["--snapshot-name-prefix=", "--worker-threads=0"],
        1,
        "--snapshot-name-prefix must not be empty; --worker-threads must be more than zero",
    ),
    "two addresses": (
        ["--http-endpoint=:1", "--metrics-address=:1"],
        1,
        "--metrics-address and --http-endpoint cannot both be set",
    ),
    "a missing kubeconfig": (["--kubeconfig=/nowhere/kubeconfig"], 1, "kubeconfig /nowhere/kubeconfig is unusable"),
    "no cluster around it": ([], 1, "the in-cluster configuration is unusable"),
    "an address that is no socket": (
        ["--csi-address=tcp://127.0.0.1:1", "--kubeconfig=KUBECONFIG"],
        1,
        "is not the absolute path of a Unix socket",
    ),
    "an address that is taken": (["--kubeconfig=KUBECONFIG", "--http-endpoint=TAKEN"], 255, "cannot listen at"),
}


@pytest.mark.anywhere
@pytest.mark.parametrize(("flags", "code", "text"), COMPLAINTS.values(), ids=COMPLAINTS.keys())
async def test_what_cannot_work_ends_with_one_clear_line(world: World, flags: list[str], code: int, text: str) -> None:
    taken = world.server.url.partition("//")[2]
    flags = [flag.replace("KUBECONFIG", str(world.kubeconfig)).replace("TAKEN", taken) for flag in flags]
    returned, _, err = await run(*flags)
    assert returned == code
    if code == 2:
        assert text in err
        assert "usage: csi-snapshotter [flags]" in err
    else:
        (line,) = own_lines(err)
        assert text in line
        assert "Traceback" not in err


BROKEN_KUBECONFIGS = {
    "no YAML": "{",
    "nothing": "",
    "a list": "[]",
    "no server": "apiVersion: v1\nkind: Config\ncurrent-context: a\n",
    "a strange server": (
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'nonsense'}}]\n"
        "users: [{name: a, user: {}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
    ),
    "a certificate that is none": (
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: bm8=}}]\n"
        "users: [{name: a, user: {}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
    ),
}


@pytest.mark.parametrize("text", BROKEN_KUBECONFIGS.values(), ids=BROKEN_KUBECONFIGS.keys())
async def test_a_broken_kubeconfig_ends_it_with_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    returned, _, err = await run(f"--kubeconfig={path}")
    assert returned == 1
    (line,) = own_lines(err)
    assert f"kubeconfig {path}" in line
    assert "Traceback" not in err


@pytest.mark.anywhere
async def test_a_missing_socket_ends_it_after_half_a_minute(world: World, tmp_path: Path) -> None:
    returned, _, err = await run(f"--csi-address={tmp_path}/none", f"--kubeconfig={world.kubeconfig}", seconds=50)
    assert returned == 1
    (line,) = own_lines(err)
    assert "no connection to the driver's socket within 30s" in line


DRIVERS: dict[str, tuple[dict[str, Any], str]] = {
    "a driver without snapshots": ({"snapshots": False}, "does not announce CREATE_DELETE_SNAPSHOT"),
}


@pytest.mark.anywhere
@pytest.mark.parametrize(("options", "text"), DRIVERS.values(), ids=DRIVERS.keys())
async def test_a_driver_that_cannot_be_used_ends_it(
    tmp_path: Path, kube: Kube | None, options: dict[str, Any], text: str
) -> None:
    """Case 103."""
    async with make_world(tmp_path, kube=kube, **options) as world:
        returned, _, err = await run(*arguments(world))
    assert returned == 1
    (line,) = own_lines(err)
    assert text in line


async def test_help_and_version_end_with_zero() -> None:
    returned, out, _ = await run("--help")
    assert returned == 0
    assert "--csi-address" in out
    returned, out, _ = await run("-version")
    assert returned == 0
    assert out.startswith("csi-snapshotter ")


async def test_metrics_and_health_are_served(world: World, unused_tcp_port: int) -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments(world), f"--http-endpoint=127.0.0.1:{unused_tcp_port}", stderr=asyncio.subprocess.DEVNULL
    )
    await world.make_content("one")
    await world.until(lambda: world.ready("one"))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:
        for path in ("/healthz", "/readyz"):
            async with http.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok")
        async with http.get("/metrics") as response:
            page = await response.text()
    process.terminate()
    assert await process.wait() == 0
    operation = (
        'driver_name="bytes.csi.example.com",grpc_status_code="OK",method_name="/csi.v1.Controller/CreateSnapshot"'
    )
    for line in (
        f"csi_sidecar_operations_seconds_count{{{operation}}} 1.0",
        'workqueue_adds_total{name="csi-snapshotter-content"} 1.0',
        'snapshotter_contents{driver_name="bytes.csi.example.com",kind="VolumeSnapshotContent",state="ready"} 1.0',
        "snapshotter_driver_connected 1.0",
    ):
        assert line in page
