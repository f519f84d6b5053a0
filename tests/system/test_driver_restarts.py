"""Promise 11: the driver is killed and started again under load, many times. Both are processes of their own.

The driver keeps its state on disk. A trigger in its database writes down what it has ever made.
"""

import asyncio
import itertools
import os
import random
import re
import sqlite3
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from snapshotter.testing.admin import PREFIX, Admin
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.client import ApiFailure, KubeClient
from tests.kubernetes.cluster import SIDECAR
from tests.kubernetes.mirror import Mirror, mirrored
from tests.kubernetes.server import Kube
from tests.world import DRIVER, GROUP, KINDS, SINGLE, Kind

COMMAND = Path(sys.executable).parent / "csi-snapshotter"

RESTARTS = int(os.environ.get("SNAPSHOTTER_DRIVER_RESTARTS", "8"))
"""How often the driver is killed."""
SOON = 10.0
"""Seconds from the return of the socket to the next call. Two are promised; a busy machine may need longer."""
GENEROUS = 120.0
VOLUMES = ("vol", "vol2")

HISTORY = """
CREATE TABLE history (kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TRIGGER remember AFTER INSERT ON record BEGIN
    INSERT INTO history (kind, body) VALUES (new.kind, new.body);
END;
"""


class FarDriver:
    """The driver's process, which is killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "csi.sock"
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def admin(self) -> str:
        return (self._directory / "admin").read_text()

    async def start(self) -> None:
        """Return when it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "snapshotter.testing.driver", "--name", DRIVER),
            *("--socket", str(self.socket), "--state", str(self._directory / "state")),
            *("--admin", "127.0.0.1:0", "--admin-file", str(self._directory / "admin")),
            *("--create-delay-seconds=0.1", "--ready-after-seconds=0.3"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(GENEROUS):
            assert b"serves on" in await self._process.stdout.readline()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    async def state(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.admin}{PREFIX}/state") as response:
            found: dict[str, Any] = await response.json()
            return found

    async def seconds_to_first_calls(self) -> tuple[float, float]:
        """From the return of the socket to the first call at all, and to the first one about a snapshot."""
        back = self.socket.stat().st_ctime
        calls = await Admin(self.admin).calls()
        of_work = (call["started_at"] for call in calls if "Snapshot" in call["method"])
        return calls[0]["started_at"] - back, next(of_work) - back

    def remember(self) -> None:
        """Write down from now on what is made."""
        with closing(sqlite3.connect(self._directory / "state" / "state.db")) as database:
            database.executescript(HISTORY)

    def made(self, kind: str) -> Counter[str]:
        """How often each name was given to a new snapshot or group."""
        with closing(sqlite3.connect(self._directory / "state" / "state.db")) as database:
            rows = database.execute("SELECT body FROM history WHERE kind = ?", (kind,)).fetchall()
        return Counter(msgspec.json.decode(body)["name"] for (body,) in rows)


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, the stand-in or the real one."""

    server: ApiServer | Mirror
    users: KubeClient
    kubeconfig: str
    """That of the sidecar."""
    listen: Callable[[Callable[[], None]], None]
    """Have somebody called at each change."""


@asynccontextmanager
async def a_cluster(kube: Kube | None) -> AsyncIterator[Cluster]:
    if kube is not None:
        async with mirrored(kube) as mirror, KubeClient(kube.url, kube.token, kube.authority.read_text()) as users:
            yield Cluster(mirror, users, mirror.kubeconfig_of(SIDECAR), mirror.listen)
        return
    async with ApiServer.serve() as server, KubeClient(server.url) as users:

        def listen(told: Callable[[], None]) -> None:
            server._store.listen(lambda _resource, _change: told())

        yield Cluster(server, users, server.kubeconfig(), listen)


class Load:
    """Users who make contents of either kind all the time, and delete some of them."""

    def __init__(self, cluster: Cluster) -> None:
        self._server = cluster.server
        self._users = cluster.users
        self._chance = random.Random(11)  # noqa: S311
        self._changed = asyncio.Event()
        cluster.listen(self._changed.set)
        self._seen_cut: set[str] = set()
        self._going: set[tuple[Kind, str]] = set()
        """Of whom the deletion has been asked for."""
        self.kept: list[tuple[Kind, str]] = []
        self.deleted: list[tuple[Kind, str]] = []

    async def flow(self) -> None:
        for number in itertools.count():
            kind = KINDS[number % 2]
            name = f"content-{number}"
            await self._users.create(content(kind, name))
            (self.deleted if number % 3 == 0 else self.kept).append((kind, name))
            if number % 3 == 0 and number >= 30:
                # It was made some time ago: it may be ready by now, or still in the making.
                await self._delete(*self.deleted[number // 3 - self._chance.randrange(10)])
            await asyncio.sleep(0.02)

    async def _delete(self, kind: Kind, name: str) -> None:
        if (kind, name) in self._going:
            return
        try:
            mark = {"metadata": {"annotations": {kind.being_deleted: "yes"}}}
            await self._users.merge_patch(kind.content, name, mark)
            await self._users.delete(kind.content, name)
        except ApiFailure as failure:
            # The load may have been ended amid this, when it was asked for already.
            if failure.status != 404:
                raise
        self._going.add((kind, name))

    async def delete_the_rest(self) -> None:
        for kind, name in self.deleted:
            await self._delete(kind, name)

    def _get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        return self._server.get(kind.plural, name)

    def cut(self) -> int:
        """How many contents have been seen with a handle."""
        for kind in KINDS:
            with_handle = (item for item in self._server.list(kind.plural) if kind.handle in item.get("status", {}))
            self._seen_cut.update(item["metadata"]["name"] for item in with_handle)
        return len(self._seen_cut)

    async def make_progress(self) -> None:
        """Return when some more contents have been cut."""
        before = self.cut()
        await self.until(lambda: self.cut() > before + 5)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the objects are so."""
        async with asyncio.timeout(GENEROUS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def done(self) -> bool:
        """Whether all that is kept is ready, and all that is deleted is gone."""
        return all(self._get(*key) is None for key in self.deleted) and all(self._settled(*key) for key in self.kept)

    def _settled(self, kind: Kind, name: str) -> bool:
        found = self._get(kind, name) or {}
        ready = found.get("status", {}).get("readyToUse", False)
        return ready and kind.being_created not in found["metadata"].get("annotations", {})

    def statuses(self, kind: Kind) -> list[dict[str, Any]]:
        """What those say that are kept."""
        return [item["status"] for item in self._server.list(kind.plural)]


def content(kind: Kind, name: str) -> dict[str, Any]:
    source = {"volumeHandle": VOLUMES[0]} if kind is SINGLE else {"volumeHandles": list(VOLUMES)}
    return {
        "kind": kind.content,
        "metadata": {"name": name, "finalizers": [kind.finalizer]},
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": "Delete",
            "source": source,
            kind.class_name: "class",
            kind.ref: {"name": name, "namespace": "default", "uid": name},
        },
    }


@asynccontextmanager
async def far_driver(directory: Path) -> AsyncIterator[FarDriver]:
    driver = FarDriver(directory)
    await driver.start()
    try:
        async with aiohttp.ClientSession(driver.admin) as http:
            for name in VOLUMES:
                async with http.post(f"{PREFIX}/volumes", json={"name": name, "size": 1000}) as response:
                    assert response.status == 200
        driver.remember()
        yield driver
    finally:
        await driver.kill()


@pytest.mark.timeout(120 + 15 * RESTARTS)
async def test_promise_11_a_driver_that_is_killed_again_and_again_under_load_loses_and_doubles_nothing(
    tmp_path: Path, kube: Kube | None, record_property: Any
) -> None:
    chance = random.Random(12)  # noqa: S311
    async with a_cluster(kube) as cluster, far_driver(tmp_path) as driver:
        for kind in KINDS:
            made = {"metadata": {"name": "class"}, "driver": DRIVER, "deletionPolicy": "Delete"}
            await cluster.users.create({"kind": kind.snapshot_class} | made)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(cluster.kubeconfig)
        log = tmp_path / "log"
        with log.open("wb") as stderr:
            sidecar = await asyncio.create_subprocess_exec(
                COMMAND, f"--csi-address={driver.socket}", f"--kubeconfig={kubeconfig}", stderr=stderr
            )
        load = Load(cluster)
        flow = asyncio.create_task(load.flow(), name="load")
        waits: list[tuple[float, float]] = []
        try:
            for number in range(RESTARTS + 1):
                if number:
                    await driver.kill()
                    await asyncio.sleep(chance.random() * 0.3)
                    await driver.start()
                await load.make_progress()
                if number:
                    waits.append(await driver.seconds_to_first_calls())
                await asyncio.sleep(chance.random() * 0.2)
                assert not flow.done()
            flow.cancel()
            await load.delete_the_rest()
            ended = time.monotonic()
            await load.until(load.done)
            settled = time.monotonic() - ended
            assert sidecar.returncode is None
        finally:
            flow.cancel()
            if sidecar.returncode is None:
                sidecar.terminate()
            code = await sidecar.wait()
        assert code == 0, log.read_text()
        for what, column in (("call", 0), ("work", 1)):
            seconds = [wait[column] for wait in waits]
            record_property(f"seconds to the next {what}", seconds)
            say(f"next {what}: p50 {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s, n {len(seconds)}")
        say(f"{len(load.kept)} kept, {len(load.deleted)} deleted, settled {settled:.1f} s after the last one came")
        state = await driver.state()
        assert_nothing_is_lost_or_doubled(load, driver, state)
        assert_that_only_what_lasted_was_told(cluster.server, load)
        assert max(wait for wait, _ in waits) < SOON


def say(line: str) -> None:
    """Shown by `pytest -s`."""
    print(line)  # noqa: T201


def assert_nothing_is_lost_or_doubled(load: Load, driver: FarDriver, state: dict[str, Any]) -> None:
    assert max(driver.made("Group").values()) == 1
    assert max(count for name, count in driver.made("Snapshot").items() if name) == 1
    groups = {status["volumeGroupSnapshotHandle"] for status in load.statuses(GROUP)}
    assert set(state["groups"]) == groups
    members = {member for group in state["groups"].values() for member in group["snapshot_ids"]}
    assert set(state["snapshots"]) == members | {status["snapshotHandle"] for status in load.statuses(SINGLE)}


def assert_that_only_what_lasted_was_told(server: ApiServer | Mirror, load: Load) -> None:
    """Nothing of a first failure, nothing as if the driver had refused, and nothing that is over."""
    assert not [status for kind in KINDS for status in load.statuses(kind) if "error" in status]
    for event in server.list("events"):
        attempt = re.search(r"\(attempt (\d+), ", event["message"])
        assert attempt is not None, event
        assert int(attempt[1]) > 1 or event["count"] > 1, event["message"]
        assert re.search("Unavailable|Aborted|Canceled", event["message"]), event["message"]
