"""Contents whose snapshot others have made: imported ones and members of groups."""

from pathlib import Path
from typing import Any

import pytest

from snapshotter import names
from snapshotter.testing.faults import Fault
from tests.world import World, each_kind, make_world

ABILITIES = {
    "with GetSnapshot": ({}, "GetSnapshot"),
    "with ListSnapshots alone": ({"get_snapshot": False}, "ListSnapshots"),
}


@pytest.mark.parametrize(("abilities", "method"), ABILITIES.values(), ids=ABILITIES.keys())
async def test_an_imported_snapshot_is_looked_up_until_it_is_ready(
    tmp_path: Path, abilities: dict[str, Any], method: str
) -> None:
    """Cases 50 and 56."""
    async with make_world(tmp_path, ready_after_seconds=1.0, **abilities) as world, world.sidecar():
        await world.make_class()
        await world.make_content("cut")
        await world.until(lambda: "snapshotHandle" in world.status("cut"))
        handle = world.status("cut")["snapshotHandle"]
        await world.make_content("import", snapshot=handle, class_name=None)
        await world.until(lambda: world.ready("import"))
        assert world.status("import") == world.status("cut") | {"readyToUse": True}
    assert world.calls(method, handle) >= 2
    assert world.calls("CreateSnapshot") >= 1


async def test_case_52_without_a_way_to_look_an_import_is_taken_as_ready(tmp_path: Path) -> None:
    async with make_world(tmp_path, get_snapshot=False, list_snapshots=False) as world, world.sidecar():
        await world.make_content("import", snapshot="somewhere", class_name=None)
        await world.until(lambda: world.ready("import"))
        status = world.status("import")
    assert status["snapshotHandle"] == "somewhere"
    assert "restoreSize" not in status
    assert status["creationTime"] > 1_700_000_000_000_000_000
    assert world.calls("ListSnapshots") == 0


async def test_case_54_a_snapshot_that_is_not_there_is_an_error(world: World) -> None:
    async with world.sidecar():
        await world.make_content("import", snapshot="nowhere", class_name=None)
        await world.until(lambda: 'snapshot "nowhere"' in (world.error("import") or ""))
        await world.until(lambda: world.warnings("import"))
        assert world.warnings("import")[0]["reason"] == "SnapshotContentCheckandUpdateFailed"


@each_kind
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL"])
async def test_cases_53_and_97_a_look_up_that_fails_is_told_and_leaves_the_mark_alone(world: World, code: str) -> None:
    async with world.sidecar():
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.settled("cut"))
        fault = world.driver.faults.set(Fault(match=world.kind.look_up, error=code, message="not now"))
        await world.make_content(
            "import",
            snapshot=world.handle("cut"),
            class_name=None,
            annotations={world.kind.being_created: "yes"},
        )
        await world.until(lambda: "not now" in (world.error("import") or ""))
        await world.until(lambda: world.warnings("import"))
        assert world.warnings("import")[0]["reason"] == world.kind.check_failed
        assert world.kind.being_created in world.annotations("import")
        world.driver.faults.lift(fault)
        await world.until(lambda: world.ready("import"))
        assert world.error("import") is None
    assert world.calls(world.kind.create) == 1
    # What the driver can do is known from the start, however often something is looked up.
    assert world.calls("GetPluginInfo") == world.calls("ControllerGetCapabilities") == 1


async def test_case_57_an_entry_about_another_snapshot_is_not_used(tmp_path: Path) -> None:
    async with make_world(tmp_path, get_snapshot=False) as world, world.sidecar():
        world.driver.faults.set(
            Fault(match="ListSnapshots", answer={"entries": [{"snapshot": {"snapshot_id": "x", "ready_to_use": True}}]})
        )
        await world.make_content("import", snapshot="wanted", class_name=None)
        await world.until(lambda: world.error("import") is not None)
        assert not world.ready("import")


async def test_case_51_the_class_names_the_secret_for_the_look_up(tmp_path: Path) -> None:
    needed = {"ListSnapshots": {"user": "reader"}}
    async with make_world(tmp_path, get_snapshot=False, required_secrets=needed) as world, world.sidecar():
        await world.make_secret("one-list", user="reader")
        await world.make_class(
            "listing",
            {
                names.LIST_SECRET_NAME: "${volumesnapshotcontent.name}-list",
                names.LIST_SECRET_NAMESPACE: "default",
            },
        )
        await world.make_class()
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.ready("cut"))
        await world.make_content("one", snapshot=world.status("cut")["snapshotHandle"], class_name="listing")
        await world.until(lambda: world.ready("one"))
        await world.make_content("no", snapshot=world.status("cut")["snapshotHandle"], class_name=None)
        await world.until(lambda: "Unauthenticated" in (world.error("no") or ""))


async def test_case_18_a_member_without_a_handle_is_waited_for_and_never_cut(world: World) -> None:
    async with world.sidecar():
        member = {names.MEMBER_OF_GROUP: "group-1"}
        await world.make_content("member", class_name=None, annotations=member)
        await world.make_content("other")
        await world.until(lambda: world.ready("other"))
        assert world.calls("CreateSnapshot") == 1
        # The controller records the handles later.
        handles = {"snapshotHandle": world.status("other")["snapshotHandle"], "volumeGroupSnapshotHandle": "group-1"}
        await world.patch("member", {"status": handles | {"readyToUse": False}}, status=True)
        await world.until(lambda: world.ready("member"))
    assert world.calls("GetSnapshot") == 1
    assert world.status("member")["volumeGroupSnapshotHandle"] == "group-1"


async def test_case_20_without_a_way_to_look_a_member_is_not_called_ready(tmp_path: Path) -> None:
    async with make_world(tmp_path, get_snapshot=False, list_snapshots=False) as world, world.sidecar():
        await world.make_class()
        member = {names.MEMBER_OF_GROUP: "group-1"}
        await world.make_content("member", class_name=None, annotations=member)
        handles = {"snapshotHandle": "snap", "volumeGroupSnapshotHandle": "group-1", "readyToUse": False}
        await world.patch("member", {"status": handles}, status=True)
        await world.make_content("other")
        await world.until(lambda: world.ready("other"))
        assert not world.ready("member")
        assert world.error("member") is None


async def test_case_55_a_group_that_the_driver_names_is_recorded(world: World) -> None:
    async with world.sidecar():
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.ready("cut"))
        world.driver.faults.set(Fault(match="GetSnapshot", answer={"snapshot": {"group_snapshot_id": "group-7"}}))
        await world.make_content("import", snapshot=world.status("cut")["snapshotHandle"], class_name=None)
        await world.until(lambda: world.ready("import"))
    assert world.status("import")["volumeGroupSnapshotHandle"] == "group-7"
