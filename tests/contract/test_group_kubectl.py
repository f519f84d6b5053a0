"""What people type about groups: kubectl against the server, and what it prints."""

import asyncio
import json
import re
from collections.abc import Callable

import pytest

from tests.contract.client import Client, Json, Kubectl, rows
from tests.contract.objects import (
    GROUP_API,
    collection_of,
    group_class,
    group_content,
    group_snapshot,
    in_version,
    name_of,
    new_name,
    path_of,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kubectl]

LINE_SECONDS = 30.0
MEMBER = {"volumeHandle": "vol-1", "snapshotHandle": "snap-1", "readyToUse": True, "restoreSize": 1024}


async def test_the_resources_are_listed_with_their_short_names_in_the_preferred_version(kubectl: Kubectl) -> None:
    output = (await kubectl("api-resources", f"--api-group={GROUP_API}", "--no-headers")).ok()
    group = f"{GROUP_API}/v1"
    assert sorted(rows(output)) == [
        ["volumegroupsnapshotclasses", "vgsclass,vgsclasses", group, "false", "VolumeGroupSnapshotClass"],
        ["volumegroupsnapshotcontents", "vgsc,vgscs", group, "false", "VolumeGroupSnapshotContent"],
        ["volumegroupsnapshots", "vgs", group, "true", "VolumeGroupSnapshot"],
    ]


async def test_the_versions_are_listed(kubectl: Kubectl) -> None:
    listed = (await kubectl("api-versions")).ok().split()
    assert {f"{GROUP_API}/{version}" for version in ("v1", "v1beta2", "v1beta1")} <= set(listed)


SHORT_NAMES: dict[str, Callable[[], Json]] = {
    "vgs": group_snapshot,
    "vgsc": group_content,
    "vgscs": group_content,
    "vgsclass": group_class,
    "vgsclasses": group_class,
}


@pytest.mark.parametrize(("short", "make"), SHORT_NAMES.items(), ids=SHORT_NAMES.keys())
async def test_short_names_are_understood_and_mean_v1(kubectl: Kubectl, short: str, make: Callable[[], Json]) -> None:
    given = make()
    (await kubectl.apply(in_version(given, "v1beta2"))).ok()
    found = json.loads((await kubectl("get", short, name_of(given), "-o", "json")).ok())
    assert (found["apiVersion"], found["kind"]) == (given["apiVersion"], given["kind"])


async def test_groups_are_printed_with_their_columns(kubectl: Kubectl, api: Client) -> None:
    given = group_snapshot(volumeGroupSnapshotClassName="gold")
    (await api.create(collection_of(given), given)).ok()
    bound = {"boundVolumeGroupSnapshotContentName": "content", "readyToUse": True}
    dated = bound | {"creationTime": "2024-01-01T00:00:00Z"}
    (await api.merge(f"{path_of(given)}/status", {"status": dated})).ok()
    header, row = rows((await kubectl("get", "vgs", name_of(given))).ok())
    assert header == [
        "NAME",
        "READYTOUSE",
        "VOLUMEGROUPSNAPSHOTCLASS",
        "VOLUMEGROUPSNAPSHOTCONTENT",
        "CREATIONTIME",
        "AGE",
    ]
    assert row[:4] == [name_of(given), "true", "gold", "content"]
    assert re.fullmatch(r"\d+[dy]\w*", row[4])
    assert re.fullmatch(r"\d+[sm]", row[5])


async def test_contents_are_printed_with_their_columns(kubectl: Kubectl, api: Client) -> None:
    given = group_content(volumeGroupSnapshotClassName="gold")
    (await api.create(collection_of(given), given)).ok()
    (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": False}})).ok()
    header, row = rows((await kubectl("get", "vgsc", name_of(given))).ok())
    assert header == [
        "NAME",
        "READYTOUSE",
        "DELETIONPOLICY",
        "DRIVER",
        "VOLUMEGROUPSNAPSHOTCLASS",
        "VOLUMEGROUPSNAPSHOTNAMESPACE",
        "VOLUMEGROUPSNAPSHOT",
        "AGE",
    ]
    assert row[:-1] == [name_of(given), "false", "Delete", "csi.example.com", "gold", "default", "group"]


async def test_classes_are_printed_with_their_columns(kubectl: Kubectl) -> None:
    given = group_class()
    (await kubectl.apply(given)).ok()
    header, row = rows((await kubectl("get", "vgsclass", name_of(given))).ok())
    assert header == ["NAME", "DRIVER", "DELETIONPOLICY", "AGE"]
    assert row[:-1] == [name_of(given), "csi.example.com", "Delete"]


async def test_who_asks_for_v1beta1_by_name_is_warned(kubectl: Kubectl) -> None:
    given = group_content()
    (await kubectl.apply(given)).ok()
    output = await kubectl("get", f"volumegroupsnapshotcontents.v1beta1.{GROUP_API}", name_of(given), "-o", "json")
    assert json.loads(output.ok())["apiVersion"] == f"{GROUP_API}/v1beta1"
    kind = "VolumeGroupSnapshotContent"
    warning = f"{GROUP_API}/v1beta1 {kind} is deprecated; use {GROUP_API}/v1 {kind}"
    assert output.err == f"Warning: {warning}\n"


async def test_an_object_is_applied_in_one_version_and_then_in_another(kubectl: Kubectl, api: Client) -> None:
    given = group_content()
    what = f"volumegroupsnapshotcontent.{GROUP_API}/{name_of(given)}"
    assert (await kubectl.apply(in_version(given, "v1beta2"))).ok() == f"{what} created\n"
    given["spec"]["deletionPolicy"] = "Retain"
    assert (await kubectl.apply(given)).ok() == f"{what} configured\n"
    assert (await api.get(path_of(given))).ok()["spec"] == given["spec"]


async def test_an_object_is_applied_by_the_server_in_one_version_and_then_in_another(
    kubectl: Kubectl, api: Client
) -> None:
    given = group_content()
    for version, policy in (("v1beta2", "Delete"), ("v1", "Retain")):
        given["spec"]["deletionPolicy"] = policy
        output = (await kubectl.apply(in_version(given, version), options=("--server-side",))).ok()
        assert output.endswith(" serverside-applied\n")
        assert (await api.get(path_of(given))).ok()["spec"] == given["spec"]


async def test_contents_are_selected_by_driver(kubectl: Kubectl) -> None:
    driver = new_name("driver")
    given = group_content(driver=driver)
    (await kubectl.apply(given, group_content())).ok()
    found = (await kubectl("get", "vgsc", f"--field-selector=spec.driver={driver}", "-o", "name")).ok()
    assert found == f"volumegroupsnapshotcontent.{GROUP_API}/{name_of(given)}\n"


async def test_a_content_is_described_with_its_members(kubectl: Kubectl, api: Client) -> None:
    given = group_content()
    (await api.create(collection_of(given), given)).ok()
    (await api.merge(f"{path_of(given)}/status", {"status": {"volumeSnapshotInfoList": [MEMBER]}})).ok()
    output = (await kubectl("describe", "vgsc", name_of(given))).ok()
    assert re.search(r"^API Version: +groupsnapshot.storage.k8s.io/v1$", output, re.MULTILINE)
    assert re.search(r"^ +Volume Snapshot Info List:$", output, re.MULTILINE)
    assert re.search(r"^ +Snapshot Handle: +snap-1$", output, re.MULTILINE)
    assert re.search(r"^ +Restore Size: +1024$", output, re.MULTILINE)


async def test_a_group_is_watched_until_it_is_ready(kubectl: Kubectl, api: Client) -> None:
    given = group_snapshot()
    (await api.create(collection_of(given), given)).ok()
    condition = "--for=jsonpath={.status.readyToUse}=true"
    async with kubectl.started("wait", "vgs", name_of(given), condition, "--timeout=30s") as process:
        (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})).ok()
        async with asyncio.timeout(LINE_SECONDS):
            assert await process.wait() == 0


FIELDS = {
    "volumegroupsnapshots": ["GROUP: +groupsnapshot.storage.k8s.io", "VERSION: +v1\n", "spec\t<Object> -required-"],
    "vgs.spec.source": ["selector\t<Object>", "volumeGroupSnapshotContentName\t<string>"],
    "vgs.spec.source.selector.matchExpressions": ["key\t<string> -required-", "values\t<\\[\\]string>"],
    "vgsc.spec.source": ["volumeHandles\t<\\[\\]string>", "groupSnapshotHandles\t<Object>"],
    "vgsc.status": ["creationTime\t<string>", "volumeSnapshotInfoList\t<\\[\\]Object>"],
    "vgsc.status.volumeSnapshotInfoList": ["creationTime\t<integer>", "restoreSize\t<integer>"],
    "vgsclass": ["parameters\t<map\\[string\\]string>", "driver\t<string> -required-", "ENUM:|enum: Delete, Retain"],
}


@pytest.mark.parametrize(("path", "expected"), FIELDS.items(), ids=FIELDS.keys())
async def test_fields_are_explained(kubectl: Kubectl, path: str, expected: list[str]) -> None:
    output = (await kubectl("explain", path)).ok()
    for pattern in expected:
        assert re.search(pattern, output), output


async def test_the_fields_of_v1beta1_are_explained_on_demand(kubectl: Kubectl) -> None:
    output = (await kubectl("explain", "vgsc.status", f"--api-version={GROUP_API}/v1beta1")).ok()
    assert re.search("volumeSnapshotHandlePairList\t<\\[\\]Object>", output), output
    assert "volumeSnapshotInfoList" not in output


REFUSED: dict[str, tuple[Json, str]] = {
    "two sources": (
        group_content(source={"volumeHandles": [], "groupSnapshotHandles": {}}),
        "spec.source.groupSnapshotHandles.volumeGroupSnapshotHandle: Required value",
    ),
    "no source of a group": (
        group_snapshot(source={}),
        "spec.source: Invalid value: exactly one of selector and volumeGroupSnapshotContentName must be set",
    ),
    "members in v1beta1": (
        in_version(group_content(), "v1beta1") | {"status": {"volumeSnapshotInfoList": []}},
        'unknown field "status.volumeSnapshotInfoList"',
    ),
    "a version that is gone": (
        in_version(group_content(), "v1alpha1"),
        f'no matches for kind "VolumeGroupSnapshotContent" in version "{GROUP_API}/v1alpha1"',
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_is_refused_when_applied(kubectl: Kubectl, given: Json, message: str) -> None:
    output = await kubectl.apply(given)
    assert output.code == 1
    assert message in output.err


async def test_a_changed_driver_is_refused_when_applied(kubectl: Kubectl) -> None:
    given = group_content()
    (await kubectl.apply(given)).ok()
    given["spec"]["driver"] = "other.example.com"
    output = await kubectl.apply(given)
    assert output.code == 1
    assert 'spec.driver: Invalid value: "other.example.com": driver is immutable once set' in output.err
