"""What the custom resource definitions refuse, in whose words, and what they accept."""

from typing import Any

import pytest

from tests.contract.changes import REQUIRED, Change, spec, status
from tests.contract.client import Client, Json
from tests.contract.objects import CONTENTS, collection_of, content, path_of, snapshot, snapshot_class

pytestmark = pytest.mark.asyncio(loop_scope="session")

SKIPPED = "some validation rules were not checked because the object was invalid"


def ref(**fields: Any) -> Json:
    return {"name": "snap", "namespace": "default"} | fields


def existing_snapshot(**spec: Any) -> Json:
    """A VolumeSnapshot that is brought in."""
    return snapshot(source={"volumeSnapshotContentName": "content"}, **spec)


def existing_content(**spec: Any) -> Json:
    """A VolumeSnapshotContent that is brought in."""
    return content(source={"snapshotHandle": "snap-1"}, **spec)


# The object, the field that is to blame, and words that the message has.
REFUSED_AT_CREATION: dict[str, tuple[Json, str, tuple[str, ...]]] = {
    "a snapshot without spec": (snapshot() | {"spec": None}, "spec", (REQUIRED,)),
    "a snapshot without source": (snapshot(omit="source"), "spec.source", (REQUIRED,)),
    "a snapshot whose source is null": (snapshot(source=None), "spec.source", (REQUIRED,)),
    "a snapshot with an empty source": (
        snapshot(source={}),
        "spec.source",
        ("exactly one of", "volumeSnapshotContentName", "persistentVolumeClaimName", "must be set"),
    ),
    "a snapshot with both sources": (
        snapshot(source={"persistentVolumeClaimName": "a", "volumeSnapshotContentName": "b"}),
        "spec.source",
        ("exactly one of", "volumeSnapshotContentName", "persistentVolumeClaimName", "must be set"),
    ),
    "a snapshot with both sources, both empty": (
        snapshot(source={"persistentVolumeClaimName": "", "volumeSnapshotContentName": ""}),
        "spec.source",
        ("exactly one of",),
    ),
    "a snapshot with an empty class": (
        snapshot(volumeSnapshotClassName=""),
        "spec.volumeSnapshotClassName",
        ("volumeSnapshotClassName", "empty string"),
    ),
    "a snapshot whose claim is a number": (
        snapshot(source={"persistentVolumeClaimName": 7}),
        "spec.source.persistentVolumeClaimName",
        ("must be of type string", "integer"),
    ),
    "a snapshot whose class is a boolean": (
        snapshot(volumeSnapshotClassName=True),
        "spec.volumeSnapshotClassName",
        ("must be of type string", "boolean"),
    ),
    "a snapshot whose source is a string": (
        snapshot(source="claim"),
        "spec.source",
        ("must be of type object", "string"),
    ),
    "a content without spec": (content() | {"spec": None}, "spec", (REQUIRED,)),
    "a content without driver": (content(omit="driver"), "spec.driver", (REQUIRED,)),
    "a content whose driver is null": (content(driver=None), "spec.driver", (REQUIRED,)),
    "a content without deletion policy": (content(omit="deletionPolicy"), "spec.deletionPolicy", (REQUIRED,)),
    "a content without source": (content(omit="source"), "spec.source", (REQUIRED,)),
    "a content without ref": (content(omit="volumeSnapshotRef"), "spec.volumeSnapshotRef", (REQUIRED,)),
    "a content with a policy in lower case": (
        content(deletionPolicy="delete"),
        "spec.deletionPolicy",
        ("Unsupported value", '"Delete"', '"Retain"'),
    ),
    "a content with an empty policy": (
        content(deletionPolicy=""),
        "spec.deletionPolicy",
        ("Unsupported value", '"Delete"', '"Retain"'),
    ),
    "a content with an empty source": (
        content(source={}),
        "spec.source",
        ("exactly one of", "volumeHandle", "snapshotHandle", "must be set"),
    ),
    "a content with both handles": (
        content(source={"volumeHandle": "v", "snapshotHandle": "s"}),
        "spec.source",
        ("exactly one of", "volumeHandle", "snapshotHandle", "must be set"),
    ),
    "a content whose ref has no name": (
        content(volumeSnapshotRef={"namespace": "default"}),
        "spec.volumeSnapshotRef",
        ("spec.volumeSnapshotRef.name", "spec.volumeSnapshotRef.namespace", "must be set"),
    ),
    "a content whose ref has no namespace": (
        content(volumeSnapshotRef={"name": "snap"}),
        "spec.volumeSnapshotRef",
        ("spec.volumeSnapshotRef.name", "spec.volumeSnapshotRef.namespace", "must be set"),
    ),
    "a content whose volume is a number": (
        content(source={"volumeHandle": 1}),
        "spec.source.volumeHandle",
        ("must be of type string", "integer"),
    ),
    "a class without driver": (snapshot_class(omit="driver"), "driver", (REQUIRED,)),
    "a class without deletion policy": (snapshot_class(omit="deletionPolicy"), "deletionPolicy", (REQUIRED,)),
    "a class with an unknown policy": (
        snapshot_class(deletionPolicy="Recycle"),
        "deletionPolicy",
        ("Unsupported value", '"Delete"', '"Retain"'),
    ),
    "a class with a number among its parameters": (
        snapshot_class(parameters={"copies": 3}),
        "parameters.copies",
        ("must be of type string", "integer"),
    ),
    "a name in upper case": (snapshot_class(name="Gold"), "metadata.name", ("RFC 1123 subdomain",)),
    "a label that is no label": (
        content(metadata={"labels": {"color": "a b"}}),
        "metadata.labels",
        ("a valid label must be",),
    ),
    "annotations of more than 256 KiB": (
        content(metadata={"annotations": {"a": "x" * 2**18}}),
        "metadata.annotations",
        ("may not be more than 262144 bytes",),
    ),
    "an annotation whose key is no key": (
        content(metadata={"annotations": {"a b": "c"}}),
        "metadata.annotations",
        ("name part must consist of",),
    ),
}

ACCEPTED_AT_CREATION: dict[str, Json] = {
    "a snapshot of a claim": snapshot(),
    "a snapshot of an empty claim name": snapshot(source={"persistentVolumeClaimName": ""}),
    "a snapshot of an empty content name": snapshot(source={"volumeSnapshotContentName": ""}),
    "a snapshot whose class is null": snapshot(volumeSnapshotClassName=None),
    "a snapshot whose other source is null": snapshot(
        source={"persistentVolumeClaimName": "a", "volumeSnapshotContentName": None}
    ),
    "a content for a volume": content(),
    "a content for a snapshot": existing_content(),
    "a content with an empty driver": content(driver=""),
    "a content with an empty volume handle": content(source={"volumeHandle": ""}),
    "a content with an empty snapshot handle": content(source={"snapshotHandle": ""}),
    "a content with an empty class": content(volumeSnapshotClassName=""),
    "a content whose ref has an empty name and namespace": content(volumeSnapshotRef=ref(name="", namespace="")),
    "a content with any text as mode of the volume": content(sourceVolumeMode="whatever"),
    "a class": snapshot_class(),
    "a class with parameters": snapshot_class(parameters={"a": "b", "csi.storage.k8s.io/unknown": "c"}),
    "a default class": snapshot_class(
        metadata={"annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}}
    ),
    "another default class of the same driver": snapshot_class(
        metadata={"annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}}
    ),
}


REFUSED_CHANGES: dict[str, Change] = {
    "another claim": Change(
        snapshot(),
        spec(source={"persistentVolumeClaimName": "other"}),
        "spec.source.persistentVolumeClaimName",
        ("persistentVolumeClaimName", "immutable"),
    ),
    "a claim name that becomes empty": Change(
        snapshot(),
        spec(source={"persistentVolumeClaimName": ""}),
        "spec.source.persistentVolumeClaimName",
        ("immutable",),
    ),
    "a claim removed": Change(
        snapshot(),
        spec(source={"persistentVolumeClaimName": None}),
        "spec.source",
        ("persistentVolumeClaimName", "required once set"),
    ),
    "a claim replaced by a content": Change(
        snapshot(),
        spec(source={"persistentVolumeClaimName": None, "volumeSnapshotContentName": "content"}),
        "spec.source",
        ("persistentVolumeClaimName", "required once set"),
    ),
    "a content added to a claim": Change(
        snapshot(),
        spec(source={"volumeSnapshotContentName": "content"}),
        "spec.source",
        ("exactly one of",),
    ),
    "the source of a snapshot removed": Change(snapshot(), spec(source=None), "spec.source", (REQUIRED,)),
    "another content": Change(
        existing_snapshot(),
        spec(source={"volumeSnapshotContentName": "other"}),
        "spec.source.volumeSnapshotContentName",
        ("volumeSnapshotContentName", "immutable"),
    ),
    "a content replaced by a claim": Change(
        existing_snapshot(),
        spec(source={"persistentVolumeClaimName": "claim", "volumeSnapshotContentName": None}),
        "spec.source",
        ("volumeSnapshotContentName", "required once set"),
    ),
    "a snapshot's class that becomes empty": Change(
        snapshot(volumeSnapshotClassName="gold"),
        spec(volumeSnapshotClassName=""),
        "spec.volumeSnapshotClassName",
        ("empty string",),
    ),
    "another volume": Change(
        content(),
        spec(source={"volumeHandle": "vol-2"}),
        "spec.source.volumeHandle",
        ("volumeHandle", "immutable"),
    ),
    "another snapshot handle": Change(
        existing_content(),
        spec(source={"snapshotHandle": "snap-2"}),
        "spec.source.snapshotHandle",
        ("snapshotHandle", "immutable"),
    ),
    "a volume replaced by a snapshot handle": Change(
        content(),
        spec(source={"volumeHandle": None, "snapshotHandle": "snap-1"}),
        "spec.source",
        ("volumeHandle", "required once set"),
    ),
    "a snapshot handle replaced by a volume": Change(
        existing_content(),
        spec(source={"volumeHandle": "vol-1", "snapshotHandle": None}),
        "spec.source",
        ("snapshotHandle", "required once set"),
    ),
    "a snapshot handle added to a volume": Change(
        content(),
        spec(source={"snapshotHandle": "snap-1"}),
        "spec.source",
        ("exactly one of",),
    ),
    "another mode of the volume": Change(
        content(sourceVolumeMode="Block"),
        spec(sourceVolumeMode="Filesystem"),
        "spec.sourceVolumeMode",
        ("sourceVolumeMode", "immutable"),
    ),
    "the mode of the volume removed": Change(
        content(sourceVolumeMode="Block"),
        spec(sourceVolumeMode=None),
        "spec",
        ("sourceVolumeMode", "required once set"),
    ),
    "the name removed from the ref": Change(
        content(),
        spec(volumeSnapshotRef={"name": None}),
        "spec.volumeSnapshotRef",
        ("must be set",),
    ),
    "the namespace removed from the ref": Change(
        content(),
        spec(volumeSnapshotRef={"namespace": None}),
        "spec.volumeSnapshotRef",
        ("must be set",),
    ),
    "a content's policy that becomes unknown": Change(
        content(),
        spec(deletionPolicy="Forget"),
        "spec.deletionPolicy",
        ("Unsupported value",),
    ),
    "a class's driver removed": Change(snapshot_class(), {"driver": None}, "driver", (REQUIRED,)),
    "a content's negative restore size": Change(
        content(),
        status(restoreSize=-1),
        "status.restoreSize",
        ("restoreSize", "greater than or equal to 0"),
    ),
    "a content's restore size as a string": Change(
        content(),
        status(restoreSize="1Gi"),
        "status.restoreSize",
        ("must be of type integer", "string"),
    ),
    "a content's restore size that is no whole number": Change(
        content(),
        status(restoreSize=1.5),
        "status.restoreSize",
        ("must be of type int",),
    ),
    "a content's restore size beyond 64 bits": Change(
        content(),
        status(restoreSize=2**63),
        "status.restoreSize",
        ("must be of type int",),
    ),
    "a content's creation time as a date": Change(
        content(),
        status(creationTime="2024-01-01T00:00:00Z"),
        "status.creationTime",
        ("must be of type integer", "string"),
    ),
    "a content's readiness as a string": Change(
        content(),
        status(readyToUse="true"),
        "status.readyToUse",
        ("must be of type boolean", "string"),
    ),
    "a content's error at no time": Change(
        content(),
        status(error={"time": "yesterday", "message": "it broke"}),
        "status.error.time",
        ("must be of type date-time",),
    ),
    "a snapshot's restore size that is no quantity": Change(
        snapshot(),
        status(restoreSize="big"),
        "status.restoreSize",
        ("should match",),
    ),
    "a snapshot's restore size that is no whole number": Change(
        snapshot(),
        status(restoreSize=1.5),
        "status.restoreSize",
        ("must be of type integer,string", "number"),
    ),
    "a snapshot's restore size as a boolean": Change(
        snapshot(),
        status(restoreSize=True),
        "status.restoreSize",
        ("must be of type integer,string", "boolean"),
    ),
    "a snapshot's creation time that is no date": Change(
        snapshot(),
        status(creationTime="soon"),
        "status.creationTime",
        ("must be of type date-time",),
    ),
    "a snapshot's creation time as a number": Change(
        snapshot(),
        status(creationTime=1),
        "status.creationTime",
        ("must be of type",),
    ),
}

ACCEPTED_CHANGES: dict[str, Change] = {
    "a snapshot's class changed": Change(
        snapshot(volumeSnapshotClassName="gold"), spec(volumeSnapshotClassName="lead")
    ),
    "a snapshot's class removed": Change(snapshot(volumeSnapshotClassName="gold"), spec(volumeSnapshotClassName=None)),
    "a snapshot's class added": Change(snapshot(), spec(volumeSnapshotClassName="gold")),
    "the same claim again": Change(snapshot(), spec(source={"persistentVolumeClaimName": "claim"})),
    "a content's driver changed": Change(content(), spec(driver="other.example.com")),
    "a content's policy changed": Change(content(), spec(deletionPolicy="Retain")),
    "a content's class changed": Change(content(volumeSnapshotClassName="gold"), spec(volumeSnapshotClassName="lead")),
    "a content's class that becomes empty": Change(
        content(volumeSnapshotClassName="gold"), spec(volumeSnapshotClassName="")
    ),
    "a content bound": Change(content(), spec(volumeSnapshotRef=ref(uid="1"))),
    "a content bound to another snapshot": Change(
        content(volumeSnapshotRef=ref(uid="1")), spec(volumeSnapshotRef=ref(name="other", uid="2"))
    ),
    "the mode of the volume added": Change(content(), spec(sourceVolumeMode="Block")),
    "a class's driver changed": Change(snapshot_class(), {"driver": "other.example.com"}),
    "a class's policy changed": Change(snapshot_class(), {"deletionPolicy": "Retain"}),
    "a class's parameters changed": Change(snapshot_class(parameters={"a": "b"}), {"parameters": {"a": "c"}}),
    "a class's parameters removed": Change(snapshot_class(parameters={"a": "b"}), {"parameters": None}),
    "a content's restore size of nothing": Change(content(), status(restoreSize=0)),
    "a content's largest restore size": Change(content(), status(restoreSize=2**63 - 1)),
    "a content's negative creation time": Change(content(), status(creationTime=-1)),
    "a content's handle changed": Change(
        content(), status(snapshotHandle="snap-2"), before=(status(snapshotHandle="snap-1"),)
    ),
    "a content's error": Change(content(), status(error={"time": "2024-01-01T00:00:00Z", "message": "it broke"})),
    "a content's error removed": Change(content(), status(error=None), before=(status(error={"message": "it broke"}),)),
    "a content's error at a fraction of a second": Change(
        content(), status(error={"time": "2024-01-01T00:00:00.123456Z"})
    ),
    "a snapshot's restore size as a quantity": Change(snapshot(), status(restoreSize="1Gi")),
    "a snapshot's restore size as a number": Change(snapshot(), status(restoreSize=1073741824)),
    "a snapshot's negative restore size": Change(snapshot(), status(restoreSize=-5)),
    "a snapshot's content changed": Change(
        snapshot(),
        status(boundVolumeSnapshotContentName="other"),
        before=(status(boundVolumeSnapshotContentName="content"),),
    ),
    "a snapshot's group": Change(snapshot(), status(volumeGroupSnapshotName="group")),
}


@pytest.mark.parametrize(("given", "field", "words"), REFUSED_AT_CREATION.values(), ids=REFUSED_AT_CREATION.keys())
async def test_is_refused_at_creation(api: Client, given: Json, field: str, words: tuple[str, ...]) -> None:
    answer = await api.create(collection_of(given), given)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert field in answer.causes, answer
    for word in words:
        assert word in answer.causes[field]
        assert word in answer.message
    assert (await api.get(path_of(given))).status == 404


@pytest.mark.parametrize("given", ACCEPTED_AT_CREATION.values(), ids=ACCEPTED_AT_CREATION.keys())
async def test_is_accepted_at_creation(api: Client, given: Json) -> None:
    answer = await api.create(collection_of(given), given, fieldValidation="Strict")
    assert (answer.status, answer.warnings) == (201, ())


@pytest.mark.parametrize("change", REFUSED_CHANGES.values(), ids=REFUSED_CHANGES.keys())
async def test_change_is_refused(api: Client, change: Change) -> None:
    before = await change.prepare(api)
    answer = await api.merge(change.path, change.patch)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert change.field in answer.causes, answer
    for word in change.words:
        assert word in answer.causes[change.field]
        assert word in answer.message
    assert (await api.get(path_of(change.given))).ok() == before


@pytest.mark.parametrize("change", ACCEPTED_CHANGES.values(), ids=ACCEPTED_CHANGES.keys())
async def test_change_is_accepted(api: Client, change: Change) -> None:
    await change.prepare(api)
    answer = await api.merge(change.path, change.patch, fieldValidation="Strict")
    assert (answer.status, answer.warnings) == (200, ())
    assert (await api.get(path_of(change.given))).ok() == answer.body


KINDS_OF_WRONG = {
    "a missing field": (content(omit="driver"), {"spec.driver": "FieldValueRequired"}),
    "a value that is not offered": (
        content(deletionPolicy="x"),
        {"spec.deletionPolicy": "FieldValueNotSupported"},
    ),
    "a wrong type": (content(driver=1), {"spec.driver": "FieldValueTypeInvalid"}),
}


@pytest.mark.parametrize(("given", "reasons"), KINDS_OF_WRONG.values(), ids=KINDS_OF_WRONG.keys())
async def test_causes_say_in_which_way_a_field_is_wrong_and_that_rules_were_skipped(
    api: Client, given: Json, reasons: dict[str, str]
) -> None:
    answer = await api.create(collection_of(given), given)
    assert answer.reasons() == reasons | {"<nil>": "FieldValueInvalid"}
    assert SKIPPED in answer.causes["<nil>"]


async def test_a_broken_rule_is_an_invalid_value_of_the_object_that_carries_the_rule(api: Client) -> None:
    answer = await api.create(CONTENTS, content(source={}))
    assert answer.reasons() == {"spec.source": "FieldValueInvalid"}


async def test_all_broken_rules_are_reported_at_once(api: Client) -> None:
    broken = content(source={}, volumeSnapshotRef={})
    answer = await api.create(CONTENTS, broken)
    assert set(answer.causes) == {"spec.source", "spec.volumeSnapshotRef"}
    assert answer.message.startswith(
        f'VolumeSnapshotContent.snapshot.storage.k8s.io "{broken["metadata"]["name"]}" is invalid: ['
    )


# Given, where, patch, field, and the whole message of its cause.
MESSAGES: dict[str, tuple[Json, str, Json, str, str]] = {
    "a rule of a text prints the value": (
        content(),
        "",
        spec(source={"volumeHandle": "vol-2"}),
        "spec.source.volumeHandle",
        'Invalid value: "vol-2": volumeHandle is immutable',
    ),
    "a rule of an object prints no value": (
        content(),
        "",
        spec(source={"snapshotHandle": "snap-1"}),
        "spec.source",
        "Invalid value: exactly one of volumeHandle and snapshotHandle must be set",
    ),
    "a field of the spec is named from the top": (
        content(),
        "",
        spec(driver=1),
        "spec.driver",
        'Invalid value: "integer": spec.driver in body must be of type string: "integer"',
    ),
    "a field of the status is named from the status": (
        content(),
        "/status",
        status(restoreSize=-1),
        "status.restoreSize",
        "Invalid value: -1: restoreSize in body should be greater than or equal to 0",
    ),
    "a field deep in the status is named from the status": (
        content(),
        "/status",
        status(error={"message": 1}),
        "status.error.message",
        'Invalid value: "integer": error.message in body must be of type string: "integer"',
    ),
    "a value that is not offered is told what is": (
        content(),
        "",
        spec(deletionPolicy="delete"),
        "spec.deletionPolicy",
        'Unsupported value: "delete": supported values: "Delete", "Retain"',
    ),
}


@pytest.mark.parametrize(("given", "part", "patch", "field", "message"), MESSAGES.values(), ids=MESSAGES.keys())
async def test_message(api: Client, given: Json, part: str, patch: Json, field: str, message: str) -> None:
    (await api.create(collection_of(given), given)).ok()
    answer = await api.merge(path_of(given) + part, patch)
    assert answer.causes[field] == message
    assert f"{field}: {message}" in answer.message


async def test_a_single_cause_is_told_without_brackets(api: Client) -> None:
    given = content(source={})
    answer = await api.create(CONTENTS, given)
    assert answer.message == (
        f'VolumeSnapshotContent.snapshot.storage.k8s.io "{given["metadata"]["name"]}" is invalid: spec.source: '
        "Invalid value: exactly one of volumeHandle and snapshotHandle must be set"
    )
