"""The connection to the API server: requests with raw bytes in and out, with kubernetes_asyncio's configuration.

Everything that holds for all requests is here: credentials, timeouts, the client-side limit, obeying 429.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import structlog
import yaml.error
from aiolimiter import AsyncLimiter
from yarl import URL

from snapshotter.kube.attributes import access_of
from snapshotter.kube.client import (
    ConfigException,
    Configuration,
    load_incluster_config,
    load_kube_config,
)
from snapshotter.kube.errors import ApiError, Forbidden, TooManyRequests, Unauthorized, Unreachable, api_error
from snapshotter.kube.session import open_session
from snapshotter.metrics import DaemonMetrics
from snapshotter.plan.permissions import Access

log = structlog.get_logger(__name__)

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
JSON: Final = "application/json"

REQUEST_TIMEOUT = 30.0
"""Seconds for one request that is not a watch."""
MOST_AT_ONCE = 24
"""Requests under way, watches not counted. More would only wait in the server, and their answers would come in bunches
that hold the event loop up (docs/performance.md)."""
MOST_WAITS = 5
"""How often a request waits as a 429 asks before it is given up."""
LONGEST_WAIT = 30.0
"""Seconds that a `Retry-After` is obeyed for."""

_IN_TIME = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
_NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError)


class BadConfiguration(Exception):
    """The kubeconfig, or the environment in a cluster, does not say how to reach the API server."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The client-side limit: `--kube-api-qps` and `--kube-api-burst`. None: no limit."""

    qps: float | None = None
    burst: int = 10

    def limiter(self) -> AsyncLimiter | None:
        return None if self.qps is None else AsyncLimiter(self.burst, self.burst / self.qps)


Permit = Callable[[], None]
"""Raises if nothing may be written at this moment."""


def always() -> None:
    """The permit of those who need none."""


Refused = Callable[[Access], None]
"""Told of each request that was refused for want of a permission (403)."""


def unheard(_: Access) -> None:
    """For those who do not ask why something is refused."""


class Connection:
    """Requests to one API server."""

    def __init__(
        self,
        kubeconfig: Path | None,
        configuration: Configuration,
        session: aiohttp.ClientSession,
        limits: Limits,
        metrics: DaemonMetrics,
        user_agent: str,
        permit: Permit,
        refused: Refused,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._configuration = configuration
        self._session = session
        self._limiter = limits.limiter()
        self._under_way = asyncio.Semaphore(MOST_AT_ONCE)
        self._counted = cache(metrics.api_requests.labels)
        # Compressing costs more than it saves: the API server is near, and lists are long.
        self._headers = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": user_agent}
        self._permit = permit
        self._refused = refused

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = JSON,
    ) -> bytes:
        """The answer's body. Raises `ApiError`, and what the permit raises.

        A 429 is obeyed and a 401 makes us read our credentials anew; both then try again.
        """
        what = f"{method} {path}"
        refreshed = False
        for wait in range(MOST_WAITS + 1):
            async with self._limiter or nullcontext(), self._under_way:
                if method != "GET":
                    self._permit()
                response, answer = await self._exchange(method, path, query, body, content_type, what)
            self._counted(method, str(response.status)).inc()
            if response.status < 300:
                return answer
            if response.status == 401 and not refreshed:
                refreshed = True
                await self.refresh_credentials()
                continue
            if response.status == 429 and wait < MOST_WAITS:
                asked_for = _retry_after(response)
                await asyncio.sleep(0.25 * 2.0**wait if asked_for is None else asked_for)
                continue
            if response.status == 403:
                raise self._forbidden(access_of(method, path, query), answer, what)
            raise api_error(response.status, answer, what)
        raise api_error(429, b"", what)

    def _forbidden(self, access: Access | None, answer: bytes, what: str) -> ApiError:
        if access is not None:
            self._refused(access)
        # So speak authorizers; admission, which has other reasons, answers 403 as well.
        if access is None or f"cannot {access.verb} resource ".encode() not in answer:
            return api_error(403, answer, what)
        error = api_error(403, answer, f"{what}: permission is missing: {access}")
        if isinstance(error, Forbidden):
            error.missing = access
        return error

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        what: str,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            response = await self._send(method, path, query, body, content_type, _IN_TIME)
            async with response:
                return response, await response.read()
        except ConfigException as error:
            raise Unreachable(f"{what}: no credentials: {_describe(error)}") from error
        except _NO_ANSWER as error:
            self._counted(method, "0").inc()
            raise Unreachable(f"{what}: no answer: {_describe(error)}") from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on for at most so many seconds. Raises `ApiError`."""
        what = f"watch {path}"
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=10.0)
        try:
            response = await self._send("GET", path, query, None, JSON, timeout)
            async with response:
                self._counted("WATCH", str(response.status)).inc()
                if response.status >= 300:
                    answer = await response.read()
                    if response.status == 403:
                        raise self._forbidden(access_of("GET", path, query), answer, what)
                    error = api_error(response.status, answer, what)
                    if isinstance(error, Unauthorized):
                        await self.refresh_credentials()
                    if isinstance(error, TooManyRequests):
                        error.retry_after = _retry_after(response)
                    raise error
                yield _lines(response)
        except ConfigException as error:
            raise Unreachable(f"{what}: no credentials: {_describe(error)}") from error
        except _NO_ANSWER as error:
            self._counted("WATCH", "0").inc()
            raise Unreachable(f"{what}: interrupted: {_describe(error)}") from error

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        configuration = self._configuration
        headers = self._headers | {"Content-Type": content_type}
        for setting in (await configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        return await self._session.request(
            method,
            # Our paths are quoted.
            URL((configuration.host or "").rstrip("/") + path, encoded=True),
            params=query,
            headers=headers,
            data=None if body is None else msgspec.json.encode(body),
            timeout=timeout,
            server_hostname=configuration.tls_server_name,
        )

    async def refresh_credentials(self) -> None:
        """Read the configuration anew: tokens expire, and exec plugins give others. Trouble is only logged."""
        try:
            fresh = await _load(self._kubeconfig)
        except BadConfiguration as error:
            log.warning("credentials could not be read again", reason=str(error))
            return
        self._configuration.api_key = fresh.api_key
        self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


@asynccontextmanager
async def connect(
    kubeconfig: Path | None,
    limits: Limits,
    metrics: DaemonMetrics,
    *,
    user_agent: str,
    permit: Permit = always,
    refused: Refused = unheard,
) -> AsyncIterator[Connection]:
    """A connection by a kubeconfig, or by what a pod finds in its cluster. Raises `BadConfiguration`.

    `permit` is asked before each request that changes something; `refused` is told of each 403.
    """
    configuration = await _load(kubeconfig)
    try:
        session = open_session(configuration)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise BadConfiguration(f"the certificates of {_source(kubeconfig)} are unusable: {error}") from error
    async with session:
        yield Connection(kubeconfig, configuration, session, limits, metrics, user_agent, permit, refused)


async def _load(kubeconfig: Path | None) -> Configuration:
    configuration = Configuration()
    if kubeconfig is not None and not kubeconfig.is_file():  # noqa: ASYNC240 (a small local file, as below)
        raise BadConfiguration(f"{_source(kubeconfig)} is unusable: there is no such file")
    try:
        if kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.error.YAMLError) as error:
        hint = "; outside of a cluster, --kubeconfig says where it is" if kubeconfig is None else ""
        raise BadConfiguration(f"{_source(kubeconfig)} is unusable: {_describe(error).rstrip('.')}{hint}") from error
    if not (configuration.host or "").startswith(("http://", "https://")):
        raise BadConfiguration(f"{_source(kubeconfig)} names no usable server: {configuration.host!r}")
    return configuration


def _source(kubeconfig: Path | None) -> str:
    return "the in-cluster configuration" if kubeconfig is None else f"kubeconfig {kubeconfig}"


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body, however long they are; an unfinished last line is dropped."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        *lines, last = rest.split(b"\n") if b"\n" in chunk else (rest,)
        rest = last
        for line in lines:
            if line:
                yield bytes(line)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds to wait before the next try, if the server says so."""
    text = response.headers.get("Retry-After", "")
    # A date is allowed too (RFC 9110), but API servers do not send one.
    return min(float(text), LONGEST_WAIT) if text.replace(".", "", 1).isdecimal() else None


def _describe(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
