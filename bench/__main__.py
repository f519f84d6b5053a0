"""`python -m bench`: measures `csi-snapshotter`, alone or in turns with another program of its interface."""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from bench import report
from bench.cluster import Cluster, RealCluster, StandIn, make_classes
from bench.program import Contender
from bench.results import LIMIT, OURS, PEER, Results
from bench.rows import Measured, Row
from bench.scene import SHORT, Scene, Sizes, opened
from bench.table import TITLES, all_rows
from snapshotter.testing.apiserver import ApiServer
from tests.kubernetes import build
from tests.kubernetes.server import running as kube_running

COMMAND = (sys.executable, "-m", "bench.daemon")
RESULTS = Path(__file__).parent / "results" / "performance.json"
ROW_SECONDS = 600.0
"""A measurement that takes longer is given up."""

UNLIMITED = ("--kube-api-qps=100000", "--kube-api-burst=100000")

Open = Callable[[], contextlib.AbstractAsyncContextManager[Scene]]


def contenders(peer: Path | None) -> list[Contender]:
    ours = Contender(OURS, COMMAND)
    if peer is None:
        return [ours]
    # Ours has no limit and does groups unless told otherwise.
    return [ours, Contender(PEER, (str(peer),), UNLIMITED, ("--feature-gates=CSIVolumeGroupSnapshot=true",))]


async def measure(rows: list[Row], measured: list[Contender], rounds: int, results: Results, open_scene: Open) -> None:
    """Take the measurements, each in turns by all."""
    for row in rows:
        for number in range(rounds if row.repeated else 1):
            for contender in measured if row.for_peers else measured[:1]:
                if row.measure is not None:
                    taken = partial(row.measure, contender=contender)
                    await _take(row, contender.label, results, open_scene, taken)
            if row.limit is not None:
                await _take(row, LIMIT, results, open_scene, row.limit)
            say(f"{row.name}, round {number + 1}: {_so_far(row, results)}")


async def _take(
    row: Row, who: str, results: Results, open_scene: Open, taken: Callable[[Scene], Awaitable[Measured]]
) -> None:
    try:
        async with asyncio.timeout(ROW_SECONDS), open_scene() as scene:
            measured = await taken(scene)
    except Exception as error:  # noqa: BLE001 - the others are measured all the same
        failure = f"{row.name}, {who}: {_reasons(error)}"
        results.failures.append(failure)
        say(failure)
        return
    results.add(who, measured.values)
    for name, lines in measured.lines.items():
        title, axes = TITLES[name]
        results.draw(name, title, axes, lines)


def _reasons(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return "; ".join(_reasons(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _so_far(row: Row, results: Results) -> str:
    values = (
        f"{figure.key} {who} {found[-1]:.{figure.digits}f}{figure.unit}"
        for figure in row.figures
        for who, found in results.values.get(figure.key, {}).items()
    )
    return ", ".join(values)


@asynccontextmanager
async def on_kube(sizes: Sizes) -> AsyncIterator[Open]:
    """Scenes on one real API server, emptied before each."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        directory = Path(place)
        async with kube_running(directory) as kube:
            cluster = RealCluster(kube)
            await make_classes(cluster.address)

            @asynccontextmanager
            async def scene() -> AsyncIterator[Scene]:
                await cluster.empty()
                async with opened(cluster, directory, sizes) as made:
                    yield made

            yield scene


@asynccontextmanager
async def on_stand_in(sizes: Sizes) -> AsyncIterator[Open]:
    """Scenes each on a stand-in of its own."""

    @asynccontextmanager
    async def scene() -> AsyncIterator[Scene]:
        with tempfile.TemporaryDirectory(prefix="bench") as place:
            async with ApiServer.serve() as server:
                cluster: Cluster = StandIn(server)
                await make_classes(cluster.address)
                async with opened(cluster, Path(place), sizes) as made:
                    yield made

    yield scene


async def run(arguments: argparse.Namespace) -> Results:
    """Measure what the command line asks for."""
    sizes = SHORT if arguments.short else Sizes()
    rows = [row for row in all_rows(sizes) if not arguments.only or row.name in arguments.only]
    results = Results(
        machine=machine(),
        server="stand-in" if arguments.short else f"kube-apiserver {build.version()}",
        rounds=arguments.rounds,
        load_before=round(os.getloadavg()[0], 2),
    )
    async with (on_stand_in if arguments.short else on_kube)(sizes) as open_scene:
        await measure(rows, contenders(arguments.peer), arguments.rounds, results, open_scene)
    return results


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores, {memory:.0f} GiB"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a measurement is there to be read


def parser() -> argparse.ArgumentParser:
    names = [row.name for row in all_rows(Sizes())]
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"one of {', '.join(names)}")
    made.add_argument("--peer", type=Path, metavar="PATH", help="a csi-snapshotter to be measured in turns with ours")
    made.add_argument("--rounds", type=int, default=3, help="of the measurements that are repeated (default: 3)")
    made.add_argument(
        "--short", action="store_true", help="few contents on the stand-in: whether it works, not how well"
    )
    made.add_argument("--results", type=Path, default=RESULTS, help="where to write the results as JSON")
    return made


def main() -> int:
    arguments = parser().parse_args()
    results = uvloop.run(run(arguments))
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    report.show(results, SHORT if arguments.short else Sizes())
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
