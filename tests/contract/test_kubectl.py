"""What people type: kubectl against the server, and what it prints."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.contract.client import Client, Json, Kubectl, rows
from tests.contract.objects import CONTENTS, content, name_of, new_name, path_of, snapshot, snapshot_class

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kubectl]

LINE_SECONDS = 30.0
DEFINITIONS = Path(__file__).parents[2] / "manifests" / "crds"


async def test_the_definitions_are_listed(kubectl: Kubectl) -> None:
    printed = {row[0] for row in rows((await kubectl("get", "crds")).ok())}
    singles = ("volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses")
    assert {f"{plural}.snapshot.storage.k8s.io" for plural in singles} <= printed
    groups = ("volumegroupsnapshots", "volumegroupsnapshotcontents", "volumegroupsnapshotclasses")
    assert {f"{plural}.groupsnapshot.storage.k8s.io" for plural in groups} <= printed


async def test_our_resources_are_listed_with_their_short_names(kubectl: Kubectl) -> None:
    output = (await kubectl("api-resources", "--api-group=snapshot.storage.k8s.io", "--no-headers")).ok()
    group = "snapshot.storage.k8s.io/v1"
    assert sorted(rows(output)) == [
        ["volumesnapshotclasses", "vsclass,vsclasses", group, "false", "VolumeSnapshotClass"],
        ["volumesnapshotcontents", "vsc,vscs", group, "false", "VolumeSnapshotContent"],
        ["volumesnapshots", "vs", group, "true", "VolumeSnapshot"],
    ]


async def test_objects_are_applied_again_and_with_changes(kubectl: Kubectl) -> None:
    given = content(volumeSnapshotClassName="gold", metadata={"annotations": {"a": "1"}})
    what = f"volumesnapshotcontent.snapshot.storage.k8s.io/{name_of(given)}"
    assert (await kubectl.apply(given)).ok() == f"{what} created\n"
    assert (await kubectl.apply(given)).ok() == f"{what} unchanged\n"
    given["spec"]["deletionPolicy"] = "Retain"
    del given["spec"]["volumeSnapshotClassName"]
    given["metadata"]["annotations"] = {"b": "2"}
    assert (await kubectl.apply(given)).ok() == f"{what} configured\n"
    found = json.loads((await kubectl("get", "vsc", name_of(given), "-o", "json")).ok())
    assert found["spec"] == given["spec"]
    assert found["metadata"]["annotations"].keys() == {"b", "kubectl.kubernetes.io/last-applied-configuration"}


async def test_several_kinds_are_applied_at_once(kubectl: Kubectl) -> None:
    given = [snapshot_class(), content(), snapshot()]
    output = (await kubectl.apply(*given)).ok()
    assert [line.split()[-1] for line in output.splitlines()] == ["created"] * 3


async def test_objects_are_applied_by_the_server(kubectl: Kubectl, api: Client) -> None:
    given = content(metadata={"annotations": {"a": "1"}})
    for expected in ("1", "2"):
        given["metadata"]["annotations"] = {"a": expected}
        output = (await kubectl.apply(given, options=("--server-side",))).ok()
        assert output.endswith(" serverside-applied\n")
        assert (await api.get(path_of(given))).ok()["metadata"]["annotations"] == {"a": expected}
    assert (await api.get(path_of(given))).ok()["spec"] == given["spec"]


async def test_contents_are_printed_with_their_columns(kubectl: Kubectl, api: Client) -> None:
    given = content(volumeSnapshotClassName="gold")
    (await api.create(CONTENTS, given)).ok()
    (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True, "restoreSize": 1024}})).ok()
    header, row = rows((await kubectl("get", "volumesnapshotcontents", name_of(given))).ok())
    assert header == [
        "NAME",
        "READYTOUSE",
        "RESTORESIZE",
        "DELETIONPOLICY",
        "DRIVER",
        "VOLUMESNAPSHOTCLASS",
        "VOLUMESNAPSHOT",
        "VOLUMESNAPSHOTNAMESPACE",
        "AGE",
    ]
    assert row[:-1] == [name_of(given), "true", "1024", "Delete", "csi.example.com", "gold", "snap", "default"]
    assert re.fullmatch(r"\d+[sm]", row[-1])


SHORT_NAMES = {"vs": snapshot, "vsc": content, "vscs": content, "vsclass": snapshot_class, "vsclasses": snapshot_class}


@pytest.mark.parametrize(("short", "make"), SHORT_NAMES.items(), ids=SHORT_NAMES.keys())
async def test_short_names_are_understood(kubectl: Kubectl, short: str, make: object) -> None:
    assert callable(make)
    given = make()
    (await kubectl.apply(given)).ok()
    assert (await kubectl("get", short, name_of(given), "-o", "name")).ok().endswith(f"/{name_of(given)}\n")


async def test_lists_are_selected(kubectl: Kubectl) -> None:
    driver = new_name("driver")
    given = content(driver=driver, metadata={"labels": {"driver": driver}})
    (await kubectl.apply(given)).ok()
    by_field = (await kubectl("get", "vsc", f"--field-selector=spec.driver={driver}", "-o", "name")).ok()
    by_label = (await kubectl("get", "vsc", "-l", f"driver={driver}", "-o", "name")).ok()
    assert by_field == by_label == f"volumesnapshotcontent.snapshot.storage.k8s.io/{name_of(given)}\n"


async def test_one_field_is_printed(kubectl: Kubectl) -> None:
    given = content()
    (await kubectl.apply(given)).ok()
    assert (await kubectl("get", "vsc", name_of(given), "-o", "jsonpath={.spec.driver}")).ok() == "csi.example.com"


async def test_an_absent_object_is_an_error(kubectl: Kubectl) -> None:
    output = await kubectl("get", "vsc", "absent")
    assert output.code == 1
    assert output.err.splitlines()[0] == (
        'Error from server (NotFound): volumesnapshotcontents.snapshot.storage.k8s.io "absent" not found'
    )


async def test_an_empty_list_says_so(kubectl: Kubectl) -> None:
    output = await kubectl("get", "vs", "-n", "kube-system")
    assert (output.code, output.err) == (0, "No resources found in kube-system namespace.\n")


async def test_a_description_has_the_fields_and_the_events(kubectl: Kubectl, api: Client) -> None:
    given = content()
    created = (await api.create(CONTENTS, given)).ok()
    stamp = "2024-01-01T00:00:00Z"
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": new_name("event"), "namespace": "default"},
        "involvedObject": {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotContent",
            "name": name_of(given),
            "uid": created["metadata"]["uid"],
        },
        "reason": "SnapshotCreationFailed",
        "message": "the disk was full",
        "type": "Warning",
        "count": 3,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "source": {"component": "csi-snapshotter"},
    }
    (await api.create("/api/v1/namespaces/default/events", event)).ok()
    output = (await kubectl("describe", "vsc", name_of(given))).ok()
    assert re.search(r"^ +Deletion Policy: +Delete$", output, re.MULTILINE)
    assert re.search(r"^ +Driver: +csi.example.com$", output, re.MULTILINE)
    assert re.search(r"Warning +SnapshotCreationFailed .*\(x3 over .*\) +csi-snapshotter +the disk was full", output)
    listed = (await kubectl("get", "events", f"--field-selector=involvedObject.name={name_of(given)}")).ok()
    assert "the disk was full" in listed


async def test_changes_are_watched(kubectl: Kubectl, api: Client) -> None:
    driver = new_name("driver")
    given = content(driver=driver)
    (await api.create(CONTENTS, given)).ok()
    selector = f"--field-selector=spec.driver={driver}"
    async with kubectl.started("get", "vsc", "-w", selector) as process:
        assert process.stdout is not None

        async def line() -> list[str]:
            assert process.stdout is not None
            async with asyncio.timeout(LINE_SECONDS):
                return rows((await process.stdout.readline()).decode())[0]

        assert (await line())[:2] == ["NAME", "READYTOUSE"]
        assert (await line())[0] == name_of(given)
        (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True, "restoreSize": 7}})).ok()
        assert (await line())[:4] == [name_of(given), "true", "7", "Delete"]
        other = content(driver=driver)
        (await api.create(CONTENTS, other)).ok()
        assert (await line())[0] == name_of(other)


async def test_labels_and_annotations_are_set_and_removed(kubectl: Kubectl, api: Client) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    (await kubectl("label", "vsc", name_of(given), "color=red")).ok()
    (await kubectl("annotate", "vsc", name_of(given), "mood=good")).ok()
    found = (await api.get(path_of(given))).ok()["metadata"]
    assert (found["labels"], found["annotations"]) == ({"color": "red"}, {"mood": "good"})
    (await kubectl("label", "vsc", name_of(given), "color-")).ok()
    (await kubectl("annotate", "vsc", name_of(given), "mood-")).ok()
    found = (await api.get(path_of(given))).ok()["metadata"]
    assert "color" not in found.get("labels", {})
    assert "mood" not in found.get("annotations", {})


PATCHES = {
    "merge": '{"spec": {"deletionPolicy": "Retain"}}',
    "json": '[{"op": "replace", "path": "/spec/deletionPolicy", "value": "Retain"}]',
}


@pytest.mark.parametrize(("kind", "patch"), PATCHES.items(), ids=PATCHES.keys())
async def test_objects_are_patched(kubectl: Kubectl, api: Client, kind: str, patch: str) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    (await kubectl("patch", "vsc", name_of(given), "--type", kind, "-p", patch)).ok()
    assert (await api.get(path_of(given))).ok()["spec"]["deletionPolicy"] == "Retain"


async def test_an_object_is_deleted(kubectl: Kubectl, api: Client) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    output = (await kubectl("delete", "vsc", name_of(given))).ok()
    assert output == f'volumesnapshotcontent.snapshot.storage.k8s.io "{name_of(given)}" deleted\n'
    assert (await api.get(path_of(given))).status == 404


async def test_deletion_waits_for_the_finalizers(kubectl: Kubectl, api: Client) -> None:
    given = content(metadata={"finalizers": ["a/b"]})
    (await api.create(CONTENTS, given)).ok()
    (await kubectl("delete", "vsc", name_of(given), "--wait=false")).ok()
    assert (await api.get(path_of(given))).ok()["metadata"]["deletionTimestamp"]
    async with kubectl.started("delete", "vsc", name_of(given)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(LINE_SECONDS):
            assert b"deleted" in await process.stdout.readline()
        assert process.returncode is None
        (await api.merge(path_of(given), {"metadata": {"finalizers": None}})).ok()
        async with asyncio.timeout(LINE_SECONDS):
            assert await process.wait() == 0


FIELDS = {
    "volumesnapshotcontents": ["KIND: +VolumeSnapshotContent", "VERSION: +v1", "spec\t<Object> -required-"],
    "vsc.spec.source": ["snapshotHandle\t<string>", "volumeHandle\t<string>"],
    "vsc.spec.deletionPolicy": ["ENUM:\\n +Delete\\n +Retain\\n"],
    "vs.status": ["restoreSize\t<string>", "readyToUse\t<boolean>"],
    "vsclass": ["parameters\t<map\\[string\\]string>", "driver\t<string> -required-"],
}


@pytest.mark.parametrize(("path", "expected"), FIELDS.items(), ids=FIELDS.keys())
async def test_fields_are_explained(kubectl: Kubectl, path: str, expected: list[str]) -> None:
    output = (await kubectl("explain", path)).ok()
    for pattern in expected:
        assert re.search(pattern, output), output


REFUSED: dict[str, tuple[Json, str]] = {
    "two sources": (
        content(source={"volumeHandle": "a", "snapshotHandle": "b"}),
        "is invalid: spec.source: Invalid value: exactly one of volumeHandle and snapshotHandle must be set",
    ),
    "no driver": (content(omit="driver"), "spec.driver: Required value"),
    "an unknown policy": (
        content(deletionPolicy="Keep"),
        'spec.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"',
    ),
    "a misspelt field": (content(sauce={}), 'unknown field "spec.sauce"'),
    "both sources of a snapshot": (
        snapshot(source={"persistentVolumeClaimName": "a", "volumeSnapshotContentName": "b"}),
        "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_is_refused_when_applied(kubectl: Kubectl, given: Json, message: str) -> None:
    output = await kubectl.apply(given)
    assert output.code == 1
    assert message in output.err


async def test_a_changed_immutable_field_is_refused_when_applied(kubectl: Kubectl) -> None:
    given = content()
    (await kubectl.apply(given)).ok()
    given["spec"]["source"] = {"volumeHandle": "vol-2"}
    output = await kubectl.apply(given)
    assert output.code == 1
    assert f'The VolumeSnapshotContent "{name_of(given)}" is invalid' in output.err
    assert 'spec.source.volumeHandle: Invalid value: "vol-2": volumeHandle is immutable' in output.err


async def test_a_negative_restore_size_is_refused_in_the_status(kubectl: Kubectl, api: Client) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    patch = '{"status": {"restoreSize": -1}}'
    output = await kubectl("patch", "vsc", name_of(given), "--subresource=status", "--type=merge", "-p", patch)
    assert output.code == 1
    assert "status.restoreSize: Invalid value: -1" in output.err
    assert "should be greater than or equal to 0" in output.err


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("snapshot.storage.k8s.io/v1beta1", "VolumeSnapshotContent"),
        ("snapshot.storage.k8s.io/v1", "VolumeSnapshotContents"),
        ("snapshots.storage.k8s.io/v1", "VolumeSnapshotContent"),
    ],
    ids=["a version that is not served", "a wrong kind", "a wrong group"],
)
async def test_is_not_known(kubectl: Kubectl, version: str, kind: str) -> None:
    output = await kubectl.apply(content() | {"apiVersion": version, "kind": kind})
    assert output.code == 1
    assert f'no matches for kind "{kind}" in version "{version}"' in output.err


async def test_an_object_is_waited_for(kubectl: Kubectl, api: Client) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    condition = "--for=jsonpath={.status.readyToUse}=true"
    async with kubectl.started("wait", "vsc", name_of(given), condition, "--timeout=30s") as process:
        (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})).ok()
        async with asyncio.timeout(LINE_SECONDS):
            assert await process.wait() == 0


async def test_an_object_is_edited(kubectl: Kubectl, api: Client) -> None:
    given = content()
    (await api.create(CONTENTS, given)).ok()
    output = (await kubectl("edit", "vsc", name_of(given), editor="sed -i s/Delete/Retain/")).ok()
    assert output == f"volumesnapshotcontent.snapshot.storage.k8s.io/{name_of(given)} edited\n"
    assert (await api.get(path_of(given))).ok()["spec"]["deletionPolicy"] == "Retain"


async def test_an_object_is_created_once_and_replaced(kubectl: Kubectl, api: Client) -> None:
    given = content()
    what = f"volumesnapshotcontent.snapshot.storage.k8s.io/{name_of(given)}"
    assert (await kubectl("create", "-f", "-", given=json.dumps(given))).ok() == f"{what} created\n"
    again = await kubectl("create", "-f", "-", given=json.dumps(given))
    assert (again.code, "(AlreadyExists)" in again.err) == (1, True)
    given["spec"]["deletionPolicy"] = "Retain"
    assert (await kubectl("replace", "-f", "-", given=json.dumps(given))).ok() == f"{what} replaced\n"
    assert (await api.get(path_of(given))).ok()["spec"]["deletionPolicy"] == "Retain"


async def test_a_dry_run_by_the_server_tells_what_would_be(kubectl: Kubectl, api: Client) -> None:
    given = content()
    output = (await kubectl.apply(given, options=("--dry-run=server", "-o", "json"))).ok()
    assert json.loads(output)["metadata"]["uid"]
    assert (await api.get(path_of(given))).status == 404


async def test_the_definitions_can_be_applied_again(kubectl: Kubectl) -> None:
    output = await kubectl("apply", "-k", str(DEFINITIONS), "--dry-run=server")
    assert len(output.ok().splitlines()) == 6


# Arguments of `kubectl create`, the kind and the name to look for afterwards.
BUILT_IN: dict[str, tuple[list[str], str, str]] = {
    "a secret": (["secret", "generic", "kubectl-made", "--from-literal=a=b"], "secret", "kubectl-made"),
    "a namespace": (["namespace", "kubectl-made"], "namespace", "kubectl-made"),
    "a config map": (["configmap", "kubectl-made", "--from-literal=a=b"], "configmap", "kubectl-made"),
    "a service account": (["serviceaccount", "kubectl-made"], "serviceaccount", "kubectl-made"),
}


@pytest.mark.parametrize(("arguments", "kind", "name"), BUILT_IN.values(), ids=BUILT_IN.keys())
async def test_is_created_and_deleted(kubectl: Kubectl, arguments: list[str], kind: str, name: str) -> None:
    assert (await kubectl("create", *arguments)).ok() == f"{kind}/{name} created\n"
    assert name in (await kubectl("get", kind)).ok()
    (await kubectl("label", kind, name, "a=b")).ok()
    (await kubectl("delete", kind, name, "--wait=false")).ok()


async def test_a_secret_is_shown_with_the_number_of_its_keys_and_described_without_values(kubectl: Kubectl) -> None:
    name = new_name("secret")
    (await kubectl("create", "secret", "generic", name, "--from-literal=a=12345", "--from-literal=b=2")).ok()
    header, row = rows((await kubectl("get", "secret", name)).ok())
    assert header == ["NAME", "TYPE", "DATA", "AGE"]
    assert row[:3] == [name, "Opaque", "2"]
    assert re.search(r"^a: +5 bytes$", (await kubectl("describe", "secret", name)).ok(), re.MULTILINE)


async def test_claims_volumes_and_leases_are_printed(kubectl: Kubectl) -> None:
    name = new_name("thing")
    modes = {"accessModes": ["ReadWriteOnce"]}
    csi = {"driver": "csi.example.com", "volumeHandle": "vol-1"}
    await kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": modes | {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "gold"},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": modes | {"capacity": {"storage": "1Gi"}, "csi": csi, "storageClassName": "gold"},
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
            "spec": {"holderIdentity": "one"},
        },
    )
    (claim,) = rows((await kubectl("get", "pvc", name, "--no-headers")).ok())
    assert claim[:2] == [name, "Pending"]
    assert "gold" in claim
    (volume,) = rows((await kubectl("get", "pv", name, "--no-headers")).ok())
    assert volume[:4] == [name, "1Gi", "RWO", "Retain"]
    (lease,) = rows((await kubectl("get", "lease", name, "--no-headers")).ok())
    assert lease[:2] == [name, "one"]


async def test_everybody_is_told_what_they_may_do(kubectl: Kubectl) -> None:
    assert (await kubectl("auth", "can-i", "create", "volumesnapshots.snapshot.storage.k8s.io")).ok() == "yes\n"
