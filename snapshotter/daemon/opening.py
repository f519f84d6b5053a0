"""What every daemon opens at its start: the endpoint for metrics and health, and the ways to the API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from snapshotter import __version__
from snapshotter.daemon.health import Health
from snapshotter.daemon.leadership import ElectedLeadership, Leadership
from snapshotter.daemon.permissions import Permissions
from snapshotter.daemon.running import CannotRun
from snapshotter.kube.access import AccessReviews
from snapshotter.kube.connection import BadConfiguration, Connection, Limits, always, connect
from snapshotter.metrics import DaemonMetrics
from snapshotter.runtime.beside import beside
from snapshotter.settings import ElectionSettings, KubeSettings, WebSettings, host_and_port
from snapshotter.web.server import ListenError, serving

log = structlog.get_logger(__name__)


def leadership_by(settings: ElectionSettings, *, release: bool) -> Leadership:
    """Our part in the election, if there is one."""
    return ElectedLeadership(settings, release=release) if settings.enabled else Leadership()


@asynccontextmanager
async def endpoint(
    settings: WebSettings, metrics: DaemonMetrics, health: Health, elected: Leadership | None
) -> AsyncIterator[None]:
    """The endpoint, if one is asked for. Raises `CannotRun`."""
    if not settings.address:
        yield
        return
    host, port = host_and_port(settings.address)
    try:
        async with serving(
            host,
            port,
            registry=metrics.registry,
            metrics_path=settings.metrics_path,
            alive=health.alive,
            ready=health.ready,
            election=None if elected is None else elected.trouble,
        ) as actual:
            log.info("serving metrics and health", port=actual, path=settings.metrics_path)
            yield
    except ListenError as error:
        raise CannotRun(str(error), exit_code=255) from error


@dataclass(frozen=True, slots=True)
class Connections:
    """The ways to the API server."""

    work: Connection
    """For everything that only the leader may do; limited if that is asked for."""
    own: Connection
    """For the lease, and for questions about ourselves: they wait for nobody and need not be the leader's."""


@asynccontextmanager
async def connected(
    program: str, settings: KubeSettings, metrics: DaemonMetrics, permissions: Permissions, leadership: Leadership
) -> AsyncIterator[Connections]:
    """Both connections, and beside them the questions about our permissions. Raises `CannotRun`."""
    kubeconfig = Path(settings.kubeconfig) if settings.kubeconfig else None
    agent = f"{program}/{__version__}"
    limits = Limits(settings.qps if settings.qps > 0 else None, settings.burst)
    try:
        async with (
            connect(
                kubeconfig,
                limits,
                metrics,
                user_agent=agent,
                permit=leadership.require,
                refused=permissions.refused,
            ) as work,
            connect(kubeconfig, Limits(), metrics, user_agent=agent, permit=always, refused=permissions.refused) as own,
            beside(permissions.run(AccessReviews(own)), "permissions"),
        ):
            yield Connections(work, own)
    except BadConfiguration as error:
        raise CannotRun(str(error)) from error
