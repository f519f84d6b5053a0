"""Workers: take a key, reconcile it, tell the queue how it went. Nobody else touches the queue's clocks."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from enum import Enum
from typing import Generic, TypeVar

import structlog

from snapshotter.runtime.workqueue import Retry, WorkQueue

Key = TypeVar("Key", bound=Hashable)

log = structlog.get_logger(__name__)


class Requeue(Enum):
    """When a reconciler that did not fail wants the key again. (Nothing wanted: it returns None.)"""

    NOW = "now"
    POLL = "by the readiness clock"


class ReconcileError(Exception):
    """What a reconciler could not do or find out, for reasons outside of it; tried again after the backoff."""


Reconcile = Callable[[Key, Retry], Awaitable[Requeue | None]]


class Workers(Generic[Key]):
    """So many workers for each lane of a queue."""

    def __init__(self, queue: WorkQueue[Key], lanes: Iterable[str], count: int, reconcile: Reconcile[Key]) -> None:
        self._queue = queue
        self._lanes = tuple(lanes)
        self._count = count
        self._reconcile = reconcile

    async def run(self) -> None:
        """Work until the queue is closed and every key in hand is finished."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                for number in range(self._count):
                    group.create_task(self._work(lane), name=f"{lane} worker {number}")

    async def _work(self, lane: str) -> None:
        while (key := await self._queue.take(lane)) is not None:
            with structlog.contextvars.bound_contextvars(key=key):
                try:
                    await self._handle(key)
                finally:
                    self._queue.done(key)

    async def _handle(self, key: Key) -> None:
        retry = self._queue.retry(key)
        try:
            requeue = await self._reconcile(key, retry)
        except ReconcileError as error:
            log.warning("not done", reason=str(error), attempt=retry.number, retry_in=round(retry.retry_in, 1))
            self._queue.failed(key, retry)
        except Exception:
            # A mistake of ours in one object must not keep the others waiting.
            log.exception("reconciling failed unexpectedly", attempt=retry.number)
            self._queue.failed(key, retry)
        else:
            match requeue:
                case None:
                    self._queue.forget(key)
                case Requeue.NOW:
                    # Another step follows; its first failure is a first one.
                    self._queue.forget(key)
                    self._queue.add(key)
                case Requeue.POLL:
                    self._queue.poll(key)
