"""The objects that users, administrators and the snapshot-controller make, as plain dicts."""

import uuid
from typing import Any, Final

from snapshotter import names
from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.playground.running import DRIVER

CLASS: Final = "bytes"
"""The name of the VolumeSnapshotClass."""

API_VERSION: Final = f"{names.SNAPSHOT_GROUP}/{names.SNAPSHOT_VERSION}"


def snapshot_class() -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": CLASS},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }


def content_of_volume(name: str, volume: str, *, policy: str = "Delete") -> Json:
    """A content as the controller makes it for a VolumeSnapshot: a new snapshot of the volume is wanted."""
    return _content(name, policy, {"volumeHandle": volume}, volumeSnapshotClassName=CLASS)


def content_of_snapshot(name: str, handle: str, *, policy: str = "Delete") -> Json:
    """A content that brings in a snapshot which is on the storage already."""
    return _content(name, policy, {"snapshotHandle": handle})


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
            "volumeSnapshotRef": {
                "kind": "VolumeSnapshot",
                "namespace": "default",
                "name": name,
                "uid": str(uuid.uuid4()),
            },
        },
    }


async def delete_content(api: KubeClient, name: str) -> None:
    """Delete as the controller does: first the mark that the snapshot may go, then the object."""
    mark = {"metadata": {"annotations": {names.BEING_DELETED: "yes"}}}
    await api.merge_patch("VolumeSnapshotContent", name, mark)
    await api.delete("VolumeSnapshotContent", name)
