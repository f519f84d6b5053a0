"""The rules that single and group contents share: one table and one law for both."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from snapshotter.model.lifecycle import AnyContent, StatusError
from snapshotter.model.snapshot import OUTCOME_UNKNOWN, BadAnswer, Code, CsiError
from snapshotter.plan.lifecycle import (
    Release,
    Settle,
    Unmark,
    Wait,
    begins_to_wait,
    leaves_open,
    may_be_cut_anew,
    may_delete,
    waits_for_controller,
    waits_for_cut,
    without_work,
)
from tests.factories import terms
from tests.plan.kinds import Kind, of_both_kinds


@of_both_kinds
def test_nothing_is_deleted_that_should_stay(kind: Kind) -> None:
    """Promise 2."""
    for given in kind.every():
        if isinstance(kind.action(given), kind.deletes):
            assert given.spec.deletion_policy == "Delete"
            assert given.deleting
            assert given.marked_as_being_deleted
            assert given.handle is not None
            assert kind.goes_alone(given)


@of_both_kinds
def test_nothing_of_unknown_fate_is_let_go(kind: Kind) -> None:
    """Promise 1: while the driver may be cutting, and while there is something to delete, the finalizer stays."""
    for given in kind.every():
        if isinstance(kind.action(given), Release):
            assert given.deleting
            to_be_deleted = (
                given.spec.deletion_policy == "Delete" and given.marked_as_being_deleted and kind.goes_alone(given)
            )
            assert not (given.handle is not None and to_be_deleted)
            assert not (given.ours_to_cut and given.marked_as_being_created and given.handle is None)


@of_both_kinds
def test_what_is_deleted_on_the_storage_is_not_made_again(kind: Kind) -> None:
    """Promise 1; case 95: also when the process dies right after the status has been cleared."""
    for given in kind.every():
        if isinstance(kind.action(given), kind.deletes):
            gone = msgspec.structs.replace(given, written_status=kind.emptied)
            assert kind.action(gone) == (Release() if given.protected else Settle())


@of_both_kinds
def test_every_deletion_that_waits_names_its_blocker(kind: Kind) -> None:
    """Promise 7."""
    for given in kind.every():
        action = kind.action(given)
        if given.deleting and isinstance(action, Wait):
            assert action.blocker


@of_both_kinds
def test_a_content_at_rest_leaves_nothing_to_do(kind: Kind) -> None:
    for given in kind.every():
        if isinstance(kind.action(given), Settle):
            gone = may_delete(given) and not given.protected
            assert gone or (given.ready and not given.deleting)


@of_both_kinds
def test_what_we_write_about_a_cut_wakes_nobody(kind: Kind) -> None:
    """Promise 4: the mark, an error and another error leave it to the backoff when the cut is tried again."""
    replace = msgspec.structs.replace
    for given in kind.every():
        if given.handle is not None or not isinstance(kind.action(given), kind.creates):
            continue
        marked = replace(
            given,
            metadata=replace(given.metadata, annotations=replace(given.metadata.annotations, being_created="yes")),
        )
        failed, failed_again = (
            replace(
                marked, written_status=replace(given.status, error=StatusError(message=message), ready_to_use=False)
            )
            for message in ("no", "no again")
        )
        steps = (given, marked, failed, failed_again)
        for old, new in pairwise(steps):
            assert not kind.plan.worth_a_look(old, new, kind.any_class, terms())


Given = Mapping[str, Any]

MAY_DELETE: dict[str, tuple[Given, bool]] = {
    "not while nobody deletes it": ({"handle": "h"}, False),
    "not while nobody deletes it, whatever the mark says": ({"handle": "h", "being_deleted": True}, False),
    "an import that was never bound": ({"imported": "h", "ref_uid": "", "deleting": True}, True),
    "marked by the controller": ({"handle": "h", "deleting": True, "being_deleted": True}, True),
    "not without the controller's mark": ({"handle": "h", "deleting": True}, False),
    "not a bound import without the controller's mark": ({"imported": "h", "deleting": True}, False),
    "not while the cut has no answer": ({"deleting": True, "being_deleted": True, "being_created": True}, False),
    "an import, whatever it is marked as": (
        {"imported": "h", "deleting": True, "being_deleted": True, "being_created": True},
        True,
    ),
}


@of_both_kinds
@pytest.mark.parametrize(("given", "expected"), MAY_DELETE.values(), ids=MAY_DELETE.keys())
def test_a_content_may_be_deleted(kind: Kind, given: Given, expected: bool) -> None:
    """Cases 36, 90."""
    assert may_delete(kind.make(**given)) is expected


HELD_BACK: dict[str, tuple[Given, bool, bool]] = {
    "a content that nobody deletes waits for nothing": ({"being_created": True}, False, False),
    "the controller has not marked it": ({"handle": "h", "deleting": True}, True, False),
    "the cut has no answer": ({"being_created": True, "deleting": True, "being_deleted": True}, False, True),
    "the controller comes before the cut": ({"being_created": True, "deleting": True}, True, False),
    "an import that was never bound waits for nothing": (
        {"imported": "h", "ref_uid": "", "deleting": True},
        False,
        False,
    ),
    "what is to be deleted now waits for nothing": (
        {"handle": "h", "deleting": True, "being_deleted": True},
        False,
        False,
    ),
}


@of_both_kinds
@pytest.mark.parametrize(("given", "controller", "cut"), HELD_BACK.values(), ids=HELD_BACK.keys())
def test_a_deletion_is_held_back_by_the_controller_or_by_a_cut(
    kind: Kind, given: Given, controller: bool, cut: bool
) -> None:
    """Promise 7."""
    blocker = (
        f"{kind.snapshot} has not been deleted, or the snapshot-controller has not "
        "yet marked this content as being deleted"
    )
    made = kind.make(**given)
    assert waits_for_controller(made) == (blocker if controller else None)
    assert waits_for_cut(made) is cut


LEFT_OPEN: dict[str, tuple[CsiError, bool, bool]] = {
    "a refusal says that nothing was made": (CsiError(Code.INTERNAL, "no"), False, False),
    "so it does after a call without an answer (case 31)": (CsiError(Code.INTERNAL, "no"), True, False),
    "a name that somebody else has taken": (CsiError(Code.ALREADY_EXISTS, "no"), False, False),
    "a name that our call without an answer has taken": (CsiError(Code.ALREADY_EXISTS, "no"), True, True),
    "an answer that cannot be": (BadAnswer("odd"), False, True),
    **{f"{code}": (CsiError(code, "no"), False, True) for code in sorted(OUTCOME_UNKNOWN)},
}


@pytest.mark.parametrize(("error", "was_open", "expected"), LEFT_OPEN.values(), ids=LEFT_OPEN.keys())
def test_a_failure_leaves_open_whether_there_is_a_snapshot(error: CsiError, was_open: bool, expected: bool) -> None:
    """Promise 1; cases 27, 28."""
    assert leaves_open(error, was_open=was_open) is expected


@of_both_kinds
def test_users_are_told_when_a_deletion_begins_to_wait_for_something_else(kind: Kind) -> None:
    stations: list[AnyContent] = [
        kind.make(being_created=True),
        kind.make(being_created=True, deleting=True),
        kind.make(being_created=True, deleting=True, being_deleted=True),
    ]
    for old, new in pairwise(stations):
        assert begins_to_wait(old, new)
        assert not begins_to_wait(new, new)


@of_both_kinds
def test_a_content_gives_work_when_it_is_for_our_driver_and_has_a_source(kind: Kind) -> None:
    """Case 74."""
    assert without_work(kind.make(), terms()) is None
    assert without_work(kind.make(imported="h"), terms()) is None
    assert without_work(kind.make(driver="other.example.com"), terms()) == Wait()
    for source in kind.no_source:
        assert kind.action(kind.make(**source)) == Wait()


@of_both_kinds
def test_a_content_without_a_source_can_go(kind: Kind) -> None:
    """Promises 1 and 7: nothing hangs, and nothing waits without a word."""
    for source in kind.no_source:
        assert kind.action(kind.make(**source, deleting=True, being_deleted=True)) == Release()
        assert kind.action(kind.make(**source, deleting=True, being_deleted=True, finalizers=())) == Settle()
        waiting = kind.action(kind.make(**source, deleting=True))
        assert isinstance(waiting, Wait)
        assert waiting.blocker is not None


@of_both_kinds
def test_a_deletion_that_a_create_call_could_overtake_asks_for_its_answer_first(kind: Kind) -> None:
    """Promise 1: a call that is still at work would make the snapshot once more."""
    doubtful = [given for given in kind.every() if may_be_cut_anew(given)]
    assert any(isinstance(kind.action(given), kind.deletes) for given in doubtful)
    for given in doubtful:
        asked = kind.action(msgspec.structs.replace(given, cut_in_doubt=True))
        assert isinstance(asked, Unmark if given.marked_as_being_created else kind.creates)


@of_both_kinds
@pytest.mark.parametrize(
    "settled",
    [
        {"ready": True},
        {"policy": "Retain"},
        {"being_deleted": False},
        {"deleting": False},
        {"handle": None},
        {"finalizers": ()},
        {"class_name": None},
        {"ref_uid": ""},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_no_create_call_is_waited_for_where_it_could_do_no_harm_or_not_be_made(
    kind: Kind, settled: dict[str, object]
) -> None:
    doubtful: dict[str, object] = {"deleting": True, "being_deleted": True, "handle": "made-1", "ready": False}
    assert may_be_cut_anew(kind.make(**doubtful))
    assert not may_be_cut_anew(kind.make(**doubtful | settled))
