"""Promise 11: whatever happens to a watch, the store ends equal to what the API server holds. For each watched kind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from snapshotter.kube.connection import Connection
from snapshotter.kube.kinds import (
    CLAIM,
    CONTENT,
    NODE,
    SNAPSHOT,
    SNAPSHOT_CLASS,
    VOLUME,
    Kind,
    group_class,
    group_content,
    group_snapshot,
)
from snapshotter.kube.objects import WATCH_GRACE, WATCH_SECONDS, Objects
from snapshotter.metrics import Metrics
from snapshotter.runtime.informer import Informer
from snapshotter.runtime.store import Store
from snapshotter.runtime.workqueue import Backoff
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect

Object = dict[str, Any]

REFERENCE: Final[Object] = {"name": "s", "namespace": "default"}
CONTENT_SPEC: Final[Object] = {
    "driver": "d",
    "deletionPolicy": "Delete",
    "source": {"volumeHandle": "v"},
    "volumeSnapshotRef": REFERENCE,
}
GROUP_CONTENT_SPEC: Final[Object] = {
    "driver": "d",
    "deletionPolicy": "Delete",
    "source": {"volumeHandles": ["v"]},
    "volumeGroupSnapshotRef": REFERENCE,
}
A_CLASS: Final[Object] = {"driver": "d", "deletionPolicy": "Delete"}
SELECTED: Final[Object] = {"source": {"selector": {"matchLabels": {"app": "a"}}}}

CLAIM_SPEC: Final[Object] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME_SPEC: Final[Object] = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
    "csi": {"driver": "d", "volumeHandle": "v"},
}

OBJECTS: Final[tuple[tuple[Kind[Any], str, Object], ...]] = (
    (CONTENT, "", {"spec": CONTENT_SPEC}),
    (SNAPSHOT_CLASS, "", A_CLASS),
    (group_content("v1"), "", {"spec": GROUP_CONTENT_SPEC}),
    (group_class("v1"), "", A_CLASS),
    (SNAPSHOT, "default", {"spec": {"source": {"persistentVolumeClaimName": "c"}}}),
    (group_snapshot("v1"), "default", {"spec": SELECTED}),
    (CLAIM, "default", {"spec": CLAIM_SPEC}),
    (VOLUME, "", {"spec": VOLUME_SPEC}),
    (NODE, "", {}),
)
"""A kind, the namespace of its objects, and what is in one. The first four are what the sidecar watches."""

WATCHED: Final[dict[str, Kind[Any]]] = {
    **{kind.plural: kind for kind, _, _ in OBJECTS},
    **{f"{kind.plural} v1beta2": kind for kind in (group_content("v1beta2"), group_class("v1beta2"))},
}

LONG: Final = 30.0
"""Seconds that nothing takes, however busy the machine is."""


class Far:
    """The API server with objects of all watched kinds, which others make and delete."""

    def __init__(self, server: ApiServer, connection: Connection) -> None:
        self.server = server
        self._connection = connection

    def make(self, name: str) -> None:
        """One object of this name of each kind. Where a kind is watched in two versions it is the same object."""
        for kind, namespace, body in OBJECTS:
            self.server.create(kind.plural, {"metadata": {"name": name}, **body}, namespace)

    async def delete(self, name: str) -> None:
        for kind, namespace, _ in OBJECTS:
            await self._connection.request("DELETE", kind.path_of(f"{namespace}/{name}" if namespace else name))

    def names(self, kind: Kind[Any]) -> dict[str, str]:
        """What there is of a kind, with its version."""
        return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in self.server.list(kind.plural)}


def reset(far: Far) -> None:
    far.server.cut_watches()


def half_open(far: Far) -> None:
    """The connections stay, and nothing comes over them any more."""
    far.server.mute_watches()


def forgotten(far: Far) -> None:
    """The history is gone, and the watches broken: the next ones are answered with 410."""
    far.server.compact()
    far.server.cut_watches()


def broken_by(**fault: Any) -> Callable[[Far], None]:
    """The watches are broken, and the next ones of each kind fare no better."""

    def happen(far: Far) -> None:
        for kind in WATCHED.values():
            far.server.faults.set(Fault(match=f"^WATCH {kind.path}$", **fault))
        far.server.cut_watches()

    return happen


TOLD: Final[dict[str, Callable[[Far], None]]] = {
    "reset": reset,
    "reset again and again": broken_by(cut="before", times=3),
    "an error frame": broken_by(error=500, error_when="after", times=2),
    "401": broken_by(error=401, times=2),
    "410": broken_by(error=410, times=2),
    "410 as a frame": broken_by(error=410, error_when="after", times=2),
    "410 for what is forgotten": forgotten,
}
SILENT: Final[dict[str, Callable[[Far], None]]] = {
    "half-open": half_open,
    "silence before the headers": broken_by(hold="before", times=1),
    "silence after the headers": broken_by(hold="after", times=1),
}


class Following:
    """A store for each watched kind, and whether one has changed."""

    def __init__(self) -> None:
        self.stores: dict[str, Store[Any]] = {what: Store() for what in WATCHED}
        self._changed = asyncio.Event()

    def tell(self, _old: object, _new: object) -> None:
        self._changed.set()

    def unequal(self, far: Far) -> list[str]:
        """The kinds whose store is not as the server is."""
        return [
            what
            for what, kind in WATCHED.items()
            if {item.metadata.name: item.metadata.resource_version for item in self.stores[what]} != far.names(kind)
        ]

    async def become_equal(self, far: Far) -> None:
        try:
            async with asyncio.timeout(LONG):
                while self.unequal(far):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"not equal to the server's: {self.unequal(far)}")


@asynccontextmanager
async def followed(connection: Connection, metrics: Metrics) -> AsyncIterator[Following]:
    """All kinds, each followed by an informer."""
    following = Following()
    informers = [
        Informer(
            Objects(connection, kind, metrics),
            following.stores[what],
            following.tell,
            what=what,
            backoff=Backoff(start=0.05, maximum=0.2, jitter=0.5),
        )
        for what, kind in WATCHED.items()
    ]
    tasks = [asyncio.create_task(informer.run(), name=informer.what) for informer in informers]
    try:
        async with asyncio.timeout(LONG):
            for informer in informers:
                await informer.synced.wait()
        yield following
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def survive(connection: Connection, metrics: Metrics, server: ApiServer, happen: Callable[[Far], None]) -> None:
    """Something happens to all watches, and meanwhile others change things."""
    far = Far(server, connection)
    far.make("stays")
    far.make("goes")
    async with followed(connection, metrics) as following:
        far.make("watched")
        await following.become_equal(far)
        happen(far)
        await far.delete("goes")
        far.make("comes")
        await following.become_equal(far)
        for store in following.stores.values():
            assert {item.metadata.name for item in store} >= {"stays", "watched", "comes"}


@pytest.mark.parametrize("happen", TOLD.values(), ids=TOLD.keys())
async def test_promise_11_the_stores_of_all_kinds_are_right_again_when_their_watches_fail(
    server: ApiServer, connected: Connect, metrics: Metrics, happen: Callable[[Far], None]
) -> None:
    async with connected() as connection:
        await survive(connection, metrics, server, happen)


@pytest.mark.parametrize("happen", SILENT.values(), ids=SILENT.keys())
async def test_promise_11_the_stores_of_all_kinds_are_right_again_when_their_watches_say_nothing(
    server: ApiServer,
    connected: Connect,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    happen: Callable[[Far], None],
) -> None:
    # The times are constants, so that nobody sets them wrong; here they are short.
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_SECONDS", (1, 1))
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_GRACE", 0.2)
    async with connected() as connection:
        await survive(connection, metrics, server, happen)


def test_promise_11_the_longest_silence_of_a_watch_is_found_out_within_a_minute() -> None:
    """A watch that goes dumb as it begins is cut when its time is up, and the next one begins after one pause."""
    longest_pause = 10.0
    assert max(WATCH_SECONDS) + WATCH_GRACE + longest_pause < 60
