"""The stage for kill -9 before and after each write of a request's life.

The program that is killed is the installed command, in a process of its own. One cluster sees all the kills of a
test, one life after the other, so that what one of them left behind would be there at the next.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from snapshotter.testing.faults import Moment
from tests.controller.lives import CONTROLLER_GROUP, CONTROLLER_SINGLE, Life, Step
from tests.controller.shop import ACCOUNT, GROUPS, SINGLES, Shop, Sort
from tests.kubernetes.server import Kube
from tests.world import GROUP, make_world

COMMANDS: Final = Path(sys.executable).parent
MOMENTS: Final[tuple[Moment, Moment]] = ("before", "after")
FLAGS: Final = ("--retry-interval-start=50ms", "--retry-interval-max=400ms")


SIDECAR_GROUP: Final = Life(
    "csi-snapshotter",
    making=(
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*$"),
        Step("^CreateVolumeGroupSnapshot ", of_driver=True),
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*/status$"),
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*$", skip=1),
    ),
    # The first patch of the content is the controller's mark.
    deleting=(
        Step("^DeleteVolumeGroupSnapshot ", of_driver=True),
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*/status$"),
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*$", skip=1),
    ),
)
LIVES: Final = {
    "the controller, a single": (SINGLES, CONTROLLER_SINGLE),
    "the controller, a group": (GROUPS, CONTROLLER_GROUP),
    "the sidecar, a group": (GROUPS, SIDECAR_GROUP),
}
"""A sidecar that is killed while it is at a single content is in `test_kill`."""
each_life = pytest.mark.parametrize(("sort", "life"), LIVES.values(), ids=LIVES.keys())
LONG: Final = pytest.mark.timeout(600)


class Victim:
    """A program in a process of its own that is killed again and again; the other program lives in this process."""

    def __init__(self, shop: Shop, program: str) -> None:
        self._shop = shop
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        world, flags = self._shop.world, list(FLAGS)
        if self._program == "csi-snapshotter":
            flags += [f"--kubeconfig={world.kubeconfig}", f"--csi-address={world.driver.socket}"]
        else:
            flags.append(f"--kubeconfig={world.kubeconfig_of(ACCOUNT)}")
        self._process = await asyncio.create_subprocess_exec(
            COMMANDS / self._program,
            *flags,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def kill_at(self, step: Step, moment: Moment) -> None:
        """Wait until the program is at this step, which is in force already, and kill it there."""
        await step.faults(self._shop).wait_for_held()
        await self.kill()
        step.faults(self._shop).clear()

    async def kill(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def stage(directory: Path, kube: Kube | None, sort: Sort, program: str) -> AsyncIterator[tuple[Shop, Victim]]:
    """Two claims, and both programs; the one that is to be killed is not yet started."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(make_world(directory, kube=kube))
        await world.make_class()
        await world.of(GROUP).make_class()
        shop = Shop(world, sort)
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await shop.make_volume(claim, handle)
            await shop.make_claim(claim, {"app": "db"})
        if program == "csi-snapshotter":
            await stack.enter_async_context(shop.controller())
        else:
            await stack.enter_async_context(world.sidecar())
        victim = Victim(shop, program)
        stack.push_async_callback(victim.kill)
        yield shop, victim


async def until_made(shop: Shop) -> None:
    await shop.world.until(lambda: shop.at_rest("one"), seconds=60)


async def until_gone(shop: Shop) -> None:
    await shop.world.until(shop.nothing_left, seconds=60)
