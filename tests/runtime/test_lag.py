"""The lag of the event loop, on a real clock: what is measured is real time that is lost."""

import asyncio
import time

import pytest

from snapshotter.runtime import lag


async def test_what_holds_the_loop_up_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD", 0.02)
    reports: list[float] = []
    measuring = asyncio.create_task(lag.measure_lag(reports.append))
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 (that is what is to be seen)
    await asyncio.sleep(0.05)
    measuring.cancel()
    await asyncio.wait([measuring])
    assert max(reports) > 0.2
    assert min(reports) >= 0
