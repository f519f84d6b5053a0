"""Requests that an API server removes although our finalizers are on them: what was made for them goes as well.

It does so when a deletion is at work while the first finalizer is written. Here the stand-in is told to.
"""

from collections.abc import Callable

import pytest

from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import NAMESPACE, Shop, Sort

MOMENTS: dict[str, Callable[[Sort], Fault]] = {
    "while its content is being made": lambda sort: Fault(match=f"POST {sort.kind.path}$", hold="before", times=1),
    "when its content is made, of which the answer is late": lambda sort: Fault(
        match=f"POST {sort.kind.path}$", hold="after", times=1
    ),
    "when its content is made, of which the answer is lost": lambda sort: Fault(
        match=f"POST {sort.kind.path}$", cut="after", times=1
    ),
    "before it is told of its content": lambda sort: Fault(match=f"PATCH {sort.path}/one/status$", hold="before"),
}


@each_sort
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
async def test_promise_1_what_was_made_for_a_request_that_is_snatched_away_goes(
    shop: Shop, sort: Sort, moment: Callable[[Sort], Fault]
) -> None:
    server = shop.world.server
    async with shop.programs():
        # Nobody is told of anything before the request is gone.
        cutting = shop.world.hold(sort.kind.create)
        fault = moment(sort)
        server.faults.set(fault)
        made = await shop.make("one")
        content = f"{sort.content_prefix}{made['metadata']['uid']}"
        if fault.hold is not None:
            await server.faults.wait_for_held()
        else:
            await shop.world.until(lambda: shop.world.content(content))
        request = shop.request("one")
        assert request is not None
        assert request["metadata"]["finalizers"]
        server.uproot(sort.plural, "one", NAMESPACE)
        server.faults.clear()
        shop.world.driver.faults.lift(cutting)
        await shop.world.until(lambda: f"DELETE {sort.kind.path}/{content}" in shop.asked("DELETE"))
        await shop.world.until(shop.nothing_left)


@each_sort
async def test_promise_2_what_users_were_told_of_outlives_a_request_that_is_torn_away(shop: Shop, sort: Sort) -> None:
    """Case 108."""
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        stored = set(shop.world.driver.snapshots)
        shop.world.server.uproot(sort.plural, "one", NAMESPACE)
        # Time enough for another one to come and to go.
        await shop.make("two")
        await shop.world.until(lambda: shop.at_rest("two"))
        await shop.delete("two")
        await shop.world.until(lambda: shop.request("two") is None)
        assert stored <= set(shop.world.driver.snapshots)
        assert [
            each for each in shop.world.server.list(sort.kind.plural) if "deletionTimestamp" not in each["metadata"]
        ]
