"""Groups may be turned off, not be there yet, or go: single snapshots do not suffer (S49, W3, W33)."""

import asyncio
from typing import Final

import pytest

from snapshotter.daemon.running import CannotRun
from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP
from snapshotter.settings import ControlSettings, FeatureSettings, gates
from snapshotter.testing.apiserver.server import definitions_in, shipped_crds
from snapshotter.testing.faults import Fault
from tests.controller.shop import GROUPS, NEVER, Shop
from tests.world import DEFINITIONS, GROUP_API

DEFINED: Final = [each for each in definitions_in(shipped_crds()) if each["spec"]["group"] == GROUP_SNAPSHOT_GROUP]
OFF: Final = FeatureSettings(gates=((gates.GROUP_SNAPSHOTS, False),))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked often what is served."""
    monkeypatch.setattr("snapshotter.daemon.groups.LOOK_AGAIN_SECONDS", 0.1)


async def undefine(shop: Shop) -> None:
    """Take the definitions of the group kinds away, with all objects of these kinds."""
    for definition in DEFINED:
        await shop.world.request("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")


async def define(shop: Shop) -> None:
    for definition in DEFINED:
        await shop.world.request("POST", DEFINITIONS, definition)


async def single_life(shop: Shop, name: str) -> None:
    await shop.make(name)
    await shop.world.until(lambda: shop.at_rest(name))
    await shop.delete(name)
    await shop.world.until(lambda: shop.request(name) is None)


def asked_of_groups(shop: Shop) -> list[str]:
    return [each for each in shop.asked() if f" {GROUP_API}/" in each]


async def test_turned_off_nothing_is_asked_about_groups(shop: Shop) -> None:
    async with shop.programs(features=OFF) as controller:
        await shop.of(GROUPS).make("group")
        await single_life(shop, "one")
        assert not controller.health.ready()
        assert asked_of_groups(shop) == []
        assert shop.of(GROUPS).status("group") == {}


async def test_members_outlive_that_groups_are_turned_off(shop: Shop) -> None:
    """Case 180, W3: then their group counts as unknown, and they may go by themselves."""
    groups = shop.of(GROUPS)
    async with groups.programs():
        await groups.make("one")
        await shop.world.until(lambda: groups.at_rest("one"))
    kept, deleted = (member["metadata"]["name"] for member in groups.members("one"))
    shop.world.server.requests.clear()
    async with shop.programs(NEVER, features=OFF):
        await single_life(shop, "single")
        await shop.delete(deleted)
        await shop.world.until(lambda: shop.request(deleted) is None)
        await single_life(shop, "another")
    assert shop.ready(kept)
    assert [each for each in shop.asked("PATCH", "DELETE") if kept in each] == []
    assert not shop.world.warnings(kept)


async def test_without_their_definitions_singles_begin_at_once_and_groups_as_soon_as_they_are_served(
    shop: Shop,
) -> None:
    """W33, and the promise that no restart is needed."""
    await undefine(shop)
    groups = shop.of(GROUPS)
    loop = asyncio.get_running_loop()
    async with shop.programs(NEVER) as controller:
        began = loop.time()
        await single_life(shop, "one")
        assert loop.time() - began < 15
        assert not controller.health.ready()
        assert asked_of_groups(shop) == []
        await define(shop)
        await groups.world.make_class()
        await groups.make("group")
        await shop.world.until(lambda: groups.at_rest("group"))
        await groups.delete("group")
        await shop.world.until(shop.nothing_left)


async def test_when_groups_go_and_come_back_work_goes_on(shop: Shop) -> None:
    groups = shop.of(GROUPS)
    async with shop.programs() as controller:
        await groups.make("one")
        await shop.world.until(lambda: groups.at_rest("one"))
        await groups.delete("one")
        await shop.world.until(shop.nothing_left)
        await undefine(shop)
        await shop.world.until(lambda: controller.stores.groups.known is False)
        await single_life(shop, "single")
        await define(shop)
        await groups.world.make_class()
        await groups.make("two")
        await shop.world.until(lambda: groups.at_rest("two"))


@pytest.mark.parametrize("status", [403, 404])
async def test_without_the_right_to_list_groups_singles_go_on(shop: Shop, status: int) -> None:
    fault = shop.world.server.faults.set(Fault(match=f"LIST {GROUP_API}", error=status, message="not for you"))
    groups = shop.of(GROUPS)
    async with shop.programs(NEVER) as controller:
        await groups.make("group")
        await single_life(shop, "one")
        assert not controller.health.ready()
        assert groups.status("group") == {}
        shop.world.server.faults.lift(fault)
        await shop.world.until(lambda: groups.at_rest("group"))


async def test_while_it_is_not_known_whether_there_are_groups_a_member_waits(shop: Shop) -> None:
    """W1: what has not been listed is not missing."""
    groups = shop.of(GROUPS)
    async with groups.programs():
        await groups.make("one")
        await shop.world.until(lambda: groups.at_rest("one"))
    member = groups.members("one")[0]["metadata"]["name"]
    await shop.delete(member)
    fault = shop.world.server.faults.set(Fault(match="GET /apis/groupsnapshot.storage.k8s.io$", error=503))
    async with shop.programs():
        await single_life_without_claim_release(shop)
        assert shop.request(member) is not None
        assert shop.ready(member)
        assert not shop.world.warnings(member)
        shop.world.server.faults.lift(fault)
        await shop.world.until(lambda: shop.world.warnings(member))
        assert "is a member of" in shop.world.warnings(member)[0]["message"]


async def single_life_without_claim_release(shop: Shop) -> None:
    """A claim is let go when it is known that no group needs it."""
    await shop.make("single")
    await shop.world.until(lambda: shop.ready("single"))
    assert shop.protected("data")


async def test_without_the_definitions_of_singles_the_start_ends_and_says_why(shop: Shop) -> None:
    """Case 179."""
    for definition in definitions_in(shipped_crds()):
        if definition["spec"]["group"] == SNAPSHOT_GROUP:
            await shop.world.request("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")
    with pytest.raises(
        CannotRun, match="the CustomResourceDefinitions of snapshots are not served, after 1s"
    ) as raised:
        async with shop.controller(control=ControlSettings(definitions_timeout=0.5)):
            pass
    assert raised.value.exit_code == 1
