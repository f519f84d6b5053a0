"""What holds for all tests."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

# gRPC would tell of each connection that a test breaks.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# A plugin asks for the current loop also in tests that have none. Python 3.11 would make one then, and nobody
# would close it.
asyncio.set_event_loop(None)

Promtool = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("promtool") is None:
        for item in items:
            if item.get_closest_marker("promtool"):
                item.add_marker(pytest.mark.skip(reason="there is no promtool on the path"))


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs Prometheus's promtool with these arguments and this text as its input; its tests are marked `promtool`."""

    def run(*arguments: str | os.PathLike[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promtool", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
        )

    return run
