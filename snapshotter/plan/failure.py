"""How a failure is told to users: one line in status, one aggregated event, and not too early."""

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.snapshot import CsiError
from snapshotter.plan.content import Action, CreateSnapshot, DeleteSnapshot, Refuse, Step, waits_for_cut

LONGEST_CAUSE = 700
"""Characters of a driver's text that are kept; an event's message may hold 1,024 bytes in all."""

REASONS = {
    Step.CREATE: names.CREATION_FAILED,
    Step.CHECK: names.CHECK_FAILED,
    Step.DELETE: names.DELETE_FAILED,
}
"""The event's reason for a step that failed."""


def is_worth_telling(content: Content, error: CsiError, attempt: int) -> bool:
    """Whether users should hear of it: a passing trouble is told only when it has come twice."""
    return error.final or attempt > 1 or content.status.error is not None


def attempted(content: Content, action: Action) -> tuple[Step, str]:
    """The step that an action takes, and what it is about, in words."""
    match action:
        case CreateSnapshot() | Refuse(step=Step.CREATE) if content.handle is None:
            return Step.CREATE, f'volume "{content.volume}"'
        case DeleteSnapshot() | Refuse(step=Step.DELETE):
            return Step.DELETE, f'snapshot "{content.handle}"'
        case _:
            return Step.CHECK, f'snapshot "{content.handle or content.imported_handle}"'


def message(content: Content, step: Step, subject: str, cause: str, *, attempt: int, retry_in: float) -> str:
    """The one line: the step, the cause, the how-manieth attempt in a row it was, and when the next follows."""
    waits = "; the deletion waits for it" if waits_for_cut(content) else ""
    return f"{step} of {subject} failed: {one_line(cause)} (attempt {attempt}, next in {retry_in:.0f}s{waits})"


def one_line(text: str) -> str:
    """A text from elsewhere on one line and of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_CAUSE else flat[: LONGEST_CAUSE - 1] + "…"
