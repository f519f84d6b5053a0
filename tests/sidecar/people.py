"""Everybody in the cluster but the sidecar: users, the snapshot-controller, an administrator, a rogue.

They write past HTTP, so that it is known of each write whose it was.
"""

import itertools
from collections.abc import Mapping

from snapshotter import names
from snapshotter.testing.apiserver import ApiError, ApiServer
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.targets import DeleteOptions, Target, WriteOptions
from snapshotter.testing.driver import Driver
from tests.sidecar.chronicle import Chronicle
from tests.sidecar.lives import Life
from tests.world import DRIVER, SINGLE, Kind

OTHER_DRIVER = "other.csi.example.com"
LIST_SECRET = {names.LIST_SECRET_NAME: "credentials", names.LIST_SECRET_NAMESPACE: "default"}

_numbers = itertools.count(1)


class People:
    """What they do. Who asks for what the API refuses has done nothing."""

    def __init__(self, server: ApiServer, driver: Driver, chronicle: Chronicle) -> None:
        self._server = server
        self._driver = driver
        self._chronicle = chronicle

    # Objects in general.

    def create(self, plural: str, body: Json, namespace: str = "") -> Json:
        with self._chronicle.written_by("user"):
            return self._server.create(plural, body, namespace)

    def merge(self, plural: str, name: str, patch: Json, *, namespace: str = "", subresource: str = "") -> bool:
        """Apply a merge patch; False if the API refuses it."""
        target = self._target(plural, name, namespace, subresource)
        with self._chronicle.written_by("user"):
            try:
                self._server._registry.patch(target, "merge", patch, WriteOptions())
            except ApiError:
                return False
        return True

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        with self._chronicle.written_by("user"):
            self._server._registry.delete(self._target(plural, name, namespace), DeleteOptions())

    def _target(self, plural: str, name: str, namespace: str = "", subresource: str = "") -> Target:
        kind = self._server._catalogue.of_plural(plural)
        return Target(kind, kind.storage, namespace, name, subresource)

    # Classes and Secrets.

    def set_class(
        self, kind: Kind, name: str, driver: str = DRIVER, parameters: Mapping[str, str] | None = None
    ) -> None:
        """Make a class as it should be, in the place of what there is."""
        self.remove_class(kind, name)
        body = {"metadata": {"name": name}, "driver": driver, "deletionPolicy": "Delete"}
        self.create(_classes(kind), body | {"parameters": dict(parameters or {})})

    def remove_class(self, kind: Kind, name: str) -> None:
        if self._server.get(_classes(kind), name) is not None:
            self.delete(_classes(kind), name)

    def set_secret(self, name: str, **values: str) -> None:
        self.remove_secret(name)
        self.create("secrets", {"metadata": {"name": name}, "stringData": values}, "default")

    def remove_secret(self, name: str) -> None:
        if self._server.get("secrets", name, "default") is not None:
            self.delete("secrets", name, "default")

    # Contents.

    def make_content(
        self,
        kind: Kind,
        name: str,
        source: Json,
        *,
        policy: str = "Delete",
        class_name: str | None = "class",
        driver: str = DRIVER,
        annotations: Mapping[str, str] | None = None,
        finalizers: tuple[str, ...] = (),
        bound: bool = True,
    ) -> Life:
        """A content as the snapshot-controller makes it, or an administrator who imports."""
        uid = f"00000000-0000-0000-0000-{next(_numbers):012}"
        ref = {"name": name, "namespace": "default"} | ({"uid": uid} if bound else {})
        spec: Json = {"driver": driver, "deletionPolicy": policy, "source": source, kind.ref: ref}
        if class_name is not None:
            spec[kind.class_name] = class_name
        metadata = {"name": name, "finalizers": list(finalizers), "annotations": dict(annotations or {})}
        made = self.create(kind.plural, {"metadata": metadata, "spec": spec})
        return self._chronicle.lives[made["metadata"]["uid"]]

    def bind(self, life: Life) -> None:
        """Fill in the uid of the snapshot that an import is for."""
        self.edit(life, {"spec": {life.kind.ref: {"uid": f"00000000-0000-0000-0000-{next(_numbers):012}"}}})

    def edit(self, life: Life, patch: Json) -> bool:
        return self.merge(life.kind.plural, life.name, patch)

    def edit_status(self, life: Life, status: Json) -> bool:
        return self.merge(life.kind.plural, life.name, {"status": status}, subresource="status")

    def annotate(self, life: Life, key: str, value: str | None) -> None:
        self.edit(life, {"metadata": {"annotations": {key: value}}})

    def mark(self, life: Life) -> None:
        """Say, as the controller does, that what the content is for is deleted."""
        self.annotate(life, life.kind.being_deleted, "yes")

    def delete_content(self, life: Life) -> None:
        if not life.gone:
            self.delete(life.kind.plural, life.name)

    def set_finalizer(self, life: Life, finalizer: str, *, there: bool) -> None:
        kept = [name for name in life.last.finalizers if name != finalizer]
        self.edit(life, {"metadata": {"finalizers": [*kept, finalizer] if there else kept}})

    def record_member(self, life: Life) -> None:
        """Tell a member of a group what its group's content says of it."""
        group = self._driver.groups.get(life.last.annotations[names.MEMBER_OF_GROUP])
        found = [self._driver.snapshots[handle] for handle in group.snapshot_ids] if group is not None else []
        for member in found:
            if member.volume_id in life.last.volumes and group is not None:
                self.edit_status(life, {"snapshotHandle": member.id, "volumeGroupSnapshotHandle": group.id})

    # The storage.

    def store_by_hand(self, kind: Kind) -> tuple[str, tuple[str, ...]]:
        """Something on the storage that nobody has asked the sidecar for: its handle, and those of its members."""
        store, name, now_ns = self._driver._store, f"by-hand-{next(_numbers)}", 1_700_000_000_000_000_000
        if kind is SINGLE:
            made = store.create_snapshot(name, store.volumes.by_id["vol"], created_at_ns=now_ns, ready_at_ns=now_ns)
            return made.id, ()
        members = [(store.volumes.by_id[volume], now_ns) for volume in ("vol", "vol2")]
        group = store.create_group(name, members, created_at_ns=now_ns)
        return group.id, tuple(group.snapshot_ids)


def source_of(kind: Kind, volume: str) -> Json:
    """The source of a content that asks for a cut."""
    return {"volumeHandle": volume} if kind is SINGLE else {"volumeHandles": [volume, "vol2"]}


def import_of(kind: Kind, handle: str, members: tuple[str, ...]) -> Json:
    if kind is SINGLE:
        return {"snapshotHandle": handle}
    return {
        "groupSnapshotHandles": {
            "volumeGroupSnapshotHandle": handle,
            "volumeSnapshotHandles": list(members) or ["gone"],
        }
    }


def secret_annotations(kind: Kind, name: str | None) -> dict[str, str]:
    """The annotations that name a Secret; half of them for an empty name."""
    if name is None:
        return {}
    return {kind.secret_name: name, kind.secret_namespace: "default"} if name else {kind.secret_namespace: "default"}


def _classes(kind: Kind) -> str:
    return f"{kind.snapshot_class.lower()}es"
