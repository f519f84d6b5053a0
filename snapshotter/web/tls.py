"""An HTTPS server for requests that have a body and are answered at once, such as those to a webhook.

Whoever can reach it can send to it, so everything has a bound: sizes, times, and what is held in memory.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from snapshotter.web.certificate import ServedCertificate
from snapshotter.web.server import ListenError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may cost."""

    body: int = 24 << 20
    """Bytes of one request."""
    held: int = 48 << 20
    """Bytes of all requests that have not been answered."""
    read: float = 10.0
    """Seconds for a body to arrive."""
    write: float = 10.0
    """Seconds for an answer to be taken."""
    handshake: float = 10.0
    """Seconds."""
    idle: float = 15.0
    """Seconds that a connection may wait for a request."""


BOUNDS: Final = Bounds()
PIECE: Final = 256 << 10
"""Bytes that are written at a time."""
BACKLOG: Final = 128
"""Connections that wait to be taken."""
CUT_SECONDS: Final = 0.2
"""For connections to be closed at the end, when they have been given all the time there was."""

TEXT: Final = "text/plain; charset=utf-8"


class BadBody(Exception):
    """The body did not come, or is too much. `status` is the HTTP status to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    content_type: str
    accept: str
    read: Callable[[], Awaitable[bytes]] = field(repr=False)
    """The body. Raises `BadBody`."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    content_type: str = TEXT


Handler = Callable[[Request], Awaitable[Answer]]


def text(status: int, message: str) -> Answer:
    """An answer for people."""
    return Answer(status, f"{message}\n".encode(errors="replace"))


class TlsServer:
    """Serves handlers by their path, whatever the method; other paths are 404."""

    def __init__(self, routes: Mapping[str, Handler], bounds: Bounds) -> None:
        self.port = 0
        self._routes = routes
        self._bounds = bounds
        self._held = 0
        """Bytes of the requests in hand."""
        self._in_hand = 0
        self._none_in_hand = asyncio.Event()
        self._none_in_hand.set()
        self._last = False

    def let_go(self) -> None:
        """Close each connection after its next answer, so that clients look for another server."""
        self._last = True

    async def finish(self, grace: float) -> None:
        """Return when everything in hand is answered, or after so many seconds."""
        try:
            async with asyncio.timeout(grace):
                await self._none_in_hand.wait()
        except TimeoutError:
            log.warning("requests that are not answered within the grace time are cut off", requests=self._in_hand)

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever becomes of it."""
        self._in_hand += 1
        self._none_in_hand.clear()
        try:
            return await self._respond(request)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._none_in_hand.set()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = await self._answer(request)
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        response.content_length = len(answer.body)
        if self._last:
            response.force_close()
        try:
            async with asyncio.timeout(self._bounds.write):
                await response.prepare(request)
                if request.method != "HEAD":
                    await _write(response, answer.body)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            # Clients may go before they have their answer; nobody need be told.
            log.debug("a client has gone before its answer", path=request.path)
        return response

    async def _answer(self, request: web.BaseRequest) -> Answer:
        handler = self._routes.get(request.path)
        if handler is None:
            return text(404, "404 page not found")
        held = 0

        async def read() -> bytes:
            nonlocal held
            body = bytearray()
            self._check(request.content_length or 0)
            try:
                async with asyncio.timeout(self._bounds.read):
                    async for chunk in request.content.iter_any():
                        body += chunk
                        held += len(chunk)
                        self._held += len(chunk)
                        self._check(len(body))
            except TimeoutError:
                raise BadBody(408, f"the body did not arrive within {self._bounds.read:g}s") from None
            except (web.RequestPayloadError, ConnectionResetError) as error:
                raise BadBody(400, "the body is broken") from error
            return bytes(body)

        try:
            return await handler(Request(request.headers.get("Content-Type", ""), _accepted(request), read))
        except BadBody as error:
            return text(error.status, str(error))
        finally:
            self._held -= held

    def _check(self, length: int) -> None:
        if length > self._bounds.body:
            raise BadBody(413, f"the body is longer than {self._bounds.body} bytes")
        if self._held > self._bounds.held:
            raise BadBody(503, "too much is being asked at a time")


async def _write(response: web.StreamResponse, body: bytes) -> None:
    """Write in pieces: of one large piece nobody would tell that it is not taken."""
    for begin in range(0, len(body), PIECE):
        await response.write(body[begin : begin + PIECE])


def _accepted(request: web.BaseRequest) -> str:
    return ",".join(request.headers.getall("Accept", ()))


@asynccontextmanager
async def serving_tls(
    host: str | None,
    port: int,
    certificate: ServedCertificate,
    routes: Mapping[str, Handler],
    *,
    grace: float,
    bounds: Bounds = BOUNDS,
) -> AsyncIterator[TlsServer]:
    """Serve while the context lasts. At its end requests in hand are given so many seconds. Raises `ListenError`."""
    server = TlsServer(routes, bounds)
    runner = web.ServerRunner(
        web.Server(
            server.respond,
            access_log=None,
            logger=_logger(),
            auto_decompress=False,
            keepalive_timeout=bounds.idle,
        ),
        handle_signals=False,
        shutdown_timeout=CUT_SECONDS,
    )
    await runner.setup()
    try:
        listener = await _listen(runner, host, port, certificate, bounds)
        try:
            server.port = listener.sockets[0].getsockname()[1]
            yield server
            server.let_go()
        finally:
            listener.close()
        await server.finish(grace)
    finally:
        await runner.cleanup()


async def _listen(
    runner: web.ServerRunner, host: str | None, port: int, certificate: ServedCertificate, bounds: Bounds
) -> asyncio.Server:
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    try:
        return await asyncio.get_running_loop().create_server(
            runner.server,
            sock=_socket(host, port),
            ssl=certificate.listening,
            ssl_handshake_timeout=bounds.handshake,
        )
    except OSError as error:
        raise ListenError(f"cannot listen at {host or ''}:{port}: {error.strerror or error}") from error


def _socket(host: str | None, port: int) -> socket.socket:
    """No host means all addresses of both families, on one port also when any port will do."""
    if host is None and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    return socket.create_server((host or "", port), backlog=BACKLOG)


class _Own(logging.Filter):
    """Lets through what is our fault. What is not HTTP is answered with 400, and would fill the log with itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _logger() -> logging.Logger:
    logger = logging.getLogger(__name__)
    if not logger.filters:
        logger.addFilter(_Own())
    return logger
