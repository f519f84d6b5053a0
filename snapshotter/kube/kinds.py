"""The kinds of objects that are read and written, and where they are served. API versions meet only here."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP, SNAPSHOT_VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A cluster-scoped kind and the struct that its objects are decoded into."""

    group: str
    version: str
    plural: str
    name: str
    type: type[T]

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}/{self.plural}"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


CONTENT = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotcontents", "VolumeSnapshotContent", Content)
SNAPSHOT_CLASS = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotclasses", "VolumeSnapshotClass", SnapshotClass)


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
