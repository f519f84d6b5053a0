"""The objects that users, administrators and the snapshot-controller make, as plain dicts."""

import uuid
from typing import Any, Final

from snapshotter import names
from snapshotter.testing.client import Json
from snapshotter.testing.playground.running import DRIVER

STORAGE_CLASS: Final = "bytes"
CLASS: Final = "bytes"
"""The name of the VolumeSnapshotClass."""
GROUP_CLASS: Final = "bytes-together"
"""The name of the VolumeGroupSnapshotClass."""

API_VERSION: Final = f"{names.SNAPSHOT_GROUP}/{names.SNAPSHOT_VERSION}"
GROUP_API_VERSION: Final = f"{names.GROUP_SNAPSHOT_GROUP}/v1"


def storage_class() -> Json:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": DRIVER,
    }


def claim(name: str, size_bytes: int, *, snapshot: str | None = None, **labels: str) -> Json:
    """A volume is wanted; with a snapshot one that begins with what that holds."""
    spec: Json = {
        "storageClassName": STORAGE_CLASS,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(size_bytes)}},
    }
    if snapshot is not None:
        spec["dataSource"] = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name, "labels": labels}, "spec": spec}


def snapshot_class(name: str = CLASS, *, policy: str = "Delete") -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": name},
        "driver": DRIVER,
        "deletionPolicy": policy,
    }


def snapshot(name: str, claim: str, *, class_name: str = CLASS) -> Json:
    """A snapshot of a claim is wanted."""
    source = {"persistentVolumeClaimName": claim}
    return _snapshot(name, {"source": source, "volumeSnapshotClassName": class_name})


def snapshot_of_content(name: str, content: str) -> Json:
    """A snapshot that an administrator brings in."""
    return _snapshot(name, {"source": {"volumeSnapshotContentName": content}})


def _snapshot(name: str, spec: Json) -> Json:
    return {"apiVersion": API_VERSION, "kind": "VolumeSnapshot", "metadata": {"name": name}, "spec": spec}


def group_class() -> Json:
    return {
        "apiVersion": GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": GROUP_CLASS},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }


def group(name: str, **labels: str) -> Json:
    """Snapshots of all claims with these labels are wanted, cut at one instant."""
    return {
        "apiVersion": GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshot",
        "metadata": {"name": name},
        "spec": {"volumeGroupSnapshotClassName": GROUP_CLASS, "source": {"selector": {"matchLabels": labels}}},
    }


def content_of_volume(name: str, volume: str, *, policy: str = "Delete") -> Json:
    """A content as the controller makes it for a VolumeSnapshot: a new snapshot of the volume is wanted."""
    given = _content(name, policy, {"volumeHandle": volume}, volumeSnapshotClassName=CLASS)
    given["metadata"]["finalizers"] = [names.CONTENT_FINALIZER]
    given["spec"]["volumeSnapshotRef"]["uid"] = str(uuid.uuid4())
    return given


def content_of_snapshot(name: str, handle: str, *, policy: str = "Delete") -> Json:
    """A content by which an administrator brings in a snapshot for the VolumeSnapshot of the same name."""
    return _content(name, policy, {"snapshotHandle": handle})


def _content(name: str, policy: str, source: Json, **spec: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name},
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": policy,
            "source": source,
            **spec,
            "volumeSnapshotRef": {"kind": "VolumeSnapshot", "namespace": "default", "name": name},
        },
    }
