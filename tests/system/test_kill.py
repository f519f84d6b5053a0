"""Promise 1: kill -9 at any step of create and delete leaves, after a restart and a delete, nothing behind.

The steps are the awaits of the flow: each request to the API server and each call to the driver, stopped before and
after it has had its effect. The sidecar is the installed command, in a process of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from snapshotter import names
from snapshotter.testing.faults import Fault, Faults
from tests.world import CONTENT_PATH, World, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"

MAIN = f"PATCH {CONTENT_PATH}/one$"
STATUS = f"PATCH {CONTENT_PATH}/one/status$"


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


def step(where: str, match: str, moment: str, skip: int = 0) -> tuple[str, Fault]:
    return where, Fault(match=match, hold=moment, skip=skip, times=1)  # type: ignore[arg-type]


CREATE_STEPS = {
    "before the mark": step("api", MAIN, "before"),
    "after the mark": step("api", MAIN, "after"),
    "before the cut": step("driver", "CreateSnapshot", "before"),
    "after the cut": step("driver", "CreateSnapshot", "after"),
    "before the status": step("api", STATUS, "before"),
    "after the status": step("api", STATUS, "after"),
    "before the mark is removed": step("api", MAIN, "before", skip=1),
    "after the mark is removed": step("api", MAIN, "after", skip=1),
}

DELETE_STEPS = {
    "before the snapshot is deleted": step("driver", "DeleteSnapshot", "before"),
    "after the snapshot is deleted": step("driver", "DeleteSnapshot", "after"),
    "before the status is cleared": step("api", STATUS, "before"),
    "after the status is cleared": step("api", STATUS, "after"),
    "before the finalizer goes": step("api", MAIN, "before"),
    "after the finalizer is gone": step("api", MAIN, "after"),
}


def faults_of(world: World, where: str) -> Faults:
    return world.server.faults if where == "api" else world.driver.faults


@pytest.mark.parametrize(("where", "fault"), CREATE_STEPS.values(), ids=CREATE_STEPS.keys())
@pytest.mark.parametrize("deleted", ["deleted while nobody looks", "deleted later"])
async def test_promise_1_killed_while_creating(tmp_path: Path, where: str, fault: Fault, deleted: str) -> None:
    async with make_world(tmp_path) as world:
        await world.make_class()
        faults = faults_of(world, where)
        faults.set(fault)
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
                await world.until(lambda: world.ready("one") and names.BEING_CREATED not in world.annotations("one"))
                assert len(world.driver.snapshots) == 1
                await world.delete_content("one")
            await world.until(lambda: world.content("one") is None)
        assert not world.driver.snapshots
        assert not world.server.list("events")


@pytest.mark.parametrize(("where", "fault"), DELETE_STEPS.values(), ids=DELETE_STEPS.keys())
async def test_promise_1_killed_while_deleting(tmp_path: Path, where: str, fault: Fault) -> None:
    async with make_world(tmp_path) as world:
        await world.make_class()
        async with process(world) as sidecar:
            await world.make_content("one")
            await world.until(lambda: world.ready("one") and names.BEING_CREATED not in world.annotations("one"))
            await world.patch("one", {"metadata": {"annotations": {names.BEING_DELETED: "yes"}}})
            faults = faults_of(world, where)
            faults.set(fault)
            await world.request("DELETE", f"{CONTENT_PATH}/one")
            await faults.wait_for_held(1)
            sidecar.kill()
        world.server.faults.clear()
        world.driver.faults.clear()
        async with process(world):
            await world.until(lambda: world.content("one") is None)
        assert not world.driver.snapshots
        assert not world.server.list("events")
