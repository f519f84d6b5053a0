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

from snapshotter import names
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault
from tests.contract import objects
from tests.contract.client import SOON_SECONDS, Client, Json, Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

DRIVER = "sidecar.csi.example.com"
EVENTS = "/api/v1/namespaces/default/events"
COMMAND = Path(sys.executable).parent / "csi-snapshotter"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Driver]:
    directory = tmp_path_factory.mktemp("driver")
    async with Driver.serve(directory / "csi.sock", DriverOptions(name=DRIVER, state=directory / "state")) as made:
        await made.make_volume("vol", b"bytes")
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sidecar(
    server: Server, api: Client, driver: Driver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    """The sidecar at work, with a class `sidecar`."""
    (await api.create(objects.CLASSES, objects.snapshot_class(name="sidecar", driver=DRIVER))).ok()
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


def content(name: str, *, finalizers: tuple[str, ...] = (names.CONTENT_FINALIZER,), **spec: Any) -> Json:
    ref = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    metadata = {"finalizers": list(finalizers)}
    usual: Json = {"driver": DRIVER, "volumeSnapshotClassName": "sidecar", "source": {"volumeHandle": "vol"}}
    return objects.content(name=name, metadata=metadata, volumeSnapshotRef=ref, **usual | spec)


async def until(api: Client, name: str, condition: Callable[[Json | None], object]) -> Json | None:
    """The content once something holds of it; None stands for its absence."""
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            answer = await api.get(f"{objects.CONTENTS}/{name}")
            found = None if answer.status == 404 else answer.ok()
            if condition(found):
                return found
            await asyncio.sleep(0.05)


def settled(found: Json | None) -> bool:
    return (
        found is not None
        and found.get("status", {}).get("readyToUse") is True
        and names.BEING_CREATED not in found["metadata"].get("annotations", {})
    )


async def delete(api: Client, name: str) -> None:
    path = f"{objects.CONTENTS}/{name}"
    (await api.merge(path, {"metadata": {"annotations": {names.BEING_DELETED: "yes"}}})).ok()
    (await api.delete(path)).ok()


@pytest.mark.usefixtures("sidecar")
@pytest.mark.parametrize("finalizers", [(), ("example.com/other",), (names.CONTENT_FINALIZER,)])
async def test_a_snapshot_comes_and_goes(api: Client, driver: Driver, finalizers: tuple[str, ...]) -> None:
    name = objects.new_name("sidecar")
    (await api.create(objects.CONTENTS, content(name, finalizers=finalizers))).ok()
    made = await until(api, name, settled)
    assert made is not None
    assert made["status"]["snapshotHandle"] in driver.snapshots
    assert set(made["metadata"]["finalizers"]) == {*finalizers, names.CONTENT_FINALIZER}
    await delete(api, name)
    others = [finalizer for finalizer in finalizers if finalizer != names.CONTENT_FINALIZER]
    if others:
        left = await until(api, name, lambda found: found is None or found["metadata"]["finalizers"] == others)
        assert left is not None
        assert left["status"] == {}
        (await api.merge(f"{objects.CONTENTS}/{name}", {"metadata": {"finalizers": None}})).ok()
    await until(api, name, lambda found: found is None)
    assert not driver.snapshots


@pytest.mark.usefixtures("sidecar")
async def test_a_failure_is_told_in_status_and_event_and_ends_with_success(api: Client, driver: Driver) -> None:
    name = objects.new_name("sidecar")
    fault = driver.faults.set(Fault(match="CreateSnapshot", error="FAILED_PRECONDITION", message="not like this"))
    (await api.create(objects.CONTENTS, content(name))).ok()
    failed = await until(api, name, lambda found: found and "error" in found.get("status", {}))
    assert failed is not None
    assert "FailedPrecondition: not like this" in failed["status"]["error"]["message"]
    async with api.watch(EVENTS, fieldSelector=f"involvedObject.name={name}", resourceVersion="0") as watch:
        while (event := await watch.next()) is not None and event["object"]["count"] < 2:
            pass
    events = (await api.get(EVENTS, fieldSelector=f"involvedObject.name={name}")).ok()["items"]
    assert [event["reason"] for event in events] == ["SnapshotCreationFailed"]
    driver.faults.lift(fault)
    made = await until(api, name, settled)
    assert made is not None
    assert "error" not in made["status"]
    await delete(api, name)
    await until(api, name, lambda found: found is None)


@pytest.mark.usefixtures("sidecar")
async def test_an_object_that_was_made_anew_does_not_get_the_status_of_the_old_one(api: Client, driver: Driver) -> None:
    name = objects.new_name("sidecar")
    hold = driver.faults.set(Fault(match="CreateSnapshot", hold="after", times=1))
    (await api.create(objects.CONTENTS, content(name))).ok()
    await driver.faults.wait_for_held(1)
    # Somebody takes the finalizer away by force, and the name is used again.
    path = f"{objects.CONTENTS}/{name}"
    (await api.merge(path, {"metadata": {"finalizers": None}})).ok()
    (await api.delete(path)).ok()
    (await api.create(objects.CONTENTS, content(name, driver="another.example.com"))).ok()
    driver.faults.lift(hold)
    await until_idle(driver)
    found = (await api.get(path)).ok()
    assert "status" not in found
    assert names.BEING_CREATED not in found["metadata"].get("annotations", {})


async def until_idle(driver: Driver) -> None:
    """Return when the sidecar has had its answers, and a moment to act on them."""
    await driver.log.wait_until(lambda log: all(call.ended_at is not None for call in log.calls))
    await asyncio.sleep(0.3)
