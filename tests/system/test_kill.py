"""Promise 1: kill -9 at any step of create and delete leaves, after a restart and a delete, nothing behind.

The steps are the awaits of the flow: each request to the API server and each call to the driver, stopped before and
after it has had its effect. The sidecar is the installed command, in a process of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from snapshotter.testing.faults import Fault, Faults, Moment
from tests.world import GROUP, SINGLE, Kind, World, make_world

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
async def test_promise_1_killed_while_creating(tmp_path: Path, kind: Kind, step: Step, deleted: str) -> None:
    async with make_world(tmp_path, kind) as world:
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
async def test_promise_1_killed_while_deleting(tmp_path: Path, kind: Kind, step: Step) -> None:
    async with make_world(tmp_path, kind) as world:
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
