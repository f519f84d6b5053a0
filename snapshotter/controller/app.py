"""The snapshot-controller program: starts everything in order, and ends it in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from snapshotter import logs
from snapshotter.controller.controller import COMPONENT, Controller
from snapshotter.daemon.health import Health
from snapshotter.daemon.leadership import ElectedLeadership
from snapshotter.daemon.opening import connected, endpoint, leadership_by
from snapshotter.daemon.permissions import Permissions
from snapshotter.daemon.running import CannotRun, Shutdown, run_until_stopped
from snapshotter.kube.connection import Connection
from snapshotter.kube.errors import ApiError, Forbidden
from snapshotter.kube.kinds import CONTENT, SNAPSHOT, SNAPSHOT_CLASS
from snapshotter.metrics import ControllerMetrics
from snapshotter.plan.permissions import controller as table
from snapshotter.settings import ControllerSettings

log = structlog.get_logger(__name__)

LEASE = "snapshot-controller-leader"
FIRST_PAUSE, GROWTH, SHORTEST_BUDGET = 0.1, 1.5, 1.0
"""Seconds before the definitions are looked for again, how the pause grows, and the least time for all of it."""


async def run(settings: ControllerSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal does not wait any more.

    Raises `CannotRun`, also when we lead no more.
    """
    logs.set_up("json" if settings.logs.log_format == "json" else "text", settings.logs.verbosity)

    async def work(stop: Shutdown) -> None:
        async with started(settings) as controller:
            await controller.work(stop.wait)

    await run_until_stopped(work)


@asynccontextmanager
async def started(settings: ControllerSettings) -> AsyncIterator[Controller]:
    """Everything that the controller stands on, in the order in which it can be had."""
    metrics = ControllerMetrics(CollectorRegistry())
    health = Health()
    permissions = Permissions(
        table(
            groups=settings.features.group_snapshots,
            election=settings.election.enabled,
            distributed_snapshotting=settings.control.distributed,
        ),
        metrics,
    )
    health.need(permissions.trouble)
    leadership = leadership_by(settings.election, release=settings.features.release_on_exit)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            endpoint(settings.web, metrics, health, leadership if settings.election.enabled else None)
        )
        connections = await stack.enter_async_context(
            connected(COMPONENT, settings.kube, metrics, permissions, leadership)
        )
        await _find_definitions(connections.own, settings.control.definitions_timeout)
        if isinstance(leadership, ElectedLeadership):
            leadership.stand(LEASE, LEASE, connections.own, metrics)
            permissions.expect_lease(leadership.namespace, LEASE)
        health.begun()
        yield Controller(settings, metrics, health, connections.work, leadership)


async def _find_definitions(connection: Connection, seconds: float) -> None:
    """Wait until the kinds of single snapshots are served. Raises `CannotRun`.

    A role that may not list them is another matter, which the check of permissions names.
    """
    budget = max(seconds, SHORTEST_BUDGET)
    begun, pause = asyncio.get_running_loop().time(), FIRST_PAUSE
    while (missing := await _missing(connection)) is not None:
        if asyncio.get_running_loop().time() + pause - begun > budget:
            raise CannotRun(
                f"the CustomResourceDefinitions of snapshots are not served, after {budget:.0f}s: {missing}; "
                "apply manifests/crds"
            )
        log.info("definitions are not served yet", reason=missing, next_in=round(pause, 1))
        await asyncio.sleep(pause)
        pause *= GROWTH


async def _missing(connection: Connection) -> str | None:
    for path in (SNAPSHOT.path, SNAPSHOT_CLASS.path, CONTENT.path):
        try:
            await connection.request("GET", path, query={"limit": "1"})
        except Forbidden as error:
            log.warning("definitions could not be looked for", reason=str(error))
        except ApiError as error:
            return str(error)
    return None
