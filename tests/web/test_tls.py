"""The HTTPS server: what it serves, what a client may cost, and how it ends."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from snapshotter.metrics import WebhookMetrics
from snapshotter.web.certificate import ServedCertificate
from snapshotter.web.server import ListenError
from snapshotter.web.tls import Answer, Bounds, Request, TlsServer, serving_tls, text
from tests.certificates import Files, Pair, files_in, make_pair

PAIR = make_pair()
MUCH = 32 << 20
"""Bytes that no buffer on the way takes."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Served:
    server: TlsServer
    certificate: ServedCertificate
    files: Files
    hold: asyncio.Event
    """Requests to `/held` are answered when it is set."""

    def url(self, path: str) -> str:
        return f"https://localhost:{self.server.port}{path}"

    async def connect(self, trusting: ssl.SSLContext | None = None) -> Stream:
        return await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=trusting or PAIR.trusting(), server_hostname="localhost"
        )


@asynccontextmanager
async def made(directory: Path, *, grace: float = 5.0, bounds: Bounds | None = None) -> AsyncIterator[Served]:
    files = files_in(directory)
    files.write(PAIR)
    certificate = ServedCertificate(files.certificate, files.key, WebhookMetrics(CollectorRegistry()))
    hold = asyncio.Event()

    async def echo(request: Request) -> Answer:
        return Answer(200, await request.read(), request.content_type or "none")

    async def held(request: Request) -> Answer:
        await hold.wait()
        return Answer(200, b"x" * (MUCH) if request.accept == "much" else b"late")

    async def broken(_: Request) -> Answer:
        raise RuntimeError("on purpose")

    async def unread(_: Request) -> Answer:
        return text(400, "I do not want it\udcff")

    routes = {"/echo": echo, "/held": held, "/broken": broken, "/unread": unread}
    async with serving_tls("127.0.0.1", 0, certificate, routes, grace=grace, bounds=bounds or Bounds()) as server:
        yield Served(server, certificate, files, hold)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=PAIR.trusting())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def exchanged(stream: Stream, sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = stream
    writer.write(sent)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
async def test_a_path_is_served_whatever_the_method_and_the_query(
    tmp_path: Path, http: aiohttp.ClientSession, method: str
) -> None:
    async with made(tmp_path) as served:
        async with http.request(method, served.url("/echo?timeout=30s"), data=b"body") as answer:
            assert (answer.status, await answer.read()) == (200, b"" if method == "HEAD" else b"body")
        async with http.get(served.url("/")) as answer:
            assert (answer.status, await answer.text()) == (404, "404 page not found\n")


async def test_an_unexpected_error_is_answered_with_500_and_logged(
    tmp_path: Path, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with made(tmp_path) as served, http.post(served.url("/broken")) as answer:
        assert answer.status == 500
        assert "on purpose" not in await answer.text()
    assert "on purpose" in caplog.text


@pytest.mark.parametrize(("version", "works"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
async def test_tls_is_at_least_1_2_and_http_is_1_1(tmp_path: Path, version: str, works: bool) -> None:
    trusting = PAIR.trusting()
    trusting.set_ciphers("DEFAULT:@SECLEVEL=0")
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.warns(DeprecationWarning, match="TLSv1_1") if not works else contextlib.nullcontext():
        trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion[version]
    async with made(tmp_path) as served:
        if not works:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await served.connect(trusting)
            return
        stream = await served.connect(trusting)
        assert stream[1].get_extra_info("ssl_object").selected_alpn_protocol() is None
        answer = await exchanged(stream, b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    new: Pair = make_pair()
    async with made(tmp_path) as served:
        async with http.post(served.url("/echo"), data=b"1") as answer:
            assert await answer.read() == b"1"
        served.files.write(new)
        served.certificate.look()
        async with http.post(served.url("/echo"), data=b"2") as answer:
            assert await answer.read() == b"2"
        _, writer = await served.connect(new.trusting())
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await served.connect()


async def test_a_client_that_names_no_server_sees_the_certificate_too(tmp_path: Path) -> None:
    trusting = PAIR.trusting()
    trusting.check_hostname = False
    async with made(tmp_path) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.server.port, ssl=trusting, server_hostname="")
        assert writer.get_extra_info("ssl_object").getpeercert(binary_form=True) == PAIR.der
        writer.close()


BAD_HTTP = {
    "no HTTP at all": b"\x00\x01\x02 nonsense\r\n\r\n",
    "a header that is none": b"POST /echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    "a length that is none": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a header that never ends": b"GET /echo HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", BAD_HTTP.values(), ids=BAD_HTTP.keys())
async def test_what_is_not_http_is_answered_with_400_and_not_logged(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with made(tmp_path) as served:
        answer = await exchanged(await served.connect(), sent)
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert caplog.text == ""


async def test_a_body_in_broken_chunks_is_answered_with_400(tmp_path: Path) -> None:
    async with made(tmp_path) as served:
        answer = await exchanged(
            await served.connect(), b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"
        )
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))


async def test_a_body_is_not_unpacked(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    packed = gzip.compress(bytes(1 << 20))
    async with made(tmp_path) as served:
        headers = {"Content-Encoding": "gzip"}
        async with http.post(served.url("/echo"), data=packed, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, packed)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long_is_refused(tmp_path: Path, http: aiohttp.ClientSession, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    async with made(tmp_path, bounds=Bounds(body=1000)) as served:
        async with http.post(served.url("/echo"), data=chunks() if chunked else b"x" * 1001) as answer:
            assert (answer.status, await answer.text()) == (413, "the body is longer than 1000 bytes\n")
        async with http.post(served.url("/echo"), data=b"x" * 1000) as answer:
            assert answer.status == 200


async def test_when_too_much_is_in_hand_more_is_refused(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    half = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 800\r\n\r\n" + b"x" * 799
    async with made(tmp_path, bounds=Bounds(held=1000)) as served:
        reader, writer = await served.connect()
        writer.write(half)
        async with asyncio.timeout(20):
            while True:
                async with http.post(served.url("/echo"), data=b"y" * 500) as answer:
                    if answer.status == 503:
                        assert await answer.text() == "too much is being asked at a time\n"
                        break
                await asyncio.sleep(0.01)
        writer.write(b"x")
        async with asyncio.timeout(20):
            assert (await reader.read()).endswith(b"x" * 800)
        writer.close()
        async with http.post(served.url("/echo"), data=b"y" * 500) as answer:
            assert answer.status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with made(tmp_path, bounds=Bounds(read=0.1)) as served:
        reader, writer = await served.connect()
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"0.1s\n")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the body did not arrive within 0.1s\n")


async def test_an_answer_that_is_not_taken_ends_the_connection(tmp_path: Path) -> None:
    async with made(tmp_path, bounds=Bounds(write=0.1)) as served:
        reader, writer = await served.connect()
        writer.write(b"GET /held HTTP/1.1\r\nHost: a\r\nAccept: much\r\n\r\n")
        await in_hand(served)
        served.hold.set()
        async with asyncio.timeout(20):
            # Nothing is read until the server has given up.
            await served.server.finish(20)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(MUCH)
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /held HTTP/1.1\r\nHost: a\r\nAccept: much\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    ],
    ids=["while it waits", "amid its request"],
)
async def test_a_client_that_goes_before_its_answer_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async with made(tmp_path) as served:
        _, writer = await served.connect()
        writer.write(sent)
        await in_hand(served)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        served.hold.set()
        await served.server.finish(20)
    assert caplog.text == ""


async def test_a_connection_without_a_request_is_closed_after_a_while(tmp_path: Path) -> None:
    async with made(tmp_path, bounds=Bounds(idle=0.1)) as served:
        assert await exchanged(await served.connect(), b"") == b""
        assert await exchanged(await served.connect(), b"GET /echo HTTP/1.1\r\nHo") == b""


async def test_a_body_that_is_not_read_does_not_hinder_the_answer(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with made(tmp_path) as served, http.post(served.url("/unread"), data=bytes(1 << 20)) as answer:
        assert (answer.status, await answer.text()) == (400, "I do not want it?\n")


async def test_what_is_in_hand_at_the_end_is_answered(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with made(tmp_path) as served:
        request = asyncio.create_task(asked(http, served.url("/held")))
        await in_hand(served)
        asyncio.get_running_loop().call_later(0.2, served.hold.set)
    assert await request == (200, b"late")


async def test_what_is_not_answered_within_the_grace_time_is_cut_off(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with made(tmp_path, grace=0.05) as served:
        request = asyncio.create_task(asked(http, served.url("/held")))
        await in_hand(served)
    with pytest.raises(aiohttp.ClientError):
        await request


async def test_before_the_end_each_answer_closes_its_connection(tmp_path: Path) -> None:
    async with made(tmp_path) as served:
        stream = await served.connect()
        served.server.let_go()
        answer = await exchanged(stream, b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Connection: close" in answer


async def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    async with made(tmp_path) as served:
        with pytest.raises(ListenError, match=f"cannot listen at 127.0.0.1:{served.server.port}"):
            async with serving_tls("127.0.0.1", served.server.port, served.certificate, {}, grace=0):
                pass


async def asked(http: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with http.get(url) as answer:
        return answer.status, await answer.read()


async def in_hand(served: Served) -> None:
    """Return when the server has a request in hand."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with asyncio.timeout(0.01):
                    await served.server.finish(10)
            except TimeoutError:
                return
            await asyncio.sleep(0)
