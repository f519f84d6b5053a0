"""Requests that are repeated while the API server's trouble looks like passing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from snapshotter.kube.errors import ApiError

T = TypeVar("T")

log = structlog.get_logger(__name__)

PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between the tries."""


async def persistently(request: Callable[[], Awaitable[T]]) -> T:
    """Try a request that may be carried out twice, again and again as long as that may help. Raises `ApiError`."""
    for pause in PAUSES:
        try:
            return await request()
        except ApiError as error:
            if not error.transient:
                raise
            log.info("request is repeated", reason=str(error), seconds=pause)
            await asyncio.sleep(pause)
    return await request()
