"""Which versions of the group kinds are served: asked of the stand-in, and of a server that answers nonsense."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from snapshotter.kube import errors
from snapshotter.kube.connection import JSON_PATCH, Connection, Limits, connect
from snapshotter.kube.discovery import served_versions
from snapshotter.metrics import Metrics
from snapshotter.names import GROUP_SNAPSHOT_GROUP
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect, kubeconfig_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITIONS = [
    f"{CRDS}/{plural}.{GROUP_SNAPSHOT_GROUP}"
    for plural in ("volumegroupsnapshots", "volumegroupsnapshotcontents", "volumegroupsnapshotclasses")
]


async def serve_only(connection: Connection, *versions: str) -> None:
    """Let the definitions of the group kinds serve these versions and no others."""
    for path in DEFINITIONS:
        definition = json.loads(await connection.request("GET", path))
        patch = [
            {"op": "replace", "path": f"/spec/versions/{place}/served", "value": version["name"] in versions}
            for place, version in enumerate(definition["spec"]["versions"])
        ]
        await connection.request("PATCH", path, body=patch, content_type=JSON_PATCH)


async def test_all_versions_that_are_served_are_found(connected: Connect) -> None:
    async with connected() as connection:
        assert await served_versions(connection, GROUP_SNAPSHOT_GROUP) == {"v1", "v1beta2", "v1beta1"}


@pytest.mark.parametrize("versions", [{"v1"}, {"v1beta2"}, {"v1", "v1beta2"}, {"v1beta1"}], ids=sorted)
async def test_a_version_that_is_defined_but_not_served_is_not_found(connected: Connect, versions: set[str]) -> None:
    async with connected() as connection:
        await serve_only(connection, *versions)
        assert await served_versions(connection, GROUP_SNAPSHOT_GROUP) == versions


async def test_a_group_that_is_not_defined_has_no_versions_until_it_is(connected: Connect) -> None:
    async with connected() as connection:
        definitions = [json.loads(await connection.request("GET", path)) for path in DEFINITIONS]
        for path in DEFINITIONS:
            await connection.request("DELETE", path)
        assert await served_versions(connection, GROUP_SNAPSHOT_GROUP) == frozenset()
        for definition in definitions:
            body = {
                "apiVersion": definition["apiVersion"],
                "kind": definition["kind"],
                "metadata": {
                    "name": definition["metadata"]["name"],
                    "annotations": definition["metadata"]["annotations"],
                },
                "spec": definition["spec"],
            }
            await connection.request("POST", CRDS, body=body)
        assert await served_versions(connection, GROUP_SNAPSHOT_GROUP) == {"v1", "v1beta2", "v1beta1"}


@pytest.mark.parametrize(
    ("status", "expected"), [(403, errors.Forbidden), (500, errors.ServerTrouble), (503, errors.ServerTrouble)]
)
async def test_a_server_that_does_not_say_has_not_said_that_there_is_none(
    server: ApiServer, connected: Connect, status: int, expected: type[errors.ApiError]
) -> None:
    server.faults.set(Fault(match=f"GET /apis/{GROUP_SNAPSHOT_GROUP}$", error=status))
    async with connected() as connection:
        with pytest.raises(expected):
            await served_versions(connection, GROUP_SNAPSHOT_GROUP)


@asynccontextmanager
async def answering(body: str, tmp_path: Path, metrics: Metrics) -> AsyncIterator[Connection]:
    """A connection to a server that answers everything with this text."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig_for(f"http://127.0.0.1:{port}"))
        async with connect(path, Limits(), metrics, user_agent="test/1") as connection:
            yield connection
    finally:
        await runner.cleanup()


NONSENSE = {
    "no JSON": "<html>welcome</html>",
    "half of it": '{"versions": [',
    "no versions": '{"kind": "APIGroup"}',
    "versions without names": '{"versions": [{}]}',
    "names that are none": '{"versions": [{"version": 1}]}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE.keys())
async def test_an_answer_that_makes_no_sense_says_nothing(body: str, tmp_path: Path, metrics: Metrics) -> None:
    async with answering(body, tmp_path, metrics) as connection:
        with pytest.raises(errors.Malformed, match=f"API group {GROUP_SNAPSHOT_GROUP}: "):
            await served_versions(connection, GROUP_SNAPSHOT_GROUP)


async def test_a_group_may_have_no_versions_at_all(tmp_path: Path, metrics: Metrics) -> None:
    async with answering('{"kind": "APIGroup", "versions": []}', tmp_path, metrics) as connection:
        assert await served_versions(connection, GROUP_SNAPSHOT_GROUP) == frozenset()
