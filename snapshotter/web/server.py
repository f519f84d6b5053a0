"""The HTTP endpoint of a daemon: metrics for Prometheus, health for the kubelet."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], list[str]]
"""Tells what is wrong; nothing when all is well."""


class ListenError(Exception):
    """The address cannot be listened at."""


@asynccontextmanager
async def serving(
    host: str | None,
    port: int,
    *,
    registry: CollectorRegistry,
    metrics_path: str,
    alive: Check,
    ready: Check,
    election: Check | None = None,
) -> AsyncIterator[int]:
    """Serve the metrics, `/healthz` and `/readyz` while the context lasts; gives the port.

    With an election `/healthz/leader-election` as well, which is a part of `/healthz`: a kubelet has one liveness probe
    for a container. Raises `ListenError`.
    """

    def alive_and_leading() -> list[str]:
        return [*alive(), *(election() if election is not None else ())]

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        response = web.Response(body=encode(registry), headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    app = web.Application()
    app.add_routes(
        [
            web.get(metrics_path, metrics),
            web.get("/healthz", _answer(alive_and_leading)),
            web.get("/readyz", _answer(ready)),
        ]
    )
    if election is not None:
        app.add_routes([web.get("/healthz/leader-election", _answer(election))])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ListenError(f"cannot listen at {host or ''}:{port}: {error.strerror or error}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        if problems := check():
            return web.Response(status=500, text="\n".join(problems) + "\n")
        return web.Response(text="ok")

    return handler
