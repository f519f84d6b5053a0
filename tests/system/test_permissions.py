"""The installed command under a role that gives nothing: what it says about that, and how soon."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.plan import permissions
from snapshotter.plan.permissions import Permission, Where
from tests.world import make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"


def labels_of(row: Permission) -> tuple[str, str, str, str]:
    return (row.verb, row.group, row.full_resource, row.needed_for)


async def page(http: aiohttp.ClientSession, url: str) -> str:
    """The page, as soon as it is served."""
    while True:
        try:
            async with http.get(url) as response:
                return await response.text()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)


def missing(text: str) -> set[tuple[str, ...]]:
    """What the metric tells to be missing, by verb, group, resource and feature."""
    labels = ("verb", "group", "resource", "needed_for")
    return {
        tuple(sample.labels[label] for label in labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "snapshotter_permission_missing" and sample.value == 1
    }


async def test_what_is_missing_is_told_within_ten_seconds_also_while_the_driver_is_not_there(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    # Of a lease the name is not known before the driver's.
    expected = [row for row in permissions.sidecar() if row.where in (Where.CLUSTER, Where.EVENTS)]
    address = f"127.0.0.1:{unused_tcp_port}"
    async with make_world(tmp_path, rbac=True) as world, aiohttp.ClientSession() as http:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            f"--csi-address={tmp_path / 'nobody.sock'}",
            f"--kubeconfig={world.kubeconfig}",
            f"--http-endpoint={address}",
            "--leader-election",
            "--logging-format=json",
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(10):
                while missing(await page(http, f"http://{address}/metrics")) != set(map(labels_of, expected)):  # noqa: ASYNC110 - one can only ask
                    await asyncio.sleep(0.05)
            ready = (await page(http, f"http://{address}/readyz")).splitlines()
        finally:
            process.terminate()
            _, err = await process.communicate()
    told = [line for line in map(json.loads, err.decode().splitlines()) if line["msg"] == "permission is missing"]
    keys = ("verb", "group", "resource", "needed_for")
    assert sorted(tuple(line[key] for key in keys) for line in told) == sorted(map(labels_of, expected))
    assert all(line["without_it"] for line in told)
    named = {line for line in ready if line.startswith("permission is missing: ")}
    assert len(named) == sum(row.required for row in expected)
    assert 'permission is missing: list volumesnapshotcontents in API group "snapshot.storage.k8s.io"' in named
