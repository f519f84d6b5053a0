"""The gentle end of a program that works on objects: what is in hand is finished, and what was told is sent."""

import asyncio
from collections.abc import Collection

import structlog

from snapshotter.daemon.leadership import Leadership
from snapshotter.kube.events import Events

log = structlog.get_logger(__name__)

LAST_EVENTS_SECONDS = 2.0
"""How long events that have not been sent are given at the end."""


async def finish(work: Collection[asyncio.Task[None]], events: Events, leadership: Leadership, *, grace: float) -> None:
    """Return when the work, which takes nothing new in hand, has ended or was cut off after so many seconds.

    Who does not lead has nothing in hand, and is not waited for.
    """
    working = leadership.won.is_set()
    _, unfinished = await asyncio.wait(work, timeout=grace if working else 0)
    for task in unfinished:
        task.cancel()
    if unfinished and working:
        log.warning("operations that did not end within the grace time are cut off")
    if unfinished:
        await asyncio.wait(unfinished)
    try:
        async with asyncio.timeout(LAST_EVENTS_SECONDS):
            await events.drain()
    except TimeoutError:
        log.info("some events are not sent")
