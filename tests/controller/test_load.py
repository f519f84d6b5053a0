"""Many snapshots and groups at once: all become ready, nobody is alarmed, and each costs what one alone costs.

By default fewer than the figures in docs/controller.md, which were measured with 1,000 snapshots and 100 groups.
"""

import asyncio
import os
import time
from typing import Final

import pytest
import structlog

from tests.controller.lives import assert_that_nobody_was_alarmed
from tests.controller.shop import GROUPS, SINGLES, Shop
from tests.controller.test_budget import BUDGETS

SNAPSHOTS: Final = int(os.environ.get("SNAPSHOTTER_SNAPSHOTS", "60"))
GROUPS_OF_FIVE: Final = int(os.environ.get("SNAPSHOTTER_GROUPS", "6"))
MEMBERS: Final = 5

log = structlog.get_logger(__name__)


@pytest.mark.timeout(60 + SNAPSHOTS + 5 * GROUPS_OF_FIVE)
async def test_many_at_once_are_made_and_go(shop: Shop) -> None:
    groups = shop.of(GROUPS)
    seconds = 60.0 + SNAPSHOTS
    claims = [(f"c{group}-{member}", {"group": f"g{group}"}) for group in range(GROUPS_OF_FIVE) for member in range(5)]
    for name, labels in claims:
        await shop.world.driver.make_volume(f"vol-{name}", b"x")
        await shop.make_volume(name, f"vol-{name}")
        await shop.make_claim(name, labels)
    async with shop.programs():
        await shop.make("first")
        await shop.world.until(lambda: shop.at_rest("first"))
        shop.world.server.requests.clear()
        began = time.monotonic()
        async with asyncio.TaskGroup() as users:
            for number in range(SNAPSHOTS):
                users.create_task(shop.make(f"s{number}", claim=claims[number % len(claims)][0]))
            for number in range(GROUPS_OF_FIVE):
                users.create_task(groups.make(f"g{number}", labels={"group": f"g{number}"}))
        waiting = [(shop, f"s{number}") for number in range(SNAPSHOTS)]
        waiting += [(groups, f"g{number}") for number in range(GROUPS_OF_FIVE)]
        for each, name in waiting:
            await shop.world.until(lambda each=each, name=name: each.ready(name), seconds=seconds)  # type: ignore[misc]
        ready = time.monotonic() - began
        for claim, _ in claims:
            await shop.world.until(lambda claim=claim: not shop.protected(claim), seconds=seconds)  # type: ignore[misc]
        assert shop.asked("LIST") == []
        asked = shop.asked("POST", "PUT", "PATCH", "DELETE")
        asked += [each for each in shop.asked("GET") if each != "GET /apis/groupsnapshot.storage.k8s.io"]
        single, group = BUDGETS[SINGLES.id], BUDGETS[GROUPS.id]
        allowed = SNAPSHOTS * single.making + GROUPS_OF_FIVE * (group.making + MEMBERS * group.making_each)
        assert len(asked) <= allowed
        assert len(shop.world.driver.snapshots) == 1 + SNAPSHOTS + MEMBERS * GROUPS_OF_FIVE
        assert_that_nobody_was_alarmed(shop)
        made = len(asked)
        shop.world.server.requests.clear()
        began = time.monotonic()
        async with asyncio.TaskGroup() as users:
            for each, name in [*waiting, (shop, "first")]:
                users.create_task(each.delete(name))
        for each, name in waiting:
            await shop.world.until(
                lambda each=each, name=name: each.request(name) is None,  # type: ignore[misc]
                seconds=seconds,
            )
        await shop.world.until(shop.nothing_left, seconds=seconds)
        gone = time.monotonic() - began
        log.info(
            "measured",
            ready_seconds=round(ready, 1),
            made_with=made,
            allowed=allowed,
            gone_seconds=round(gone, 1),
            gone_with=len(shop.asked("POST", "PUT", "PATCH", "DELETE", "GET")),
        )
    assert_that_nobody_was_alarmed(shop)
