"""kill -9 before and after each write with which a request is made: it is made once all the same."""

from pathlib import Path

from tests.controller.lives import Life, assert_that_nobody_was_alarmed, assert_that_there_is_one_of_each
from tests.controller.shop import Sort
from tests.kubernetes.server import Kube
from tests.system.victims import LONG, MOMENTS, each_life, stage, until_gone, until_made


@LONG
@each_life
async def test_killed_at_any_step_of_making_it_is_made_once(
    tmp_path: Path, kube: Kube | None, sort: Sort, life: Life
) -> None:
    async with stage(tmp_path, kube, sort, life.program) as (shop, victim):
        await victim.start()
        for step in life.making:
            for moment in MOMENTS:
                step.faults(shop).set(step.fault(hold=moment))
                await shop.make("one")
                await victim.kill_at(step, moment)
                await victim.start()
                await until_made(shop)
                assert_that_there_is_one_of_each(shop)
                await shop.delete("one")
                await until_gone(shop)
        assert_that_nobody_was_alarmed(shop)


@LONG
@each_life
async def test_killed_at_any_step_of_making_and_deleted_meanwhile_it_leaves_nothing(
    tmp_path: Path, kube: Kube | None, sort: Sort, life: Life
) -> None:
    """W10."""
    async with stage(tmp_path, kube, sort, life.program) as (shop, victim):
        await victim.start()
        for step in life.making:
            step.faults(shop).set(step.fault(hold="after"))
            await shop.make("one")
            await victim.kill_at(step, "after")
            await shop.delete("one")
            await victim.start()
            await until_gone(shop)
            await shop.world.until(lambda: not shop.protected("data") and not shop.protected("log"))
        assert_that_nobody_was_alarmed(shop)
