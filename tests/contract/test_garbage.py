"""Garbage collection by owner references: a controller's work on a cluster, the stand-in's own there."""

import pytest

from tests.contract.client import Client, Json
from tests.contract.objects import SNAPSHOTS, new_name, path_of, snapshot

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.controllers]


async def created(api: Client, label: str, *owners: Json) -> Json:
    references = [
        {"apiVersion": each["apiVersion"], "kind": each["kind"]}
        | {key: each["metadata"][key] for key in ("name", "uid")}
        for each in owners
    ]
    given = snapshot(metadata={"ownerReferences": references, "labels": {label: "a"}})
    return (await api.create(SNAPSHOTS, given)).ok()


async def newest(api: Client) -> str:
    version: str = (await api.get(SNAPSHOTS)).ok()["metadata"]["resourceVersion"]
    return version


async def test_what_is_owned_goes_with_its_owner_and_what_it_owns_in_turn(api: Client) -> None:
    label = new_name("label")
    first = await created(api, label)
    second = await created(api, label, first)
    third = await created(api, label, second)
    async with api.watch(SNAPSHOTS, resourceVersion=await newest(api), labelSelector=label) as watch:
        (await api.delete(path_of(first))).ok()
        for each in (first, second, third):
            await watch.expect("DELETED", each["metadata"]["name"])


async def test_what_has_another_owner_stays_and_loses_the_reference(api: Client) -> None:
    label = new_name("label")
    one, other = await created(api, label), await created(api, label)
    owned = await created(api, label, one, other)
    async with api.watch(SNAPSHOTS, resourceVersion=await newest(api), labelSelector=label) as watch:
        (await api.delete(path_of(one))).ok()
        await watch.expect("DELETED", one["metadata"]["name"])
        kept = await watch.expect("MODIFIED", owned["metadata"]["name"])
        assert [each["uid"] for each in kept["metadata"]["ownerReferences"]] == [other["metadata"]["uid"]]
        (await api.delete(path_of(other))).ok()
        await watch.expect("DELETED", other["metadata"]["name"])
        await watch.expect("DELETED", owned["metadata"]["name"])


async def test_orphans_stay_and_lose_the_reference(api: Client) -> None:
    label = new_name("label")
    parent = await created(api, label)
    child = await created(api, label, parent)
    selector = f"metadata.name={child['metadata']['name']}"
    async with api.watch(SNAPSHOTS, resourceVersion=await newest(api), fieldSelector=selector) as watch:
        (await api.delete(path_of(parent), {"propagationPolicy": "Orphan"})).ok()
        kept = await watch.expect("MODIFIED", child["metadata"]["name"])
        assert not kept["metadata"].get("ownerReferences")


async def test_what_is_owned_by_an_absent_object_goes(api: Client) -> None:
    label = new_name("label")
    absent = snapshot() | {"metadata": {"name": "absent", "uid": "00000000-0000-0000-0000-000000000000"}}
    async with api.watch(SNAPSHOTS, resourceVersion=await newest(api), labelSelector=label) as watch:
        child = await created(api, label, absent)
        await watch.expect("ADDED", child["metadata"]["name"])
        await watch.expect("DELETED", child["metadata"]["name"])


async def test_in_the_foreground_the_owner_goes_after_what_blocks_it(api: Client) -> None:
    label = new_name("label")
    parent = await created(api, label)
    child = await created(api, label, parent)
    reference = child["metadata"]["ownerReferences"][0] | {"blockOwnerDeletion": True}
    (await api.merge(path_of(child), {"metadata": {"ownerReferences": [reference], "finalizers": ["a/b"]}})).ok()
    async with api.watch(SNAPSHOTS, resourceVersion=await newest(api), labelSelector=label) as watch:
        marked = (await api.delete(path_of(parent), {"propagationPolicy": "Foreground"})).ok()
        assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
        await watch.expect("MODIFIED", parent["metadata"]["name"])
        terminating = await watch.expect("MODIFIED", child["metadata"]["name"])
        assert terminating["metadata"]["deletionTimestamp"]
        assert (await api.get(path_of(parent))).status == 200
        (await api.merge(path_of(child), {"metadata": {"finalizers": None}})).ok()
        await watch.expect("DELETED", child["metadata"]["name"])
        await watch.expect("DELETED", parent["metadata"]["name"])
