"""Whatever a request waits for brings it back at once: here nothing is ever tried again because time has passed.

W17, W21: waiting users do not wait for a backoff, and a change that is missed would be missed for an hour.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from snapshotter import names
from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import CORE, GROUPS, NAMESPACE, NEVER, SINGLES, Shop, Sort
from tests.world import MERGE

CLAIMS = f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims"
Step = Callable[[Shop], Awaitable[None]]


@pytest.fixture
async def waiting(shop: Shop) -> AsyncIterator[Shop]:
    """Both programs at work, the controller with a backoff of an hour."""
    async with shop.programs(NEVER):
        yield shop


async def refused(shop: Shop, name: str, text: str) -> None:
    """Return once users are told why a request is not served."""
    await shop.world.until(lambda: text in (shop.error(name) or ""))


async def looked_at(shop: Shop, name: str) -> None:
    """Return once the controller has looked at a request in vain, and told nobody: it may be over in a moment."""
    await shop.make("later", claim="nobodys", labels={"app": "nobodys"})
    await refused(shop, "later", "nobodys")
    await shop.delete("later")
    assert shop.error(name) is None


async def served(shop: Shop, name: str) -> None:
    await shop.world.until(lambda: shop.at_rest(name) and not shop.error(name))


@each_sort
async def test_a_claim_that_is_bound_later_is_cut_then(waiting: Shop, sort: Sort) -> None:
    await waiting.make_volume("late", "vol")
    await waiting.world.driver.make_volume("late", b"late")
    await waiting.make_claim("late", {"app": "late"}, bound=False)
    await waiting.make("one", claim="late", labels={"app": "late"})
    await looked_at(waiting, "one")
    await waiting.bind("late")
    await served(waiting, "one")
    assert waiting.world.warnings("one") == []


@each_sort
async def test_a_claim_that_is_not_bound_for_long_is_told_of(shop: Shop, sort: Sort) -> None:
    await shop.make_claim("late", {"app": "late"}, bound=False)
    async with shop.programs():
        await shop.make("one", claim="late", labels={"app": "late"})
        await refused(shop, "one", "is not bound to a volume: it is Pending")


@each_sort
async def test_a_claim_that_is_made_later_is_cut_then(waiting: Shop, sort: Sort) -> None:
    await waiting.make("one", claim="late", labels={"app": "late"})
    await refused(waiting, "one", "does not exist" if sort is SINGLES else 'has labels that fit "app=late"')
    await waiting.make_volume("late", "vol")
    await waiting.make_claim("late", {"app": "late"})
    await served(waiting, "one")


@each_sort
async def test_a_volume_that_is_made_later_is_cut_then(waiting: Shop, sort: Sort) -> None:
    await waiting.make_claim("late", {"app": "late"})
    await waiting.make("one", claim="late", labels={"app": "late"})
    await looked_at(waiting, "one")
    await waiting.make_volume("late", "vol")
    await served(waiting, "one")


async def test_a_claim_that_gets_a_groups_labels_later_is_cut_then(waiting: Shop) -> None:
    waiting = waiting.of(GROUPS)
    await waiting.make("one", labels={"app": "late"})
    await refused(waiting, "one", 'has labels that fit "app=late"')
    await waiting.world.request("PATCH", f"{CLAIMS}/data", {"metadata": {"labels": {"app": "late"}}}, MERGE)
    await served(waiting, "one")


@each_sort
async def test_a_class_that_is_made_later_is_used_then(waiting: Shop, sort: Sort) -> None:
    await waiting.make("one", class_name="late")
    await refused(waiting, "one", '"late"')
    await waiting.world.make_class("late")
    await served(waiting, "one")


@each_sort
async def test_a_class_that_becomes_the_default_later_is_used_then(waiting: Shop, sort: Sort) -> None:
    await waiting.make("one", class_name=None)
    await waiting.world.until(lambda: waiting.error("one"))
    key = names.DEFAULT_CLASS if sort is SINGLES else names.DEFAULT_GROUP_CLASS
    path = f"{sort.kind.class_path}/class"
    await waiting.world.request("PATCH", path, {"metadata": {"annotations": {key: "true"}}}, MERGE)
    await served(waiting, "one")


@each_sort
async def test_of_two_default_classes_the_one_that_is_left_is_used(waiting: Shop, sort: Sort) -> None:
    """Cases 69, 125."""
    key = names.DEFAULT_CLASS if sort is SINGLES else names.DEFAULT_GROUP_CLASS
    await waiting.world.make_class("other")
    for name in ("class", "other"):
        path = f"{sort.kind.class_path}/{name}"
        await waiting.world.request("PATCH", path, {"metadata": {"annotations": {key: "true"}}}, MERGE)
    await waiting.make("one", class_name=None)
    await waiting.world.until(lambda: waiting.error("one"))
    await waiting.world.request("DELETE", f"{sort.kind.class_path}/other")
    await served(waiting, "one")


@each_sort
async def test_a_content_that_is_made_later_is_imported_then(waiting: Shop, sort: Sort) -> None:
    """Case 64."""
    await waiting.make("original")
    await served(waiting, "original")
    handle = (waiting.content("original") or {})["status"][sort.kind.handle]
    await waiting.make("one", imports="one", class_name=None)
    await refused(waiting, "one", "does not exist")
    await waiting.world.make_content("one", snapshot=handle, policy="Retain", uid="", finalizers=())
    await served(waiting, "one")


@each_sort
async def test_a_deletion_goes_on_when_what_is_restored_is_bound(waiting: Shop, sort: Sort) -> None:
    """Cases 101, 167."""
    await waiting.make("one")
    await served(waiting, "one")
    restored = "one" if sort is SINGLES else waiting.members("one")[0]["metadata"]["name"]
    source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": restored}
    await waiting.make_claim("restored", source=source, bound=False)
    await waiting.delete("one")
    await waiting.world.until(lambda: waiting.world.warnings("one"))
    assert waiting.content("one") is not None
    await waiting.make_volume("restored", "restored-volume")
    await waiting.bind("restored")
    await waiting.world.until(waiting.nothing_left)


@each_sort
async def test_a_deletion_goes_on_when_who_restores_is_gone(waiting: Shop, sort: Sort) -> None:
    """W30: a claim that is never bound holds a deletion up until it is deleted, and no longer."""
    await waiting.make("one")
    await served(waiting, "one")
    restored = "one" if sort is SINGLES else waiting.members("one")[0]["metadata"]["name"]
    source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": restored}
    await waiting.make_claim("restored", source=source, bound=False)
    await waiting.delete("one")
    await waiting.world.until(lambda: waiting.world.warnings("one"))
    assert '"default/restored"' in waiting.world.warnings("one")[0]["message"]
    await waiting.delete_claim("restored")
    await waiting.world.until(waiting.nothing_left)


async def test_a_deleted_member_follows_its_group(waiting: Shop) -> None:
    """Cases 168 to 170, W17: it was to be deleted before its group was."""
    groups = waiting.of(GROUPS)
    await groups.make("one")
    await served(groups, "one")
    member = groups.members("one")[0]["metadata"]["name"]
    await waiting.delete(member)
    await waiting.world.until(lambda: waiting.world.warnings(member))
    await groups.delete("one")
    await waiting.world.until(waiting.nothing_left)


@each_sort
async def test_a_protected_claim_may_go_as_soon_as_it_is_cut(waiting: Shop, sort: Sort) -> None:
    """Cases 77, 79, W20: it goes when nobody reads it any more, and not before."""
    hold = waiting.world.hold(f"^{sort.kind.create} ")
    await waiting.make("one")
    await waiting.world.driver.faults.wait_for_held()
    await waiting.delete_claim("data")
    assert waiting.protected("data")
    waiting.world.driver.faults.lift(hold)
    await served(waiting, "one")
    await waiting.world.until(lambda: waiting.world.server.get("persistentvolumeclaims", "data", NAMESPACE) is None)
    await waiting.delete("one")
    await waiting.world.until(waiting.nothing_left)


@each_sort
async def test_one_that_is_made_again_under_its_name_starts_anew(waiting: Shop, sort: Sort) -> None:
    """W28: nothing of the first one's is the second one's."""
    first = await waiting.make("one", class_name="late")
    await refused(waiting, "one", '"late"')
    await waiting.delete("one")
    await waiting.world.until(lambda: waiting.request("one") is None)
    second = await waiting.make("one")
    await served(waiting, "one")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert waiting.status("one")[sort.bound] == f"{sort.content_prefix}{second['metadata']['uid']}"


@each_sort
async def test_a_content_that_fails_is_told_and_told_again_when_it_is_well(waiting: Shop, sort: Sort) -> None:
    """Cases 50, 51."""
    fault = waiting.world.driver.faults
    number = fault.set(Fault(match=f"^{sort.kind.create} ", error="INTERNAL", message="the array is tired"))
    await waiting.make("one")
    await refused(waiting, "one", "the array is tired")
    assert not waiting.ready("one")
    fault.lift(number)
    await served(waiting, "one")


@each_sort
async def test_a_claim_is_not_kept_for_one_who_cannot_be_begun(waiting: Shop, sort: Sort) -> None:
    """Case 79: nothing holds it yet, so it protects no claim and may go without letting one go."""
    await waiting.make("hopeless", class_name="missing")
    await waiting.world.until(lambda: waiting.error("hopeless"))
    await waiting.make("one")
    await waiting.world.until(lambda: waiting.at_rest("one"))
    assert waiting.error("hopeless")
