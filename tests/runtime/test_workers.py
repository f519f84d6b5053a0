"""Workers: what becomes of a key after its reconciler has returned or raised."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import structlog
from structlog.testing import capture_logs

from snapshotter.runtime.workers import ReconcileError, Requeue, Workers
from snapshotter.runtime.workqueue import Backoff, Retry, WorkQueue
from tests.runtime.virtual import now, settle

pytestmark = pytest.mark.looptime

Reconcile = Callable[[str, Retry], Awaitable[Requeue | None]]
LANES = ("create", "delete")


def make_queue() -> WorkQueue[str]:
    return WorkQueue(
        LANES,
        lambda key: "delete" if key.startswith("gone") else "create",
        retries=Backoff(1.0, 300.0, jitter=0.0),
        polls=Backoff(0.5, 4.0, jitter=0.0),
    )


class Running:
    """Workers at their queue, with a record of the tries: key, number of the try, seconds from the start."""

    def __init__(self, reconcile: Reconcile, *, count: int = 2) -> None:
        self.queue = make_queue()
        self.tries: list[tuple[str, int, float]] = []
        self._reconcile = reconcile
        self._workers = Workers(self.queue, LANES, count, self._record)

    async def _record(self, key: str, retry: Retry) -> Requeue | None:
        self.tries.append((key, retry.number, round(now() - self._started, 3)))
        return await self._reconcile(key, retry)

    async def __aenter__(self) -> "Running":
        self._started = now()
        self._task = asyncio.create_task(self._workers.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.queue.close()
        await self._task

    @property
    def times(self) -> list[float]:
        return [time for _, _, time in self.tries]

    @property
    def numbers(self) -> list[int]:
        return [number for _, number, _ in self.tries]


async def test_a_key_that_came_to_rest_is_left_alone() -> None:
    async def reconcile(key: str, retry: Retry) -> None:
        return None

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(1000)
        assert running.tries == [("a", 1, 0.0)]
        assert not running.queue.knows("a")


async def test_what_failed_is_tried_again_after_the_backoff() -> None:
    async def reconcile(key: str, retry: Retry) -> None:
        raise ReconcileError("no")

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(20)
        assert running.times == [0, 1, 3, 7, 15]
        assert running.numbers == [1, 2, 3, 4, 5]


async def test_the_announced_wait_is_the_one_that_holds() -> None:
    announced: list[float] = []

    async def reconcile(key: str, retry: Retry) -> None:
        announced.append(retry.retry_in)
        raise ReconcileError("no")

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(100)
        waits = [later - earlier for earlier, later in zip(running.times, running.times[1:], strict=False)]
        assert waits == pytest.approx(announced[: len(waits)])


async def test_an_unexpected_error_is_a_failure_and_the_worker_goes_on() -> None:
    async def reconcile(key: str, retry: Retry) -> None:
        if key == "bad":
            raise ZeroDivisionError

    with capture_logs() as logs:
        async with Running(reconcile, count=1) as running:
            running.queue.add("bad")
            running.queue.add("good")
            await asyncio.sleep(2)
            assert running.tries == [("bad", 1, 0.0), ("good", 1, 0.0), ("bad", 2, 1.0)]
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 2
    assert all(entry["exc_info"] for entry in errors), "a mistake of ours shows where it is"


async def test_a_failure_outside_is_told_without_a_traceback() -> None:
    async def reconcile(key: str, retry: Retry) -> None:
        raise ReconcileError("the driver is full")

    with capture_logs() as logs:
        async with Running(reconcile) as running:
            running.queue.add("a")
            await asyncio.sleep(0.5)
    assert [(entry["log_level"], entry["reason"], entry["attempt"], entry["retry_in"]) for entry in logs] == [
        ("warning", "the driver is full", 1, 1.0)
    ]
    assert "exc_info" not in logs[0]


async def test_the_key_is_bound_to_what_is_logged_meanwhile() -> None:
    bound: list[object] = []

    async def reconcile(key: str, retry: Retry) -> None:
        bound.append(structlog.contextvars.get_contextvars().get("key"))

    async with Running(reconcile) as running:
        running.queue.add("a")
        running.queue.add("gone-b")
        await asyncio.sleep(1)
    assert sorted(map(str, bound)) == ["a", "gone-b"]
    assert "key" not in structlog.contextvars.get_contextvars()


async def test_what_is_wanted_now_is_done_again_at_once() -> None:
    left = iter([Requeue.NOW, Requeue.NOW, None])

    async def reconcile(key: str, retry: Retry) -> Requeue | None:
        return next(left)

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(100)
        assert running.times == [0, 0, 0]


async def test_what_is_waited_for_comes_back_by_the_readiness_clock() -> None:
    async def reconcile(key: str, retry: Retry) -> Requeue | None:
        return Requeue.POLL

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(13)
        assert running.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5]
        assert set(running.numbers) == {1}


async def test_success_ends_a_row_of_failures() -> None:
    results = iter([True, True, False, True])

    async def reconcile(key: str, retry: Retry) -> None:
        if next(results):
            raise ReconcileError("no")

    async with Running(reconcile) as running:
        running.queue.add("a")
        await asyncio.sleep(10)
        running.queue.add("a")
        await asyncio.sleep(0.5)
        assert running.numbers == [1, 2, 3, 1]


async def test_hanging_creates_do_not_delay_a_delete() -> None:
    """Promise 10."""
    never = asyncio.Event()

    async def reconcile(key: str, retry: Retry) -> None:
        if not key.startswith("gone"):
            await never.wait()

    async with Running(reconcile, count=10) as running:
        for number in range(100):
            running.queue.add(f"new-{number}")
        await asyncio.sleep(5)
        running.queue.add("gone-1")
        await settle()
        assert running.tries[-1] == ("gone-1", 1, 5.0)
        never.set()


async def test_so_many_keys_are_worked_on_at_a_time_and_none_twice() -> None:
    at_it: Counter[str] = Counter()
    most = 0

    async def reconcile(key: str, retry: Retry) -> None:
        nonlocal most
        at_it[key] += 1
        most = max(most, at_it.total())
        assert at_it[key] == 1
        await asyncio.sleep(3)
        at_it[key] -= 1

    async with Running(reconcile, count=4) as running:
        for _ in range(20):
            for number in range(9):
                running.queue.add(f"new-{number}")
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        assert most == 4
        assert running.queue.failing() == 0, "no assertion failed inside"
        assert {key for key, _, _ in running.tries} == {f"new-{number}" for number in range(9)}


async def test_after_closing_what_is_in_hand_is_finished_and_nothing_else_begun() -> None:
    """Promise 12."""
    finished: list[str] = []

    async def reconcile(key: str, retry: Retry) -> None:
        await asyncio.sleep(30)
        finished.append(key)

    queue = make_queue()
    workers = asyncio.create_task(Workers(queue, LANES, 2, reconcile).run())
    for key in ("a", "b", "c", "gone-d"):
        queue.add(key)
    await asyncio.sleep(1)
    started = now()
    queue.close()
    await workers
    assert sorted(finished) == ["a", "b", "gone-d"]
    assert now() - started == pytest.approx(29)


async def test_cutting_the_workers_off_reaches_what_is_in_hand() -> None:
    cut_off: list[str] = []

    async def reconcile(key: str, retry: Retry) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cut_off.append(key)
            raise

    queue = make_queue()
    workers = asyncio.create_task(Workers(queue, LANES, 2, reconcile).run())
    queue.add("a")
    await asyncio.sleep(1)
    workers.cancel()
    await asyncio.wait({workers})
    assert workers.cancelled()
    assert cut_off == ["a"]
    assert not queue.is_working("a")
