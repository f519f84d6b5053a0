"""How a failure is told to users: one line in status, one aggregated event, and not too early."""

from snapshotter.model.content import Content
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.snapshot import Code, CsiError
from snapshotter.plan.lifecycle import waits_for_cut

LONGEST_CAUSE = 700
"""Characters of a driver's text that are kept; an event's message may hold 1,024 bytes in all."""
LONGEST_ATTEMPT = 500
"""Characters of what was attempted, which names what an object names: nothing bounds a handle, or a label."""
LONGEST_TEXT = 1000
"""Characters of a problem with an object, for the same reason."""
LONGEST_READ = 10_000
"""Characters of a driver's text that are looked at: it may hold a megabyte of blanks."""


def is_worth_telling(content: AnyContent, error: CsiError, attempt: int) -> bool:
    """Whether users should hear of it: a passing trouble is told only when it has come twice."""
    if attempt > 1 or content.status.error is not None:
        return True
    return error.final and not _may_have_gone_with_group(content, error)


def _may_have_gone_with_group(content: AnyContent, error: CsiError) -> bool:
    """Whether a snapshot is not found perhaps because its group is being deleted: then this content follows soon."""
    return error.code is Code.NOT_FOUND and isinstance(content, Content) and content.has_group_handle


def message(content: AnyContent, what: str, cause: str, *, attempt: int, retry_in: float) -> str:
    """The one line: what failed, why, the how-manieth attempt in a row it was, and when the next follows."""
    waits = "; the deletion waits for it" if waits_for_cut(content) else ""
    tries = f"attempt {attempt}, next in {retry_in:.0f}s"
    return f"{one_line(what, LONGEST_ATTEMPT)} failed: {one_line(cause)} ({tries}{waits})"


def one_line(text: str, longest: int = LONGEST_CAUSE) -> str:
    """A text from elsewhere on one line and of bounded length; what a terminal would obey is shown as `�`."""
    flat = " ".join(text[:LONGEST_READ].split())
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in flat)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
