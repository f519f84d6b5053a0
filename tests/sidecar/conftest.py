from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import World, make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A cluster with a driver, the volume `vol` and the class `class`."""
    async with make_world(tmp_path) as made:
        await made.make_class()
        yield made
