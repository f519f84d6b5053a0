"""The far side's client, against the API server's stand-in over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.client import KINDS, USER_AGENT, ApiFailure, Json, Kind, KubeClient
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground.pieces import free_port

GENEROUS_SECONDS = 20


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer.serve() as serving:
        yield serving


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[KubeClient]:
    async with KubeClient(server.url) as connected:
        yield connected


def snapshot_class(name: str = "fast", **fields: Any) -> Json:
    body = {"driver": "csi.example.com", "deletionPolicy": "Delete"} | fields
    return {"kind": "VolumeSnapshotClass", "metadata": {"name": name}, **body}


PATHS = {
    "a core kind is under /api": (KINDS["Node"].path(), "/api/v1/nodes"),
    "a kind of a group is under /apis": (
        KINDS["VolumeSnapshotClass"].path(None, "fast"),
        "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/fast",
    ),
    "a namespaced object is in default unless told": (
        KINDS["Secret"].path(None, "key"),
        "/api/v1/namespaces/default/secrets/key",
    ),
    "a namespace and a subresource have their places": (
        KINDS["VolumeSnapshot"].path("shop", "nightly", "status"),
        "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots/nightly/status",
    ),
    "a namespace means nothing to a kind without": (Kind("v1", "nodes").path("shop"), "/api/v1/nodes"),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS.keys())
def test_path(path: str, expected: str) -> None:
    assert path == expected


async def test_an_object_is_created_read_listed_changed_and_deleted(client: KubeClient) -> None:
    created = await client.create(snapshot_class())
    assert created["metadata"]["uid"]
    assert await client.get("VolumeSnapshotClass", "fast") == created
    assert (await client.list("VolumeSnapshotClass")).items == [created]
    changed = await client.merge_patch("VolumeSnapshotClass", "fast", {"parameters": {"speed": "high"}})
    assert changed["parameters"] == {"speed": "high"}
    await client.delete("VolumeSnapshotClass", "fast")
    assert (await client.list("VolumeSnapshotClass")).items == []


async def test_objects_live_in_the_namespace_that_is_asked_for(client: KubeClient) -> None:
    await client.create({"kind": "Namespace", "metadata": {"name": "shop"}})
    secret = {"kind": "Secret", "metadata": {"name": "key"}, "stringData": {"user": "admin"}}
    await client.create(secret, namespace="shop")
    assert (await client.get("Secret", "key", namespace="shop"))["metadata"]["namespace"] == "shop"
    assert (await client.list("Secret")).items == []


async def test_a_status_is_patched_as_a_subresource(client: KubeClient) -> None:
    await client.create(
        {
            "kind": "VolumeSnapshotContent",
            "metadata": {"name": "a"},
            "spec": {
                "driver": "csi.example.com",
                "deletionPolicy": "Delete",
                "source": {"volumeHandle": "vol"},
                "volumeSnapshotRef": {"name": "a", "namespace": "default"},
            },
        }
    )
    patch = {"status": {"readyToUse": True}}
    patched = await client.merge_patch("VolumeSnapshotContent", "a", patch, subresource="status")
    assert patched["status"] == {"readyToUse": True}


async def test_a_list_can_be_narrowed_by_a_selector(client: KubeClient) -> None:
    for name in ("a", "b"):
        await client.create(snapshot_class(name))
    listing = await client.list("VolumeSnapshotClass", fieldSelector="metadata.name=b")
    assert [item["metadata"]["name"] for item in listing.items] == ["b"]


@pytest.mark.parametrize(
    ("refused", "status", "reason", "word"),
    [
        (lambda client: client.get("VolumeSnapshotClass", "none"), 404, "NotFound", '"none" not found'),
        (lambda client: client.create(snapshot_class("taken")), 409, "AlreadyExists", '"taken" already exists'),
        (lambda client: client.create(snapshot_class(deletionPolicy="x")), 422, "Invalid", "deletionPolicy"),
    ],
    ids=["an unknown object", "a name that is taken", "an invalid object"],
)
async def test_a_refusal_says_what_the_server_said(
    client: KubeClient, refused: Any, status: int, reason: str, word: str
) -> None:
    await client.create(snapshot_class("taken"))
    with pytest.raises(ApiFailure) as failed:
        await refused(client)
    assert (failed.value.status, failed.value.reason) == (status, reason)
    assert word in failed.value.message
    assert not failed.value.unreachable


async def test_a_server_that_does_not_answer_is_unreachable() -> None:
    async with KubeClient(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(ApiFailure) as failed:
            await client.list("Node")
        assert failed.value.unreachable
        with pytest.raises(ApiFailure) as failed:
            await anext(client.watch("Node", "1"))
        assert failed.value.unreachable


async def test_its_requests_can_be_told_from_those_of_the_programs(server: ApiServer, client: KubeClient) -> None:
    await client.list("Node")
    assert [record.user_agent for record in server.requests] == [USER_AGENT]


async def test_a_kubeconfig_leads_to_its_server(server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(server.kubeconfig())
    async with KubeClient.of(path) as client:
        assert client.url == server.url
        await client.list("Node")


async def test_following_shows_what_there_is_and_then_every_change(client: KubeClient) -> None:
    await client.create(snapshot_class("old"))
    seen = []
    async with asyncio.timeout(GENEROUS_SECONDS), aclosing(client.follow("VolumeSnapshotClass")) as changes:
        async for change in changes:
            seen.append((change.type, change.object["metadata"]["name"]))
            match len(seen):
                case 1:
                    await client.create(snapshot_class("new"))
                case 2:
                    await client.merge_patch("VolumeSnapshotClass", "new", {"parameters": {"a": "b"}})
                case 3:
                    await client.delete("VolumeSnapshotClass", "old")
                case 4:
                    break
    assert seen == [("ADDED", "old"), ("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "old")]


async def test_following_goes_on_after_the_connection_was_cut(server: ApiServer, client: KubeClient) -> None:
    seen: list[str] = []
    async with asyncio.timeout(GENEROUS_SECONDS), aclosing(client.follow("VolumeSnapshotClass")) as changes:
        await client.create(snapshot_class("a"))
        async for change in changes:
            seen.append(change.object["metadata"]["name"])
            if seen == ["a"]:
                await client.create(snapshot_class("b"))
            elif seen == ["a", "b"]:
                server.cut_watches()
                await client.create(snapshot_class("c"))
            else:
                break
    assert seen == ["a", "b", "c"]


async def test_an_error_in_a_watch_is_raised(server: ApiServer, client: KubeClient) -> None:
    server.faults.set(Fault(match="^WATCH", error=410, error_when="after", message="too old"))
    with pytest.raises(ApiFailure) as failed:
        await anext(client.watch("Node", "1"))
    assert (failed.value.status, failed.value.message) == (410, "too old")


async def test_waiting_ends_when_the_object_is_as_wished_and_when_it_is_gone(client: KubeClient) -> None:
    async def change() -> None:
        await client.create(snapshot_class())
        await client.merge_patch("VolumeSnapshotClass", "fast", {"parameters": {"speed": "high"}})

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(change())
        found = await client.wait_for("VolumeSnapshotClass", "fast", lambda item: bool(item and "parameters" in item))
    assert found is not None
    assert found["parameters"] == {"speed": "high"}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.delete("VolumeSnapshotClass", "fast"))
        assert await client.wait_for("VolumeSnapshotClass", "fast", lambda item: item is None) is None


async def test_waiting_in_vain_tells_how_the_object_was_last(client: KubeClient) -> None:
    await client.create(snapshot_class())
    with pytest.raises(TimeoutError, match=r"VolumeSnapshotClass fast is not as expected .*csi\.example\.com"):
        await client.wait_for("VolumeSnapshotClass", "fast", lambda item: item is None, timeout=0.1)
