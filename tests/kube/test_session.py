"""How the API server is reached: past proxies or through them, and with no credentials but the kubeconfig's."""

from pathlib import Path

import pytest

from snapshotter.kube.client import Configuration
from snapshotter.kube.connection import Limits, connect
from snapshotter.kube.session import proxy
from snapshotter.metrics import Metrics
from snapshotter.testing.apiserver import ApiServer
from tests.kube.conftest import kubeconfig_for

NAMESPACE = "/api/v1/namespaces/default"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "NETRC")

HTTPS = {"HTTPS_PROXY": "http://proxy.example.com:3128"}

CASES = {
    "nothing is said": ({}, None, None),
    "there is one for the server's scheme": (HTTPS, None, "http://proxy.example.com:3128"),
    "there is one for another scheme": ({"HTTP_PROXY": "http://proxy.example.com:3128"}, None, None),
    "the server is excepted": (HTTPS | {"NO_PROXY": ".example.org,10.0.0.1"}, None, None),
    "another is excepted": (HTTPS | {"NO_PROXY": "10.0.0.1"}, None, "http://proxy.example.com:3128"),
    "the kubeconfig names one": (HTTPS, "http://own.example.com:80", "http://own.example.com:80"),
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("environment", "named", "expected"), CASES.values(), ids=CASES.keys())
def test_the_proxy_is_that_of_the_kubeconfig_or_of_the_environment(
    environment: dict[str, str], named: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configuration = Configuration(host="https://api.example.org:6443")
    configuration.proxy = named
    assert proxy(configuration) == expected


async def test_requests_go_through_the_proxy(
    server: ApiServer, tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_for("http://behind-the-proxy.example.com"))
    # The stand-in answers for whichever host it is asked as a proxy.
    monkeypatch.setenv("HTTP_PROXY", server.url)
    async with connect(path, Limits(), metrics, user_agent="test/1") as connection:
        assert b'"default"' in await connection.request("GET", NAMESPACE)


async def test_a_netrc_file_is_none_of_our_credentials(
    server: ApiServer, tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_for(server.url, token="ours"))  # noqa: S106 (a word)
    async with connect(path, Limits(), metrics, user_agent="test/1") as connection:
        assert b'"default"' in await connection.request("GET", NAMESPACE)
