"""How many requests a snapshot costs the API server: just what the plan needs, as docs/controller.md says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.controller.lives import assert_that_nobody_was_alarmed
from tests.controller.shop import GROUPS, SINGLES, Shop, Sort


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests of the controller; of a group so many, and so many more for each of its members."""

    making: int
    deleting: int
    events: int
    making_each: int = 0
    deleting_each: int = 0
    events_each: int = 0


BUDGETS: Final = {
    # A finalizer; the claim read and put back, twice; the content; two reports.
    SINGLES.id: Budget(making=8, deleting=3, events=3),
    # A finalizer, the content, up to three reports; for each claim it is read and put back, twice; for each member
    # its snapshot, its content, and the status of either.
    GROUPS.id: Budget(making=5, making_each=8, deleting=3, deleting_each=4, events=3, events_each=2),
}


def reads_of_many(shop: Shop) -> list[str]:
    return shop.asked("LIST", "WATCH")


@pytest.mark.parametrize(("sort", "members"), [(SINGLES, 0), (GROUPS, 2), (GROUPS, 5)], ids=["single", "two", "five"])
async def test_a_request_costs_what_the_plan_needs(shop: Shop, sort: Sort, members: int) -> None:
    budget = BUDGETS[sort.id]
    for number in range(members):
        await shop.world.driver.make_volume(f"v{number}", b"x")
        await shop.make_volume(f"c{number}", f"v{number}")
        await shop.make_claim(f"c{number}", {"app": "large"})

    def let_go() -> bool:
        return not any(shop.protected(f"c{number}") for number in range(members))

    async with shop.programs():
        # The first one waits for the lists.
        await shop.make("before", labels={"app": "large"})
        await shop.world.until(lambda: shop.at_rest("before") and let_go())
        listed = reads_of_many(shop)
        shop.world.server.requests.clear()

        made = await shop.make("one", labels={"app": "large"})
        await shop.world.until(lambda: shop.at_rest("one") and let_go())
        members_made = shop.members("one")
        making = shop.asked("POST", "PUT", "PATCH", "DELETE", "GET")
        shop.world.server.requests.clear()
        await shop.delete("one")
        await shop.world.until(
            lambda: shop.request("one") is None and len(shop.world.driver.snapshots) == (members or 1)
        )
        await shop.world.until(lambda: len(shop.world.server.list("volumesnapshots")) == (members or 1))
        deleting = shop.asked("POST", "PUT", "PATCH", "DELETE", "GET")
    assert listed
    assert reads_of_many(shop) == []
    discovery = "GET /apis/groupsnapshot.storage.k8s.io"
    making = [each for each in making if each != discovery]
    deleting = [each for each in deleting if each != discovery]
    if sort is SINGLES:
        assert len(making) == budget.making, making
    assert len(making) <= budget.making + budget.making_each * members, making
    assert len(deleting) == budget.deleting + budget.deleting_each * members, deleting
    uids = {each["metadata"]["uid"] for each in (made, *members_made)}
    told = [event for event in shop.world.server.list("events") if event["involvedObject"]["uid"] in uids]
    assert sum(event["count"] for event in told) == budget.events + budget.events_each * members
    assert_that_nobody_was_alarmed(shop)


def test_the_page_about_the_controller_tells_these_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "controller.md").read_text()
    single, group = BUDGETS[SINGLES.id], BUDGETS[GROUPS.id]
    of_members = (
        f"{fixed} + {each} N"
        for fixed, each in (
            (group.making, group.making_each),
            (group.deleting, group.deleting_each),
            (group.events, group.events_each),
        )
    )
    assert f"| a VolumeSnapshot | {single.making} | {single.deleting} | {single.events} |" in page
    assert f"| a VolumeGroupSnapshot of N claims | {' | '.join(of_members)} |" in page
