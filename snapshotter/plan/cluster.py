"""What a plan of the snapshot-controller may look up: the stores, seen through their indexes.

`snapshotter.controller.cluster` answers from memory, so a plan waits for nothing and reads nothing from the API server.
"""

from typing import Protocol

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.storage import Claim, Node, Volume
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot


class Storage(Protocol):
    """Kubernetes' own storage objects, and who of ours is at them."""

    def claim(self, key: str) -> Claim | None: ...
    def claims_in(self, namespace: str) -> tuple[Claim, ...]: ...
    def volume(self, name: str) -> Volume | None: ...
    def volumes_of(self, driver: str, handle: str) -> tuple[Volume, ...]:
        """The volumes that a driver knows by this handle; more than one is somebody's mistake."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """The nodes by name; none unless snapshotting is distributed."""
        ...

    def restoring(self, snapshot_key: str) -> tuple[Claim, ...]:
        """The claims that wait to be filled from a VolumeSnapshot."""
        ...


class Singles(Protocol):
    """VolumeSnapshots, their contents and classes."""

    def snapshot(self, key: str) -> VolumeSnapshot | None: ...
    def snapshots_of_claim(self, claim_key: str) -> tuple[VolumeSnapshot, ...]: ...
    def members_of(self, group: VolumeGroupSnapshot) -> tuple[VolumeSnapshot, ...]:
        """The snapshots that name this very group as their owner."""
        ...

    def content(self, name: str) -> Content | None: ...
    def contents_for(self, uid: str) -> tuple[Content, ...]:
        """The contents that refer to the request with this uid."""
        ...

    def snapshot_class(self, name: str) -> SnapshotClass | None: ...
    def default_classes(self, driver: str) -> tuple[SnapshotClass, ...]: ...


class Groups(Protocol):
    """VolumeGroupSnapshots, their contents and classes."""

    @property
    def known(self) -> bool | None:
        """Whether groups are worked at; if not, nothing follows from a group's not being found.

        None: that is still to be found out, and whoever may depend on a group has to wait.
        """
        ...

    def group(self, key: str) -> VolumeGroupSnapshot | None: ...
    def groups_in(self, namespace: str) -> tuple[VolumeGroupSnapshot, ...]: ...
    def content(self, name: str) -> GroupContent | None: ...
    def contents_for(self, uid: str) -> tuple[GroupContent, ...]: ...
    def contents_with(self, driver: str, handle: str) -> tuple[GroupContent, ...]:
        """The contents of a driver's group snapshot with this handle."""
        ...

    def group_class(self, name: str) -> GroupSnapshotClass | None: ...
    def default_classes(self, driver: str) -> tuple[GroupSnapshotClass, ...]: ...


class Cluster(Protocol):
    """Everything that a plan may look up."""

    @property
    def storage(self) -> Storage: ...
    @property
    def singles(self) -> Singles: ...
    @property
    def groups(self) -> Groups: ...
