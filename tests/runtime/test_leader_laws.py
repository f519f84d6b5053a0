"""Promise 12: two leaders never act at the same time, whatever happens to requests, processes and clocks."""

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.runtime.leader import Election, NotLeading, Tenure, Terms
from tests.runtime.lease import FarLease, Way
from tests.runtime.virtual import now, run_in_virtual_time

SECONDS = 300.0


class Silent:
    def leads(self, leading: bool, /) -> None:
        pass

    def slow_path(self) -> None:
        pass


class Process:
    """A candidate that is started again whenever it ends, and acts whenever it may.

    Its clock differs from others', and its time of day jumps.
    """

    def __init__(self, world: "Crowd", name: str, chance: random.Random) -> None:
        self._world = world
        self._name = name
        self._chance = chance
        self._offset = chance.uniform(-1e6, 1e6)
        self._lives = 0
        self._cut_from = 0.0
        self._cut_until = -1.0
        self.tenure = self._new_tenure()

    def _new_tenure(self) -> Tenure:
        return Tenure(lambda: now() + self._offset)

    def _today(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._chance.uniform(-1e6, 1e6))

    def _way(self) -> Way:
        chance = self._chance
        if self._is_cut_off():
            return Way(there=chance.choice([0.01, 1000.0]), fails="before")

        def seconds() -> float:
            return chance.uniform(0, 10) if chance.random() < self._world.trouble else chance.uniform(0, 0.1)

        fails = chance.choice(["before", "after"]) if chance.random() < self._world.trouble else ""
        return Way(there=seconds(), back=seconds(), fails=fails)

    def _is_cut_off(self) -> bool:
        """Whether this process cannot reach the server, for up to 40 seconds once in a while."""
        if now() > self._cut_until:
            self._cut_from = now() + self._chance.uniform(10, 80)
            self._cut_until = self._cut_from + self._chance.uniform(0, 40)
        return now() > self._cut_from

    async def live(self) -> None:
        while True:
            self._lives += 1
            self.tenure = self._new_tenure()
            terms = Terms(f"{self._name}-{self._lives}")
            door = self._world.lease.door(self._way)
            election = Election(door, terms, self.tenure, Silent(), chance=self._chance.random, today=self._today)
            task = asyncio.create_task(election.run())
            await asyncio.wait({task}, timeout=self._chance.uniform(0, 120))
            task.cancel()
            with suppress(asyncio.CancelledError, NotLeading):
                await task
            if self._chance.random() < 0.5:
                await election.release()
            # A process that was killed has no tenure; one that was released must have ended its own.
            self.tenure = self._new_tenure()
            await asyncio.sleep(self._chance.uniform(0, 5))


def _chance_of(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}-{number}")  # noqa: S311 (a test that can be repeated)


class Crowd:
    """Several processes, one lease, and somebody who watches who may act."""

    def __init__(self, seed: int, processes: int, trouble: float) -> None:
        chance = random.Random(seed)  # noqa: S311 (a test that can be repeated)
        self.lease = FarLease()
        self.trouble = trouble
        self.acts = 0
        self._chance = chance
        self._processes = [Process(self, f"p{number}", _chance_of(seed, number)) for number in range(processes)]

    async def watch(self) -> None:
        tasks = [asyncio.create_task(process.live()) for process in self._processes]
        while now() < SECONDS:
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            leaders = [process for process in self._processes if process.tenure.seconds_left]
            assert len(leaders) <= 1
            self.acts += len(leaders)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@settings(max_examples=12)
@given(st.integers(min_value=0), st.integers(min_value=2, max_value=4), st.sampled_from([0.0, 0.02, 0.1, 0.3]))
def test_promise_12_two_leaders_never_act_at_the_same_time(seed: int, processes: int, trouble: float) -> None:
    run_in_virtual_time(Crowd(seed, processes, trouble).watch())


def test_without_trouble_somebody_leads_most_of_the_time() -> None:
    crowd = Crowd(1, 3, 0.0)
    run_in_virtual_time(crowd.watch())
    # Looked at about 1200 times.
    assert crowd.acts > 300
