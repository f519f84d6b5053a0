"""`python -m snapshotter.testing.apiserver` as a process."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from snapshotter.testing.admin import Admin
from snapshotter.testing.faults import Fault

SOON = 30.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    port_file = tmp_path / "port"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "snapshotter.testing.apiserver", "--listen", "127.0.0.1:0"),
        *("--kubeconfig", str(kubeconfig), "--port-file", str(port_file)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(SOON):
        url = (await process.stdout.readline()).decode().strip()
        (cluster,) = yaml.safe_load(kubeconfig.read_text())["clusters"]
        assert cluster["cluster"]["server"] == url
        assert url.endswith(f":{port_file.read_text().strip()}")
        async with aiohttp.ClientSession(url) as session, Admin(url) as admin:
            watch = await session.get("/api/v1/namespaces?watch=1")
            assert b"default" in await watch.content.readline()
            await admin.set_fault(Fault(match="^GET", cut="before"))
            with pytest.raises(aiohttp.ClientError):
                await session.get("/api/v1/namespaces/default")
            await admin.set_fault(Fault(match="^LIST", hold="before"))
            held = asyncio.create_task(session.get("/api/v1/secrets"))
            await admin.wait_for_held()
            process.send_signal(number)
            assert await process.wait() == 0
            await asyncio.wait([held])
            held.exception()


async def test_serves_the_definitions_of_a_directory(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "snapshotter.testing.apiserver", "--crds", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(SOON):
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession(url) as session:
            answer = await session.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
            assert (await answer.json())["items"] == []
        process.terminate()
        assert await process.wait() == 0
