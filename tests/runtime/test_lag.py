"""The lag of the event loop, on a real clock: what is measured is real time that is lost."""

import asyncio
import time

import pytest

from snapshotter.runtime import lag


class Seen:
    def __init__(self) -> None:
        self.delays: list[float] = []
        self.longest: list[float] = []
        self.tasks: asyncio.Queue[int] = asyncio.Queue()

    def delayed(self, seconds: float, /) -> None:
        self.delays.append(seconds)

    def lasted(self, longest_delay: float, tasks: int, /) -> None:
        self.longest.append(longest_delay)
        self.tasks.put_nowait(tasks)


async def test_what_holds_the_loop_up_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.02)
    seen = Seen()
    measuring = asyncio.create_task(lag.measure_loop(seen))
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 (that is what is to be seen)
    await asyncio.sleep(0.05)
    measuring.cancel()
    await asyncio.wait([measuring])
    assert max(seen.longest) > 0.2
    assert max(seen.longest) in seen.delays, "the longest of its period"
    assert min(seen.delays) >= 0
    assert len(seen.delays) >= len(seen.longest) * lag.LOOKS
    assert seen.tasks.get_nowait() == 2


async def test_tasks_are_counted_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.01)
    seen = Seen()
    measuring = asyncio.create_task(lag.measure_loop(seen))
    assert await seen.tasks.get() == 2
    more = [asyncio.create_task(asyncio.Event().wait()) for _ in range(3)]
    while await seen.tasks.get() != 5:
        pass
    for task in (*more, measuring):
        task.cancel()
    await asyncio.wait([*more, measuring])
