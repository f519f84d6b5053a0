"""The snapshot-controller as the installed command: how it ends, what it says, and who leads."""

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snapshotter.testing.apiserver.server import definitions_in, shipped_crds
from snapshotter.testing.faults import Fault
from tests.controller.shop import ACCOUNT, SINGLES, Shop
from tests.kubernetes.server import Kube
from tests.world import DEFINITIONS, GROUP, make_world

COMMAND = Path(sys.executable).parent / "snapshot-controller"
LEASE = "snapshot-controller-leader"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
ELECTION = ("--leader-election", "--leader-election-namespace=kube-system")
SHORT = (
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=500ms",
)


@pytest.fixture
async def shop(tmp_path: Path, kube: Kube | None) -> AsyncIterator[Shop]:
    """Two claims, and the sidecar at work."""
    async with make_world(tmp_path, kube=kube) as world:
        await world.make_class()
        await world.of(GROUP).make_class()
        made = Shop(world, SINGLES)
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await made.make_volume(claim, handle)
            await made.make_claim(claim, {"app": "db"})
        async with world.sidecar():
            yield made


class Replica:
    """One process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.log = ""
        self._process = process
        self._said = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log += line.decode()
            self._said.set()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self, seconds: float = 30.0) -> int:
        """The exit code, once the process has ended and all that it said is in the log."""
        async with asyncio.timeout(seconds):
            await self._listening
            return await self._process.wait()

    async def says(self, text: str, seconds: float = 30.0) -> None:
        """Return once the log has this text."""
        async with asyncio.timeout(seconds):
            while text not in self.log:
                self._said.clear()
                await self._said.wait()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()


@asynccontextmanager
async def replica(shop: Shop, *flags: str) -> AsyncIterator[Replica]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        f"--kubeconfig={shop.world.kubeconfig_of(ACCOUNT)}",
        "--retry-interval-start=50ms",
        "--retry-interval-max=400ms",
        *flags,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Replica(process)
    try:
        yield made
    finally:
        await made.end()


NUMBERS = itertools.count(1)


async def one_more(shop: Shop) -> None:
    """Make a snapshot and wait until it is ready, whoever leads."""
    name = f"s{next(NUMBERS)}"
    await shop.make(name)
    await shop.world.until(lambda: shop.ready(name), seconds=30)


def holder(shop: Shop) -> str:
    lease = shop.world.server.get("leases", LEASE, "kube-system")
    name: str = "" if lease is None else lease["spec"].get("holderIdentity", "")
    return name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_orderly(shop: Shop, number: signal.Signals) -> None:
    """Case 181, W34, W35: with the endpoint on, too."""
    async with replica(shop, "--http-endpoint=127.0.0.1:0") as one:
        await one_more(shop)
        one.signal(number)
        assert await one.ended() == 0
        assert "stopped" in one.log
        assert "Traceback" not in one.log


async def test_a_write_in_flight_is_finished_before_it_ends(shop: Shop) -> None:
    faults = shop.world.server.faults
    async with replica(shop) as one:
        await one_more(shop)
        hold = faults.set(Fault(match=f"POST {SINGLES.kind.path}$", hold="before", times=1))
        await shop.make("held")
        await faults.wait_for_held()
        one.signal(signal.SIGTERM)
        await one.says("stopping")
        faults.lift(hold)
        assert await one.ended() == 0
        assert shop.content("held") is not None


async def test_a_second_signal_does_not_wait(shop: Shop) -> None:
    faults = shop.world.server.faults
    async with replica(shop) as one:
        await one_more(shop)
        faults.set(Fault(match=f"POST {SINGLES.kind.path}$", hold="before"))
        await shop.make("held")
        await faults.wait_for_held()
        one.signal(signal.SIGTERM)
        await one.says("stopping")
        one.signal(signal.SIGTERM)
        await one.ended(seconds=10)


async def test_promise_12_after_sigterm_the_other_acts_within_three_seconds(shop: Shop) -> None:
    """With the times that are the default."""
    async with replica(shop, *ELECTION) as one:
        await one_more(shop)
        async with replica(shop, *ELECTION) as two:
            await two.says("standing by")
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0
            started = time.monotonic()
            await one_more(shop)
            assert time.monotonic() - started < 3
            await shop.world.until(lambda: len(shop.world.events(LEASE)) == 3)
    messages = sorted(event["message"].partition(" ")[2] for event in shop.world.events(LEASE))
    assert messages == ["became leader", "became leader", "stopped leading"]


async def test_a_killed_leader_is_followed_and_does_not_act_when_it_was_only_paused(shop: Shop) -> None:
    async with AsyncExitStack() as replicas:
        one = await replicas.enter_async_context(replica(shop, *ELECTION, *SHORT))
        await one_more(shop)
        two = await replicas.enter_async_context(replica(shop, *ELECTION, *SHORT))
        await two.says("standing by")
        one.signal(signal.SIGSTOP)
        await one_more(shop)
        one.signal(signal.SIGCONT)
        assert await one.ended() == 1
        assert "leadership lost" in one.log
        three = await replicas.enter_async_context(replica(shop, *ELECTION, *SHORT))
        await three.says("standing by")
        two.signal(signal.SIGKILL)
        await two.ended()
        await one_more(shop)
    assert [event for event in shop.world.server.list("events") if event["type"] == "Warning"] == []


async def test_a_standby_ends_at_once_and_leaves_the_lease_alone(shop: Shop) -> None:
    """Case 181, W34."""
    async with replica(shop, *ELECTION):
        await one_more(shop)
        leader = holder(shop)
        async with replica(shop, *ELECTION) as two:
            await two.says("standing by")
            two.signal(signal.SIGTERM)
            assert await two.ended() == 0
        assert holder(shop) == leader
        await one_more(shop)


async def test_a_lease_that_upstream_holds_is_respected(shop: Shop) -> None:
    """Replicas of both programs may run side by side while one is replaced by the other."""
    spec: dict[str, Any] = {
        "holderIdentity": "snapshot-controller-7d5f9c",
        "leaseDurationSeconds": 3,
        "acquireTime": "2026-01-01T12:00:00.000000Z",
        "renewTime": "2026-01-01T12:00:05.250000Z",
        "leaseTransitions": 2,
    }
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": spec}
    await shop.world.request("POST", LEASES, lease)
    began = time.monotonic()
    async with replica(shop, *ELECTION, *SHORT) as one:
        await one.says("standing by")
        await shop.make("one")
        await shop.world.until(lambda: shop.ready("one"), seconds=30)
        assert time.monotonic() - began > 3
        found = shop.world.server.get("leases", LEASE, "kube-system")
        assert found is not None
        assert found["spec"]["leaseTransitions"] == 3


async def test_leadership_is_seen_in_metrics_and_health(shop: Shop, unused_tcp_port_factory: Any) -> None:
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    async with replica(shop, *ELECTION, f"--http-endpoint=127.0.0.1:{ports[0]}"):
        await one_more(shop)
        async with (
            replica(shop, *ELECTION, f"--http-endpoint=127.0.0.1:{ports[1]}") as two,
            aiohttp.ClientSession() as http,
        ):
            await two.says("standing by")
            for port, leads in zip(ports, (1, 0), strict=True):
                async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
                    page = await response.text()
                    assert f'leader_election_master_status{{name="{LEASE}"}} {leads}.0' in page
                    assert "process_start_time_seconds " in page
                async with http.get(f"http://127.0.0.1:{port}/healthz/leader-election") as response:
                    assert (response.status, await response.text()) == (200, "ok")


async def run(*arguments: str, seconds: float = 30.0) -> tuple[int, str, str]:
    """Run the command to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


COMPLAINTS = {
    "an unknown flag": (["--leader"], 2, "unrecognized arguments: --leader"),
    "a bad value": (["--resync-period=5"], 2, '"5" is not a duration such as 5s or 1m30s'),
    "settings that make no sense": (["--worker-threads=0"], 1, "--worker-threads must be more than zero"),
    "a missing kubeconfig": (["--kubeconfig=/nowhere/kubeconfig"], 1, "kubeconfig /nowhere/kubeconfig is unusable"),
    "no cluster around it": ([], 1, "the in-cluster configuration is unusable"),
    "an address that is taken": (["--kubeconfig=KUBECONFIG", "--http-endpoint=TAKEN"], 255, "cannot listen at"),
}


@pytest.mark.anywhere
@pytest.mark.parametrize(("flags", "code", "text"), COMPLAINTS.values(), ids=COMPLAINTS.keys())
async def test_what_cannot_work_ends_with_one_clear_line(shop: Shop, flags: list[str], code: int, text: str) -> None:
    taken = shop.world.server.url.partition("//")[2]
    flags = [
        flag.replace("KUBECONFIG", str(shop.world.kubeconfig_of(ACCOUNT))).replace("TAKEN", taken) for flag in flags
    ]
    returned, _, err = await run(*flags)
    assert returned == code
    assert text in err
    assert "Traceback" not in err


async def test_without_the_definitions_of_snapshots_it_ends_when_it_has_waited_long_enough(shop: Shop) -> None:
    """Case 179."""
    for definition in definitions_in(shipped_crds()):
        await shop.world.request("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")
    code, _, err = await run(f"--kubeconfig={shop.world.kubeconfig_of(ACCOUNT)}", "--retry-crd-interval-max=1s")
    assert code == 1
    assert "apply manifests/crds" in err


async def test_it_takes_the_arguments_of_upstreams_manifest_and_of_its_other_flags(shop: Shop) -> None:
    """Drop-in: whatever stands in an existing deployment is understood."""
    upstream = (
        "--v=5",
        "--leader-election=true",
        "-leader-election-namespace",
        "kube-system",
        "--resync-period=15m",
        "--worker-threads",
        "10",
        "--leader-election-lease-duration=15s",
        "--leader-election-renew-deadline=10s",
        "--leader-election-retry-period=5s",
        "--kube-api-qps=5",
        "--kube-api-burst=10",
        "--http-endpoint=127.0.0.1:0",
        "--metrics-path=/metrics",
        "--retry-interval-start=1s",
        "--retry-interval-max=5m",
        "--enable-distributed-snapshotting=false",
        "--prevent-volume-mode-conversion",
        "--retry-crd-interval-max=30s",
        "--feature-gates=CSIVolumeGroupSnapshot=true,ReleaseLeaderElectionOnExit=true",
        "--automaxprocs",
        "--vmodule=",
        "--logging-format=json",
        "--log-flush-frequency=5s",
        "--log-text-split-stream=false",
        "--log-text-info-buffer-size=0",
        "--log-json-split-stream=false",
        "--log-json-info-buffer-size=0",
    )
    async with replica(shop, *upstream) as one:
        await one_more(shop)
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0


async def test_it_tells_its_version(tmp_path: Path) -> None:
    code, out, _ = await run("--version")
    assert code == 0
    assert out.startswith("snapshot-controller ")
