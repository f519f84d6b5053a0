from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kubernetes.server import Kube
from tests.world import SINGLE, Kind, World, make_world


@pytest.fixture
def kind() -> Kind:
    """The kind of contents that a test is about; `each_kind` makes the test run for either."""
    return SINGLE


@pytest.fixture
async def world(tmp_path: Path, kind: Kind, kube: Kube | None) -> AsyncIterator[World]:
    """A cluster with a driver, the volumes `vol` and `vol2` and the class `class`."""
    async with make_world(tmp_path, kind, kube=kube) as made:
        await made.make_class()
        yield made
