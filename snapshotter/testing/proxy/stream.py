"""A proxy before a socket, for bytes whose meaning it does not know: a driver's Unix socket, a webhook's port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from snapshotter.testing.proxy.script import Script
from snapshotter.testing.proxy.troubles import Cut, Dribble, Late, StreamTrouble

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

_AT_ONCE_BYTES: Final = 65536


class StreamProxy:
    """Connections that are passed on as the script allows. Make one with `StreamProxy.unix()` or `StreamProxy.tcp()`.

    The script is asked for each piece of bytes, `there` and `back`, and for each new connection, `connect`: any `Cut`
    of that refuses it.
    """

    def __init__(
        self, listen: Callable[[_Connected], Awaitable[asyncio.Server]], connect: Callable[[], Awaitable[Ends]]
    ) -> None:
        self.script: Script[StreamTrouble] = Script()
        self._listen = listen
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def unix(cls, path: Path, target: Path) -> AsyncIterator["StreamProxy"]:
        """Serve at a path of a Unix socket; the file stays behind. Raises `OSError`."""
        proxy = cls(
            lambda connected: asyncio.start_unix_server(connected, path),
            lambda: asyncio.open_unix_connection(target),
        )
        async with proxy._serving():
            yield proxy

    @classmethod
    @asynccontextmanager
    async def tcp(cls, port: int, target: int, *, host: str = "127.0.0.1") -> AsyncIterator["StreamProxy"]:
        """Serve at a port of this host, 0 for a free one, before another port of it. Raises `OSError`."""
        proxy = cls(
            # Back at the same port after it has been away.
            lambda connected: asyncio.start_server(connected, host, proxy._port or port),
            lambda: asyncio.open_connection(host, target),
        )
        async with proxy._serving():
            yield proxy

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        await self._start()
        try:
            yield
        finally:
            await self._stop()

    @property
    def port(self) -> int:
        """That of a proxy made with `tcp()`."""
        return self._port

    async def _start(self) -> None:
        self._server = await self._listen(self._connected)
        name = self._server.sockets[0].getsockname()
        self._port = name[1] if isinstance(name, tuple) else 0

    async def _stop(self) -> None:
        if self._server is not None:
            # A server that is closed while somebody comes in would never close his socket (as of Python 3.11).
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)
            self._server.close()
            self._server = None
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """While the context lasts nobody listens, and there is no connection."""
        await self._stop()
        try:
            yield
        finally:
            await self._start()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # Accepted just before we went away.
            writer.transport.abort()
            return
        # A callback that is no coroutine, so that the task is ours to end.
        task = asyncio.create_task(self._join((reader, writer)), name="connection of a stream proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, near: Ends) -> None:
        """Connect one client with the far side, until either goes."""
        writers = [near[1]]
        self._writers.add(near[1])
        try:
            match self.script.trouble_of("connect"):
                case Cut():
                    return
                case Late(seconds):
                    await asyncio.sleep(seconds)
            far = await self._connect()
            writers.append(far[1])
            self._writers.add(far[1])
            await self._pump_both(near, far)
        except (ConnectionError, FileNotFoundError, BrokenPipeError):
            # The far side is not there, or one of the two has reset the connection: so is the other then.
            for writer in writers:
                writer.transport.abort()
        finally:
            for writer in writers:
                self._writers.discard(writer)
                writer.close()

    async def _pump_both(self, near: Ends, far: Ends) -> None:
        pumps = {
            asyncio.create_task(self._pump("there", near[0], far[1]), name="there"),
            asyncio.create_task(self._pump("back", far[0], near[1]), name="back"),
        }
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _pump(self, direction: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass bytes on until there are no more. Raises `ConnectionError`, also when the script wants a reset."""
        while data := await source.read(_AT_ONCE_BYTES):
            match self.script.trouble_of(direction):
                case Cut("before"):
                    raise ConnectionResetError
                case Cut(moment):
                    await _send(sink, data if moment == "after" else data[: len(data) // 2])
                    return
                case Late(seconds):
                    await asyncio.sleep(seconds)
                    await _send(sink, data)
                case Dribble(seconds, pieces):
                    for piece in in_pieces(data, pieces):
                        await _send(sink, piece)
                        await asyncio.sleep(seconds / pieces)
                case None:
                    await _send(sink, data)


def in_pieces(data: bytes, pieces: int) -> list[bytes]:
    """The bytes in at most so many pieces of about the same size."""
    size = max(1, -(-len(data) // pieces))
    return [data[start : start + size] for start in range(0, len(data), size)]


async def _send(sink: asyncio.StreamWriter, data: bytes) -> None:
    sink.write(data)
    await sink.drain()
