"""Watches: what is told, in which order, from which version on, and how a stream ends."""

import asyncio
import time

import pytest

from tests.contract.client import Client, Json, Server
from tests.contract.objects import (
    CONTENTS,
    SNAPSHOTS,
    content,
    new_name,
    path_of,
    snapshot,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def version_of(given: Json) -> int:
    return int(given["metadata"]["resourceVersion"])


async def newest(api: Client, path: str = CONTENTS) -> str:
    version: str = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    return version


def of(driver: str) -> str:
    return f"spec.driver={driver}"


async def test_from_the_version_of_a_list_every_later_change_is_told(api: Client) -> None:
    driver = new_name("driver")
    before, given = content(driver=driver), content(driver=driver)
    (await api.create(CONTENTS, before)).ok()
    name = given["metadata"]["name"]
    async with api.watch(CONTENTS, resourceVersion=await newest(api), fieldSelector=of(driver)) as watch:
        created = (await api.create(CONTENTS, given)).ok()
        assert await watch.expect("ADDED", name) == created
        changed = (await api.merge(path_of(given), {"metadata": {"annotations": {"a": "1"}}})).ok()
        assert await watch.expect("MODIFIED", name) == changed
        (await api.delete(path_of(given))).ok()
        deleted = await watch.expect("DELETED", name)
        assert version_of(deleted) > version_of(changed)
        assert deleted["metadata"]["annotations"] == {"a": "1"}


async def test_a_later_watch_tells_again_what_happened_after_its_version(api: Client) -> None:
    driver = new_name("driver")
    given = content(driver=driver)
    version = await newest(api)
    created = (await api.create(CONTENTS, given)).ok()
    changed = (await api.merge(path_of(given), {"spec": {"deletionPolicy": "Retain"}})).ok()
    async with api.watch(CONTENTS, resourceVersion=version, fieldSelector=of(driver)) as watch:
        assert await watch.expect("ADDED", given["metadata"]["name"]) == created
        assert await watch.expect("MODIFIED", given["metadata"]["name"]) == changed
    async with api.watch(CONTENTS, resourceVersion=version_of(created), fieldSelector=of(driver)) as watch:
        assert await watch.expect("MODIFIED", given["metadata"]["name"]) == changed


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}], ids=["no version", "version 0"])
async def test_without_a_version_the_objects_that_exist_are_told_first(api: Client, version: Json) -> None:
    driver = new_name("driver")
    given = [content(driver=driver) for _ in range(2)]
    for each in given:
        (await api.create(CONTENTS, each)).ok()
    await newest(api)
    async with api.watch(CONTENTS, fieldSelector=of(driver), **version) as watch:
        events = [await watch.next() for _ in range(2)]
        assert {(each["type"], each["object"]["metadata"]["name"]) for each in events if each} == {
            ("ADDED", each["metadata"]["name"]) for each in given
        }
        (await api.delete(path_of(given[0]))).ok()
        await watch.expect("DELETED", given[0]["metadata"]["name"])


async def test_a_terminating_object_is_modified_and_is_deleted_with_its_last_finalizer(api: Client) -> None:
    driver = new_name("driver")
    given = content(driver=driver, metadata={"finalizers": ["a/b"]})
    name = given["metadata"]["name"]
    (await api.create(CONTENTS, given)).ok()
    async with api.watch(CONTENTS, resourceVersion=await newest(api), fieldSelector=of(driver)) as watch:
        marked = (await api.delete(path_of(given))).ok()
        assert await watch.expect("MODIFIED", name) == marked
        gone = (await api.merge(path_of(given), {"metadata": {"finalizers": None}})).ok()
        deleted = await watch.expect("DELETED", name)
        assert version_of(deleted) > version_of(gone) == version_of(marked)
        # What is told is the object as it was stored last, before its finalizer went.
        assert deleted["metadata"]["finalizers"] == ["a/b"]
        assert deleted["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]


async def test_a_write_that_changes_nothing_is_not_told(api: Client) -> None:
    driver = new_name("driver")
    given = content(driver=driver)
    (await api.create(CONTENTS, given)).ok()
    async with api.watch(CONTENTS, resourceVersion=await newest(api), fieldSelector=of(driver)) as watch:
        (await api.merge(path_of(given), {"spec": {"deletionPolicy": "Delete"}})).ok()
        (await api.merge(f"{path_of(given)}/status", {"status": {"restoreSize": 1}})).ok()
        assert (await watch.expect("MODIFIED", given["metadata"]["name"]))["status"] == {"restoreSize": 1}


async def test_an_object_that_enters_or_leaves_the_selection_is_added_or_deleted(api: Client) -> None:
    driver, label = new_name("driver"), new_name("label")
    given = content(driver=driver)
    name = given["metadata"]["name"]
    (await api.create(CONTENTS, given)).ok()
    version = await newest(api)
    async with (
        api.watch(CONTENTS, resourceVersion=version, fieldSelector=of("other" + driver)) as by_driver,
        api.watch(CONTENTS, resourceVersion=version, labelSelector=f"{label}=a") as by_label,
    ):
        entered = (await api.merge(path_of(given), {"spec": {"driver": "other" + driver}})).ok()
        assert await by_driver.expect("ADDED", name) == entered
        labelled = (await api.merge(path_of(given), {"metadata": {"labels": {label: "a"}}})).ok()
        assert await by_driver.expect("MODIFIED", name) == labelled
        assert await by_label.expect("ADDED", name) == labelled
        left = (await api.merge(path_of(given), {"spec": {"driver": driver}, "metadata": {"labels": None}})).ok()
        for watch in (by_driver, by_label):
            deleted = await watch.expect("DELETED", name)
            assert version_of(deleted) == version_of(left)
        async with api.watch(CONTENTS, resourceVersion=version, fieldSelector=of("other" + driver)) as again:
            for kind in ("ADDED", "MODIFIED", "DELETED"):
                await again.expect(kind, name)


async def test_one_object_is_watched_by_its_name(api: Client) -> None:
    given, other = content(), content()
    version = await newest(api)
    selector = f"metadata.name={given['metadata']['name']}"
    async with api.watch(CONTENTS, resourceVersion=version, fieldSelector=selector) as watch:
        for each in (other, given):
            (await api.create(CONTENTS, each)).ok()
        await watch.expect("ADDED", given["metadata"]["name"])


async def test_a_watch_of_a_namespace_tells_of_no_other(api: Client) -> None:
    elsewhere = SNAPSHOTS.replace("/default/", "/kube-system/")
    inside, outside = snapshot(), snapshot()
    version = await newest(api, SNAPSHOTS)
    async with api.watch(SNAPSHOTS, resourceVersion=version) as watch:
        (await api.create(elsewhere, outside)).ok()
        (await api.create(SNAPSHOTS, inside)).ok()
        await watch.expect("ADDED", inside["metadata"]["name"])
    await api.delete(f"{elsewhere}/{outside['metadata']['name']}")


async def test_all_watchers_are_told_the_same_in_the_same_order(api: Client) -> None:
    driver = new_name("driver")
    given = [content(driver=driver) for _ in range(10)]
    query = {"resourceVersion": await newest(api), "fieldSelector": of(driver)}
    async with api.watch(CONTENTS, **query) as one, api.watch(CONTENTS, **query) as other:
        await asyncio.gather(*(api.create(CONTENTS, each) for each in given))
        told = [[await watch.next() for _ in given] for watch in (one, other)]
    assert told[0] == told[1]
    versions = [version_of(each["object"]) for each in told[0] if each]
    assert versions == sorted(versions)


async def test_a_watch_ends_cleanly_at_its_timeout(api: Client) -> None:
    started = time.monotonic()
    async with api.watch(CONTENTS, resourceVersion=await newest(api), timeoutSeconds=1) as watch:
        assert await watch.rest() == []
    assert 0.9 < time.monotonic() - started < 15


async def test_a_bookmark_near_the_timeout_tells_how_far_the_watch_has_come(api: Client) -> None:
    driver = new_name("driver")
    query = {"allowWatchBookmarks": "true", "timeoutSeconds": 4, "fieldSelector": of(driver)}
    async with api.watch(CONTENTS, resourceVersion=await newest(api), **query) as watch:
        # A bookmark that tells nothing new may be left out, so something has to happen elsewhere.
        written = (await api.create(CONTENTS, content())).ok()
        events = await watch.rest()
    assert {each["type"] for each in events} == {"BOOKMARK"}
    bookmark = events[-1]["object"]
    assert version_of(bookmark) >= version_of(written)
    assert (bookmark["apiVersion"], bookmark["kind"]) == ("snapshot.storage.k8s.io/v1", "VolumeSnapshotContent")
    assert "name" not in bookmark["metadata"]


async def test_bookmarks_are_not_sent_unasked(api: Client) -> None:
    query = {"timeoutSeconds": 3, "fieldSelector": of(new_name("driver"))}
    async with api.watch(CONTENTS, resourceVersion=await newest(api), **query) as watch:
        assert await watch.rest() == []


async def test_a_version_that_is_forgotten_is_an_error_event_and_the_end(api: Client, server: Server) -> None:
    (await api.create(CONTENTS, content())).ok()
    await server.forget_history()
    async with api.watch(CONTENTS, resourceVersion="1", timeoutSeconds=10) as watch:
        (event,) = await watch.rest()
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_a_watch_goes_on_when_history_is_forgotten(api: Client, server: Server) -> None:
    driver = new_name("driver")
    given = content(driver=driver)
    async with api.watch(CONTENTS, resourceVersion=await newest(api), fieldSelector=of(driver)) as watch:
        await server.forget_history()
        (await api.create(CONTENTS, given)).ok()
        await watch.expect("ADDED", given["metadata"]["name"])


async def test_the_newest_version_can_be_watched_after_history_is_forgotten(api: Client, server: Server) -> None:
    driver = new_name("driver")
    await server.forget_history()
    version = await newest(api)
    given = content(driver=driver)
    (await api.create(CONTENTS, given)).ok()
    async with api.watch(CONTENTS, resourceVersion=version, fieldSelector=of(driver)) as watch:
        await watch.expect("ADDED", given["metadata"]["name"])


async def test_a_streamed_list_tells_all_objects_and_then_bookmarks_the_end(api: Client) -> None:
    driver = new_name("driver")
    given = [content(driver=driver) for _ in range(3)]
    for each in given:
        (await api.create(CONTENTS, each)).ok()
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "fieldSelector": of(driver),
    }
    async with api.watch(CONTENTS, **query) as watch:
        events = [await watch.next() for _ in range(4)]
        assert [each["type"] for each in events if each] == ["ADDED"] * 3 + ["BOOKMARK"]
        assert events[-1] is not None
        bookmark = events[-1]["object"]
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert version_of(bookmark) >= max(version_of(each["object"]) for each in events[:3] if each)
        (await api.delete(path_of(given[0]))).ok()
        await watch.expect("DELETED", given[0]["metadata"]["name"])


async def test_a_watch_speaks_in_tables_when_asked(api: Client) -> None:
    driver = new_name("driver")
    given = content(driver=driver)
    query = {"watch": "true", "resourceVersion": await newest(api), "fieldSelector": of(driver)}
    async with api.session.get(CONTENTS, params=query, headers={"Accept": TABLE}) as response:
        (await api.create(CONTENTS, given)).ok()
        (await api.delete(path_of(given))).ok()
        first, second = [await response.content.readline() for _ in range(2)]
    assert b'"kind":"Table"' in first
    assert b'"columnDefinitions":[{' in first
    assert given["metadata"]["name"].encode() in first
    assert b'"columnDefinitions":null' in second or b'"columnDefinitions":[]' in second
