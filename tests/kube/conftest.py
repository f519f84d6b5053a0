from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from snapshotter.kube.connection import Connection, Limits, connect
from snapshotter.metrics import Metrics
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.apiserver.server import definitions_in, shipped_crds

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


def changed_crds(directory: Path, change: Callable[[dict[str, object]], object]) -> Path:
    """The shipped CRDs, with a change to each version."""
    target = directory / "crds"
    target.mkdir()
    for definition in definitions_in(shipped_crds()):
        for version in definition["spec"]["versions"]:
            change(version)
        (target / f"{definition['metadata']['name']}.yaml").write_text(yaml.safe_dump(definition))
    return target


def kubeconfig_for(url: str, token: str = "none") -> str:  # noqa: S107 (a word)
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "c", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }
    )
