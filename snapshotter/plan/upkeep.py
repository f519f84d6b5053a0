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


def next_step(content: AnyContent) -> Protect | Complain | None:
    """What to do for a content; None: nothing.

    One that no request is bound to yet is left to its maker, and one that is being deleted takes no more finalizers.
    """
    cuts = content.volume is not None if isinstance(content, Content) else content.ours_to_cut
    if cuts is (content.imported_handle is not None):
        reason = "ContentValidationError" if isinstance(content, Content) else "GroupContentValidationError"
        both = "both what to cut and what to import" if cuts else "neither what to cut nor what to import"
        return Complain(reason, f"spec.source says {both}")
    if not content.ref.uid or content.deleting or content.protected:
        return None
    return Protect()
