"""Objects that are put in past every rule: clients get them as they are, and the server can still deal with them."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from snapshotter.testing.admin import Admin
from snapshotter.testing.apiserver import ApiServer

PLURAL = "volumesnapshotcontents"
PATH = f"/apis/snapshot.storage.k8s.io/v1/{PLURAL}"
ODD = b'{"metadata":{"name":"a","resourceVersion":"@version@","labels":5},"spec":{"x":"\\ud800"},"spec":[1e400]}'


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer.serve() as made:
        yield made


async def got(server: ApiServer, path: str) -> bytes:
    async with aiohttp.ClientSession() as http, http.get(server.url + path) as answer:
        return await answer.read()


async def test_what_is_planted_is_served_as_it_is_at_its_version(server: ApiServer) -> None:
    server.plant(PLURAL, "a", ODD)
    version = str(server._store.version).encode()
    served = ODD.replace(b"@version@", version)
    assert await got(server, f"{PATH}/a") == served
    assert b'"items":[' + served + b"]" in await got(server, PATH)
    watched = await got(server, f"{PATH}?watch=true&timeoutSeconds=1")
    assert b'{"type":"ADDED","object":' + served in watched


async def test_what_is_planted_over_http_is_the_same(server: ApiServer) -> None:
    async with Admin(server.url) as admin:
        await admin.plant("volumesnapshots", "b", b"[" * 3000 + b"]" * 3000, "default")
    path = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots/b"
    assert (await got(server, path)).startswith(b"[[[")


async def test_the_server_sees_to_the_metadata(server: ApiServer) -> None:
    odd = {
        "metadata": {
            "uid": 5,
            "labels": {"a": "b", "c": 1},
            "annotations": [],
            "finalizers": ["example.com/a", 5],
            "ownerReferences": [{"uid": 1}, 5],
            "deletionTimestamp": "yesterday",
        },
        "spec": {"number": 10**30, "text": "\ud800"},
    }
    server.plant(PLURAL, "a", json.dumps(odd).encode())
    found = server.get(PLURAL, "a")
    assert found is not None
    metadata = found.pop("metadata")
    assert metadata.pop("resourceVersion")
    assert metadata.pop("creationTimestamp")
    assert metadata == {
        "name": "a",
        "uid": "",
        "generation": 1,
        "labels": {"a": "b"},
        "finalizers": ["example.com/a"],
        "ownerReferences": [],
        "deletionTimestamp": "yesterday",
        "deletionGracePeriodSeconds": 0,
    }
    assert found["spec"] == {"number": 1e30, "text": "?"}


async def test_what_is_planted_can_be_patched_and_uprooted(server: ApiServer) -> None:
    server.plant(PLURAL, "a", json.dumps({"metadata": {"uid": "u"}, "spec": {"driver": 5}}).encode())
    headers = {"Content-Type": "application/merge-patch+json"}
    async with aiohttp.ClientSession(headers=headers) as http:
        body = json.dumps({"metadata": {"annotations": {"a": "b"}}})
        async with http.patch(f"{server.url}{PATH}/a", data=body) as answer:
            told = await answer.json()
    assert answer.status == 200, told
    server.uproot(PLURAL, "a")
    assert server.get(PLURAL, "a") is None
    with pytest.raises(KeyError):
        server.uproot(PLURAL, "a")
