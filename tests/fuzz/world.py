"""A cluster with both programs, a driver and users, in which odd objects turn up; and what is looked at afterwards."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from snapshotter.controller.controller import Controller
from snapshotter.settings import ControlSettings, WorkSettings
from snapshotter.sidecar.sidecar import Sidecar
from tests.controller.shop import GROUPS, NAMESPACE, SINGLES, Shop
from tests.fuzz.oddities import SECRET, Odd
from tests.world import GROUP, SINGLE, World, make_world

PATIENT = WorkSettings(retry_start=5.0, retry_max=300.0, shutdown_grace=5.0)
"""What is odd fails again and again; it need not do so all the time."""
SECONDS = 60.0
"""So long a good object may take to become ready, not counting the time in which others have the cores."""


class Neighbourhood:
    """Users whose requests must be served whatever else there is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.singles = Shop(world, SINGLES)
        self.groups = Shop(world, GROUPS)

    def plant(self, odd: Odd) -> None:
        self.world.server.plant(odd.plural, odd.name, odd.raw, odd.namespace)

    def uproot(self, odd: Odd) -> None:
        """Remove an object, if it is still there."""
        if self.world.server.get(odd.plural, odd.name, odd.namespace) is not None:
            self.world.server.uproot(odd.plural, odd.name, odd.namespace)

    async def neighbour(self, name: str) -> None:
        """A good object of every kind, all of them new: they become ready, and go without a trace."""
        world = self.world
        for kind in (SINGLE, GROUP):
            keys = f"csi.storage.k8s.io/{_prefix(kind.id)}snapshotter-secret"
            await world.of(kind).make_class(name, {f"{keys}-name": "secret", f"{keys}-namespace": "default"})
        await world.driver.make_volume(f"vol-{name}", b"bytes")
        await self.singles.make_volume(name, f"vol-{name}")
        await self.singles.make_claim(name, {"app": name})
        await self.singles.make(name, claim=name, class_name=name)
        await self.groups.make(name, labels={"app": name}, class_name=name)
        try:
            await world.until(lambda: self.singles.ready(name) and self.groups.ready(name), seconds=SECONDS)
        except TimeoutError:
            pytest.fail(f"{name} does not become ready: {self._state_of(name)}")
        for shop in (self.singles, self.groups):
            await shop.delete(name)
        await world.until(lambda: not self.left_of(name), seconds=SECONDS)
        for plural, namespace in (
            ("volumesnapshotclasses", ""),
            ("volumegroupsnapshotclasses", ""),
            ("persistentvolumeclaims", NAMESPACE),
        ):
            world.server.uproot(plural, name, namespace)
        world.server.uproot("persistentvolumes", f"pv-{name}")

    def _state_of(self, name: str) -> list[object]:
        """What there is of a neighbour, for people."""
        shops = (self.singles, self.groups)
        return [
            *((shop.status(name), shop.content(name)) for shop in shops),
            *(event["message"] for event in self.world.events(name)),
            *(record for record in self.world.server.requests if name in record.path or name in repr(record.body)),
        ][:60]

    def left_of(self, name: str) -> list[str]:
        """What is left of a neighbour's snapshots, on the API server and on the storage."""
        stored = [each.id for each in self.world.driver.snapshots.values() if each.volume_id == f"vol-{name}"]
        return stored + [shop.sort.id for shop in (self.singles, self.groups) if shop.request(name) is not None]

    def texts(self) -> Iterator[str]:
        """All that was written where people read: but for the Secrets themselves, and for what is odd by itself."""
        for plural in (
            "events",
            "volumesnapshots",
            "volumesnapshotcontents",
            "volumegroupsnapshots",
            "volumegroupsnapshotcontents",
        ):
            for each in self.world.server.list(plural):
                yield json.dumps(each)


class OddWorld(Neighbourhood):
    """With both programs in this process."""

    def __init__(self, world: World, sidecar: Sidecar, controller: Controller) -> None:
        super().__init__(world)
        self.sidecar = sidecar
        self.controller = controller


def _prefix(kind: str) -> str:
    return "group-" if kind == "group" else ""


@asynccontextmanager
async def served_world(directory: Path) -> AsyncIterator[World]:
    """An API server and a driver: claims `data` and `log`, classes `class` and a Secret `secret`."""
    async with make_world(directory) as world:
        await world.make_secret("secret", password=SECRET)
        for kind in (SINGLE, GROUP):
            await world.of(kind).make_class()
        shop = Shop(world, SINGLES)
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await shop.make_volume(claim, handle)
            await shop.make_claim(claim, {"app": "db"})
        yield world


@asynccontextmanager
async def odd_world(directory: Path) -> AsyncIterator[OddWorld]:
    """Both programs at work."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(served_world(directory))
        sidecar = await stack.enter_async_context(world.sidecar(work=PATIENT))
        controller = await stack.enter_async_context(
            Shop(world, SINGLES).controller(PATIENT, control=ControlSettings(distributed=True))
        )
        yield OddWorld(world, sidecar, controller)
