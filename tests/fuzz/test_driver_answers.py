"""A driver that answers nonsense: nothing is lost, nothing wrong is recorded, and users are told in plain words."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from structlog.contextvars import merge_contextvars
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from snapshotter.logs import PAYLOAD_VERBOSITY
from snapshotter.settings import DriverSettings, LogSettings, WorkSettings
from tests.fuzz.measure import ANSWERS, SEED
from tests.fuzz.nonsense import Nonsense, Odd
from tests.fuzz.odd_driver import OddDriver, Spoil, between
from tests.fuzz.oddities import SECRET
from tests.world import GROUP, SINGLE, Kind, World, make_world

BATCH = 25
SECONDS = 60.0
Logs = Sequence[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs(processors=[merge_contextvars, format_exc_info]) as captured:
        yield captured


class Scripted:
    """So many odd answers for each subject, and honest ones after."""

    def __init__(self, driver: OddDriver) -> None:
        self._spoils: dict[tuple[str, str], list[Spoil]] = defaultdict(list)
        driver.script = self._next

    def add(self, method: str, subject: str, spoil: Spoil, times: int) -> None:
        self._spoils[method, subject] += [spoil] * times

    def clear(self) -> None:
        self._spoils.clear()

    def left(self) -> int:
        return sum(map(len, self._spoils.values()))

    def _next(self, method: str, request: Message) -> Spoil | None:
        for field in ("source_volume_id", "snapshot_id", "group_snapshot_id", "name"):
            if waiting := self._spoils.get((method, str(getattr(request, field, "")))):
                return waiting.pop()
        return None


@asynccontextmanager
async def odd_driver_world(directory: Path, **options: Any) -> AsyncIterator[tuple[World, OddDriver]]:
    """The sidecar with a driver that may say something odd, and a Secret that goes with each call."""
    async with (
        make_world(directory, **options) as world,
        between(directory / "odd.sock", world.driver.socket) as driver,
    ):
        await world.make_secret("secret", password=SECRET)
        # What a driver knows from calls that have no Secret cannot be told from other text.
        looking_up = {SINGLE: "snapshotter-list", GROUP: "group-snapshotter-get"}
        for kind, which in looking_up.items():
            key = f"csi.storage.k8s.io/{which}-secret"
            await world.of(kind).make_class(parameters={f"{key}-name": "secret", f"{key}-namespace": "default"})
        settings = {
            "driver": DriverSettings(csi_address=str(directory / "odd.sock"), timeout=20.0),
            # What is said at each call is looked at as well.
            "logs": LogSettings(verbosity=PAYLOAD_VERBOSITY),
            "work": WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=5.0),
        }
        async with world.sidecar(**settings):
            yield world, driver


def assert_plain(world: World, name: str, what: str) -> None:
    """What users are told is short, on one line, without secrets and without what a terminal would obey."""
    error = world.error(name)
    texts = [event["message"] for event in world.warnings(name)] + ([error] if error else [])
    for text in texts:
        assert text.isprintable(), (what, text)
        assert len(text) <= 1024, (what, len(text))
        assert SECRET not in text, (what, text)


def assert_true(world: World, name: str, what: str) -> None:
    """The status tells what the driver has."""
    status = world.status(name)
    stored: Any = world.stored[world.handle(name)]
    assert "error" not in status, (what, status)
    if world.kind is SINGLE:
        assert 0 < status["creationTime"] < 2**63, (what, status)
        assert status.get("restoreSize", 0) >= 0, (what, status)
    else:
        infos = status["volumeSnapshotInfoList"]
        assert [info["snapshotHandle"] for info in infos] == stored.snapshot_ids, (what, status)
        assert all(0 < info["creationTime"] < 2**63 for info in infos), (what, status)
        assert all(info.get("restoreSize", 0) >= 0 for info in infos), (what, status)


class Lives:
    """Contents of one kind, a batch at a time, with a driver that says something odd to each before it is honest."""

    def __init__(self, world: World, driver: OddDriver, look_up: str) -> None:
        self.world = world
        self._look_up = look_up
        self.script = Scripted(driver)
        self.nonsense = Nonsense(SEED)
        self.said: dict[str, Odd] = {}
        self._numbers = itertools.count(1)

    async def cut(self, count: int) -> None:
        """New contents, whose creates are answered with nonsense one to three times."""
        world, kind = self.world, self.world.kind
        self.said.clear()
        for _ in range(count):
            number = next(self._numbers)
            name, uid = f"c-{number}", f"00000000-0000-0000-0000-{number:012}"
            self.said[name] = odd = self.nonsense.about(kind.create, kind.answer)
            self.script.add(kind.create, kind.subject(name, uid), odd.spoil, times=1 + number % 3 if odd.denied else 1)
            await world.driver.make_volume(name, b"bytes")
            await world.make_content(name, volume=name, uid=uid, annotations=kind.secret("secret"))
        await self._until(world.settled, "does not become ready")
        assert not self.script.left(), "all that is odd was said"
        self._look()
        # Of what is over at once nobody need hear.
        untold = [odd.what for name, odd in self.said.items() if odd.denied and self._told_thrice(name)]
        assert not untold

    def _told_thrice(self, name: str) -> bool:
        return int(name.removeprefix("c-")) % 3 == 2 and not self.world.warnings(name)

    async def look_up(self) -> None:
        """Others import what was cut, and the driver says something odd about that."""
        world, kind = self.world, self.world.kind
        for name in list(self.said):
            self.said[name] = odd = self._about_a_look_up()
            self.script.add(self._look_up, world.handle(name), odd.spoil, times=2)
            await world.make_content(f"{name}-i", snapshot=world.handle(name), policy="Retain")
        await self._until(lambda name: world.settled(f"{name}-i"), "does not become ready by an import")
        self.script.clear()
        self._look("-i")
        await asyncio.gather(*(world.delete_content(f"{name}-i") for name in self.said))
        await self._until(lambda name: world.content(f"{name}-i") is None, "does not let go of an import")
        assert not world.calls(kind.delete), "nobody has asked for that"

    async def delete(self) -> None:
        """All go, and the driver says something odd about that."""
        world, kind = self.world, self.world.kind
        for name in self.said:
            self.said[name] = odd = self.nonsense.about_a_deletion()
            self.script.add(kind.delete, world.handle(name), odd.spoil, times=2)
        await asyncio.gather(*(world.delete_content(name) for name in self.said))
        await self._until(lambda name: world.content(name) is None, "does not go")
        self.script.clear()
        assert not world.stored, "what was cut is deleted with its content"

    def _about_a_look_up(self) -> Odd:
        if self._look_up == "ListSnapshots":
            return self.nonsense.about_a_list(self._look_up)
        return self.nonsense.about(self._look_up, self.world.kind.answer)

    def _look(self, suffix: str = "") -> None:
        for name, odd in self.said.items():
            assert_plain(self.world, name + suffix, odd.what)
            assert_true(self.world, name + suffix, odd.what)

    async def _until(self, condition: Callable[[str], object], what: str) -> None:
        try:
            await self.world.until(lambda: all(map(condition, self.said)), seconds=SECONDS)
        except TimeoutError:
            late = {name: (odd.what, self.world.status(name)) for name, odd in self.said.items() if not condition(name)}
            pytest.fail(f"what {what}: {late}")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kind", "look_up"), [(SINGLE, SINGLE.look_up), (SINGLE, "ListSnapshots"), (GROUP, GROUP.look_up)]
)
async def test_promises_1_2_7_9_15_hold_whatever_a_driver_answers(
    tmp_path: Path, logs: Logs, kind: Kind, look_up: str
) -> None:
    async with odd_driver_world(tmp_path, get_snapshot=look_up != "ListSnapshots") as (world, driver):
        lives = Lives(world.of(kind), driver, look_up)
        for _ in range(0, ANSWERS, BATCH):
            await lives.cut(BATCH)
            await lives.look_up()
            await lives.delete()
            world.driver.log.calls.clear()
        assert not [entry for entry in logs if "exception" in entry or SECRET in repr(entry)]
        assert not [event for event in world.server.list("events") if SECRET in repr(event)]
