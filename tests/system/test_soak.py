"""Users make and delete snapshots and groups while nothing between the programs is to be relied on; then all is well.

In CI it takes some seconds. `SNAPSHOTTER_SOAK_SECONDS=600` makes it long, and then some watches go silent for good;
`SNAPSHOTTER_SOAK_SEED` throws other dice, `--kube` takes a real API server. What is measured is shown by `pytest -s`.
See docs/testing.md.
"""

import asyncio
import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from snapshotter.testing.driver import Call
from snapshotter.testing.playground.storage import Stored
from tests.system.soak_stage import Program, Signs, Stage, staged
from tests.system.soak_users import Board, Key, Object, Users, everything, leftovers, unsettled
from tests.world import KINDS

SECONDS: Final = float(os.environ.get("SNAPSHOTTER_SOAK_SECONDS", "15"))
SEED: Final = int(os.environ.get("SNAPSHOTTER_SOAK_SEED", "1"))
LONG: Final = SECONDS >= 120
WARM_UP_SECONDS: Final = 60.0 if LONG else 5.0
USERS: Final = 16 if LONG else 10

SETTLED_SECONDS: Final = 90.0
"""After the last trouble. A watch that has gone silent for good is given up after 45 s at most, and the slowest backoff
here is 5 s."""
DELETED_SECONDS: Final = 60.0
REST_SECONDS: Final = 60.0
"""Idle connections are kept for a quarter of a minute."""
LATE_NEWS_SECONDS: Final = 2.0
MORE_FDS: Final = 6
MORE_TASKS: Final = 6
MORE_MB: Final = 24.0 if LONG else 12.0
"""What is remembered on purpose, such as events that can be counted up, and what an allocator does not give back."""
MORE_MB_LATER: Final = 6.0
"""In the second half: by then all that has a limit has come to it."""


class Weather:
    """What goes wrong all at once, beside the troubles of single calls."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._dice = random.Random(seed)  # noqa: S311

    async def rage(self) -> None:
        """Something every few seconds, for ever."""
        blows = (self._forget_history, self._cut_watches, self._restart_server, self._cut_streams, self._restart_driver)
        for blow in itertools.cycle(blows):
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * (4.0 if LONG else 1.5))
            await blow()

    async def _forget_history(self) -> None:
        await self._stage.server.compact()
        await self._cut_watches()

    async def _cut_watches(self) -> None:
        for proxy in self._stage.proxies:
            proxy.cut_watches()

    async def _restart_server(self) -> None:
        """As one of its clients sees it."""
        async with self._dice.choice(self._stage.proxies).away():
            await asyncio.sleep(self._dice.uniform(0.2, 2.0))

    async def _cut_streams(self) -> None:
        for stream in self._stage.streams.values():
            stream.cut()

    async def _restart_driver(self) -> None:
        """As one of its clients sees it; or the webhook."""
        async with self._dice.choice(list(self._stage.streams.values())).away():
            await asyncio.sleep(self._dice.uniform(0.2, 2.0))


async def storm(stage: Stage, users: Users, seconds: float, seed: int) -> list[dict[str, Signs]]:
    """Load and troubles for so long. Gives the signs of each minute; then there is no more trouble."""
    signs: list[dict[str, Signs]] = []
    stage.begin_troubles(seed, silent=LONG)
    async with asyncio.TaskGroup() as tasks:
        beside = [
            tasks.create_task(Weather(stage, seed).rage(), name="weather"),
            tasks.create_task(tell(stage, signs), name="signs"),
        ]
        await users.live(USERS, seconds)
        for task in beside:
            task.cancel()
    stage.end_troubles()
    return signs


async def tell(stage: Stage, signs: list[dict[str, Signs]]) -> None:
    while True:
        await asyncio.sleep(60.0)
        signs.append(await stage.signs())
        say("under load", signs[-1])


Problems = Callable[[Mapping[str, list[Object]], Stored, list[Key]], list[str]]


async def seconds_until_nothing(problems: Problems, stage: Stage, users: Users, patience: float) -> float:
    """How long it takes until there is none of these problems."""
    began = time.monotonic()
    left: list[str] = []
    try:
        async with asyncio.timeout(patience):
            while True:
                left = problems(await everything(stage.api), await stage.stored(), users.kept)
                if not left:
                    return time.monotonic() - began
                await asyncio.sleep(0.5)
    except TimeoutError:
        pytest.fail(f"after {patience:g} s: " + "\n".join(left))


async def at_rest(stage: Stage, young: Mapping[str, Signs], warm: Mapping[str, Signs]) -> dict[str, Signs]:
    """What the programs hold when nothing is left of the load. `young`: before there was any; `warm`: after some."""
    signs = await stage.signs()
    too_much: list[str] = []
    try:
        async with asyncio.timeout(REST_SECONDS):
            while True:
                too_much = [
                    f"{name}: {what}"
                    for name, now in signs.items()
                    if (what := held_too_much(young[name], warm[name], now))
                ]
                if not too_much:
                    return signs
                await asyncio.sleep(0.5)
                signs = await stage.signs()
    except TimeoutError:
        say("at rest", signs)
        pytest.fail("\n".join(too_much))


def held_too_much(young: Signs, warm: Signs, now: Signs) -> str | None:
    if now.fds > young.fds + MORE_FDS:
        return f"{now.fds} file descriptors, {young.fds} when it was young"
    if now.tasks > warm.tasks + MORE_TASKS:
        return f"{now.tasks} tasks, {warm.tasks} after the warm-up"
    if now.rss_mb > warm.rss_mb + MORE_MB:
        return f"{now.rss_mb:.1f} MB, {warm.rss_mb:.1f} MB after the warm-up"
    return f"{now.busy:g} seconds, keys or calls in hand" if now.busy else None


def say(what: str, signs: Mapping[str, Signs] | None = None) -> None:
    """Shown by `pytest -s`."""
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)  # noqa: T201
    for name, each in (signs or {}).items():
        print(f"    {name}: {each}", flush=True)  # noqa: T201


@pytest.mark.kube
@pytest.mark.timeout(300 + 2 * SECONDS)
async def test_promise_11_in_any_weather_nothing_is_lost_and_nothing_leaks(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with staged(tmp_path, on_kube=request.config.getoption("--kube")) as stage:
        board = Board(stage.api)
        async with board.kept():
            users = Users(stage.api, board, SEED)
            young = await stage.signs()
            say("before there was any load", young)
            await storm(stage, users, WARM_UP_SECONDS, SEED)
            await users.delete_all()
            await seconds_until_nothing(leftovers, stage, users, SETTLED_SECONDS)
            warm = await stage.signs()
            say("after the warm-up", warm)

            signs = await storm(stage, users, SECONDS, SEED + 1)
            settled = await seconds_until_nothing(unsettled, stage, users, SETTLED_SECONDS)
            alive = len(users.kept)
            await users.delete_all()
            deleted = await seconds_until_nothing(leftovers, stage, users, DELETED_SECONDS)
            troubles = stage.happened()
            say(f"{users.made} requests, {users.converted} conversions, {sum(troubles.values())} troubles: {troubles}")
            say(f"all is well after {settled:.1f} s; {alive} requests are gone after {deleted:.1f} s more")
            rested = await at_rest(stage, young, warm)

        say("at rest", rested)
        for name, half in (signs[len(signs) // 2] if LONG else {}).items():
            assert rested[name].rss_mb < half.rss_mb + MORE_MB_LATER, name
        assert {"Cut", "Refusal", "CutWatch", "ErrorFrame"} <= troubles.keys()
        assert_that_one_of_each_worked(stage.programs)
        assert_that_the_driver_was_asked_in_turn(await stage.calls())
        codes = {name: await program.piece.terminate() for name, program in stage.programs.items()}
    assert set(codes.values()) == {0}, codes
    assert_that_no_bug_was_met(tmp_path)


def assert_that_one_of_each_worked(programs: Mapping[str, Program]) -> None:
    """Nobody has ended, so those that led first have led all the time."""
    for kind in ("sidecar", "controller"):
        workers = [name for name, program in programs.items() if name.startswith(kind) and program.writes]
        assert len(workers) == 1, {name: program.writes for name, program in programs.items()}


def assert_that_the_driver_was_asked_in_turn(calls: list[Call]) -> None:
    """One create for a name at a time, and one snapshot for each name."""
    creates: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.method in [kind.create for kind in KINDS]:
            creates[call.request["name"]].append(call)
    assert creates
    for name, of_name in creates.items():
        for one, other in itertools.pairwise(of_name):
            # A driver that gets no time hears late that its client has gone.
            late = LATE_NEWS_SECONDS if one.code == "CANCELLED" else 0.0
            assert one.ended_monotonic is not None, one
            assert one.ended_monotonic - late <= other.started_monotonic, (name, one, other)
        assert len({call.result_id for call in of_name} - {""}) <= 1, (name, of_name)


def assert_that_no_bug_was_met(directory: Path) -> None:
    """A program that meets what it does not expect tells of it with a traceback."""
    logs = {file.name: file.read_text(errors="replace") for file in directory.glob("*.log")}
    assert len(logs) >= 6
    for name, log in logs.items():
        for sign in ("Traceback", "never retrieved", "Unclosed"):
            assert sign not in log, f"{name}: …{log[max(0, log.index(sign) - 2000) :][:6000]}"
