"""Factories for the objects of the tests: valid ones, of which a test names only what it is about."""

import itertools
from typing import Any

from tests.contract.client import Json

GROUP = "/apis/snapshot.storage.k8s.io/v1"
CONTENTS = f"{GROUP}/volumesnapshotcontents"
CLASSES = f"{GROUP}/volumesnapshotclasses"
SNAPSHOTS = f"{GROUP}/namespaces/default/volumesnapshots"

GROUP_API = "groupsnapshot.storage.k8s.io"
"""The API group of the group kinds. It is served in several versions."""

_RESOURCES = {
    "VolumeSnapshot": "namespaces/default/volumesnapshots",
    "VolumeSnapshotClass": "volumesnapshotclasses",
    "VolumeSnapshotContent": "volumesnapshotcontents",
    "VolumeGroupSnapshot": "namespaces/default/volumegroupsnapshots",
    "VolumeGroupSnapshotClass": "volumegroupsnapshotclasses",
    "VolumeGroupSnapshotContent": "volumegroupsnapshotcontents",
}

_numbers = itertools.count(1)


def new_name(prefix: str = "object") -> str:
    """A name that no other object of this run has."""
    return f"{prefix}-{next(_numbers)}"


def name_of(given: Json) -> str:
    return str(given["metadata"]["name"])


def without(given: Json, *keys: str) -> Json:
    return {key: value for key, value in given.items() if key not in keys}


def content(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **spec: Any) -> Json:
    """A VolumeSnapshotContent that is to be cut from a volume. `omit` leaves out one field of the spec."""
    fields = {
        "deletionPolicy": "Delete",
        "driver": "csi.example.com",
        "source": {"volumeHandle": "vol-1"},
        "volumeSnapshotRef": {"name": "snap", "namespace": "default"},
    }
    return _object("VolumeSnapshotContent", name, metadata, {"spec": without(fields | spec, omit)})


def snapshot(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **spec: Any) -> Json:
    """A VolumeSnapshot of a claim. `omit` leaves out one field of the spec."""
    fields = {"source": {"persistentVolumeClaimName": "claim"}}
    return _object("VolumeSnapshot", name, metadata, {"spec": without(fields | spec, omit)})


def snapshot_class(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **fields: Any) -> Json:
    """A VolumeSnapshotClass. `omit` leaves out one field."""
    body = {"driver": "csi.example.com", "deletionPolicy": "Delete"}
    return _object("VolumeSnapshotClass", name, metadata, without(body | fields, omit))


def group_content(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **spec: Any) -> Json:
    """A VolumeGroupSnapshotContent that is to be cut from two volumes. `omit` leaves out one field of the spec."""
    fields = {
        "deletionPolicy": "Delete",
        "driver": "csi.example.com",
        "source": {"volumeHandles": ["vol-1", "vol-2"]},
        "volumeGroupSnapshotRef": {"name": "group", "namespace": "default"},
    }
    return _group_object("VolumeGroupSnapshotContent", name, metadata, {"spec": without(fields | spec, omit)})


def group_snapshot(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **spec: Any) -> Json:
    """A VolumeGroupSnapshot of the claims with a label. `omit` leaves out one field of the spec."""
    fields = {"source": {"selector": {"matchLabels": {"app": "database"}}}}
    return _group_object("VolumeGroupSnapshot", name, metadata, {"spec": without(fields | spec, omit)})


def group_class(*, name: str | None = None, metadata: Json | None = None, omit: str = "", **fields: Any) -> Json:
    """A VolumeGroupSnapshotClass. `omit` leaves out one field."""
    body = {"driver": "csi.example.com", "deletionPolicy": "Delete"}
    return _group_object("VolumeGroupSnapshotClass", name, metadata, without(body | fields, omit))


def _object(kind: str, name: str | None, metadata: Json | None, body: Json) -> Json:
    meta = {"name": name or new_name(kind.lower())} | (metadata or {})
    return {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": kind, "metadata": meta, **body}


def _group_object(kind: str, name: str | None, metadata: Json | None, body: Json) -> Json:
    return _object(kind, name, metadata, body) | {"apiVersion": f"{GROUP_API}/v1"}


def in_version(given: Json, version: str) -> Json:
    """The same object, written in another version of its group."""
    group, _, _ = given["apiVersion"].partition("/")
    return given | {"apiVersion": f"{group}/{version}"}


def another(given: Json) -> Json:
    """The same object under a name of its own."""
    return given | {"metadata": given["metadata"] | {"name": new_name(given["kind"].lower())}}


def collection_of(given: Json) -> str:
    """Where an object of our groups is created, in the version that it is written in."""
    return f"/apis/{given['apiVersion']}/{_RESOURCES[given['kind']]}"


def path_of(given: Json) -> str:
    """Where an object of our groups is found."""
    return f"{collection_of(given)}/{name_of(given)}"
