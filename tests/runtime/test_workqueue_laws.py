"""The work queue under random use, step by step beside a model of its contract that is too simple to be wrong."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import looptime
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from snapshotter.runtime.workqueue import Backoff, WorkQueue
from tests.runtime.virtual import settle

LANES = ("create", "check", "delete")
RETRIES = Backoff(start=1.0, maximum=16.0, jitter=0.0)
POLLS = Backoff(start=0.5, maximum=4.0, jitter=0.0)
AT_A_TIME = 3
"""Workers of each lane that may wait for a key."""
A_MOMENT = 0.001
"""Seconds that pass with each step of the clock besides, so that no two times ever meet."""

KEYS = "abcd"
keys = st.sampled_from(KEYS)
lanes = st.sampled_from(LANES)


class Model:
    """What the queue promises: where each key is, and when it comes back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lane_of: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        """Keys that wait for a worker, with their lanes."""
        self.due: dict[str, float] = {}
        self.working: set[str] = set()
        self.added_meanwhile: set[str] = set()
        self.failures: dict[str, int] = {}
        self.polls: dict[str, int] = {}

    def add(self, key: str) -> None:
        self.due.pop(key, None)
        if key in self.working:
            self.added_meanwhile.add(key)
        else:
            self.waiting[key] = self.lane_of.get(key, "create")

    def add_after(self, key: str, seconds: float) -> None:
        if key not in self.waiting:
            self.due[key] = min(self.now + seconds, self.due.get(key, float("inf")))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for key in [key for key, time in self.due.items() if time <= self.now]:
            self.add(key)

    def forget(self, key: str) -> None:
        self.failures.pop(key, None)
        self.polls.pop(key, None)

    def done(self, key: str) -> None:
        self.working.remove(key)
        if key in self.added_meanwhile:
            self.added_meanwhile.remove(key)
            self.add(key)


class QueueBesideModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop()
        self.model = Model()
        self.closed = False
        self.takers: dict[str, list[asyncio.Task[str | None]]] = {lane: [] for lane in LANES}
        self.queue: WorkQueue[str] = self.in_loop(self._make)

    def _make(self) -> WorkQueue[str]:
        return WorkQueue(
            LANES,
            lambda key: self.model.lane_of.get(key, "create"),
            retries=RETRIES,
            polls=POLLS,
            chance=lambda: 0.0,
        )

    def in_loop(self, act: Callable[[], Any]) -> Any:
        """Do something on the loop, let the workers take what they can, and see that it was right."""

        async def step() -> Any:
            result = act()
            await settle()
            return result

        result = self._run(step())
        self._workers_have_taken()
        return result

    def _run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(main)

    def _take(self, lane: str) -> None:
        self.takers[lane].append(self.loop.create_task(self.queue.take(lane)))

    def _workers_have_taken(self) -> None:
        for lane, takers in self.takers.items():
            for taker in [taker for taker in takers if taker.done()]:
                takers.remove(taker)
                key = taker.result()
                if key is None:
                    assert self.closed, "workers go home when the queue has been closed"
                    continue
                assert key not in self.model.working, "a key is with one worker at a time"
                assert self.model.waiting.pop(key) == lane, "a key waits in its lane, and is taken once"
                self.model.working.add(key)
            if takers:
                assert lane not in self.model.waiting.values(), "no key waits while a worker of its lane does"

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.model.add(key)
        self.in_loop(partial(self.queue.add, key))

    @rule(key=keys, seconds=st.sampled_from([0.25, 1.0, 3.0, 10.0]))
    def add_after(self, key: str, seconds: float) -> None:
        self.model.add_after(key, seconds)
        self.in_loop(partial(self.queue.add_after, key, seconds))

    @rule(key=keys, lane=lanes)
    def another_lane(self, key: str, lane: str) -> None:
        """The object has changed; a key that waits moves when it is added the next time."""
        self.model.lane_of[key] = lane

    @rule(lane=lanes)
    def worker_comes(self, lane: str) -> None:
        if len(self.takers[lane]) < AT_A_TIME:
            self.in_loop(partial(self._take, lane))

    @rule(lane=lanes)
    def worker_gives_up(self, lane: str) -> None:
        if self.takers[lane]:
            self.in_loop(self.takers[lane].pop().cancel)

    @precondition(lambda self: self.model.working)
    @rule(data=st.data(), result=st.sampled_from(["rest", "again", "failure", "not ready"]))
    def worker_finishes(self, data: st.DataObject, result: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.working)))
        match result:
            case "rest":
                self.model.forget(key)
                self.in_loop(partial(self.queue.forget, key))
            case "again":
                self.model.add(key)
                self.in_loop(partial(self.queue.add, key))
            case "failure":
                retry = self.queue.retry(key)
                self.model.failures[key] = self.model.failures.get(key, 0) + 1
                assert retry.number == self.model.failures[key]
                assert retry.retry_in == RETRIES.delay(retry.number, 0.0)
                self.model.add_after(key, retry.retry_in)
                self.in_loop(partial(self.queue.failed, key, retry))
            case _:
                self.model.failures.pop(key, None)
                self.model.polls[key] = self.model.polls.get(key, 0) + 1
                self.model.add_after(key, POLLS.delay(self.model.polls[key], 0.0))
                self.in_loop(partial(self.queue.poll, key))
        self.model.done(key)
        self.in_loop(partial(self.queue.done, key))

    @rule(key=keys, failures=st.integers(0, 3))
    def forgive(self, key: str, failures: int) -> None:
        if counted := min(self.model.failures.pop(key, 0), failures):
            self.model.failures[key] = counted
        self.in_loop(partial(self.queue.forgive, key, failures))

    @rule(key=keys)
    def drop(self, key: str) -> None:
        self.model.due.pop(key, None)
        self.model.forget(key)
        self.in_loop(partial(self.queue.drop, key))

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 4.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.advance(seconds + A_MOMENT)
        self._run(asyncio.sleep(seconds + A_MOMENT))
        self.in_loop(lambda: None)

    @invariant()
    def the_queue_agrees_with_the_model(self) -> None:
        model = self.model
        assert self.queue.depth() == len(model.waiting)
        assert self.queue.failing() == len(model.failures)
        for key in KEYS:
            assert self.queue.knows(key) is (key in model.waiting or key in model.due or key in model.working)
            assert self.queue.is_working(key) is (key in model.working)

    def teardown(self) -> None:
        try:
            self._every_key_that_should_come_back_does()
        finally:
            rest = [taker for takers in self.takers.values() for taker in takers]
            for taker in rest:
                taker.cancel()
            self._run(_ended(rest))
            self.loop.close()

    def _every_key_that_should_come_back_does(self) -> None:
        for key in sorted(self.model.working):
            self.model.done(key)
            self.in_loop(partial(self.queue.done, key))
        self.time_passes(100.0)
        for lane in LANES:
            for _ in KEYS:
                self.in_loop(partial(self._take, lane))
        assert not self.model.waiting
        self.closed = True
        self.in_loop(self.queue.close)
        assert not any(self.takers.values())


async def _ended(tasks: list[asyncio.Task[str | None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(400)  # a failure is made small, which takes a while
def test_the_queue_keeps_its_promises_whatever_is_done_with_it() -> None:
    """No key is with two workers, none is lost, none doubled; early times hold; lanes are kept."""
    run_state_machine_as_test(
        QueueBesideModel, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
