"""Where one measurement takes place: an empty API server, a fresh driver, programs that come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import driver as drivers
from bench import program
from bench.client import wired
from bench.cluster import Cluster, Form, make
from bench.driver import Behaviour, FastDriver, Report
from bench.objects import SINGLE, Kind, snapshot_name
from bench.processes import machine_seconds
from bench.program import Contender, Program
from bench.progress import Progress, followed
from snapshotter.testing.proxy import ApiProxy
from snapshotter.testing.proxy.api import OnRequest

WORKERS = 10
"""So many contents are worked on at a time by default, by upstream's program and ours."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked."""

    backlog: int = 500
    backlogs: tuple[tuple[int, int], ...] = ((2_000, 3), (10_000, 1))
    """Further ones, to see whether cost grows in proportion, and how often each is worked off."""
    groups: int = 200
    deletions: int = 1_000
    steady_rates: tuple[int, ...] = (20, 100)
    steady_seconds: float = 10.0
    delays: tuple[tuple[float, int], ...] = ((0.2, 200), (5.0, 20))
    """Seconds that the driver takes, and how many contents it is given then."""
    burst: int = 80
    others: tuple[int, ...] = (10_000, 20_000)
    """Contents of another driver."""
    ready: int = 20_000
    relist_seconds: float = 10.0
    relist_pause: float = 0.1
    concurrent: int = 500
    concurrent_contents: int = 4_000
    concurrent_seconds: float = 1.0
    quiet_seconds: float = 0.5
    """A program is at rest when it has done nearly nothing for so long."""
    patience: float = 300.0


SHORT = Sizes(
    backlog=12,
    backlogs=((24, 1),),
    groups=4,
    deletions=6,
    steady_rates=(20,),
    steady_seconds=0.5,
    delays=((0.05, 6),),
    burst=6,
    others=(10,),
    ready=10,
    relist_seconds=1.0,
    concurrent=20,
    concurrent_contents=20,
    concurrent_seconds=2.5,
    quiet_seconds=0.1,
    patience=60.0,
)


@dataclass(frozen=True, slots=True)
class Drained:
    """How a backlog was worked off."""

    seconds: float
    cpu_seconds: float
    machine_seconds: float
    """What all cores worked meanwhile, for the API server, the driver and the load as well."""
    requests: int
    calls: int
    times: list[float]
    """When each was done, in seconds after the first could be."""


class Scene:
    """An API server without contents, and a driver that has just begun."""

    def __init__(self, cluster: Cluster, driver: FastDriver, directory: Path, sizes: Sizes) -> None:
        self.cluster = cluster
        self.driver = driver
        self.sizes = sizes
        self._directory = directory
        self._signs = 0

    def started(
        self, contender: Contender, *flags: str, name: str = "one", through: ApiProxy | None = None
    ) -> AbstractAsyncContextManager[Program]:
        """A program at work, perhaps with a proxy before the API server."""
        address = self.cluster.address
        return program.started(
            contender,
            address.kubeconfig if through is None else through.kubeconfig(address.token),
            self.driver.socket,
            self._directory,
            flags,
            name=name,
            quiet_seconds=self.sizes.quiet_seconds,
        )

    def proxied(self, on_request: OnRequest) -> AbstractAsyncContextManager[ApiProxy]:
        """A proxy before the API server, which tells of each request."""
        address = self.cluster.address
        return ApiProxy.serve(
            address.url, authority=address.authority, tls=bool(address.authority), on_request=on_request
        )

    def followed(self, kind: Kind) -> AbstractAsyncContextManager[Progress]:
        return followed(self.cluster.address, kind)

    async def fill(self, form: Form, count: int, prefix: str = "content") -> list[str]:
        """Have so many contents; gives their names."""
        names = [f"{prefix}-{number:06d}" for number in range(count)]
        await self.cluster.fill(form, names)
        return names

    async def settled(self, running: Program) -> None:
        """Return when a program has seen all contents and is at rest: it has cut one more, made as a sign."""
        self._signs += 1
        name = f"sign-{self._signs:06d}"
        async with wired(self.cluster.address) as wire:
            await make(wire, Form(SINGLE), name)
        await self.wait_for_report(lambda report: snapshot_name(name) in report.began)
        await running.rest()

    async def wait_for_report(self, condition: Callable[[Report], bool]) -> Report:
        """What the driver reports once it is so. Raises TimeoutError."""
        async with asyncio.timeout(self.sizes.patience):
            while not condition(report := await self.driver.report()):  # noqa: ASYNC110 - it has to be asked
                await asyncio.sleep(0.05)
        return report

    async def drain(
        self, contender: Contender, form: Form, count: int, *flags: str, delay_seconds: float = 0.0
    ) -> Drained:
        """Let a backlog be worked off, by a program that has seen it and waits for the driver with its first calls.

        So neither the start nor the list is part of what is measured.
        """
        await self.driver.behave(Behaviour(held=True))
        await self.fill(form, count)
        requests = (await self.cluster.requests()).total()
        async with self.followed(form.kind) as progress, self.started(contender, *flags) as running:
            await self.wait_for_report(lambda report: report.waiting >= min(WORKERS, count))
            await running.rest()
            cpu, machine, before = running.cpu_seconds, machine_seconds(), await self.driver.report()
            began = asyncio.get_running_loop().time()
            await self.driver.behave(Behaviour(delay_seconds=delay_seconds))
            ended = await progress.wait_for(
                lambda seen: seen.gone if form.deleted else seen.settled, count, self.sizes.patience
            )
            machine = machine_seconds() - machine
            await running.rest()
            cpu, after = running.cpu_seconds - cpu, await self.driver.report()
        return Drained(
            seconds=ended - began,
            cpu_seconds=cpu,
            machine_seconds=machine,
            requests=(await self.cluster.requests()).total() - requests,
            calls=sum(after.calls.values()) - sum(before.calls.values()) + before.waiting,
            times=sorted(at - began for at in (progress.gone if form.deleted else progress.settled).values()),
        )


@asynccontextmanager
async def opened(cluster: Cluster, directory: Path, sizes: Sizes) -> AsyncIterator[Scene]:
    """A scene with a driver of its own."""
    async with AsyncExitStack() as stack:
        driver = await stack.enter_async_context(drivers.started(directory))
        yield Scene(cluster, driver, directory, sizes)
