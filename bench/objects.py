"""The objects of a measurement, and where they are served."""

from dataclasses import dataclass
from typing import Any

from bench.driver import NAME
from snapshotter import names

Json = dict[str, Any]

CLASS = "bench"
GROUP_SIZE = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of contents."""

    group: str
    version: str
    plural: str
    name: str
    finalizer: str
    being_created: str
    being_deleted: str

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}/{self.plural}"

    @property
    def class_path(self) -> str:
        return self.path.replace("contents", "classes")


SINGLE = Kind(
    names.SNAPSHOT_GROUP,
    "v1",
    "volumesnapshotcontents",
    "VolumeSnapshotContent",
    names.CONTENT_FINALIZER,
    names.BEING_CREATED,
    names.BEING_DELETED,
)
GROUP = Kind(
    names.GROUP_SNAPSHOT_GROUP,
    "v1beta2",  # the version that is stored
    "volumegroupsnapshotcontents",
    "VolumeGroupSnapshotContent",
    names.GROUP_CONTENT_FINALIZER,
    names.GROUP_BEING_CREATED,
    names.GROUP_BEING_DELETED,
)
KINDS = (SINGLE, GROUP)

SOMEBODY_ELSE = "another.csi.example.com"


def snapshot_class(kind: Kind) -> Json:
    """A class of our driver."""
    return {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.name.replace("Content", "Class"),
        "metadata": {"name": CLASS},
        "driver": NAME,
        "deletionPolicy": "Delete",
    }


def content(kind: Kind, name: str, driver: str = NAME) -> Json:
    """A content that is to be cut, as the snapshot-controller makes it."""
    single = kind is SINGLE
    reference = {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.name.removesuffix("Content"),
        "name": f"snapshot-of-{name}",
        "namespace": "default",
        "uid": uid(name),
        "resourceVersion": "1",
    }
    volumes = [f"volume-{number}" for number in range(GROUP_SIZE)]
    return {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.name,
        "metadata": {"name": name, "finalizers": [kind.finalizer]},
        "spec": {
            "driver": driver,
            "deletionPolicy": "Delete",
            "source": {"volumeHandle": volumes[0]} if single else {"volumeHandles": volumes},
            "volumeSnapshotClassName" if single else "volumeGroupSnapshotClassName": CLASS,
            "volumeSnapshotRef" if single else "volumeGroupSnapshotRef": reference,
        },
    }


def uid(name: str) -> str:
    """The uid of the request for a content of this name; the snapshot on the storage is named by it."""
    return f"00000000-0000-4000-8000-uid-of-{name}"


def snapshot_name(name: str) -> str:
    """How the driver is asked to name the snapshot for a content."""
    return f"snapshot-{uid(name)}"


def status(name: str) -> Json:
    """The status of a content whose snapshot is ready."""
    return {
        "snapshotHandle": snapshot_name(name),
        "creationTime": 1_790_000_000_000_000_000,
        "restoreSize": 1 << 30,
        "readyToUse": True,
    }
