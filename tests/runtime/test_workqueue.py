"""The work queue's contract, case by case; `test_workqueue_laws` tries all of it at random."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.runtime.workqueue import Backoff, Retry, WorkQueue
from tests.runtime.virtual import now, settle

pytestmark = pytest.mark.looptime

RETRIES = Backoff(start=1.0, maximum=300.0, jitter=0.0)
POLLS = Backoff(start=0.5, maximum=4.0, jitter=0.0)


class Lanes:
    """Which lane a key belongs into; may change."""

    def __init__(self, **lanes: str) -> None:
        self.lanes = lanes

    def of(self, key: str) -> str:
        return self.lanes.get(key, "create")


class Heard:
    """What the queue tells its observer."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def added(self) -> None:
        self.heard.append("added")

    def taken(self, waited: float) -> None:
        self.heard.append(f"taken after {waited:g}s")

    def done(self, worked: float) -> None:
        self.heard.append(f"done after {worked:g}s")

    def retried(self) -> None:
        self.heard.append("retried")


def make_queue(lanes: Lanes | None = None, *, heard: Heard | None = None) -> WorkQueue[str]:
    return WorkQueue(
        ("create", "delete"),
        (lanes or Lanes()).of,
        retries=RETRIES,
        polls=POLLS,
        observer=heard,
        chance=lambda: 0.0,
    )


async def take_all(queue: WorkQueue[str], lane: str = "create") -> list[str]:
    """The keys that are to be had at this moment."""
    taken: list[str] = []
    while True:
        taker = asyncio.create_task(queue.take(lane))
        await settle()
        if not taker.done():
            taker.cancel()
            await settle()
            return taken
        key = taker.result()
        assert key is not None
        taken.append(key)


async def seconds_until_taken(queue: WorkQueue[str], key: str, lane: str = "create") -> float:
    started = now()
    async with asyncio.timeout(1000):
        assert await queue.take(lane) == key
    return now() - started


async def test_keys_are_taken_in_the_order_in_which_they_came() -> None:
    queue = make_queue()
    for key in "cab":
        queue.add(key)
    assert await take_all(queue) == ["c", "a", "b"]


async def test_a_key_waits_once_and_keeps_its_place() -> None:
    queue = make_queue()
    for key in "abab":
        queue.add(key)
    assert queue.depth() == 2
    assert await take_all(queue) == ["a", "b"]


async def test_a_worker_that_waits_gets_the_next_key_at_once() -> None:
    queue = make_queue()
    taker = asyncio.create_task(queue.take("create"))
    await asyncio.sleep(100)
    queue.add("a")
    await settle()
    assert taker.done()
    assert taker.result() == "a"


async def test_of_several_workers_that_wait_one_gets_the_key() -> None:
    queue = make_queue()
    takers = [asyncio.create_task(queue.take("create")) for _ in range(3)]
    await settle()
    queue.add("a")
    await settle()
    assert [taker.result() for taker in takers if taker.done()] == ["a"]
    queue.add("b")
    queue.add("c")
    await settle()
    assert sorted(str(taker.result()) for taker in takers) == ["a", "b", "c"]


async def test_a_worker_that_gives_up_takes_no_key_along() -> None:
    queue = make_queue()
    takers = [asyncio.create_task(queue.take("create")) for _ in range(2)]
    await settle()
    queue.add("a")
    takers[0].cancel()
    await settle()
    assert takers[1].result() == "a"


async def test_a_key_is_with_one_worker_at_a_time() -> None:
    """Added while it is worked on, it is due again right after."""
    queue = make_queue()
    queue.add("a")
    assert await queue.take("create") == "a"
    queue.add("a")
    queue.add("a")
    assert await take_all(queue) == []
    queue.done("a")
    assert await take_all(queue) == ["a"]
    queue.done("a")
    assert await take_all(queue) == []


async def test_lanes_do_not_wait_for_each_other() -> None:
    """Promise 10."""
    queue = make_queue(Lanes(gone="delete"))
    for number in range(100):
        queue.add(f"new-{number}")
    queue.add("gone")
    assert await take_all(queue, "delete") == ["gone"]


async def test_a_key_that_waits_moves_when_it_belongs_into_another_lane_by_now() -> None:
    """Promise 10: a content that is deleted while its cut waits is not kept waiting."""
    lanes = Lanes()
    queue = make_queue(lanes)
    queue.add("a")
    lanes.lanes["a"] = "delete"
    queue.add("a")
    assert queue.depth() == 1
    assert await take_all(queue, "create") == []
    assert await take_all(queue, "delete") == ["a"]


async def test_a_key_that_was_worked_on_waits_in_the_lane_that_it_belongs_into_then() -> None:
    lanes = Lanes()
    queue = make_queue(lanes)
    queue.add("a")
    assert await queue.take("create") == "a"
    queue.add("a")
    lanes.lanes["a"] = "delete"
    queue.done("a")
    assert await take_all(queue, "create") == []
    assert await take_all(queue, "delete") == ["a"]


async def test_a_key_comes_back_at_its_time() -> None:
    queue = make_queue()
    queue.add_after("a", 30.0)
    assert queue.knows("a")
    assert await seconds_until_taken(queue, "a") == pytest.approx(30.0)


@pytest.mark.parametrize("times", list(itertools.permutations((10.0, 20.0, 30.0))))
async def test_of_several_times_the_earliest_holds(times: tuple[float, ...]) -> None:
    queue = make_queue()
    for seconds in times:
        queue.add_after("a", seconds)
    assert await seconds_until_taken(queue, "a") == pytest.approx(10.0)
    queue.done("a")
    await asyncio.sleep(60)
    assert await take_all(queue) == []


async def test_what_is_due_now_does_not_come_back_later_as_well() -> None:
    queue = make_queue()
    queue.add_after("a", 10.0)
    queue.add("a")
    queue.add_after("a", 5.0)
    assert await take_all(queue) == ["a"]
    queue.done("a")
    await asyncio.sleep(60)
    assert await take_all(queue) == []


async def test_a_time_that_comes_while_the_key_is_worked_on_is_kept() -> None:
    queue = make_queue()
    queue.add("a")
    assert await queue.take("create") == "a"
    queue.add_after("a", 5.0)
    await asyncio.sleep(10)
    assert await take_all(queue) == []
    queue.done("a")
    assert await take_all(queue) == ["a"]


async def test_a_key_added_during_a_try_that_fails_does_not_wait_for_the_backoff() -> None:
    """Promise 5."""
    queue = make_queue()
    queue.add("a")
    assert await queue.take("create") == "a"
    queue.add("a")
    queue.failed("a", Retry(9, 256.0))
    queue.done("a")
    assert await take_all(queue) == ["a"]


async def fail(queue: WorkQueue[str], key: str) -> Retry:
    """One try that fails."""
    assert await queue.take("create") == key
    retry = queue.retry(key)
    queue.failed(key, retry)
    queue.done(key)
    return retry


async def test_failures_in_a_row_wait_longer_and_longer() -> None:
    """Case 72."""
    queue = make_queue()
    queue.add("a")
    waits = []
    for number in range(1, 12):
        retry = await fail(queue, "a")
        assert retry.number == number
        started = now()
        assert await queue.take("create") == "a"
        waits.append(now() - started)
        assert waits[-1] == pytest.approx(retry.retry_in)
        queue.add("a")
        queue.done("a")
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


async def test_a_key_that_came_to_rest_fails_as_if_for_the_first_time() -> None:
    """Case 72."""
    queue = make_queue()
    queue.add("a")
    await fail(queue, "a")
    await fail(queue, "a")
    assert queue.failing() == 1
    assert await queue.take("create") == "a"
    queue.forget("a")
    queue.done("a")
    assert queue.failing() == 0
    assert queue.retry("a") == Retry(1, 1.0)


async def test_failures_that_were_no_tries_are_forgiven() -> None:
    queue = make_queue()
    queue.add("a")
    for _ in range(4):
        await fail(queue, "a")
    queue.forgive("a", 1)
    assert queue.retry("a") == Retry(2, 2.0)
    queue.forgive("a", 3)
    assert queue.retry("a") == Retry(2, 2.0)
    queue.forgive("other", 0)
    assert queue.failing() == 1


async def test_the_failures_of_one_key_are_not_those_of_another() -> None:
    queue = make_queue()
    queue.add("a")
    await fail(queue, "a")
    assert queue.retry("a") == Retry(2, 2.0)
    assert queue.retry("b") == Retry(1, 1.0)


async def poll(queue: WorkQueue[str], key: str) -> float:
    """One look that finds nothing new; the wait until the next one."""
    assert await queue.take("create") == key
    queue.poll(key)
    queue.done(key)
    wait = await seconds_until_taken(queue, key)
    queue.add(key)
    queue.done(key)
    return wait


async def test_waiting_for_readiness_has_its_own_clock() -> None:
    queue = make_queue()
    queue.add("a")
    for _ in range(4):
        await fail(queue, "a")
    assert [await poll(queue, "a") for _ in range(6)] == pytest.approx([0.5, 1, 2, 4, 4, 4])


async def test_a_failure_does_not_turn_the_readiness_clock_back() -> None:
    queue = make_queue()
    queue.add("a")
    assert [await poll(queue, "a") for _ in range(3)] == pytest.approx([0.5, 1, 2])
    assert await fail(queue, "a") == Retry(1, 1.0)
    assert await poll(queue, "a") == pytest.approx(4)


async def test_a_look_that_went_well_ends_a_row_of_failures() -> None:
    queue = make_queue()
    queue.add("a")
    await fail(queue, "a")
    await fail(queue, "a")
    await poll(queue, "a")
    assert queue.failing() == 0
    assert await fail(queue, "a") == Retry(1, 1.0)


async def test_a_key_that_is_dropped_does_not_come_back_by_itself() -> None:
    queue = make_queue()
    queue.add("a")
    await fail(queue, "a")
    queue.drop("a")
    assert not queue.knows("a")
    assert queue.failing() == 0
    await asyncio.sleep(600)
    assert await take_all(queue) == []


async def test_the_queue_knows_the_keys_that_are_on_their_way() -> None:
    queue = make_queue()
    assert not queue.knows("a")
    queue.add("a")
    assert queue.knows("a")
    assert await queue.take("create") == "a"
    assert queue.knows("a")
    assert queue.is_working("a")
    queue.poll("a")
    queue.done("a")
    assert queue.knows("a")
    assert not queue.is_working("a")


async def test_the_queue_tells_how_long_its_workers_have_been_at_it() -> None:
    queue = make_queue()
    assert (queue.longest_running(), queue.unfinished(), queue.depth()) == (0.0, 0.0, 0)
    for key in "abc":
        queue.add(key)
    assert await queue.take("create") == "a"
    await asyncio.sleep(5)
    assert await queue.take("create") == "b"
    await asyncio.sleep(2)
    assert queue.longest_running() == pytest.approx(7)
    assert queue.unfinished() == pytest.approx(9)
    assert queue.depth() == 1


async def test_an_observer_hears_what_becomes_of_the_keys() -> None:
    heard = Heard()
    queue = make_queue(heard=heard)
    queue.add("a")
    queue.add("a")
    await asyncio.sleep(3)
    assert await queue.take("create") == "a"
    await asyncio.sleep(2)
    queue.failed("a", queue.retry("a"))
    queue.done("a")
    assert heard.heard == ["added", "taken after 3s", "retried", "done after 2s"]
    await asyncio.sleep(1)
    assert heard.heard[-1] == "added"


async def test_moving_to_another_lane_is_not_another_addition() -> None:
    heard = Heard()
    lanes = Lanes()
    queue = make_queue(lanes, heard=heard)
    queue.add("a")
    lanes.lanes["a"] = "delete"
    queue.add("a")
    assert heard.heard == ["added"]


async def test_closing_sends_the_workers_home() -> None:
    queue = make_queue()
    takers = [asyncio.create_task(queue.take(lane)) for lane in ("create", "create", "delete")]
    await settle()
    queue.close()
    assert await asyncio.gather(*takers) == [None, None, None]
    assert await queue.take("create") is None


async def test_after_closing_nothing_is_taken_or_comes_back() -> None:
    queue = make_queue()
    queue.add_after("later", 5.0)
    for key in ("now", "waiting"):
        queue.add(key)
    assert await queue.take("create") == "now"
    queue.close()
    queue.add("new")
    queue.add_after("newer", 1.0)
    queue.failed("now", Retry(1, 1.0))
    queue.done("now")
    await asyncio.sleep(60)
    assert await queue.take("create") is None


def test_a_backoff_doubles_up_to_its_maximum() -> None:
    """Of the snapshot-controller case 175."""
    assert [RETRIES.delay(number, 0.5) for number in (1, 2, 3, 9, 10, 10**9)] == [1, 2, 4, 256, 300, 300]


@given(
    st.floats(min_value=1e-3, max_value=10),
    st.floats(min_value=10, max_value=1e4),
    st.floats(min_value=0, max_value=0.9),
    st.integers(min_value=1, max_value=2**70),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_wait_is_never_longer_than_it_should_be_and_chance_takes_off_its_part_at_most(
    start: float, maximum: float, jitter: float, number: int, chance: float
) -> None:
    full = min(start * 2.0 ** min(number - 1, 100), maximum)
    wait = Backoff(start, maximum, jitter).delay(number, chance)
    assert full * (1 - jitter) * (1 - 1e-9) <= wait <= full
