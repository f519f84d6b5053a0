"""The way of one program to a server, which can be cut: for the moment at which the program is killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from snapshotter.testing.apiserver.watching import abort


class Relay:
    """Hands on what comes in at one address to another one, and back."""

    def __init__(self, host: str, port: int, path: Path | None) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._server: asyncio.Server | None = None
        self.is_cut = False
        self.transports: set[asyncio.Transport] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to_host(cls, host: str, port: int) -> AsyncIterator[tuple[Self, int]]:
        """A relay to a TCP server, with its own port of the same host."""
        relay = cls(host, port, None)
        relay._server = await asyncio.get_running_loop().create_server(lambda: _Near(relay), host, 0)
        try:
            yield relay, relay._server.sockets[0].getsockname()[1]
        finally:
            await relay.close()

    @classmethod
    @asynccontextmanager
    async def to_socket(cls, far: Path, near: Path) -> AsyncIterator[Self]:
        """A relay to a server on a Unix socket, which need not be there, with a socket of its own."""
        relay = cls("", 0, far)
        relay._server = await asyncio.get_running_loop().create_unix_server(lambda: _Near(relay), near)
        try:
            yield relay
        finally:
            await relay.close()

    async def connect(self, near: "_Near") -> None:
        """Connect to the far server for somebody who has come in; if it is not there he is cut off."""
        loop = asyncio.get_running_loop()
        try:
            if self._path is None:
                await loop.create_connection(lambda: near.far, self._host, self._port)
            else:
                await loop.create_unix_connection(lambda: near.far, str(self._path))
        except OSError:
            abort(near.transport)
            return
        if self.is_cut or near.transport is None:
            abort(near.far.transport)
        else:
            near.transport.resume_reading()

    def cut(self) -> None:
        """Reset all connections, and let nobody in any more."""
        self.is_cut = True
        for transport in list(self.transports):
            abort(transport)

    async def close(self) -> None:
        self.cut()
        if self._server is not None:
            # A server that is closed while somebody comes in would lose his socket (as of Python 3.11).
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)
            self._server.close()
        if self.tasks:
            await asyncio.wait(self.tasks)


class _End(asyncio.Protocol):
    """One of the two connections that belong together."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.transport: asyncio.Transport | None = None
        self.other: _End

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._relay.transports.add(transport)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        assert self.transport is not None
        self._relay.transports.discard(self.transport)
        self.transport = None
        if self.other.transport is None:
            return
        if error is None:
            self.other.transport.close()
        else:
            abort(self.other.transport)


class _Near(_End):
    """A connection that has come in."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.far = _End(relay)
        self.far.other, self.other = self, self.far

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        if self._relay.is_cut:
            abort(self.transport)
            return
        self.transport.pause_reading()
        task = asyncio.create_task(self._relay.connect(self), name="relay")
        self._relay.tasks.add(task)
        task.add_done_callback(self._relay.tasks.discard)
