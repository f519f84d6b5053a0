"""The measurement's own way to the API server: small, so that it takes little of the machine that is measured."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"


@dataclass(frozen=True)
class Address:
    """Where the API server listens, and what an administrator shows to it."""

    host: str
    port: int
    token: str
    authority: str
    """PEM text of what vouches for it; empty without TLS."""
    kubeconfig: str

    @property
    def url(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.host}:{self.port}"

    @cached_property
    def trust(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cadata=self.authority) if self.authority else None


class Refused(Exception):
    """The server did not do what was asked."""


class Wire:
    """One connection, on which one request follows the other."""

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._head = f"Host: {address.host}\r\nAuthorization: Bearer {address.token}\r\nAccept: application/json\r\n"
        self._reader = reader
        self._writer = writer

    async def ask(self, method: str, path: str, body: object = None, content_type: str = JSON) -> bytes:
        """The answer's body. Raises `Refused`."""
        data = b"" if body is None else msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: {content_type}\r\nContent-Length: {len(data)}\r\n"
        )
        self._writer.write(head.encode() + b"\r\n" + data)
        status, headers = await self._answer_head()
        answer = b"".join([chunk async for chunk in self._body(headers)])
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {answer.decode(errors='replace')}")
        return answer

    async def follow(self, path: str) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on. Raises `Refused`."""
        self._writer.write(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
        status, headers = await self._answer_head()
        if status >= 300:
            raise Refused(f"GET {path}: {status}")
        rest = b""
        async for chunk in self._body(headers):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line

    async def _answer_head(self) -> tuple[int, Mapping[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def _body(self, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding") != "chunked":
            yield await self._reader.readexactly(int(headers.get("content-length", "0")))
            return
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def wired(address: Address) -> AsyncIterator[Wire]:
    """A connection for as long as the block lasts."""
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.trust, limit=1 << 22)
    wire = Wire(address, reader, writer)
    try:
        yield wire
    finally:
        wire.close()


async def in_parallel(address: Address, count: int, wires: int, work: Callable[[Wire, int], Awaitable[Any]]) -> None:
    """Do the work for each number below `count`, on so many connections at a time."""
    numbers = itertools.count()

    async def worker() -> None:
        async with wired(address) as wire:
            while (number := next(numbers)) < count:
                await work(wire, number)

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(wires, count)):
            workers.create_task(worker())
