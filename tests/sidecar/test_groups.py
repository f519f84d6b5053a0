"""What only groups have: members, and an API that comes and goes."""

import asyncio
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snapshotter import names
from snapshotter.settings import WorkSettings
from snapshotter.testing.apiserver.server import definitions_in, shipped_crds
from snapshotter.testing.faults import Fault
from tests.world import DEFINITIONS, GROUP, GROUP_API, MERGE, SINGLE, Kind, World, make_world

BROKEN_DISCOVERY = "^GET /apis/groupsnapshot.storage.k8s.io$"


@pytest.fixture
def kind() -> Kind:
    return GROUP


@pytest.fixture
async def singles(world: World) -> World:
    """The same world, seen with an eye for single snapshots."""
    single = world.of(SINGLE)
    await single.make_class()
    return single


def members(world: World, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.status(name).get("volumeSnapshotInfoList", [])
    return found


def ready_members(world: World, name: str) -> int:
    return sum(member.get("readyToUse") is True for member in members(world, name))


DRIVERS = {
    "with every way to look a snapshot up": {},
    "without GetSnapshot and ListSnapshots": {"get_snapshot": False, "list_snapshots": False},
}


@pytest.mark.parametrize("abilities", DRIVERS.values(), ids=DRIVERS.keys())
async def test_promise_9_and_case_77_a_ready_group_tells_all_of_its_members(
    tmp_path: Path, abilities: dict[str, Any]
) -> None:
    async with make_world(tmp_path, GROUP, **abilities) as world, world.sidecar():
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
        status = world.status("one")
    (group,) = world.driver.groups.values()
    assert status["volumeGroupSnapshotHandle"] == group.id
    assert status["creationTime"].endswith("Z")
    assert status["volumeSnapshotInfoList"] == [
        {
            "volumeHandle": volume,
            "snapshotHandle": snapshot,
            "creationTime": world.driver.snapshots[snapshot].created_at_ns,
            "readyToUse": True,
            "restoreSize": size,
        }
        for volume, snapshot, size in zip(("vol", "vol2"), group.snapshot_ids, (500, 200), strict=True)
    ]
    assert {call.method for call in world.driver.calls if "Snapshot" in call.method} == {"CreateVolumeGroupSnapshot"}


async def test_case_86_members_of_a_driver_that_gives_no_time_and_no_size(tmp_path: Path) -> None:
    async with make_world(tmp_path, GROUP, omit_creation_time=True, omit_size=True) as world, world.sidecar():
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    for member in members(world, "one"):
        assert "restoreSize" not in member
        assert member["creationTime"] > 1_700_000_000_000_000_000


async def test_case_99_members_are_kept_true_while_the_group_becomes_ready(tmp_path: Path) -> None:
    async with make_world(tmp_path, GROUP, ready_after_seconds=math.inf) as world, world.sidecar():
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: len(members(world, "one")) == 2)
        assert ready_members(world, "one") == 0
        first, second = (member["snapshotHandle"] for member in members(world, "one"))
        world.driver.make_ready(second)
        await world.until(lambda: ready_members(world, "one") == 1)
        assert members(world, "one")[1]["readyToUse"]
        assert not world.ready("one")
        world.driver.make_ready(first)
        await world.until(lambda: world.ready("one"))
        assert ready_members(world, "one") == 2
    assert len(world.driver.groups) == 1


async def test_promise_4_a_group_that_is_ready_later_is_seen_ready_soon_whatever_the_backoff(tmp_path: Path) -> None:
    async with make_world(tmp_path, GROUP, ready_after_seconds=1.7) as world:
        await world.make_class()
        async with world.sidecar(work=WorkSettings(retry_start=60.0, retry_max=60.0, shutdown_grace=2.0)):
            start = asyncio.get_running_loop().time()
            await world.make_content("one")
            await world.until(lambda: world.ready("one"))
            assert asyncio.get_running_loop().time() - start < 1.7 + 5
            assert ready_members(world, "one") == 2
    assert not world.warnings("one")


async def test_promise_9_a_group_is_not_ready_before_its_members_are_whatever_the_driver_says(world: World) -> None:
    fault = world.driver.faults.set(
        Fault(match=GROUP.create, answer={"group_snapshot.snapshots.1.ready_to_use": False})
    )
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: ready_members(world, "one") == 1)
        assert world.status("one")["readyToUse"] is False
        world.driver.faults.lift(fault)
        await world.until(lambda: world.ready("one"))
        assert ready_members(world, "one") == 2


async def test_promise_4_a_group_whose_error_differs_each_time_sees_few_creates_and_makes_one_event(
    world: World,
) -> None:
    # The default flags, twenty times as fast.
    world.driver.faults.set(Fault(match=GROUP.create, error="INTERNAL", message="request {n} failed"))
    async with world.sidecar(work=WorkSettings(retry_start=1 / 20, retry_max=300 / 20)):
        await world.make_content("one")
        await world.until(lambda: any(event["count"] >= 4 for event in world.events("one")))
    assert len(world.events("one")) == 1
    starts = [call.started_monotonic for call in world.driver.log.of(GROUP.create)]
    for number, (before, after) in enumerate(itertools.pairwise(starts)):
        assert after - before > 0.9 / 20 * 2**number


NONSENSE: dict[str, tuple[dict[str, object], str]] = {
    "no group": ({"group_snapshot": None}, "without a group"),
    "no id": ({"group_snapshot.group_snapshot_id": ""}, "a group without an id"),
    "the id of another group": ({"group_snapshot.group_snapshot_id": "another"}, 'with group "another" and a member'),
    "a member is missing": ({"group_snapshot.snapshots": [0]}, 'without volumes "vol2"'),
    "all members are missing": ({"group_snapshot.snapshots": []}, 'without volumes "vol", "vol2"'),
    "a member comes twice": ({"group_snapshot.snapshots": [0, 0, 1]}, "with doubled"),
    "a foreign member": (
        {"group_snapshot.snapshots": [0, 1, {"snapshot_id": "x", "source_volume_id": "elsewhere"}]},
        'with foreign volumes "elsewhere"',
    ),
    "a member of another group": (
        {"group_snapshot.snapshots.1.group_snapshot_id": "another"},
        'of group "another"',
    ),
    "a member without an id": ({"group_snapshot.snapshots.1.snapshot_id": ""}, "a snapshot without an id"),
    "a member without a volume": ({"group_snapshot.snapshots.1.source_volume_id": ""}, 'without volumes "vol2"'),
    "thousands of members": ({"group_snapshot.snapshots": [0, 1] * 2500}, "with doubled"),
}


@pytest.mark.parametrize(("answer", "text"), NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_nonsensical_answer_is_an_error_and_loses_nothing(
    world: World, answer: dict[str, object], text: str
) -> None:
    fault = world.driver.faults.set(Fault(match=GROUP.create, answer=answer))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: text in (world.error("one") or ""))
        assert len(world.error("one") or "") < 500
        assert world.status("one")["readyToUse"] is False
        # The driver may have made a group, so the content is held back.
        assert GROUP.being_created in world.annotations("one")
        await world.delete_content("one")
        await world.until(lambda: world.calls(GROUP.create) >= 3)
        assert world.calls(GROUP.delete) == 0
        world.driver.faults.lift(fault)
        await world.until(lambda: world.content("one") is None)
    assert not world.driver.groups
    assert not world.driver.snapshots


async def test_the_members_of_a_nonsensical_later_answer_are_not_taken(tmp_path: Path) -> None:
    async with make_world(tmp_path, GROUP, ready_after_seconds=1.0) as world, world.sidecar():
        await world.make_class()
        world.driver.faults.set(Fault(match=GROUP.create, skip=1, times=3, answer={"group_snapshot.snapshots": [0]}))
        await world.make_content("one")
        await world.until(lambda: 'without volumes "vol2"' in (world.error("one") or ""))
        assert len(members(world, "one")) == 2
        await world.until(lambda: {event["reason"] for event in world.warnings("one")} == {GROUP.check_failed})
        await world.until(lambda: world.ready("one"))
        assert world.error("one") is None


async def test_case_98_an_imported_group_is_looked_up_with_the_secret_of_its_class(tmp_path: Path) -> None:
    required = {GROUP.look_up: {"user": "reader"}}
    async with make_world(tmp_path, GROUP, ready_after_seconds=1.0, required_secrets=required) as world:
        await world.make_class()
        await world.make_class(
            "import",
            {
                names.GROUP_GET_SECRET_NAME: "${volumegroupsnapshotcontent.name}-login",
                names.GROUP_GET_SECRET_NAMESPACE: "default",
            },
        )
        await world.make_secret("import-login", user="reader")
        async with world.sidecar():
            await world.make_content("cut", policy="Retain")
            await world.until(lambda: GROUP.handle in world.status("cut"))
            await world.make_content("import", snapshot=world.handle("cut"), class_name="import")
            await world.until(lambda: world.ready("import") and world.ready("cut"))
            assert world.status("import") == world.status("cut")
        assert world.calls(GROUP.look_up) >= 2


async def test_case_92_an_imported_group_is_deleted_with_all_of_its_members(world: World) -> None:
    async with world.sidecar():
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.settled("cut"))
        handle = world.handle("cut")
        await world.make_content("import", snapshot=handle, class_name=None)
        await world.until(lambda: world.ready("import"))
        await world.delete_content("import")
        await world.until(lambda: world.content("import") is None)
    (call,) = world.driver.log.of(GROUP.delete)
    assert call.subject == handle
    assert sorted(call.request["snapshot_ids"]) == sorted(member["snapshotHandle"] for member in members(world, "cut"))
    assert not world.driver.snapshots


async def test_case_97_an_imported_group_that_is_not_there_is_an_error(world: World) -> None:
    async with world.sidecar():
        await world.make_content("import", snapshot="nowhere", class_name=None)
        await world.until(lambda: 'check of group snapshot "nowhere" failed' in (world.error("import") or ""))
        await world.until(lambda: world.warnings("import"))
        assert world.warnings("import")[0]["reason"] == GROUP.check_failed


async def test_promise_2_members_are_looked_up_never_created_and_never_deleted_singly(
    world: World, singles: World
) -> None:
    """Cases 19 and 43."""
    async with world.sidecar():
        await world.make_content("group")
        await world.until(lambda: world.settled("group"))
        group, member = world.handle("group"), members(world, "group")[0]
        # As the snapshot-controller makes it: the status follows after the object.
        await singles.make_content("member", class_name=None, annotations={names.MEMBER_OF_GROUP: group})
        status = {SINGLE.handle: member["snapshotHandle"], GROUP.handle: group, "readyToUse": False}
        await singles.patch("member", {"status": status}, status=True)
        await singles.until(lambda: singles.ready("member"))
        assert singles.calls(SINGLE.look_up, member["snapshotHandle"]) == 1
        await singles.delete_content("member")
        await singles.until(lambda: singles.content("member") is None)
        assert member["snapshotHandle"] in world.driver.snapshots
        await world.delete_content("group")
        await world.until(lambda: world.content("group") is None)
    assert world.calls(SINGLE.create) == world.calls(SINGLE.delete) == 0
    assert not world.driver.snapshots


async def test_case_100_contents_of_both_kinds_with_the_same_name_are_both_processed(
    world: World, singles: World
) -> None:
    async with world.sidecar():
        await world.make_content("same")
        await singles.make_content("same")
        await world.until(lambda: world.settled("same") and singles.settled("same"))
        await world.delete_content("same")
        await world.until(lambda: world.content("same") is None)
        assert singles.handle("same") in world.driver.snapshots
        await singles.delete_content("same")
        await world.until(lambda: singles.content("same") is None)
    assert not world.driver.snapshots
    assert not world.server.list("events")


NO_GROUPS = {
    "it says so": {"capabilities": []},
    "it says nothing of use": {"capabilities": [{"rpc": {"type": 0}}]},
}


@pytest.mark.parametrize("answer", NO_GROUPS.values(), ids=NO_GROUPS.keys())
async def test_case_101_a_driver_without_groups_gets_no_call_until_it_can(
    world: World, singles: World, answer: dict[str, object]
) -> None:
    fault = world.driver.faults.set(Fault(match="GroupControllerGetCapabilities", answer=answer))
    async with world.sidecar(work=WorkSettings(retry_start=60.0, retry_max=60.0, shutdown_grace=2.0)):
        await world.make_content("one")
        await singles.make_content("single")
        await world.until(lambda: "does not support group snapshots" in (world.error("one") or ""))
        await world.until(lambda: singles.ready("single"))
        assert GROUP.being_created not in world.annotations("one")
        assert world.calls(GROUP.create) == 0
        # The driver returns with the capability; nothing waits for the backoff.
        world.driver.faults.lift(fault)
        await world.driver.stop_serving()
        await world.driver.start_serving()
        await world.until(lambda: world.ready("one"))
        assert world.error("one") is None


async def test_promise_7_and_case_101_a_deletion_that_waits_for_a_driver_with_groups_says_so(world: World) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        fault = world.driver.faults.set(Fault(match="GroupControllerGetCapabilities", answer={"capabilities": []}))
        await world.driver.start_serving()
        await world.delete_content("one")
        await world.until(lambda: "does not support group snapshots" in (world.error("one") or ""))
        await world.until(lambda: world.warnings("one"))
        assert world.calls(GROUP.delete) == 0
        world.driver.faults.lift(fault)
        await world.driver.stop_serving()
        await world.driver.start_serving()
        await world.until(lambda: world.content("one") is None)
    assert not world.driver.groups


async def test_case_101_a_driver_without_a_group_controller_serves_singles(tmp_path: Path) -> None:
    async with make_world(tmp_path, GROUP, groups=False) as world, world.sidecar():
        await world.make_class()
        singles = world.of(SINGLE)
        await singles.make_class()
        await singles.make_content("single")
        await world.make_content("one")
        await world.until(lambda: singles.ready("single"))
        await world.until(lambda: "does not support group snapshots" in (world.error("one") or ""))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert world.calls(GROUP.create) == 0


# The API may come and go.

DEFINED = [
    definition for definition in definitions_in(shipped_crds()) if definition["spec"]["group"] in GROUP_API.split("/")
]


async def undefine(world: World) -> None:
    """Take the definitions of the group kinds away, with all objects of these kinds."""
    for definition in DEFINED:
        await world.request("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")


async def define(world: World, *versions: str) -> None:
    """Define the group kinds, with just these versions served."""
    for definition in DEFINED:
        spec = definition["spec"] | {
            "versions": [
                version | {"served": version["name"] in versions} for version in definition["spec"]["versions"]
            ]
        }
        await world.request("POST", DEFINITIONS, definition | {"spec": spec})


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked often what is served."""
    monkeypatch.setattr("snapshotter.daemon.groups.LOOK_AGAIN_SECONDS", 0.1)


@pytest.mark.usefixtures("quick_looks")
async def test_groups_begin_without_a_restart_when_their_definitions_appear(world: World, singles: World) -> None:
    """Case 109, and what comes after it."""
    await undefine(world)
    async with world.sidecar() as sidecar:
        await singles.make_content("before")
        await world.until(lambda: singles.settled("before"))
        assert not sidecar.health.alive()
        assert not world.sidecar_requests(GROUP.path)
        await define(world, "v1beta2", "v1")
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert not world.driver.groups
    assert not world.server.list("events")


@pytest.mark.usefixtures("quick_looks")
async def test_singles_go_on_when_the_definitions_of_groups_go_away(world: World, singles: World) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("group")
        await world.until(lambda: world.settled("group"))
        await world.patch("group", {"metadata": {"finalizers": None}})
        await undefine(world)
        await singles.make_content("one")
        await world.until(lambda: singles.settled("one"))
        await world.until(lambda: not sidecar.health.alive() and not sidecar.health.ready())
        await singles.delete_content("one")
        await world.until(lambda: singles.content("one") is None)
        # And come again.
        await define(world, "v1beta2", "v1")
        await world.make_class()
        await world.make_content("again")
        await world.until(lambda: world.settled("again"))
    assert not world.server.list("events")


VERSIONS = {
    "v1 where it is served": (("v1beta2", "v1"), "v1"),
    "v1beta2 where there is no other": (("v1beta2",), "v1beta2"),
    "v1 also where it is the only one": (("v1",), "v1"),
}


@pytest.mark.parametrize(("served", "spoken"), VERSIONS.values(), ids=VERSIONS.keys())
async def test_the_best_version_that_is_served_is_spoken(world: World, served: tuple[str, ...], spoken: str) -> None:
    await undefine(world)
    await define(world, *served)
    there = world.of(replace(GROUP, api=f"/apis/{names.GROUP_SNAPSHOT_GROUP}/{spoken}"))
    await there.make_class()
    async with there.sidecar():
        await there.make_content("one")
        await there.until(lambda: there.settled("one"))
    written = [request for request in there.sidecar_requests() if "/one" in request]
    assert written == ["PATCH /one", "PATCH /one/status", "PATCH /one"]


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize("status", [500, 503])
async def test_things_stay_as_they_are_while_the_server_does_not_say_what_is_served(
    world: World, singles: World, status: int
) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("before")
        await world.until(lambda: world.settled("before"))
        world.server.faults.set(Fault(match=BROKEN_DISCOVERY, error=status))
        asked = discoveries(world)
        await world.until(lambda: discoveries(world) >= asked + 2)
        await world.make_content("after")
        await singles.make_content("single")
        await world.until(lambda: world.settled("after") and singles.settled("single"))
        assert not sidecar.health.alive()


FORBIDDEN = {
    "what is served": BROKEN_DISCOVERY,
    "the contents": f"^LIST {GROUP.path}$",
    "the classes": f"^LIST {GROUP.class_path}$",
}


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize("match", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_a_role_that_may_not_see_groups_leaves_singles_working_and_groups_begin_when_it_may(
    world: World, singles: World, match: str
) -> None:
    fault = world.server.faults.set(Fault(match=match, error=403))
    async with world.sidecar() as sidecar:
        await world.make_content("group")
        await singles.make_content("single")
        await world.until(lambda: singles.settled("single"))
        assert not sidecar.health.alive()
        assert not sidecar.health.ready()
        assert world.calls(GROUP.create) == 0
        world.server.faults.lift(fault)
        await world.until(lambda: world.settled("group"))


@pytest.mark.usefixtures("quick_looks")
async def test_singles_go_on_when_the_definitions_go_away_in_the_middle_of_a_cut(world: World, singles: World) -> None:
    async with world.sidecar() as sidecar:
        hold = world.hold(GROUP.create, "after", times=1)
        await world.make_content("one", finalizers=())
        await world.driver.faults.wait_for_held(1)
        await world.patch("one", {"metadata": {"finalizers": None}})
        await undefine(world)
        asked = discoveries(world)
        await world.until(lambda: discoveries(world) >= asked + 2)
        world.driver.faults.lift(hold)
        await singles.make_content("single")
        await world.until(lambda: singles.settled("single"))
        assert not sidecar.health.alive()


@pytest.mark.usefixtures("quick_looks")
async def test_promise_1_a_cut_in_progress_while_the_version_changes_is_neither_lost_nor_doubled(world: World) -> None:
    await undefine(world)
    await define(world, "v1beta2")
    old = world.of(replace(GROUP, api=f"/apis/{names.GROUP_SNAPSHOT_GROUP}/v1beta2"))
    await old.make_class()
    async with world.sidecar():
        hold = world.hold(GROUP.create, "after", times=1)
        await old.make_content("one")
        await world.driver.faults.wait_for_held(1)
        for definition in DEFINED:
            path = f"{DEFINITIONS}/{definition['metadata']['name']}"
            await world.request("PATCH", path, {"spec": {"versions": definition["spec"]["versions"]}}, MERGE)
        # The new version is listed on trial; then the work in hand is waited for.
        await world.until(lambda: "LIST " in world.sidecar_requests())
        await asyncio.sleep(0.1)
        assert world.calls(GROUP.create) == 1
        world.driver.faults.lift(hold)
        await world.until(lambda: world.settled("one"))
        assert list(world.driver.groups) == [world.handle("one")]
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert not world.driver.groups
    assert not world.warnings("one")


def discoveries(world: World) -> int:
    """How often the sidecar has asked what is served."""
    return sum(record.path == "/apis/groupsnapshot.storage.k8s.io" for record in world.server.requests)
