"""The measurements, each with its figures. Each takes a scene of its own; `bench.__main__` runs them in turns."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import aiohttp

from bench import limit
from bench.client import Wire, in_parallel, wired
from bench.cluster import Form, make
from bench.driver import Behaviour
from bench.objects import GROUP, SINGLE, SOMEBODY_ELSE, snapshot_name
from bench.program import NAMESPACE, Contender, free_port
from bench.results import LIMIT, PEER, Figure, Points, bucket_quantile, quantile
from bench.scene import WORKERS, Drained, Scene
from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.proxy import Refusal

MEGABYTE = 1_000_000
MILLISECOND = 0.001


@dataclass(slots=True)
class Measured:
    """What one measurement gives: values by figure, and lines to be drawn."""

    values: dict[str, float]
    lines: dict[str, dict[str, Points]] = field(default_factory=dict)
    """By curve and by name."""


class Measure(Protocol):
    """Measures a contender in a scene."""

    def __call__(self, scene: Scene, contender: Contender) -> Awaitable[Measured]: ...


MeasureLimit = Callable[[Scene], Awaitable[Measured]]


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement."""

    name: str
    figures: tuple[Figure, ...]
    measure: Measure | None
    limit: MeasureLimit | None = None
    """The same with nothing but the writes."""
    repeated: bool = False
    """Taken in every round, where others are taken once."""
    for_peers: bool = True


def per_second(drained: Drained) -> float:
    return len(drained.times) / drained.seconds


def progress_line(times: Sequence[float]) -> Points:
    """How many were done by when, with no more points than can be told apart."""
    step = max(1, len(times) // 100)
    return [(0.0, 0.0), *((round(at, 3), number + 1.0) for number, at in enumerate(times) if number % step == step - 1)]


def distribution(latencies: Sequence[float]) -> Points:
    """Milliseconds, by the part in percent that took no longer."""
    return [(part, round(quantile(latencies, part / 100) / MILLISECOND, 1)) for part in range(1, 100)]


# A backlog


async def backlog(scene: Scene, contender: Contender) -> Measured:
    count = scene.sizes.backlog
    drained = await scene.drain(contender, Form(SINGLE), count, *contender.unlimited)
    return Measured(
        {
            "backlog.rate": per_second(drained),
            "backlog.cpu": drained.cpu_seconds / count / MILLISECOND,
            "backlog.machine": drained.machine_seconds / count / MILLISECOND,
            "backlog.requests": drained.requests / count,
            "backlog.calls": drained.calls / count,
        },
        {"backlog": {contender.label: progress_line(drained.times)}},
    )


async def backlog_limit(scene: Scene) -> Measured:
    count = scene.sizes.backlog
    pace = await limit.drive(scene.cluster.address, SINGLE, await scene.fill(Form(SINGLE), count))
    line = [(0.0, 0.0), (round(pace.seconds, 3), float(count))]
    return Measured(
        {"backlog.rate": count / pace.seconds, "backlog.cpu": pace.cpu_seconds / count / MILLISECOND},
        {"backlog": {LIMIT: line}},
    )


async def groups(scene: Scene, contender: Contender) -> Measured:
    count = scene.sizes.groups
    drained = await scene.drain(contender, Form(GROUP), count, *contender.unlimited, *contender.groups)
    return Measured({"groups.rate": per_second(drained), "groups.cpu": drained.cpu_seconds / count / MILLISECOND})


async def groups_limit(scene: Scene) -> Measured:
    count = scene.sizes.groups
    pace = await limit.drive(scene.cluster.address, GROUP, await scene.fill(Form(GROUP), count))
    return Measured({"groups.rate": count / pace.seconds, "groups.cpu": pace.cpu_seconds / count / MILLISECOND})


async def deletions(scene: Scene, contender: Contender) -> Measured:
    count = scene.sizes.deletions
    form = Form(SINGLE, ready=True, deleted=True)
    drained = await scene.drain(contender, form, count, *contender.unlimited)
    return Measured({"deletions.rate": per_second(drained), "deletions.requests": drained.requests / count})


async def deletions_limit(scene: Scene) -> Measured:
    count = scene.sizes.deletions
    names = await scene.fill(Form(SINGLE, ready=True, deleted=True), count)
    pace = await limit.drive(scene.cluster.address, SINGLE, names, delete=True)
    return Measured({"deletions.rate": count / pace.seconds})


async def proportion(scene: Scene, contender: Contender) -> Measured:
    """Further backlogs, beside that of `backlog`."""
    values: dict[str, float] = {}
    cost: Points = []
    for count, times in scene.sizes.backlogs:
        drained = []
        for _ in range(times):
            drained.append(await scene.drain(contender, Form(SINGLE), count, *contender.unlimited))
            await scene.cluster.empty()
        values[f"proportion.cpu.{count}"] = median(each.cpu_seconds for each in drained) / count / MILLISECOND
        values[f"proportion.requests.{count}"] = median(each.requests for each in drained) / count
        values[f"proportion.rate.{count}"] = median(map(per_second, drained))
        cost.append((float(count), round(values[f"proportion.cpu.{count}"], 3)))
    return Measured(values, {"proportion": {contender.label: cost}})


# As users see it


async def burst(scene: Scene, contender: Contender) -> Measured:
    """So many contents are made at once, and no flag is given."""
    count = scene.sizes.burst
    async with scene.followed(SINGLE) as progress, scene.started(contender) as program:
        await scene.settled(program)
        await progress.wait_for(lambda seen: seen.settled, 1, scene.sizes.patience)
        began = asyncio.get_running_loop().time()
        await in_parallel(
            scene.cluster.address,
            count,
            WORKERS,
            lambda wire, number: make(wire, Form(SINGLE), f"content-{number:06d}"),
        )
        ended = await progress.wait_for(lambda seen: seen.settled, 1 + count, scene.sizes.patience)
    return Measured({"burst.seconds": ended - began, "burst.rate": count / (ended - began)})


async def burst_limit(scene: Scene) -> Measured:
    """So many are made and cut at once, each by the one who makes it."""
    count = scene.sizes.burst

    async def make_and_cut(wire: Wire, number: int) -> None:
        name = f"content-{number:06d}"
        await make(wire, Form(SINGLE), name)
        await limit.cut(wire, SINGLE, name)

    began = asyncio.get_running_loop().time()
    await in_parallel(scene.cluster.address, count, WORKERS, make_and_cut)
    seconds = asyncio.get_running_loop().time() - began
    return Measured({"burst.seconds": seconds, "burst.rate": count / seconds})


async def steady(scene: Scene, contender: Contender) -> Measured:
    """Contents come at a steady rate; how long each takes from the request that makes it to its being ready."""
    values: dict[str, float] = {}
    lines: dict[str, Points] = {}
    async with scene.followed(SINGLE) as progress, scene.started(contender, *contender.unlimited) as program:
        for rate in scene.sizes.steady_rates:
            await scene.settled(program)
            asked = await _ask_steadily(scene, rate, f"at-{rate}")
            await progress.wait_for(lambda seen: seen.ready, len(progress.ready.keys() | asked), scene.sizes.patience)
            latencies = [progress.ready[name] - at for name, at in asked.items()]
            values[f"steady.p50.{rate}"] = quantile(latencies, 0.5) / MILLISECOND
            values[f"steady.p99.{rate}"] = quantile(latencies, 0.99) / MILLISECOND
            lines[f"{contender.label}, {rate}/s"] = distribution(latencies)
    return Measured(values, {"steady": lines})


async def _ask_steadily(scene: Scene, rate: int, prefix: str) -> dict[str, float]:
    """When each content was asked for."""
    loop = asyncio.get_running_loop()
    asked: dict[str, float] = {}
    began = loop.time()
    numbers = iter(range(int(rate * scene.sizes.steady_seconds)))

    async def asker() -> None:
        async with wired(scene.cluster.address) as wire:
            for number in numbers:
                await asyncio.sleep(began + number / rate - loop.time())
                name = f"{prefix}-{number:06d}"
                asked[name] = loop.time()
                await make(wire, Form(SINGLE), name)

    async with asyncio.TaskGroup() as askers:
        for _ in range(4):
            askers.create_task(asker())
    return asked


async def steady_limit(scene: Scene) -> Measured:
    """One content after the other: the first two writes are what stands before its being ready, and the making."""
    rate = scene.sizes.steady_rates[0]
    names = await scene.fill(Form(SINGLE), int(rate * scene.sizes.steady_seconds))
    pace = await limit.drive(scene.cluster.address, SINGLE, names, wires=1)
    values = {}
    for rate in scene.sizes.steady_rates:
        values[f"steady.p50.{rate}"] = quantile(pace.each, 0.5) / MILLISECOND
        values[f"steady.p99.{rate}"] = quantile(pace.each, 0.99) / MILLISECOND
    return Measured(values)


async def slow_driver(scene: Scene, contender: Contender) -> Measured:
    """As a share of what so many workers can do with a driver that takes so long."""
    values = {}
    for delay, count in scene.sizes.delays:
        drained = await scene.drain(contender, Form(SINGLE), count, *contender.unlimited, delay_seconds=delay)
        values[f"slow.share.{delay:g}"] = 100 * per_second(drained) / (WORKERS / delay)
        await scene.cluster.empty()
    return Measured(values)


async def start(scene: Scene, contender: Contender) -> Measured:
    """A content waits already."""
    (name,) = await scene.fill(Form(SINGLE), 1)
    async with scene.followed(SINGLE) as progress, scene.started(contender, *contender.unlimited) as program:
        await progress.wait_for(lambda seen: seen.settled, 1, scene.sizes.patience)
        report = await scene.driver.report()
        return Measured(
            {
                "start.first_call": (report.first_call or 0.0) - program.started_at,
                "start.first_create": report.began[snapshot_name(name)] - program.started_at,
                "start.cpu": program.cpu_seconds,
            }
        )


async def handover(scene: Scene, contender: Contender) -> Measured:
    """From SIGTERM to the leader to the first call that its successor makes, for a content made meanwhile."""
    flags = (*contender.unlimited, "--leader-election", f"--leader-election-namespace={NAMESPACE}")
    loop = asyncio.get_running_loop()
    one, other = contender, contender
    if contender.label == PEER:
        one, other = contender.on_host("one"), contender.on_host("other")
    async with scene.started(one, *flags, name="first") as first:
        await scene.fill(Form(SINGLE), 1, "before")
        async with scene.followed(SINGLE) as progress:
            await scene.fill(Form(SINGLE), 1, "led")
            await progress.wait_for(lambda seen: seen.settled, 1, scene.sizes.patience)
        async with scene.started(other, *flags, name="second") as second:
            await second.rest()
            began = loop.time()
            first.ask_to_end()
            await first.process.wait()
            (name,) = await scene.fill(Form(SINGLE), 1, "after")
            report = await scene.wait_for_report(lambda report: snapshot_name(name) in report.began)
    return Measured({"handover.seconds": report.began[snapshot_name(name)] - began})


# The size of the cluster


async def memory(scene: Scene, contender: Contender) -> Measured:
    values: dict[str, float] = {}
    line: Points = []

    async def resident() -> float:
        async with scene.started(contender, *contender.unlimited) as program:
            await scene.settled(program)
            return program.resident_bytes / MEGABYTE

    values["memory.idle"] = await resident()
    line.append((0.0, values["memory.idle"]))
    for count in scene.sizes.others:
        await scene.fill(Form(SINGLE, driver=SOMEBODY_ELSE), count, "foreign")
        values[f"memory.others.{count}"] = await resident()
        line.append((float(count), values[f"memory.others.{count}"]))
        await scene.cluster.empty()
    await scene.fill(Form(SINGLE, ready=True), scene.sizes.ready)
    values["memory.own"] = await resident()
    own = [(0.0, values["memory.idle"]), (float(scene.sizes.ready), values["memory.own"])]
    return Measured(
        values, {"memory": {f"{contender.label}, another driver's": line, f"{contender.label}, its own": own}}
    )


async def relist(scene: Scene, contender: Contender) -> Measured:
    """Many contents are ready and are listed anew, while new ones come; what the ready ones cost at the start.

    The list is made to be needed by a proxy, which cuts the watch and then says that its version is too old. The server
    itself says so only when a program was away for a minute and more.
    """
    await scene.fill(Form(SINGLE, ready=True), scene.sizes.ready)
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def hear(verb: str, path: str) -> None:
        # A program may list by a watch that begins with all that there is.
        if verb in ("LIST", "WATCH") and path == SINGLE.path:
            asked.append(loop.time())

    spent = [await _spent(scene)]
    async with (
        scene.proxied(hear) as proxy,
        scene.started(contender, *contender.unlimited, through=proxy) as program,
        wired(scene.cluster.address) as wire,
    ):
        for _ in range(2):
            await scene.settled(program)
            spent.append(await _spent(scene))
        # The second time it had nothing to do but the sign.
        requests, calls = (spent[1][what] - spent[0][what] - (spent[2][what] - spent[1][what]) for what in (0, 1))
        cpu = program.cpu_seconds
        asked.clear()
        proxy.script.set(f"^WATCH {SINGLE.path}$", Refusal(410), times=1)
        proxy.cut_watches()
        made: dict[str, float] = {}
        until = loop.time() + scene.sizes.relist_seconds
        while loop.time() < until:
            name = f"late-{len(made):06d}"
            await make(wire, Form(SINGLE), name)
            made[name] = loop.time()
            await asyncio.sleep(scene.sizes.relist_pause)
        report = await scene.wait_for_report(lambda report: report.began.keys() >= {*map(snapshot_name, made)})
        await program.rest()
        cpu = program.cpu_seconds - cpu
    # First came the watch that was refused.
    began = asked[1]
    waits = {name: report.began[snapshot_name(name)] - at for name, at in made.items()}
    return Measured(
        {
            "relist.worst": max(wait for name, wait in waits.items() if made[name] > began),
            "relist.before": max(waits.values()),
            "relist.cpu": cpu,
            "ready.calls": float(calls),
            "ready.requests": float(requests),
        }
    )


async def _spent(scene: Scene) -> tuple[int, int]:
    """Requests to the API server and calls to the driver so far that are about contents."""
    calls = (await scene.driver.report()).calls
    about = sum(calls.get(method, 0) for method in ("CreateSnapshot", "GetSnapshot", "ListSnapshots"))
    return (await scene.cluster.requests()).total(), about


# The event loop, and the driver itself


async def lag(scene: Scene, contender: Contender) -> Measured:
    """How late the event loop is while many calls are under way, as the program has seen it ten times a second."""
    port = free_port()
    sizes = scene.sizes
    await scene.driver.behave(Behaviour(delay_seconds=sizes.concurrent_seconds))
    await scene.fill(Form(SINGLE), sizes.concurrent_contents)
    flags = (f"--worker-threads={sizes.concurrent}", f"--http-endpoint=127.0.0.1:{port}")

    async def delays() -> dict[float, float]:
        """How many delays were seen that are no longer than these seconds."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
        found = re.findall(r'^snapshotter_event_loop_delay_seconds_bucket\{le="(\S+)"\} (\S+)$', text, re.MULTILINE)
        return {float(bound): float(count) for bound, count in found}

    async with scene.followed(SINGLE) as progress, scene.started(contender, *contender.unlimited, *flags):
        # What is done at the start is another matter.
        await scene.wait_for_report(lambda report: report.waiting >= sizes.concurrent // 2)
        before = await delays()
        await progress.wait_for(lambda seen: seen.settled, sizes.concurrent_contents, sizes.patience)
        counts = {bound: count - before[bound] for bound, count in (await delays()).items()}
    return Measured({f"lag.p{part}": bucket_quantile(counts, part / 100) / MILLISECOND for part in (50, 99)})


async def driver_alone(scene: Scene) -> Measured:
    """Whether the driver could be what limits: how many calls a second it answers, to one client of the same make."""
    stub = csi_pb2_grpc.ControllerStub(scene.driver.channel)
    numbers = iter(range(scene.sizes.backlog * 6))

    async def caller() -> None:
        for number in numbers:
            await stub.CreateSnapshot(
                csi_pb2.CreateSnapshotRequest(name=f"snapshot-{number}", source_volume_id="volume-0")
            )

    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as callers:
        for _ in range(WORKERS):
            callers.create_task(caller())
    return Measured({"driver.rate": scene.sizes.backlog * 6 / (asyncio.get_running_loop().time() - began)})
