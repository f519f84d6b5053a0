"""Leader election: of several candidates one acts, and only while its lease cannot have passed to another.

The candidates share one record, the lease. A leader renews it; a candidate takes it when it is free or when it has not
changed for its whole duration, by the candidate's own clock. A leader stops earlier than that, and every act asks
the `Tenure` first, so that one that was paused does not act when it wakes. `kube.leases` keeps the record.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from snapshotter.runtime.workers import ReconcileError

log = structlog.get_logger(__name__)

Clock = Callable[[], float]

LONGEST_LOOK = 1.5
"""Seconds between two looks at a lease that another holds: one that is given away is taken within this time."""
JITTER = 1.2
"""A pause after trouble is a retry period and up to so many more, so that candidates do not come all at once."""
RELEASE_SECONDS = 3.0
"""Time that is spent on giving the lease away."""
RELEASE_PAUSE = 0.2
"""Seconds between two attempts to give it away."""


# Only Linux has it; elsewhere, where people try things out, the clock that stops during sleep must do.
_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_since_boot() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps, as the clocks of other machines do."""
    return time.clock_gettime(_BOOT_CLOCK)


def time_of_day() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who holds the lease. The times of day are for people to read; nothing is decided by them."""

    holder: str = ""
    """Empty: nobody."""
    duration_seconds: int | None = None
    """How long others wait without a change before they take it."""
    acquired_at: datetime | None = None
    renewed_at: datetime | None = None
    transitions: int = 0
    version: str = field(default="", compare=False)
    """The stored object's version, which a replacement must name. It may change while the record stays the same."""


class LeaseTrouble(Exception):
    """The lease could not be read or written, or it is not known whether it was."""


class LeaseMissing(Exception):
    """There is no lease."""


class LeaseConflict(Exception):
    """Somebody else has written the lease since it was read."""


class Leases(Protocol):
    """Where the record is kept. Each method raises `LeaseTrouble` as well."""

    async def read(self) -> LeaseRecord:
        """Raises `LeaseMissing`."""

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Raises `LeaseConflict` when there is one already."""

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write a record over the version that it carries. Raises `LeaseConflict`, `LeaseMissing`."""


class NotLeading(ReconcileError):
    """We do not hold the lease (any more), so we must not act."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules of an election. Lease duration > renew deadline > retry period, in seconds."""

    identity: str
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 5.0

    @property
    def attempt_seconds(self) -> float:
        """The time of one attempt. Two renewals and a pause fit before the deadline, should a request hang."""
        return (self.renew_deadline - self.retry_period) * 0.4

    @property
    def pause_seconds(self) -> float:
        """The time between a renewal that did not work and the next."""
        return (self.renew_deadline - self.retry_period) * 0.2

    @property
    def whole_lease_seconds(self) -> int:
        """The duration as it is written; never less than what we reckon with."""
        return max(1, -int(-self.lease_duration // 1))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record, and when by our clock it was first seen as it is."""

    record: LeaseRecord
    since: float


@dataclass(frozen=True, slots=True)
class Create:
    """There is no lease: make it, as ours."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class Take:
    """The lease is free, expired or ours already: write that it is ours."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class StandBy:
    """Another holds the lease; it is not worth a look for so many seconds after which it has run out."""

    seconds: float


Step = Create | Take | StandBy


def sighted(earlier: Sighting | None, record: LeaseRecord, now: float) -> Sighting:
    """What is known after a look. A record that has not changed is as old as before."""
    unchanged = earlier is not None and earlier.record == record
    return Sighting(record, earlier.since if earlier is not None and unchanged else now)


def next_step(sighting: Sighting | None, terms: Terms, now: float, today: datetime, *, missing: bool = False) -> Step:
    """What a candidate does. `missing`: there is no lease now, whatever was seen before.

    A lease that is deleted while it is held counts as held until it would have run out: its leader does not know yet.
    """
    if sighting is not None:
        left = _runs_out_at(sighting, terms) - now
        if left > 0:
            return StandBy(left)
    if sighting is None or missing:
        return Create(ours(LeaseRecord(holder=terms.identity), terms, today))
    return Take(ours(sighting.record, terms, today))


def _runs_out_at(sighting: Sighting, terms: Terms) -> float:
    record = sighting.record
    if record.holder in ("", terms.identity):
        return sighting.since
    seconds = terms.lease_duration if record.duration_seconds is None else record.duration_seconds
    return sighting.since + seconds


def ours(record: LeaseRecord, terms: Terms, today: datetime) -> LeaseRecord:
    """The record with us as the holder: renewed if it was ours, else taken over."""
    renewed = replace(record, holder=terms.identity, duration_seconds=terms.whole_lease_seconds, renewed_at=today)
    if record.holder == terms.identity:
        return renewed if renewed.acquired_at is not None else replace(renewed, acquired_at=today)
    return replace(renewed, acquired_at=today, transitions=record.transitions + 1)


def released(record: LeaseRecord, today: datetime) -> LeaseRecord:
    """The record with nobody as the holder."""
    return replace(record, holder="", duration_seconds=1, acquired_at=today, renewed_at=today)


class Tenure:
    """The time until which we may act."""

    def __init__(self, clock: Clock = seconds_since_boot) -> None:
        self.clock = clock
        self._until: float | None = None

    @property
    def seconds_left(self) -> float:
        """Zero when we may not act."""
        return 0.0 if self._until is None else max(0.0, self._until - self.clock())

    @property
    def seconds_over(self) -> float:
        """How long ago a tenure that nobody has ended ran out."""
        return 0.0 if self._until is None else max(0.0, self.clock() - self._until)

    def require(self) -> None:
        """Raise `NotLeading` unless we may act at this moment. To be called right before each act."""
        if not self.seconds_left:
            raise NotLeading("another may hold the lease")

    def extend(self, until: float) -> None:
        self._until = until

    def end(self) -> None:
        self._until = None


class Observer(Protocol):
    """Is told of what happens, for metrics and for people."""

    def leads(self, leading: bool, /) -> None:
        """We have become the leader, or are it no more."""

    def slow_path(self) -> None:
        """A renewal needed more than its one request."""


class Election:
    """One candidate. `run` makes it the leader and keeps it so; after the work, `release` gives the lease away."""

    def __init__(
        self,
        leases: Leases,
        terms: Terms,
        tenure: Tenure,
        observer: Observer,
        *,
        chance: Callable[[], float] = random.random,
        today: Callable[[], datetime] = time_of_day,
    ) -> None:
        self.won: Final = asyncio.Event()
        """Set once we are the leader."""
        self._leases = leases
        self._terms = terms
        self._tenure = tenure
        self._observer = observer
        self._chance = chance
        self._today = today
        self._sighting: Sighting | None = None
        self._told_leader: str | None = None
        self._perhaps_ours = False
        """Whether the lease may carry our name: it does, or a write of ours has had no answer."""

    async def run(self) -> None:
        """Become the leader and stay it. Raises `NotLeading` as soon as another may be the leader."""
        while not self._tenure.seconds_left:
            if pause := await self._attempt():
                await asyncio.sleep(pause)
        log.info("leading", identity=self._terms.identity)
        self.won.set()
        self._observer.leads(True)
        try:
            while True:
                await self._stay()
        finally:
            self._observer.leads(False)

    async def _attempt(self) -> float:
        """Try to become the leader; gives the seconds until the next try."""
        try:
            async with asyncio.timeout(self._terms.attempt_seconds):
                return await self._look_and_take()
        except LeaseConflict:
            return self._look_pause()
        except (LeaseTrouble, LeaseMissing, TimeoutError) as error:
            log.warning("lease cannot be had", reason=_reason(error))
            return self._terms.retry_period * (1 + JITTER * self._chance())

    async def _look_and_take(self) -> float:
        missing = await self._look()
        match next_step(self._sighting, self._terms, self._tenure.clock(), self._today(), missing=missing):
            case StandBy(seconds):
                self._tell_of_leader()
                return min(seconds, self._look_pause())
            case Create(record):
                await self._write(self._leases.create, record)
            case Take(record):
                await self._write(self._leases.replace, record)
        return 0.0

    def _tell_of_leader(self) -> None:
        leader = None if self._sighting is None else self._sighting.record.holder
        if leader != self._told_leader:
            self._told_leader = leader
            log.info("standing by", leader=leader)

    def _look_pause(self) -> float:
        return min(self._terms.retry_period, LONGEST_LOOK) * (1 + self._chance()) / 2

    async def _look(self) -> bool:
        """See how the lease is; the answer is whether it is missing."""
        try:
            record = await self._leases.read()
        except LeaseMissing:
            return True
        self._sighting = sighted(self._sighting, record, self._tenure.clock())
        return False

    async def _write(self, write: Callable[[LeaseRecord], Awaitable[LeaseRecord]], record: LeaseRecord) -> None:
        # Others may see the write from now on, so our time begins now and not with the answer.
        started = self._tenure.clock()
        self._perhaps_ours = True
        written = await write(record)
        self._sighting = sighted(self._sighting, written, started)
        self._tenure.extend(started + self._terms.renew_deadline)

    async def _stay(self) -> None:
        """Renew once, a retry period from now. Raises `NotLeading`."""
        try:
            async with asyncio.timeout(self._tenure.seconds_left):
                await asyncio.sleep(self._terms.retry_period)
                await self._renew_persistently()
        except TimeoutError:
            self._tenure.end()
            raise NotLeading(f"the lease was not renewed for {self._terms.renew_deadline:g}s") from None

    async def _renew_persistently(self) -> None:
        while True:
            self._tenure.require()
            try:
                async with asyncio.timeout(self._terms.attempt_seconds):
                    return await self._renew()
            except (LeaseTrouble, LeaseMissing, LeaseConflict, TimeoutError) as error:
                log.warning(
                    "lease not renewed", reason=_reason(error), seconds_left=round(self._tenure.seconds_left, 1)
                )
                await asyncio.sleep(self._terms.pause_seconds)

    async def _renew(self) -> None:
        try:
            await self._write(self._leases.replace, self._mine())
        except (LeaseConflict, LeaseMissing):
            self._observer.slow_path()
            if await self._look():
                await self._write(self._leases.create, self._mine())
            else:
                await self._write(self._leases.replace, self._mine())

    def _mine(self) -> LeaseRecord:
        """The record as we last saw it, renewed. Raises `NotLeading` if another holds it."""
        if self._sighting is None:
            raise NotLeading("no lease has been seen")
        record = self._sighting.record
        if record.holder not in ("", self._terms.identity):
            self._tenure.end()
            raise NotLeading(f'the lease is held by "{record.holder}"')
        return ours(record, self._terms, self._today())

    async def release(self) -> None:
        """Give the lease away if we hold it. Only when nothing acts any more; trouble is only logged."""
        self._tenure.end()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while self._perhaps_ours:
                    await self._try_to_release()
        except TimeoutError:
            log.warning("lease not given away; it will run out")

    async def _try_to_release(self) -> None:
        try:
            record = await self._leases.read()
            if record.holder == self._terms.identity:
                await self._leases.replace(released(record, self._today()))
                log.info("lease given away")
        except (LeaseTrouble, LeaseConflict) as error:
            log.info("lease not given away yet", reason=_reason(error))
            await asyncio.sleep(RELEASE_PAUSE)
        except LeaseMissing:
            self._perhaps_ours = False
        else:
            self._perhaps_ours = False


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
