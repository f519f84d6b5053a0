"""How the event loop is: what blocks it holds everything up, and what never ends stays on it."""

import asyncio
from collections.abc import Callable

PERIOD = 1.0
"""Seconds between two measurements."""


async def measure_loop(report_lag: Callable[[float], object], report_tasks: Callable[[int], object]) -> None:
    """Report for ever by how many seconds a task that slept got its turn too late, and how many tasks there are."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        report_lag(max(0.0, loop.time() - due))
        report_tasks(len(asyncio.all_tasks()))
