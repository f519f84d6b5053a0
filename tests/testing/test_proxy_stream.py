"""The proxy before a socket: what comes through of what is sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from snapshotter.testing.proxy import Cut, Dribble, Late, StreamProxy
from snapshotter.testing.proxy.troubles import StreamTrouble

WORD: Final = b"0123456789"
LONG: Final = 20.0


class Echo:
    """A far side that sends back what it gets."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it is so."""
        async with asyncio.timeout(LONG):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(100):
                self.received += data
                self._changed.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.connections -= 1
            self._changed.set()
            writer.close()


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[Echo]:
    made = Echo()
    async with await asyncio.start_unix_server(made.connected, tmp_path / "far.sock"):
        yield made


@pytest.fixture
async def proxy(tmp_path: Path, echo: Echo) -> AsyncIterator[StreamProxy]:
    async with StreamProxy.unix(tmp_path / "near.sock", tmp_path / "far.sock") as made:
        yield made


@asynccontextmanager
async def client(tmp_path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "near.sock")
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(tmp_path: Path) -> bytes:
    """Send the word; what comes back until it is all there, or the connection is lost."""
    async with asyncio.timeout(LONG), client(tmp_path) as (reader, writer):
        try:
            writer.write(WORD)
            return await reader.readexactly(len(WORD))
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionError:
            return b""


HALF: Final = WORD[:5]
COMES: Final[dict[str, tuple[str, StreamTrouble, bytes, bytes]]] = {
    "refused": ("connect", Cut(), b"", b""),
    "a late connection": ("connect", Late(0.1), WORD, WORD),
    "lost on the way there": ("there", Cut("before"), b"", b""),
    "half of it on the way there": ("there", Cut("amid"), HALF, b""),
    "lost when it was there": ("there", Cut("after"), WORD, b""),
    "late there": ("there", Late(0.1), WORD, WORD),
    "byte by byte there": ("there", Dribble(0.1, 10), WORD, WORD),
    "lost on the way back": ("back", Cut("before"), WORD, b""),
    "half of it on the way back": ("back", Cut("amid"), WORD, HALF),
    "lost when it was back": ("back", Cut("after"), WORD, WORD),
    "late back": ("back", Late(0.1), WORD, WORD),
    "byte by byte back": ("back", Dribble(0.1, 10), WORD, WORD),
}
"""What is done where, what the far side gets of the word, and what comes back of it at most."""


@pytest.mark.parametrize(("where", "trouble", "there", "back"), COMES.values(), ids=COMES.keys())
async def test_what_happens_to_bytes(
    tmp_path: Path, echo: Echo, proxy: StreamProxy, where: str, trouble: StreamTrouble, there: bytes, back: bytes
) -> None:
    proxy.script.set(where, trouble)
    began = time.monotonic()
    assert await exchange(tmp_path) == back
    await echo.until(lambda: not echo.connections and len(echo.received) >= len(there))
    assert echo.received == there
    if isinstance(trouble, Late | Dribble):
        # Timers of event loops may ring a little early, each time anew.
        assert time.monotonic() - began >= 0.05
    assert await exchange(tmp_path) == WORD
    assert proxy.script.happened == {type(trouble).__name__: 1}


async def test_all_connections_can_be_cut_at_once(tmp_path: Path, proxy: StreamProxy) -> None:
    async with asyncio.timeout(LONG), client(tmp_path) as (reader, writer), client(tmp_path) as (other, _):
        writer.write(WORD)
        assert await reader.readexactly(len(WORD)) == WORD
        proxy.cut()
        assert await reader.read() == b""
        assert await other.read() == b""


async def test_while_it_is_away_nobody_listens_and_then_all_is_as_before(tmp_path: Path, proxy: StreamProxy) -> None:
    async with asyncio.timeout(LONG), client(tmp_path) as (reader, writer):
        writer.write(WORD)
        await reader.readexactly(len(WORD))
        async with proxy.away():
            assert await reader.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_unix_connection(tmp_path / "near.sock")
        assert await exchange(tmp_path) == WORD


async def test_a_far_side_that_is_not_there_ends_the_connection(tmp_path: Path) -> None:
    async with StreamProxy.unix(tmp_path / "near.sock", tmp_path / "far.sock"):
        assert await exchange(tmp_path) == b""


async def test_a_port_is_passed_on_as_well_and_stays_the_same() -> None:
    echo = Echo()
    async with await asyncio.start_server(echo.connected, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        async with StreamProxy.tcp(0, target) as proxy, asyncio.timeout(LONG):
            async with proxy.away():
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", proxy.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(WORD)
            assert await reader.readexactly(len(WORD)) == WORD
            writer.close()
