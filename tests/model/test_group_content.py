"""Group contents and their classes as they are decoded from the API server's JSON."""

import json
from typing import Any

import msgspec
import pytest

from snapshotter import names
from snapshotter.model.group_content import GroupContent, GroupContentStatus, GroupSnapshotClass, MemberInfo
from snapshotter.model.lifecycle import StatusError
from tests.factories import group_class, group_content, member_info

SPEC: dict[str, Any] = {
    "driver": "mock.csi.example.com",
    "deletionPolicy": "Retain",
    "volumeGroupSnapshotClassName": "class-1",
    "source": {"volumeHandles": ["vol-2", "vol-1"]},
    "volumeGroupSnapshotRef": {"name": "group", "namespace": "ns", "uid": "u-2", "kind": "VolumeGroupSnapshot"},
}

FULL: dict[str, Any] = {
    "apiVersion": "groupsnapshot.storage.k8s.io/v1",
    "kind": "VolumeGroupSnapshotContent",
    "metadata": {
        "name": "group-content-1",
        "uid": "u-1",
        "resourceVersion": "12",
        "generation": 3,
        "deletionTimestamp": "2024-05-06T07:08:09Z",
        "finalizers": ["a", "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection"],
        "labels": {"x": "y"},
        "annotations": {
            "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created": "yes",
            "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted": "",
            "groupsnapshot.storage.kubernetes.io/deletion-secret-name": "secret-1",
            "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace": "ns-1",
            "example.com/other": "x",
        },
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": SPEC,
    "status": {
        "volumeGroupSnapshotHandle": "group-1",
        "creationTime": "2023-11-14T22:13:20Z",
        "readyToUse": False,
        "error": {"message": "no", "time": "2024-01-02T03:04:05Z"},
        "volumeSnapshotInfoList": [
            {
                "volumeHandle": "vol-2",
                "snapshotHandle": "snap-2",
                "creationTime": 1700000000123456789,
                "readyToUse": False,
                "restoreSize": 0,
                "theirs": 1,
            },
            {"volumeHandle": "vol-1"},
        ],
        "theirs": 1,
    },
}


def decode(document: dict[str, Any]) -> GroupContent:
    return msgspec.json.decode(json.dumps(document), type=GroupContent)


@pytest.mark.parametrize("version", names.GROUP_SNAPSHOT_VERSIONS)
def test_the_fields_that_we_read_are_read_and_the_others_passed_over(version: str) -> None:
    found = decode(FULL | {"apiVersion": f"groupsnapshot.storage.k8s.io/{version}"})
    assert found.name == "group-content-1"
    assert found.metadata.uid == "u-1"
    assert found.metadata.resource_version == "12"
    assert found.deleting
    assert found.protected
    assert found.marked_as_being_created
    assert found.marked_as_being_deleted, "the mark's presence counts, not its value"
    annotations = found.metadata.annotations
    assert (annotations.secret_namespace, annotations.secret_name) == ("ns-1", "secret-1")
    assert found.spec.driver == "mock.csi.example.com"
    assert found.spec.deletion_policy == "Retain"
    assert found.class_name == "class-1"
    assert found.volumes == ("vol-2", "vol-1"), "in the order in which they are given"
    assert found.imported_handle is None
    assert (found.ref.namespace, found.ref.name, found.ref.uid) == ("ns", "group", "u-2")
    assert found.status == GroupContentStatus(
        volume_group_snapshot_handle="group-1",
        creation_time="2023-11-14T22:13:20Z",
        ready_to_use=False,
        error=StatusError(message="no", time="2024-01-02T03:04:05Z"),
        volume_snapshot_info_list=(
            MemberInfo(
                volume_handle="vol-2",
                snapshot_handle="snap-2",
                creation_time=1700000000123456789,
                ready_to_use=False,
                restore_size=0,
            ),
            MemberInfo(volume_handle="vol-1"),
        ),
    )
    assert found.has_status
    assert found.handle == "group-1"
    assert found.set_once == {"volumeGroupSnapshotHandle": "group-1", "creationTime": "2023-11-14T22:13:20Z"}
    assert not found.ready


def test_a_bare_content_has_none_of_what_may_be_missing() -> None:
    found = decode(
        {
            "metadata": {"name": "group-content-1"},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandles": ["vol-1"]}},
        }
    )
    assert not found.has_status
    assert found.status == GroupContentStatus()
    assert (found.handle, found.imported_handle, found.class_name) == (None, None, None)
    assert (found.members, found.imported_members) == ((), ())
    assert not any((found.ready, found.deleting, found.protected))
    assert not any((found.marked_as_being_created, found.marked_as_being_deleted))
    assert found.set_once == {"volumeGroupSnapshotHandle": None, "creationTime": None}


def test_an_imported_group_names_its_handle_and_its_members() -> None:
    source = {"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "group-1", "volumeSnapshotHandles": ["b", "a"]}}
    found = decode(FULL | {"spec": SPEC | {"source": source}})
    assert found.imported_handle == "group-1"
    assert found.imported_members == ("b", "a")
    assert found.volumes == ()
    assert not found.ours_to_cut


SOURCES: dict[str, tuple[GroupContent, bool, bool]] = {
    "volumes are cut": (group_content(), True, True),
    "a group that exists is not": (group_content(imported="group-1"), True, False),
    "no volumes are no source": (group_content(volumes=()), False, False),
    "a group without a handle is none": (group_content(imported=""), False, False),
}


@pytest.mark.parametrize(("given", "has_source", "ours_to_cut"), SOURCES.values(), ids=SOURCES.keys())
def test_a_content_says_what_it_is_made_from(given: GroupContent, has_source: bool, ours_to_cut: bool) -> None:
    assert given.has_source is has_source
    assert given.ours_to_cut is ours_to_cut


NAMELESS = MemberInfo(volume_handle="vol-3")

MEMBERS: dict[str, tuple[GroupContent, tuple[str, ...]]] = {
    "none of a group that is not cut": (group_content(), ()),
    "those that are recorded, in their order": (
        group_content(handle="group-1", members=(member_info(2), member_info(1))),
        ("snap-2", "snap-1"),
    ),
    "those of the source while none are recorded": (group_content(imported="group-1"), ("snap-1", "snap-2")),
    "what is recorded comes before the source": (
        group_content(imported="group-1", members=(member_info(3),)),
        ("snap-3",),
    ),
    "members without a handle are not known yet": (group_content(members=(NAMELESS, member_info(1))), ("snap-1",)),
    "members without handles do not hide those of the source": (
        group_content(imported="group-1", members=(NAMELESS,)),
        ("snap-1", "snap-2"),
    ),
}


@pytest.mark.parametrize(("given", "expected"), MEMBERS.values(), ids=MEMBERS.keys())
def test_the_members_are_known_from_the_status_or_from_the_source(
    given: GroupContent, expected: tuple[str, ...]
) -> None:
    """Case 92."""
    assert given.members == expected


def test_empty_strings_are_nothing() -> None:
    found = group_content(imported="", class_name="", handle="")
    assert (found.imported_handle, found.handle, found.class_name) == (None, None, None)


@pytest.mark.parametrize("missing", ["driver", "deletionPolicy", "source"])
def test_a_content_without_what_its_schema_requires_is_malformed(missing: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(FULL | {"spec": {key: value for key, value in SPEC.items() if key != missing}})


def test_a_time_of_the_form_that_single_contents_have_is_malformed() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(FULL | {"status": {"creationTime": 1700000000123456789}})


def test_an_error_may_lack_its_message_and_its_time() -> None:
    assert decode(FULL | {"status": {"error": {}}}).status.error == StatusError()


def test_only_true_is_ready_and_only_with_a_handle() -> None:
    assert [group_content(handle="group-1", ready=ready).ready for ready in (None, False, True)] == [False, False, True]
    assert not group_content(ready=True).ready


def test_the_finalizer_of_groups_protects_and_that_of_single_contents_does_not() -> None:
    assert group_content(finalizers=("a", names.GROUP_CONTENT_FINALIZER, "b")).protected
    assert not group_content(finalizers=("a", names.CONTENT_FINALIZER)).protected


def test_the_marks_of_single_contents_mean_nothing_on_groups() -> None:
    marks = (names.BEING_CREATED, names.BEING_DELETED, names.DELETION_SECRET_NAME, names.DELETION_SECRET_NAMESPACE)
    assert group_content(annotations=dict.fromkeys(marks, "x")) == group_content()


def test_group_contents_do_not_change() -> None:
    with pytest.raises(AttributeError):
        group_content().spec.driver = "another"  # type: ignore[misc]


def test_a_class_has_a_driver_and_perhaps_parameters() -> None:
    bare = msgspec.json.decode(
        b'{"metadata": {"name": "class-1"}, "driver": "d", "deletionPolicy": "Delete"}', type=GroupSnapshotClass
    )
    assert (bare.name, bare.driver, bare.parameters) == ("class-1", "d", {})
    assert group_class(parameters={"a": "b"}).parameters == {"a": "b"}


@pytest.mark.parametrize(("value", "default"), [("true", True), ("True", False), ("false", False), ("", False)])
def test_a_class_is_the_default_one_if_its_annotation_is_exactly_true(value: str, default: bool) -> None:
    """Case 126."""
    written = {
        "metadata": {"name": "class-1", "annotations": {names.DEFAULT_GROUP_CLASS: value, names.DEFAULT_CLASS: "true"}},
        "driver": "d",
        "deletionPolicy": "Delete",
    }
    assert msgspec.convert(written, GroupSnapshotClass).is_default is default
