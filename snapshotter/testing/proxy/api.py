"""A proxy before an API server that knows requests, answers and watches, and makes trouble of each sort."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from snapshotter.testing.apiserver.encryption import encryption_for
from snapshotter.testing.apiserver.requests import place_of, verb_of
from snapshotter.testing.apiserver.status import from_code
from snapshotter.testing.apiserver.watching import abort, error_line
from snapshotter.testing.kubeconfig import kubeconfig
from snapshotter.testing.proxy.script import Script
from snapshotter.testing.proxy.stream import in_pieces
from snapshotter.testing.proxy.troubles import (
    MESSAGE,
    Body,
    Cut,
    CutWatch,
    Dribble,
    EndWatch,
    ErrorFrame,
    Hold,
    LagWatch,
    Late,
    Refusal,
    StallWatch,
    Trouble,
)

OnRequest = Callable[[str, str], None]
"""Is told the verb and the path of each request as it comes in."""

IN_TROUBLE: Final = " (in trouble)"
"""Behind the User-Agent of a request that a trouble holds for, so that the log of the far side tells of it."""

_OF_ONE_HOP: Final = frozenset(
    {"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding", "upgrade"}
)
_LARGEST_BODY_BYTES: Final = 16 << 20
_SHUTDOWN_SECONDS: Final = 0.5
_NEXT_EVENT_SECONDS: Final = 5.0
"""How long a watch that is to be cut amid an event waits for one."""
_PAGE: Final = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>proxy</body></html>\n"


class _Reset(Exception):
    """The connection is to be reset."""


class _Hangup(Exception):
    """The connection is to be closed after what was written, though more was announced."""


class ApiProxy:
    """Passes requests on to an API server as the script allows. Make one with `ApiProxy.serve()`.

    It takes what clients of an API server send, but for upgraded connections (`exec`, `port-forward`).
    """

    def __init__(self, target: str, session: aiohttp.ClientSession, on_request: OnRequest) -> None:
        self.url = ""
        self.authority = ""
        """The PEM text of the certificate that clients have to trust; empty without TLS."""
        self.script: Script[Trouble] = Script()
        self._target = target.rstrip("/")
        self._session = session
        self._on_request = on_request
        self._watching: dict[asyncio.Transport, _Lines] = {}
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        self._sockets: Callable[[], web.TCPSite] | None = None
        self._site: web.TCPSite | None = None

    @classmethod
    @asynccontextmanager
    async def serve(
        cls,
        target: str,
        *,
        authority: str = "",
        tls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        on_request: OnRequest = lambda _verb, _path: None,
    ) -> AsyncIterator["ApiProxy"]:
        """Serve until the block is left. `authority`: the PEM text of what vouches for the target.

        `tls`: serve HTTPS. Port 0 takes a free one. Raises `OSError` for a port in use.
        """
        trust = ssl.create_default_context(cadata=authority) if authority else True
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trust),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as session:
            proxy = cls(target, session, on_request)
            async with proxy._serving(host, port, tls=tls):
                yield proxy

    @asynccontextmanager
    async def _serving(self, host: str, port: int, *, tls: bool) -> AsyncIterator[None]:
        encryption = encryption_for(host) if tls else None
        context = encryption.context if encryption else None
        await self._runner.setup()
        try:
            self._site = web.TCPSite(self._runner, host, port, ssl_context=context)
            await self._site.start()
            bound = self._runner.addresses[0][1]
            self._sockets = lambda: web.TCPSite(self._runner, host, bound, ssl_context=context, reuse_address=True)
            self.url = f"{'https' if tls else 'http'}://{host}:{bound}"
            self.authority = encryption.authority if encryption else ""
            yield
        finally:
            await self._runner.cleanup()

    def kubeconfig(self, token: str = "") -> str:
        """The YAML text of a kubeconfig that leads to the target by way of us."""
        return kubeconfig(self.url, authority=self.authority, token=token)

    def cut(self) -> None:
        """Reset every connection, whatever it is used for."""
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            if isinstance(connection.transport, asyncio.Transport):
                abort(connection.transport)

    def cut_watches(self) -> None:
        """Reset the connection of every open watch."""
        for transport in self._watching:
            abort(transport)

    def mute_watches(self) -> None:
        """Let every open watch go silent but stay open. Later watches are as usual."""
        for lines in self._watching.values():
            lines.mute()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """While the context lasts nobody listens, and there is no connection."""
        if self._site is None or self._sockets is None:
            raise RuntimeError("the proxy does not serve")
        await self._site.stop()
        self.cut()
        try:
            yield
        finally:
            self._site = self._sockets()
            await self._site.start()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        verb = verb_of(request.method, place_of(request.path), request.query)
        self._on_request(verb, request.path)
        trouble = self.script.trouble_of(f"{verb} {request.path}")
        try:
            return await self._answer(request, verb, trouble)
        except _Reset:
            abort(request.transport)
        except _Hangup:
            if request.transport is not None:
                request.transport.close()
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the target does not answer: {error}\n")
        return web.Response()  # nobody gets it

    async def _answer(self, request: web.Request, verb: str, trouble: Trouble | None) -> web.StreamResponse:
        body = await request.read()
        match trouble:
            case Cut("before"):
                raise _Reset
            case Late(seconds, "before"):
                await asyncio.sleep(seconds)
            case Hold(wait, "before"):
                await wait()
            case Refusal(moment="before"):
                return _refused(trouble)
        headers = _passed_on(request.headers)
        if trouble is not None:
            headers["User-Agent"] = headers.get("User-Agent", "") + IN_TROUBLE
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if verb == "WATCH" and answer.status == 200:
                return await self._watch(request, answer, trouble)
            content = await answer.read()
        match trouble:
            case Cut("after"):
                raise _Reset
            case Late(seconds, "after"):
                await asyncio.sleep(seconds)
            case Hold(wait, "after"):
                await wait()
            case Refusal():
                return _refused(trouble)
            case Cut("amid") | Dribble():
                return await _in_part(request, answer, content, trouble)
        return web.Response(status=answer.status, headers=_passed_on(answer.headers), body=content)

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse, trouble: Trouble | None
    ) -> web.StreamResponse:
        """Pass the events on, whole, until the far side ends the watch or the trouble does."""
        if isinstance(trouble, Cut) and trouble.moment == "after":
            raise _Reset
        response = web.StreamResponse(headers=_passed_on(answer.headers))
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            raise _Reset
        self._watching[transport] = lines = _Lines(answer)
        patience = asyncio.timeout(_seconds_until(trouble))
        try:
            if isinstance(trouble, Hold) and trouble.moment == "after":
                await trouble.wait()
            async with patience:
                await _pass_on(response, lines, trouble)
        except TimeoutError:
            if not patience.expired():
                raise
            await _end(response, lines, trouble)
        except aiohttp.ClientPayloadError:
            raise _Hangup from None
        finally:
            del self._watching[transport]
        return response


class _Lines:
    """The lines of a watch, as many at a time as there are."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._content = answer.content
        self._rest = b""
        self._is_mute = False

    def mute(self) -> None:
        """Give nothing any more, not even an end."""
        self._is_mute = True

    async def next(self) -> bytes:
        """One line or more, each whole; nothing at the end. May be cancelled without loss."""
        while True:
            chunk = await self._content.readany()
            if self._is_mute:
                await asyncio.Event().wait()
            lines, newline, rest = (self._rest + chunk).rpartition(b"\n")
            self._rest = rest
            if newline or not chunk:
                return lines + newline


def _seconds_until(trouble: Trouble | None) -> float | None:
    match trouble:
        case EndWatch() | CutWatch() | ErrorFrame() | StallWatch():
            return trouble.seconds
        case Cut("amid"):
            return 0.0
        case _:
            return None


async def _pass_on(response: web.StreamResponse, lines: _Lines, trouble: Trouble | None) -> None:
    while events := await lines.next():
        match trouble:
            case LagWatch(seconds):
                await asyncio.sleep(seconds)
                await response.write(events)
            case Dribble():
                await _dribble(response, events, trouble)
            case _:
                await response.write(events)


async def _end(response: web.StreamResponse, lines: _Lines, trouble: Trouble | None) -> None:
    match trouble:
        case CutWatch(amid=True) | Cut("amid"):
            try:
                async with asyncio.timeout(_NEXT_EVENT_SECONDS):
                    events = await lines.next()
            except TimeoutError:
                raise _Reset from None
            await _hang_up_amid(response, events)
        case CutWatch():
            raise _Reset
        case ErrorFrame(code=code):
            await response.write(error_line(from_code(code, MESSAGE, {})))
        case StallWatch(lasting=lasting):
            try:
                async with asyncio.timeout(lasting):
                    while await lines.next():
                        pass
                    await asyncio.Event().wait()
            except TimeoutError:
                raise _Reset from None


async def _in_part(
    request: web.Request, answer: aiohttp.ClientResponse, content: bytes, trouble: Cut | Dribble
) -> web.StreamResponse:
    """The answer, of which only a half comes, or which comes slowly."""
    response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
    response.content_length = len(content)
    await response.prepare(request)
    if isinstance(trouble, Cut):
        await _hang_up_amid(response, content)
    else:
        await _dribble(response, content, trouble)
    return response


async def _hang_up_amid(response: web.StreamResponse, data: bytes) -> NoReturn:
    """Send a half. It would be lost with a reset."""
    await response.write(data[: len(data) // 2])
    raise _Hangup


async def _dribble(response: web.StreamResponse, data: bytes, trouble: Dribble) -> None:
    for piece in in_pieces(data, trouble.pieces):
        await response.write(piece)
        await asyncio.sleep(trouble.seconds / trouble.pieces)


def _refused(trouble: Refusal) -> web.Response:
    headers = {} if trouble.retry_after is None else {"Retry-After": str(trouble.retry_after)}
    error = from_code(trouble.status, trouble.message, headers)
    bodies: dict[Body, tuple[bytes, str]] = {
        "status": (msgspec.json.encode(error.body()), "application/json"),
        "html": (_PAGE.format(f"{trouble.status} {error.reason}").encode(), "text/html"),
        "empty": (b"", "text/plain"),
    }
    body, content_type = bodies[trouble.body]
    return web.Response(status=trouble.status, headers=headers, body=body, content_type=content_type)


def _passed_on(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _OF_ONE_HOP)
