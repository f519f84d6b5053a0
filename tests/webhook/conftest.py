"""A webhook for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.webhook.reviewing import Running, running


@pytest.fixture
async def webhook(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Running]:
    async with running(tmp_path, unused_tcp_port) as made:
        yield made
