"""What the snapshot-controller knows of the cluster: a store for each kind, with the indexes that plans ask.

A `Stores` is a `snapshotter.plan.cluster.Cluster`: what a plan looks up is found without a walk through all objects.
"""

from collections.abc import Callable, Iterator
from typing import Any

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.model.storage import Claim, Node, Volume
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.runtime.store import Store


class StorageStores:
    """Claims, volumes and nodes."""

    def __init__(self) -> None:
        self.claims: Store[Claim] = Store()
        self.volumes: Store[Volume] = Store()
        self.all_nodes: Store[Node] = Store()
        self._claims_in = self.claims.index(lambda claim: [claim.namespace])
        self._restoring = self.claims.index(lambda claim: claim.restores)
        self._volumes_of = self.volumes.index(_handle)

    def claim(self, key: str) -> Claim | None:
        return self.claims.get(key)

    def claims_in(self, namespace: str) -> tuple[Claim, ...]:
        return self._claims_in.of(namespace)

    def volume(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def volumes_of(self, driver: str, handle: str) -> tuple[Volume, ...]:
        return self._volumes_of.of((driver, handle))

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.all_nodes)

    def trouble_with_claim(self, key: str) -> str | None:
        return _trouble(self.claims, key)

    def troubled_claims_in(self, namespace: str) -> dict[str, str]:
        return {each.key: each.reason for each in self.claims.troubles() if each.key.startswith(f"{namespace}/")}

    def trouble_with_volume(self, name: str) -> str | None:
        return _trouble(self.volumes, name)

    def restoring(self, snapshot_key: str) -> tuple[Claim, ...]:
        return self._restoring.of(snapshot_key)


class SingleStores:
    """VolumeSnapshots, their contents and classes."""

    def __init__(self) -> None:
        self.snapshots: Store[VolumeSnapshot] = Store()
        self.contents: Store[Content] = Store()
        self.classes: Store[SnapshotClass] = Store()
        self.trouble_with_classes: Callable[[], str | None] = lambda: None
        self._of_claim = self.snapshots.index(lambda snapshot: _one(snapshot.claim_key))
        self._of_group = self.snapshots.index(_groups_of)
        self._by_content_name = self.snapshots.index(_content_names)
        self._unready = self.snapshots.index(_unready)
        self._contents_for = self.contents.index(_wanted_by)
        self._contents_of_group = self.contents.index(_group_handle)
        self._defaults = self.classes.index(_default_of)

    def snapshot(self, key: str) -> VolumeSnapshot | None:
        return self.snapshots.get(key)

    def snapshots_of_claim(self, claim_key: str) -> tuple[VolumeSnapshot, ...]:
        return self._of_claim.of(claim_key)

    def members_of(self, group: VolumeGroupSnapshot) -> tuple[VolumeSnapshot, ...]:
        return tuple(
            member
            for member in self._of_group.of(group.key)
            if member.group is not None and member.group.uid in ("", group.uid)
        )

    def concerned_by_group(self, key: str) -> tuple[VolumeSnapshot, ...]:
        """The snapshots that name a group of this key, as their owner or in their status."""
        return self._of_group.of(key)

    def concerned_by_content(self, name: str) -> tuple[VolumeSnapshot, ...]:
        """The snapshots that have a content of this name, or would have it."""
        return self._by_content_name.of(name)

    def unready(self) -> tuple[VolumeSnapshot, ...]:
        return self._unready.of(True)

    def content(self, name: str) -> Content | None:
        return self.contents.get(name)

    def contents_for(self, uid: str) -> tuple[Content, ...]:
        return self._contents_for.of(uid)

    def contents_in_group(self, driver: str, handle: str) -> tuple[Content, ...]:
        """The contents whose snapshots are members of a driver's group snapshot."""
        return self._contents_of_group.of((driver, handle))

    def trouble_with_content(self, name: str) -> str | None:
        return _trouble(self.contents, name)

    def snapshot_class(self, name: str) -> SnapshotClass | None:
        return self.classes.get(name)

    def trouble_with_class(self, name: str) -> str | None:
        return _trouble(self.classes, name) or self.trouble_with_classes()

    def default_classes(self, driver: str) -> tuple[SnapshotClass, ...]:
        return self._defaults.of(driver)


class GroupStores:
    """VolumeGroupSnapshots, their contents and classes."""

    def __init__(self, *, known: bool | None) -> None:
        self.known = known
        self.groups: Store[VolumeGroupSnapshot] = Store()
        self.contents: Store[GroupContent] = Store()
        self.classes: Store[GroupSnapshotClass] = Store()
        self.trouble_with_classes: Callable[[], str | None] = lambda: None
        self._groups_in = self.groups.index(lambda group: [group.namespace])
        self._by_content_name = self.groups.index(_content_names)
        self._unready = self.groups.index(_unready)
        self._contents_for = self.contents.index(_wanted_by)
        self._contents_with = self.contents.index(_own_handle)
        self._defaults = self.classes.index(_default_of)

    def group(self, key: str) -> VolumeGroupSnapshot | None:
        return self.groups.get(key)

    def groups_in(self, namespace: str) -> tuple[VolumeGroupSnapshot, ...]:
        return self._groups_in.of(namespace)

    def concerned_by_content(self, name: str) -> tuple[VolumeGroupSnapshot, ...]:
        """The groups that have a content of this name, or would have it."""
        return self._by_content_name.of(name)

    def unready(self) -> tuple[VolumeGroupSnapshot, ...]:
        return self._unready.of(True)

    def content(self, name: str) -> GroupContent | None:
        return self.contents.get(name)

    def contents_for(self, uid: str) -> tuple[GroupContent, ...]:
        return self._contents_for.of(uid)

    def contents_with(self, driver: str, handle: str) -> tuple[GroupContent, ...]:
        return self._contents_with.of((driver, handle))

    def trouble_with_content(self, name: str) -> str | None:
        return _trouble(self.contents, name)

    def group_class(self, name: str) -> GroupSnapshotClass | None:
        return self.classes.get(name)

    def trouble_with_class(self, name: str) -> str | None:
        return _trouble(self.classes, name) or self.trouble_with_classes()

    def default_classes(self, driver: str) -> tuple[GroupSnapshotClass, ...]:
        return self._defaults.of(driver)


class Stores:
    """The whole cluster, as far as it is watched."""

    def __init__(self, *, groups: bool) -> None:
        """`groups`: whether groups are worked at where they are served."""
        self.storage = StorageStores()
        self.singles = SingleStores()
        self.groups = GroupStores(known=None if groups else False)

    def forget_groups(self) -> None:
        """Nothing is known of groups any more, but that they are to be looked at."""
        self.groups = GroupStores(known=None)


def _trouble(store: Store[Any], key: str) -> str | None:
    found = store.trouble_with(key)
    return None if found is None else found.reason


def _one(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _handle(volume: Volume) -> list[tuple[str, str]]:
    csi = volume.spec.csi
    return [] if csi is None else [(csi.driver, csi.volume_handle)]


def _groups_of(snapshot: VolumeSnapshot) -> set[str]:
    owner = None if snapshot.group is None else snapshot.group.name
    return {f"{snapshot.namespace}/{name}" for name in (owner, snapshot.status.volume_group_snapshot_name) if name}


def _content_names(request: UserSnapshot) -> set[str]:
    return {name for name in (request.bound_name, request.imported_name, request.made_name) if name}


def _unready(request: UserSnapshot) -> Iterator[bool]:
    if not request.ready:
        yield True


def _wanted_by(content: AnyContent) -> list[str]:
    return [content.ref.uid] if content.ref.uid else []


def _group_handle(content: Content) -> list[tuple[str, str]]:
    handle = content.status.volume_group_snapshot_handle
    return [(content.spec.driver, handle)] if handle else []


def _own_handle(content: GroupContent) -> list[tuple[str, str]]:
    return [] if content.handle is None else [(content.spec.driver, content.handle)]


def _default_of(found: AnyClass) -> list[str]:
    return [found.driver] if found.is_default else []
