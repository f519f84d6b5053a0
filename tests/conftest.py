"""What holds for all tests."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes import audit, build, costs
from tests.kubernetes.server import Kube, running
from tests.manifests.rendering import kustomize

# gRPC would tell of each connection that a test breaks.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# A plugin asks for the current loop also in tests that have none. Python 3.11 would make one then, and nobody
# would close it.
asyncio.set_event_loop(None)

Promtool = Callable[..., subprocess.CompletedProcess[str]]


ABSENT: dict[str, tuple[Callable[[], bool], str]] = {
    "promtool": (lambda: shutil.which("promtool") is None, "there is no promtool on the path"),
    "prometheus": (lambda: shutil.which("prometheus") is None, "there is no prometheus on the path"),
    "kubectl": (lambda: shutil.which("kubectl") is None, "there is no kubectl on the path"),
    "kustomize": (
        lambda: kustomize() is None,
        "there is neither a kubectl with kustomize 5 nor kustomize on the path",
    ),
}
"""Markers of tests that need a command which Python cannot bring, and when they are passed over."""


MOSTLY_WAIT = ("system", "controller", "sidecar", "contract", "web")
"""Directories of tests that wait for processes and clocks more than they compute."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kube",
        action="store_true",
        default=os.environ.get("SNAPSHOTTER_KUBE") == "1",
        help="run the tests that can on a real kube-apiserver instead of the stand-in, and no others",
    )


@pytest.fixture(scope="session")
def kube(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube | None]:
    """With `--kube` one real API server for all tests, with its controllers; else None.

    It is on no test's event loop. At the end its audit log is read: it says whether the programs have asked for
    anything that they may not, or that their plan does not name, or more often than is planned.
    """
    if not request.config.getoption("--kube"):
        yield None
        return
    with asyncio.Runner() as runner:
        server = running(tmp_path_factory.mktemp("kube"), controllers=True, audit=True)
        made = runner.run(server.__aenter__())
        try:
            yield made
        finally:
            runner.run(server.__aexit__(None, None, None))
    assert [*audit.complaints(made.audited()), *costs.complaints(made.audited())] == []


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    """Ports of 127.0.0.1 that nobody listens on, for programs that are told to.

    In place of pytest-asyncio's. None is one of those that the system gives to connections: it could be taken before
    the program is there.
    """

    def choose() -> int:
        while True:
            port = 10_000 + secrets.randbelow(20_000)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port

    return choose


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto` one process more than there are cores, as there is always one that waits."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    runs = _can_be_on_kube if config.getoption("--kube") else _can_do_without_kube
    config.hook.pytest_deselected(items=[item for item in items if not runs(item)])
    items[:] = [item for item in items if runs(item)]
    # What takes longest begins first, so that no process is left with it at the end.
    items.sort(key=_place_in_line)
    if config.getoption("--kube") and build.assets() is not None:
        for item in items:
            if item.get_closest_marker("controllers"):
                item.add_marker(pytest.mark.skip(reason="there are no controllers with KUBEBUILDER_ASSETS"))
    for marker, (is_absent, reason) in ABSENT.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and is_absent():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


def _can_be_on_kube(item: pytest.Item) -> bool:
    if item.get_closest_marker("anywhere"):
        return False
    return "kube" in getattr(item, "fixturenames", ()) or item.get_closest_marker("kube") is not None


def _can_do_without_kube(item: pytest.Item) -> bool:
    return Path(__file__).parent / "kubernetes" not in item.path.parents


def _place_in_line(item: pytest.Item) -> int:
    directory = item.path.relative_to(Path(__file__).parent).parts[0]
    return MOSTLY_WAIT.index(directory) if directory in MOSTLY_WAIT else len(MOSTLY_WAIT)


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs Prometheus's promtool with these arguments and this text as its input; its tests are marked `promtool`."""

    def run(*arguments: str | os.PathLike[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promtool", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
        )

    return run
