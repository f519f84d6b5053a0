"""The objects that users, administrators and the snapshot-controller make, as plain dicts."""

import uuid
from typing import Any, Final

from snapshotter import names
from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.playground.running import DRIVER

CLASS: Final = "bytes"
"""The name of the VolumeSnapshotClass."""

API_VERSION: Final = f"{names.SNAPSHOT_GROUP}/{names.SNAPSHOT_VERSION}"

GROUP_CLASS: Final = "bytes-together"
"""The name of the VolumeGroupSnapshotClass."""

GROUP_API_VERSION: Final = f"{names.GROUP_SNAPSHOT_GROUP}/v1"


def snapshot_class() -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": CLASS},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }


def group_class() -> Json:
    return {
        "apiVersion": GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": GROUP_CLASS},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }


def content_of_volume(name: str, volume: str, *, policy: str = "Delete") -> Json:
    """A content as the controller makes it for a VolumeSnapshot: a new snapshot of the volume is wanted."""
    return _content(name, policy, {"volumeHandle": volume}, volumeSnapshotClassName=CLASS)


def content_of_snapshot(name: str, handle: str, *, policy: str = "Delete") -> Json:
    """A content that brings in a snapshot which is on the storage already."""
    return _content(name, policy, {"snapshotHandle": handle})


def content_of_volumes(name: str, *volumes: str, policy: str = "Delete") -> Json:
    """A group content as the controller makes it: a snapshot of all these volumes at one instant is wanted."""
    return {
        "apiVersion": GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshotContent",
        "metadata": {"name": name, "finalizers": [names.GROUP_CONTENT_FINALIZER]},
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": policy,
            "source": {"volumeHandles": list(volumes)},
            "volumeGroupSnapshotClassName": GROUP_CLASS,
            "volumeGroupSnapshotRef": _ref("VolumeGroupSnapshot", name),
        },
    }


def _content(name: str, policy: str, source: Json, **spec: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name, "finalizers": [names.CONTENT_FINALIZER]},
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": policy,
            "source": source,
            **spec,
            "volumeSnapshotRef": _ref("VolumeSnapshot", name),
        },
    }


def _ref(kind: str, name: str) -> Json:
    return {"kind": kind, "namespace": "default", "name": name, "uid": str(uuid.uuid4())}


async def delete_content(api: KubeClient, name: str) -> None:
    """Delete as the controller does: first the mark that the snapshot may go, then the object."""
    await _delete(api, "VolumeSnapshotContent", name, names.BEING_DELETED)


async def delete_group_content(api: KubeClient, name: str) -> None:
    """The same for a group content."""
    await _delete(api, "VolumeGroupSnapshotContent", name, names.GROUP_BEING_DELETED)


async def _delete(api: KubeClient, kind: str, name: str, mark: str) -> None:
    await api.merge_patch(kind, name, {"metadata": {"annotations": {mark: "yes"}}})
    await api.delete(kind, name)
