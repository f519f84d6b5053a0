"""One kind's door: pages, watches, selections, and objects that nobody understands."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snapshotter.kube.connection import Connection, Limits, connect
from snapshotter.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from snapshotter.kube.kinds import CLAIM, CONTENT, SNAPSHOT
from snapshotter.kube.objects import Objects
from snapshotter.kube.reading import driver_of
from snapshotter.metrics import Metrics
from snapshotter.model.content import Content
from snapshotter.runtime.informer import Changed, Known, Removed, SourceError, VersionExpired
from snapshotter.runtime.store import SetAside
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect, changed_crds

PLURAL = CONTENT.plural

CLAIM_BODY: dict[str, dict[str, object]] = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def body(name: str, *, driver: str = "d", policy: str = "Delete") -> dict[str, object]:
    ref = {"name": "s", "namespace": "default"}
    spec = {"driver": driver, "deletionPolicy": policy, "source": {"volumeHandle": "v"}, "volumeSnapshotRef": ref}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def connection(connected: Connect) -> AsyncIterator[Connection]:
    async with connected() as made:
        yield made


@pytest.fixture
def contents(connection: Connection, metrics: Metrics) -> Objects[Content]:
    return Objects(connection, CONTENT, metrics)


async def test_a_list_whose_pages_expire_is_begun_anew(
    server: ApiServer, contents: Objects[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.kube.objects.PAGE_SIZE", 1)
    server.create(PLURAL, body("a"))
    server.create(PLURAL, body("b"))
    server.faults.set(Fault(match="LIST", skip=1, times=1, error=410))
    with pytest.raises(VersionExpired):
        await contents.list_all()


async def test_an_object_that_breaks_its_schema_is_passed_over(tmp_path: Path, metrics: Metrics) -> None:
    def allow_everything(version: dict[str, object]) -> None:
        version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}

    async with ApiServer.serve(changed_crds(tmp_path, allow_everything)) as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig())
        server.create(PLURAL, body("fine"))
        server.create(PLURAL, body("strange", policy="Perhaps"))
        server.create(PLURAL, {"metadata": {"name": "empty"}})
        async with connect(tmp_path / "kubeconfig", Limits(), metrics, user_agent="test/1") as connection:
            contents = Objects(connection, CONTENT, metrics)
            listing = await contents.list_all()
            assert [content.name for content in listing.objects] == ["fine"]
            async with contents.watch(listing.version) as events:
                server.create(PLURAL, body("stranger", policy="Never"))
                server.create(PLURAL, body("finer"))
                stranger, finer = await anext(events), await anext(events)
            assert [
                (found.key, found.reason) for found in (*listing.set_aside, stranger) if isinstance(found, SetAside)
            ] == [
                ("empty", "Object missing required field `spec`"),
                ("strange", "Invalid enum value 'Perhaps' - at `$.spec.deletionPolicy`"),
                ("stranger", "Invalid enum value 'Never' - at `$.spec.deletionPolicy`"),
            ]
            assert isinstance(finer, Changed)
    assert metrics.registry.get_sample_value("snapshotter_malformed_objects_total", {"resource": PLURAL}) == 3


async def test_a_patch_that_does_not_fit_is_a_conflict_and_one_that_breaks_a_rule_is_not(
    server: ApiServer, contents: Objects[Content]
) -> None:
    server.create(PLURAL, body("a"))
    with pytest.raises(Conflict):
        await contents.merge("a", {"metadata": {"uid": "another", "annotations": {"a": "b"}}})
    with pytest.raises(Conflict):
        await contents.merge("a", {"metadata": {"resourceVersion": "1"}})
    with pytest.raises(Conflict):
        await contents.apply("a", [{"op": "test", "path": "/metadata/uid", "value": "another"}])
    with pytest.raises(Invalid, match="restoreSize"):
        await contents.apply(
            "a", [{"op": "add", "path": "/status", "value": {"restoreSize": -1}}], subresource="status"
        )
    with pytest.raises(NotFound):
        await contents.merge("b", {"metadata": {"annotations": {"a": "b"}}})


async def test_an_object_is_created_once(contents: Objects[Content]) -> None:
    made = await contents.create("", body("a"))
    assert (made.name, made.spec.driver) == ("a", "d")
    with pytest.raises(AlreadyExists, match='"a"'):
        await contents.create("", body("a"))


async def test_this_very_object_is_deleted_and_no_other_of_its_name(
    server: ApiServer, contents: Objects[Content]
) -> None:
    made = await contents.create("", body("a"))
    with pytest.raises(Conflict):
        await contents.delete("a", uid="another")
    assert server.get(PLURAL, "a") is not None
    await contents.delete("a", uid=made.metadata.uid)
    assert server.get(PLURAL, "a") is None
    with pytest.raises(NotFound):
        await contents.delete("a", uid=made.metadata.uid)


async def test_an_object_is_put_back_with_all_that_we_do_not_know(
    server: ApiServer, connection: Connection, metrics: Metrics
) -> None:
    claims = Objects(connection, CLAIM, metrics)
    server.create("namespaces", {"metadata": {"name": "shop"}})
    await claims.create("shop", CLAIM_BODY)
    written = await claims.rewrite("shop/data", lambda raw: raw["metadata"].update(finalizers=["example.com/mine"]))
    assert (written.key, written.metadata.finalizers) == ("shop/data", ("example.com/mine",))
    stored = server.get("persistentvolumeclaims", "data", "shop")
    assert stored is not None
    assert stored["spec"].items() >= CLAIM_BODY["spec"].items()


async def test_an_object_that_somebody_else_changes_meanwhile_is_not_put_back(
    server: ApiServer, contents: Objects[Content]
) -> None:
    server.create(PLURAL, body("a"))
    fault = server.faults.set(Fault(match="PUT", hold="before"))
    rewriting = asyncio.create_task(
        contents.rewrite("a", lambda raw: raw["metadata"].update(finalizers=["example.com/mine"]))
    )
    while not any(record.verb == "GET" for record in server.requests):  # noqa: ASYNC110 (the server tells nobody)
        await asyncio.sleep(0.01)
    await contents.merge("a", {"metadata": {"annotations": {"by": "another"}}})
    server.faults.lift(fault)
    with pytest.raises(Conflict):
        await rewriting


async def test_objects_in_namespaces_are_told_apart(
    server: ApiServer, connection: Connection, metrics: Metrics
) -> None:
    snapshots = Objects(connection, SNAPSHOT, metrics)
    for namespace in ("shop", "bank"):
        server.create("namespaces", {"metadata": {"name": namespace}})
        source = {"persistentVolumeClaimName": "data"}
        await snapshots.create(namespace, {"metadata": {"name": "nightly"}, "spec": {"source": source}})
    listing = await snapshots.list_all()
    assert sorted(found.key for found in listing.objects) == ["bank/nightly", "shop/nightly"]
    assert (await snapshots.get("bank/nightly")).namespace == "bank"
    async with snapshots.watch(listing.version) as events:
        await snapshots.delete("bank/nightly", uid=(await snapshots.get("bank/nightly")).metadata.uid)
        event = await anext(events)
    assert isinstance(event, Removed)
    assert event.key == "bank/nightly"


async def test_what_is_not_ours_is_passed_over_without_a_word(
    server: ApiServer, connection: Connection, metrics: Metrics
) -> None:
    contents = Objects(connection, CONTENT, metrics, concerns_us=lambda raw: driver_of(raw) in ("mine", None))
    for driver in (b'"mine"', b'"another"', b"5"):
        server.plant(PLURAL, driver.decode().strip('"'), b'{"metadata":{"name":"a"},"spec":{"driver":%s}}' % driver)
    listing = await contents.list_all()
    assert len(listing.set_aside) == 2
    async with contents.watch(listing.version) as events:
        odd = b'{"metadata":{"name":"b","resourceVersion":"@version@"},"spec":{"driver":"another"}}'
        server.plant(PLURAL, "b", odd)
        assert isinstance(await anext(events), Removed)


NAMES = ("", ".", "..", "a/b", "../c")


@pytest.mark.parametrize("name", NAMES)
async def test_an_object_that_no_request_could_name_is_set_aside(
    server: ApiServer, contents: Objects[Content], name: str
) -> None:
    spec = body("a")["spec"]
    server.plant(PLURAL, "a", json.dumps({"metadata": {"name": name}, "spec": spec}).encode())
    listing = await contents.list_all()
    assert not listing.objects
    assert [found.reason for found in listing.set_aside] == ["Not the name of an object - at `$.metadata.name`"]


async def test_a_name_leads_nowhere_else(server: ApiServer, contents: Objects[Content]) -> None:
    server.create(PLURAL, body("a"))
    for name in ("a?b=c", "a#b", "a%2fstatus", "a b"):
        with pytest.raises(NotFound):
            await contents.get(name)


async def test_a_long_list_comes_in_pages_of_one_version(
    server: ApiServer, contents: Objects[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.kube.objects.PAGE_SIZE", 2)
    for name in "abc":
        server.create(PLURAL, body(name))
    pages = [page async for page in contents.list_pages()]
    assert [[item.name for item in page.objects] for page in pages] == [["a", "b"], ["c"]]
    assert [page.more for page in pages] == [True, False]
    assert len({page.version for page in pages}) == 1


@pytest.mark.parametrize("code", [401, 403, 500, 503])
async def test_what_goes_wrong_is_told_in_the_informers_words(
    server: ApiServer, contents: Objects[Content], code: int
) -> None:
    server.faults.set(Fault(match="LIST|WATCH", error=code, message="trouble"))
    with pytest.raises(SourceError, match="trouble"):
        await contents.list_all()
    with pytest.raises(SourceError, match="trouble"):
        async with contents.watch("1"):
            pass


async def test_what_is_known_is_not_read(server: ApiServer, contents: Objects[Content]) -> None:
    first = server.create(PLURAL, body("a"))
    server.create(PLURAL, body("b"))
    known = ("a", first["metadata"]["resourceVersion"])
    async with contents.watch("0", lambda key, version: (key, version) == known) as events:
        assert await anext(events) == Known(*known)
        second = await anext(events)
        assert isinstance(second, Changed)
        assert second.object.name == "b"


@pytest.mark.parametrize(("header", "seconds"), [("2", 2.0), ("soon", None)])
async def test_when_to_watch_again_is_told_if_the_server_says_it(
    server: ApiServer, contents: Objects[Content], header: str, seconds: float | None
) -> None:
    server.faults.set(Fault(match="WATCH", error=429, headers={"Retry-After": header}, message="storage is starting"))
    with pytest.raises(SourceError, match="starting") as raised:
        async with contents.watch("1"):
            pass
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_expired_version_is_told_apart(server: ApiServer, contents: Objects[Content], when: str) -> None:
    server.faults.set(Fault(match="WATCH", error=410, error_when=when))  # type: ignore[arg-type]
    with pytest.raises(VersionExpired):
        async with contents.watch("1") as events:
            await anext(events)
