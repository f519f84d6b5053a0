"""A deletion ends or says why: whatever is in its way, within seconds users are told its name."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from snapshotter import names
from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import GROUPS, SINGLES, Shop, Sort
from tests.world import MERGE

PATIENCE: Final = 10.0
"""Seconds within which users are told; on a machine that is not busy it takes a fraction of one."""

Step = Callable[[Shop], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Blocker:
    """What is put in the way of the deletion of `one`, which is ready; and what takes it away again."""

    plant: Step
    remove: Step
    told: str
    """What the status, or a warning, says."""


def content_path(shop: Shop) -> str:
    return f"{shop.sort.kind.path}/{(shop.content('one') or {})['metadata']['name']}"


async def refuse(shop: Shop) -> None:
    shop.world.driver.faults.set(
        Fault(match=f"^{shop.sort.kind.delete} ", error="FAILED_PRECONDITION", message="in use")
    )


async def time_out(shop: Shop) -> None:
    fault = Fault(match=f"^{shop.sort.kind.delete} ", error="DEADLINE_EXCEEDED", message="took too long")
    shop.world.driver.faults.set(fault)


async def mend_driver(shop: Shop) -> None:
    shop.world.driver.faults.clear()


async def lose_secret(shop: Shop) -> None:
    await shop.world.request(
        "PATCH", content_path(shop), {"metadata": {"annotations": shop.sort.kind.secret("login")}}, MERGE
    )


async def give_secret(shop: Shop) -> None:
    await shop.world.make_secret("login", user="me")


async def forbid(shop: Shop) -> None:
    match = f"DELETE {shop.sort.kind.path}/"
    shop.world.server.faults.set(Fault(match=match, error=403, message="admission says no"))


async def mend_server(shop: Shop) -> None:
    shop.world.server.faults.clear()


async def restore(shop: Shop) -> None:
    restored = "one" if shop.sort is SINGLES else shop.members("one")[0]["metadata"]["name"]
    source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": restored}
    await shop.make_claim("restored", source=source, bound=False)


async def end_restore(shop: Shop) -> None:
    await shop.delete_claim("restored")


async def drive_away(shop: Shop) -> None:
    await shop.world.driver.stop_serving()


async def drive_back(shop: Shop) -> None:
    await shop.world.driver.start_serving()


BLOCKERS: Final = {
    "the driver refuses": Blocker(refuse, mend_driver, "in use"),
    "the driver does not answer in time": Blocker(time_out, mend_driver, "took too long"),
    "the driver is away": Blocker(drive_away, drive_back, "driver"),
    "the Secret is gone": Blocker(lose_secret, give_secret, "login"),
    "the API server refuses": Blocker(forbid, mend_server, "admission says no"),
    "a restore is in progress": Blocker(restore, end_restore, "default/restored"),
}


def told(shop: Shop) -> str:
    """All that users can read about `one`."""
    return " ".join([shop.error("one") or "", *(event["message"] for event in shop.world.warnings("one"))])


@each_sort
@pytest.mark.parametrize("blocker", BLOCKERS.values(), ids=BLOCKERS.keys())
async def test_what_blocks_a_deletion_is_named_and_its_end_is_the_deletions(
    shop: Shop, sort: Sort, blocker: Blocker
) -> None:
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        await blocker.plant(shop)
        await shop.delete("one")
        await shop.world.until(lambda: blocker.told in told(shop), seconds=PATIENCE)
        assert shop.request("one") is not None
        assert shop.world.stored
        await blocker.remove(shop)
        await shop.world.until(shop.nothing_left)


async def lose_class(shop: Shop) -> None:
    await shop.world.request("DELETE", f"{shop.sort.kind.class_path}/class")


async def lose_claims(shop: Shop) -> None:
    for claim in ("data", "log"):
        await shop.delete_claim(claim)


async def unready(shop: Shop) -> None:
    await shop.world.request("PATCH", f"{content_path(shop)}/status", {"status": {"readyToUse": False}}, MERGE)


HARMLESS: Final = {
    "the class is gone": lose_class,
    "the claims are gone": lose_claims,
    "the content is not ready any more": unready,
}


@each_sort
@pytest.mark.parametrize("loss", HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_is_not_needed_any_more_holds_no_deletion_up(shop: Shop, sort: Sort, loss: Step) -> None:
    """Cases 73, 74, W26."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        await loss(shop)
        await shop.delete("one")
        await shop.world.until(shop.nothing_left)
    assert not shop.world.warnings("one")


@each_sort
async def test_a_lost_content_holds_no_deletion_up(shop: Shop, sort: Sort) -> None:
    """Case 98; what is on the storage then is the administrator's business, and was told."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        path = content_path(shop)
        await shop.world.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        await shop.world.request("DELETE", path)
        await shop.world.until(lambda: "is gone" in (shop.error("one") or ""))
        await shop.delete("one")
        await shop.world.until(lambda: shop.request("one") is None)
    assert sort is GROUPS or shop.world.server.list("volumesnapshotcontents") == []
