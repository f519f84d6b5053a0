"""The admin address of a stand-in: faults and the log of calls, over HTTP.

A stand-in that runs as a process of its own mounts `admin_routes`; a test or a user steers it with `Admin`.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import web

from snapshotter.testing.faults import Fault, Faults

PREFIX = "/_standin"

_HTTP_TIMEOUT_SECONDS = 30.0


class AdminError(Exception):
    """The stand-in refused what was asked; the text says why."""


def json_response(value: object, status: int = 200) -> web.Response:
    """The value as JSON; dataclasses and msgspec structs are written as objects."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def admin_routes(
    faults: Faults, calls: Callable[[], Sequence[object]], reset_calls: Callable[[], None]
) -> list[web.RouteDef]:
    """The routes under `/_standin/` with which another process steers these faults and reads these calls.

    `GET calls?since=N` leaves out the first N calls. `GET held?wait=N&timeout=S` answers once N calls are
    held, or 408 after S seconds. What cannot be understood is answered 400, with the reason as `error`.
    """

    async def get_calls(request: web.Request) -> web.Response:
        return json_response(calls()[_whole(request.query, "since") :])

    async def delete_calls(_: web.Request) -> web.Response:
        reset_calls()
        return json_response({})

    async def post_fault(request: web.Request) -> web.Response:
        try:
            number = faults.set(msgspec.json.decode(await request.read(), type=Fault))
        except (msgspec.DecodeError, re.error) as error:
            raise _refused(str(error)) from error
        return json_response({"id": number})

    async def get_faults(_: web.Request) -> web.Response:
        return json_response({str(number): fault for number, fault in faults.in_force().items()})

    async def delete_fault(request: web.Request) -> web.Response:
        faults.lift(_whole(request.match_info, "id"))
        return json_response({})

    async def delete_faults(_: web.Request) -> web.Response:
        faults.clear()
        return json_response({})

    async def get_held(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_number(request.query, "timeout", 10)):
                await faults.wait_for_held(_whole(request.query, "wait"))
        except TimeoutError:
            return json_response({"error": "so many calls are not held", "held": faults.held()}, 408)
        return json_response(faults.held())

    return [
        web.get(f"{PREFIX}/calls", get_calls),
        web.delete(f"{PREFIX}/calls", delete_calls),
        web.post(f"{PREFIX}/faults", post_fault),
        web.get(f"{PREFIX}/faults", get_faults),
        web.delete(f"{PREFIX}/faults", delete_faults),
        web.delete(f"{PREFIX}/faults/{{id}}", delete_fault),
        web.get(f"{PREFIX}/held", get_held),
    ]


class Admin:
    """The admin address of a stand-in, seen from another process.

    Methods raise `AdminError` for a refusal and `aiohttp.ClientError` when nobody answers.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + PREFIX
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_HTTP_TIMEOUT_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The calls so far, without the first `since`."""
        return cast("list[dict[str, Any]]", await self._ask("GET", f"/calls?since={since}"))

    async def reset_calls(self) -> None:
        await self._ask("DELETE", "/calls")

    async def set_fault(self, fault: Fault) -> int:
        """Put a fault in force; the answer is the id that lifts it."""
        answer = cast("dict[str, int]", await self._ask("POST", "/faults", msgspec.json.encode(fault)))
        return answer["id"]

    async def faults(self) -> dict[int, Fault]:
        """The faults in force, by id."""
        return msgspec.convert(await self._ask("GET", "/faults"), dict[int, Fault], strict=False)

    async def lift(self, number: int) -> None:
        await self._ask("DELETE", f"/faults/{number}")

    async def clear(self) -> None:
        """Lift every fault."""
        await self._ask("DELETE", "/faults")

    async def held(self) -> list[str]:
        """The names of the calls that wait because of a `hold`."""
        return cast("list[str]", await self._ask("GET", "/held"))

    async def wait_for_held(self, count: int = 1, timeout: float = 10.0) -> None:
        """Return once so many calls are held; `AdminError` after `timeout` seconds."""
        await self._ask("GET", f"/held?wait={count}&timeout={timeout}", timeout_seconds=timeout + 5)

    async def post(self, action: str) -> None:
        """Have the stand-in do something of its own, such as `compact`."""
        await self._ask("POST", f"/{action}")

    async def plant(self, plural: str, name: str, raw: bytes, namespace: str = "") -> None:
        """Put JSON in the place of an object of the API server past every rule; see `ApiServer.plant`."""
        query = urlencode({"plural": plural, "name": name, "namespace": namespace})
        await self._ask("POST", f"/plant?{query}", raw)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout_seconds: float = _HTTP_TIMEOUT_SECONDS,
    ) -> object:
        if self._session is None:
            async with self as opened:
                return await opened._ask(method, path, body, timeout_seconds)
        timeout = aiohttp.ClientTimeout(timeout_seconds)
        async with self._session.request(method, self._url + path, data=body, timeout=timeout) as response:
            answer = await response.read()
            if response.status >= 400:
                raise AdminError(f"{method} {path}: {response.status} {answer.decode(errors='replace')}")
            return msgspec.json.decode(answer)


def _whole(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values.get(name, 0))
    except ValueError as error:
        raise _refused(f"{name}: {error}") from error


def _number(values: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(values.get(name, default))
    except ValueError as error:
        raise _refused(f"{name}: {error}") from error


def _refused(reason: str) -> web.HTTPBadRequest:
    body = msgspec.json.encode({"error": reason})
    return web.HTTPBadRequest(text=body.decode(), content_type="application/json")
