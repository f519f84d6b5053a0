"""Promise 1: kill -9 at any step of create and delete leaves, after a restart and a delete, nothing behind.

The steps are the awaits of the flow: each request to the API server and each call to the driver, stopped before and
after it has had its effect. At the end it is done at any moment, among many contents. The sidecar is the installed
command, in a process of its own.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from snapshotter.testing.faults import Fault, Faults, Moment
from tests.kubernetes.server import Kube
from tests.world import GROUP, KINDS, SINGLE, Kind, World, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"


@asynccontextmanager
async def process(world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    """The sidecar as a process; killed at the end if it still lives."""
    sidecar = await asyncio.create_subprocess_exec(
        COMMAND,
        f"--csi-address={world.driver.socket}",
        f"--kubeconfig={world.kubeconfig}",
        "--retry-interval-start=50ms",
        "--retry-interval-max=400ms",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield sidecar
    finally:
        if sidecar.returncode is None:
            sidecar.kill()
        await sidecar.wait()


@dataclass(frozen=True)
class Step:
    """Where the sidecar is stopped: at a request to the API server or a call to the driver, of the content `one`."""

    call: Literal["object", "status", "create", "delete"]
    moment: Moment
    skip: int = 0

    def faults(self, world: World) -> Faults:
        """The faults of whom the call is made to."""
        return world.server.faults if self.call in ("object", "status") else world.driver.faults

    def fault(self, kind: Kind) -> Fault:
        matches = {
            "object": f"PATCH {kind.path}/one$",
            "status": f"PATCH {kind.path}/one/status$",
            "create": f"^{kind.create} ",
            "delete": f"^{kind.delete} ",
        }
        return Fault(match=matches[self.call], hold=self.moment, skip=self.skip, times=1)


CREATE_STEPS = {
    "before the mark": Step("object", "before"),
    "after the mark": Step("object", "after"),
    "before the cut": Step("create", "before"),
    "after the cut": Step("create", "after"),
    "before the status": Step("status", "before"),
    "after the status": Step("status", "after"),
    "before the mark is removed": Step("object", "before", skip=1),
    "after the mark is removed": Step("object", "after", skip=1),
}

DELETE_STEPS = {
    "before the snapshot is deleted": Step("delete", "before"),
    "after the snapshot is deleted": Step("delete", "after"),
    "before the status is cleared": Step("status", "before"),
    "after the status is cleared": Step("status", "after"),
    "before the finalizer goes": Step("object", "before"),
    "after the finalizer is gone": Step("object", "after"),
}

WHEN_DELETED = {
    SINGLE: ("deleted while nobody looks", "deleted later"),
    # A group takes the same way; the case in which more can be lost is enough.
    GROUP: ("deleted while nobody looks",),
}
CREATE_CASES = {
    f"{kind.id}, {moment}, {when}": (kind, step, when)
    for kind, whens in WHEN_DELETED.items()
    for when in whens
    for moment, step in CREATE_STEPS.items()
}
# Of the end of a group, the steps between which something changes.
DELETE_CASES = {
    f"{kind.id}, {moment}": (kind, step)
    for kind in (SINGLE, GROUP)
    for moment, step in DELETE_STEPS.items()
    if kind is SINGLE or step.moment == "after"
}


@pytest.mark.parametrize(("kind", "step", "deleted"), CREATE_CASES.values(), ids=CREATE_CASES.keys())
async def test_promise_1_killed_while_creating(
    tmp_path: Path, kube: Kube | None, kind: Kind, step: Step, deleted: str
) -> None:
    async with make_world(tmp_path, kind, kube=kube) as world:
        await world.make_class()
        faults = step.faults(world)
        faults.set(step.fault(kind))
        async with process(world) as sidecar:
            await world.make_content("one")
            await faults.wait_for_held(1)
            sidecar.kill()
        world.server.faults.clear()
        world.driver.faults.clear()
        if deleted == "deleted while nobody looks":
            await world.delete_content("one")
        async with process(world):
            if deleted == "deleted later":
                await world.until(lambda: world.settled("one"))
                assert len(world.stored) == 1
                await world.delete_content("one")
            await world.until(lambda: world.content("one") is None)
        assert not world.driver.groups
        assert not world.driver.snapshots
        assert not world.server.list("events")


@pytest.mark.parametrize(("kind", "step"), DELETE_CASES.values(), ids=DELETE_CASES.keys())
async def test_promise_1_killed_while_deleting(tmp_path: Path, kube: Kube | None, kind: Kind, step: Step) -> None:
    async with make_world(tmp_path, kind, kube=kube) as world:
        await world.make_class()
        async with process(world) as sidecar:
            await world.make_content("one")
            await world.until(lambda: world.settled("one"))
            await world.patch("one", {"metadata": {"annotations": {kind.being_deleted: "yes"}}})
            faults = step.faults(world)
            faults.set(step.fault(kind))
            await world.request("DELETE", f"{kind.path}/one")
            await faults.wait_for_held(1)
            sidecar.kill()
        world.server.faults.clear()
        world.driver.faults.clear()
        async with process(world):
            await world.until(lambda: world.content("one") is None)
        assert not world.driver.groups
        assert not world.driver.snapshots
        assert not world.server.list("events")


KILLS = int(os.environ.get("SNAPSHOTTER_KILLS", "3"))
CONTENTS_EACH = 8
"""Contents that are made between two kills, half of them groups."""


async def test_promises_1_and_6_killed_again_and_again_among_many_contents(tmp_path: Path, kube: Kube | None) -> None:
    chance = random.Random(1)  # noqa: S311
    kept: list[tuple[World, str]] = []
    deleted: list[tuple[World, str]] = []
    async with make_world(tmp_path, kube=kube, create_delay_seconds=0.3) as singles:
        worlds = [singles.of(kind) for kind in KINDS]
        for world in worlds:
            await world.make_class()
        for number in range(KILLS):
            async with process(singles) as sidecar:
                asked = sum(world.calls(world.kind.create) for world in worlds)
                for place in range(CONTENTS_EACH):
                    world, name = worlds[place % 2], f"c{number}-{place}"
                    await world.make_content(name)
                    kept.append((world, name))
                await singles.until(lambda: sum(world.calls(world.kind.create) for world in worlds) > asked)  # noqa: B023
                for _ in range(3):
                    world, name = kept.pop(chance.randrange(len(kept)))
                    await world.delete_content(name)
                    deleted.append((world, name))
                await asyncio.sleep(chance.random() * 0.6)
                sidecar.kill()
        async with process(singles):
            await singles.until(lambda: all(world.settled(name) for world, name in kept), seconds=60)
            await singles.until(lambda: all(world.content(name) is None for world, name in deleted), seconds=60)
            for world in worlds:
                assert set(world.stored) >= {there.handle(name) for there, name in kept if there is world}
            assert len(singles.driver.groups) == sum(there.kind is GROUP for there, _ in kept)
            assert len(singles.driver.snapshots) == len(kept) + len(singles.driver.groups)
            assert not [name for world, name in kept if world.error(name)]
            for world, name in kept:
                await world.delete_content(name)
            await singles.until(lambda: all(world.content(name) is None for world, name in kept), seconds=60)
        assert not singles.driver.groups
        assert not singles.driver.snapshots
        assert not singles.server.list("events")
