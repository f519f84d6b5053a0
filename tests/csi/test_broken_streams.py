"""Streams that end as no driver ends them: what gRPC then makes up is not the driver's word.

The far side is a plain HTTP/2 server on a Unix socket; real gRPC turns what it does into errors.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from prometheus_client import CollectorRegistry

from csi_proto import csi_pb2
from snapshotter.csi.driver import open_driver
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import CsiError

Answer = Callable[[H2Connection, int], None]

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
MESSAGE = csi_pb2.GetPluginInfoResponse(name="d").SerializeToString()
FRAME = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE


def status(code: str) -> Answer:
    return lambda h2, stream: h2.send_headers(stream, [*HEADERS, ("grpc-status", code)], end_stream=True)


def reset(code: int) -> Answer:
    return lambda h2, stream: h2.reset_stream(stream, code)


def without_trailers(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, HEADERS)
    h2.send_data(stream, FRAME, end_stream=True)


def without_a_message(h2: H2Connection, stream: int) -> None:
    status("0")(h2, stream)


def half_a_message(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, HEADERS)
    h2.send_data(stream, FRAME[:-1])
    h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


def unavailable_as_http(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [(":status", "503")], end_stream=True)


def go_away(h2: H2Connection, _stream: int) -> None:
    h2.close_connection(error_code=2)


BROKEN: dict[str, Answer] = {
    **{f"reset with {code}": reset(code) for code in (0, 1, 2, 7, 8, 11, 13)},
    "no trailers": without_trailers,
    "OK without a message": without_a_message,
    "half a message": half_a_message,
    "a status that is none": status("abc"),
    "a negative status": status("-1"),
    "a status that no machine holds": status("9" * 20),
    "an empty status": status(""),
    "an answer of HTTP": unavailable_as_http,
    "the connection is closed": go_away,
}


class FarSide(asyncio.Protocol):
    """One connection; each request is answered in the same way."""

    def __init__(self, answer: Answer, connections: list[asyncio.Transport]) -> None:
        self._answer = answer
        self._connections = connections
        self._h2 = H2Connection(H2Configuration(client_side=False))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.append(transport)
        self._h2.initiate_connection()
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, StreamEnded):
                self._answer(self._h2, event.stream_id)
        self._transport.write(self._h2.data_to_send())


@asynccontextmanager
async def far_side(path: Path, answer: Answer) -> AsyncIterator[None]:
    """An HTTP/2 server on a Unix socket."""
    connections: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_unix_server(lambda: FarSide(answer, connections), str(path))
    async with server:
        yield
        for connection in connections:
            connection.abort()


async def error_of(tmp_path: Path, answer: Answer) -> CsiError:
    async with (
        far_side(tmp_path / "csi.sock", answer),
        open_driver(
            str(tmp_path / "csi.sock"), Metrics(CollectorRegistry()), timeout=5.0, log_payloads=False
        ) as driver,
    ):
        with pytest.raises(CsiError) as raised:
            await driver.meet()
    return raised.value


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_promise_1_a_broken_stream_leaves_open_what_the_driver_has_done(tmp_path: Path, answer: Answer) -> None:
    error = await error_of(tmp_path, answer)
    assert not error.final, error


@pytest.mark.parametrize("code", [2, 3, 13, 15])
async def test_a_status_that_the_driver_gave_is_its_word(tmp_path: Path, code: int) -> None:
    error = await error_of(tmp_path, status(str(code)))
    assert error.final, error


TEXTS = {
    "bytes that are no text": (b"\xff\xfe abc", "ÿþ abc"),
    "what is escaped is no text": (b"%FF%FE%", "ÿþ%"),
    "an escaped control character": (b"a%0Ab%1B", "a\nb\x1b"),
}


@pytest.mark.parametrize(("raw", "text"), TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("code", ["13", "17", "99"])
async def test_an_odd_text_or_number_of_a_refusal_is_taken_as_it_comes(
    tmp_path: Path, code: str, raw: bytes, text: str
) -> None:
    """A number that no library knows is as good as Unknown (gRPC, "Status codes")."""

    def answer(h2: H2Connection, stream: int) -> None:
        headers: list[tuple[bytes | str, bytes | str]] = [*HEADERS, ("grpc-status", code), ("grpc-message", raw)]
        h2.send_headers(stream, headers, end_stream=True)

    error = await error_of(tmp_path, answer)
    assert (error.code, error.text) == ("Internal" if code == "13" else "Unknown", text)
