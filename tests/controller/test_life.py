"""The life of a request, from its making to its end, over real wires."""

import pytest

from snapshotter import names
from snapshotter.settings import ControlSettings
from tests.controller.conftest import each_sort
from tests.controller.shop import CORE, GROUPS, SINGLES, Shop, Sort
from tests.world import MERGE


@each_sort
async def test_a_request_becomes_ready_and_goes_without_a_trace(shop: Shop, sort: Sort) -> None:
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        status = shop.status("one")
        assert status[sort.bound] == f"{sort.content_prefix}{(shop.request('one') or {})['metadata']['uid']}"
        assert status["creationTime"]
        assert "error" not in status
        assert len(shop.world.driver.snapshots) == (1 if sort is SINGLES else 2)
        await shop.delete("one")
        await shop.world.until(shop.nothing_left)
    assert not [event for event in shop.world.server.list("events") if event["type"] == "Warning"]


@each_sort
async def test_users_are_told_of_each_step_once(shop: Shop, sort: Sort) -> None:
    """Cases 61, 62, W32."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one") and len(shop.told("one")) >= 3)
    assert shop.told("one") == sorted(f"{reason} 1" for reason in (sort.creating, sort.created, sort.became_ready))


async def test_a_group_has_one_snapshot_for_each_volume(shop: Shop) -> None:
    """Cases 145, 146, 153."""
    shop = shop.of(GROUPS)
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        members = shop.members("one")
        assert sorted(member["spec"]["source"]["persistentVolumeClaimName"] for member in members) == ["data", "log"]
        for member in members:
            assert member["status"]["readyToUse"] is True
            assert member["status"]["volumeGroupSnapshotName"] == "one"
            assert names.IN_GROUP_FINALIZER in member["metadata"]["finalizers"]
            assert "volumeSnapshotClassName" not in member["spec"]
            content = shop.world.server.get(
                "volumesnapshotcontents", member["status"]["boundVolumeSnapshotContentName"]
            )
            assert content is not None
            assert content["spec"]["volumeSnapshotRef"]["uid"] == member["metadata"]["uid"]
            assert content["status"]["snapshotHandle"] in shop.world.driver.snapshots
            assert content["spec"]["sourceVolumeMode"] == "Filesystem"


@each_sort
async def test_the_default_class_is_taken(shop: Shop, sort: Sort) -> None:
    """Cases 65, 124."""
    key = names.DEFAULT_CLASS if sort is SINGLES else names.DEFAULT_GROUP_CLASS
    path = f"{sort.kind.class_path}/class"
    await shop.world.request(
        "PATCH", path, {"metadata": {"annotations": {key: "true"}}}, "application/merge-patch+json"
    )
    async with shop.programs():
        made = await shop.make("one", class_name=None)
        await shop.world.until(lambda: shop.at_rest("one"))
    request = shop.request("one")
    assert request is not None
    assert request["spec"] != made["spec"]
    assert "class" in request["spec"].values()


@each_sort
@pytest.mark.parametrize("content_first", [True, False], ids=["the content comes first", "the request comes first"])
async def test_what_exists_already_is_imported(shop: Shop, sort: Sort, content_first: bool) -> None:
    """Cases 41, 64, 130, W21."""
    async with shop.programs():
        await shop.make("original")
        await shop.world.until(lambda: shop.at_rest("original"))
        content = shop.content("original")
        assert content is not None
        handle = content["status"][sort.kind.handle]

        async def make_content() -> None:
            await shop.world.make_content("imported", snapshot=handle, policy="Retain", uid="", finalizers=())

        async def make_request() -> None:
            await shop.make("imported", imports="imported", class_name=None)

        steps = [make_content, make_request] if content_first else [make_request, make_content]
        for step in steps:
            await step()
        await shop.world.until(lambda: shop.ready("imported"))
        assert shop.status("imported")[sort.bound] == "imported"
        request = shop.request("imported")
        bound = shop.world.content("imported")
        assert request is not None
        assert bound is not None
        assert bound["spec"][sort.kind.ref]["uid"] == request["metadata"]["uid"]
        assert sort.kind.finalizer in bound["metadata"]["finalizers"]


@each_sort
async def test_what_is_retained_stays_on_the_storage(shop: Shop, sort: Sort) -> None:
    """Cases 94, 163."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        content = shop.content("one")
        assert content is not None
        name = content["metadata"]["name"]
        await shop.world.patch(name, {"spec": {"deletionPolicy": "Retain"}})
        held = set(shop.world.driver.snapshots)
        await shop.delete("one")
        await shop.world.until(lambda: shop.request("one") is None)
        left = shop.world.content(name)
        assert left is not None
        assert left["metadata"]["annotations"][sort.kind.being_deleted] == "yes"
        assert set(shop.world.driver.snapshots) == held


async def test_a_restore_in_progress_is_waited_for_and_named(shop: Shop) -> None:
    """Case 101, W21, W30: the end of the restore is heard of at once."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": "one"}
        await shop.make_claim("restored", source=source, bound=False)
        await shop.delete("one")
        await shop.world.until(lambda: shop.world.warnings("one"))
        (event,) = shop.world.warnings("one")
        assert event["reason"] == "SnapshotDeletePending"
        assert '"default/restored"' in event["message"]
        assert shop.content("one") is not None
        await shop.make_volume("restored", "restored-volume")
        await shop.bind("restored")
        await shop.world.until(shop.nothing_left)


async def test_a_member_of_a_living_group_stays(shop: Shop) -> None:
    """Case 168."""
    groups = shop.of(GROUPS)
    async with groups.programs():
        await groups.make("one")
        await groups.world.until(lambda: groups.at_rest("one"))
        member = groups.members("one")[0]["metadata"]["name"]
        await shop.delete(member)
        await shop.world.until(lambda: shop.world.warnings(member))
        assert 'member of VolumeGroupSnapshot "default/one"' in shop.world.warnings(member)[0]["message"]
        assert len(shop.world.driver.snapshots) == 2
        await groups.delete("one")
        await shop.world.until(shop.nothing_left)


async def test_a_lost_content_is_not_cut_again(shop: Shop) -> None:
    """Cases 26, 28, 29, W2: another moment's data under the old date would be a lie."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        content = shop.content("one")
        assert content is not None
        cuts = shop.world.calls("CreateSnapshot")
        name, told_time = content["metadata"]["name"], shop.status("one")["creationTime"]
        # Deleted first: whoever is not being deleted gets the finalizer back.
        await shop.world.request("DELETE", f"{shop.world.kind.path}/{name}")
        await shop.world.patch(name, {"metadata": {"finalizers": []}})
        await shop.world.until(lambda: shop.error("one"))
        assert not shop.ready("one")
        assert f'VolumeSnapshotContent "{name}" is gone' in (shop.error("one") or "")
        assert shop.status("one")["creationTime"] == told_time
        assert shop.world.calls("CreateSnapshot") == cuts
        assert shop.content("one") is None
        await shop.delete("one")
        await shop.world.until(lambda: shop.request("one") is None)


@each_sort
async def test_a_restart_finds_nothing_to_do(shop: Shop, sort: Sort) -> None:
    """Case 142, W1."""
    async with shop.programs():
        for number in range(5):
            await shop.make(f"r{number}")
        await shop.world.until(lambda: all(shop.at_rest(f"r{number}") for number in range(5)))
    shop.world.server.requests.clear()
    events = len(shop.world.server.list("events"))
    async with shop.programs() as controller:
        await shop.world.until(lambda: not controller.health.ready())
        await shop.make("later")
        await shop.world.until(lambda: shop.at_rest("later"))
    written = [each for each in shop.asked("POST", "PUT", "PATCH", "DELETE") if "later" not in each]
    later = shop.request("later")
    assert later is not None
    about_claims = ("/persistentvolumeclaims/data", "/persistentvolumeclaims/log")
    of_members = [member["metadata"]["name"].removeprefix("snapshot-") for member in shop.members("later")]
    allowed = (later["metadata"]["uid"], *about_claims, *of_members)
    creations = [each for each in written if each.startswith("POST")]
    assert [each for each in written if each not in creations and not any(part in each for part in allowed)] == []
    assert len(creations) == (1 if sort is SINGLES else 5)
    assert len(shop.world.server.list("events")) - events <= 3 + 2 * len(of_members)


async def test_the_mode_of_volumes_is_not_recorded_when_that_is_turned_off(shop: Shop) -> None:
    async with shop.programs(control=ControlSettings(record_volume_mode=False)):
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        content = shop.content("one")
        assert content is not None
        assert "sourceVolumeMode" not in content["spec"]


@each_sort
async def test_a_content_is_given_to_the_node_that_reaches_its_volumes(shop: Shop, sort: Sort) -> None:
    """Case 176, W16: single and group contents alike; the first of several nodes by name."""
    for name, zone in (("node-c", "a"), ("node-b", "a"), ("node-a", "b")):
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": zone}}}
        await shop.world.request("POST", f"{CORE}/nodes", body)
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    for claim in ("data", "log"):
        affinity = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}
        await shop.world.request("PATCH", f"{CORE}/persistentvolumes/pv-{claim}", affinity, MERGE)
    async with shop.programs(control=ControlSettings(distributed=True)):
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        content = shop.content("one")
        assert content is not None
        assert content["metadata"]["labels"] == {names.MANAGED_BY: "node-b"}


@each_sort
async def test_a_volume_that_no_node_reaches_is_told_of(shop: Shop, sort: Sort) -> None:
    """W16."""
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["moon"]}]}]
    affinity = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}
    await shop.world.request("PATCH", f"{CORE}/persistentvolumes/pv-data", affinity, MERGE)
    async with shop.programs(control=ControlSettings(distributed=True)):
        await shop.make("one")
        await shop.world.until(lambda: shop.world.warnings("one"))
        content = shop.content("one")
        assert content is not None
        assert "labels" not in content["metadata"]
        await shop.world.until(lambda: shop.at_rest("one"))
    assert len(shop.world.warnings("one")) == 1
