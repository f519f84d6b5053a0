"""An HTTPS server for requests that have a body and are answered at once, such as those to a webhook.

Whoever can reach it can send to it, so everything has a bound: sizes, times, and what is held in memory.
"""

import asyncio
import logging
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

LONGEST_BODY: Final = 32 << 20
"""Bytes of one request."""
MOST_HELD: Final = 64 << 20
"""Bytes of all requests that have not been answered."""
READ_SECONDS: Final = 10.0
"""For a body to arrive."""
WRITE_SECONDS: Final = 10.0
"""For an answer to be taken."""
HANDSHAKE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 15.0
"""How long a connection may wait for a request."""
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

    def __init__(self, routes: Mapping[str, Handler]) -> None:
        self.port = 0
        self._routes = routes
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
        response = web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})
        if self._last:
            response.force_close()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _answer(self, request: web.BaseRequest) -> Answer:
        handler = self._routes.get(request.path)
        if handler is None:
            return text(404, "404 page not found")
        held = 0

        async def read() -> bytes:
            nonlocal held
            body = bytearray()
            if (request.content_length or 0) > LONGEST_BODY:
                raise BadBody(413, f"the body is longer than {LONGEST_BODY} bytes")
            try:
                async with asyncio.timeout(READ_SECONDS):
                    async for chunk in request.content.iter_any():
                        body += chunk
                        held += len(chunk)
                        self._held += len(chunk)
                        self._check(len(body))
            except TimeoutError:
                raise BadBody(408, f"the body did not arrive within {READ_SECONDS:.0f}s") from None
            except web.RequestPayloadError as error:
                raise BadBody(400, "the body is broken") from error
            return bytes(body)

        try:
            return await handler(Request(request.headers.get("Content-Type", ""), _accepted(request), read))
        except BadBody as error:
            return text(error.status, str(error))
        finally:
            self._held -= held

    def _check(self, length: int) -> None:
        if length > LONGEST_BODY:
            raise BadBody(413, f"the body is longer than {LONGEST_BODY} bytes")
        if self._held > MOST_HELD:
            raise BadBody(503, "too much is being asked at a time")


def _accepted(request: web.BaseRequest) -> str:
    return ",".join(request.headers.getall("Accept", ()))


@asynccontextmanager
async def serving_tls(
    host: str | None, port: int, certificate: ServedCertificate, routes: Mapping[str, Handler], *, grace: float
) -> AsyncIterator[TlsServer]:
    """Serve while the context lasts. At its end requests in hand are given so many seconds. Raises `ListenError`."""
    server = TlsServer(routes)
    runner = web.ServerRunner(
        web.Server(
            server.respond,
            access_log=None,
            logger=_logger(),
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
        ),
        handle_signals=False,
        shutdown_timeout=CUT_SECONDS,
    )
    await runner.setup()
    try:
        listener = await _listen(runner, host, port, certificate)
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
    runner: web.ServerRunner, host: str | None, port: int, certificate: ServedCertificate
) -> asyncio.Server:
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    try:
        return await asyncio.get_running_loop().create_server(
            runner.server,
            host,
            port,
            ssl=certificate.listening,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
    except OSError as error:
        raise ListenError(f"cannot listen at {host or ''}:{port}: {error.strerror or error}") from error


class _Own(logging.Filter):
    """Lets through what is our fault. What is not HTTP is answered with 400, and would fill the log with itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _logger() -> logging.Logger:
    logger = logging.getLogger(__name__)
    if not logger.filters:
        logger.addFilter(_Own())
    return logger
