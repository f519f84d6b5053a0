"""What a cluster's own controllers do in the background: owners, namespaces and definitions that go away.

* An object goes when all of its owners are gone; with `Foreground` the owner waits for it, with `Orphan` it stays.
* A namespace takes its objects with it, a definition the objects of its kind.
* A claim or volume that is not in use is not kept.
* A quota tells how much of it is used.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence

from snapshotter.testing.apiserver.builtin import PROTECTION_FINALIZERS
from snapshotter.testing.apiserver.definitions import CLEANUP_FINALIZER
from snapshotter.testing.apiserver.kinds import CRD_GROUP, CRD_PLURAL, Kind
from snapshotter.testing.apiserver.metadata import is_terminating
from snapshotter.testing.apiserver.notes import Notes, settled
from snapshotter.testing.apiserver.quotas import QUOTAS, usage
from snapshotter.testing.apiserver.registry import Registry
from snapshotter.testing.apiserver.status import ApiError, Json
from snapshotter.testing.apiserver.store import Change, Key, Resource, Stored
from snapshotter.testing.apiserver.targets import DeleteOptions, Target
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls

_NAMESPACES = ("", "namespaces")
_DEFINITIONS = (CRD_GROUP, CRD_PLURAL)
_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
_AGAIN_SECONDS = 1.0


class Housekeeping:
    """Follows the changes of the store and tidies up after them; `run` it as a task."""

    def __init__(self, registry: Registry, calls: WebhookCalls) -> None:
        self._calls = calls
        self._registry = registry
        self._store = registry.store
        self._dependents: dict[str, set[tuple[Resource, Key]]] = {}
        """The objects that name an owner, by the owner's uid."""
        self._places: dict[str, tuple[Resource, Key]] = {}
        """Where the object of a uid is; all that exist."""
        self._due: dict[tuple[Resource, Key], None] = {}
        """Objects to look at, in the order in which they came up."""
        self._wake = asyncio.Event()
        self._store.listen(self._note)

    def _note(self, resource: Resource, change: Change) -> None:
        metadata = change.new.object["metadata"]
        uid = metadata["uid"]
        owners = _owners(change.new)
        place = (resource, change.new.key)
        if change.type == "DELETED":
            self._places.pop(uid, None)
            self._look_at(*self._dependents.pop(uid, ()))
            for owner in owners:
                self._dependents.get(owner["uid"], set()).discard(place)
                if owner["uid"] in self._places:  # it may be waiting for its dependents
                    self._look_at(self._places[owner["uid"]])
        else:
            self._places[uid] = place
            for owner in owners:
                self._dependents.setdefault(owner["uid"], set()).add(place)
            if owners or is_terminating(change.new.object):
                self._look_at(place)
        if change.type == "DELETED" or is_terminating(change.new.object):
            self._look_at(*self._containers(resource, change.new))
        if resource == QUOTAS or change.type != "MODIFIED":
            self._look_at(*((QUOTAS, quota.key) for quota in self._quotas_of(change.new)))

    def _quotas_of(self, stored: Stored) -> Sequence[Stored]:
        """The quotas that may count the object."""
        namespace = stored.key[0]
        return self._store.all(QUOTAS, namespace) if namespace and self._store.has_any(QUOTAS) else ()

    def _look_at(self, *places: tuple[Resource, Key]) -> None:
        for place in places:
            self._due[place] = None
        if self._due:
            self._wake.set()

    def _containers(self, resource: Resource, stored: Stored) -> Iterator[tuple[Resource, Key]]:
        """The namespace and the definition of an object: they may be waiting for it to go."""
        if stored.key[0]:
            yield _NAMESPACES, ("", stored.key[0])
        group, plural = resource
        yield _DEFINITIONS, ("", f"{plural}.{group}")

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            for place in due:
                await self._tidy_up(place)
            await asyncio.sleep(0)

    async def _tidy_up(self, place: tuple[Resource, Key]) -> None:
        try:
            await settled(lambda notes: self._tidy(place, notes), self._calls)
        except ApiError:
            # Only a webhook that is away refuses anything here.
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._look_at, place)

    def _tidy(self, place: tuple[Resource, Key], notes: Notes) -> None:
        resource, key = place
        stored = self._store.get(resource, key)
        if stored is None:
            return
        try:
            kind = self._registry.catalogue.get(*resource)
        except KeyError:
            return
        target = Target(kind, kind.storage, *key)
        if is_terminating(stored.object):
            self._finish(target, stored, notes)
            return
        if resource == QUOTAS and stored.object.get("status") != (status := usage(self._store, stored)):
            self._registry.finish(target, stored.fresh() | {"status": status}, notes)
        if gone := [owner["uid"] for owner in _owners(stored) if self._is_gone(owner)]:
            self._leave(target, stored, gone, notes)

    def _leave(self, target: Target, stored: Stored, gone: Collection[str], notes: Notes) -> None:
        """Delete an object whose owners are gone; while it has another one it only loses the references."""
        if len(gone) == len(_owners(stored)):
            self._delete(target, notes)
        else:
            self._registry.finish(target, _without_owners(stored, gone), notes)

    def _is_gone(self, owner: Json) -> bool:
        """Owners of kinds and versions that are not served count as being there."""
        return owner["uid"] not in self._places and self._is_served(owner["apiVersion"], owner["kind"])

    def _is_served(self, api_version: str, kind: str) -> bool:
        group, _, version = api_version.rpartition("/")
        found = self._registry.catalogue.of_kind(group, kind)
        return found is not None and version in (each.name for each in found.served_versions())

    def _finish(self, target: Target, stored: Stored, notes: Notes) -> None:
        """Do what a terminating object waits for, and let go of it once that is done."""
        finalizers = stored.object["metadata"].get("finalizers", ())
        if target.kind.key == _NAMESPACES and not self._empty_namespace(stored.key[1], notes):
            return
        if CLEANUP_FINALIZER in finalizers and self._delete_instances(stored, notes):
            self._release(target, stored, CLEANUP_FINALIZER, notes)
        elif _FOREGROUND in finalizers and self._delete_dependents(stored, notes):
            self._release(target, stored, _FOREGROUND, notes)
        elif _ORPHAN in finalizers:
            self._orphan_dependents(stored, notes)
            self._release(target, stored, _ORPHAN, notes)
        elif (finalizer := PROTECTION_FINALIZERS.get(target.kind.kind)) in finalizers and not _is_in_use(stored):
            self._release(target, stored, str(finalizer), notes)
        elif target.kind.key == _NAMESPACES and stored.object["spec"].get("finalizers"):
            obj = stored.fresh()
            obj["spec"] = {}
            self._registry.finish(target, obj, notes)

    def _release(self, target: Target, stored: Stored, finalizer: str, notes: Notes) -> None:
        obj = stored.fresh()
        obj["metadata"]["finalizers"].remove(finalizer)
        if not obj["metadata"]["finalizers"]:
            del obj["metadata"]["finalizers"]
        self._registry.finish(target, obj, notes)

    def _empty_namespace(self, namespace: str, notes: Notes) -> bool:
        """Delete what lives in the namespace; true once nothing is left."""
        kinds = [kind for kind in self._registry.catalogue if kind.namespaced]
        emptied = [self._delete_all(kind, namespace, notes) for kind in kinds]
        return all(emptied)

    def _delete_instances(self, definition: Stored, notes: Notes) -> bool:
        spec = definition.object["spec"]
        return self._delete_all(self._registry.catalogue.get(spec["group"], spec["names"]["plural"]), None, notes)

    def _delete_all(self, kind: Kind, namespace: str | None, notes: Notes) -> bool:
        for stored in self._store.all(kind.key, namespace):
            self._delete(Target(kind, kind.storage, *stored.key), notes)
        return not self._store.all(kind.key, namespace)

    def _delete_dependents(self, owner: Stored, notes: Notes) -> bool:
        """Delete the dependents of a foreground deletion; true once none is left that blocks its owner."""
        for target in list(self._dependents_of(owner)):
            self._delete(target, notes)
        return not any(self._blocks(target, owner) for target in self._dependents_of(owner))

    def _orphan_dependents(self, owner: Stored, notes: Notes) -> None:
        uid = owner.object["metadata"]["uid"]
        for target in list(self._dependents_of(owner)):
            self._registry.finish(target, _without_owners(self._registry.read(target), [uid]), notes)
        self._dependents.pop(uid, None)

    def _dependents_of(self, owner: Stored) -> Iterator[Target]:
        uid = owner.object["metadata"]["uid"]
        for resource, key in sorted(self._dependents.get(uid, ())):
            stored = self._store.get(resource, key)
            if stored is not None and any(item["uid"] == uid for item in _owners(stored)):
                kind = self._registry.catalogue.get(*resource)
                yield Target(kind, kind.storage, *key)

    def _blocks(self, target: Target, owner: Stored) -> bool:
        uid = owner.object["metadata"]["uid"]
        owners = _owners(self._registry.read(target))
        return any(item["uid"] == uid and item.get("blockOwnerDeletion") for item in owners)

    def _delete(self, target: Target, notes: Notes) -> None:
        try:
            self._registry.delete(target, DeleteOptions(notes=notes))
        except ApiError as error:
            if error.code != 404:
                raise


def _is_in_use(stored: Stored) -> bool:
    """Whether a claim or volume is kept: a volume while it is bound. Claims are not, as no pod runs here."""
    phase: object = stored.object.get("status", {}).get("phase")
    return stored.object["kind"] == "PersistentVolume" and phase == "Bound"


def _owners(stored: Stored) -> Sequence[Json]:
    owners: Sequence[Json] = stored.object["metadata"].get("ownerReferences", ())
    return owners


def _without_owners(stored: Stored, uids: Collection[str]) -> Json:
    obj = stored.fresh()
    kept = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] not in uids]
    obj["metadata"]["ownerReferences"] = kept
    if not kept:
        del obj["metadata"]["ownerReferences"]
    return obj
