"""The life of a content, single or group: when it may go, what holds it back, and the steps that both kinds know.

`snapshotter.plan.content` and `snapshotter.plan.group_content` decide with these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.model.snapshot import Capabilities, Code, CsiError
from snapshotter.plan.secrets import Problem, SecretRef


@dataclass(frozen=True, slots=True)
class Naming:
    """How snapshots are named on the storage: `--snapshot-name-prefix`, `--snapshot-name-uuid-length`."""

    prefix: str = "snapshot"
    uuid_length: int | None = None
    """None: the whole UID with its dashes. Else so many of its characters, without dashes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every content alike: the driver beside us and what it can do, and our flags."""

    driver: str
    capabilities: Capabilities
    naming: Naming
    extra_create_metadata: bool = False
    classes_unknown: str | None = None
    """Why the API server does not tell the classes; None: it does."""
    class_troubles: Mapping[str, str] = field(default_factory=dict)
    """Why classes that are there are not known: they cannot be read; by their names."""


class Step(StrEnum):
    """What is being attempted; the reason of an event follows from it."""

    CREATE = "create"
    CHECK = "check"
    DELETE = "delete"


class Lane(StrEnum):
    """Actions that share workers. None of the lanes waits for another."""

    CREATE = "create"
    CHECK = "check"
    DELETE = "delete"
    WRITE = "write"
    """What needs the API server alone, and so never waits for a driver that hangs."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """What an action attempts, in words, and the reason of an event that says that it failed."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let the API server remove the object: drop our finalizer."""


@dataclass(frozen=True, slots=True)
class Unmark:
    """Remove a being-created mark that a crash or a failed write has left behind."""


@dataclass(frozen=True, slots=True)
class ClearError:
    """Remove an error that a late write has left on a snapshot that is ready."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """As the objects are, the step cannot be taken; say why, and look again later."""

    step: Step
    problem: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody changes something. `blocker`: what a requested deletion waits for."""

    blocker: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """All is as it should be."""


WithoutDriver = Release | Unmark | ClearError | Refuse | Wait | Settle
"""The actions that need no call to the driver; both kinds have them."""

C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Plan(Generic[C, K, A]):
    """The decisions about one kind: what its module in `plan` offers, for a controller to ask."""

    next_action: Callable[[C, K | None, Terms], A]
    worth_a_look: Callable[[C | None, C, K | None, Terms], bool]
    lane: Callable[[C, A], Lane]
    is_pending: Callable[[C, A], bool]
    attempted: Callable[[C, A], Attempted]
    secret_of: Callable[[A], SecretRef | None]


def without_work(content: AnyContent, terms: Terms) -> Wait | Release | Settle | None:
    """What becomes of a content of another driver, or of one that does not say what it is made from."""
    if content.spec.driver != terms.driver:
        return Wait()
    if content.has_source:
        return None
    return letting_go(content) if may_delete(content) else Wait(waits_for_controller(content))


def may_delete(content: AnyContent) -> bool:
    """Whether the content may go, with or without what it stands for on the storage.

    While a cut has no answer, its snapshot could not be found again: the content stays until there is one.
    """
    if not content.deleting:
        return False
    if _import_never_bound(content):
        return True
    return content.marked_as_being_deleted and not _cut_without_answer(content)


def may_be_cut_anew(content: AnyContent) -> bool:
    """Whether a deletion could be overtaken by a create call, which is also how readiness is asked for.

    A call whose outcome is open may still be at work in the driver. If that comes to its end after the deletion, it
    makes the snapshot once more, and nobody would know of it. One more such call tells when there is none.
    """
    if not (may_delete(content) and goes_with_content(content)) or content.ready:
        return False
    can_be_asked = content.class_name is not None and bool(content.ref.uid)
    return can_be_asked and content.ours_to_cut and content.protected


def waits_for_controller(content: AnyContent) -> str | None:
    """What a deletion that somebody asked for waits for, when it is the controller's mark."""
    if not content.deleting or content.marked_as_being_deleted or _import_never_bound(content):
        return None
    return (
        f"{content.keys.snapshot} {content.ref.namespace}/{content.ref.name} has not been deleted, or the "
        "snapshot-controller has not yet marked this content as being deleted"
    )


def waits_for_cut(content: AnyContent) -> bool:
    """Whether only the answer to a create call holds a deletion back."""
    return content.deleting and content.marked_as_being_deleted and _cut_without_answer(content)


def resting(content: AnyContent) -> Wait | ClearError | Settle:
    """What a content that is ready has still to do."""
    if content.deleting:
        return Wait(waits_for_controller(content))
    return Settle() if content.status.error is None else ClearError()


def goes_with_content(content: AnyContent) -> bool:
    """Whether what is on the storage is deleted: by the policy, and on the word of the controller."""
    return content.spec.deletion_policy == "Delete" and content.marked_as_being_deleted and content.handle is not None


def letting_go(content: AnyContent) -> Release | Settle:
    """The end of a content that has nothing (more) to delete."""
    return Release() if content.protected else Settle()


def would_be_forgotten(content: AnyContent) -> bool:
    """Whether nothing would keep the object until a cut that begins now is known.

    The object is on its way out, and no finalizer can be added any more.
    """
    return content.deleting and not (content.protected or content.marked_as_being_created)


def begins_to_wait(old: AnyContent, new: AnyContent) -> bool:
    """Whether a deletion has begun, of which users are told whatever it waits for."""
    return waits_for_cut(old) != waits_for_cut(new) or waits_for_controller(old) != waits_for_controller(new)


def usable(content: AnyContent, known: AnyClass | None, terms: Terms) -> Mapping[str, str] | Problem:
    """The parameters of the class that a content names; it must be there and be for this driver."""
    if known is None:
        trouble = terms.classes_unknown or terms.class_troubles.get(content.class_name or "")
        why = "does not exist" if trouble is None else f"cannot be read: {trouble}"
        return Problem(f'{content.keys.snapshot_class} "{content.class_name}" {why}')
    if known.driver != terms.driver:
        return Problem(
            f'{content.keys.snapshot_class} "{known.name}" is for driver "{known.driver}", '
            f'this content for "{terms.driver}"'
        )
    return known.parameters


def leaves_open(error: CsiError, *, was_open: bool) -> bool:
    """Whether there may be a snapshot after a create call has failed.

    AlreadyExists says that the name is taken. Where an earlier call for it had no answer, it is taken by what
    that call has made: with parameters that the class does not have any more.
    """
    return not error.final or (was_open and error.code is Code.ALREADY_EXISTS)


def _cut_without_answer(content: AnyContent) -> bool:
    if content.handle is not None:
        return content.cut_in_doubt
    return content.marked_as_being_created and content.ours_to_cut


def _import_never_bound(content: AnyContent) -> bool:
    return content.imported_handle is not None and not content.ref.uid
