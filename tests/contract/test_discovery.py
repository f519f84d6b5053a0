"""How a client finds out what the server has."""

import pytest

from tests.contract.client import Client
from tests.contract.objects import GROUP

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYTHING = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
OF_A_STATUS = {"get", "patch", "update"}

# Name, singular, namespaced, kind, short names, verbs.
OUR_RESOURCES = {
    "volumesnapshotclasses": (
        "volumesnapshotclass",
        False,
        "VolumeSnapshotClass",
        ["vsclass", "vsclasses"],
        EVERYTHING,
    ),
    "volumesnapshotcontents": ("volumesnapshotcontent", False, "VolumeSnapshotContent", ["vsc", "vscs"], EVERYTHING),
    "volumesnapshotcontents/status": ("", False, "VolumeSnapshotContent", None, OF_A_STATUS),
    "volumesnapshots": ("volumesnapshot", True, "VolumeSnapshot", ["vs"], EVERYTHING),
    "volumesnapshots/status": ("", True, "VolumeSnapshot", None, OF_A_STATUS),
}


async def test_the_resources_of_our_group_are_listed(api: Client) -> None:
    found = (await api.get(GROUP)).ok()
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "snapshot.storage.k8s.io/v1")
    assert {
        each["name"]: (
            each["singularName"],
            each["namespaced"],
            each["kind"],
            each.get("shortNames"),
            set(each["verbs"]),
        )
        for each in found["resources"]
    } == OUR_RESOURCES


async def test_our_group_is_listed_with_its_served_version_alone(api: Client) -> None:
    groups = (await api.get("/apis")).ok()["groups"]
    ours = next(each for each in groups if each["name"] == "snapshot.storage.k8s.io")
    version = {"groupVersion": "snapshot.storage.k8s.io/v1", "version": "v1"}
    assert (ours["versions"], ours["preferredVersion"]) == ([version], version)


CORE_RESOURCES = {
    "/api/v1": {
        "namespaces": "Namespace",
        "secrets": "Secret",
        "events": "Event",
        "persistentvolumeclaims": "PersistentVolumeClaim",
        "persistentvolumes": "PersistentVolume",
        "nodes": "Node",
    },
    "/apis/coordination.k8s.io/v1": {"leases": "Lease"},
    "/apis/storage.k8s.io/v1": {"storageclasses": "StorageClass"},
    "/apis/apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
}


@pytest.mark.parametrize(("path", "kinds"), CORE_RESOURCES.items(), ids=CORE_RESOURCES.keys())
async def test_the_kinds_that_our_programs_touch_are_served(api: Client, path: str, kinds: dict[str, str]) -> None:
    found = {each["name"]: each["kind"] for each in (await api.get(path)).ok()["resources"]}
    assert kinds.items() <= found.items()


NOT_SERVED = {
    "the old version of our group": "/apis/snapshot.storage.k8s.io/v1beta1/volumesnapshotcontents",
    "a group that is not installed": "/apis/groupsnapshot.example.com/v1",
    "a resource that our group lacks": f"{GROUP}/volumesnapshotcontentz",
    "the status of a kind without one": f"{GROUP}/volumesnapshotclasses/a/status",
}


@pytest.mark.parametrize("path", NOT_SERVED.values(), ids=NOT_SERVED.keys())
async def test_is_not_found(api: Client, path: str) -> None:
    assert (await api.get(path)).status == 404


async def test_the_version_of_the_server_is_told(api: Client) -> None:
    version = (await api.get("/version")).ok()
    assert version["major"] == "1"
    assert version["gitVersion"].startswith("v1.")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_a_running_server_says_that_it_is_well(api: Client, path: str) -> None:
    async with api.session.get(path) as response:
        assert (response.status, await response.text()) == (200, "ok")


async def test_an_installed_definition_says_that_it_is_established(api: Client) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/volumesnapshotcontents.snapshot.storage.k8s.io"
    status = (await api.get(path)).ok()["status"]
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert conditions["KubernetesAPIApprovalPolicyConformant"] == "True"
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"]["shortNames"] == ["vsc", "vscs"]


async def test_a_definition_in_a_protected_group_is_refused_without_approval(api: Client) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.k8s.io"},
        "spec": {
            "group": "example.k8s.io",
            "scope": "Cluster",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    answer = await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert answer.status == 422
    assert set(answer.causes) == {"metadata.annotations[api-approved.kubernetes.io]"}
