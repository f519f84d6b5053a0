"""Promise 12: several sidecars, one leader. They are the installed command, each in a process of its own."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snapshotter.testing.driver import Call
from snapshotter.testing.faults import Fault
from tests.kubernetes.server import Kube
from tests.patience import patience
from tests.world import GROUP, KINDS, SINGLE, Kind, World, each_kind, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"
LEASE = "external-snapshotter-leader-bytes-csi-example-com"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
SHORT = (
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=500ms",
)
HAND_OVERS = int(os.environ.get("SNAPSHOTTER_HAND_OVERS", "12"))
"""How often the leadership changes in the long test."""
LONGEST_SECONDS = 120 + 60 * HAND_OVERS
"""How long that may take on a machine that is very busy with others."""
LOAD_PAUSE_SECONDS = 0.05 if HAND_OVERS <= 12 else 0.25
"""Between two new contents. A long test must not make more than the stand-in can list while leases are renewed."""


@pytest.fixture
def kind() -> Kind:
    return SINGLE


@pytest.fixture
async def world(tmp_path: Path, kind: Kind, kube: Kube | None) -> AsyncIterator[World]:
    async with make_world(tmp_path, kind, kube=kube) as made:
        await made.make_class()
        yield made


class Link:
    """A replica's way to the API server, which can be cut: open connections go dumb, new ones too."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._open.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await source.read(65536):
                    await self._open.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


class Replica:
    """One sidecar. It names the snapshots that it makes after itself, so the driver's log tells who acted."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, link: Link) -> None:
        self.name = name
        self.link = link
        self.log = ""
        self._process = process
        self._said = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log += line.decode()
            self._said.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self, seconds: float = 20.0) -> int:
        """The exit code, once the process has ended and all that it said is in the log."""
        async with patience(seconds, self.pid):
            await self._listening
            return await self._process.wait()

    async def says(self, text: str, seconds: float = 20.0) -> None:
        """Return once the log has this text."""
        async with patience(seconds, self.pid):
            while text not in self.log:
                self._said.clear()
                await self._said.wait()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()


NUMBERS = itertools.count(1)


@asynccontextmanager
async def replica(world: World, *flags: str) -> AsyncIterator[Replica]:
    name = f"r{next(NUMBERS)}"
    way = world.way
    link = Link(int(way.rpartition(":")[2]))
    async with link.serving() as port:
        kubeconfig = world.directory / f"{name}.kubeconfig"
        kubeconfig.write_text(world.kubeconfig.read_text().replace(way, f"http://127.0.0.1:{port}"))
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            f"--csi-address={world.driver.socket}",
            f"--kubeconfig={kubeconfig}",
            f"--snapshot-name-prefix={name}",
            f"--groupsnapshot-name-prefix={name}",
            "--leader-election",
            "--leader-election-namespace=default",
            "--retry-interval-start=50ms",
            "--retry-interval-max=400ms",
            *flags,
            stderr=asyncio.subprocess.PIPE,
        )
        made = Replica(name, process, link)
        try:
            yield made
        finally:
            await made.kill()


def holder(world: World) -> str:
    lease = world.server.get("leases", LEASE, "default")
    name: str = "" if lease is None else lease["spec"].get("holderIdentity", "")
    return name


def cuts(world: World) -> list[Call]:
    """The creates of either kind, in the order in which they began."""
    creates = [kind.create for kind in KINDS]
    return [call for call in world.driver.calls if call.method in creates]


def maker(call: Call) -> str:
    """Who made a call."""
    return str(call.request["name"]).partition("-")[0]


def assert_that_leaders_follow_each_other(world: World) -> None:
    """Nobody acts any more once another has begun."""
    calls = cuts(world)
    reigns = [name for name, _ in itertools.groupby(maker(call) for call in calls)]
    assert len(reigns) == len(set(reigns)), reigns
    for one, other in itertools.combinations(calls, 2):
        assert maker(one) == maker(other) or not one.overlaps(other), (one, other)


CONTENTS = itertools.count(1)


async def one_more(world: World) -> None:
    """Make a content and wait until it is ready, whoever leads."""
    name = f"c{next(CONTENTS)}"
    await world.make_content(name)
    await world.until(lambda: world.ready(name))


@each_kind
async def test_promise_12_after_sigterm_the_other_acts_within_three_seconds(world: World) -> None:
    """With the times that are the default."""
    async with replica(world) as one:
        await one_more(world)
        async with replica(world) as two:
            await two.says("standing by")
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0
            started = time.monotonic()
            await one_more(world)
            assert time.monotonic() - started < 3
            assert [maker(call) for call in cuts(world)] == [one.name, two.name]
            await world.until(lambda: len(world.events(LEASE)) == 3)
    messages = sorted(event["message"].partition(" ")[2] for event in world.events(LEASE))
    assert messages == ["became leader", "became leader", "stopped leading"]


async def test_a_killed_leader_is_followed_when_its_lease_has_run_out(world: World) -> None:
    async with replica(world, *SHORT) as one:
        await one_more(world)
        async with replica(world, *SHORT) as two:
            await two.says("standing by")
            one.signal(signal.SIGKILL)
            started = time.monotonic()
            await one.ended()
            await one_more(world)
            assert time.monotonic() - started < 4 + 3
            assert [maker(call) for call in cuts(world)] == [one.name, two.name]


async def test_a_paused_leader_does_not_act_when_it_wakes(world: World) -> None:
    """It is paused in the worst moment: the mark is written, and the next step is to cut."""
    async with replica(world, *SHORT) as one:
        await one_more(world)
        async with replica(world, *SHORT) as two:
            await two.says("standing by")
            world.server.faults.set(Fault(match=f"PATCH {world.kind.path}/marked$", hold="after", times=1))
            await world.make_content("marked")
            await world.server.faults.wait_for_held()
            one.signal(signal.SIGSTOP)
            world.server.faults.clear()
            await world.until(lambda: world.ready("marked"))
            one.signal(signal.SIGCONT)
            assert await one.ended() == 1
            assert "leadership lost" in one.log
            await one_more(world)
            assert [maker(call) for call in cuts(world)] == [one.name, two.name, two.name]


@each_kind
async def test_case_112_a_leader_without_the_api_server_stops_before_another_may_lead(world: World) -> None:
    async with replica(world, *SHORT) as one:
        await one_more(world)
        async with replica(world, *SHORT) as two:
            await two.says("standing by")
            world.hold(world.kind.create, times=1)
            await world.make_content("held")
            await world.driver.faults.wait_for_held()
            one.link.cut()
            assert await one.ended() == 1
            assert "leadership lost: the lease was not renewed for 3s" in one.log
            await world.until(lambda: world.ready("held"))
            cut = cuts(world)
            assert [maker(call) for call in cut] == [one.name, one.name, two.name]
            assert cut[1].code == "CANCELLED"
            assert_that_leaders_follow_each_other(world)


async def test_a_lease_that_upstream_holds_is_respected_and_taken_when_it_has_run_out(world: World) -> None:
    spec: dict[str, Any] = {
        "holderIdentity": "csi-node-0",
        "leaseDurationSeconds": 4,
        "acquireTime": "2026-01-01T12:00:00.000000Z",
        "renewTime": "2026-01-01T12:00:05.250000Z",
        "leaseTransitions": 2,
    }
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": spec}
    made = await world.request("POST", LEASES, lease)
    async with replica(world, "--leader-election-labels=team:storage") as one:
        await one.says("standing by")
        await world.make_content("one")
        await asyncio.sleep(2.0)
        # A sign of life, with a time of day that is long past: only that it has changed counts.
        spec["renewTime"] = "2026-01-01T12:00:10.250000Z"
        await world.request("PUT", f"{LEASES}/{LEASE}", made | {"spec": spec})
        renewed = time.monotonic()
        await world.until(lambda: world.ready("one"))
        assert time.monotonic() - renewed > 4
        assert cuts(world)[0].started_monotonic - renewed > 4
        found = world.server.get("leases", LEASE, "default")
        assert found is not None
        assert found["spec"]["leaseTransitions"] == 3
        assert found["spec"]["holderIdentity"] != "csi-node-0"
        assert found["metadata"]["labels"] == {"team": "storage"}


async def test_a_leader_finishes_its_work_before_it_gives_the_lease_away(world: World) -> None:
    """Also work that takes longer than a lease lasts."""
    async with replica(world, *SHORT) as one:
        await one_more(world)
        async with replica(world, *SHORT) as two:
            await two.says("standing by")
            hold = world.hold(world.kind.create, times=1)
            await world.make_content("held")
            await world.driver.faults.wait_for_held()
            one.signal(signal.SIGTERM)
            await one.says("stopping")
            await asyncio.sleep(5.0)
            assert holder(world) != ""
            assert len(cuts(world)) == 2
            world.driver.faults.lift(hold)
            assert await one.ended() == 0
            await one_more(world)
            assert [maker(call) for call in cuts(world)] == [one.name, one.name, two.name]


async def test_a_standby_ends_at_once_and_leaves_the_lease_alone(world: World) -> None:
    async with replica(world):
        await one_more(world)
        leader = holder(world)
        async with replica(world) as two:
            await two.says("standing by")
            await asyncio.sleep(1.0)
            two.signal(signal.SIGTERM)
            started = time.monotonic()
            assert await two.ended() == 0
            assert time.monotonic() - started < 2
        assert holder(world) == leader
        await one_more(world)


async def test_without_the_gate_the_lease_is_left_to_run_out(world: World) -> None:
    async with replica(world, "--feature-gates=ReleaseLeaderElectionOnExit=false") as one:
        await one_more(world)
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
    assert holder(world) != ""


async def test_leadership_is_seen_in_metrics_and_health(world: World, unused_tcp_port_factory: Any) -> None:
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    async with replica(world, f"--http-endpoint=127.0.0.1:{ports[0]}"):
        await one_more(world)
        async with replica(world, f"--metrics-address=127.0.0.1:{ports[1]}") as two, aiohttp.ClientSession() as http:
            await two.says("standing by")
            for port, leads in zip(ports, (1, 0), strict=True):
                async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
                    assert f'leader_election_master_status{{name="{LEASE}"}} {leads}.0' in await response.text()
                async with http.get(f"http://127.0.0.1:{port}/healthz/leader-election") as response:
                    assert (response.status, await response.text()) == (200, "ok")


async def acts(world: World, one: Replica, seconds: float = 20.0) -> None:
    """Return once a replica has cut something."""
    async with patience(seconds, one.pid):
        await world.until(lambda: any(maker(call) == one.name for call in cuts(world)), seconds=LONGEST_SECONDS)


async def hand_over(world: World, leader: Replica, other: Replica, number: int, seconds: float) -> None:
    """Take the leadership away, each time in another way. No step takes longer than so many seconds."""
    match number % 4:
        case 0:
            leader.signal(signal.SIGTERM)
        case 1:
            leader.signal(signal.SIGKILL)
        case 2:
            leader.link.cut()
        case _:
            leader.signal(signal.SIGSTOP)
            await acts(world, other, seconds)
            leader.signal(signal.SIGCONT)
    assert await leader.ended(seconds) == (0, -signal.SIGKILL, 1, 1)[number % 4], leader.log[-2000:]


def clocks(lease_seconds: float) -> tuple[str, ...]:
    return (
        f"--leader-election-lease-duration={lease_seconds:.3f}s",
        f"--leader-election-renew-deadline={lease_seconds * 3 / 4:.3f}s",
        f"--leader-election-retry-period={lease_seconds / 8:.3f}s",
    )


async def ended(task: asyncio.Task[None]) -> None:
    """End a task that would go on for ever. If it has failed, so does this."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


@pytest.mark.timeout(LONGEST_SECONDS)
async def test_promise_12_two_leaders_never_act_at_the_same_time(world: World) -> None:
    """So many hand-overs, while contents of both kinds keep coming."""
    await world.of(GROUP).make_class()

    async def keep_coming() -> None:
        for number in itertools.count():
            began = time.monotonic()
            await world.of(KINDS[number % 2]).make_content(f"load-{number}")
            # A server that is slow is given more time for what leaders ask of it.
            await asyncio.sleep(max(LOAD_PAUSE_SECONDS, 5 * (time.monotonic() - began)))

    async with AsyncExitStack() as replicas:
        replicas.push_async_callback(ended, asyncio.create_task(keep_coming()))
        started = time.monotonic()
        leader = await replicas.enter_async_context(replica(world, *clocks(60.0)))
        await acts(world, leader)
        # Where a program needs long to begin, it is late with a renewal as well.
        lease_seconds = max(4.0, 2 * (time.monotonic() - started))
        patience_seconds = lease_seconds + 20.0
        for number in range(HAND_OVERS):
            await acts(world, leader, patience_seconds)
            other = await replicas.enter_async_context(replica(world, *clocks(lease_seconds)))
            await other.says("standing by", patience_seconds)
            await hand_over(world, leader, other, number, patience_seconds)
            leader = other
        await acts(world, leader, patience_seconds)
    assert_that_leaders_follow_each_other(world)
    assert len({maker(call) for call in cuts(world)}) == HAND_OVERS + 1
