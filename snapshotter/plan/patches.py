"""Bodies of patches to `metadata`. Each carries a precondition, so that it erases nothing of others."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from snapshotter import names
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.meta import Meta
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.requests import BindContent, Prepare
from snapshotter.plan.status import StatusPatch

MergePatch = dict[str, object]
JsonPatch = list[dict[str, object]]


def mark_being_created(content: AnyContent) -> MergePatch:
    """Set the being-created mark; with it goes our finalizer where it is missing.

    The finalizer is normally the controller's to add, but a content that is deleted before it does would
    take the knowledge of its snapshot along. A list is replaced as a whole, so then the patch asks for the
    very version that we know.
    """
    metadata: MergePatch = {
        "uid": content.metadata.uid,
        "annotations": {content.keys.being_created: names.MARK},
    }
    if not content.protected and not content.deleting:
        metadata["resourceVersion"] = content.metadata.resource_version
        metadata["finalizers"] = [*content.metadata.finalizers, content.keys.finalizer]
    return {"metadata": metadata}


def unmark_being_created(content: AnyContent) -> MergePatch:
    return {"metadata": {"uid": content.metadata.uid, "annotations": {content.keys.being_created: None}}}


def mark_being_deleted(content: AnyContent) -> MergePatch:
    """Set the being-deleted mark, and nothing else."""
    return {"metadata": {"uid": content.metadata.uid, "annotations": {content.keys.being_deleted: names.MARK}}}


def with_finalizers(meta: Meta, added: Iterable[str]) -> JsonPatch:
    """Add finalizers, if the list is still the one that we know."""
    added = tuple(name for name in added if name not in meta.finalizers)
    if not added:
        return [_same_object(meta)]
    return [
        _same_object(meta),
        _unchanged("/metadata/finalizers", list(meta.finalizers) or None),
        {"op": "add", "path": "/metadata/finalizers", "value": [*meta.finalizers, *added]},
    ]


def without_finalizers(meta: Meta, dropped: Collection[str]) -> JsonPatch:
    """Drop finalizers, if the list is still the one that we know; doubled entries go together."""
    kept = [name for name in meta.finalizers if name not in dropped]
    return [
        _same_object(meta),
        _unchanged("/metadata/finalizers", list(meta.finalizers)),
        {"op": "replace", "path": "/metadata/finalizers", "value": kept},
    ]


def without_finalizer(content: AnyContent) -> JsonPatch:
    """Drop our finalizer from a content."""
    return without_finalizers(content.metadata, (content.keys.finalizer,))


def prepare(request: UserSnapshot, action: Prepare) -> JsonPatch:
    """Our finalizers and the class of a request, in one write."""
    patch = with_finalizers(request.metadata, action.finalizers)
    if action.class_name is not None:
        path = f"/spec/{request.keys.class_name}"
        patch += [_unchanged(path, None), _change(path, action.class_name)]
    return patch


def bind_content(content: AnyContent, action: BindContent) -> JsonPatch:
    """Which request a content is for, if it is still for nobody in particular; the class to use, and our finalizer."""
    patch = [
        _same_object(content.metadata),
        # Whether nobody is named by an empty uid or by none cannot be told apart here, so nothing may have changed.
        _unchanged("/metadata/resourceVersion", content.metadata.resource_version),
        _change(f"/spec/{content.keys.ref}/uid", action.uid),
    ]
    if action.class_name is not None:
        patch.append(_change(f"/spec/{content.keys.class_name}", action.class_name))
    if not content.protected and not content.deleting:
        patch.append(_change("/metadata/finalizers", [*content.metadata.finalizers, content.keys.finalizer]))
    return patch


def add_owner(snapshot: VolumeSnapshot, reference: Mapping[str, object]) -> JsonPatch:
    """One more owner, behind those that there are."""
    known = snapshot.metadata.owner_references
    if not known:
        where, guard = "/metadata/ownerReferences", _unchanged("/metadata/ownerReferences", None)
        return [_same_object(snapshot.metadata), guard, {"op": "add", "path": where, "value": [dict(reference)]}]
    return [
        _same_object(snapshot.metadata),
        _unchanged("/metadata/resourceVersion", snapshot.metadata.resource_version),
        {"op": "add", "path": "/metadata/ownerReferences/-", "value": dict(reference)},
    ]


class _WithStatus(Protocol):
    """An object whose status is written key by key."""

    @property
    def metadata(self) -> Meta: ...
    @property
    def has_status(self) -> bool: ...
    @property
    def set_once(self) -> Mapping[str, object]: ...


def status_patch(content: _WithStatus, status: StatusPatch) -> JsonPatch:
    """Change single keys of the status of this very object.

    The uid in a merge patch guards nothing here, since the API server ignores `metadata` in writes of `/status`;
    a test in a JSON patch holds. The keys that are removed are there, or the patch fails as a whole.
    """
    same_object = _same_object(content.metadata)
    known = content.set_once
    if not content.has_status:
        return [
            same_object,
            _unchanged("/status", None),
            {"op": "add", "path": "/status", "value": {k: v for k, v in status.items() if v is not None}},
        ]
    return [
        same_object,
        # Another writer may have been first with these; then the patch fails, and the plan is made anew.
        *(_unchanged(f"/status/{key}", known[key]) for key in status if key in known and status[key] is not None),
        *(_change(f"/status/{key}", value) for key, value in status.items()),
    ]


def _same_object(meta: Meta) -> dict[str, object]:
    return {"op": "test", "path": "/metadata/uid", "value": meta.uid}


def _unchanged(path: str, known: object) -> dict[str, object]:
    """API servers take a test for null as one for absence."""
    return {"op": "test", "path": path, "value": known}


def _change(path: str, value: object) -> dict[str, object]:
    if value is None:
        return {"op": "remove", "path": path}
    return {"op": "add", "path": path, "value": value}
