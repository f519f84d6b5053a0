"""Leader election: what a candidate does next, and how leaders come and go in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from snapshotter.runtime.leader import (
    Create,
    Election,
    LeaseRecord,
    NotLeading,
    Sighting,
    StandBy,
    Step,
    Take,
    Tenure,
    Terms,
    next_step,
    ours,
    released,
    sighted,
)
from tests.runtime.lease import Door, FarLease, Way
from tests.runtime.virtual import now

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)
ME = Terms("me")
HELD = LeaseRecord("other", 15, NOON, NOON, 3, "7")
MINE = LeaseRecord("me", 15, NOON, NOON, 3, "7")
MADE = LeaseRecord("me", 15, LATER, LATER, 0)
TAKEN = LeaseRecord("me", 15, LATER, LATER, 4, "7")

STEPS: dict[str, tuple[Sighting | None, bool, Step]] = {
    "there is no lease": (None, True, Create(MADE)),
    "a lease is held": (Sighting(HELD, 100.0), False, StandBy(15.0)),
    "a lease has been held for a while": (Sighting(HELD, 90.0), False, StandBy(5.0)),
    "a lease has run out": (Sighting(HELD, 85.0), False, Take(TAKEN)),
    "nobody holds the lease": (Sighting(replace(HELD, holder=""), 100.0), False, Take(TAKEN)),
    "the lease is ours already": (Sighting(MINE, 100.0), False, Take(replace(MINE, renewed_at=LATER))),
    "the holder's duration counts, not ours": (
        Sighting(replace(HELD, duration_seconds=60), 90.0),
        False,
        StandBy(50.0),
    ),
    "without a duration ours counts": (Sighting(replace(HELD, duration_seconds=None), 90.0), False, StandBy(5.0)),
    "a held lease was deleted": (Sighting(HELD, 95.0), True, StandBy(10.0)),
    "a lease was deleted long ago": (Sighting(HELD, 80.0), True, Create(MADE)),
}


@pytest.mark.parametrize(("sighting", "missing", "expected"), STEPS.values(), ids=STEPS.keys())
def test_next_step(sighting: Sighting | None, missing: bool, expected: Step) -> None:
    assert next_step(sighting, ME, 100.0, LATER, missing=missing) == expected


def test_a_record_is_as_old_as_its_last_change() -> None:
    first = sighted(None, HELD, 10.0)
    assert first == Sighting(HELD, 10.0)
    same = sighted(first, replace(HELD, version="8"), 20.0)
    assert same.since == 10.0
    assert same.record.version == "8"
    assert sighted(same, replace(HELD, renewed_at=LATER), 30.0).since == 30.0


def test_a_renewal_changes_only_the_time_of_renewal() -> None:
    assert ours(MINE, ME, LATER) == replace(MINE, renewed_at=LATER)


def test_a_record_without_times_gets_them() -> None:
    assert ours(LeaseRecord("me"), ME, LATER).acquired_at == LATER


def test_a_released_lease_has_no_holder_and_a_short_duration() -> None:
    assert released(MINE, LATER) == LeaseRecord("", 1, LATER, LATER, 3)


@pytest.mark.parametrize(("seconds", "whole"), [(15.0, 15), (15.2, 16), (0.5, 1), (1.0, 1)])
def test_the_written_duration_is_never_shorter_than_meant(seconds: float, whole: int) -> None:
    assert replace(ME, lease_duration=seconds).whole_lease_seconds == whole


@pytest.mark.parametrize("terms", [ME, replace(ME, lease_duration=3.0, renew_deadline=2.0, retry_period=0.5)])
def test_a_hanging_request_leaves_time_for_another(terms: Terms) -> None:
    assert terms.retry_period + 2 * terms.attempt_seconds + terms.pause_seconds <= terms.renew_deadline + 1e-9


class Heard:
    """What an election tells its observer."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def leads(self, leading: bool, /) -> None:
        self.heard.append("leads" if leading else "leads no more")

    def slow_path(self) -> None:
        self.heard.append("slow path")


class Candidate:
    """An election at work."""

    def __init__(self, lease: FarLease, name: str, door: Door | None = None) -> None:
        self.door = lease.door() if door is None else door
        self.heard = Heard()
        self.tenure = Tenure(now)
        self.election = Election(self.door, Terms(name), self.tenure, self.heard, chance=lambda: 1.0)
        self.task = asyncio.create_task(self.election.run())

    @property
    def may_act(self) -> bool:
        try:
            self.tenure.require()
        except NotLeading:
            return False
        return True

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, NotLeading):
            await self.task


@asynccontextmanager
async def candidate(lease: FarLease, name: str, door: Door | None = None) -> AsyncIterator[Candidate]:
    made = Candidate(lease, name, door)
    try:
        yield made
    finally:
        await made.stop()


class TestInVirtualTime:
    pytestmark = pytest.mark.looptime

    async def test_the_first_candidate_leads_at_once_and_the_second_stands_by(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            assert now() < 0.1
            async with candidate(lease, "two") as two:
                await asyncio.sleep(600)
                assert one.may_act
                assert not two.may_act
                assert lease.found().holder == "one"
                assert lease.found().transitions == 0
                assert "replace" not in two.door.requests
        assert one.heard.heard == ["leads", "leads no more"]
        assert two.heard.heard == []

    async def test_a_renewal_is_one_request_each_retry_period(self) -> None:
        async with candidate(FarLease(), "one") as one:
            await asyncio.sleep(101)
            assert one.door.requests[:2] == ["read", "create"]
            assert one.door.requests[2:] == ["replace"] * 20

    async def test_promise_12_a_released_lease_is_taken_within_two_seconds(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one, candidate(lease, "two") as two:
            await one.election.won.wait()
            await asyncio.sleep(33)
            await one.stop()
            await one.election.release()
            assert not one.may_act
            before = now()
            await two.election.won.wait()
            assert now() - before < 2
            assert lease.found().transitions == 1

    async def test_a_dead_leaders_lease_is_taken_when_it_has_run_out(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one, candidate(lease, "two") as two:
            await one.election.won.wait()
            await asyncio.sleep(7)
            await one.stop()
            before = now()
            await two.election.won.wait()
            assert 10 < now() - before < 17

    async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one, candidate(lease, "two") as two:
            await one.election.won.wait()
            await asyncio.sleep(6)
            one.door.way = lambda: Way(fails="before")
            with pytest.raises(NotLeading, match="not renewed for 10s"):
                await one.task
            stopped = now()
            assert not one.may_act
            await two.election.won.wait()
            assert now() - stopped > 3

    async def test_a_leader_whose_requests_hang_stops_in_time_too(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            one.door.way = lambda: Way(there=1e6)
            with pytest.raises(NotLeading):
                await one.task
            assert now() == pytest.approx(10, abs=0.1)

    async def test_one_hanging_request_does_not_end_a_leader(self) -> None:
        lease = FarLease()
        ways = [Way(there=1e6)]
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            one.door.way = lambda: ways.pop() if ways else Way()
            await asyncio.sleep(60)
            assert one.may_act

    async def test_a_renewal_without_an_answer_takes_the_slow_path(self) -> None:
        lease = FarLease()
        ways = [Way(fails="after")]
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            one.door.way = lambda: ways.pop() if ways else Way()
            await asyncio.sleep(60)
            assert one.may_act
            assert one.heard.heard == ["leads", "slow path"]

    async def test_a_leader_that_finds_another_in_its_place_stops_at_once(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            lease.put(HELD)
            with pytest.raises(NotLeading, match='the lease is held by "other"'):
                await one.task
            assert not one.may_act
            assert now() < 6
            assert lease.found().holder == "other"

    async def test_a_lease_that_is_deleted_under_its_leader_is_made_again_by_it(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one, candidate(lease, "two") as two:
            await one.election.won.wait()
            await asyncio.sleep(9)
            lease.record = None
            await asyncio.sleep(60)
            assert one.may_act
            assert not two.may_act
            assert lease.found().holder == "one"

    async def test_labels_of_others_do_not_cost_the_lease(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            for _ in range(10):
                await asyncio.sleep(7)
                lease.put(lease.found())
            assert one.may_act

    async def test_a_lease_taken_without_an_answer_is_noticed(self) -> None:
        lease = FarLease()
        ways = [Way(fails="after"), Way()]
        door = lease.door(lambda: ways.pop() if ways else Way())
        async with candidate(lease, "one", door) as one:
            await one.election.won.wait()
            assert lease.found().transitions == 0
            assert door.requests == ["read", "create", "read", "replace"]

    async def test_a_standby_has_nothing_to_release(self) -> None:
        lease = FarLease()
        lease.put(HELD)
        async with candidate(lease, "one") as one:
            await asyncio.sleep(3)
            await one.stop()
            requests = len(one.door.requests)
            await one.election.release()
            assert len(one.door.requests) == requests
        assert lease.found().holder == "other"

    async def test_what_another_has_taken_is_not_released(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            await one.stop()
            lease.put(HELD)
            await one.election.release()
        assert lease.found().holder == "other"

    async def test_releasing_is_tried_again_and_given_up_after_a_while(self) -> None:
        lease = FarLease()
        ways = [Way(fails="after"), Way(), Way(fails="before")]
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            await one.stop()
            one.door.way = lambda: ways.pop() if ways else Way()
            await one.election.release()
            assert lease.found().holder == ""
        async with candidate(lease, "two") as two:
            await two.election.won.wait()
            await two.stop()
            two.door.way = lambda: Way(there=1e6)
            before = now()
            await two.election.release()
            assert now() - before == pytest.approx(3, abs=0.1)
            assert not two.may_act

    async def test_a_lease_that_vanished_needs_no_release(self) -> None:
        lease = FarLease()
        async with candidate(lease, "one") as one:
            await one.election.won.wait()
            await one.stop()
            lease.record = None
            await one.election.release()
        assert lease.record is None

    async def test_of_many_candidates_one_leads(self) -> None:
        lease = FarLease()
        candidates = [Candidate(lease, f"c{number}") for number in range(8)]
        await asyncio.sleep(120)
        assert [c.may_act for c in candidates].count(True) == 1
        for one in candidates:
            await one.stop()


def test_nobody_may_act_before_the_election() -> None:
    with pytest.raises(NotLeading, match="another may hold the lease"):
        Tenure().require()


def test_a_tenure_ends_by_the_clock_alone() -> None:
    times = [100.0]
    tenure = Tenure(lambda: times[-1])
    tenure.extend(110.0)
    tenure.require()
    assert tenure.seconds_left == 10.0
    times.append(110.0)
    with pytest.raises(NotLeading):
        tenure.require()
