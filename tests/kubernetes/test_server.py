"""The API server of the tests leaves nothing behind, however its parent ends."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.kubernetes import build

PROJECT = Path(__file__).parents[2]
SECONDS = 120.0


def children_of(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in listed.split()]


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.kube
@pytest.mark.timeout(300)
@pytest.mark.skipif(build.assets() is not None, reason="the usual binaries do not look after their parent")
async def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kubernetes.server", tmp_path),
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert (await parent.stdout.readline()).decode() == f"export KUBECONFIG={tmp_path / 'kubeconfig'}\n"
        (server,) = children_of(parent.pid)
        assert runs(server)
        parent.kill()
        await parent.wait()
        while runs(server):  # noqa: ASYNC110 - it is nobody's child any more
            await asyncio.sleep(0.1)
