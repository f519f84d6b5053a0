"""The csi-snapshotter program: starts everything in order, and ends it in order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from snapshotter import logs
from snapshotter.csi.channel import BadAddress
from snapshotter.csi.driver import Driver, open_driver
from snapshotter.daemon.health import Health
from snapshotter.daemon.leadership import ElectedLeadership
from snapshotter.daemon.opening import connected, endpoint, leadership_by
from snapshotter.daemon.permissions import Permissions
from snapshotter.daemon.running import CannotRun, Shutdown, run_until_stopped
from snapshotter.kube.leases import lease_name
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import CsiError
from snapshotter.plan.permissions import sidecar as table
from snapshotter.settings import SidecarSettings
from snapshotter.sidecar.sidecar import Sidecar

log = structlog.get_logger(__name__)

PROGRAM = "csi-snapshotter"
CONNECT_SECONDS = 30.0
"""How long a driver that is not there yet is waited for at the start."""


async def run(settings: SidecarSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal does not wait any more.

    Raises `CannotRun`, also when we lead no more.
    """
    logs.set_up("json" if settings.logs.log_format == "json" else "text", settings.logs.verbosity)

    async def work(stop: Shutdown) -> None:
        await serve(settings, stop.wait)

    await run_until_stopped(work)


async def serve(settings: SidecarSettings, end: Callable[[], Awaitable[object]]) -> None:
    """Work until `end` returns. A candidate whose driver stays away leaves the election, and begins anew with it.

    Raises `CannotRun`, and a group of `NotLeading` as soon as another may lead.
    """
    async with started(settings) as sidecar:
        over = await sidecar.work(end)
    while not over:
        log.info("the driver stays away, so that others should lead")
        async with started(settings, patient=True) as sidecar:
            over = await sidecar.work(end)


@asynccontextmanager
async def started(settings: SidecarSettings, *, patient: bool = False) -> AsyncIterator[Sidecar]:
    """Everything that the sidecar stands on, in the order in which it can be had.

    `patient`: the driver is waited for however long it takes.
    """
    metrics = Metrics(CollectorRegistry())
    health = Health()
    permissions = Permissions(
        table(groups=settings.features.group_snapshots, election=settings.election.enabled), metrics
    )
    health.need(permissions.trouble)
    leadership = leadership_by(settings.election, release=settings.features.release_on_exit)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                endpoint(settings.web, metrics, health, leadership if settings.election.enabled else None)
            )
            connections = await stack.enter_async_context(
                connected(PROGRAM, settings.kube, metrics, permissions, leadership)
            )
            driver = await stack.enter_async_context(
                open_driver(
                    settings.driver.csi_address,
                    metrics,
                    timeout=settings.driver.timeout,
                    log_payloads=settings.logs.verbosity >= logs.PAYLOAD_VERBOSITY,
                    want_groups=settings.features.group_snapshots,
                    permit=leadership.require,
                )
            )
            health.begun(lambda: driver.trouble)
            await _meet(driver, patient=patient)
            if isinstance(leadership, ElectedLeadership):
                name = driver.identity.name
                leadership.stand(lease_name(name), f"external-snapshotter-leader-{name}", connections.own, metrics)
                permissions.expect_lease(leadership.namespace, lease_name(name))
            sidecar = Sidecar(settings, metrics, health, connections.work, driver, leadership)
            permissions.expect_secrets(sidecar.secrets_in_use)
            yield sidecar
    except BadAddress as error:
        raise CannotRun(f"--csi-address: {error}") from error


async def _meet(driver: Driver, *, patient: bool) -> None:
    """Wait for the driver and see whether it is one that makes snapshots. Raises `CannotRun`."""
    try:
        if not patient:
            await driver.wait_until_connected(CONNECT_SECONDS)
        identity = await (driver.meet_at_last() if patient else driver.meet())
    except CsiError as error:
        raise CannotRun(f"the CSI driver cannot be used: {error}") from error
    if not identity.capabilities.create_delete_snapshot:
        raise CannotRun(
            f'CSI driver "{identity.name}" does not support snapshots: '
            "its controller does not announce CREATE_DELETE_SNAPSHOT"
        )
    log.info("driver met", driver=identity.name, version=identity.version)
