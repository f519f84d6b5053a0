"""Contents and classes as they are decoded from the API server's JSON."""

import json
from typing import Any

import msgspec
import pytest

from snapshotter import names
from snapshotter.model.content import Content, ContentStatus, SnapshotClass
from snapshotter.model.lifecycle import StatusError
from tests.factories import content, snapshot_class

FULL: dict[str, Any] = {
    "apiVersion": "snapshot.storage.k8s.io/v1",
    "kind": "VolumeSnapshotContent",
    "metadata": {
        "name": "content-1",
        "uid": "u-1",
        "resourceVersion": "12",
        "generation": 3,
        "deletionTimestamp": "2024-05-06T07:08:09Z",
        "finalizers": ["a", "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"],
        "labels": {"x": "y"},
        "annotations": {
            "snapshot.storage.kubernetes.io/volumesnapshot-being-created": "yes",
            "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "",
            "snapshot.storage.kubernetes.io/deletion-secret-name": "secret-1",
            "snapshot.storage.kubernetes.io/deletion-secret-namespace": "ns-1",
            "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle": "group-1",
            "example.com/other": "x",
        },
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "driver": "mock.csi.example.com",
        "deletionPolicy": "Retain",
        "volumeSnapshotClassName": "class-1",
        "sourceVolumeMode": "Block",
        "source": {"volumeHandle": "vol-1"},
        "volumeSnapshotRef": {"name": "snap", "namespace": "ns", "uid": "u-2", "kind": "VolumeSnapshot"},
    },
    "status": {
        "snapshotHandle": "snap-1",
        "creationTime": 1700000000123456789,
        "restoreSize": 0,
        "readyToUse": False,
        "error": {"message": "no", "time": "2024-01-02T03:04:05Z"},
        "volumeGroupSnapshotHandle": "group-1",
        "theirs": 1,
    },
}


def decode(document: dict[str, Any]) -> Content:
    return msgspec.json.decode(json.dumps(document), type=Content)


def test_the_fields_that_we_read_are_read_and_the_others_passed_over() -> None:
    found = decode(FULL)
    assert found.name == "content-1"
    assert found.metadata.uid == "u-1"
    assert found.metadata.resource_version == "12"
    assert found.deleting
    assert found.protected
    assert found.marked_as_being_created
    assert found.marked_as_being_deleted, "the mark's presence counts, not its value"
    annotations = found.metadata.annotations
    assert (annotations.secret_namespace, annotations.secret_name) == ("ns-1", "secret-1")
    assert found.is_group_member
    assert found.spec.driver == "mock.csi.example.com"
    assert found.spec.deletion_policy == "Retain"
    assert found.class_name == "class-1"
    assert found.volume == "vol-1"
    assert found.imported_handle is None
    assert found.spec.volume_snapshot_ref.uid == "u-2"
    assert found.status == ContentStatus(
        snapshot_handle="snap-1",
        creation_time=1700000000123456789,
        restore_size=0,
        ready_to_use=False,
        error=StatusError(message="no", time="2024-01-02T03:04:05Z"),
        volume_group_snapshot_handle="group-1",
    )
    assert found.handle == "snap-1"
    assert found.has_group_handle
    assert not found.ready


def test_a_bare_content_has_none_of_what_may_be_missing() -> None:
    found = decode(
        {
            "metadata": {"name": "content-1"},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"snapshotHandle": "snap-1"}},
        }
    )
    assert found.written_status is None
    assert found.status == ContentStatus()
    assert found.imported_handle == "snap-1"
    assert (found.volume, found.handle, found.class_name) == (None, None, None)
    assert not any((found.ready, found.deleting, found.protected, found.is_group_member, found.has_group_handle))
    assert not any((found.marked_as_being_created, found.marked_as_being_deleted))


def test_empty_strings_are_nothing() -> None:
    found = content(volume="", imported="", class_name="", handle="", group_handle="")
    assert (found.volume, found.imported_handle, found.handle, found.class_name) == (None, None, None, None)
    assert not found.has_group_handle


@pytest.mark.parametrize("missing", ["driver", "deletionPolicy", "source"])
def test_a_content_without_what_its_schema_requires_is_malformed(missing: str) -> None:
    spec = {key: value for key, value in FULL["spec"].items() if key != missing}
    with pytest.raises(msgspec.ValidationError):
        decode(FULL | {"spec": spec})


def test_an_unknown_policy_is_malformed() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(FULL | {"spec": FULL["spec"] | {"deletionPolicy": "Perhaps"}})


def test_an_error_may_lack_its_message_and_its_time() -> None:
    """Case 26."""
    assert decode(FULL | {"status": {"error": {}}}).status.error == StatusError()


def test_only_true_is_ready() -> None:
    assert [content(handle="snap-1", ready=ready).ready for ready in (None, False, True)] == [False, False, True]
    assert not content(ready=True).ready


def test_the_finalizer_protects_wherever_it_stands() -> None:
    assert content(finalizers=("a", names.CONTENT_FINALIZER, "b")).protected
    assert not content(finalizers=("a", "b")).protected


def test_contents_do_not_change() -> None:
    with pytest.raises(AttributeError):
        content().spec.driver = "another"  # type: ignore[misc]


def test_a_class_has_a_driver_and_perhaps_parameters() -> None:
    bare = msgspec.json.decode(
        b'{"metadata": {"name": "class-1"}, "driver": "d", "deletionPolicy": "Delete"}', type=SnapshotClass
    )
    assert (bare.name, bare.driver, bare.parameters) == ("class-1", "d", {})
    full = msgspec.json.decode(
        b'{"metadata": {"name": "class-1"}, "driver": "d", "deletionPolicy": "Retain", "parameters": {"a": "b"}}',
        type=SnapshotClass,
    )
    assert full.deletion_policy == "Retain"
    assert full.parameters == {"a": "b"}
    assert snapshot_class(parameters={"a": "b"}).parameters == full.parameters


@pytest.mark.parametrize(("value", "default"), [("true", True), ("True", False), ("false", False), ("", False)])
def test_a_class_is_the_default_one_if_its_annotation_is_exactly_true(value: str, default: bool) -> None:
    """Case 71."""
    written = {
        "metadata": {"name": "class-1", "annotations": {names.DEFAULT_CLASS: value, "other": "true"}},
        "driver": "d",
        "deletionPolicy": "Delete",
    }
    assert msgspec.convert(written, SnapshotClass).is_default is default
    assert not snapshot_class().is_default
