"""The csi-snapshotter program: starts everything in order, and ends it in order."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from snapshotter import logs
from snapshotter.csi.channel import BadAddress
from snapshotter.csi.driver import Driver, open_driver
from snapshotter.daemon.health import Health
from snapshotter.daemon.leadership import ElectedLeadership, Leadership
from snapshotter.daemon.permissions import Permissions
from snapshotter.daemon.running import CannotRun, Shutdown, beside, run_until_stopped
from snapshotter.kube.access import AccessReviews
from snapshotter.kube.connection import BadConfiguration, Connection, Limits, Permit, always, connect
from snapshotter.kube.leases import lease_name
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import CsiError
from snapshotter.plan.permissions import sidecar as table
from snapshotter.settings import SidecarSettings, host_and_port
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.web.server import ListenError, serving

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 30.0
"""How long a driver that is not there yet is waited for at the start."""


async def run(settings: SidecarSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal does not wait any more.

    Raises `CannotRun`, also when we lead no more.
    """
    logs.set_up("json" if settings.logs.log_format == "json" else "text", settings.logs.verbosity)

    async def work(stop: Shutdown) -> None:
        async with started(settings) as sidecar:
            await sidecar.work(stop.wait)

    await run_until_stopped(work)


@asynccontextmanager
async def started(settings: SidecarSettings) -> AsyncIterator[Sidecar]:
    """Everything that the sidecar stands on, in the order in which it can be had."""
    metrics = Metrics(CollectorRegistry())
    health = Health()
    permissions = Permissions(
        table(groups=settings.features.group_snapshots, election=settings.election.enabled), metrics
    )
    health.need(permissions.trouble)
    leadership = _leadership(settings)
    try:
        async with AsyncExitStack() as stack:
            if settings.web.address:
                await stack.enter_async_context(_web(settings, metrics, health, leadership))
            connection = await stack.enter_async_context(
                _connection(settings, metrics, permissions, _limits(settings), leadership.require)
            )
            # The lease, and questions about ourselves, wait for nobody and need not be the leader's.
            own_connection = await stack.enter_async_context(
                _connection(settings, metrics, permissions, Limits(), always)
            )
            await stack.enter_async_context(beside(permissions.run(AccessReviews(own_connection)), "permissions"))
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
            await _meet(driver)
            if isinstance(leadership, ElectedLeadership):
                name = driver.identity.name
                leadership.stand(lease_name(name), f"external-snapshotter-leader-{name}", own_connection, metrics)
                permissions.expect_lease(leadership.namespace, lease_name(name))
            sidecar = Sidecar(settings, metrics, health, connection, driver, leadership)
            permissions.expect_secrets(sidecar.secrets_in_use)
            yield sidecar
    except BadConfiguration as error:
        raise CannotRun(str(error)) from error
    except BadAddress as error:
        raise CannotRun(f"--csi-address: {error}") from error
    except ListenError as error:
        raise CannotRun(str(error), exit_code=255) from error


def _leadership(settings: SidecarSettings) -> Leadership:
    if not settings.election.enabled:
        return Leadership()
    return ElectedLeadership(settings.election, release=settings.features.release_on_exit)


@asynccontextmanager
async def _web(
    settings: SidecarSettings, metrics: Metrics, health: Health, leadership: Leadership
) -> AsyncIterator[None]:
    host, port = host_and_port(settings.web.address)
    async with serving(
        host,
        port,
        registry=metrics.registry,
        metrics_path=settings.web.metrics_path,
        alive=health.alive,
        ready=health.ready,
        election=leadership.trouble if settings.election.enabled else None,
    ) as actual:
        log.info("serving metrics and health", port=actual, path=settings.web.metrics_path)
        yield


def _limits(settings: SidecarSettings) -> Limits:
    return Limits(settings.kube.qps if settings.kube.qps > 0 else None, settings.kube.burst)


def _connection(
    settings: SidecarSettings, metrics: Metrics, permissions: Permissions, limits: Limits, permit: Permit
) -> AbstractAsyncContextManager[Connection]:
    return connect(
        Path(settings.kube.kubeconfig) if settings.kube.kubeconfig else None,
        limits,
        metrics,
        user_agent=f"csi-snapshotter/{version('snapshotter')}",
        permit=permit,
        refused=permissions.refused,
    )


async def _meet(driver: Driver) -> None:
    """Wait for the driver and see whether it is one that makes snapshots. Raises `CannotRun`."""
    try:
        await driver.wait_until_connected(CONNECT_SECONDS)
        identity = await driver.meet()
    except CsiError as error:
        raise CannotRun(f"the CSI driver cannot be used: {error}") from error
    if not identity.capabilities.create_delete_snapshot:
        raise CannotRun(
            f'CSI driver "{identity.name}" does not support snapshots: '
            "its controller does not announce CREATE_DELETE_SNAPSHOT"
        )
    log.info("driver met", driver=identity.name, version=identity.version)
