"""The kinds of objects that are read and written, and where they are served. API versions meet only here."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from snapshotter import names
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.names import SNAPSHOT_GROUP, SNAPSHOT_VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A cluster-scoped kind and the struct that its objects are decoded into."""

    group: str
    version: str
    plural: str
    name: str
    type: type[T]
    delete_pending: str = names.DELETE_PENDING
    """The reason of the event that says what a deletion waits for."""

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}/{self.plural}"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


CONTENT = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotcontents", "VolumeSnapshotContent", Content)
SNAPSHOT_CLASS = Kind(SNAPSHOT_GROUP, SNAPSHOT_VERSION, "volumesnapshotclasses", "VolumeSnapshotClass", SnapshotClass)
