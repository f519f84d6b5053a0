from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from snapshotter.kube.connection import Connection, Limits, connect
from snapshotter.metrics import Metrics
from snapshotter.testing.apiserver import ApiServer

NO_LIMITS = Limits()

Connect = Callable[..., AbstractAsyncContextManager[Connection]]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer.serve() as made:
        yield made


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(server.kubeconfig())
    return path


@pytest.fixture
def connected(kubeconfig: Path, metrics: Metrics) -> Connect:
    """Opens a connection, with limits if they are given."""
    return lambda limits=NO_LIMITS: connect(kubeconfig, limits, metrics, user_agent="test/1")
