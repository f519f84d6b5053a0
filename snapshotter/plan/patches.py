"""Bodies of patches to `metadata`. Each carries a precondition, so that it erases nothing of others."""

from collections.abc import Mapping
from typing import Protocol

from snapshotter import names
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.meta import Meta
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


def without_finalizer(content: AnyContent) -> JsonPatch:
    """Drop our finalizer, if the list is still the one that we know; doubled entries go together."""
    meta = content.metadata
    kept = [name for name in meta.finalizers if name != content.keys.finalizer]
    return [
        {"op": "test", "path": "/metadata/uid", "value": meta.uid},
        {"op": "test", "path": "/metadata/finalizers", "value": list(meta.finalizers)},
        {"op": "replace", "path": "/metadata/finalizers", "value": kept},
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
    same_object: dict[str, object] = {"op": "test", "path": "/metadata/uid", "value": content.metadata.uid}
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


def _unchanged(path: str, known: object) -> dict[str, object]:
    """API servers take a test for null as one for absence."""
    return {"op": "test", "path": path, "value": known}


def _change(path: str, value: object) -> dict[str, object]:
    if value is None:
        return {"op": "remove", "path": path}
    return {"op": "add", "path": path, "value": value}
