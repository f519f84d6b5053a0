"""The provisioner: what it decides, and what becomes of claims with the other stand-ins."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault
from snapshotter.testing.provisioner import provisioning
from snapshotter.testing.provisioner.plan import (
    ALLOW_MODE_CHANGE,
    PROVISIONED_BY,
    VOLUME_FINALIZER,
    Bind,
    ClaimStep,
    Delete,
    LetGo,
    Provision,
    Refuse,
    Release,
    Seen,
    VolumeStep,
    claim_step,
    volume_step,
)
from snapshotter.testing.quantities import size_bytes

DRIVER = "bytes.csi.example.com"
SOON_SECONDS = 20.0

QUANTITIES = {
    "1Gi": 1 << 30,
    "100Mi": 100 << 20,
    "1Ki": 1024,
    "1.5Gi": 3 << 29,
    "1k": 1000,
    "2G": 2_000_000_000,
    "1e3": 1000,
    "12": 12,
    12: 12,
    ".5": 1,
    "1500m": 2,
    "0": 0,
}


@pytest.mark.parametrize(("written", "expected"), QUANTITIES.items())
def test_sizes_are_read_as_kubernetes_writes_them(written: str | int, expected: int) -> None:
    assert size_bytes(written) == expected


@pytest.mark.parametrize("written", ["", "Gi", "1 Gi", "1GiB", "-1", "one"])
def test_what_is_no_size_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(written)


# Objects as far as they matter here.


def meta(name: str, **more: Any) -> Json:
    return {"name": name, "namespace": "default", "uid": f"uid-of-{name}", **more}


def claim(**spec: Any) -> Json:
    return {
        "metadata": meta("data"),
        "spec": {
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Ki"}},
            "volumeMode": "Filesystem",
        }
        | spec,
        "status": {"phase": "Pending"},
    }


def from_snapshot(**more: Any) -> Json:
    return claim(dataSourceRef={"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "cut"} | more)


def with_status(given: Json, **status: Any) -> Json:
    return given | {"status": given.get("status", {}) | status}


def with_meta(given: Json, **metadata: Any) -> Json:
    return given | {"metadata": given["metadata"] | metadata}


def with_spec(given: Json, **spec: Any) -> Json:
    return given | {"spec": given["spec"] | spec}


CLASS: Json = {
    "metadata": {"name": "fast"},
    "provisioner": DRIVER,
    "reclaimPolicy": "Delete",
    "parameters": {"csi.storage.k8s.io/fstype": "ext4", "tier": "gold"},
}
SNAPSHOT: Json = {
    "metadata": meta("cut"),
    "spec": {},
    "status": {"boundVolumeSnapshotContentName": "content", "readyToUse": True, "restoreSize": "1Ki"},
}
CONTENT: Json = {
    "metadata": {"name": "content", "uid": "uid-of-content"},
    "spec": {
        "driver": DRIVER,
        "sourceVolumeMode": "Filesystem",
        "volumeSnapshotRef": {"namespace": "default", "name": "cut", "uid": "uid-of-cut"},
    },
    "status": {"snapshotHandle": "snap-1"},
}


def seen(
    snapshot: Json | None = SNAPSHOT, content: Json | None = CONTENT, volume: Json | None = None, **classes: Json
) -> Seen:
    return Seen(
        claims={"default/data": claim()},
        volumes={} if volume is None else {volume["metadata"]["name"]: volume},
        storage_classes=classes or {"fast": CLASS},
        snapshots={} if snapshot is None else {"default/cut": snapshot},
        contents={} if content is None else {"content": content},
    )


def volume(ref: Json | None = None, **spec: Any) -> Json:
    return {
        "metadata": {"name": "pv", "annotations": {PROVISIONED_BY: DRIVER}, "finalizers": [VOLUME_FINALIZER]},
        "spec": {
            "csi": {"driver": DRIVER, "volumeHandle": "vol-1"},
            "persistentVolumeReclaimPolicy": "Delete",
        }
        | ({} if ref is None else {"claimRef": ref})
        | spec,
        "status": {"phase": "Bound"},
    }


OURS = {"namespace": "default", "name": "data", "uid": "uid-of-data"}
EMPTY = Provision(
    name="pvc-uid-of-data",
    size_bytes=1024,
    volume_mode="Filesystem",
    access_modes=("ReadWriteOnce",),
    storage_class="fast",
    reclaim_policy="Delete",
    parameters={"tier": "gold"},
    snapshot_handle=None,
)
FILLED = replace(EMPTY, snapshot_handle="snap-1")

CLAIMS: Mapping[str, tuple[Json, Seen, ClaimStep | None]] = {
    "a claim of our class gets a volume, without the parameters that are not the driver's": (claim(), seen(), EMPTY),
    "a class that waits for a consumer does not wait here": (
        claim(),
        seen(fast=CLASS | {"volumeBindingMode": "WaitForFirstConsumer"}),
        EMPTY,
    ),
    "a class that keeps its volumes": (
        claim(),
        seen(fast=CLASS | {"reclaimPolicy": "Retain"}),
        replace(EMPTY, reclaim_policy="Retain"),
    ),
    "a class of another driver is not ours": (claim(), seen(fast=CLASS | {"provisioner": "other"}), None),
    "a class that is not there is waited for": (claim(storageClassName="none"), seen(), None),
    "a claim without class": (claim(storageClassName=""), seen(), None),
    "a bound claim has all it needs": (with_status(claim(), phase="Bound"), seen(), None),
    "a claim that is going needs nothing": (with_meta(claim(), deletionTimestamp="2026-01-01T00:00:00Z"), seen(), None),
    "a volume that has been made for the claim": (claim(), seen(volume=volume(OURS)), Bind("pv")),
    "a volume that somebody has made for it, by its name alone": (
        claim(storageClassName=""),
        seen(volume=volume({"namespace": "default", "name": "data"})),
        Bind("pv"),
    ),
    "a volume of an earlier claim of this name": (claim(), seen(volume=volume(OURS | {"uid": "other"})), EMPTY),
    "a volume that the claim names and nobody has": (claim(volumeName="pv"), seen(volume=volume()), Bind("pv")),
    "a volume that the claim names and another has": (
        claim(volumeName="pv"),
        seen(volume=volume(OURS | {"name": "other"})),
        None,
    ),
    "a volume that the claim names is waited for": (claim(volumeName="pv"), seen(), None),
    "a volume that nobody has asked for": (claim(), seen(volume=volume()), EMPTY),
    "a claim from a snapshot": (from_snapshot(), seen(), FILLED),
    "the older field of the source": (
        claim(dataSource={"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "cut"}),
        seen(),
        FILLED,
    ),
    "more than the snapshot's size": (
        with_spec(from_snapshot(), resources={"requests": {"storage": "2Ki"}}),
        seen(),
        replace(FILLED, size_bytes=2048),
    ),
    "another mode, allowed": (
        with_spec(from_snapshot(), volumeMode="Block"),
        seen(content=with_meta(CONTENT, annotations={ALLOW_MODE_CHANGE: "true"})),
        replace(FILLED, volume_mode="Block"),
    ),
    "a content that does not know the mode": (
        with_spec(from_snapshot(), volumeMode="Block"),
        seen(content=with_spec(CONTENT, sourceVolumeMode=None)),
        replace(FILLED, volume_mode="Block"),
    ),
}

REFUSALS: Mapping[str, tuple[Json, Seen, str]] = {
    "no size": (claim(resources={"requests": {"storage": "-1Gi"}}), seen(), "what it asks for is not a size: '-1Gi'"),
    "another kind of source": (
        from_snapshot(apiGroup=None, kind="PersistentVolumeClaim"),
        seen(),
        "its data source is a PersistentVolumeClaim",
    ),
    "a snapshot of another namespace": (from_snapshot(namespace="shop"), seen(), 'in another namespace, "shop"'),
    "no such snapshot": (from_snapshot(name="none"), seen(), 'there is no VolumeSnapshot "none"'),
    "a snapshot that is going": (
        from_snapshot(),
        seen(with_meta(SNAPSHOT, deletionTimestamp="2026-01-01T00:00:00Z")),
        "is being deleted",
    ),
    "a snapshot without status": (from_snapshot(), seen({"metadata": meta("cut")}), "is not ready to use"),
    "a snapshot that is not ready": (from_snapshot(), seen(with_status(SNAPSHOT, readyToUse=False)), "is not ready"),
    "too small": (
        with_spec(from_snapshot(), resources={"requests": {"storage": "1023"}}),
        seen(),
        "it asks for less than the size",
    ),
    "no content": (from_snapshot(), seen(content=None), "is bound to no content"),
    "a content of another snapshot": (
        from_snapshot(),
        seen(
            content=with_spec(
                CONTENT, volumeSnapshotRef={"namespace": "default", "name": "cut", "uid": "of an earlier"}
            )
        ),
        'the content "content" is not bound to the VolumeSnapshot "cut"',
    ),
    "another driver's snapshot": (from_snapshot(), seen(content=with_spec(CONTENT, driver="other")), "another driver"),
    "another mode": (with_spec(from_snapshot(), volumeMode="Block"), seen(), "it is of mode Block"),
    "no handle": (from_snapshot(), seen(content=CONTENT | {"status": {}}), 'the content "content" has no handle'),
}

LONELY: Json = OURS | {"uid": "of an earlier"}
VOLUMES: Mapping[str, tuple[Json, VolumeStep | None]] = {
    "a volume whose claim is there stays": (volume(OURS), None),
    "a volume that no claim has stays": (volume(), None),
    "a volume whose claim has not come yet stays": (volume(OURS | {"name": "later", "uid": ""}), None),
    "a volume whose claim has gone is released": (volume(OURS | {"name": "gone"}), Release()),
    "a volume whose claim has been made anew is released": (volume(LONELY), Release()),
    "what is released is deleted": (with_status(volume(LONELY), phase="Released"), Delete("vol-1")),
    "or kept, by its policy": (
        with_status(volume(LONELY, persistentVolumeReclaimPolicy="Retain"), phase="Released"),
        None,
    ),
    "what is kept goes if somebody deletes the object": (
        with_meta(
            with_status(volume(LONELY, persistentVolumeReclaimPolicy="Retain"), phase="Released"),
            deletionTimestamp="2026-01-01T00:00:00Z",
        ),
        LetGo(),
    ),
    "what we have not made we do not delete": (
        with_meta(with_status(volume(LONELY), phase="Released"), annotations={}),
        None,
    ),
    "nor what another driver has": (
        with_status(volume(LONELY, csi={"driver": "other", "volumeHandle": "vol-1"}), phase="Released"),
        None,
    ),
}


@pytest.mark.parametrize(("given", "world", "expected"), CLAIMS.values(), ids=CLAIMS.keys())
def test_claim_step(given: Json, world: Seen, expected: ClaimStep | None) -> None:
    assert claim_step(given, world, DRIVER) == expected


@pytest.mark.parametrize(("given", "world", "why"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_claim_of_which_nothing_can_be_made(given: Json, world: Seen, why: str) -> None:
    step = claim_step(given, world, DRIVER)
    assert isinstance(step, Refuse)
    assert why in step.reason


@pytest.mark.parametrize(("given", "expected"), VOLUMES.values(), ids=VOLUMES.keys())
def test_volume_step(given: Json, expected: VolumeStep | None) -> None:
    assert volume_step(given, seen(), DRIVER) == expected


# With the other stand-ins.


@dataclass(frozen=True, slots=True)
class Site:
    api: KubeClient
    driver: Driver
    server: ApiServer

    async def make_class(self, **more: Any) -> None:
        await self.api.create(
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}}
            | {"provisioner": DRIVER}
            | more
        )

    async def make_claim(self, name: str, **spec: Any) -> Json:
        return await self.api.create(
            {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim(**spec)["spec"]}
        )

    async def until_bound(self, name: str) -> Json:
        """The claim's volume."""
        found = await self.api.wait_for("PersistentVolumeClaim", name, is_bound, timeout=SOON_SECONDS)
        assert found is not None
        return await self.api.get("PersistentVolume", found["spec"]["volumeName"])

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON_SECONDS):
            while not condition():  # noqa: ASYNC110 - the driver tells nobody of changes
                await asyncio.sleep(0.02)

    def told(self, name: str) -> list[tuple[str, str, int]]:
        """Type, reason and count of the events about an object."""
        return [
            (event["type"], event["reason"], event["count"])
            for event in self.server.list("events")
            if event["involvedObject"]["name"] == name
        ]


def is_bound(found: Json | None) -> bool:
    return found is not None and found["status"]["phase"] == "Bound"


def is_released(found: Json | None) -> bool:
    return found is not None and found["status"]["phase"] == "Released"


@asynccontextmanager
async def a_site(directory: Path) -> AsyncIterator[Site]:
    options = DriverOptions(name=DRIVER, state=directory / "state")
    socket = directory / "csi.sock"
    async with (
        ApiServer.serve() as server,
        Driver.serve(socket, options) as driver,
        KubeClient(server.url) as api,
        provisioning(api, socket),
    ):
        yield Site(api, driver, server)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with a_site(tmp_path) as made:
        yield made


async def test_a_claim_gets_a_volume_and_takes_it_along_when_it_goes(site: Site) -> None:
    await site.make_class()
    made = await site.make_claim("data")
    volume = await site.until_bound("data")
    assert volume["metadata"]["name"] == f"pvc-{made['metadata']['uid']}"
    assert volume["spec"]["claimRef"]["uid"] == made["metadata"]["uid"]
    assert volume["status"]["phase"] == "Bound"
    [stored] = site.driver.volumes.values()
    assert (stored.id, stored.size_bytes) == (volume["spec"]["csi"]["volumeHandle"], 1024)
    found = await site.api.get("PersistentVolumeClaim", "data")
    assert found["status"]["capacity"] == {"storage": "1Ki"}
    await site.until(lambda: site.told("data") == [("Normal", "ProvisioningSucceeded", 1)])
    await site.api.delete("PersistentVolumeClaim", "data")
    await site.until(lambda: not site.server.list("persistentvolumes"))
    assert not site.driver.volumes


async def test_a_volume_whose_object_is_deleted_first_goes_with_its_claim(site: Site) -> None:
    await site.make_class()
    await site.make_claim("data")
    volume = await site.until_bound("data")
    await site.api.delete("PersistentVolume", volume["metadata"]["name"])
    await site.api.delete("PersistentVolumeClaim", "data")
    await site.until(lambda: not site.server.list("persistentvolumes"))
    assert not site.driver.volumes


async def test_a_volume_that_is_to_be_kept_is_kept(site: Site) -> None:
    await site.make_class(reclaimPolicy="Retain")
    await site.make_claim("data")
    volume = await site.until_bound("data")
    await site.api.delete("PersistentVolumeClaim", "data")
    name = volume["metadata"]["name"]
    await site.api.wait_for("PersistentVolume", name, is_released)
    await site.api.delete("PersistentVolume", name)
    await site.until(lambda: not site.server.list("persistentvolumes"))
    assert list(site.driver.volumes) == [volume["spec"]["csi"]["volumeHandle"]]


async def test_what_the_driver_refuses_is_told_and_tried_again(site: Site) -> None:
    refused = site.driver.faults.set(Fault(match="^CreateVolume", error="RESOURCE_EXHAUSTED", message="no more disks"))
    await site.make_class()
    await site.make_claim("data")
    await site.until(lambda: any(count > 1 for _, _, count in site.told("data")))
    assert {(kind, reason) for kind, reason, _ in site.told("data")} == {("Warning", "ProvisioningFailed")}
    site.driver.faults.lift(refused)
    await site.until_bound("data")
    assert len(site.driver.volumes) == 1


async def test_a_volume_that_cannot_be_deleted_is_told_of_and_tried_again(site: Site) -> None:
    await site.make_class()
    await site.make_claim("data")
    volume = await site.until_bound("data")
    refused = site.driver.faults.set(Fault(match="^DeleteVolume", error="INTERNAL", message="in use"))
    await site.api.delete("PersistentVolumeClaim", "data")
    await site.until(lambda: site.told(volume["metadata"]["name"]))
    assert site.told(volume["metadata"]["name"])[0][:2] == ("Warning", "VolumeFailedDelete")
    site.driver.faults.lift(refused)
    await site.until(lambda: not site.server.list("persistentvolumes"))
    assert not site.driver.volumes


async def test_a_claim_is_filled_from_a_snapshot_once_that_is_ready(site: Site) -> None:
    await site.make_class()
    await site.make_claim("data")
    volume = await site.until_bound("data")
    source = site.driver.volumes[volume["spec"]["csi"]["volumeHandle"]]
    site.driver.write_volume(source.id, b"bytes")
    cut = site.driver._store.create_snapshot("cut", source, created_at_ns=1, ready_at_ns=0)
    site.driver.write_volume(source.id, b"later")
    await site.make_claim("restored", dataSource=from_snapshot()["spec"]["dataSourceRef"])
    await site.until(lambda: site.told("restored") == [("Warning", "ProvisioningFailed", 1)])
    await make_snapshot(site.api, cut.id)
    restored = await site.until_bound("restored")
    held = site.driver.read_volume(restored["spec"]["csi"]["volumeHandle"])
    assert held == b"bytes".ljust(1024, b"\0")


async def make_snapshot(api: KubeClient, handle: str) -> None:
    """As administrator, user, controller and sidecar make it together."""
    request = await api.create(
        {
            "kind": "VolumeSnapshot",
            "metadata": {"name": "cut"},
            "spec": {"source": {"volumeSnapshotContentName": "content"}},
        }
    )
    ref = {key: request["metadata"][key] for key in ("namespace", "name", "uid")}
    await api.create(
        {
            "kind": "VolumeSnapshotContent",
            "metadata": {"name": "content"},
            "spec": {
                "driver": DRIVER,
                "deletionPolicy": "Retain",
                "source": {"snapshotHandle": handle},
                "volumeSnapshotRef": {"kind": "VolumeSnapshot", **ref},
            },
        }
    )
    status = {"snapshotHandle": handle, "readyToUse": True, "restoreSize": 1024}
    await api.merge_patch("VolumeSnapshotContent", "content", {"status": status}, subresource="status")
    await api.merge_patch("VolumeSnapshot", "cut", {"status": SNAPSHOT["status"]}, subresource="status")


async def test_a_volume_that_somebody_has_made_is_bound_to_its_claim(site: Site) -> None:
    await site.api.create(
        {
            "kind": "PersistentVolume",
            "metadata": {"name": "by-hand"},
            "spec": {
                "capacity": {"storage": "1Ki"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "hostPath": {"path": "/data"},
            },
        }
    )
    await site.make_claim("data", storageClassName="", volumeName="by-hand")
    volume = await site.until_bound("data")
    assert volume["spec"]["claimRef"]["name"] == "data"
    assert not site.driver.volumes


async def test_what_happened_while_it_was_away_is_made_up_for(tmp_path: Path) -> None:
    options = DriverOptions(name=DRIVER, state=tmp_path / "state")
    socket = tmp_path / "csi.sock"
    async with ApiServer.serve() as server, KubeClient(server.url) as api, Driver.serve(socket, options) as driver:
        site = Site(api, driver, server)
        async with provisioning(api, socket):
            await site.make_class()
            await site.make_claim("data")
            await site.until_bound("data")
        await site.api.delete("PersistentVolumeClaim", "data")
        await site.make_claim("log")
        async with provisioning(api, socket):
            await site.until_bound("log")
            await site.until(lambda: len(server.list("persistentvolumes")) == 1)
        assert len(driver.volumes) == 1


async def test_the_driver_may_come_later(tmp_path: Path) -> None:
    options = DriverOptions(name=DRIVER, state=tmp_path / "state")
    async with (
        ApiServer.serve() as server,
        KubeClient(server.url) as api,
        provisioning(api, tmp_path / "csi.sock") as provisioner,
    ):
        ready_without_driver = provisioner.ready
        async with Driver.serve(tmp_path / "csi.sock", options) as driver:
            site = Site(api, driver, server)
            await site.make_class()
            await site.make_claim("data")
            await site.until_bound("data")
            assert (ready_without_driver, provisioner.ready) == (False, True)


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "snapshotter.testing.provisioner", *arguments),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def test_as_a_process_it_is_not_ready_without_a_driver_and_ends_on_a_signal(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    kubeconfig = tmp_path / "kubeconfig"
    async with ApiServer.serve() as server, aiohttp.ClientSession() as http:
        kubeconfig.write_text(server.kubeconfig())
        options = (f"--socket={tmp_path}/csi.sock", f"--kubeconfig={kubeconfig}", f"--http-endpoint={address}")
        async with process(*options) as running:
            assert await readiness(http, f"http://{address}/readyz") == 503
            async with process(*options) as second:
                _, said = await asyncio.wait_for(second.communicate(), SOON_SECONDS)
                assert (second.returncode, b"address already in use" in said) == (1, True)
            running.terminate()
            assert await asyncio.wait_for(running.wait(), SOON_SECONDS) == 0


async def readiness(http: aiohttp.ClientSession, url: str) -> int:
    """What it answers once it answers."""
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            try:
                async with http.get(url) as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_a_process_without_a_kubeconfig_ends_and_says_so(tmp_path: Path) -> None:
    async with process(f"--socket={tmp_path}/csi.sock", f"--kubeconfig={tmp_path}/none") as running:
        _, said = await asyncio.wait_for(running.communicate(), SOON_SECONDS)
    assert (running.returncode, b"the provisioner cannot work: " in said) == (1, True)
