"""The snapshot-conversion-webhook program: starts everything in order, and ends it in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from snapshotter import __version__, logs
from snapshotter.daemon.running import CannotRun, Shutdown, run_until_stopped
from snapshotter.metrics import LoopMetrics, WebhookMetrics
from snapshotter.plan.permissions import webhook as table
from snapshotter.runtime.lag import measure_loop
from snapshotter.settings import AdmissionSettings, WebhookSettings, host_and_port
from snapshotter.web.certificate import BadPair, ServedCertificate
from snapshotter.web.server import ListenError, serving
from snapshotter.web.tls import Answer, Handler, Request, TlsServer, serving_tls, text
from snapshotter.webhook.conversion import conversion
from snapshotter.webhook.reviews import handler

log = structlog.get_logger(__name__)

CONVERSION_PATH: Final = "/convert"
ADMISSION_PATHS: Final = ("/validate-default-class", "/volumesnapshot", "/volumegroupsnapshot")
"""Ours, for both kinds of classes, and the two that upstream's program for it had."""
READY_PATH: Final = "/readyz"
USER_AGENT: Final = f"snapshot-conversion-webhook/{__version__}"

Work = Callable[[], Coroutine[Any, Any, None]]


class Health:
    """Whether reviews should be sent to us."""

    def __init__(self, certificate: ServedCertificate) -> None:
        self.leaving = False
        self._certificate = certificate

    def alive(self) -> list[str]:
        """What a restart of the process might mend: nothing, as long as it answers."""
        return []

    def ready(self) -> list[str]:
        """Why another should be asked."""
        return [*(["the program is ending"] if self.leaving else []), *self._certificate.problems()]

    async def answer(self, _: Request) -> Answer:
        """`/readyz` where the reviews are served: what is told there is true of there."""
        problems = self.ready()
        return text(500, "\n".join(problems)) if problems else Answer(200, b"ok")


class Webhook:
    """The program at work. `background` runs beside the server as long as it works."""

    def __init__(
        self, settings: WebhookSettings, health: Health, server: TlsServer, background: Mapping[str, Work]
    ) -> None:
        self._settings = settings
        self._health = health
        self._server = server
        self._background = background

    @property
    def port(self) -> int:
        """Where reviews are served."""
        return self._server.port

    async def work(self, end: Work) -> None:
        """Serve until `end` returns, and then until others have heard that we go."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(), name=name) for name, run in self._background.items()]
            await end()
            self._health.leaving = True
            self._server.let_go()
            log.info("not ready any more", stops_in=self._settings.end.delay)
            await asyncio.sleep(self._settings.end.delay)
            log.info("stopping")
            for task in tasks:
                task.cancel()


async def run(settings: WebhookSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal does not wait any more. Raises `CannotRun`."""
    logs.set_up("json" if settings.logs.log_format == "json" else "text", settings.logs.verbosity)

    async def work(stop: Shutdown) -> None:
        async with started(settings) as webhook:
            await webhook.work(stop.wait)

    await run_until_stopped(work)


@asynccontextmanager
async def started(settings: WebhookSettings) -> AsyncIterator[Webhook]:
    """Everything that is served, while the context lasts. At its end what is in hand is answered."""
    metrics = WebhookMetrics(CollectorRegistry())
    try:
        certificate = ServedCertificate(Path(settings.tls.certificate_file), Path(settings.tls.key_file), metrics)
        health = Health(certificate)
        background: dict[str, Work] = {
            "certificate": certificate.keep_current,
            "loop": lambda: measure_loop(LoopMetrics(metrics)),
        }
        routes: dict[str, Handler] = {
            READY_PATH: health.answer,
            CONVERSION_PATH: handler("conversion", conversion(metrics), metrics),
        }
        async with AsyncExitStack() as stack:
            if settings.web.address:
                await stack.enter_async_context(_metrics_and_health(settings, metrics, health))
            if settings.admission.enabled:
                admitting = await stack.enter_async_context(_admission(settings.admission, metrics, background))
                routes |= dict.fromkeys(ADMISSION_PATHS, admitting)
            server = await stack.enter_async_context(
                serving_tls(None, settings.tls.port, certificate, routes, grace=settings.end.grace)
            )
            log.info("serving reviews", port=server.port, paths=" ".join(routes))
            yield Webhook(settings, health, server, background)
    except (BadPair, ListenError) as error:
        raise CannotRun(str(error), exit_code=255) from error


@asynccontextmanager
async def _metrics_and_health(
    settings: WebhookSettings, metrics: WebhookMetrics, health: Health
) -> AsyncIterator[None]:
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


@asynccontextmanager
async def _admission(
    settings: AdmissionSettings, metrics: WebhookMetrics, background: dict[str, Work]
) -> AsyncIterator[Handler]:
    # The API server's client is loaded by those alone who need it: it takes most of the memory and of the start.
    from snapshotter.daemon.permissions import Permissions  # noqa: PLC0415
    from snapshotter.kube.access import AccessReviews  # noqa: PLC0415
    from snapshotter.kube.connection import BadConfiguration, Limits, connect  # noqa: PLC0415
    from snapshotter.webhook.admission import admission, judges  # noqa: PLC0415

    permissions = Permissions(table(), metrics)
    try:
        async with connect(
            Path(settings.kubeconfig) if settings.kubeconfig else None,
            Limits(),
            metrics,
            user_agent=USER_AGENT,
            refused=permissions.refused,
        ) as connection:
            background["permissions"] = lambda: permissions.run(AccessReviews(connection))
            found = judges(connection, metrics)
            background |= {f"classes of {judge.group_kind[0]}": judge.run for judge in found}
            yield handler("admission", admission(found), metrics)
    except BadConfiguration as error:
        raise CannotRun(str(error)) from error
