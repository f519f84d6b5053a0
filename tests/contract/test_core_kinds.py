"""The built-in kinds that our programs read and write."""

import base64
from typing import Any

import pytest

from tests.contract.client import MERGE, STRATEGIC, Client, Json
from tests.contract.objects import new_name, without

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEFAULT = "/api/v1/namespaces/default"
SECRETS = f"{DEFAULT}/secrets"
EVENTS = f"{DEFAULT}/events"
CLAIMS = f"{DEFAULT}/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
NAMESPACES = "/api/v1/namespaces"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


def core(kind: str, prefix: str = "thing", version: str = "v1", **fields: Any) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": new_name(prefix)}, **fields}


def at(collection: str, given: Json) -> str:
    return f"{collection}/{given['metadata']['name']}"


def event(**fields: Any) -> Json:
    involved = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "name": "content",
        "uid": "u-1",
    }
    stamp = "2024-01-01T00:00:00Z"
    about: Json = {"involvedObject": involved, "reason": "Failed", "message": "it broke", "type": "Warning", "count": 1}
    return core("Event", firstTimestamp=stamp, lastTimestamp=stamp, **(about | fields))


def lease(holder: str) -> Json:
    times = {"acquireTime": "2024-01-01T00:00:00.000000Z", "renewTime": "2024-01-01T00:00:00.000000Z"}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0, **times}
    return core("Lease", version="coordination.k8s.io/v1", spec=spec)


def claim(**spec: Any) -> Json:
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "x"}
    return core("PersistentVolumeClaim", spec=fields | spec)


def volume(**spec: Any) -> Json:
    fields = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "csi.example.com", "volumeHandle": "vol-1"},
    }
    return core("PersistentVolume", spec=fields | spec)


class TestNamespace:
    @pytest.mark.parametrize("name", ["default", "kube-system"])
    async def test_exists_from_the_start(self, api: Client, name: str) -> None:
        assert (await api.get(f"{NAMESPACES}/{name}")).ok()["status"] == {"phase": "Active"}

    async def test_new_ones_are_active_and_labelled_with_their_name(self, api: Client) -> None:
        given = core("Namespace")
        found = (await api.create(NAMESPACES, given)).ok()
        assert found["status"] == {"phase": "Active"}
        assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": given["metadata"]["name"]}

    async def test_takes_nothing_new_while_it_is_being_deleted(self, api: Client) -> None:
        given = core("Namespace")
        (await api.create(NAMESPACES, given)).ok()
        secrets = f"{at(NAMESPACES, given)}/secrets"
        kept = core("Secret")
        kept["metadata"]["finalizers"] = ["example.com/kept"]
        (await api.create(secrets, kept)).ok()
        (await api.delete(at(NAMESPACES, given))).ok()
        answer = await api.create(secrets, core("Secret"))
        assert (answer.status, answer.reason) == (403, "Forbidden")
        (cause,) = answer.body["details"]["causes"]
        assert (cause["reason"], cause["field"]) == ("NamespaceTerminating", "metadata.namespace")
        await api.merge(at(secrets, kept), {"metadata": {"finalizers": None}})


class TestSecret:
    async def test_strings_are_stored_encoded_and_never_shown_as_strings(self, api: Client) -> None:
        given = core("Secret", data={"a": base64.b64encode(b"1").decode()}, stringData={"b": "2"})
        found = (await api.create(SECRETS, given)).ok()
        assert {key: base64.b64decode(value) for key, value in found["data"].items()} == {"a": b"1", "b": b"2"}
        assert "stringData" not in found
        assert found["type"] == "Opaque"
        assert (await api.get(at(SECRETS, given))).ok() == found

    async def test_strings_overwrite_data(self, api: Client) -> None:
        given = core("Secret", data={"a": base64.b64encode(b"1").decode()}, stringData={"a": "2"})
        found = (await api.create(SECRETS, given)).ok()
        assert base64.b64decode(found["data"]["a"]) == b"2"

    async def test_data_that_is_not_base64_is_refused(self, api: Client) -> None:
        answer = await api.create(SECRETS, core("Secret", data={"a": "%%%"}))
        assert (answer.status, answer.reason) == (400, "BadRequest")
        assert "illegal base64 data" in answer.message

    @pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
    async def test_patch_changes_single_keys(self, api: Client, kind: str) -> None:
        given = core("Secret", stringData={"a": "1", "b": "2"})
        (await api.create(SECRETS, given)).ok()
        patch = {"stringData": {"b": "3"}, "data": {"a": None}}
        found = (await api.request("PATCH", at(SECRETS, given), patch, kind)).ok()
        assert found["data"] == {"b": base64.b64encode(b"3").decode()}

    async def test_an_absent_one_is_not_found_under_its_plain_name(self, api: Client) -> None:
        answer = await api.get(f"{SECRETS}/absent")
        assert (answer.status, answer.message) == (404, 'secrets "absent" not found')
        assert answer.body["details"] == {"name": "absent", "kind": "secrets"}

    async def test_an_existing_one_is_refused(self, api: Client) -> None:
        given = core("Secret")
        (await api.create(SECRETS, given)).ok()
        answer = await api.create(SECRETS, given)
        assert (answer.status, answer.reason) == (409, "AlreadyExists")
        assert answer.message == f'secrets "{given["metadata"]["name"]}" already exists'


class TestEvent:
    async def test_is_stored_as_sent(self, api: Client) -> None:
        given = event()
        found = (await api.create(EVENTS, given)).ok()
        assert without(given, "metadata").items() <= without(found, "metadata").items()

    @pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
    async def test_is_counted_up_by_a_patch(self, api: Client, kind: str) -> None:
        given = event(source={"component": "test"})
        (await api.create(EVENTS, given)).ok()
        patch = {"count": 2, "message": "it broke again", "lastTimestamp": "2024-01-01T00:00:09Z"}
        found = (await api.request("PATCH", at(EVENTS, given), patch, kind)).ok()
        assert (found["count"], found["message"], found["lastTimestamp"]) == tuple(patch.values())
        assert found["source"] == {"component": "test"}
        assert found["firstTimestamp"] == "2024-01-01T00:00:00Z"

    async def test_has_null_for_times_that_were_not_given(self, api: Client) -> None:
        given = without(event(), "firstTimestamp", "lastTimestamp")
        found = (await api.create(EVENTS, given)).ok()
        for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
            assert found[field] is None
        assert (found["source"], found["reportingComponent"], found["reportingInstance"]) == ({}, "", "")

    async def test_of_an_object_without_namespace_belongs_into_the_default_namespace(self, api: Client) -> None:
        answer = await api.create(f"{NAMESPACES}/kube-system/events", event())
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert set(answer.causes) == {"involvedObject.namespace"}

    async def test_patch_of_one_that_is_gone_is_not_found(self, api: Client) -> None:
        answer = await api.merge(f"{EVENTS}/absent", {"count": 2})
        assert (answer.status, answer.reason) == (404, "NotFound")

    async def test_is_selected_by_its_object_and_kind(self, api: Client) -> None:
        name = new_name("content")
        given = event(involvedObject={"kind": "VolumeSnapshotContent", "name": name, "uid": "u-2"})
        (await api.create(EVENTS, given)).ok()
        for selector in (
            f"involvedObject.name={name},involvedObject.kind=VolumeSnapshotContent,involvedObject.uid=u-2",
            f"involvedObject.name={name},type=Warning,reason=Failed",
        ):
            found = (await api.get("/api/v1/events", fieldSelector=selector)).ok()
            assert [each["metadata"]["name"] for each in found["items"]] == [given["metadata"]["name"]]
        none = (await api.get("/api/v1/events", fieldSelector=f"involvedObject.name={name},type=Normal")).ok()
        assert none["items"] == []


class TestLease:
    async def test_is_replaced_from_its_current_version(self, api: Client) -> None:
        given = lease("one")
        current = (await api.create(LEASES, given)).ok()
        found = (
            await api.replace(at(LEASES, given), current | {"spec": current["spec"] | {"leaseTransitions": 1}})
        ).ok()
        assert found["spec"]["leaseTransitions"] == 1
        assert found["spec"]["renewTime"] == "2024-01-01T00:00:00.000000Z"

    async def test_from_a_stale_version_is_a_conflict(self, api: Client) -> None:
        given = lease("one")
        stale = (await api.create(LEASES, given)).ok()
        (await api.replace(at(LEASES, given), stale | {"spec": stale["spec"] | {"holderIdentity": "two"}})).ok()
        answer = await api.replace(at(LEASES, given), stale | {"spec": stale["spec"] | {"leaseTransitions": 1}})
        assert (answer.status, answer.reason) == (409, "Conflict")
        assert "leases.coordination.k8s.io" in answer.message
        assert (await api.get(at(LEASES, given))).ok()["spec"]["holderIdentity"] == "two"

    @pytest.mark.parametrize("stamp", ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z", "now"])
    async def test_takes_times_in_microseconds_only(self, api: Client, stamp: str) -> None:
        given = lease("one")
        given["spec"]["renewTime"] = stamp
        answer = await api.create(LEASES, given)
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_needs_a_positive_duration(self, api: Client) -> None:
        given = lease("one")
        given["spec"]["leaseDurationSeconds"] = 0
        answer = await api.create(LEASES, given)
        assert (answer.status, set(answer.causes)) == (422, {"spec.leaseDurationSeconds"})

    async def test_of_two_that_create_it_one_wins(self, api: Client) -> None:
        given = lease("one")
        (await api.create(LEASES, given)).ok()
        assert (await api.create(LEASES, given)).reason == "AlreadyExists"


class TestVolumes:
    async def test_a_claim_waits_and_a_volume_is_there(self, api: Client) -> None:
        wanted, there = claim(), volume()
        found = (await api.create(CLAIMS, wanted)).ok()
        assert found["status"] == {"phase": "Pending"}
        assert found["spec"]["volumeMode"] == "Filesystem"
        found = (await api.create(VOLUMES, there)).ok()
        assert found["spec"]["csi"]["volumeHandle"] == "vol-1"
        assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain"

    async def test_a_claim_is_bound_through_its_spec_and_status(self, api: Client) -> None:
        given = claim()
        (await api.create(CLAIMS, given)).ok()
        await api.merge(at(CLAIMS, given), {"spec": {"volumeName": "volume"}})
        found = (await api.merge(f"{at(CLAIMS, given)}/status", {"status": {"phase": "Bound"}})).ok()
        assert (found["spec"]["volumeName"], found["status"]["phase"]) == ("volume", "Bound")

    async def test_a_claim_with_a_finalizer_stays_when_it_is_deleted(self, api: Client) -> None:
        given = claim()
        given["metadata"]["finalizers"] = ["a/b"]
        (await api.create(CLAIMS, given)).ok()
        (await api.delete(at(CLAIMS, given))).ok()
        found = (await api.get(at(CLAIMS, given))).ok()
        assert found["metadata"]["deletionTimestamp"]
        for finalizer in found["metadata"]["finalizers"]:
            assert finalizer in {"a/b", "kubernetes.io/pvc-protection"}

    async def test_a_storage_class_has_defaults(self, api: Client) -> None:
        given = core("StorageClass", version="storage.k8s.io/v1", provisioner="csi.example.com")
        found = (await api.create(STORAGE_CLASSES, given)).ok()
        assert (found["reclaimPolicy"], found["volumeBindingMode"]) == ("Delete", "Immediate")


def owner(of: Json) -> Json:
    return {
        "apiVersion": of["apiVersion"],
        "kind": of["kind"],
        "name": of["metadata"]["name"],
        "uid": of["metadata"]["uid"],
    }


async def test_owner_references_are_kept(api: Client) -> None:
    parent = (await api.create(SECRETS, core("Secret"))).ok()
    child = core("Secret")
    child["metadata"]["ownerReferences"] = [owner(parent)]
    found = (await api.create(SECRETS, child)).ok()
    assert found["metadata"]["ownerReferences"] == [owner(parent)]


async def test_owner_references_without_uid_are_refused(api: Client) -> None:
    given = core("Secret")
    given["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": ""}]
    answer = await api.create(SECRETS, given)
    assert (answer.status, set(answer.causes)) == (422, {"metadata.ownerReferences.uid"})


async def test_of_the_owners_one_may_be_the_controller(api: Client) -> None:
    given = core("Secret")
    given["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": name, "controller": True} for name in ("a", "b")
    ]
    answer = await api.create(SECRETS, given)
    assert (answer.status, set(answer.causes)) == (422, {"metadata.ownerReferences"})
