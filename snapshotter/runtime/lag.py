"""How the event loop is: what blocks it holds everything up, and what never ends stays on it."""

import asyncio
from typing import Protocol

PERIOD = 1.0
"""Seconds between two reports."""
LOOKS = 10
"""So often within a period it is found out how late the loop is."""


class LoopObserver(Protocol):
    """Who hears of the loop; metrics in production."""

    def delayed(self, seconds: float, /) -> None:
        """A task that slept got its turn so much too late."""

    def lasted(self, longest_delay: float, tasks: int, /) -> None:
        """A period has passed, with this longest delay in it; so many tasks have not ended."""


async def measure_loop(observer: LoopObserver) -> None:
    """Observe the loop for ever."""
    loop = asyncio.get_running_loop()
    while True:
        longest = 0.0
        for _ in range(LOOKS):
            due = loop.time() + PERIOD / LOOKS
            await asyncio.sleep(PERIOD / LOOKS)
            delay = max(0.0, loop.time() - due)
            observer.delayed(delay)
            longest = max(longest, delay)
        observer.lasted(longest, len(asyncio.all_tasks()))
