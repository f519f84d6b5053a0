"""Calls of webhooks over TLS, as an API server makes them."""

import asyncio
import base64
import binascii
import ssl
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from snapshotter.testing.apiserver.status import Json

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}
_AT_ONCE: Final = 16
"""So many calls are made at the same time."""


class WebhookFailed(Exception):
    """A webhook gave no answer that can be read; the text is for the user."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a webhook is called."""

    url: str
    shown: str
    """The URL that it has in the cluster."""
    host: str
    """The host and port of a service, whose certificate is for that host; empty when the URL says it all."""


class WebhookCalls:
    """Calls webhooks. `services` says where the services of a cluster are found, as there is no DNS."""

    def __init__(self, services: Mapping[str, str]) -> None:
        self.services = dict(services)
        """The address (`host:port`) of each service, by `namespace/name`."""
        self._session: aiohttp.ClientSession | None = None
        self._shared: dict[Hashable, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (tasks := list(self._shared.values())):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._session is not None:
            await self._session.close()

    async def share(self, key: Hashable, work: Callable[[Self], Coroutine[None, None, None]]) -> None:
        """Wait for the work, which is done once for all who ask for it at the same time. Raises what it raises."""
        await asyncio.shield(self.begin(key, work))

    def begin(self, key: Hashable, work: Callable[[Self], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Let the work be done, if it is not at it already."""
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.create_task(work(self), name="webhook")
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    def _forget(self, key: Hashable, task: asyncio.Task[None]) -> None:
        del self._shared[key]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; perhaps nobody does

    async def post(self, config: Mapping[str, Any], review: Json, timeout_seconds: float) -> Json:
        """The JSON object that the webhook of a client configuration answers. Raises `WebhookFailed`."""
        place = self._place(config)
        shown = f"{place.shown}?timeout={timeout_seconds:g}s"
        try:
            async with self._free, asyncio.timeout(timeout_seconds):
                request = self._opened().post(
                    place.url,
                    params={"timeout": f"{timeout_seconds:g}s"},
                    data=msgspec.json.encode(review),
                    headers=_HEADERS | ({"Host": place.host} if place.host else {}),
                    ssl=_trusting(config.get("caBundle") or ""),
                    server_hostname=place.host.rpartition(":")[0] or None,
                    allow_redirects=False,
                )
                async with request as response:
                    return _read(response.status, response.content_type, await response.read())
        except TimeoutError as error:
            raise WebhookFailed(f'Post "{shown}": context deadline exceeded') from error
        except aiohttp.ClientError as error:
            raise WebhookFailed(f'Post "{shown}": {_reason(error)}') from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return self._session

    def _place(self, config: Mapping[str, Any]) -> "_Place":
        if "service" not in config:
            return _Place(config["url"], config["url"], "")
        service = config["service"]
        host = f"{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}"
        path = service.get("path") or "/"
        address = self.services.get(f"{service['namespace']}/{service['name']}")
        shown = f"https://{host}{path}"
        if address is None:
            raise WebhookFailed(f'Post "{shown}": dial tcp: lookup {host.rpartition(":")[0]}: no such host')
        return _Place(f"https://{address}{path}", shown, host)


@lru_cache(maxsize=64)
def _trusting(bundle: str) -> ssl.SSLContext:
    """A context that trusts the certificates of a `caBundle`; without one, those of this machine."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, binascii.Error, ValueError) as error:
        raise WebhookFailed("unable to load root certificates: unable to parse bytes as PEM block") from error


def _read(status: int, content_type: str, body: bytes) -> Json:
    if not 200 <= status <= 206:
        shown = body.decode(errors="replace").strip() if content_type.startswith("text/") else "unknown"
        broken = f'an error on the server ("{shown}") has prevented the request from succeeding'
        raise WebhookFailed(_REFUSALS.get(status, broken))
    try:
        return msgspec.json.decode(body, type=Json)
    except msgspec.DecodeError as error:
        raise WebhookFailed(f"couldn't get version/kind; json parse error: {error}") from error


_REFUSALS = {
    400: "the server rejected our request for an unknown reason",
    404: "the server could not find the requested resource",
    503: "the server is currently unable to handle the request",
}


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {error.certificate_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__
