"""What the API server and other writers put in the way: lost answers, refusals, conflicts, strange objects."""

import asyncio
import itertools
import re
from contextlib import suppress
from typing import Any, Final

import pytest

from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.lives import (
    CONTROLLER_GROUP,
    CONTROLLER_SINGLE,
    Step,
    assert_that_nobody_was_alarmed,
    assert_that_there_is_one_of_each,
)
from tests.controller.shop import CORE, GROUPS, NAMESPACE, NEVER, SINGLES, Shop, Sort
from tests.world import JSON_PATCH, MERGE

LIVES: Final = {SINGLES.id: CONTROLLER_SINGLE, GROUPS.id: CONTROLLER_GROUP}

TROUBLES: Final[dict[str, dict[str, Any]]] = {
    "the answer is lost": {"cut": "after"},
    "the request is lost": {"cut": "before"},
    "the server fails": {"error": 500},
    "the server fails for longer than we are patient": {"error": 503, "times": 4},
    "the effect is there and the answer says it is not": {"error": 504, "error_when": "after"},
}


async def live(shop: Shop, making: Fault | None, deleting: Fault | None) -> None:
    """One life, with trouble in the making and trouble in the end."""
    if making is not None:
        shop.world.server.faults.set(making)
    await shop.make("one")
    await shop.world.until(lambda: shop.at_rest("one"))
    assert_that_there_is_one_of_each(shop)
    shop.world.server.faults.clear()
    if deleting is not None:
        shop.world.server.faults.set(deleting)
    await shop.delete("one")
    await shop.world.until(shop.nothing_left)
    shop.world.server.faults.clear()


@each_sort
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_trouble_with_any_one_write_is_passed_over_in_silence(
    shop: Shop, sort: Sort, trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases 13, 89, 107, 150, 152, W5: there is one of each, whatever became of the answers."""
    monkeypatch.setattr("snapshotter.kube.patience.PAUSES", (0.01, 0.01))
    life = LIVES[sort.id]
    async with shop.programs():
        for steps in itertools.zip_longest(life.making, life.deleting):
            await live(shop, *(None if step is None else step.fault(**trouble) for step in steps))
        assert_that_nobody_was_alarmed(shop)
    assert not shop.protected("data")


def touched(step: Step) -> str | None:
    """The path of the object that a step writes to, if that is known beforehand."""
    found = re.search(r"/(persistentvolumeclaims|volumesnapshots|volumegroupsnapshots)/(\w+)", step.call)
    if found is None or not step.call.startswith(("PUT", "PATCH")):
        return None
    plural, name = found.groups()
    if plural == "persistentvolumeclaims":
        return f"{CORE}/namespaces/{NAMESPACE}/{plural}/{name}"
    return f"{(SINGLES if plural == SINGLES.plural else GROUPS).path}/{name}"


@each_sort
async def test_a_conflict_is_nobodys_business(shop: Shop, sort: Sort) -> None:
    """Cases 62, 80; promise 6: just before each of our writes somebody else writes, and no time has to pass."""
    steps = [(step, path) for step in LIVES[sort.id].making if (path := touched(step)) is not None]
    faults = shop.world.server.faults
    async with shop.programs(NEVER):
        for number, (step, path) in enumerate(steps):
            hold = faults.set(step.fault(hold="before"))
            await shop.make("one")
            await faults.wait_for_held()
            finalizers = (await shop.world.request("GET", path))["metadata"].get("finalizers", [])
            theirs = {"finalizers": [f"example.com/{number}", *finalizers], "annotations": {"example.com/by": "them"}}
            await shop.world.request("PATCH", path, {"metadata": theirs}, MERGE)
            faults.lift(hold)
            await shop.world.until(lambda: shop.at_rest("one"))
            assert_that_there_is_one_of_each(shop)
            found = await shop.world.request("GET", path)
            assert f"example.com/{number}" in found["metadata"]["finalizers"]
            own = [name for name in found["metadata"]["finalizers"] if not name.startswith("example.com/")]
            await shop.world.request("PATCH", path, {"metadata": {"finalizers": own}}, MERGE)
            await shop.delete("one")
            await shop.world.until(shop.nothing_left)
    assert len(steps) >= 5
    assert_that_nobody_was_alarmed(shop)


@each_sort
async def test_what_others_write_meanwhile_stays(shop: Shop, sort: Sort) -> None:
    """Promise 8, W7, case 115: annotations, labels and finalizers of others, in all objects of a request's life."""
    server = shop.world.server
    collections = {
        f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims": ("persistentvolumeclaims", NAMESPACE),
        sort.path: (sort.plural, NAMESPACE),
        SINGLES.path: ("volumesnapshots", NAMESPACE),
        SINGLES.kind.path: ("volumesnapshotcontents", ""),
        sort.kind.path: (sort.kind.plural, ""),
    }
    written: dict[tuple[str, str], set[str]] = {}
    rounds = 0

    async def write() -> None:
        nonlocal rounds
        for number in itertools.count():
            for path, (plural, namespace) in collections.items():
                for each in server.list(plural, namespace or None):
                    name = each["metadata"]["name"]
                    key = f"example.com/{number}"
                    change = {"metadata": {"annotations": {key: "theirs"}, "labels": {key: "theirs"}}}
                    await shop.world.request("PATCH", f"{path}/{name}", change, MERGE)
                    if "example.com/theirs" not in each["metadata"].get("finalizers", []):
                        given = each["metadata"].get("finalizers")
                        add = {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/theirs"]}
                        if given:
                            add = {"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/theirs"}
                        test = {"op": "test", "path": "/metadata/finalizers", "value": given}
                        # Whoever was faster has the list as it is not here: the next round tries again.
                        with suppress(AssertionError):
                            await shop.world.request("PATCH", f"{path}/{name}", [test, add], JSON_PATCH)
                    written.setdefault((path, name), set()).add(key)
            rounds += 1
            await asyncio.sleep(0)

    async with shop.programs():
        others = asyncio.create_task(write())
        for number in range(3):
            await shop.make(f"r{number}")
        await shop.world.until(lambda: all(shop.at_rest(f"r{number}") for number in range(3)))
        await shop.world.until(lambda: rounds > 5)
        others.cancel()
        await asyncio.gather(others, return_exceptions=True)
    assert_that_nobody_was_alarmed(shop)
    for (path, name), keys in written.items():
        plural, namespace = collections[path]
        found = server.get(plural, name, namespace)
        assert found is not None
        assert keys <= set(found["metadata"]["annotations"])
        assert keys <= set(found["metadata"]["labels"])
        assert "example.com/theirs" in found["metadata"]["finalizers"]
    assert len(written) >= 8


@each_sort
async def test_a_refusal_of_the_api_server_is_told_once_and_then_done(shop: Shop, sort: Sort) -> None:
    """Cases 12, 63, 97; W8, W32: admission refuses our content for a while."""
    faults = shop.world.server.faults
    fault = faults.set(Fault(match=f"POST {sort.kind.path}$", error=403, message="quota of contents is used up"))
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: "quota of contents is used up" in (shop.error("one") or ""))
        await shop.world.until(lambda: faults.affected(fault) > 4)
        faults.lift(fault)
        await shop.world.until(lambda: shop.at_rest("one"))
        assert not shop.error("one")
    warned = [event["reason"] for event in shop.world.warnings("one")]
    single = ["CreateSnapshotContentFailed", "SnapshotContentCreationFailed"]
    group = ["CreateGroupSnapshotContentFailed", "GroupSnapshotContentCreationFailed"]
    assert sorted(warned) == (single if sort is SINGLES else group)
    assert all(event["count"] == 1 for event in shop.world.warnings("one"))


@each_sort
async def test_a_deletion_that_the_api_server_refuses_names_the_reason(shop: Shop, sort: Sort) -> None:
    """Cases 96, 173."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        fault = shop.world.server.faults.set(Fault(match=f"DELETE {sort.kind.path}/", error=403, message="not today"))
        await shop.delete("one")
        await shop.world.until(lambda: shop.world.warnings("one"))
        assert shop.request("one") is not None
        assert "not today" in shop.world.warnings("one")[0]["message"]
        shop.world.server.faults.lift(fault)
        await shop.world.until(shop.nothing_left)


@each_sort
async def test_no_event_is_about_nothing(shop: Shop, sort: Sort) -> None:
    """W8: every event names its object by kind, name and uid, and is where that object's events are looked for."""
    async with shop.programs():
        await shop.make("fine")
        await shop.make("hopeless", class_name="missing")
        await shop.world.until(lambda: shop.ready("fine") and shop.error("hopeless"))
        await shop.delete("fine")
        await shop.delete("hopeless")
        await shop.world.until(shop.nothing_left)
    events = shop.world.server.list("events")
    assert len(events) > 3
    for event in events:
        about = event["involvedObject"]
        assert about["kind"]
        assert about["name"]
        assert about["uid"]
        assert event["metadata"]["namespace"] == about.get("namespace", "default")
        assert event["source"]["component"] in (
            "snapshot-controller",
            f"csi-snapshotter {shop.world.driver.options.name}",
        )


@each_sort
async def test_a_strange_object_fails_alone(shop: Shop, sort: Sort) -> None:
    """Cases 158, 160, W4."""
    world = shop.world
    strange: dict[str, Any] = {
        "unclaimed": {"csi": {"driver": world.driver.options.name, "volumeHandle": "vol"}},
        "half-claimed": {"csi": {"driver": world.driver.options.name, "volumeHandle": "vol2"}, "claimRef": {}},
    }
    for name, spec in strange.items():
        spec |= {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
        body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        await world.request("POST", f"{CORE}/persistentvolumes", body)
    await shop.make_claim("odd", source={"kind": "VolumeSnapshot", "name": "fine"}, bound=False)
    async with shop.programs():
        await shop.make("fine")
        await world.until(lambda: shop.at_rest("fine"))
        if sort is GROUPS:
            claims = [member["spec"]["source"]["persistentVolumeClaimName"] for member in shop.members("fine")]
            assert claims == ["", ""]
        await shop.delete("fine")
        await world.until(shop.nothing_left)
    assert_that_nobody_was_alarmed(shop)


async def test_snapshots_that_go_at_once_leave_no_claim_behind(shop: Shop) -> None:
    """W20: each of them could think that another still needs the claim."""
    shop.world.hold("^CreateSnapshot ")
    async with shop.programs():
        for number in range(4):
            await shop.make(f"r{number}")
        await shop.world.driver.faults.wait_for_held(4)
        assert shop.protected("data")
        shop.world.driver.faults.clear()
        async with asyncio.TaskGroup() as users:
            for number in range(4):
                users.create_task(shop.delete(f"r{number}"))
        await shop.world.until(shop.nothing_left)
        await shop.world.until(lambda: not shop.protected("data"))


@each_sort
async def test_a_snapshot_that_was_there_is_not_made_anew_when_our_cache_is_behind(shop: Shop, sort: Sort) -> None:
    """Cases 21, 22: a content of the right name that the watch has not told of is taken as what it is."""
    async with shop.programs(NEVER):
        await shop.make("before")
        await shop.world.until(lambda: shop.at_rest("before"))
        shop.world.server.mute_watches()
        shop.world.server.faults.set(Fault(match=f"POST {sort.kind.path}$", error=504, error_when="after", times=1))
        # The controller does not hear of the request until its watch begins anew.
        await shop.make("one")
        shop.world.server.cut_watches()
        await shop.world.until(lambda: shop.at_rest("one"))
    assert len(shop.world.server.list(sort.kind.plural)) == 2
    assert_that_nobody_was_alarmed(shop)


WATCH_FAULTS: Final[dict[str, dict[str, Any] | None]] = {
    "reset": None,
    "reset again and again": {"cut": "before", "times": 6},
    "410": {"error": 410, "times": 6},
    "an error frame": {"error": 500, "error_when": "after", "times": 6},
}


@each_sort
@pytest.mark.parametrize("trouble", WATCH_FAULTS.values(), ids=WATCH_FAULTS.keys())
async def test_promise_11_whatever_happens_to_the_watches_changes_are_acted_on(
    shop: Shop, sort: Sort, trouble: dict[str, Any] | None
) -> None:
    async with shop.programs(NEVER):
        await shop.make("before")
        await shop.world.until(lambda: shop.at_rest("before"))
        if trouble is not None:
            shop.world.server.faults.set(Fault(match="^WATCH ", **trouble))
        shop.world.server.compact()
        shop.world.server.cut_watches()
        await shop.delete("before")
        await shop.make("after")
        await shop.world.until(lambda: shop.at_rest("after") and shop.request("before") is None)
        await shop.delete("after")
        await shop.world.until(shop.nothing_left)
    assert_that_nobody_was_alarmed(shop)


@each_sort
async def test_nobody_is_warned_of_a_request_that_has_just_gone(shop: Shop, sort: Sort) -> None:
    """It is deleted between our look and our first write, and the watch tells of it only later."""
    server = shop.world.server
    async with shop.programs(NEVER):
        hold = server.faults.set(Fault(match=f"PATCH .*/{sort.plural}/one$", times=1, hold="before"))
        await shop.make("one")
        await server.faults.wait_for_held()
        server.mute_watches()
        await shop.delete("one")
        server.faults.lift(hold)
        await shop.world.until(lambda: any(record.status == 404 for record in server.requests))
        await shop.make("two")
        server.cut_watches()
        await shop.world.until(lambda: shop.at_rest("two"))
    assert_that_nobody_was_alarmed(shop)


@each_sort
@pytest.mark.parametrize("kept", [False, True], ids=["gone", "kept by others"])
async def test_nobody_is_warned_of_a_request_that_is_deleted_while_the_watch_is_silent(
    shop: Shop, sort: Sort, kept: bool
) -> None:
    """What its first write is told again and again is that it is not found, or takes no finalizers any more."""
    server = shop.world.server
    await shop.make("one")
    await shop.patch("one", {"metadata": {"finalizers": ["example.com/theirs"] if kept else []}})
    hold = server.faults.set(Fault(match=f"PATCH .*/{sort.plural}/one$", times=1, hold="before"))
    async with shop.programs():
        await server.faults.wait_for_held()
        server.mute_watches()
        await shop.delete("one")
        server.faults.lift(hold)
        refusals, most = (422, 1) if kept else (404, 4)
        await shop.world.until(lambda: sum(record.status == refusals for record in server.requests) >= most)
        await shop.make("two")
        server.cut_watches()
        await shop.world.until(lambda: shop.at_rest("two"))
    assert_that_nobody_was_alarmed(shop)
