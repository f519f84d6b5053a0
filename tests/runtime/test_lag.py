"""The lag of the event loop, on a real clock: what is measured is real time that is lost."""

import asyncio
import time

import pytest

from snapshotter.runtime import lag


async def test_what_holds_the_loop_up_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.02)
    reports: list[float] = []
    tasks: list[int] = []
    measuring = asyncio.create_task(lag.measure_loop(reports.append, tasks.append))
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 (that is what is to be seen)
    await asyncio.sleep(0.05)
    measuring.cancel()
    await asyncio.wait([measuring])
    assert max(reports) > 0.2
    assert min(reports) >= 0
    assert set(tasks) == {2}


async def test_tasks_are_counted_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.01)
    counted: asyncio.Queue[int] = asyncio.Queue()
    measuring = asyncio.create_task(lag.measure_loop(lambda _: None, counted.put_nowait))
    assert await counted.get() == 2
    more = [asyncio.create_task(asyncio.Event().wait()) for _ in range(3)]
    while await counted.get() != 5:
        pass
    for task in (*more, measuring):
        task.cancel()
    await asyncio.wait([*more, measuring])
