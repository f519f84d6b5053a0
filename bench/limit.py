"""What the machine can do: the API server driven by nothing but the writes that a plan needs; no watch, logic or RPC.

The bodies are those of `snapshotter.plan.patches`, by measure: as many bytes, as many tests in a patch.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import JSON_PATCH, MERGE_PATCH, Address, Wire, in_parallel
from bench.objects import GROUP, GROUP_SIZE, Kind, snapshot_name, status

IN_PARALLEL = 10
"""As many as there are workers by default."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it went."""

    seconds: float
    cpu_seconds: float
    each: list[float]
    """Seconds that the writes for each content took."""


async def cut(wire: Wire, kind: Kind, name: str) -> None:
    """What is written of a content that is cut at once: mark, status, no mark."""
    path = f"{kind.path}/{name}"
    await wire.ask("PATCH", path, {"metadata": {"annotations": {kind.being_created: "yes"}}}, MERGE_PATCH)
    said = status(name)
    if kind is GROUP:
        members = [
            {
                "volumeHandle": f"volume-{number}",
                "snapshotHandle": f"{snapshot_name(name)}-of-volume-{number}",
                "readyToUse": True,
                "restoreSize": said["restoreSize"],
                "creationTime": said["creationTime"],
            }
            for number in range(GROUP_SIZE)
        ]
        said = {
            "volumeGroupSnapshotHandle": snapshot_name(name),
            "creationTime": "2026-01-01T00:00:00Z",
            "readyToUse": True,
            "volumeSnapshotInfoList": members,
        }
    patch = [{"op": "test", "path": "/metadata/name", "value": name}, {"op": "add", "path": "/status", "value": said}]
    await wire.ask("PATCH", f"{path}/status", patch, JSON_PATCH)
    await wire.ask("PATCH", path, {"metadata": {"annotations": {kind.being_created: None}}}, MERGE_PATCH)


async def let_go(wire: Wire, kind: Kind, name: str) -> None:
    """What is written of a content whose snapshot is deleted: no handle, no finalizer."""
    path = f"{kind.path}/{name}"
    test = {"op": "test", "path": "/metadata/name", "value": name}
    await wire.ask("PATCH", f"{path}/status", [test, {"op": "remove", "path": "/status/snapshotHandle"}], JSON_PATCH)
    patch = [test, {"op": "replace", "path": "/metadata/finalizers", "value": []}]
    await wire.ask("PATCH", path, patch, JSON_PATCH)


async def drive(
    address: Address, kind: Kind, names: Sequence[str], *, delete: bool = False, wires: int = IN_PARALLEL
) -> Pace:
    """Do the writes for all contents."""
    each: list[float] = []
    work = let_go if delete else cut

    async def one(wire: Wire, number: int) -> None:
        began = time.perf_counter()
        await work(wire, kind, names[number])
        each.append(time.perf_counter() - began)

    began, cpu = asyncio.get_running_loop().time(), time.process_time()
    await in_parallel(address, len(names), wires, one)
    return Pace(asyncio.get_running_loop().time() - began, time.process_time() - cpu, each)
