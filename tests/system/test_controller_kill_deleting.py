"""kill -9 before and after each write with which a request is deleted: it goes without a trace all the same."""

from pathlib import Path

from tests.controller.lives import Life, assert_that_nobody_was_alarmed
from tests.controller.shop import Sort
from tests.kubernetes.server import Kube
from tests.system.victims import LONG, MOMENTS, each_life, stage, until_gone, until_made


@LONG
@each_life
async def test_killed_at_any_step_of_deleting_it_leaves_nothing(
    tmp_path: Path, kube: Kube | None, sort: Sort, life: Life
) -> None:
    async with stage(tmp_path, kube, sort, life.program) as (shop, victim):
        await victim.start()
        for step in life.deleting:
            for moment in MOMENTS:
                await shop.make("one")
                await until_made(shop)
                step.faults(shop).set(step.fault(hold=moment))
                await shop.delete("one")
                await victim.kill_at(step, moment)
                await victim.start()
                await until_gone(shop)
        assert_that_nobody_was_alarmed(shop)
