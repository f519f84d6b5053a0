"""One sort of requests at work, single or group: its informers, queues, workers and controllers, put together."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from snapshotter.controller.requests import RequestController, Sort, Surroundings
from snapshotter.controller.upkeep import Upkeep
from snapshotter.controller.wakeups import Desk
from snapshotter.daemon.health import Health, exposed, exposed_queue
from snapshotter.daemon.leadership import Leadership
from snapshotter.daemon.written import Written
from snapshotter.kube.connection import Connection
from snapshotter.kube.kinds import Kind
from snapshotter.kube.objects import Objects
from snapshotter.metrics import QueueMetrics, WorkMetrics
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.names import GROUP_SNAPSHOT_GROUP
from snapshotter.plan.cluster import Cluster
from snapshotter.plan.requests import Reasons, Terms, was_snatched
from snapshotter.runtime.informer import Informer, OnChange
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import Workers
from snapshotter.runtime.workqueue import Backoff, WorkQueue
from snapshotter.settings import WorkSettings

U = TypeVar("U", bound=UserSnapshot)
C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")

log = structlog.get_logger(__name__)

LANE = "write"
"""There is one lane: whatever is done is a request to the API server, which does not hang for one object alone."""


@dataclass(frozen=True, slots=True)
class Sorted(Generic[U, C, K, A]):
    """What makes one sort of requests what it is."""

    kind: Kind[U]
    content_kind: Kind[C]
    class_kind: Kind[K]
    requests: Store[U]
    contents: Store[C]
    classes: Store[K]
    on_request: OnChange[U]
    on_content: OnChange[C]
    on_class: OnChange[K]
    on_content_set_aside: Callable[[str], None]
    """Told the name of a content that cannot be read, or that is not one any more that cannot be."""
    reasons: Reasons
    next_action: Callable[[U, Cluster, Terms], A]
    request_queue: str
    content_queue: str


@dataclass(frozen=True, slots=True)
class Shop:
    """What the parts share."""

    connection: Connection
    metrics: WorkMetrics
    health: Health
    leadership: Leadership
    work: WorkSettings
    surroundings: Surroundings
    synced: Callable[[], Awaitable[None]]
    """Returns when the objects that all parts look at are known."""
    consider_everything: Callable[[], None]


class Part(Generic[U, C, K, A]):
    """Everything about one sort. `run` works until `close` is called and what is in hand is finished."""

    def __init__(
        self,
        sort: Sorted[U, C, K, A],
        shop: Shop,
        make_controller: Callable[[Sort[U, C, A]], RequestController[U, C, A]],
        at_work: Callable[["Part[U, C, K, A] | None"], None],
    ) -> None:
        """`at_work` hears of this part when its stores are filled and we lead, and of None when it has ended."""
        self._sort = sort
        self._shop = shop
        self._at_work = at_work
        self._closed = asyncio.Event()
        connection, metrics = shop.connection, shop.metrics
        requests = Objects(connection, sort.kind, metrics)
        contents = Objects(connection, sort.content_kind, metrics)
        self.written_requests = Written(requests, sort.requests, self._request_changed)
        self.written_contents = Written(contents, sort.contents, self._content_changed)
        self._controller = make_controller(
            Sort(
                sort.kind,
                sort.reasons,
                sort.next_action,
                sort.requests,
                self.written_requests,
                sort.contents,
                self.written_contents,
            )
        )
        self._upkeep = Upkeep(sort.content_kind, sort.contents, self.written_contents, shop.surroundings.events)
        self._request_queue = self._queue(sort.request_queue)
        self._content_queue = self._queue(sort.content_queue)
        self.request_desk = Desk(self._request_queue, self._controller)
        self.content_desk = Desk(self._content_queue, self._upkeep)
        self._classes = Informer(
            Objects(connection, sort.class_kind, metrics), sort.classes, sort.on_class, what=sort.class_kind.plural
        )
        self._informers = (
            self._classes,
            Informer(
                contents,
                sort.contents,
                self._content_changed,
                what=sort.content_kind.plural,
                on_set_aside=self._content_set_aside,
            ),
            Informer(
                requests,
                sort.requests,
                self._request_changed,
                what=sort.kind.plural,
                on_set_aside=self._request_set_aside,
            ),
        )

    async def run(self) -> None:
        """Keep up with the API server and work, until closed."""
        sort, shop = self._sort, self._shop
        with ExitStack() as stack:
            for informer in self._informers:
                shop.health.watch(informer, optional=sort.kind.group == GROUP_SNAPSHOT_GROUP)
                stack.callback(shop.health.unwatch, informer)
            stack.enter_context(
                exposed(
                    shop.metrics,
                    sort.request_queue,
                    "",
                    sort.kind.name,
                    self._request_queue,
                    sort.requests,
                    self._informers,
                )
            )
            stack.enter_context(exposed_queue(shop.metrics, sort.content_queue, self._content_queue))
            await self._work()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(informer.run(), name=f"informer {informer.what}") for informer in self._informers
            ]
            try:
                if await self._until_everything_is_known():
                    # Who stands by queues nothing: the leader does what is to be done, and keys would wait for ever.
                    await self._until_closed_or(self._shop.leadership.won.wait())
                    self._at_work(self)
                    self._shop.consider_everything()
                    log.info("working", what=self._sort.kind.plural, workers=self._shop.work.worker_threads)
                    async with asyncio.TaskGroup() as working:
                        for queue, reconcile in (
                            (self._request_queue, self._controller.reconcile),
                            (self._content_queue, self._upkeep.reconcile),
                        ):
                            workers = Workers(queue, [LANE], self._shop.work.worker_threads, reconcile)
                            working.create_task(workers.run(), name=f"workers {self._sort.kind.plural}")
            finally:
                self._at_work(None)
            for task in background:
                task.cancel()

    async def _until_everything_is_known(self) -> bool:
        """Wait for the first lists: before that, what is not known looks as if it were not there."""

        async def known() -> None:
            await self._shop.synced()
            # Without the classes nothing is begun, and all else goes on.
            await self._classes.answered.wait()
            for informer in self._informers:
                if informer is not self._classes:
                    await informer.synced.wait()

        await self._until_closed_or(known())
        return not self._closed.is_set()

    async def _until_closed_or(self, event: Awaitable[object]) -> None:
        waits = {asyncio.ensure_future(event), asyncio.ensure_future(self._closed.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def trouble_with_classes(self) -> str | None:
        """Why no class is known. Classes that were known once are still gone by when reading them is refused."""
        return None if self._classes.synced.is_set() else self._classes.refusal

    def close(self) -> None:
        """Take nothing new in hand."""
        self._closed.set()
        self._request_queue.close()
        self._content_queue.close()

    def _queue(self, name: str) -> WorkQueue[str]:
        work = self._shop.work
        return WorkQueue(
            [LANE],
            lambda _: LANE,
            retries=Backoff(work.retry_start, work.retry_max),
            polls=Backoff(work.retry_start, work.retry_max),
            observer=QueueMetrics(self._shop.metrics, name),
        )

    def _request_changed(self, old: U | None, new: U | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            # What comes under the same name is another request: nothing of the old one's counts.
            self.request_desk.drop(old.key)
            self._controller.forget(old)
            if was_snatched(old) and self._sort.requests.trouble_with(old.key) is None:
                self._upkeep.snatched(old)
                if self._shop.leadership.won.is_set():
                    self.content_desk.consider(old.made_name)
        self._sort.on_request(old, new)

    def _content_changed(self, old: C | None, new: C | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self.content_desk.drop(old.key)
            self._upkeep.forget(old)
        self._sort.on_content(old, new)

    def _request_set_aside(self, key: str) -> None:
        self._controller.set_aside(key)
        if self._shop.leadership.won.is_set():
            self.request_desk.consider(key)

    def _content_set_aside(self, name: str) -> None:
        self._upkeep.set_aside(name)
        if self._shop.leadership.won.is_set():
            self.content_desk.consider(name)
        self._sort.on_content_set_aside(name)
