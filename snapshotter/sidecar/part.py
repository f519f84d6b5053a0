"""One kind of content at work: its stores, informers, queue, workers and controller, put together."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import structlog

from snapshotter.daemon.health import Health, exposed
from snapshotter.daemon.leadership import Leadership
from snapshotter.kube.connection import Connection
from snapshotter.kube.kinds import Kind
from snapshotter.kube.objects import Objects
from snapshotter.kube.reading import driver_of
from snapshotter.metrics import Metrics, QueueMetrics
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.plan.lifecycle import Lane, Plan, Terms
from snapshotter.plan.secrets import SecretRef
from snapshotter.runtime.informer import Informer
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import Workers
from snapshotter.runtime.workqueue import Backoff, WorkQueue
from snapshotter.settings import KubeSettings, WorkSettings
from snapshotter.sidecar.contents import Contents
from snapshotter.sidecar.controller import Controller, Surroundings
from snapshotter.sidecar.wakeups import Wakeups

C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")

log = structlog.get_logger(__name__)

READINESS = Backoff(start=0.5, maximum=4.0, jitter=0.25)
"""The clock of snapshots that are not ready yet: one that becomes ready is seen so within five seconds."""


class Part(Generic[C, K, A]):
    """Everything about one kind. `run` works until `close` is called and what is in hand is finished."""

    def __init__(
        self,
        kind: Kind[C],
        class_kind: Kind[K],
        plan: Plan[C, K, A],
        controller: type[Controller[C, K, A]],
        *,
        terms: Callable[[], Terms],
        surroundings: Surroundings,
        connection: Connection,
        kube: KubeSettings,
        work: WorkSettings,
        metrics: Metrics,
        health: Health,
        leadership: Leadership,
        label_selector: str | None,
        queue_name: str,
        optional: bool = False,
    ) -> None:
        """`optional`: the sidecar is ready also if the API server does not let us read objects of this kind."""
        driver = terms().driver
        self._terms = terms
        self._health = health
        self._leadership = leadership
        self._optional = optional
        self._closed = asyncio.Event()
        self._resync_period = kube.resync_period
        self._workers_per_lane = work.worker_threads
        store: Store[C] = Store()
        classes: Store[K] = Store()
        objects = Objects(
            connection,
            kind,
            metrics,
            wanted=lambda content: content.spec.driver == driver,
            concerns_us=lambda raw: driver_of(raw) in (driver, None),
            field_selector=f"spec.driver={driver}",
            label_selector=label_selector,
        )
        self._controller = controller(
            kind,
            plan,
            terms(),
            store=store,
            classes=classes,
            contents=Contents(objects, store),
            surroundings=surroundings,
            classes_unknown=self._classes_unknown,
        )
        self._queue = WorkQueue(
            Lane,
            self._controller.lane_of,
            retries=Backoff(work.retry_start, work.retry_max),
            polls=READINESS,
            observer=QueueMetrics(metrics, queue_name),
        )
        self._wakeups = Wakeups(self._queue, store, self._controller)
        self._workers = Workers(self._queue, Lane, work.worker_threads, self._controller.reconcile)
        self._classes = Informer(
            Objects(connection, class_kind, metrics), classes, self._wakeups.class_changed, what=class_kind.plural
        )
        self._contents = Informer(
            objects,
            store,
            self._wakeups.content_changed,
            what=kind.plural,
            on_set_aside=self._wakeups.content_set_aside,
        )
        self._exposed = partial(
            exposed, metrics, queue_name, driver, kind.name, self._queue, store, (self._classes, self._contents)
        )

    async def run(self) -> None:
        """Keep up with the API server and work, until closed."""
        informers = (self._classes, self._contents)
        for informer in informers:
            self._health.watch(informer, optional=self._optional)
        try:
            with self._exposed():
                await self._work()
        finally:
            for informer in informers:
                self._health.unwatch(informer)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._classes.run(), name=f"informer {self._classes.what}"),
                tasks.create_task(self._follow_contents(), name=f"informer {self._contents.what}"),
                tasks.create_task(self._wakeups.resync(self._resync_period), name="resync"),
            ]
            await self._until_leading()
            self._wakeups.begin()
            log.info("working", what=self._contents.what, workers=self._workers_per_lane)
            await self._workers.run()
            for task in background:
                task.cancel()

    async def _until_leading(self) -> None:
        """Return when we may work, or when there is nothing to work for any more."""
        events = {asyncio.create_task(event.wait()) for event in (self._leadership.won, self._closed)}
        try:
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for event in events:
                event.cancel()

    async def _follow_contents(self) -> None:
        # Only when the classes are known can be told what is to be done for a content.
        await self._classes.answered.wait()
        await self._contents.run()

    def _classes_unknown(self) -> str | None:
        """Why no class is known. Classes that were known once are still gone by when reading them is refused."""
        return None if self._classes.synced.is_set() else self._classes.refusal

    def close(self) -> None:
        """Take nothing new in hand."""
        self._closed.set()
        self._queue.close()

    def secrets_in_use(self) -> set[SecretRef]:
        """The Secrets that have to be read, as far as is known."""
        return self._controller.secrets_in_use()

    def driver_returned(self) -> None:
        """The driver is back, perhaps with other capabilities."""
        self._wakeups.driver_returned(self._terms())
