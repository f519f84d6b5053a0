"""The installed webhook behind the server that is tested: clients of v1beta1 see and lose nothing less than others.

For the time of these tests group contents are converted by the webhook, which is a process of its own.
"""

import asyncio
import base64
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from snapshotter import names
from snapshotter.testing.driver import Driver, DriverOptions
from tests.certificates import files_in, make_pair
from tests.contract.client import SOON_SECONDS, Client, Json, Kubectl, Server
from tests.contract.objects import (
    collection_of,
    group_class,
    group_content,
    in_version,
    name_of,
    new_name,
    path_of,
    snapshot_class,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROGRAMS = Path(sys.executable).parent
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = f"{DEFINITIONS}/volumegroupsnapshotcontents.{names.GROUP_SNAPSHOT_GROUP}"
OFF: Json = {"spec": {"conversion": {"strategy": "None", "webhook": None}}}
DRIVER = "webhook.csi.example.com"

TIME = 1_755_612_345_123_456_789
"""Nanoseconds that a floating-point number cannot hold."""
PAIRS = [{"volumeHandle": f"vol-{number}", "snapshotHandle": f"snap<{number}>"} for number in (1, 2)]
INFOS = [pair | {"creationTime": TIME, "readyToUse": True, "restoreSize": 1 << 30} for pair in PAIRS]
OTHERS = {"volumeGroupSnapshotHandle": "group-1", "creationTime": "2024-01-01T00:00:00Z", "readyToUse": True}
NEW, OLD = OTHERS | {"volumeSnapshotInfoList": INFOS}, OTHERS | {"volumeSnapshotHandlePairList": PAIRS}


@dataclass(frozen=True, slots=True)
class Webhook:
    port: int
    bundle: str
    """The certificate to trust, as a `caBundle`."""

    def client_config(self, path: str) -> Json:
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def webhook(server: Server, api: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Webhook]:
    files, pair = files_in(tmp_path_factory.mktemp("webhook")), make_pair()
    files.write(pair)
    kubeconfig = files.key.with_name("kubeconfig")
    kubeconfig.write_text(server.kubeconfig)
    log = files.key.with_name("log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "snapshot-conversion-webhook",
            f"--tls-cert-file={files.certificate}",
            f"--tls-private-key-file={files.key}",
            "--port=0",
            "--enable-default-class-admission",
            f"--kubeconfig={kubeconfig}",
            "--logging-format=json",
            "--shutdown-delay=0s",
            stderr=output,
        )
    made_webhook = Webhook(await port_of(log), base64.b64encode(pair.certificate).decode())
    config = made_webhook.client_config("/convert")
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": config}}
    probe = await made(api, "v1")
    (await api.merge(DEFINITION, {"spec": {"conversion": conversion}})).ok()
    try:
        await until(api, path_of(in_version(probe, "v1beta1")), OLD)
        yield made_webhook
    finally:
        (await api.merge(DEFINITION, OFF)).ok()
        await until(api, path_of(in_version(probe, "v1beta1")), OTHERS)
        process.terminate()
        assert await process.wait() == 0


async def port_of(log: Path) -> int:
    """Where the webhook listens, once it says so."""
    async with asyncio.timeout(SOON_SECONDS):
        while (port := told_port(log)) is None:  # noqa: ASYNC110 - one can only look
            await asyncio.sleep(0.05)
    return port


def told_port(log: Path) -> int | None:
    told = [json.loads(line) for line in log.read_text().splitlines()]
    return next((line["port"] for line in told if line["msg"] == "serving reviews"), None)


async def until(api: Client, path: str, status: Json) -> None:
    """Return when the server shows this status: a change of a definition takes a moment."""
    async with asyncio.timeout(SOON_SECONDS * 2):
        while True:
            answer = await api.get(path)
            if answer.status == 200 and answer.body.get("status") == status:
                return
            await asyncio.sleep(0.05)


async def made(api: Client, version: str) -> Json:
    """A content whose group has been cut, as a client of this version writes it."""
    given = in_version(group_content(), version)
    (await api.create(collection_of(given), given)).ok()
    status = OLD if version == "v1beta1" else NEW
    return (await api.merge(f"{path_of(given)}/status", {"status": status})).ok()


async def seen(api: Client, given: Json, version: str) -> Json:
    return (await api.get(path_of(in_version(given, version)))).ok()


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_each_version_tells_of_the_members_in_its_own_words(api: Client, version: str) -> None:
    given = await made(api, version)
    for later in ("v1", "v1beta2"):
        found = await seen(api, given, later)
        assert found["status"] == NEW
        assert "annotations" not in found["metadata"]
    old = await seen(api, given, "v1beta1")
    assert old["status"] == OLD
    kept = old["metadata"]["annotations"][names.KEPT_INFO_LIST]
    assert json.loads(kept) == INFOS
    assert r"snap\u003c1\u003e" in kept


async def test_pairs_that_v1beta1_writes_are_members_in_the_later_versions(api: Client) -> None:
    given = await made(api, "v1beta1")
    assert given["status"] == OLD
    for later in ("v1", "v1beta2"):
        assert (await seen(api, given, later))["status"] == OTHERS | {"volumeSnapshotInfoList": PAIRS}


WRITES: dict[str, tuple[Json, Json]] = {
    "a label": ({"metadata": {"labels": {"a": "b"}}}, NEW),
    "an annotation": ({"metadata": {"annotations": {"a": "b"}}}, NEW),
    "the policy": ({"spec": {"deletionPolicy": "Retain"}}, NEW),
    "the status": ({"status": {"readyToUse": False}}, NEW | {"readyToUse": False}),
    "nothing": ({}, NEW),
}


@pytest.mark.parametrize(("patch", "expected"), WRITES.values(), ids=WRITES.keys())
async def test_l18_a_write_in_v1beta1_loses_nothing(api: Client, patch: Json, expected: Json) -> None:
    given = await made(api, "v1")
    old = path_of(in_version(given, "v1beta1")) + ("/status" if "status" in patch else "")
    (await api.merge(old, patch)).ok()
    for later in ("v1", "v1beta2"):
        found = await seen(api, given, later)
        assert found["status"] == expected
        assert names.KEPT_INFO_LIST not in found["metadata"].get("annotations", {})


async def test_an_object_that_v1beta1_puts_back_as_it_was_loses_nothing(api: Client) -> None:
    given = await made(api, "v1")
    old = await seen(api, given, "v1beta1")
    (await api.replace(path_of(old), old)).ok()
    (await api.replace(f"{path_of(old)}/status", await seen(api, given, "v1beta1"))).ok()
    assert (await seen(api, given, "v1"))["status"] == NEW


async def test_l22_a_change_of_the_pairs_in_v1beta1_is_heard(api: Client) -> None:
    given = await made(api, "v1")
    added = {"volumeHandle": "vol-3", "snapshotHandle": "snap-3"}
    patch = {"status": {"volumeSnapshotHandlePairList": [PAIRS[1], added]}}
    (await api.merge(f"{path_of(in_version(given, 'v1beta1'))}/status", patch)).ok()
    assert (await seen(api, given, "v1"))["status"] == OTHERS | {"volumeSnapshotInfoList": [INFOS[1], added]}


async def test_a_broken_annotation_of_v1beta1_is_refused_with_its_name(api: Client) -> None:
    given = await made(api, "v1")
    broken = {"metadata": {"annotations": {names.KEPT_INFO_LIST: "{}"}}}
    answer = await api.merge(path_of(in_version(given, "v1beta1")), broken)
    assert answer.status == 500
    assert "conversion webhook for groupsnapshot.storage.k8s.io/v1beta1" in answer.message
    assert f'(VolumeGroupSnapshotContent {name_of(given)}): metadata.annotations["' in answer.message
    assert answer.message.endswith('volume-snapshot-info-list"] is not a list')
    assert (await seen(api, given, "v1"))["status"] == NEW


async def test_lists_and_watches_of_v1beta1_tell_of_the_pairs(api: Client) -> None:
    given = in_version(await made(api, "v1"), "v1beta1")
    selector = f"metadata.name={name_of(given)}"
    listed = (await api.get(collection_of(given), fieldSelector=selector)).ok()
    assert [each["status"] for each in listed["items"]] == [OLD]
    version = listed["metadata"]["resourceVersion"]
    async with api.watch(collection_of(given), fieldSelector=selector, resourceVersion=version) as watch:
        (await api.merge(path_of(in_version(given, "v1")), {"metadata": {"labels": {"a": "b"}}})).ok()
        told = await watch.expect("MODIFIED", name_of(given))
        assert told["status"] == OLD
        (await api.delete(path_of(given))).ok()
        assert (await watch.expect("DELETED", name_of(given)))["status"] == OLD


@pytest.mark.kubectl
async def test_kubectl_works_in_every_version(api: Client, kubectl: Kubectl) -> None:
    given = await made(api, "v1")
    name, kind = name_of(given), "volumegroupsnapshotcontents"
    for version in ("v1", "v1beta2", "v1beta1"):
        full = f"{kind}.{version}.{names.GROUP_SNAPSHOT_GROUP}"
        found = json.loads((await kubectl("get", full, name, "-o", "json")).ok())
        assert found["status"] == (OLD if version == "v1beta1" else NEW)
        (_, row) = (await kubectl("get", full, name)).ok().splitlines()
        assert row.split()[:2] == [name, "true"]
        (await kubectl("label", full, name, f"{version}=seen")).ok()
        (await kubectl("annotate", full, name, f"{version}=seen")).ok()
    (await kubectl("edit", f"{kind}.v1beta1.{names.GROUP_SNAPSHOT_GROUP}", name, editor="sed -i s/Delete/Retain/")).ok()
    found = await seen(api, given, "v1")
    assert found["status"] == NEW
    assert found["spec"]["deletionPolicy"] == "Retain"
    (await kubectl("delete", f"{kind}.v1beta1.{names.GROUP_SNAPSHOT_GROUP}", name)).ok()
    assert (await api.get(path_of(given))).status == 404


CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest_asyncio.fixture(loop_scope="session")
async def admission(api: Client, webhook: Webhook) -> AsyncIterator[None]:
    """Classes of both kinds are shown to the webhook when they are made or changed."""
    groups = {names.SNAPSHOT_GROUP: "volumesnapshotclasses", names.GROUP_SNAPSHOT_GROUP: "volumegroupsnapshotclasses"}
    rules = [
        {"apiGroups": [group], "apiVersions": ["v1"], "resources": [plural], "operations": ["CREATE", "UPDATE"]}
        for group, plural in groups.items()
    ]
    called = {
        "name": "default-class.snapshot.storage.k8s.io",
        "clientConfig": webhook.client_config("/validate-default-class"),
        "rules": rules,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "default-class"},
        "webhooks": [called],
    }
    (await api.create(CONFIGURATIONS, configuration)).ok()
    yield
    (await api.delete(f"{CONFIGURATIONS}/default-class")).ok()


@pytest.mark.usefixtures("admission")
@pytest.mark.parametrize(
    ("make", "annotation"),
    [(snapshot_class, names.DEFAULT_CLASS), (group_class, names.DEFAULT_GROUP_CLASS)],
    ids=["single", "group"],
)
async def test_a_second_default_class_is_denied(api: Client, make: Callable[..., Json], annotation: str) -> None:
    driver = f"{new_name('default')}.csi.example.com"
    first, second = (make(driver=driver, metadata={"annotations": {annotation: "true"}}) for _ in range(2))
    (await api.create(collection_of(first), first)).ok()
    async with asyncio.timeout(SOON_SECONDS):
        # A new configuration takes a moment to act, and leaves no trace in this way.
        while (answer := await api.create(collection_of(second), second, dryRun="All")).status == 201:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert answer.status == 403
    assert answer.message == (
        f'admission webhook "default-class.snapshot.storage.k8s.io" denied the request: {first["kind"]} '
        f'"{name_of(second)}" cannot be the default for driver "{driver}": {first["kind"]} "{name_of(first)}" is it '
        f"already. Remove the annotation {annotation} there first."
    )
    (await api.merge(path_of(first), {"metadata": {"annotations": {annotation: None}}})).ok()
    (await api.create(collection_of(second), second)).ok()
    back = await api.merge(path_of(first), {"metadata": {"annotations": {annotation: "true"}}})
    assert back.status == 403


@pytest_asyncio.fixture(loop_scope="session")
async def driver(server: Server, api: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Driver]:
    """A driver with a sidecar, and a class `webhook`."""
    directory = tmp_path_factory.mktemp("driver")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig)
    classed = group_class(name="webhook", driver=DRIVER)
    (await api.create(collection_of(classed), classed)).ok()
    options = DriverOptions(name=DRIVER, state=directory / "state")
    async with Driver.serve(directory / "csi.sock", options) as served:
        for volume in ("vol-1", "vol-2"):
            await served.make_volume(volume, b"bytes")
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "csi-snapshotter",
            f"--csi-address={served.socket}",
            f"--kubeconfig={kubeconfig}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        yield served
        process.terminate()
        assert await process.wait() == 0


def to_be_cut(name: str) -> Json:
    spec: dict[str, Any] = {
        "driver": DRIVER,
        "volumeGroupSnapshotClassName": "webhook",
        "volumeGroupSnapshotRef": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
    }
    return in_version(
        group_content(name=name, metadata={"finalizers": [names.GROUP_CONTENT_FINALIZER]}, **spec), "v1beta1"
    )


async def written_until_ready(api: Client, content: Json) -> Json:
    """Write labels at v1beta1 until the sidecar is done with the content; how it is then, at v1."""
    rounds = itertools.count(1)
    async with asyncio.timeout(SOON_SECONDS * 2):
        while True:
            await api.merge(path_of(content), {"metadata": {"labels": {"round": str(next(rounds))}}})
            found = await seen(api, content, "v1")
            marked = names.GROUP_BEING_CREATED in found["metadata"].get("annotations", {})
            if found.get("status", {}).get("readyToUse") and not marked:
                return found
            await asyncio.sleep(0.02)


async def test_while_the_sidecar_works_a_client_of_v1beta1_may_write(api: Client, driver: Driver) -> None:
    first, *others = [to_be_cut(new_name("webhook")) for _ in range(5)]
    # The first one shows that the sidecar is up, so that with the others it works while we write.
    (await api.create(collection_of(first), first)).ok()
    made = [await written_until_ready(api, first)]
    for content in others:
        (await api.create(collection_of(content), content)).ok()
    made += await asyncio.gather(*(written_until_ready(api, content) for content in others))
    for content, found in zip([first, *others], made, strict=True):
        infos = found["status"]["volumeSnapshotInfoList"]
        assert sorted(info["volumeHandle"] for info in infos) == ["vol-1", "vol-2"]
        assert all(info["creationTime"] > 0 and info["readyToUse"] and info["restoreSize"] for info in infos)
        old = await seen(api, content, "v1beta1")
        assert json.loads(old["metadata"]["annotations"][names.KEPT_INFO_LIST]) == infos
        # As the controller deletes it, in the old version.
        mark = {"metadata": {"annotations": {names.GROUP_BEING_DELETED: "yes"}}}
        (await api.merge(path_of(content), mark)).ok()
        (await api.delete(path_of(content))).ok()
    async with asyncio.timeout(SOON_SECONDS):
        while driver.groups or driver.snapshots:  # noqa: ASYNC110 - the driver tells no one of changes
            await asyncio.sleep(0.05)
