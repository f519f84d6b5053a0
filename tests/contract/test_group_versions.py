"""The group kinds in their three versions: one object, told in each as far as the version knows it."""

import pytest

from tests.contract.client import Client, Json
from tests.contract.objects import (
    GROUP_API,
    SNAPSHOTS,
    another,
    collection_of,
    group_class,
    group_content,
    group_snapshot,
    in_version,
    name_of,
    new_name,
    path_of,
    snapshot,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

VERSIONS = ["v1", "v1beta2", "v1beta1"]
KINDS = {"a group": group_snapshot(), "a content": group_content(), "a class": group_class()}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

MEMBERS = [
    {
        "volumeHandle": f"vol-{number}",
        "snapshotHandle": f"snap-{number}",
        "creationTime": 1_700_000_000_123_456_789,
        "readyToUse": True,
        "restoreSize": 1 << 30,
    }
    for number in (1, 2)
]
MADE = {
    "volumeGroupSnapshotHandle": "group-1",
    "creationTime": "2024-01-01T00:00:00Z",
    "readyToUse": True,
    "volumeSnapshotInfoList": MEMBERS,
}
WITHOUT_MEMBERS = {key: value for key, value in MADE.items() if key != "volumeSnapshotInfoList"}


def deprecation(kind: str) -> tuple[str, ...]:
    return (f'299 - "{GROUP_API}/v1beta1 {kind} is deprecated; use {GROUP_API}/v1 {kind}"',)


async def made_content(api: Client, version: str = "v1beta2") -> Json:
    """A content whose group has been cut, written in a version that knows of members."""
    given = in_version(group_content(), version)
    (await api.create(collection_of(given), given)).ok()
    return (await api.merge(f"{path_of(given)}/status", {"status": MADE})).ok()


async def test_v1_is_preferred_then_v1beta2(api: Client) -> None:
    found = (await api.get(f"/apis/{GROUP_API}")).ok()
    assert [each["version"] for each in found["versions"]] == VERSIONS
    assert found["preferredVersion"] == {"groupVersion": f"{GROUP_API}/v1", "version": "v1"}


# Name, singular, namespaced, kind, short names.
RESOURCES = {
    "volumegroupsnapshotclasses": (
        "volumegroupsnapshotclass",
        False,
        "VolumeGroupSnapshotClass",
        ["vgsclass", "vgsclasses"],
    ),
    "volumegroupsnapshotcontents": (
        "volumegroupsnapshotcontent",
        False,
        "VolumeGroupSnapshotContent",
        ["vgsc", "vgscs"],
    ),
    "volumegroupsnapshotcontents/status": ("", False, "VolumeGroupSnapshotContent", None),
    "volumegroupsnapshots": ("volumegroupsnapshot", True, "VolumeGroupSnapshot", ["vgs"]),
    "volumegroupsnapshots/status": ("", True, "VolumeGroupSnapshot", None),
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_resources_are_listed(api: Client, version: str) -> None:
    found = (await api.get(f"/apis/{GROUP_API}/{version}")).ok()
    assert {
        each["name"]: (each["singularName"], each["namespaced"], each["kind"], each.get("shortNames"))
        for each in found["resources"]
    } == RESOURCES


async def test_the_first_version_of_all_is_gone(api: Client) -> None:
    assert (await api.get(f"/apis/{GROUP_API}/v1alpha1")).status == 404
    assert (await api.get(collection_of(in_version(group_content(), "v1alpha1")))).status == 404


@pytest.mark.parametrize("plural", [name for name in RESOURCES if "/" not in name])
async def test_v1beta2_is_stored(api: Client, plural: str) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP_API}"
    found = (await api.get(path)).ok()
    assert found["status"]["storedVersions"] == ["v1beta2"]
    assert found["spec"]["conversion"] == {"strategy": "None"}
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Established"] == conditions["KubernetesAPIApprovalPolicyConformant"] == "True"


@pytest.mark.parametrize("written", VERSIONS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_an_object_is_read_in_every_version(api: Client, kind: Json, written: str) -> None:
    given = in_version(another(kind), written)
    created = (await api.create(collection_of(given), given)).ok()
    for version in VERSIONS:
        expected = in_version(created, version)
        found = (await api.get(path_of(expected))).ok()
        for each in (found, expected):
            each["metadata"].pop("managedFields", None)
        assert found == expected


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_every_answer_of_v1beta1_warns(api: Client, kind: Json) -> None:
    given = in_version(another(kind), "v1beta1")
    expected = deprecation(given["kind"])
    label = {"metadata": {"labels": {"a": "b"}}}
    answers = [
        await api.create(collection_of(given), given),
        await api.create(collection_of(given), given),
        await api.get(path_of(given)),
        await api.get(collection_of(given)),
        await api.merge(path_of(given), label),
        await api.delete(path_of(given)),
        await api.get(path_of(given)),
    ]
    assert [each.status for each in answers] == [201, 409, 200, 200, 200, 200, 404]
    assert [each.warnings for each in answers] == [expected] * len(answers)


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_the_other_versions_do_not_warn(api: Client, version: str) -> None:
    given = in_version(group_content(), version)
    assert (await api.create(collection_of(given), given)).warnings == ()
    assert (await api.get(path_of(given))).warnings == ()


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_members_are_the_same_in_v1_and_v1beta2(api: Client, version: str) -> None:
    given = await made_content(api, version)
    assert given["status"] == MADE
    for each in ("v1", "v1beta2"):
        assert (await api.get(path_of(in_version(given, each)))).ok()["status"] == MADE


async def test_v1beta1_does_not_tell_of_members_and_reading_harms_nothing(api: Client) -> None:
    given = await made_content(api)
    old = in_version(given, "v1beta1")
    assert (await api.get(path_of(old))).ok()["status"] == WITHOUT_MEMBERS
    listed = (await api.get(collection_of(old), fieldSelector=f"metadata.name={name_of(given)}")).ok()
    assert [each["status"] for each in listed["items"]] == [WITHOUT_MEMBERS]
    assert (await api.get(path_of(given))).ok() == given


WRITES_IN_V1BETA1: dict[str, Json] = {
    "a label": {"metadata": {"labels": {"a": "b"}}},
    "the policy": {"spec": {"deletionPolicy": "Retain"}},
    "the status": {"status": {"readyToUse": False}},
    "nothing": {},
}


@pytest.mark.parametrize("patch", WRITES_IN_V1BETA1.values(), ids=WRITES_IN_V1BETA1.keys())
async def test_a_write_in_v1beta1_forgets_the_members(api: Client, patch: Json) -> None:
    given = await made_content(api)
    old = in_version(given, "v1beta1")
    written = (await api.merge(path_of(old) + ("/status" if "status" in patch else ""), patch)).ok()
    assert written["metadata"]["resourceVersion"] != given["metadata"]["resourceVersion"]
    for version in VERSIONS:
        found = (await api.get(path_of(in_version(given, version)))).ok()
        assert found["status"] == WITHOUT_MEMBERS | patch.get("status", {})


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_a_write_of_nothing_in_a_later_version_changes_nothing(api: Client, version: str) -> None:
    given = await made_content(api)
    (await api.merge(path_of(in_version(given, version)), {})).ok()
    assert (await api.get(path_of(given))).ok() == given


async def test_a_deletion_in_v1beta1_that_has_to_wait_forgets_the_members(api: Client) -> None:
    given = await made_content(api)
    (await api.merge(path_of(given), {"metadata": {"finalizers": ["a/b"]}})).ok()
    (await api.delete(path_of(in_version(given, "v1beta1")))).ok()
    found = (await api.get(path_of(given))).ok()
    assert (found["status"], "deletionTimestamp" in found["metadata"]) == (WITHOUT_MEMBERS, True)


async def test_pairs_are_taken_in_v1beta1_without_a_warning_and_forgotten(api: Client) -> None:
    given = in_version(group_content(), "v1beta1")
    (await api.create(collection_of(given), given)).ok()
    pairs = [{"volumeHandle": "vol-1", "snapshotHandle": "snap-1"}]
    patch = {"status": {"readyToUse": True, "volumeSnapshotHandlePairList": pairs}}
    answer = await api.merge(f"{path_of(given)}/status", patch, fieldValidation="Strict")
    assert answer.warnings == deprecation(given["kind"])
    assert answer.ok()["status"] == {"readyToUse": True}
    for version in VERSIONS:
        assert (await api.get(path_of(in_version(given, version)))).ok()["status"] == {"readyToUse": True}


UNKNOWN: dict[str, tuple[str, str]] = {
    "members in v1beta1": ("v1beta1", "volumeSnapshotInfoList"),
    "pairs in v1": ("v1", "volumeSnapshotHandlePairList"),
    "pairs in v1beta2": ("v1beta2", "volumeSnapshotHandlePairList"),
}


@pytest.mark.parametrize(("version", "field"), UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_is_unknown(api: Client, version: str, field: str) -> None:
    given = in_version(group_content(), version)
    (await api.create(collection_of(given), given)).ok()
    patch: Json = {"status": {field: []}}
    refused = await api.merge(f"{path_of(given)}/status", patch, fieldValidation="Strict")
    assert (refused.status, f'unknown field "status.{field}"' in refused.message) == (422, True)
    answer = await api.merge(f"{path_of(given)}/status", patch, fieldValidation="Warn")
    assert f'299 - "unknown field \\"status.{field}\\""' in answer.warnings
    assert field not in answer.ok().get("status", {})


async def test_rules_of_the_request_s_version_apply(api: Client) -> None:
    given = group_content()
    (await api.create(collection_of(given), given)).ok()
    patch = {"spec": {"driver": "other.example.com"}}
    assert (await api.merge(path_of(given), patch)).status == 422
    (await api.merge(path_of(in_version(given, "v1beta1")), patch)).ok()
    assert (await api.get(path_of(given))).ok()["spec"]["driver"] == "other.example.com"


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_contents_are_selected_by_driver(api: Client, version: str) -> None:
    driver = new_name("driver")
    ours = [in_version(group_content(driver=driver), each) for each in VERSIONS]
    for each in [*ours, group_content()]:
        (await api.create(collection_of(each), each)).ok()
    found = (await api.get(collection_of(in_version(ours[0], version)), fieldSelector=f"spec.driver={driver}")).ok()
    assert {name_of(each) for each in found["items"]} == {name_of(each) for each in ours}
    assert {each["apiVersion"] for each in found["items"]} == {f"{GROUP_API}/{version}"}


@pytest.mark.parametrize(
    "given",
    [in_version(group_content(), "v1beta1"), group_class(), group_snapshot()],
    ids=["contents in v1beta1", "classes", "groups"],
)
async def test_is_not_selected_by_driver(api: Client, given: Json) -> None:
    answer = await api.get(collection_of(given), fieldSelector="spec.driver=a")
    assert (answer.status, answer.message) == (400, "field label not supported: spec.driver")


@pytest.mark.parametrize("watched", VERSIONS)
async def test_changes_in_any_version_are_watched_in_any(api: Client, watched: str) -> None:
    label = new_name("label")
    given = group_content(metadata={"labels": {label: "a"}})
    path = collection_of(in_version(given, watched))
    since = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    name = name_of(given)
    async with api.watch(path, resourceVersion=since, labelSelector=label) as watch:
        (await api.create(collection_of(given), given)).ok()
        told = [await watch.expect("ADDED", name)]
        for version in VERSIONS:
            patch = {"metadata": {"annotations": {"a": version}}}
            (await api.merge(path_of(in_version(given, version)), patch)).ok()
            told.append(await watch.expect("MODIFIED", name))
        (await api.delete(path_of(in_version(given, "v1beta2")))).ok()
        told.append(await watch.expect("DELETED", name))
    assert {each["apiVersion"] for each in told} == {f"{GROUP_API}/{watched}"}
    assert [each["metadata"].get("annotations", {}).get("a") for each in told] == [None, *VERSIONS, "v1beta1"]


@pytest.mark.parametrize("version", ["v1", "v1beta2"])
async def test_the_contents_of_a_driver_are_watched(api: Client, version: str) -> None:
    driver = new_name("driver")
    mine, other = group_content(driver=driver), group_content()
    path = collection_of(in_version(mine, version))
    since = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=since, fieldSelector=f"spec.driver={driver}") as watch:
        for each in (other, mine):
            (await api.create(collection_of(each), each)).ok()
        await watch.expect("ADDED", name_of(mine))
        (await api.merge(f"{path_of(mine)}/status", {"status": MADE})).ok()
        assert (await watch.expect("MODIFIED", name_of(mine)))["status"] == MADE
        away = {"spec": {"driver": "other.example.com"}}
        (await api.merge(path_of(in_version(mine, "v1beta1")), away)).ok()
        await watch.expect("DELETED", name_of(mine))


COLUMNS: dict[str, tuple[Json, Json, dict[str, object]]] = {
    "a group": (
        group_snapshot(volumeGroupSnapshotClassName="gold"),
        {
            "boundVolumeGroupSnapshotContentName": "content",
            "readyToUse": True,
            "creationTime": "2024-01-01T00:00:00Z",
        },
        {
            "ReadyToUse": True,
            "VolumeGroupSnapshotClass": "gold",
            "VolumeGroupSnapshotContent": "content",
        },
    ),
    "a content": (
        group_content(volumeGroupSnapshotClassName="gold"),
        {"readyToUse": False},
        {
            "ReadyToUse": False,
            "DeletionPolicy": "Delete",
            "Driver": "csi.example.com",
            "VolumeGroupSnapshotClass": "gold",
            "VolumeGroupSnapshotNamespace": "default",
            "VolumeGroupSnapshot": "group",
        },
    ),
    "a class": (group_class(), {}, {"Driver": "csi.example.com", "DeletionPolicy": "Delete"}),
}
DATES = {"a group": ["CreationTime", "Age"], "a content": ["Age"], "a class": ["Age"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", COLUMNS)
async def test_is_printed_with_its_columns(api: Client, kind: str, version: str) -> None:
    given, status, expected = COLUMNS[kind]
    given = in_version(another(given), version)
    (await api.create(collection_of(given), given)).ok()
    if status:
        (await api.merge(f"{path_of(given)}/status", {"status": status})).ok()
    table = (await api.get(path_of(given), accept=TABLE)).ok()
    names = [each["name"] for each in table["columnDefinitions"]]
    assert names == ["Name", *expected, *DATES[kind]]
    (row,) = table["rows"]
    shown = dict(zip(names, row["cells"], strict=True))
    assert {name: shown[name] for name in expected} == expected
    assert row["object"]["metadata"]["name"] == shown["Name"] == name_of(given)


@pytest.mark.parametrize("version", VERSIONS)
async def test_snapshots_go_with_the_group_that_owns_them(api: Client, version: str) -> None:
    group = group_snapshot()
    uid = (await api.create(collection_of(group), group)).ok()["metadata"]["uid"]
    owner = {"apiVersion": f"{GROUP_API}/{version}", "kind": group["kind"], "uid": uid}
    member = snapshot(metadata={"ownerReferences": [owner | {"name": name_of(group)}]})
    name = name_of(member)
    since = (await api.create(SNAPSHOTS, member)).ok()["metadata"]["resourceVersion"]
    async with api.watch(SNAPSHOTS, resourceVersion=since, fieldSelector=f"metadata.name={name}") as watch:
        (await api.delete(path_of(group))).ok()
        await watch.expect("DELETED", name)


async def test_an_owner_in_a_version_that_is_not_served_counts_as_being_there(api: Client) -> None:
    def owned(version: str) -> Json:
        owner = {"apiVersion": f"{GROUP_API}/{version}", "kind": "VolumeGroupSnapshot", "name": "absent"}
        return snapshot(metadata={"ownerReferences": [owner | {"uid": f"absent-{new_name()}"}]})

    kept, gone = owned("v1alpha1"), owned("v1")
    (await api.create(SNAPSHOTS, kept)).ok()
    since = (await api.get(SNAPSHOTS)).ok()["metadata"]["resourceVersion"]
    async with api.watch(SNAPSHOTS, resourceVersion=since, fieldSelector=f"metadata.name={name_of(gone)}") as watch:
        (await api.create(SNAPSHOTS, gone)).ok()
        await watch.expect("ADDED", name_of(gone))
        await watch.expect("DELETED", name_of(gone))
    assert (await api.get(path_of(kept))).status == 200


async def test_an_object_is_put_back_in_another_version_than_it_was_made_in(api: Client) -> None:
    given = await made_content(api, "v1beta2")
    latest = (await api.get(path_of(in_version(given, "v1")))).ok()
    latest["metadata"]["finalizers"] = ["a/b"]
    (await api.replace(path_of(latest), latest)).ok()
    found = (await api.get(path_of(given))).ok()
    assert (found["metadata"]["finalizers"], found["status"]) == (["a/b"], MADE)


async def test_the_version_in_the_data_must_be_that_of_the_path(api: Client) -> None:
    given = group_content()
    answer = await api.create(collection_of(in_version(given, "v1beta2")), given)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert f"({GROUP_API}/v1)" in answer.message
