"""The behaviour of a Kubernetes API server that our programs and the users of kubectl rely on.

The same tests run against two servers:

    python -m pytest tests/contract            the stand-in, snapshotter.testing.apiserver
    python -m pytest tests/contract --kube     a real kube-apiserver (or SNAPSHOTTER_KUBE=1)

The real one is the truth; `tests/kubernetes/build.py` builds it, once. All tests share one server, so each makes
objects under names of its own and looks at those alone.
"""

import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from snapshotter.testing.apiserver import ApiServer
from tests.contract.client import Client, Kubectl, Server
from tests.kubernetes.server import Kube


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(kube: Kube | None) -> AsyncIterator[Server]:
    """The server that is tested."""
    if kube is not None:
        async with kube.session() as session:
            yield Server(session, kube.kubeconfig(), real=True, forget_history=kube.compact)
        return
    async with ApiServer.serve(rbac=True, tls=True) as standin, session_of(standin) as session:

        async def compact() -> None:
            standin.compact()

        yield Server(session, standin.kubeconfig(), real=False, forget_history=compact)


def session_of(standin: ApiServer) -> aiohttp.ClientSession:
    """A session with the administrator's rights; the caller closes it."""
    trust = ssl.create_default_context(cadata=standin.authority)
    headers = {"Authorization": f"Bearer {standin.admin_token}"}
    return aiohttp.ClientSession(standin.url, headers=headers, connector=aiohttp.TCPConnector(ssl=trust))


@pytest.fixture(scope="session")
def api(server: Server) -> Client:
    return Client(server.session)


@pytest.fixture(scope="session")
def kubectl(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    directory = tmp_path_factory.mktemp("kubectl")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig)
    return Kubectl(kubeconfig, directory / "cache")
