"""Bodies of the objects that the snapshot-controller makes: contents, and the members of a group."""

import hashlib
from collections.abc import Mapping
from typing import Any

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.group_content import GroupContent, MemberInfo
from snapshotter.model.lifecycle import AnyClass
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.plan.quantities import possible
from snapshotter.plan.secrets import SecretRef

Body = dict[str, Any]


def content_body(
    request: UserSnapshot,
    snapshot_class: AnyClass,
    source: Mapping[str, object],
    secret: SecretRef | None,
    labels: Mapping[str, str],
    *,
    finalizer: str,
    secret_keys: tuple[str, str],
    api_version: str,
    volume_mode: str | None = None,
) -> Body:
    """A content for a request that asks for a cut. It is born with its finalizer, so that nothing can forget it."""
    keys = request.keys
    metadata: Body = {"name": request.made_name, "finalizers": [finalizer]}
    if secret is not None:
        metadata["annotations"] = dict(zip(secret_keys, (secret.name, secret.namespace), strict=True))
    if labels:
        metadata["labels"] = dict(labels)
    spec: Body = {
        keys.content_ref: {
            "apiVersion": api_version,
            "kind": keys.kind,
            "name": request.name,
            "namespace": request.namespace,
            "uid": request.uid,
        },
        "source": dict(source),
        keys.class_name: snapshot_class.name,
        "deletionPolicy": snapshot_class.deletion_policy,
        "driver": snapshot_class.driver,
    }
    if volume_mode is not None:
        spec["sourceVolumeMode"] = volume_mode
    return {"metadata": metadata, "spec": spec}


def member_hash(group_uid: str, volume_handle: str) -> str:
    """What tells the members of groups apart, in the names of a member's objects."""
    return hashlib.sha256(f"{group_uid}{volume_handle}".encode()).hexdigest()


def member_name(group_uid: str, volume_handle: str) -> str:
    """The name of a member's VolumeSnapshot."""
    return f"snapshot-{member_hash(group_uid, volume_handle)}"


def member_content_name(group_uid: str, volume_handle: str) -> str:
    """The name of a member's VolumeSnapshotContent."""
    return f"snapcontent-{member_hash(group_uid, volume_handle)}"


def member_content_of(snapshot_name: str) -> str:
    """The name of the VolumeSnapshotContent of the member whose VolumeSnapshot has this name."""
    return f"snapcontent-{snapshot_name.removeprefix('snapshot-')}"


def member_body(group: VolumeGroupSnapshot, volume_handle: str, claim_name: str | None, policy: str) -> Body:
    """The VolumeSnapshot of a member. Its owner's reference has the version that upstream's controller looks for."""
    finalizers = [names.SOURCE_FINALIZER, names.IN_GROUP_FINALIZER]
    if policy == "Delete":
        finalizers.append(names.BOUND_FINALIZER)
    return {
        "metadata": {
            "name": member_name(group.uid, volume_handle),
            "finalizers": finalizers,
            "ownerReferences": [owner(group)],
        },
        "spec": {"source": {"persistentVolumeClaimName": claim_name or ""}},
    }


def owner(group: VolumeGroupSnapshot) -> Body:
    """The reference by which a VolumeSnapshot names the group that it is a member of."""
    return {
        "apiVersion": f"{names.GROUP_SNAPSHOT_GROUP}/v1",
        "kind": group.keys.kind,
        "name": group.name,
        "uid": group.uid,
    }


def member_content_body(
    group: VolumeGroupSnapshot, content: GroupContent, volume_handle: str, snapshot_uid: str, volume_mode: str | None
) -> Body:
    """The VolumeSnapshotContent of a member. What the group was cut with, it is deleted with."""
    annotations: Body = {names.MEMBER_OF_GROUP: content.handle or ""}
    marks = content.metadata.annotations
    if marks.secret_name and marks.secret_namespace:
        annotations[names.DELETION_SECRET_NAME] = marks.secret_name
        annotations[names.DELETION_SECRET_NAMESPACE] = marks.secret_namespace
    metadata: Body = {
        "name": member_content_name(group.uid, volume_handle),
        "finalizers": [names.CONTENT_FINALIZER],
        "annotations": annotations,
    }
    if content.managed_by is not None:
        metadata["labels"] = {names.MANAGED_BY: content.managed_by}
    spec: Body = {
        "volumeSnapshotRef": {
            "apiVersion": f"{names.SNAPSHOT_GROUP}/{names.SNAPSHOT_VERSION}",
            "kind": "VolumeSnapshot",
            "name": member_name(group.uid, volume_handle),
            "namespace": group.namespace,
            "uid": snapshot_uid,
        },
        "deletionPolicy": content.spec.deletion_policy,
        "driver": content.spec.driver,
        "source": {"volumeHandle": volume_handle},
    }
    if volume_mode is not None:
        spec["sourceVolumeMode"] = volume_mode
    return {"metadata": metadata, "spec": spec}


def member_status(content: Content | None, group_handle: str, info: MemberInfo) -> Mapping[str, object] | None:
    """The keys of a member content's status that are to be as the group's content tells; None when they are.

    Once the member is ready nothing changes any more. Handle and time are set once.
    """
    status = None if content is None else content.status
    if content is not None and content.ready:
        return None
    wanted: dict[str, object] = {
        "snapshotHandle": info.snapshot_handle,
        "volumeGroupSnapshotHandle": group_handle,
        "creationTime": info.creation_time,
        "restoreSize": possible(info.restore_size),
        "readyToUse": info.ready_to_use is True,
    }
    if status is None:
        known: dict[str, object] = {}
    else:
        known = {
            "snapshotHandle": status.snapshot_handle,
            "volumeGroupSnapshotHandle": status.volume_group_snapshot_handle,
            "creationTime": status.creation_time,
            "restoreSize": status.restore_size,
            "readyToUse": status.ready_to_use,
        }
    once = ("snapshotHandle", "volumeGroupSnapshotHandle", "creationTime")
    return {
        key: value
        for key, value in wanted.items()
        if value is not None and value != known.get(key) and not (key in once and known.get(key) is not None)
    } or None
