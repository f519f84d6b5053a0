"""The csi-snapshotter program: starts everything in order, and ends it in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from snapshotter import logs
from snapshotter.csi.channel import BadAddress
from snapshotter.csi.driver import Driver, open_driver
from snapshotter.kube.connection import BadConfiguration, Connection, Limits, connect
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import CONTENT, SNAPSHOT_CLASS
from snapshotter.kube.objects import Objects
from snapshotter.kube.secrets import Secrets
from snapshotter.metrics import Metrics, QueueMetrics
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.snapshot import CsiError
from snapshotter.names import CONTENT_QUEUE
from snapshotter.plan.content import PLAN
from snapshotter.plan.lifecycle import Lane, Naming, Terms
from snapshotter.runtime.informer import Informer
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import Workers
from snapshotter.runtime.workqueue import Backoff, WorkQueue
from snapshotter.settings import SidecarSettings, host_and_port
from snapshotter.sidecar.content import ContentController
from snapshotter.sidecar.contents import Contents
from snapshotter.sidecar.controller import Surroundings
from snapshotter.sidecar.health import Health, expose
from snapshotter.sidecar.wakeups import Wakeups
from snapshotter.web.server import ListenError, serving

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 30.0
"""How long a driver that is not there yet is waited for at the start."""
LAST_EVENTS_SECONDS = 2.0
"""How long events that have not been sent are given at the end."""

READINESS = Backoff(start=0.5, maximum=4.0, jitter=0.25)
"""The clock of snapshots that are not ready yet: one that becomes ready is seen so within five seconds."""


class StartError(Exception):
    """The program cannot start; the message is for the person who started it."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


async def run(settings: SidecarSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal does not wait any more. Raises `StartError`."""
    logs.set_up("json" if settings.logs.log_format == "json" else "text", settings.logs.verbosity)
    stop = Shutdown()
    with stop.on_signals():
        try:
            async with started(settings) as sidecar:
                await sidecar.work(stop)
        except asyncio.CancelledError:
            if not stop.requested:
                raise
        log.info("stopped")


class Shutdown:
    """The wish to end. During the start it ends everything at once; later the work in hand is finished first."""

    def __init__(self) -> None:
        self.requested = False
        self._event = asyncio.Event()
        self._gentle = False
        self._main = asyncio.current_task()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT)
        for number in caught:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def request(self) -> None:
        at_once = self.requested or not self._gentle
        self.requested = True
        self._event.set()
        if at_once and self._main is not None:
            self._main.cancel()

    async def wait(self) -> None:
        """Return when the end is wished for; from now on it is a gentle one."""
        self._gentle = True
        await self._event.wait()


@asynccontextmanager
async def started(settings: SidecarSettings) -> AsyncIterator["Sidecar"]:
    """Everything that the sidecar stands on, in the order in which it can be had."""
    metrics = Metrics(CollectorRegistry())
    health = Health()
    try:
        async with AsyncExitStack() as stack:
            if settings.web.address:
                await stack.enter_async_context(_web(settings, metrics, health))
            connection = await stack.enter_async_context(_connection(settings, metrics))
            driver = await stack.enter_async_context(
                open_driver(
                    settings.driver.csi_address,
                    metrics,
                    timeout=settings.driver.timeout,
                    log_payloads=settings.logs.verbosity >= logs.PAYLOAD_VERBOSITY,
                )
            )
            health.expect(driver)
            await _meet(driver)
            yield Sidecar(settings, metrics, health, connection, driver)
    except BadConfiguration as error:
        raise StartError(str(error)) from error
    except BadAddress as error:
        raise StartError(f"--csi-address: {error}") from error
    except ListenError as error:
        raise StartError(str(error), exit_code=255) from error


@asynccontextmanager
async def _web(settings: SidecarSettings, metrics: Metrics, health: Health) -> AsyncIterator[None]:
    host, port = host_and_port(settings.web.address)
    async with serving(
        host,
        port,
        registry=metrics.registry,
        metrics_path=settings.web.metrics_path,
        alive=health.alive,
        ready=health.ready,
    ) as actual:
        log.info("serving metrics and health", port=actual, path=settings.web.metrics_path)
        yield


def _connection(settings: SidecarSettings, metrics: Metrics) -> AbstractAsyncContextManager[Connection]:
    return connect(
        Path(settings.kube.kubeconfig) if settings.kube.kubeconfig else None,
        Limits(settings.kube.qps if settings.kube.qps > 0 else None, settings.kube.burst),
        metrics,
        user_agent=f"csi-snapshotter/{version('snapshotter')}",
    )


async def _meet(driver: Driver) -> None:
    """Wait for the driver and see whether it is one that makes snapshots. Raises `StartError`."""
    try:
        await driver.wait_until_connected(CONNECT_SECONDS)
        identity = await driver.meet()
    except CsiError as error:
        raise StartError(f"the CSI driver cannot be used: {error}") from error
    if not identity.capabilities.create_delete_snapshot:
        raise StartError(
            f'CSI driver "{identity.name}" does not support snapshots: '
            "its controller does not announce CREATE_DELETE_SNAPSHOT"
        )
    log.info("driver met", driver=identity.name, version=identity.version)


class Sidecar:
    """The working parts, put together."""

    def __init__(
        self, settings: SidecarSettings, metrics: Metrics, health: Health, connection: Connection, driver: Driver
    ) -> None:
        self.health = health
        self._settings = settings
        self._driver = driver
        name = driver.identity.name
        store: Store[Content] = Store()
        classes: Store[SnapshotClass] = Store()
        objects = Objects(
            connection,
            CONTENT,
            metrics,
            wanted=lambda content: content.spec.driver == name,
            field_selector=f"spec.driver={name}",
        )
        self._events = Events(connection, f"csi-snapshotter {name}")
        self._controller = ContentController(
            CONTENT,
            PLAN,
            self._terms(),
            store=store,
            classes=classes,
            contents=Contents(objects, store),
            surroundings=Surroundings(driver, Secrets(connection), self._events),
        )
        self._queue = WorkQueue(
            Lane,
            self._controller.lane_of,
            retries=Backoff(settings.work.retry_start, settings.work.retry_max),
            polls=READINESS,
            observer=QueueMetrics(metrics, CONTENT_QUEUE),
        )
        self._wakeups = Wakeups(self._queue, store, self._controller)
        self._workers = Workers(self._queue, Lane, settings.work.worker_threads, self._controller.reconcile)
        self._informers = (
            Informer(
                Objects(connection, SNAPSHOT_CLASS, metrics),
                classes,
                self._wakeups.class_changed,
                what=SNAPSHOT_CLASS.plural,
            ),
            Informer(objects, store, self._wakeups.content_changed, what=CONTENT.plural),
        )
        for informer in self._informers:
            health.watch(informer)
        expose(metrics, self._queue, store, self._informers)

    async def work(self, stop: Shutdown) -> None:
        """Work until the end is wished for, then finish what is in hand within the grace time."""
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._events.run(), name="events"),
                tasks.create_task(self._driver.keep_in_touch(self._driver_returned), name="driver"),
                tasks.create_task(self._wakeups.resync(self._settings.kube.resync_period), name="resync"),
                *(tasks.create_task(informer.run(), name=f"informer {informer.what}") for informer in self._informers),
            ]
            work = tasks.create_task(self._work_when_synced(), name="workers")
            await stop.wait()
            log.info("stopping")
            self._queue.close()
            await self._finish(work)
            for task in background:
                task.cancel()

    async def _work_when_synced(self) -> None:
        for informer in self._informers:
            await informer.synced.wait()
        log.info("working", workers=self._settings.work.worker_threads)
        await self._workers.run()

    async def _finish(self, work: "asyncio.Task[None]") -> None:
        synced = all(informer.synced.is_set() for informer in self._informers)
        await asyncio.wait({work}, timeout=self._settings.work.shutdown_grace if synced else 0)
        if work.cancel():
            log.warning("operations that did not end within the grace time are cut off")
        try:
            async with asyncio.timeout(LAST_EVENTS_SECONDS):
                await self._events.drain()
        except TimeoutError:
            log.info("some events are not sent")

    def _driver_returned(self) -> None:
        self._wakeups.driver_returned(self._terms())

    def _terms(self) -> Terms:
        identity = self._driver.identity
        snapshots = self._settings.snapshots
        length = snapshots.name_uuid_length
        return Terms(
            driver=identity.name,
            capabilities=identity.capabilities,
            naming=Naming(snapshots.name_prefix, None if length < 0 else length),
            extra_create_metadata=snapshots.extra_create_metadata,
        )
