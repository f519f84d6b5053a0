"""What the tests speak to a server with: plain JSON over HTTP, and the kubectl command."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

SOON_SECONDS = 20.0
"""A server that has not answered by then, on however slow a machine, never will."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. `body` is empty where the server sent no JSON object."""

    status: int
    body: Json
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def causes(self) -> dict[str, str]:
        """What is wrong with which field."""
        return {each["field"]: each["message"] for each in self.body.get("details", {}).get("causes", [])}

    def reasons(self) -> dict[str, str]:
        """In which way each field is wrong."""
        return {each["field"]: each["reason"] for each in self.body.get("details", {}).get("causes", [])}

    def ok(self) -> Json:
        """The object that came back. Fails the test if none did."""
        assert self.status in {200, 201}, self
        return self.body


class Watch:
    """The events of one open watch, in their order."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> Json | None:
        """The next event; None when the server has ended the stream."""
        async with asyncio.timeout(SOON_SECONDS):
            line = await self._response.content.readline()
        event: Json | None = json.loads(line) if line else None
        return event

    async def expect(self, kind: str, name: str) -> Json:
        """The object of the next event, which is of this kind and about this object."""
        event = await self.next()
        assert event is not None
        assert (event["type"], event["object"]["metadata"].get("name")) == (kind, name), event
        found: Json = event["object"]
        return found

    async def rest(self) -> list[Json]:
        """All events until the server ends the stream."""
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


@dataclass(frozen=True, slots=True)
class Client:
    """Requests to the server that is tested. Paths begin with a slash; keywords become the query."""

    session: aiohttp.ClientSession
    credentials: dict[str, str] = field(default_factory=dict)
    """The headers that say who asks; those of the session say that it is the administrator."""

    def bearer(self, token: str) -> "Client":
        """The same server, as seen by whoever bears the token; without one, by somebody unknown."""
        return Client(self.session, {"Authorization": f"Bearer {token}" if token else ""})

    def acting_as(self, user: str, group: str = "") -> "Client":
        """The same, in the stead of another user, who may be said to be in a group."""
        headers = {"Impersonate-User": user} | ({"Impersonate-Group": group} if group else {})
        return Client(self.session, self.credentials | headers)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Answer:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": accept, **self.credentials}
        async with (
            asyncio.timeout(SOON_SECONDS),
            self.session.request(method, path, params=query, data=data, headers=headers) as response,
        ):
            text = await response.text()
            warnings = tuple(response.headers.getall("Warning", ()))
        with contextlib.suppress(ValueError):
            if isinstance(parsed := json.loads(text), dict):
                return Answer(response.status, parsed, warnings)
        return Answer(response.status, {}, warnings)

    async def get(self, path: str, accept: str = "application/json", **query: Any) -> Answer:
        return await self.request("GET", path, accept=accept, **query)

    async def create(self, collection: str, body: Json, **query: Any) -> Answer:
        return await self.request("POST", collection, body, **query)

    async def replace(self, path: str, body: Json, **query: Any) -> Answer:
        return await self.request("PUT", path, body, **query)

    async def delete(self, path: str, options: Json | None = None, **query: Any) -> Answer:
        return await self.request("DELETE", path, options, **query)

    async def merge(self, path: str, patch: object, **query: Any) -> Answer:
        return await self.request("PATCH", path, patch, MERGE, **query)

    async def json_patch(self, path: str, *steps: Json) -> Answer:
        return await self.request("PATCH", path, list(steps), JSON_PATCH)

    @contextlib.asynccontextmanager
    async def watch(self, path: str, **query: Any) -> AsyncIterator[Watch]:
        """An open watch. Fails the test if the server refuses it."""
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self.session.get(path, params={"watch": "true", **query}, timeout=unlimited) as response:
            assert response.status == 200, await response.text()
            yield Watch(response)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    def ok(self) -> str:
        assert self.code == 0, self
        return self.out


def rows(output: str) -> list[list[str]]:
    """A table that a command printed, split at its columns."""
    return [re.split(r" {2,}", line.strip()) for line in output.strip().splitlines()]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The kubectl command, pointed at the server that is tested."""

    kubeconfig: Path
    cache: Path

    async def __call__(self, *arguments: str, given: str | None = None, editor: str = "") -> Output:
        """Run kubectl to its end, with this text as its input and this command to edit files."""
        async with self.started(*arguments, editor=editor) as process, asyncio.timeout(SOON_SECONDS * 2):
            out, err = await process.communicate(given.encode() if given is not None else None)
        assert process.returncode is not None
        return Output(process.returncode, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def started(self, *arguments: str, editor: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """A kubectl that runs until the block ends."""
        pipe = asyncio.subprocess.PIPE
        settings = {"KUBECONFIG": self.kubeconfig, "KUBECACHEDIR": self.cache, "KUBE_EDITOR": editor, "TZ": "UTC"}
        environment = os.environ | {name: str(value) for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(
            "kubectl", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def apply(self, *objects: Json, options: tuple[str, ...] = ()) -> Output:
        return await self("apply", "-f", "-", *options, given=yaml.safe_dump_all(objects))


@dataclass(frozen=True, slots=True)
class Server:
    """The server that is tested: a real kube-apiserver or the stand-in."""

    session: aiohttp.ClientSession
    kubeconfig: str
    real: bool
    forget_history: Callable[[], Awaitable[None]] = field(repr=False)
    """Compact: versions from before are too old to watch from."""
