"""Promise 4 in real time: the installed command with its default flags, for one minute.

All contents live in the same minute, so that the module takes little more than that.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from snapshotter.testing.driver import Call
from snapshotter.testing.faults import Fault
from tests.kubernetes.server import Kube
from tests.world import GROUP, KINDS, Kind, World, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"

MINUTE = 60.0
READY_AFTER = 17.0
SEEN_BY = 22.0

FAILING = {"refused": "INTERNAL", "away": "UNAVAILABLE"}
"""Contents that fail for ever, and how: the first with certainty, the second leaving open what was done."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@dataclass(frozen=True, slots=True)
class Ready:
    """A content that was seen to be ready."""

    after: float
    """Seconds since its snapshot was cut."""
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Minute:
    """What has come of the contents of one kind."""

    creates: dict[str, list[float]]
    """The times of a failing content's calls, in seconds since the first."""
    status: dict[str, dict[str, Any]]
    events: dict[str, list[dict[str, Any]]]
    slow: Ready
    """The content whose snapshot is ready to use some seconds after the cut."""


def uid(kind: Kind, name: str) -> str:
    return f"{kind.id}-{name}".replace(" ", "-")


def calls(world: World, name: str) -> list[Call]:
    """The create calls for one content."""
    wanted = uid(world.kind, name)
    return [call for call in world.driver.log.of(world.kind.create) if str(call.request["name"]).endswith(wanted)]


def events(world: World, name: str) -> list[dict[str, Any]]:
    return [event for event in world.events(name) if event["involvedObject"]["kind"] == world.kind.content]


async def become_ready(world: World) -> Ready:
    await world.make_content("slow", uid=uid(world.kind, "slow"))
    await world.until(lambda: world.ready("slow"), seconds=MINUTE)
    cut = calls(world, "slow")[0].ended_monotonic
    assert cut is not None
    return Ready(time.monotonic() - cut, world.status("slow"))


async def fail(world: World, name: str, code: str) -> list[float]:
    await world.driver.make_volume(uid(world.kind, name), b"x")
    subject = uid(world.kind, name) + "$"
    world.driver.faults.set(Fault(match=f"^{world.kind.create} .*{subject}", error=code, message="refused in way {n}"))
    await world.make_content(name, volume=uid(world.kind, name), uid=uid(world.kind, name))
    await world.until(lambda: calls(world, name))
    first = calls(world, name)[0].started_monotonic
    await asyncio.sleep(first + MINUTE - time.monotonic())
    # A call at the very end of the minute is told of a little later.
    await world.until(lambda: f"way {len(calls(world, name))} " in (world.error(name) or ""))
    await world.until(lambda: any(event["message"] == world.error(name) for event in events(world, name)))
    return [call.started_monotonic - first for call in calls(world, name) if call.started_monotonic - first <= MINUTE]


async def live(world: World) -> Minute:
    async with asyncio.TaskGroup() as tasks:
        failing = {name: tasks.create_task(fail(world, name, code)) for name, code in FAILING.items()}
        slow = tasks.create_task(become_ready(world))
    return Minute(
        {name: task.result() for name, task in failing.items()},
        {name: world.status(name) for name in FAILING},
        {name: events(world, name) for name in (*FAILING, "slow")},
        slow.result(),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def minutes(kube: Kube | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[Kind, Minute]]:
    directory = tmp_path_factory.mktemp("minute")
    async with make_world(directory, kube=kube, ready_after_seconds=READY_AFTER) as world:
        for kind in KINDS:
            await world.of(kind).make_class()
        sidecar = await asyncio.create_subprocess_exec(
            COMMAND,
            f"--csi-address={world.driver.socket}",
            f"--kubeconfig={world.kubeconfig}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                lives = {kind: tasks.create_task(live(world.of(kind))) for kind in KINDS}
        finally:
            sidecar.terminate()
            await sidecar.wait()
        yield {kind: life.result() for kind, life in lives.items()}


each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)


@each_kind
@pytest.mark.parametrize("name", FAILING)
async def test_promise_4_what_fails_for_ever_in_ever_new_words_is_tried_seven_times_in_a_minute(
    minutes: dict[Kind, Minute], kind: Kind, name: str
) -> None:
    creates = minutes[kind].creates[name]
    assert len(creates) <= 7, creates
    # A second or more, then twice as long each time, of which chance takes off a tenth at most.
    waits = [later - earlier for earlier, later in itertools.pairwise(creates)]
    assert len(waits) >= 4
    assert all(wait > 0.9 * 2**number for number, wait in enumerate(waits)), waits


@each_kind
@pytest.mark.parametrize("name", FAILING)
async def test_promise_7_its_last_failure_stands_in_the_status_and_in_one_event(
    minutes: dict[Kind, Minute], kind: Kind, name: str
) -> None:
    minute = minutes[kind]
    (event,) = minute.events[name]
    assert event["type"] == "Warning"
    assert event["message"] == minute.status[name]["error"]["message"]
    # What leaves the outcome open is told from the second time on.
    assert event["count"] >= len(minute.creates[name]) - (name == "away")


@each_kind
async def test_promise_4_what_is_ready_after_17_seconds_is_seen_by_22(minutes: dict[Kind, Minute], kind: Kind) -> None:
    slow = minutes[kind].slow
    assert READY_AFTER - 1 < slow.after < SEEN_BY
    if kind is GROUP:
        members = slow.status["volumeSnapshotInfoList"]
        assert [member["readyToUse"] for member in members] == [True, True]


@each_kind
async def test_promise_6_waiting_for_readiness_is_quiet(minutes: dict[Kind, Minute], kind: Kind) -> None:
    minute = minutes[kind]
    assert "error" not in minute.slow.status
    assert not minute.events["slow"]
