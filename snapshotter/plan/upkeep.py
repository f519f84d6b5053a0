"""What a content of either kind needs from the snapshot-controller by itself."""

from dataclasses import dataclass

from snapshotter.model.content import Content
from snapshotter.model.lifecycle import AnyContent


@dataclass(frozen=True, slots=True)
class Protect:
    """Add the finalizer that keeps the content until its snapshot is taken care of; the sidecar drops it."""


@dataclass(frozen=True, slots=True)
class Complain:
    """Tell the content's maker what is wrong with it."""

    reason: str
    problem: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell the sidecar that the content is being deleted by its user's wish."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Ask for the content's deletion; the finalizer keeps it until the storage has followed."""


Step = Protect | Complain | Mark | Delete


def next_step(content: AnyContent, *, snatched: bool = False) -> Step | None:
    """What to do for a content; None: nothing.

    One that no request is bound to yet is left to its maker, and one that is being deleted takes no more finalizers.

    `snatched`: its request was deleted, and has gone before it could see to its content. That a request is not there is
    no reason by itself: contents are copied from cluster to cluster without it.
    """
    cuts = content.volume is not None if isinstance(content, Content) else content.ours_to_cut
    if cuts is (content.imported_handle is not None):
        reason = "ContentValidationError" if isinstance(content, Content) else "GroupContentValidationError"
        both = "both what to cut and what to import" if cuts else "neither what to cut nor what to import"
        return Complain(reason, f"spec.source says {both}")
    if snatched and content.ours_to_cut and content.spec.deletion_policy == "Delete" and not content.deleting:
        return Delete() if content.marked_as_being_deleted else Mark()
    if not content.ref.uid or content.deleting or content.protected:
        return None
    return Protect()
