"""The installed commands, all three, with odd objects, a driver that says odd things, and odd reviews: none ends."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from google.protobuf.message import Message

from tests.certificates import files_in, make_pair
from tests.fuzz.measure import SEED
from tests.fuzz.nonsense import Nonsense
from tests.fuzz.odd_driver import Spoil, between
from tests.fuzz.oddities import FORMS, SECRET, Oddities
from tests.fuzz.world import Neighbourhood, served_world
from tests.webhook.reviewing import BETA1, V1, conversion_review

COMMANDS = Path(sys.executable).parent
OBJECTS = 400


class Process:
    """A command that runs, and what it has said."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: Path) -> None:
        self.name = name
        self._process = process
        self._output = output

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def said(self) -> str:
        return self._output.read_text()

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in self.said:  # noqa: ASYNC110 (a file tells nobody)
                await asyncio.sleep(0.05)

    async def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            return await self._process.wait()


@asynccontextmanager
async def command(name: str, directory: Path, *flags: str) -> AsyncIterator[Process]:
    output = directory / f"{name}.log"
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(COMMANDS / name, *flags, stdout=log, stderr=log)
    try:
        yield Process(name, process, output)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def page(port: int) -> str:
    """The metrics of a program."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_no_command_ends_whatever_comes(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    socket = tmp_path / "odd.sock"
    ports = [unused_tcp_port_factory() for _ in range(4)]
    directory = tmp_path / "certs"
    directory.mkdir()
    files, pair = files_in(directory), make_pair()
    files.write(pair)
    async with served_world(tmp_path) as world, between(socket, world.driver.socket) as driver:
        kube = (f"--kubeconfig={world.kubeconfig}", "--retry-interval-start=2s", "--v=5")
        certificate = (f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}")
        async with (
            command(
                "csi-snapshotter", tmp_path, *kube, f"--csi-address={socket}", f"--http-endpoint=127.0.0.1:{ports[0]}"
            ) as sidecar,
            command("snapshot-controller", tmp_path, *kube, f"--http-endpoint=127.0.0.1:{ports[1]}") as controller,
            command(
                "snapshot-conversion-webhook",
                tmp_path,
                *certificate,
                f"--port={ports[2]}",
                f"--http-endpoint=127.0.0.1:{ports[3]}",
            ) as webhook,
        ):
            await webhook.until_said("serving reviews")
            neighbours, oddities, nonsense = Neighbourhood(world), Oddities(SEED), Nonsense(SEED)

            def script(method: str, request: Message) -> Spoil | None:
                # A Secret that was not given cannot be told from other text, and odd objects name odd ones.
                if method != "CreateSnapshot" or not getattr(request, "secrets", {}):
                    return None
                return (
                    nonsense.about(method, "snapshot").spoil
                    if getattr(request, "source_volume_id", "") == "vol"
                    else None
                )

            driver.script = script
            odd = [oddities.next() for _ in range(OBJECTS)]
            for each in odd:
                neighbours.plant(each)
            await neighbours.neighbour("first")
            world.server.compact()
            world.server.cut_watches()
            await neighbours.neighbour("second")
            await review(ports[2], pair.trusting(), oddities)
            for port in (ports[0], ports[1], ports[3]):
                assert SECRET not in await page(port)
            for program in (sidecar, controller, webhook):
                assert program.runs, program.said[-2000:]
                assert await program.end() == 0, program.said[-2000:]
                for word in ("Traceback", "unexpectedly", SECRET):
                    assert word not in program.said, (program.name, word)
            assert "object is malformed and passed over" in controller.said


async def review(port: int, trusting: object, oddities: Oddities) -> None:
    """Odd objects and odd bodies for the webhook, and a good one after."""
    url = f"https://localhost:{port}/convert"
    groups = [form for form in FORMS if "group" in form.plural]
    head = json.dumps(conversion_review(BETA1)).encode()
    bodies = [
        head.replace(b"[]", b"[" + oddities.next(groups[number % len(groups)]).raw + b"]") for number in range(60)
    ]
    bodies += [b"", b"\x00", b"[" * 100_000, b'"' + b"x" * (4 << 20) + b'"', b"\xff\xfe", head[:-5], head * 2]
    connector = aiohttp.TCPConnector(ssl=trusting)  # type: ignore[arg-type]
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as http:
        for body in bodies:
            async with http.post(url, data=_chunks(body)) as answer:
                assert answer.status in (200, 400, 413), body[:200]
        good = {"apiVersion": BETA1, "kind": "VolumeGroupSnapshot", "metadata": {"name": "a"}}
        async with http.post(url, data=json.dumps(conversion_review(V1, good)).encode()) as answer:
            assert (await answer.json())["response"]["result"]["status"] == "Success"


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]
