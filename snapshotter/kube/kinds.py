"""The kinds of objects that are read and written, and where they are served. API versions meet only here."""

from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.storage import Claim, Node, Volume
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP, SNAPSHOT_VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind and the struct that its objects are decoded into."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    name: str
    type: type[T]

    @property
    def path(self) -> str:
        """Where all objects of the kind are listed, in all namespaces."""
        return f"{self._root}/{self.plural}"

    def path_of(self, key: str) -> str:
        """Where one object is, by its key."""
        # What no object should be called must not lead elsewhere.
        namespace, slash, name = quote(key).rpartition("/")
        return f"{self._root}/namespaces/{namespace}/{self.plural}/{name}" if slash else f"{self.path}/{name}"

    def path_in(self, namespace: str) -> str:
        """Where objects are created: in a namespace, or in none when that is empty."""
        return f"{self._root}/namespaces/{namespace}/{self.plural}" if namespace else self.path

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def _root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", Claim)
VOLUME = Kind("", "v1", "persistentvolumes", "PersistentVolume", Volume)
NODE = Kind("", "v1", "nodes", "Node", Node)

SNAPSHOT = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshots", "VolumeSnapshot", VolumeSnapshot)
CONTENT = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotcontents", "VolumeSnapshotContent", Content)
SNAPSHOT_CLASS = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotclasses", "VolumeSnapshotClass", SnapshotClass)


def group_snapshot(version: str) -> Kind[VolumeGroupSnapshot]:
    """VolumeGroupSnapshots in one of the versions that we speak."""
    return Kind(GROUP_SNAPSHOT_GROUP, version, "volumegroupsnapshots", "VolumeGroupSnapshot", VolumeGroupSnapshot)


def group_content(version: str) -> Kind[GroupContent]:
    """Group contents in one of the versions that we speak."""
    return Kind(
        GROUP_SNAPSHOT_GROUP, version, "volumegroupsnapshotcontents", "VolumeGroupSnapshotContent", GroupContent
    )


def group_class(version: str) -> Kind[GroupSnapshotClass]:
    """Group classes in one of the versions that we speak."""
    return Kind(
        GROUP_SNAPSHOT_GROUP, version, "volumegroupsnapshotclasses", "VolumeGroupSnapshotClass", GroupSnapshotClass
    )
