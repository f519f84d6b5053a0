from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.controller.shop import GROUPS, SINGLES, Shop, Sort
from tests.kubernetes.server import Kube
from tests.world import GROUP, make_world


@pytest.fixture
def sort() -> Sort:
    """The sort of requests that a test is about; `each_sort` makes the test run for either."""
    return SINGLES


@pytest.fixture
async def shop(tmp_path: Path, sort: Sort, kube: Kube | None) -> AsyncIterator[Shop]:
    """Two claims with label `app=db`, and a class `class` of either kind."""
    async with make_world(tmp_path, kube=kube) as world:
        await world.make_class()
        await world.of(GROUP).make_class()
        made = Shop(world, sort)
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await made.make_volume(claim, handle)
            await made.make_claim(claim, {"app": "db"})
        yield made


each_sort = pytest.mark.parametrize("sort", [SINGLES, GROUPS], ids=lambda sort: sort.id)
"""The test holds for VolumeSnapshots and VolumeGroupSnapshots alike."""
