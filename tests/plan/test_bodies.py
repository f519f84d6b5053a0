"""The objects that the snapshot-controller makes for the members of a group."""

import hashlib
from typing import Any

import msgspec
import pytest

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.group_content import MemberInfo
from snapshotter.plan.bodies import (
    member_body,
    member_content_body,
    member_content_name,
    member_name,
    member_status,
    owner,
)
from tests.factories import DRIVER
from tests.requests import CREATED_AT_NS, GROUP_UID, group_request, info, made_content, made_group_content

HASH = hashlib.sha256(f"{GROUP_UID}vol-data".encode()).hexdigest()
CONTENT = made_group_content(handle="g")


def test_members_are_named_after_their_group_and_volume() -> None:
    """Case 146."""
    assert member_name(GROUP_UID, "vol-data") == f"snapshot-{HASH}"
    assert member_content_name(GROUP_UID, "vol-data") == f"snapcontent-{HASH}"


@pytest.mark.parametrize(
    ("claim", "policy", "finalizers"),
    [
        ("data", "Delete", [names.SOURCE_FINALIZER, names.IN_GROUP_FINALIZER, names.BOUND_FINALIZER]),
        (None, "Retain", [names.SOURCE_FINALIZER, names.IN_GROUP_FINALIZER]),
    ],
)
def test_the_snapshot_of_a_member(claim: str | None, policy: str, finalizers: list[str]) -> None:
    """Cases 147, 153, W11."""
    reference = {
        "apiVersion": "groupsnapshot.storage.k8s.io/v1",
        "kind": "VolumeGroupSnapshot",
        "name": "group",
        "uid": GROUP_UID,
    }
    assert owner(group_request()) == reference
    assert member_body(group_request(), "vol-data", claim, policy) == {
        "metadata": {"name": f"snapshot-{HASH}", "finalizers": finalizers, "ownerReferences": [reference]},
        "spec": {"source": {"persistentVolumeClaimName": claim or ""}},
    }


def test_the_content_of_a_member() -> None:
    """Case 146."""
    assert member_content_body(group_request(), CONTENT, "vol-data", "uid-of-snapshot", "Block") == {
        "metadata": {
            "name": f"snapcontent-{HASH}",
            "finalizers": [names.CONTENT_FINALIZER],
            "annotations": {names.MEMBER_OF_GROUP: "g"},
        },
        "spec": {
            "volumeSnapshotRef": {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "name": f"snapshot-{HASH}",
                "namespace": "shop",
                "uid": "uid-of-snapshot",
            },
            "deletionPolicy": "Delete",
            "driver": DRIVER,
            "source": {"volumeHandle": "vol-data"},
            "sourceVolumeMode": "Block",
        },
    }


def test_the_content_of_a_member_has_the_groups_secret_and_node() -> None:
    """Cases 128, 148, W14, W16."""
    content = made_group_content(handle="g", secret=("secrets", "key"), node="node-1")
    metadata = member_content_body(group_request(), content, "vol-data", "u", None)["metadata"]
    assert metadata["annotations"] == {
        names.MEMBER_OF_GROUP: "g",
        names.DELETION_SECRET_NAMESPACE: "secrets",
        names.DELETION_SECRET_NAME: "key",
    }
    assert metadata["labels"] == {names.MANAGED_BY: "node-1"}
    assert "sourceVolumeMode" not in member_content_body(group_request(), content, "vol-data", "u", None)["spec"]


ALL = {
    "snapshotHandle": "snap-of-vol-data",
    "volumeGroupSnapshotHandle": "g",
    "creationTime": CREATED_AT_NS,
    "restoreSize": 5,
    "readyToUse": True,
}
KNOWN: dict[str, Any] = {
    "handle": "snap-of-vol-data",
    "group_handle": "g",
    "created_ns": CREATED_AT_NS,
    "size_bytes": 5,
    "ready": False,
}
STATUS: dict[str, tuple[Content | None, dict[str, Any], dict[str, Any] | None]] = {
    "there is no content yet": (None, info("vol-data"), ALL),
    "the content says nothing yet": (made_content(), info("vol-data"), ALL),
    "all but readiness is known": (made_content(**KNOWN), info("vol-data"), {"readyToUse": True}),
    "it is not ready, and that is known": (made_content(**KNOWN), info("vol-data", ready=False), None),
    "what the driver does not say is not told": (
        made_content(),
        info("vol-data", ready=None, created_ns=None, size_bytes=None),
        {"snapshotHandle": "snap-of-vol-data", "volumeGroupSnapshotHandle": "g", "readyToUse": False},
    ),
    "the size follows the driver until it is ready": (
        made_content(**KNOWN),
        info("vol-data", ready=False, size_bytes=7),
        {"restoreSize": 7},
    ),
    "handle and time are told once": (
        made_content(**KNOWN),
        info("vol-data", ready=False, snapshot="another", created_ns=1),
        None,
    ),
    "a member that is ready stays as it is": (
        made_content(**{**KNOWN, "ready": True}),
        info("vol-data", ready=False, size_bytes=7),
        None,
    ),
}


@pytest.mark.parametrize(("content", "told", "expected"), STATUS.values(), ids=STATUS.keys())
def test_the_status_of_a_member_is_what_its_group_tells(
    content: Content | None, told: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """Cases 145, 146, W15."""
    assert member_status(content, "g", msgspec.convert(told, MemberInfo)) == expected
