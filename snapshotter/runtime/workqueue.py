"""The work queue: which key is due when. `snapshotter.runtime.workers` takes from it and reports back."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Times that double from `start` up to `maximum` seconds; `jitter` is the part that chance may take off."""

    start: float
    maximum: float
    jitter: float = 0.1

    def delay(self, number: int, chance: float) -> float:
        """The wait after the `number`-th time in a row (from 1); `chance` is in [0, 1)."""
        # The exponent is bounded, so that no number of attempts overflows.
        doubled = self.start * 2.0 ** min(number - 1, 60)
        return min(doubled, self.maximum) * (1 - self.jitter * chance)


@dataclass(frozen=True, slots=True)
class Retry:
    """The try that begins: how many there were in a row, and in how many seconds another follows a failure."""

    number: int
    retry_in: float


class QueueObserver(Protocol):
    """Who hears of what the queue does; metrics in production."""

    def added(self) -> None: ...
    def taken(self, waited: float) -> None: ...
    def done(self, worked: float) -> None: ...
    def retried(self) -> None: ...


class Unobserved:
    """Nobody listens."""

    def added(self) -> None: ...
    def taken(self, waited: float) -> None: ...
    def done(self, worked: float) -> None: ...
    def retried(self) -> None: ...


@dataclass(slots=True)
class _History:
    """What is remembered of a key that did not come to rest: failures and fruitless looks in a row."""

    failures: int = 0
    polls: int = 0


@dataclass(slots=True)
class _Lane(Generic[Key]):
    waiting: OrderedDict[Key, float] = field(default_factory=OrderedDict)
    """Keys in the order in which they came, with the time of their coming: an ordered set."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class WorkQueue(Generic[Key]):
    """Keys that wait for a worker.

    * A key waits once, however often it is added, and in one lane: the one that `lane_of` gives it.
    * A key is with one worker at a time; added meanwhile, it waits again after `done`.
    * Of an early and a late time to come back, the early one holds.
    * Failures and readiness have clocks of their own. A good answer ends a row of failures.

    Only `take` waits. Everything else is a plain method, so on the one event loop it runs whole: there is
    nothing to lock.
    """

    def __init__(
        self,
        lanes: Iterable[str],
        lane_of: Callable[[Key], str],
        *,
        retries: Backoff,
        polls: Backoff,
        observer: QueueObserver | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._lanes: dict[str, _Lane[Key]] = {lane: _Lane() for lane in lanes}
        self._lane_of = lane_of
        self._where: dict[Key, str] = {}
        self._delayed: dict[Key, asyncio.TimerHandle] = {}
        self._working: dict[Key, float] = {}
        self._added_meanwhile: set[Key] = set()
        self._history: dict[Key, _History] = {}
        self._retries = retries
        self._polls = polls
        self._observer = observer or Unobserved()
        self._chance = chance
        self._closed = False

    def add(self, key: Key) -> None:
        """The key is due now. One that waits already moves, if it belongs into another lane by now."""
        if self._closed:
            return
        self._cancel_timer(key)
        if key in self._working:
            self._added_meanwhile.add(key)
            return
        lane = self._lane_of(key)
        if self._where.get(key) == lane:
            return
        if (elsewhere := self._where.pop(key, None)) is not None:
            del self._lanes[elsewhere].waiting[key]
        else:
            self._observer.added()
        self._where[key] = lane
        self._lanes[lane].waiting[key] = _now()
        self._lanes[lane].changed.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """The key is due in so many seconds, or earlier if it is already due earlier."""
        if self._closed or key in self._where:
            return
        due = _now() + seconds
        if (timer := self._delayed.get(key)) is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._delayed[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    async def take(self, lane: str) -> Key | None:
        """The next key of a lane, once there is one; None when the queue has been closed."""
        mine = self._lanes[lane]
        while not self._closed:
            if mine.waiting:
                key, since = mine.waiting.popitem(last=False)
                del self._where[key]
                now = _now()
                self._working[key] = now
                self._observer.taken(now - since)
                return key
            mine.changed.clear()
            await mine.changed.wait()
        return None

    def retry(self, key: Key) -> Retry:
        """The number of the try that begins, and the wait that `failed` should be given if it fails."""
        number = self._history.get(key, _History()).failures + 1
        return Retry(number, self._retries.delay(number, self._chance()))

    def forget(self, key: Key) -> None:
        """The key came to rest: the next failure is a first one again."""
        self._history.pop(key, None)

    def forgive(self, key: Key, failures: int) -> None:
        """Of the failures in a row only the first so many count from now on: the others were no tries."""
        if (history := self._history.get(key)) is not None:
            history.failures = min(history.failures, failures)

    def failed(self, key: Key, retry: Retry) -> None:
        """The try failed: the key comes back after the wait that was announced."""
        self._history.setdefault(key, _History()).failures = retry.number
        self._observer.retried()
        self.add_after(key, retry.retry_in)

    def poll(self, key: Key) -> None:
        """All went well but there is something to wait for: the key comes back by the readiness clock."""
        history = self._history.setdefault(key, _History())
        history.failures = 0
        history.polls += 1
        self.add_after(key, self._polls.delay(history.polls, self._chance()))

    def done(self, key: Key) -> None:
        """The worker has finished with the key."""
        self._observer.done(_now() - self._working.pop(key))
        if key in self._added_meanwhile:
            self._added_meanwhile.discard(key)
            self.add(key)

    def drop(self, key: Key) -> None:
        """What the key stood for is gone: it does not come back by itself."""
        self._cancel_timer(key)
        self.forget(key)

    def knows(self, key: Key) -> bool:
        """Whether the key waits, for a worker or for its time, or is with a worker."""
        return key in self._where or key in self._delayed or key in self._working

    def failing(self) -> int:
        """The number of keys whose last try failed."""
        return sum(1 for history in self._history.values() if history.failures)

    def is_working(self, key: Key) -> bool:
        return key in self._working

    def longest_running(self) -> float:
        """For how many seconds the slowest worker has been at its key."""
        return max((_now() - since for since in self._working.values()), default=0.0)

    def unfinished(self) -> float:
        """Seconds that all workers together have been at their keys."""
        return sum(_now() - since for since in self._working.values())

    def next_due(self) -> float | None:
        """In how many seconds the next key comes back by itself; None when no key does."""
        times = [timer.when() for timer in self._delayed.values()]
        return max(0.0, min(times) - _now()) if times else None

    def depth(self) -> int:
        return len(self._where)

    def close(self) -> None:
        """No key is taken or added any more; the workers end when they have finished what is in hand."""
        self._closed = True
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        for lane in self._lanes.values():
            lane.changed.set()

    def _cancel_timer(self, key: Key) -> None:
        if (timer := self._delayed.pop(key, None)) is not None:
            timer.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
