"""What the definitions of the group kinds refuse and accept, in each version.

The rules of the version that a request is made in apply. `v1` and `v1beta2` are alike; `v1beta1` has fewer rules.
"""

from typing import Any

import pytest

from tests.contract.changes import REQUIRED, Change, spec, status
from tests.contract.client import Client, Json
from tests.contract.objects import (
    GROUP_API,
    another,
    collection_of,
    group_class,
    group_content,
    group_snapshot,
    in_version,
    path_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

CURRENT = ["v1", "v1beta2"]
VERSIONS = [*CURRENT, "v1beta1"]
DEPRECATED = {
    kind: f'299 - "{GROUP_API}/v1beta1 {kind} is deprecated; use {GROUP_API}/v1 {kind}"'
    for kind in ("VolumeGroupSnapshot", "VolumeGroupSnapshotClass", "VolumeGroupSnapshotContent")
}
SELECTOR = {"matchLabels": {"app": "database"}}
HANDLES = {"volumeGroupSnapshotHandle": "group-1", "volumeSnapshotHandles": ["snap-1", "snap-2"]}
DEFAULT = {"annotations": {"groupsnapshot.storage.kubernetes.io/is-default-class": "true"}}


def ref(**fields: Any) -> Json:
    return {"name": "group", "namespace": "default"} | fields


def selecting(*expressions: Json) -> Json:
    """A VolumeGroupSnapshot of the claims that meet these expressions."""
    return group_snapshot(source={"selector": {"matchExpressions": list(expressions)}})


def existing_group(**fields: Any) -> Json:
    """A VolumeGroupSnapshot that is brought in."""
    return group_snapshot(source={"volumeGroupSnapshotContentName": "content"}, **fields)


def existing_content(**fields: Any) -> Json:
    """A VolumeGroupSnapshotContent that is brought in."""
    return group_content(source={"groupSnapshotHandles": HANDLES}, **fields)


ONE_SOURCE_OF_A_GROUP = ("exactly one of", "selector", "volumeGroupSnapshotContentName", "must be set")
ONE_SOURCE_OF_A_CONTENT = ("exactly one of", "volumeHandles", "groupSnapshotHandles", "must be set")
BOTH_NAMES = ("spec.volumeGroupSnapshotRef.name", "spec.volumeGroupSnapshotRef.namespace", "must be set")
POLICIES = ("Unsupported value", '"Delete"', '"Retain"')
FIRST_EXPRESSION = "spec.source.selector.matchExpressions[0]"

# The object, the field that is to blame, and words that the message has.
REFUSED_AT_CREATION: dict[str, tuple[Json, str, tuple[str, ...]]] = {
    "a group without spec": (group_snapshot() | {"spec": None}, "spec", (REQUIRED,)),
    "a group without source": (group_snapshot(omit="source"), "spec.source", (REQUIRED,)),
    "a group with an empty source": (group_snapshot(source={}), "spec.source", ONE_SOURCE_OF_A_GROUP),
    "a group with both sources": (
        group_snapshot(source={"selector": SELECTOR, "volumeGroupSnapshotContentName": "content"}),
        "spec.source",
        ONE_SOURCE_OF_A_GROUP,
    ),
    "a group with both sources, both empty": (
        group_snapshot(source={"selector": {}, "volumeGroupSnapshotContentName": ""}),
        "spec.source",
        ONE_SOURCE_OF_A_GROUP,
    ),
    "a group with an empty class": (
        group_snapshot(volumeGroupSnapshotClassName=""),
        "spec.volumeGroupSnapshotClassName",
        ("volumeGroupSnapshotClassName", "empty string"),
    ),
    "a label of another type": (
        group_snapshot(source={"selector": {"matchLabels": {"app": 1}}}),
        "spec.source.selector.matchLabels.app",
        ("must be of type string", "integer"),
    ),
    "an expression without key": (selecting({"operator": "Exists"}), f"{FIRST_EXPRESSION}.key", (REQUIRED,)),
    "an expression without operator": (selecting({"key": "app"}), f"{FIRST_EXPRESSION}.operator", (REQUIRED,)),
    "an expression with one value for a list": (
        selecting({"key": "app", "operator": "In", "values": "database"}),
        f"{FIRST_EXPRESSION}.values",
        ("must be of type array", "string"),
    ),
    "a content without spec": (group_content() | {"spec": None}, "spec", (REQUIRED,)),
    "a content without driver": (group_content(omit="driver"), "spec.driver", (REQUIRED,)),
    "a content without deletion policy": (group_content(omit="deletionPolicy"), "spec.deletionPolicy", (REQUIRED,)),
    "a content with an unknown policy": (group_content(deletionPolicy="delete"), "spec.deletionPolicy", POLICIES),
    "a content with an empty policy": (group_content(deletionPolicy=""), "spec.deletionPolicy", POLICIES),
    "a content without source": (group_content(omit="source"), "spec.source", (REQUIRED,)),
    "a content with an empty source": (group_content(source={}), "spec.source", ONE_SOURCE_OF_A_CONTENT),
    "a content with both sources": (
        group_content(source={"volumeHandles": ["vol-1"], "groupSnapshotHandles": HANDLES}),
        "spec.source",
        ONE_SOURCE_OF_A_CONTENT,
    ),
    "a content with no volumes and a group": (
        group_content(source={"volumeHandles": [], "groupSnapshotHandles": HANDLES}),
        "spec.source",
        ONE_SOURCE_OF_A_CONTENT,
    ),
    "a content with one volume for a list": (
        group_content(source={"volumeHandles": "vol-1"}),
        "spec.source.volumeHandles",
        ("must be of type array", "string"),
    ),
    "a content with a number for a volume": (
        group_content(source={"volumeHandles": ["vol-1", 2]}),
        "spec.source.volumeHandles[1]",
        ("must be of type string", "integer"),
    ),
    "a content for a group without handle": (
        group_content(source={"groupSnapshotHandles": {"volumeSnapshotHandles": []}}),
        "spec.source.groupSnapshotHandles.volumeGroupSnapshotHandle",
        (REQUIRED,),
    ),
    "a content for a group without the handles of its snapshots": (
        group_content(source={"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "group-1"}}),
        "spec.source.groupSnapshotHandles.volumeSnapshotHandles",
        (REQUIRED,),
    ),
    "a content without ref": (
        group_content(omit="volumeGroupSnapshotRef"),
        "spec.volumeGroupSnapshotRef",
        (REQUIRED,),
    ),
    "a content whose ref has no name": (
        group_content(volumeGroupSnapshotRef={"namespace": "default"}),
        "spec.volumeGroupSnapshotRef",
        BOTH_NAMES,
    ),
    "a content whose ref has no namespace": (
        group_content(volumeGroupSnapshotRef={"name": "group"}),
        "spec.volumeGroupSnapshotRef",
        BOTH_NAMES,
    ),
    "a class without driver": (group_class(omit="driver"), "driver", (REQUIRED,)),
    "a class without deletion policy": (group_class(omit="deletionPolicy"), "deletionPolicy", (REQUIRED,)),
    "a class with an unknown policy": (group_class(deletionPolicy="Recycle"), "deletionPolicy", POLICIES),
    "a class with a number among its parameters": (
        group_class(parameters={"copies": 3}),
        "parameters.copies",
        ("must be of type string", "integer"),
    ),
    "a class whose name is in upper case": (
        group_class(metadata={"name": "Gold"}),
        "metadata.name",
        ("RFC 1123 subdomain",),
    ),
}

ACCEPTED_AT_CREATION: dict[str, Json] = {
    "a group of labelled claims": group_snapshot(),
    "a group with an empty selector": group_snapshot(source={"selector": {}}),
    "a group with no labels and no expressions": group_snapshot(
        source={"selector": {"matchLabels": {}, "matchExpressions": []}}
    ),
    "a group with an unknown operator": selecting({"key": "app", "operator": "Resembles", "values": ["database"]}),
    "a group with an operator that lacks its values": selecting({"key": "app", "operator": "In"}),
    "a group with a label that is none": group_snapshot(source={"selector": {"matchLabels": {"a b": "c d"}}}),
    "a group that is brought in": existing_group(),
    "a group that is brought in from an empty name": group_snapshot(source={"volumeGroupSnapshotContentName": ""}),
    "a group with a class": group_snapshot(volumeGroupSnapshotClassName="gold"),
    "a group whose class is null": group_snapshot(volumeGroupSnapshotClassName=None),
    "a content for volumes": group_content(),
    "a content for no volumes": group_content(source={"volumeHandles": []}),
    "a content for the same volume twice": group_content(source={"volumeHandles": ["vol-1", "vol-1"]}),
    "a content for a group": existing_content(),
    "a content for a group of no snapshots": group_content(
        source={"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "group-1", "volumeSnapshotHandles": []}}
    ),
    "a content whose ref has an empty name and namespace": group_content(
        volumeGroupSnapshotRef=ref(name="", namespace="")
    ),
    "a content with an empty driver": group_content(driver=""),
    "a class": group_class(),
    "a class with parameters": group_class(parameters={"a": "b", "csi.storage.k8s.io/unknown": "c"}),
    "a default class": group_class(metadata=DEFAULT),
    "another default class of the same driver": group_class(metadata=DEFAULT),
}

REFUSED_CHANGES: dict[str, Change] = {
    "another selector": Change(
        group_snapshot(),
        spec(source={"selector": {"matchLabels": {"app": "web"}}}),
        "spec.source.selector",
        ("selector", "immutable"),
    ),
    "an expression added to a selector": Change(
        group_snapshot(),
        spec(source={"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}),
        "spec.source.selector",
        ("selector", "immutable"),
    ),
    "a selector removed": Change(
        group_snapshot(),
        spec(source={"selector": None}),
        "spec.source",
        ("selector", "required once set"),
    ),
    "a selector replaced by a content": Change(
        group_snapshot(),
        spec(source={"selector": None, "volumeGroupSnapshotContentName": "content"}),
        "spec.source",
        ("selector", "required once set"),
    ),
    "a content added to a selector": Change(
        group_snapshot(),
        spec(source={"volumeGroupSnapshotContentName": "content"}),
        "spec.source",
        ("exactly one of",),
    ),
    "another content": Change(
        existing_group(),
        spec(source={"volumeGroupSnapshotContentName": "other"}),
        "spec.source.volumeGroupSnapshotContentName",
        ("volumeGroupSnapshotContentName", "immutable"),
    ),
    "a content replaced by a selector": Change(
        existing_group(),
        spec(source={"selector": SELECTOR, "volumeGroupSnapshotContentName": None}),
        "spec.source",
        ("volumeGroupSnapshotContentName", "required once set"),
    ),
    "a group's class that becomes empty": Change(
        group_snapshot(volumeGroupSnapshotClassName="gold"),
        spec(volumeGroupSnapshotClassName=""),
        "spec.volumeGroupSnapshotClassName",
        ("empty string",),
    ),
    "a volume more": Change(
        group_content(),
        spec(source={"volumeHandles": ["vol-1", "vol-2", "vol-3"]}),
        "spec.source.volumeHandles",
        ("volumeHandles", "immutable"),
    ),
    "volumes in another order": Change(
        group_content(),
        spec(source={"volumeHandles": ["vol-2", "vol-1"]}),
        "spec.source.volumeHandles",
        ("volumeHandles", "immutable"),
    ),
    "volumes replaced by a group": Change(
        group_content(),
        spec(source={"volumeHandles": None, "groupSnapshotHandles": HANDLES}),
        "spec.source",
        ("volumeHandles", "required once set"),
    ),
    "another group handle to bring in": Change(
        existing_content(),
        spec(source={"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "group-2"}}),
        "spec.source.groupSnapshotHandles",
        ("groupSnapshotHandles", "immutable"),
    ),
    "another snapshot handle to bring in": Change(
        existing_content(),
        spec(source={"groupSnapshotHandles": {"volumeSnapshotHandles": ["snap-1"]}}),
        "spec.source.groupSnapshotHandles",
        ("groupSnapshotHandles", "immutable"),
    ),
    "a group replaced by volumes": Change(
        existing_content(),
        spec(source={"volumeHandles": ["vol-1"], "groupSnapshotHandles": None}),
        "spec.source",
        ("groupSnapshotHandles", "required once set"),
    ),
    "the name removed from the ref": Change(
        group_content(),
        spec(volumeGroupSnapshotRef={"name": None}),
        "spec.volumeGroupSnapshotRef",
        ("must be set",),
    ),
    "the namespace removed from the ref": Change(
        group_content(),
        spec(volumeGroupSnapshotRef={"namespace": None}),
        "spec.volumeGroupSnapshotRef",
        ("must be set",),
    ),
    "a content's policy that becomes unknown": Change(
        group_content(), spec(deletionPolicy="Forget"), "spec.deletionPolicy", ("Unsupported value",)
    ),
    "a content's creation time as a number": Change(
        group_content(), status(creationTime=1), "status.creationTime", ("must be of type",)
    ),
    "a content's creation time that is no date": Change(
        group_content(), status(creationTime="soon"), "status.creationTime", ("must be of type date-time",)
    ),
    "a group's readiness as a string": Change(
        group_snapshot(), status(readyToUse="true"), "status.readyToUse", ("must be of type boolean", "string")
    ),
    "a class's driver removed": Change(group_class(), {"driver": None}, "driver", (REQUIRED,)),
}

BOUND = status(boundVolumeGroupSnapshotContentName="content")
MADE = status(volumeGroupSnapshotHandle="group-1")
REF_IMMUTABLE = ("spec.volumeGroupSnapshotRef.name", "spec.volumeGroupSnapshotRef.namespace", "immutable")
UID_IMMUTABLE = ("spec.volumeGroupSnapshotRef.uid", "immutable once set")

# Only the later versions refuse these.
REFUSED_SINCE_V1BETA2: dict[str, Change] = {
    "a group bound to another content": Change(
        group_snapshot(),
        status(boundVolumeGroupSnapshotContentName="other"),
        "status.boundVolumeGroupSnapshotContentName",
        ("boundVolumeGroupSnapshotContentName", "immutable once set"),
        before=(BOUND,),
    ),
    "a group that was bound to an empty name": Change(
        group_snapshot(),
        BOUND,
        "status.boundVolumeGroupSnapshotContentName",
        ("immutable once set",),
        before=(status(boundVolumeGroupSnapshotContentName=""),),
    ),
    "a content's driver changed": Change(
        group_content(), spec(driver="other.example.com"), "spec.driver", ("driver", "immutable once set")
    ),
    "a content's class changed": Change(
        group_content(volumeGroupSnapshotClassName="gold"),
        spec(volumeGroupSnapshotClassName="lead"),
        "spec.volumeGroupSnapshotClassName",
        ("volumeGroupSnapshotClassName", "immutable once set"),
    ),
    "a content for another group": Change(
        group_content(),
        spec(volumeGroupSnapshotRef={"name": "other"}),
        "spec.volumeGroupSnapshotRef",
        REF_IMMUTABLE,
    ),
    "a content for a group in another namespace": Change(
        group_content(),
        spec(volumeGroupSnapshotRef={"namespace": "other"}),
        "spec.volumeGroupSnapshotRef",
        REF_IMMUTABLE,
    ),
    "a content for a new group of the same name": Change(
        group_content(volumeGroupSnapshotRef=ref(uid="1")),
        spec(volumeGroupSnapshotRef={"uid": "2"}),
        "spec.volumeGroupSnapshotRef",
        UID_IMMUTABLE,
    ),
    "a content no longer bound": Change(
        group_content(volumeGroupSnapshotRef=ref(uid="1")),
        spec(volumeGroupSnapshotRef={"uid": None}),
        "spec.volumeGroupSnapshotRef",
        UID_IMMUTABLE,
    ),
    "a content's group handle changed": Change(
        group_content(),
        status(volumeGroupSnapshotHandle="group-2"),
        "status.volumeGroupSnapshotHandle",
        ("volumeGroupSnapshotHandle", "immutable once set"),
        before=(MADE,),
    ),
    "a class's driver changed": Change(
        group_class(), {"driver": "other.example.com"}, "driver", ("driver", "immutable once set")
    ),
    "a class's policy changed": Change(
        group_class(), {"deletionPolicy": "Retain"}, "deletionPolicy", ("deletionPolicy", "immutable once set")
    ),
    "a class's parameters changed": Change(
        group_class(parameters={"a": "b"}),
        {"parameters": {"a": "c"}},
        "parameters",
        ("parameters", "immutable once set"),
    ),
    "a parameter added to a class's": Change(
        group_class(parameters={"a": "b"}), {"parameters": {"c": "d"}}, "parameters", ("immutable once set",)
    ),
}

ACCEPTED_CHANGES: dict[str, Change] = {
    "a group's class changed": Change(
        group_snapshot(volumeGroupSnapshotClassName="gold"), spec(volumeGroupSnapshotClassName="lead")
    ),
    "a group's class removed": Change(
        group_snapshot(volumeGroupSnapshotClassName="gold"), spec(volumeGroupSnapshotClassName=None)
    ),
    "the same selector again": Change(group_snapshot(), spec(source={"selector": SELECTOR})),
    "a group bound": Change(group_snapshot(), BOUND),
    "a group bound to the empty name": Change(group_snapshot(), status(boundVolumeGroupSnapshotContentName="")),
    "a group no longer bound": Change(
        group_snapshot(), status(boundVolumeGroupSnapshotContentName=None), before=(BOUND,)
    ),
    "a group bound to another content after it was bound to none": Change(
        group_snapshot(),
        status(boundVolumeGroupSnapshotContentName="other"),
        before=(BOUND, status(boundVolumeGroupSnapshotContentName=None)),
    ),
    "a group's error": Change(group_snapshot(), status(error={"time": "2024-01-01T00:00:00Z", "message": "it broke"})),
    "a content's policy changed": Change(group_content(), spec(deletionPolicy="Retain")),
    "a content's class added": Change(group_content(), spec(volumeGroupSnapshotClassName="gold")),
    "a content's class removed": Change(
        group_content(volumeGroupSnapshotClassName="gold"), spec(volumeGroupSnapshotClassName=None)
    ),
    "a content's class changed after it was removed": Change(
        group_content(volumeGroupSnapshotClassName="gold"),
        spec(volumeGroupSnapshotClassName="lead"),
        before=(spec(volumeGroupSnapshotClassName=None),),
    ),
    "a content bound": Change(group_content(), spec(volumeGroupSnapshotRef={"uid": "1"})),
    "the kind in a ref changed": Change(
        group_content(volumeGroupSnapshotRef=ref(kind="VolumeGroupSnapshot", apiVersion=f"{GROUP_API}/v1beta1")),
        spec(volumeGroupSnapshotRef={"kind": "Group", "apiVersion": f"{GROUP_API}/v1"}),
    ),
    "a content's group handle": Change(group_content(), MADE),
    "a content's group handle removed": Change(group_content(), status(volumeGroupSnapshotHandle=None), before=(MADE,)),
    "a content's group handle changed after it was removed": Change(
        group_content(),
        status(volumeGroupSnapshotHandle="group-2"),
        before=(MADE, status(volumeGroupSnapshotHandle=None)),
    ),
    "a content's group handle that is empty": Change(group_content(), status(volumeGroupSnapshotHandle="")),
    "a content's creation time": Change(group_content(), status(creationTime="2024-01-01T00:00:00.123456Z")),
    "a class's parameters added": Change(group_class(), {"parameters": {"a": "b"}}),
    "a class's parameters removed": Change(group_class(parameters={"a": "b"}), {"parameters": None}),
    "a class's parameters changed after they were removed": Change(
        group_class(parameters={"a": "b"}), {"parameters": {"a": "c"}}, before=({"parameters": None},)
    ),
    "a class that becomes the default": Change(group_class(), {"metadata": DEFAULT}),
}

MEMBER = {"volumeHandle": "vol-1", "snapshotHandle": "snap-1", "readyToUse": True}


def members(*infos: Json) -> Json:
    return status(volumeSnapshotInfoList=list(infos))


def pairs(*given: Json) -> Json:
    return status(volumeSnapshotHandlePairList=list(given))


FIRST_MEMBER = "status.volumeSnapshotInfoList[0]"
FIRST_PAIR = "status.volumeSnapshotHandlePairList[0]"

# The lists of members are told differently: each with the versions that have it.
REFUSED_MEMBERS: dict[str, tuple[list[str], Json, str, tuple[str, ...]]] = {
    "a restore size as a string": (
        CURRENT,
        members(MEMBER | {"restoreSize": "1Gi"}),
        f"{FIRST_MEMBER}.restoreSize",
        ("must be of type integer", "string"),
    ),
    "a creation time as a date": (
        CURRENT,
        members(MEMBER | {"creationTime": "2024-01-01T00:00:00Z"}),
        f"{FIRST_MEMBER}.creationTime",
        ("must be of type integer", "string"),
    ),
    "a restore size beyond 64 bits": (
        CURRENT,
        members(MEMBER | {"restoreSize": 2**63}),
        f"{FIRST_MEMBER}.restoreSize",
        ("must be of type int",),
    ),
    "a readiness as a string": (
        CURRENT,
        members(MEMBER | {"readyToUse": "true"}),
        f"{FIRST_MEMBER}.readyToUse",
        ("must be of type boolean", "string"),
    ),
    "a pair without volume": (
        ["v1beta1"],
        pairs({"snapshotHandle": "snap-1"}),
        f"{FIRST_PAIR}.volumeHandle",
        (REQUIRED,),
    ),
    "a pair without snapshot": (
        ["v1beta1"],
        pairs({"volumeHandle": "vol-1"}),
        f"{FIRST_PAIR}.snapshotHandle",
        (REQUIRED,),
    ),
}

ACCEPTED_MEMBERS: dict[str, tuple[list[str], Json]] = {
    "members": (CURRENT, members(MEMBER | {"creationTime": 10**18, "restoreSize": 1024}, {"readyToUse": False})),
    "no members": (CURRENT, members()),
    "a member without handles": (CURRENT, members({"readyToUse": True})),
    "a member of nothing": (CURRENT, members({})),
    "a negative restore size": (CURRENT, members(MEMBER | {"restoreSize": -1})),
    "a negative creation time": (CURRENT, members(MEMBER | {"creationTime": -1})),
    "the same member twice": (CURRENT, members(MEMBER, MEMBER)),
}


def expected_warnings(given: Json) -> tuple[str, ...]:
    return (DEPRECATED[given["kind"]],) if given["apiVersion"].endswith("/v1beta1") else ()


def in_versions(versions: list[str], table: dict[str, Any]) -> pytest.MarkDecorator:
    """Each row of a table in each of the versions."""
    rows = {f"{name}, {version}": (version, case) for name, case in table.items() for version in versions}
    return pytest.mark.parametrize(("version", "case"), rows.values(), ids=rows.keys())


@in_versions(VERSIONS, REFUSED_AT_CREATION)
async def test_is_refused_at_creation(api: Client, version: str, case: tuple[Json, str, tuple[str, ...]]) -> None:
    given, field, words = case
    given = in_version(given, version)
    answer = await api.create(collection_of(given), given)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert field in answer.causes, answer
    for word in words:
        assert word in answer.causes[field]
    assert (await api.get(path_of(given))).status == 404


@in_versions(VERSIONS, ACCEPTED_AT_CREATION)
async def test_is_accepted_at_creation(api: Client, version: str, case: Json) -> None:
    given = in_version(another(case), version)
    answer = await api.create(collection_of(given), given, fieldValidation="Strict")
    assert (answer.status, answer.warnings) == (201, expected_warnings(given))
    assert answer.body["apiVersion"] == given["apiVersion"]


async def check_refused(api: Client, change: Change) -> None:
    before = await change.prepare(api)
    answer = await api.merge(change.path, change.patch)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert change.field in answer.causes, answer
    for word in change.words:
        assert word in answer.causes[change.field]
    assert (await api.get(path_of(change.given))).ok() == before


async def check_accepted(api: Client, change: Change) -> None:
    await change.prepare(api)
    answer = await api.merge(change.path, change.patch, fieldValidation="Strict")
    assert (answer.status, answer.warnings) == (200, expected_warnings(change.given)), answer
    assert (await api.get(path_of(change.given))).ok() == answer.body


@in_versions(VERSIONS, REFUSED_CHANGES)
async def test_change_is_refused(api: Client, version: str, case: Change) -> None:
    await check_refused(api, case.of_another(version))


@in_versions(CURRENT, REFUSED_SINCE_V1BETA2)
async def test_change_is_refused_since_v1beta2(api: Client, version: str, case: Change) -> None:
    await check_refused(api, case.of_another(version))


@pytest.mark.parametrize("case", REFUSED_SINCE_V1BETA2.values(), ids=REFUSED_SINCE_V1BETA2.keys())
async def test_change_is_accepted_in_v1beta1(api: Client, case: Change) -> None:
    await check_accepted(api, case.of_another("v1beta1"))


@in_versions(VERSIONS, ACCEPTED_CHANGES)
async def test_change_is_accepted(api: Client, version: str, case: Change) -> None:
    await check_accepted(api, case.of_another(version))


@pytest.mark.parametrize(("versions", "patch", "field", "words"), REFUSED_MEMBERS.values(), ids=REFUSED_MEMBERS.keys())
async def test_members_are_refused(
    api: Client, versions: list[str], patch: Json, field: str, words: tuple[str, ...]
) -> None:
    for version in versions:
        await check_refused(api, Change(group_content(), patch, field, words).of_another(version))


@pytest.mark.parametrize(("versions", "patch"), ACCEPTED_MEMBERS.values(), ids=ACCEPTED_MEMBERS.keys())
async def test_members_are_accepted(api: Client, versions: list[str], patch: Json) -> None:
    for version in versions:
        await check_accepted(api, Change(group_content(), patch).of_another(version))


async def test_a_ref_without_name_breaks_one_rule_alone(api: Client) -> None:
    given = group_content()
    (await api.create(collection_of(given), given)).ok()
    answer = await api.merge(path_of(given), spec(volumeGroupSnapshotRef={"name": None}))
    causes = answer.body["details"]["causes"]
    assert [each["message"] for each in causes] == [
        "Invalid value: both spec.volumeGroupSnapshotRef.name and spec.volumeGroupSnapshotRef.namespace must be set"
    ]
