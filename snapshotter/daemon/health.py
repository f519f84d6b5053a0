"""How a program is: what `/healthz` and `/readyz` answer, and the gauges about the objects that it works on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from snapshotter.metrics import CONTENT_STATES, DaemonMetrics, WorkMetrics
from snapshotter.model.lifecycle import StatusError
from snapshotter.model.meta import Meta
from snapshotter.runtime.informer import Informer
from snapshotter.runtime.store import Store
from snapshotter.runtime.workqueue import WorkQueue

LONGEST_SILENCE = 60.0
"""Seconds without a word from the API server after which a restart may help more than waiting."""


class Health:
    """Collects what is to be looked at while the program starts."""

    def __init__(self) -> None:
        self._trouble: Callable[[], str | None] | None = None
        self._informers: dict[Informer[Any], float] = {}
        """With the time on the loop's clock from which on the API server should be heard of."""
        self._optional: set[Informer[Any]] = set()
        self._missing: Callable[[], list[str]] = list

    def begun(self, trouble: Callable[[], str | None] = lambda: None) -> None:
        """The start is complete, but for the lists; ask this for what keeps the program from working."""
        self._trouble = trouble

    def need(self, missing: Callable[[], list[str]]) -> None:
        """Ask this for permissions that are missing and without which there is no work."""
        self._missing = missing

    def watch(self, informer: Informer[Any], *, optional: bool = False) -> None:
        """Look at an informer; one that is optional may be refused its objects."""
        self._informers[informer] = asyncio.get_running_loop().time()
        if optional:
            self._optional.add(informer)

    def unwatch(self, informer: Informer[Any]) -> None:
        del self._informers[informer]
        self._optional.discard(informer)

    def alive(self) -> list[str]:
        """What a restart of the process might mend."""
        return [
            f"no word from the API server about {informer.what} for {age:.0f}s"
            for informer in self._informers
            if (age := self._silence(informer)) > LONGEST_SILENCE
        ]

    def ready(self) -> list[str]:
        """Why no work is done at the moment."""
        problems = self._missing() + [
            f"{informer.what} have not been listed yet"
            for informer in self._informers
            if not informer.synced.is_set() and not (informer in self._optional and informer.refusal is not None)
        ]
        if self._trouble is None or not self._informers:
            problems.append("the start is not complete")
        if self._trouble is not None and (trouble := self._trouble()) is not None:
            problems.append(trouble)
        return problems

    def _silence(self, informer: Informer[Any]) -> float:
        age = informer.seconds_since_contact()
        return asyncio.get_running_loop().time() - self._informers[informer] if age is None else age


class Snapshotted(Protocol):
    """What the gauges look at: a content, or a user's request."""

    @property
    def metadata(self) -> Meta: ...
    @property
    def status(self) -> "HasError": ...
    @property
    def ready(self) -> bool: ...
    @property
    def deleting(self) -> bool: ...


class HasError(Protocol):
    @property
    def error(self) -> StatusError | None: ...


@contextmanager
def exposed(
    metrics: WorkMetrics,
    name: str,
    driver: str,
    kind: str,
    queue: WorkQueue[str],
    store: Store[Any],
    informers: Iterable[Informer[Any]],
) -> Iterator[None]:
    """Show the gauges that are computed when the metrics are read, while the context lasts.

    They are of a queue of this name, and of objects of this kind; of one driver's, if there is but one.
    """
    with exposed_queue(metrics, name, queue), exposed_watches(metrics, informers), ExitStack() as shown:
        for remove in (
            metrics.watch_gauge(
                "snapshotter_oldest_unready_seconds",
                "Age in seconds of the oldest object that is neither ready nor being deleted; 0 when there is none.",
                partial(_oldest, oldest_unready, store),
                driver_name=driver,
                kind=kind,
            ),
            metrics.watch_gauge(
                "snapshotter_oldest_deleting_seconds",
                "Seconds since the oldest deletion that is not done yet was asked for; 0 when there is none.",
                partial(_oldest, oldest_deleting, store),
                driver_name=driver,
                kind=kind,
            ),
            metrics.watch_gauges(
                "snapshotter_contents",
                "Objects of the kind by what their status says: contents of one driver, or the requests of users.",
                "state",
                partial(content_states, store),
                driver_name=driver,
                kind=kind,
            ),
        ):
            shown.callback(remove)
        yield


@contextmanager
def exposed_queue(metrics: WorkMetrics, name: str, queue: WorkQueue[str]) -> Iterator[None]:
    """Show how a queue is, while the context lasts."""
    with ExitStack() as shown:
        for remove in (
            metrics.watch_gauge(
                "workqueue_depth", "Objects that wait in the queue for a worker.", queue.depth, name=name
            ),
            metrics.watch_gauge(
                "workqueue_unfinished_work_seconds",
                "Seconds that all workers together have been at the objects that they have in hand.",
                queue.unfinished,
                name=name,
            ),
            metrics.watch_gauge(
                "workqueue_longest_running_processor_seconds",
                "Seconds that the worker that takes longest has been at its object.",
                queue.longest_running,
                name=name,
            ),
            metrics.watch_gauge(
                "snapshotter_next_retry_seconds",
                "Seconds until the next object is tried or looked at again by itself; -1 when none is.",
                partial(_next_due, queue),
                name=name,
            ),
        ):
            shown.callback(remove)
        yield


@contextmanager
def exposed_watches(metrics: DaemonMetrics, informers: Iterable[Informer[Any]]) -> Iterator[None]:
    """Show how long ago the API server was heard of, and what of it cannot be understood, while the context lasts."""
    with ExitStack() as shown:
        for informer in informers:
            for remove in (
                metrics.watch_gauge(
                    "snapshotter_watch_age_seconds",
                    "Seconds since the API server last sent something about the resource; -1 before the first list.",
                    partial(_watch_age, informer),
                    resource=informer.what,
                ),
                metrics.watch_gauge(
                    "snapshotter_unreadable_objects",
                    "Objects of the resource that are there at present and cannot be understood; nothing is done for "
                    "them.",
                    informer.unreadable,
                    resource=informer.what,
                ),
            ):
                shown.callback(remove)
        yield


def _next_due(queue: WorkQueue[str]) -> float:
    due = queue.next_due()
    return -1.0 if due is None else due


def _oldest(age: Callable[[Iterable[Snapshotted], datetime], float], store: Store[Any]) -> float:
    return age(store, datetime.now(UTC))


def oldest_unready(contents: Iterable[Snapshotted], now: datetime) -> float:
    """The age in seconds of the oldest content that is neither ready nor being deleted; 0 when there is none."""
    return _longest(
        now,
        (content.metadata.creation_timestamp for content in contents if not content.ready and not content.deleting),
    )


def oldest_deleting(contents: Iterable[Snapshotted], now: datetime) -> float:
    """How many seconds ago the first deletion that is not done was asked for; 0 when there is none."""
    return _longest(now, (content.metadata.deletion_timestamp for content in contents))


def _longest(now: datetime, times: Iterable[datetime | None]) -> float:
    """Seconds since the earliest of the times that are known. Never negative: the API server's clock may be ahead."""
    oldest = min((time for time in times if time is not None), default=now)
    return max(0.0, (now - oldest).total_seconds())


def _watch_age(informer: Informer[Any]) -> float:
    age = informer.seconds_since_contact()
    return -1.0 if age is None else age


def content_states(contents: Iterable[Snapshotted]) -> dict[str, float]:
    """The number of contents in each of `CONTENT_STATES`."""
    counted = Counter(_state(content) for content in contents)
    return {state: counted[state] for state in CONTENT_STATES}


def _state(content: Snapshotted) -> str:
    if content.deleting:
        return "deleting"
    if content.status.error is not None:
        return "failing"
    return "ready" if content.ready else "not_ready"
