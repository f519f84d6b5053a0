"""Odd objects among good ones, with both programs at work: whatever is stored, users get their snapshots."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from snapshotter.logs import cut_long_texts
from snapshotter.names import MALFORMED
from tests.controller.shop import Shop
from tests.fuzz.measure import SEED, SHOWN
from tests.fuzz.oddities import FORMS, SECRET, Odd, Oddities, encoded
from tests.fuzz.remembered import remembered
from tests.fuzz.world import SECONDS, OddWorld, odd_world

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
"""What is enormous is written back with what stands beside it."""

BATCH = 250
LIVES = 10
"""Requests of either sort whose objects become odd, all of them in each round."""
Logs = Sequence[MutableMapping[str, Any]]
NOT_TOLD_BY_EVENTS = re.compile("class|persistent|nodes")
"""Kinds of which the log alone tells."""


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs(processors=[merge_contextvars, cut_long_texts, format_exc_info]) as captured:
        yield captured


def unexpected(logs: Logs) -> list[Any]:
    """What should never be in a log: a mistake of ours, a secret, or a line that nobody can read."""
    return [
        entry
        for entry in logs
        if "exception" in entry
        or entry["event"] == "reconciling failed unexpectedly"
        or SECRET in repr(entry)
        or len(repr(entry)) > 5000
    ]


def complaints(logs: Logs) -> Counter[tuple[str, str | None]]:
    """How often it was said of which object that it cannot be read."""
    return Counter(
        (entry["resource"], entry["name"]) for entry in logs if entry["event"] == "object is malformed and passed over"
    )


def troubled(odd_world: OddWorld) -> dict[tuple[str, str], str]:
    """The objects that the controller cannot read, by plural and key, and why. One without a name is forgotten with
    the next list.
    """
    stores = odd_world.controller.stores
    of: Mapping[str, Any] = {
        "volumesnapshots": stores.singles.snapshots,
        "volumesnapshotcontents": stores.singles.contents,
        "volumesnapshotclasses": stores.singles.classes,
        "volumegroupsnapshots": stores.groups.groups,
        "volumegroupsnapshotcontents": stores.groups.contents,
        "volumegroupsnapshotclasses": stores.groups.classes,
        "persistentvolumeclaims": stores.storage.claims,
        "persistentvolumes": stores.storage.volumes,
        "nodes": stores.storage.all_nodes,
    }
    return {(plural, each.key): each.reason for plural, store in of.items() for each in store.troubles() if each.key}


def told(odd_world: OddWorld) -> set[tuple[str, str]]:
    """The objects of which an event says that they cannot be read."""
    return {
        (
            event["involvedObject"]["kind"].lower(),
            "/".join(filter(None, (event["involvedObject"].get("namespace"), event["involvedObject"]["name"]))),
        )
        for event in odd_world.world.server.list("events")
        if event["reason"] == MALFORMED
    }


def untold(odd_world: OddWorld) -> list[tuple[str, str]]:
    """The objects that cannot be read and of which users have not been told."""
    known = told(odd_world)
    return [
        (plural, key)
        for plural, key in troubled(odd_world)
        if not NOT_TOLD_BY_EVENTS.search(plural) and (plural.removesuffix("s"), key) not in known
    ]


def held(odd: OddWorld) -> dict[str, int]:
    """How much both programs remember."""
    return remembered(odd.sidecar) | remembered(odd.controller)


def grown(odd: OddWorld, before: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What they remember more of than before."""
    return {
        where: (before.get(where, 0), size) for where, size in held(odd).items() if size > before.get(where, 0) + 50
    }


@pytest.mark.timeout(3600)
async def test_odd_objects_keep_no_good_one_waiting(tmp_path: Path, logs: Logs) -> None:
    oddities = Oddities(SEED)
    async with odd_world(tmp_path) as odd:
        await odd.neighbour("first")
        before: dict[str, int] = {}
        for number in range(max(2, SHOWN // BATCH)):
            batch = [oddities.next() for _ in range(BATCH)]
            await one_batch(odd, batch, number, logs)
            before = before or held(odd)
        # What was made for odd requests stays where users were told of it: these have gone without being deleted.
        for plural in ("volumesnapshotcontents", "volumegroupsnapshotcontents"):
            for content in odd.world.server.list(plural):
                odd.world.server.uproot(plural, content["metadata"]["name"])
        # The watch may be behind with what has gone.
        with suppress(TimeoutError):
            await odd.world.until(lambda: not grown(odd, before), seconds=SECONDS)
        assert grown(odd, before) == {}
        assert not [text for text in odd.texts() if SECRET in text]


@contextmanager
def explained(what: str, which: Callable[[], Collection[tuple[str, str]]], batch: Sequence[Odd]) -> Iterator[None]:
    """A failure tells of the objects that it is about."""
    try:
        yield
    except TimeoutError:
        names = {key.rpartition("/")[2] for _, key in which()}
        pytest.fail(f"{what}: {[(each.name, each.what, each.raw[:500]) for each in batch if each.name in names]}")


async def one_batch(odd: OddWorld, batch: Sequence[Odd], number: int, logs: Logs) -> None:
    """Odd objects turn up, by a watch or by a list; a good one is served; what is odd is told of, and goes."""
    for each in batch:
        odd.plant(each)
    if number % 2:
        odd.world.server.compact()
        odd.world.server.cut_watches()
    await odd.neighbour(f"good-{number}")
    with explained("users are not told of what cannot be read", lambda: untold(odd), batch):
        await odd.world.until(lambda: not untold(odd), seconds=SECONDS)
    assert not unexpected(logs)
    said = complaints(logs)
    for (plural, key), reason in troubled(odd).items():
        # Of a content its sidecar tells as well.
        assert 1 <= said[plural, key] <= 2, (plural, key, reason)
    for each in batch:
        odd.uproot(each)
    with explained("what is gone is still known", lambda: list(troubled(odd)), batch):
        await odd.world.until(lambda: not troubled(odd), seconds=SECONDS)
    logs.clear()  # type: ignore[attr-defined]
    # The history of all that was enormous would be kept otherwise.
    odd.world.server.compact()


class Life:
    """A request that is ready, with the objects that belong to it, as they are when all is well."""

    def __init__(self, odd: OddWorld, shop: Shop, name: str) -> None:
        self._server = odd.world.server
        request, content = shop.request(name), shop.content(name)
        assert request is not None
        assert content is not None
        kinds = {form.plural: form for form in FORMS}
        self.good = [
            (kinds[shop.sort.plural], request["metadata"]["name"], request),
            (kinds[shop.sort.kind.plural], content["metadata"]["name"], content),
        ]

    def spoil(self, oddities: Oddities) -> Odd:
        """Something of one of the objects becomes odd."""
        form, name, good = oddities.choose(self.good)
        odd = oddities.spoiled(form, name, good)
        self._server.plant(odd.plural, odd.name, odd.raw, odd.namespace)
        return odd

    def mend(self) -> None:
        """All is as it was when all was well, but for the marks that were taken away or put on meanwhile."""
        for form, name, good in self.good:
            body = good | {"metadata": good["metadata"] | {"resourceVersion": "@version@"}}
            namespace = good["metadata"].get("namespace", "")
            self._server.plant(form.plural, name, encoded(body), namespace)


@pytest.mark.timeout(3600)
async def test_promises_1_2_what_becomes_odd_in_its_life_is_lost_by_nobody(tmp_path: Path, logs: Logs) -> None:
    """Good, odd, and good again: the snapshots stay where they are, are served, and go when they are told to."""
    oddities = Oddities(SEED)
    async with odd_world(tmp_path) as odd:
        lives = []
        for number in range(LIVES):
            for shop, name in ((odd.singles, f"s-{number}"), (odd.groups, f"g-{number}")):
                await shop.make(name)
                lives.append((shop, name))
        await odd.world.until(lambda: all(shop.ready(name) for shop, name in lives), seconds=SECONDS)
        records = [Life(odd, shop, name) for shop, name in lives]
        stored = set(odd.world.driver.snapshots)
        for number in range(max(2, SHOWN // 2500)):
            said = [life.spoil(oddities) for life in records]
            await odd.neighbour(f"good-{number}")
            for life in records:
                life.mend()
            await odd.neighbour(f"better-{number}")
            with explained("is not as it was", list, said):
                await odd.world.until(lambda: not troubled(odd), seconds=SECONDS)
            assert stored <= set(odd.world.driver.snapshots), said
            assert all(shop.ready(name) for shop, name in lives), said
            assert not unexpected(logs), said
        await asyncio.gather(*(shop.delete(name) for shop, name in lives))
        await odd.world.until(lambda: all(shop.request(name) is None for shop, name in lives), seconds=SECONDS)
        await odd.world.until(lambda: not stored & set(odd.world.driver.snapshots), seconds=SECONDS)
