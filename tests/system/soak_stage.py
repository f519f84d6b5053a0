"""The stage of the soak: an API server, a driver and all three daemons as processes, with proxies on every way.

Two sidecars and two controllers each have a way of their own to the API server, and the sidecars to the driver; so it
is known who did what. The API server reaches the webhook through a proxy, too.
"""

import asyncio
import base64
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from snapshotter import names
from snapshotter.testing.admin import PREFIX, Admin
from snapshotter.testing.client import KubeClient
from snapshotter.testing.driver import Call
from snapshotter.testing.playground.pieces import Command, Piece, free_port
from snapshotter.testing.playground.storage import Storage, Stored
from snapshotter.testing.proxy import ApiChance, ApiProxy, StreamChance, StreamProxy
from tests.certificates import files_in, make_pair
from tests.kubernetes import server as kube
from tests.world import DRIVER, KINDS

COMMANDS: Final = Path(sys.executable).parent
CLAIMS: Final[Mapping[str, str]] = {f"claim-{number}": f"set-{number % 3}" for number in range(6)}
"""The claims, each with the set of claims that it is in: what groups are made of."""
PATIENT: Final = (
    "--leader-election",
    "--leader-election-namespace=default",
    # A busy machine is no reason to lose the lease; that is tried elsewhere.
    "--leader-election-lease-duration=40s",
    "--leader-election-renew-deadline=30s",
    "--leader-election-retry-period=5s",
)
FLAGS: Final = ("--retry-interval-start=500ms", "--retry-interval-max=5s", "--shutdown-grace-period=5s")
NOT_WORK: Final = re.compile(r"/leases|/events|selfsubjectaccessreviews")
"""In the paths of writes that a program makes also when it does not lead."""


@dataclass(frozen=True, slots=True)
class Server:
    """The API server, as the users of the cluster reach it."""

    url: str
    token: str
    authority: str
    compact: Callable[[], Awaitable[None]]
    """Let it forget its history."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a process holds."""

    rss_mb: float
    fds: int
    threads: int
    tasks: int
    """Of the event loop."""
    busy: float
    """Calls without an answer, waiting keys and keys in hand."""

    def __str__(self) -> str:
        return f"{self.rss_mb:.1f} MB, {self.fds} fds, {self.threads} threads, {self.tasks} tasks"


@dataclass(slots=True)
class Program:
    """One daemon."""

    piece: Piece
    metrics_url: str
    api: ApiProxy | None = None
    """Its way to the API server."""
    writes: Counter[str] = field(default_factory=Counter)
    """What it wrote, but for events and leases, by verb and resource."""

    def saw(self, verb: str, path: str) -> None:
        if verb in ("POST", "PUT", "PATCH", "DELETE") and not NOT_WORK.search(path):
            self.writes[f"{verb} {path.split('/')[-2]}"] += 1


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything, running."""

    server: Server
    api: KubeClient
    """Past all proxies."""
    driver_admin: Admin
    storage: Storage
    programs: Mapping[str, Program]
    streams: Mapping[str, StreamProxy]
    http: aiohttp.ClientSession

    @property
    def proxies(self) -> list[ApiProxy]:
        return [program.api for program in self.programs.values() if program.api is not None]

    def begin_troubles(self, seed: int, *, silent: bool) -> None:
        """From now on one request in eight and half of the watches do not go as they should."""
        for number, proxy in enumerate(self.proxies):
            proxy.script.chance = ApiChance(seed + number, requests=0.12, watches=0.5, silent=silent)
        for number, stream in enumerate(self.streams.values()):
            stream.script.chance = StreamChance(seed + 100 + number, share=0.02)

    def end_troubles(self) -> None:
        for proxy in self.proxies:
            proxy.script.clear()
        for stream in self.streams.values():
            stream.script.clear()

    def happened(self) -> Counter[str]:
        """The troubles so far, by sort."""
        found: Counter[str] = Counter()
        for proxy in self.proxies:
            found += proxy.script.happened
        for stream in self.streams.values():
            found += Counter({f"{sort} of bytes": count for sort, count in stream.script.happened.items()})
        return found

    async def signs(self) -> dict[str, Signs]:
        """What each program holds at this moment."""
        return {name: await self._signs_of(program) for name, program in self.programs.items()}

    async def _signs_of(self, program: Program) -> Signs:
        process = Path("/proc") / str(program.piece.pid)
        async with self.http.get(program.metrics_url) as response:
            page = await response.text()
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Signs(
            rss_mb=int(status["VmRSS"].split()[0]) / 1024,
            fds=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            tasks=int(_total(page, "snapshotter_event_loop_tasks")),
            busy=sum(
                _total(page, series)
                for series in (
                    "snapshotter_csi_calls_in_flight",
                    "workqueue_depth",
                    "workqueue_unfinished_work_seconds",
                    "snapshot_controller_operations_in_flight",
                )
            ),
        )

    async def calls(self) -> list[Call]:
        """What the driver was asked for."""
        return msgspec.convert(await self.driver_admin.calls(), list[Call])

    async def stored(self) -> Stored:
        return await self.storage.held()


def _total(page: str, series: str) -> float:
    """The sum of a series over its labels."""
    lines = re.findall(rf"^{series}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, lines))


@asynccontextmanager
async def staged(directory: Path, *, on_kube: bool) -> AsyncIterator[Stage]:
    """All processes, serving. One that ends by itself is a `PieceFailed`, at once.

    `on_kube`: with a real API server of its own, which `tests/kubernetes/build.py` has built.
    """
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        server = await stack.enter_async_context(_kube(directory) if on_kube else _standin(directory, tasks))
        api = await stack.enter_async_context(KubeClient(server.url, server.token, server.authority))
        driver_url = f"http://127.0.0.1:{free_port()}"
        driver = Piece(_driver_command(directory, driver_url), tasks)
        await _start(stack, driver)
        storage = await stack.enter_async_context(Storage(driver_url))
        await _furnish(api, storage)
        streams: dict[str, StreamProxy] = {}
        programs = {"webhook": await _webhook(stack, directory, tasks, api, streams)}
        for name in ("sidecar-1", "sidecar-2", "controller-1", "controller-2"):
            program = await _with_way(stack, directory, tasks, name, server)
            programs[name] = program
            if name.startswith("sidecar"):
                near = StreamProxy.unix(directory / f"{name}.sock", directory / "csi.sock")
                streams[name] = await stack.enter_async_context(near)
        for program in programs.values():
            if program.piece.pid is None:
                await program.piece.launch()
                stack.push_async_callback(program.piece.terminate)
        for name, program in programs.items():
            if name != "webhook":
                await program.piece.wait_until_serving()
        yield Stage(
            server=server,
            api=api,
            driver_admin=await stack.enter_async_context(Admin(driver_url)),
            storage=storage,
            programs=programs,
            streams=streams,
            http=await stack.enter_async_context(aiohttp.ClientSession()),
        )


async def _start(stack: AsyncExitStack, piece: Piece) -> None:
    await piece.start()
    stack.push_async_callback(piece.terminate)


@asynccontextmanager
async def _standin(directory: Path, tasks: asyncio.TaskGroup) -> AsyncIterator[Server]:
    url = f"http://127.0.0.1:{free_port()}"
    kubeconfig = directory / "kubeconfig"
    piece = Piece(
        Command(
            name="the API server",
            arguments=(
                *(sys.executable, "-P", "-m", "snapshotter.testing.apiserver"),
                f"--listen={url.removeprefix('http://')}",
                f"--kubeconfig={kubeconfig}",
            ),
            log=directory / "apiserver.log",
            ready_url=f"{url}/readyz",
            ready_file=kubeconfig,
        ),
        tasks,
    )
    await piece.start()
    try:
        yield Server(url, "", "", lambda: Admin(url).post("compact"))
    finally:
        await piece.terminate()


@asynccontextmanager
async def _kube(directory: Path) -> AsyncIterator[Server]:
    async with kube.running(directory, controllers=True) as real:
        yield Server(real.url, real.token, real.authority.read_text(), real.compact)


def _driver_command(directory: Path, url: str) -> Command:
    return Command(
        name="the CSI driver",
        arguments=(
            *(sys.executable, "-P", "-m", "snapshotter.testing.driver"),
            *(f"--name={DRIVER}", f"--socket={directory / 'csi.sock'}", f"--state={directory / 'driver'}"),
            f"--admin={url.removeprefix('http://')}",
            *("--create-delay-seconds=0.05", "--ready-after-seconds=0.3"),
        ),
        log=directory / "driver.log",
        ready_url=f"{url}{PREFIX}/faults",
    )


async def _furnish(api: KubeClient, storage: Storage) -> None:
    """Volumes with their claims, and a class of each kind."""
    for name, group in CLAIMS.items():
        volume = await storage.make_volume(f"volume-of-{name}", b"bytes" * 100)
        size = {"storage": "1Gi"}
        spec: dict[str, Any] = {
            "capacity": size,
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": DRIVER, "volumeHandle": volume},
            "claimRef": {"namespace": "default", "name": name},
        }
        await api.create({"kind": "PersistentVolume", "metadata": {"name": f"pv-{name}"}, "spec": spec})
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}, "volumeName": f"pv-{name}"}
        metadata = {"name": name, "labels": {"set": group}}
        await api.create({"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
        bound = {"status": {"phase": "Bound"}}
        await api.merge_patch("PersistentVolumeClaim", name, bound, subresource="status")
    for kind in KINDS:
        made = {"metadata": {"name": "class"}, "driver": DRIVER, "deletionPolicy": "Delete"}
        await api.create({"kind": kind.snapshot_class} | made)


async def _webhook(
    stack: AsyncExitStack,
    directory: Path,
    tasks: asyncio.TaskGroup,
    api: KubeClient,
    streams: dict[str, StreamProxy],
) -> Program:
    """The webhook, and the API server told to ask it."""
    pair, files, port, web_port = make_pair(), files_in(directory), free_port(), free_port()
    files.write(pair)
    piece = Piece(
        Command(
            name="the webhook",
            arguments=(
                str(COMMANDS / "snapshot-conversion-webhook"),
                *(f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}"),
                *(f"--port={port}", f"--http-endpoint=127.0.0.1:{web_port}", "--shutdown-delay=0s"),
            ),
            log=directory / "webhook.log",
            ready_url=f"http://127.0.0.1:{web_port}/readyz",
        ),
        tasks,
    )
    await _start(stack, piece)
    streams["webhook"] = await stack.enter_async_context(StreamProxy.tcp(0, port))
    client = {
        "url": f"https://127.0.0.1:{streams['webhook'].port}/convert",
        "caBundle": base64.b64encode(pair.certificate).decode(),
    }
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}}
    definition = f"volumegroupsnapshotcontents.{names.GROUP_SNAPSHOT_GROUP}"
    await api.merge_patch("CustomResourceDefinition", definition, {"spec": {"conversion": conversion}})
    return Program(piece, f"http://127.0.0.1:{web_port}/metrics")


async def _with_way(
    stack: AsyncExitStack, directory: Path, tasks: asyncio.TaskGroup, name: str, server: Server
) -> Program:
    """A sidecar or a controller that is not started yet, with its way to the API server."""
    kubeconfig, url = directory / f"{name}.kubeconfig", f"http://127.0.0.1:{free_port()}"
    of_kind: tuple[str, ...]
    if name.startswith("sidecar"):
        of_kind = ("csi-snapshotter", f"--csi-address={directory / name}.sock", "--timeout=10s")
    else:
        of_kind = ("snapshot-controller",)
    command, *flags = of_kind
    piece = Piece(
        Command(
            name=name,
            arguments=(
                str(COMMANDS / command),
                *(*flags, *FLAGS, *PATIENT),
                *(f"--kubeconfig={kubeconfig}", f"--http-endpoint={url.removeprefix('http://')}"),
            ),
            log=directory / f"{name}.log",
            ready_url=f"{url}/readyz",
        ),
        tasks,
    )
    program = Program(piece, f"{url}/metrics")
    way = ApiProxy.serve(server.url, authority=server.authority, tls=True, on_request=program.saw)
    program.api = await stack.enter_async_context(way)
    kubeconfig.write_text(program.api.kubeconfig(server.token))
    return program
