"""`python -m bench.timeouts`: what calls that time out leave behind in memory.

`--through door` makes so many calls through `snapshotter.csi.driver`, over a real socket, to a driver that never
answers in time. `--through sidecar` gives the installed `csi-snapshotter` so many contents, one lot after the other:
the first call for each times out, a later one succeeds, and the content is deleted again.

Ends with 1 when resident memory has grown by more than `--most-mib` since the end of the warm-up.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from snapshotter import names
from snapshotter.csi.driver import open_driver
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import CsiError
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.driver import Driver, DriverOptions

COMMAND = Path(sys.executable).parent / "csi-snapshotter"

MIB = 1 << 20
REPORTS = 10
"""How often memory is looked at; the first two of them are the warm-up."""
WARM_UP_REPORTS = 2

PARALLEL = 100
"""Calls through the door that are under way at the same time."""
DOOR_TIMEOUT_SECONDS = 0.02

LOT = 100
"""Contents that the sidecar has at the same time."""
SIDECAR_TIMEOUT_SECONDS = 0.1
SLOW_SECONDS = 0.25
"""How long the driver takes to cut: longer than the sidecar waits for an answer."""
PATIENCE_SECONDS = 120.0
"""How long the far side is given for a lot of contents, or to come up."""

CLASS = "bench"

Report = Callable[[int, float], None]
"""Is told how many calls or contents are through, and how many bytes are resident."""


def resident_bytes(process: int | str = "self") -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


async def through_door(calls: int, directory: Path, report: Report) -> dict[str, int]:
    """Make so many calls; the answer is how often each gRPC code came."""
    socket = str(directory / "csi.sock")
    codes: Counter[str] = Counter()
    numbers = iter(range(1, calls + 1))
    async with (
        _process(sys.executable, "-m", "bench.silent_driver", socket),
        open_driver(socket, Metrics(CollectorRegistry()), timeout=DOOR_TIMEOUT_SECONDS, log_payloads=False) as driver,
    ):
        await driver.wait_until_connected(PATIENCE_SECONDS)
        await _meet(driver.meet)

        async def caller() -> None:
            for number in numbers:
                try:
                    await driver.create_snapshot(f"snapshot-{number}", "volume", {}, {"user": "somebody"})
                except CsiError as error:
                    codes[error.code] += 1
                if number % (calls // REPORTS) == 0:
                    report(number, resident_bytes())

        async with asyncio.TaskGroup() as callers:
            for _ in range(PARALLEL):
                callers.create_task(caller())
    return dict(codes)


async def _meet(meet: Callable[[], Awaitable[object]]) -> None:
    """Introduce the driver, however often its answer comes too late on this machine."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await meet()
            except CsiError:
                continue
            return


async def through_sidecar(contents: int, directory: Path, report: Report) -> dict[str, int]:
    """Let the sidecar see so many contents come, time out, be cut and go; the answer is what the driver has seen."""
    socket = directory / "csi.sock"
    options = DriverOptions(state=directory / "state", create_delay_seconds=SLOW_SECONDS)
    async with (
        ApiServer.serve() as server,
        Driver.serve(socket, options) as driver,
        KubeClient(server.url) as users,
    ):
        await driver.make_volume("volume")
        await users.create(
            {
                "kind": "VolumeSnapshotClass",
                "metadata": {"name": CLASS},
                "driver": options.name,
                "deletionPolicy": "Delete",
            }
        )
        (directory / "kubeconfig").write_text(server.kubeconfig())
        sidecar = (
            *(f"--csi-address={socket}", f"--kubeconfig={directory / 'kubeconfig'}"),
            *(f"--timeout={SIDECAR_TIMEOUT_SECONDS}s", f"--worker-threads={LOT}"),
            *("--retry-interval-start=50ms", "--retry-interval-max=200ms"),
        )
        async with _process(COMMAND, *sidecar) as process:
            await _pass_through(contents, users, options.name, lambda done: report(done, resident_bytes(process.pid)))
        codes = Counter(f"{call.method} {call.code}" for call in driver.calls if call.method.endswith("Snapshot"))
        return dict(codes)


async def _pass_through(contents: int, users: KubeClient, driver: str, report: Callable[[int], None]) -> None:
    """Make contents, at most a lot at a time, and delete each when it is ready."""
    room = asyncio.Semaphore(LOT)

    async def make() -> None:
        for number in range(contents):
            await room.acquire()
            await users.create(_content(f"content-{number}", driver))

    async def delete() -> None:
        deleted: set[str] = set()
        gone = 0
        async with aclosing(users.follow("VolumeSnapshotContent")) as changes:
            async for change in changes:
                name = change.object["metadata"]["name"]
                if change.type == "DELETED":
                    deleted.discard(name)
                    room.release()
                    gone += 1
                    if gone % (contents // REPORTS) == 0:
                        report(gone)
                    if gone == contents:
                        return
                elif name not in deleted and _is_settled(change.object):
                    deleted.add(name)
                    mark = {"metadata": {"annotations": {names.BEING_DELETED: "yes"}}}
                    await users.merge_patch("VolumeSnapshotContent", name, mark)
                    await users.delete("VolumeSnapshotContent", name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(make())
        tasks.create_task(delete())


def _content(name: str, driver: str) -> Json:
    reference = {"name": name, "namespace": "default", "uid": f"uid-of-{name}"}
    return {
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name, "finalizers": [names.CONTENT_FINALIZER]},
        "spec": {
            "driver": driver,
            "deletionPolicy": "Delete",
            "source": {"volumeHandle": "volume"},
            "volumeSnapshotClassName": CLASS,
            "volumeSnapshotRef": reference,
        },
    }


def _is_settled(content: Json) -> bool:
    ready = content.get("status", {}).get("readyToUse", False)
    return ready and names.BEING_CREATED not in content["metadata"].get("annotations", {})


@asynccontextmanager
async def _process(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def measure(through: str, calls: int) -> tuple[float, dict[str, int]]:
    """By how many bytes memory has grown since the warm-up, and what has come back. Prints each report."""
    started = time.monotonic()
    resident: list[float] = []

    def report(done: int, size_bytes: float) -> None:
        resident.append(size_bytes)
        _say(f"{done:>8} {time.monotonic() - started:>7.1f}s {size_bytes / MIB:>8.2f} MiB")

    run = through_door if through == "door" else through_sidecar
    with tempfile.TemporaryDirectory() as directory:
        seen = await run(calls, Path(directory), report)
    return max(resident[WARM_UP_REPORTS:]) - resident[WARM_UP_REPORTS - 1], seen


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a measurement is there to be read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.timeouts", description=__doc__)
    parser.add_argument("--through", choices=("door", "sidecar"), default="door")
    parser.add_argument("--calls", type=int, default=50_000, help="calls, or contents of the sidecar (default: 50000)")
    parser.add_argument("--most-mib", type=float, default=8.0, help="growth that is still right (default: 8)")
    arguments = parser.parse_args()
    grown, seen = uvloop.run(measure(arguments.through, arguments.calls))
    _say(", ".join(f"{count} x {what}" for what, count in sorted(seen.items())))
    _say(f"grown by {grown / MIB:.2f} MiB since the warm-up")
    return 0 if grown <= arguments.most_mib * MIB else 1


if __name__ == "__main__":
    sys.exit(main())
