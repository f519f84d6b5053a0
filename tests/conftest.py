"""What holds for all tests."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, (is_absent, reason) in ABSENT.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and is_absent():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs Prometheus's promtool with these arguments and this text as its input; its tests are marked `promtool`."""

    def run(*arguments: str | os.PathLike[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promtool", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
        )

    return run
