"""The installed webhook as a process: how it starts and ends, and what it does when its certificate changes."""

import asyncio
import contextlib
import json
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.certificates import DAY, EXCHANGES, Files, Pair, files_in, make_pair

COMMAND = Path(sys.executable).parent / "snapshot-conversion-webhook"

V1BETA1, V1 = "groupsnapshot.storage.k8s.io/v1beta1", "groupsnapshot.storage.k8s.io/v1"
REVIEW = json.dumps(
    {
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {
            "uid": "uid-1",
            "desiredAPIVersion": V1,
            "objects": [{"kind": "VolumeGroupSnapshotContent", "apiVersion": V1BETA1, "metadata": {"name": "a"}}],
        },
    }
).encode()

SERVED_SECONDS = 10.0
"""Within this time an exchanged certificate is to be served."""
SLOW_MACHINE = 3
"""How much longer a busy machine may take."""


@dataclass
class Process:
    """A webhook that runs."""

    process: asyncio.subprocess.Process
    port: int
    web_port: int
    files: Files
    log: Path = field(repr=False)

    async def connect(self, pair: Pair) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=pair.trusting(), server_hostname="localhost")

    async def shown(self) -> bytes:
        """The certificate that a new connection is shown."""
        anybody = ssl.create_default_context()
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=anybody)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found

    async def until_shown(self, pair: Pair) -> float:
        """The seconds until a certificate is shown."""
        started = time.monotonic()
        async with asyncio.timeout(SERVED_SECONDS * SLOW_MACHINE):
            while await self.shown() != pair.der:  # noqa: ASYNC110 - one can only look
                await asyncio.sleep(0.1)
        return time.monotonic() - started

    async def until_logged(self, text: str) -> None:
        async with asyncio.timeout(30):
            while text not in self.log.read_text():  # noqa: ASYNC110 - one can only look
                await asyncio.sleep(0.05)

    async def ready(self, pair: Pair) -> tuple[int, str]:
        """The answer of `/readyz`, which is the same at both endpoints."""
        # Whoever probes does not mind the certificate.
        trusting = pair.trusting()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        answers = set()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http:
            for url in (f"http://127.0.0.1:{self.web_port}", f"https://localhost:{self.port}"):
                async with http.get(f"{url}/readyz") as answer:
                    answers.add((answer.status, (await answer.text()).strip()))
        (found,) = answers
        return found

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()


Start = Callable[..., contextlib.AbstractAsyncContextManager[Process]]


@pytest.fixture
def start(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Start:
    @contextlib.asynccontextmanager
    async def started(pair: Pair, *flags: str) -> AsyncIterator[Process]:
        directory = tmp_path / "certs"
        directory.mkdir()
        files, log = files_in(directory), tmp_path / "log"
        files.write(pair)
        port, web_port = unused_tcp_port_factory(), unused_tcp_port_factory()
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                COMMAND,
                f"--tls-cert-file={files.certificate}",
                f"--tls-private-key-file={files.key}",
                f"--port={port}",
                f"--http-endpoint=127.0.0.1:{web_port}",
                *flags,
                stdout=output,
                stderr=output,
            )
        made = Process(process, port, web_port, files, log)
        try:
            await made.until_logged("serving reviews")
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    return started


async def test_an_exchange_of_the_certificate_is_served_within_ten_seconds_however_it_is_done(
    start: Start,
) -> None:
    first = make_pair()
    async with start(first) as webhook:
        assert await webhook.shown() == first.der
        for exchange in EXCHANGES.values():
            pair = make_pair()
            exchange(webhook.files, pair)
            assert await webhook.until_shown(pair) < SERVED_SECONDS * SLOW_MACHINE


async def test_a_certificate_that_is_away_for_a_while_is_served_when_it_is_back(start: Start) -> None:
    old, new = make_pair(), make_pair()
    async with start(old) as webhook:
        webhook.files.certificate.unlink()
        webhook.files.key.unlink()
        await webhook.until_logged("the certificate is not exchanged")
        assert await webhook.shown() == old.der
        webhook.files.write(new)
        assert await webhook.until_shown(new) < SERVED_SECONDS * SLOW_MACHINE


async def test_with_an_expired_certificate_it_answers_but_is_not_ready(start: Start) -> None:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    expired, fresh = make_pair(begin=end - DAY, end=end), make_pair()
    async with start(expired) as webhook:
        assert await webhook.ready(expired) == (500, f"the certificate has expired at {end.isoformat()}")
        assert await webhook.shown() == expired.der
        webhook.files.write(fresh)
        await webhook.until_shown(fresh)
        assert await webhook.ready(fresh) == (200, "ok")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_what_is_in_hand_be_answered(start: Start, number: signal.Signals) -> None:
    pair = make_pair()
    async with start(pair, "--shutdown-delay=0.5s") as webhook:
        reader, writer = await webhook.connect(pair)
        head = f"POST /convert HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(REVIEW)}"
        writer.write(f"{head}\r\n\r\n".encode() + REVIEW[:10])
        await writer.drain()
        webhook.process.send_signal(number)
        await webhook.until_logged("not ready any more")
        assert await webhook.ready(pair) == (500, "the program is ending")
        await webhook.until_logged("stopping")
        writer.write(REVIEW[10:])
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        assert await webhook.end() == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"status":"Success"' in answer
    assert b"Connection: close" in answer


async def test_until_others_have_heard_of_the_end_new_reviews_are_taken(start: Start) -> None:
    pair = make_pair()
    async with start(pair, "--shutdown-delay=30s", "--v=4", "--logging-format=json") as webhook:
        webhook.process.terminate()
        await webhook.until_logged("not ready any more")
        connector = aiohttp.TCPConnector(ssl=pair.trusting())
        async with aiohttp.ClientSession(f"https://localhost:{webhook.port}", connector=connector) as http:
            headers = {"Content-Type": "application/json"}
            async with http.post("/convert", data=REVIEW, headers=headers) as answer:
                assert answer.status == 200
        # The second signal does not wait any more.
        webhook.process.terminate()
        assert await webhook.end() == 0
    lines = [json.loads(line) for line in webhook.log.read_text().splitlines()]
    assert ("debug", "objects converted") in {(line["level"], line["msg"]) for line in lines}


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


GOOD = ["--tls-cert-file=CERTIFICATE", "--tls-private-key-file=KEY"]

COMPLAINTS = {
    "an unknown flag": (["--leader-election"], 2, "unrecognized arguments: --leader-election"),
    "a bad value": (["--port=https"], 2, '"https" is not a whole number'),
    "nothing": ([], 255, "--tls-cert-file is required; --tls-private-key-file is required"),
    "a certificate that is not there": (["--tls-cert-file=/no.crt", GOOD[1]], 255, "/no.crt cannot be read"),
    "a key that is not there": ([GOOD[0], "--tls-private-key-file=/no.key"], 255, "/no.key cannot be read"),
    "a key of another": ([GOOD[0], "--tls-private-key-file=OTHER"], 255, "are not a certificate and its key"),
    "a port that is taken": ([*GOOD, "--port=TAKEN"], 255, "cannot listen at"),
    "an address that is taken": ([*GOOD, "--http-endpoint=127.0.0.1:TAKEN"], 255, "cannot listen at"),
    "a log of another form": ([*GOOD, "--logging-format=xml"], 1, "--logging-format must be text or json"),
    "admission without an API server": (
        [*GOOD, "--enable-default-class-admission", "--port=0"],
        1,
        "the in-cluster configuration is unusable",
    ),
}


@pytest.mark.parametrize(("flags", "code", "text"), COMPLAINTS.values(), ids=COMPLAINTS.keys())
async def test_what_cannot_work_ends_with_one_clear_line(
    tmp_path: Path, flags: list[str], code: int, text: str
) -> None:
    files = files_in(tmp_path)
    files.write(make_pair())
    (tmp_path / "other").write_bytes(make_pair().key)
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0)
    async with taken:
        values = {
            "CERTIFICATE": str(files.certificate),
            "KEY": str(files.key),
            "OTHER": str(tmp_path / "other"),
            "TAKEN": str(taken.sockets[0].getsockname()[1]),
        }
        for name, value in values.items():
            flags = [flag.replace(name, value) for flag in flags]
        returned, _, err = await run(*flags)
    assert returned == code
    assert "Traceback" not in err
    if code == 2:
        assert text in err
        assert "usage: snapshot-conversion-webhook [flags]" in err
    else:
        (line,) = [line for line in err.splitlines() if line.startswith("snapshot-conversion-webhook: ")]
        assert text in line


async def test_help_and_version_end_with_zero() -> None:
    returned, out, _ = await run("--help")
    assert returned == 0
    assert "--tls-cert-file" in out
    returned, out, _ = await run("-version")
    assert returned == 0
    assert out.startswith("snapshot-conversion-webhook ")


async def test_it_loads_neither_grpc_nor_the_api_servers_client() -> None:
    program = "import sys, snapshotter.cli.daemons, snapshotter.webhook.app; print(sorted(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert "'snapshotter.webhook.app'" in out.decode()
    for module in ("'grpc'", "'kubernetes_asyncio'", "'snapshotter.testing'"):
        assert module not in out.decode()
