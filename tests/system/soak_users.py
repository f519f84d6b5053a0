"""The people of the soak: users who make and delete snapshots and groups all the time, and what is left to be done."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from snapshotter import names
from snapshotter.testing.client import ApiFailure, KubeClient
from snapshotter.testing.playground.storage import Stored
from tests.system.soak_stage import CLAIMS
from tests.world import GROUP, KINDS, SINGLE, Kind

T = TypeVar("T")

Object = dict[str, Any]
Key = tuple[Kind, str]

MOST_KEPT: Final = 8
"""So many requests of one user live at a time."""
PAUSE: Final = 0.5
"""Seconds before a request is made again that came too early."""
PATIENCE: Final = 20.0
"""Seconds that a user waits for a request to be ready before it loses interest."""


class Board:
    """The requests of all users as the API server has them, kept up to date by watches."""

    def __init__(self, api: KubeClient) -> None:
        self._api = api
        self._requests: dict[Key, Object] = {}
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep up to date while the context lasts."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(self._follow(kind), name=f"board of {kind.snapshot}") for kind in KINDS]
            try:
                yield
            finally:
                for task in following:
                    task.cancel()

    async def _follow(self, kind: Kind) -> None:
        while True:
            try:
                async with aclosing(self._api.follow(kind.snapshot)) as changes:
                    async for change in changes:
                        self._requests[kind, change.object["metadata"]["name"]] = change.object
                        self._changed.set()
            except ApiFailure as error:
                # The history may be gone just when a watch begins anew. A kube-apiserver that has lost its own way to
                # etcd with it answers 429 until it has listed anew.
                if error.status not in (410, 429):
                    raise
                await asyncio.sleep(PAUSE)

    async def until_ready(self, key: Key) -> Object | None:
        """The request once it is ready; None after some time."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not _ready(found := self._requests.get(key, {})):
                    self._changed.clear()
                    await self._changed.wait()
                return found
        except TimeoutError:
            return None


class Users:
    """So many users, until they are told to stop. `kept` are the requests that are there and not to be deleted."""

    def __init__(self, api: KubeClient, board: Board, seed: int) -> None:
        self.kept: list[Key] = []
        self.made = 0
        self.converted = 0
        """Contents that were read in their oldest version."""
        self._api = api
        self._board = board
        self._dice = random.Random(seed)  # noqa: S311
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()

    async def live(self, count: int, seconds: float) -> None:
        """Let so many users live for so long. Their last requests are answered when this returns."""
        self._stop.clear()
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(self._live(), name=f"user {number}")
            await asyncio.sleep(seconds)
            self._stop.set()

    async def _live(self) -> None:
        mine: list[Key] = []
        while not self._stop.is_set():
            key = await self._make()
            mine.append(key)
            if self._dice.random() < 0.25:
                # Deleted while it is being made.
                await self._unless_stopped(asyncio.sleep(self._dice.uniform(0.0, 0.8)))
                await self._delete(mine.pop())
            else:
                await self._unless_stopped(self._look_at(key))
            if len(mine) > MOST_KEPT:
                await self._delete(mine.pop(self._dice.randrange(MOST_KEPT)))
            await self._unless_stopped(asyncio.sleep(self._dice.uniform(0.05, 0.4)))

    async def _unless_stopped(self, waiting: Any) -> None:
        """Wait for something that may as well be left undone."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        for each in (task, stop):
            each.cancel()
        await asyncio.wait({task, stop})
        if not task.cancelled():
            task.result()

    async def _make(self) -> Key:
        kind = GROUP if self._dice.random() < 0.25 else SINGLE
        name = f"{kind.id}-{next(self._numbers)}"
        claim = self._dice.choice(sorted(CLAIMS))
        source = (
            {"persistentVolumeClaimName": claim}
            if kind is SINGLE
            else {"selector": {"matchLabels": {"set": CLAIMS[claim]}}}
        )
        spec = {"source": source, kind.class_name: "class"}
        body = {"kind": kind.snapshot, "metadata": {"name": name}, "spec": spec}
        await as_told(lambda: self._api.create(body))
        self.kept.append((kind, name))
        self.made += 1
        return kind, name

    async def _look_at(self, key: Key) -> None:
        """Wait until it is ready. Some use an old client and read the content of a group in its first version."""
        found = await self._board.until_ready(key)
        if found is None or key[0] is SINGLE or self._dice.random() < 0.5:
            return
        content = found["status"]["boundVolumeGroupSnapshotContentName"]
        try:
            old = await self._api.get(f"{GROUP.content}.v1beta1", content)
        except ApiFailure as error:
            # Nobody could convert it just now; or somebody has deleted it; or the server is busy.
            if error.status not in (404, 429, 500):
                raise
        else:
            assert len(old["status"]["volumeSnapshotHandlePairList"]) == 2, old
            self.converted += 1

    async def _delete(self, key: Key) -> None:
        self.kept.remove(key)
        await as_told(lambda: self._api.delete(key[0].snapshot, key[1]))

    async def delete_all(self) -> None:
        while self.kept:
            await self._delete(self.kept[-1])


async def as_told(request: Callable[[], Awaitable[T]]) -> T:
    """Make a request again as long as the server says that it comes too early, as clients do."""
    while True:
        try:
            return await request()
        except ApiFailure as error:
            if error.status != 429:
                raise
            await asyncio.sleep(PAUSE)


async def everything(api: KubeClient) -> dict[str, list[Object]]:
    """All requests and contents, by kind, and the claims."""
    kinds = [each for kind in KINDS for each in (kind.snapshot, kind.content)]
    found: dict[str, list[Object]] = {}
    for kind in (*kinds, "PersistentVolumeClaim"):
        found[kind] = (await as_told(partial(api.list, kind))).items
    return found


def unsettled(found: Mapping[str, list[Object]], stored: Stored, kept: list[Key]) -> list[str]:
    """What is left to be done until all is well: each request and each content ready, and nothing besides."""
    problems = [f"{kind.snapshot} {name} is lost" for kind, name in kept if name not in _names(found[kind.snapshot])]
    for kind in KINDS:
        for each in (kind.snapshot, kind.content):
            problems += [f"{each} {_name(item)}: {what}" for item in found[each] if (what := _trouble(item, kind))]
    problems += leftovers_at_claims(found)
    handles = {item.get("status", {}).get(SINGLE.handle) for item in found[SINGLE.content]}
    problems += [f"the driver holds {handle}, which nobody knows" for handle in stored.snapshots.keys() - handles]
    problems += [f"the driver does not hold {handle}" for handle in handles - stored.snapshots.keys()]
    groups = {item.get("status", {}).get(GROUP.handle) for item in found[GROUP.content]}
    problems += [f"groups differ: {handle}" for handle in groups ^ stored.groups.keys()]
    return problems


def leftovers(found: Mapping[str, list[Object]], stored: Stored, _: list[Key]) -> list[str]:
    """What is there although everything was deleted."""
    problems = [
        f"{kind} {_name(item)}, finalizers {item['metadata'].get('finalizers', [])}"
        for kind, items in found.items()
        for item in items
        if kind != "PersistentVolumeClaim"
    ]
    problems += [f"the driver holds {handle}" for handle in (*stored.snapshots, *stored.groups)]
    return problems + leftovers_at_claims(found)


def leftovers_at_claims(found: Mapping[str, list[Object]]) -> list[str]:
    return [
        f"claim {_name(claim)} is protected"
        for claim in found["PersistentVolumeClaim"]
        if names.CLAIM_FINALIZER in claim["metadata"].get("finalizers", [])
    ]


def _trouble(item: Object, kind: Kind) -> str | None:
    status = item.get("status", {})
    checks: list[tuple[Callable[[], object], str]] = [
        (lambda: "deletionTimestamp" in item["metadata"], "is being deleted"),
        (lambda: "error" in status, f"has the error {status.get('error')}"),
        (lambda: not _ready(item), "is not ready"),
        (lambda: kind.being_created in item["metadata"].get("annotations", {}), "is marked as being created"),
    ]
    return next((what for holds, what in checks if holds()), None)


def _ready(item: Object) -> bool:
    return item.get("status", {}).get("readyToUse") is True


def _name(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def _names(items: list[Object]) -> set[str]:
    return {_name(item) for item in items}
