"""When a request is due: on any change, by others or by ourselves, after which there is something to do for it.

Whom a change concerns is found through the indexes of the stores, so a change costs no walk through all requests,
except for changes of classes and volumes, which concern those that are not ready.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol, TypeVar

from snapshotter.controller.stores import Stores
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.meta import key_of
from snapshotter.model.storage import Claim, Volume
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.claims import groups_concerned
from snapshotter.runtime.store import Store, Versioned
from snapshotter.runtime.workqueue import WorkQueue

T = TypeVar("T", bound=Versioned)


class Judge(Protocol):
    """Who knows whether there is something to do for a key."""

    def worth_a_look(self, key: str) -> bool: ...


class Desk:
    """A queue, and who knows what belongs into it.

    A key that is with a worker is left alone: at the end of its pass the worker looks at what is to be done then.
    """

    def __init__(self, queue: WorkQueue[str], judge: Judge) -> None:
        self._queue = queue
        self._judge = judge

    def consider(self, key: str) -> None:
        """Make a key due if there is something to do for it."""
        if not self._queue.is_working(key) and self._judge.worth_a_look(key):
            self._queue.add(key)

    def consider_all(self, objects: Iterable[UserSnapshot | AnyContent]) -> None:
        for each in objects:
            self.consider(each.key)

    def drop(self, key: str) -> None:
        """What the key stood for is gone."""
        self._queue.drop(key)


class Wakeups:
    """Hears of changes of every kind, and considers whom they concern. The groups' desks may be missing."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.snapshots: Desk | None = None
        self.contents: Desk | None = None
        self.groups: Desk | None = None
        self.group_contents: Desk | None = None

    def snapshot_changed(self, old: VolumeSnapshot | None, new: VolumeSnapshot | None) -> None:
        self._consider(self.snapshots, _keys(old, new))
        self._consider(
            self.groups,
            {
                key_of(each.namespace, each.group.name)
                for each in (old, new)
                if each is not None and each.group is not None
            },
        )
        if new is None and old is not None and old.claim_key is not None:
            self._let_go(self._stores.storage.claim(old.claim_key))

    def content_changed(self, old: Content | None, new: Content | None) -> None:
        self._consider(self.contents, _keys(old, new))
        for content in (old, new):
            if content is not None:
                concerned = self._stores.singles.concerned_by_content(content.name)
                self._consider(self.snapshots, {each.key for each in concerned} | {_ref(content)})
                self._groups_with_member(content)

    def class_changed(self, _old: SnapshotClass | None, _new: SnapshotClass | None) -> None:
        self._consider(self.snapshots, {each.key for each in self._stores.singles.unready()})

    def claim_changed(self, old: Claim | None, new: Claim | None) -> None:
        for claim in (old, new):
            if claim is not None:
                self._claim_concerns(claim)
        restored = {key for claim in (old, new) if claim is not None for key in claim.restores}
        self._consider(self.snapshots, restored)
        for key in restored:
            snapshot = self._stores.singles.snapshot(key)
            if snapshot is not None and snapshot.group is not None:
                self._consider(self.groups, {key_of(snapshot.namespace, snapshot.group.name)})

    def volume_changed(self, old: Volume | None, new: Volume | None) -> None:
        for volume in (old, new):
            if volume is not None and volume.spec.claim_ref is not None:
                ref = volume.spec.claim_ref
                claim = self._stores.storage.claim(key_of(ref.namespace, ref.name))
                if claim is not None:
                    self._claim_concerns(claim)
        self._consider(self.groups, {each.key for each in self._stores.groups.unready()})

    def group_changed(self, old: VolumeGroupSnapshot | None, new: VolumeGroupSnapshot | None) -> None:
        self._consider(self.groups, _keys(old, new))
        for key in _keys(old, new):
            self._consider(self.snapshots, {each.key for each in self._stores.singles.concerned_by_group(key)})
        if new is None and old is not None:
            for claim in self._stores.storage.claims_in(old.namespace):
                self._let_go(claim)

    def group_content_changed(self, old: GroupContent | None, new: GroupContent | None) -> None:
        self._consider(self.group_contents, _keys(old, new))
        for content in (old, new):
            if content is None:
                continue
            concerned = self._stores.groups.concerned_by_content(content.name)
            self._consider(self.groups, {each.key for each in concerned} | {_ref(content)})
            if content.handle is not None:
                members = self._stores.singles.contents_in_group(content.spec.driver, content.handle)
                self._consider(self.snapshots, {_ref(member) for member in members})

    def group_class_changed(self, _old: GroupSnapshotClass | None, _new: GroupSnapshotClass | None) -> None:
        self._consider(self.groups, {each.key for each in self._stores.groups.unready()})

    # What cannot be read may be what somebody waits for.

    def content_set_aside(self, name: str) -> None:
        self._consider(self.snapshots, {each.key for each in self._stores.singles.concerned_by_content(name)})

    def group_content_set_aside(self, name: str) -> None:
        self._consider(self.groups, {each.key for each in self._stores.groups.concerned_by_content(name)})

    def claim_set_aside(self, key: str) -> None:
        self._consider(self.snapshots, {each.key for each in self._stores.singles.snapshots_of_claim(key)})
        self._consider(self.groups, {each.key for each in self._stores.groups.groups_in(key.partition("/")[0])})

    def consider_everything(self) -> None:
        """Look at everything once, such as after the first lists."""
        singles, groups = self._stores.singles, self._stores.groups
        self._consider(self.snapshots, _all(singles.snapshots))
        self._consider(self.contents, _all(singles.contents))
        self._consider(self.groups, _all(groups.groups))
        self._consider(self.group_contents, _all(groups.contents))

    async def resync(self, period: float) -> None:
        """Look at everything again, every so many seconds."""
        while True:
            await asyncio.sleep(period)
            self.consider_everything()

    def _claim_concerns(self, claim: Claim) -> None:
        singles = self._stores.singles
        self._consider(self.snapshots, {each.key for each in singles.snapshots_of_claim(claim.key)})
        self._consider(self.groups, {group.key for group in groups_concerned(claim, self._stores)})

    def _let_go(self, claim: Claim | None) -> None:
        """One who may have needed a claim is gone: others may have kept it for that one alone."""
        if claim is not None and claim.protected:
            self._claim_concerns(claim)

    def _groups_with_member(self, content: Content) -> None:
        snapshot = self._stores.singles.snapshot(_ref(content))
        if snapshot is not None and snapshot.group is not None:
            self._consider(self.groups, {key_of(snapshot.namespace, snapshot.group.name)})

    @staticmethod
    def _consider(desk: Desk | None, keys: Iterable[str]) -> None:
        if desk is not None:
            for key in keys:
                desk.consider(key)


def _all(store: Store[T]) -> set[str]:
    """The keys of all objects, also of those that cannot be read."""
    return {each.key for each in (*store, *store.troubles())}


def _keys(old: UserSnapshot | AnyContent | None, new: UserSnapshot | AnyContent | None) -> set[str]:
    return {each.key for each in (old, new) if each is not None}


def _ref(content: AnyContent) -> str:
    return key_of(content.ref.namespace, content.ref.name)
