"""The sidecar on the server that is tested: what it writes is accepted, and does what it should.

The driver is the stand-in, the sidecar the installed command.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault
from tests.contract import objects
from tests.contract.client import SOON_SECONDS, Client, Json, Server
from tests.world import KINDS, SINGLE, Kind, each_kind

pytestmark = pytest.mark.asyncio(loop_scope="session")

DRIVER = "sidecar.csi.example.com"
EVENTS = "/api/v1/namespaces/default/events"
COMMAND = Path(sys.executable).parent / "csi-snapshotter"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Driver]:
    directory = tmp_path_factory.mktemp("driver")
    async with Driver.serve(directory / "csi.sock", DriverOptions(name=DRIVER, state=directory / "state")) as made:
        await made.make_volume("vol", b"bytes")
        await made.make_volume("vol2", b"more")
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sidecar(
    server: Server, api: Client, driver: Driver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    """The sidecar at work, with a class `sidecar` of either kind."""
    for make, kind in zip((objects.snapshot_class, objects.group_class), KINDS, strict=True):
        (await api.create(kind.class_path, make(name="sidecar", driver=DRIVER))).ok()
    kubeconfig = tmp_path_factory.mktemp("sidecar") / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig)
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        f"--csi-address={driver.socket}",
        f"--kubeconfig={kubeconfig}",
        "--retry-interval-start=100ms",
        "--retry-interval-max=500ms",
        stderr=asyncio.subprocess.DEVNULL,
    )
    yield
    process.terminate()
    assert await process.wait() == 0


def content(kind: Kind, name: str, *, finalizers: tuple[str, ...] | None = None, **spec: Any) -> Json:
    """A content to be cut. `finalizers` None: the one that protects contents."""
    make, source = (
        (objects.content, {"volumeHandle": "vol"})
        if kind is SINGLE
        else (objects.group_content, {"volumeHandles": ["vol", "vol2"]})
    )
    ref = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    metadata = {"finalizers": list((kind.finalizer,) if finalizers is None else finalizers)}
    usual: Json = {"driver": DRIVER, kind.class_name: "sidecar", "source": source, kind.ref: ref}
    return make(name=name, metadata=metadata, **usual | spec)


async def until(api: Client, path: str, condition: Callable[[Json | None], object]) -> Json | None:
    """The content once something holds of it; None stands for its absence."""
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            answer = await api.get(path)
            found = None if answer.status == 404 else answer.ok()
            if condition(found):
                return found
            await asyncio.sleep(0.05)


def is_settled(kind: Kind, found: Json | None) -> bool:
    return (
        found is not None
        and found.get("status", {}).get("readyToUse") is True
        and kind.being_created not in found["metadata"].get("annotations", {})
    )


async def until_settled(api: Client, kind: Kind, path: str) -> Json:
    made = await until(api, path, lambda found: is_settled(kind, found))
    assert made is not None
    return made


async def delete(api: Client, kind: Kind, path: str) -> None:
    (await api.merge(path, {"metadata": {"annotations": {kind.being_deleted: "yes"}}})).ok()
    (await api.delete(path)).ok()


def stored(kind: Kind, driver: Driver) -> set[str]:
    """The handles that the driver has of a kind."""
    return set(driver.snapshots) if kind is SINGLE else set(driver.groups)


@pytest.mark.usefixtures("sidecar")
@each_kind
@pytest.mark.parametrize("protection", ["nothing", "others", "ours"])
async def test_a_snapshot_comes_and_goes(api: Client, driver: Driver, kind: Kind, protection: str) -> None:
    finalizers = {"nothing": (), "others": ("example.com/other",), "ours": (kind.finalizer,)}[protection]
    name = objects.new_name("sidecar")
    path = f"{kind.path}/{name}"
    (await api.create(kind.path, content(kind, name, finalizers=finalizers))).ok()
    made = await until_settled(api, kind, path)
    assert made["status"][kind.handle] in stored(kind, driver)
    assert set(made["metadata"]["finalizers"]) == {*finalizers, kind.finalizer}
    members = made["status"].get("volumeSnapshotInfoList", [])
    assert [member["readyToUse"] for member in members] == ([] if kind is SINGLE else [True, True])
    await delete(api, kind, path)
    others = [finalizer for finalizer in finalizers if finalizer != kind.finalizer]
    if others:
        left = await until(api, path, lambda found: found is None or found["metadata"]["finalizers"] == others)
        assert left is not None
        assert set(left["status"]) <= {"volumeSnapshotInfoList"}
        (await api.merge(path, {"metadata": {"finalizers": None}})).ok()
    await until(api, path, lambda found: found is None)
    assert made["status"][kind.handle] not in stored(kind, driver)
    assert driver.snapshots.keys().isdisjoint(member["snapshotHandle"] for member in members)


@pytest.mark.usefixtures("sidecar")
@each_kind
async def test_a_failure_is_told_in_status_and_event_and_ends_with_success(
    api: Client, driver: Driver, kind: Kind
) -> None:
    name = objects.new_name("sidecar")
    path = f"{kind.path}/{name}"
    fault = driver.faults.set(Fault(match=kind.create, error="FAILED_PRECONDITION", message="not like this"))
    (await api.create(kind.path, content(kind, name))).ok()
    failed = await until(api, path, lambda found: found and "error" in found.get("status", {}))
    assert failed is not None
    assert "FailedPrecondition: not like this" in failed["status"]["error"]["message"]
    async with api.watch(EVENTS, fieldSelector=f"involvedObject.name={name}", resourceVersion="0") as watch:
        while (event := await watch.next()) is not None and event["object"]["count"] < 2:
            pass
    events = (await api.get(EVENTS, fieldSelector=f"involvedObject.name={name}")).ok()["items"]
    assert [event["reason"] for event in events] == [kind.creation_failed]
    driver.faults.lift(fault)
    made = await until_settled(api, kind, path)
    assert "error" not in made["status"]
    await delete(api, kind, path)
    await until(api, path, lambda found: found is None)


@pytest.mark.usefixtures("sidecar")
@each_kind
async def test_promise_8_an_object_that_was_made_anew_does_not_get_the_status_of_the_old_one(
    api: Client, driver: Driver, kind: Kind
) -> None:
    name = objects.new_name("sidecar")
    hold = driver.faults.set(Fault(match=kind.create, hold="after", times=1))
    (await api.create(kind.path, content(kind, name))).ok()
    await driver.faults.wait_for_held(1)
    # Somebody takes the finalizer away by force, and the name is used again.
    path = f"{kind.path}/{name}"
    (await api.merge(path, {"metadata": {"finalizers": None}})).ok()
    (await api.delete(path)).ok()
    (await api.create(kind.path, content(kind, name, driver="another.example.com"))).ok()
    driver.faults.lift(hold)
    await until_idle(driver)
    found = (await api.get(path)).ok()
    assert "status" not in found
    assert kind.being_created not in found["metadata"].get("annotations", {})


async def until_idle(driver: Driver) -> None:
    """Return when the sidecar has had its answers, and a moment to act on them."""
    await driver.log.wait_until(lambda log: all(call.ended_at is not None for call in log.calls))
    await asyncio.sleep(0.3)
