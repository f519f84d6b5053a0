"""How late the event loop is: everything runs on it, so what blocks it holds up everything."""

import asyncio
from collections.abc import Callable

PERIOD = 1.0
"""Seconds between two measurements."""


async def measure_lag(report: Callable[[float], object]) -> None:
    """Report for ever by how many seconds a task that slept got its turn too late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        report(max(0.0, loop.time() - due))
