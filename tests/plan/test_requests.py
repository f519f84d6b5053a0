"""What both kinds of requests have in common."""

import pytest

from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.plan.requests import (
    SINGLE_REASONS,
    Attempt,
    BindContent,
    Blocked,
    CreateContent,
    DeleteContent,
    MarkContent,
    Prepare,
    ProtectClaims,
    Refuse,
    Release,
    ReleaseClaims,
    Report,
    RequestAction,
    Settle,
    Wait,
    attempted,
    was_snatched,
)
from tests.requests import CREATED_AT, group_request, request

FAILED = SINGLE_REASONS.creation_failed
ATTEMPTS: dict[str, tuple[RequestAction, Attempt]] = {
    "finalizers and a default class (cases 75, 85)": (
        Prepare(("f",)),
        Attempt("writing the finalizers", "SnapshotFinalizerError"),
    ),
    "finalizers at the end": (Release(("f",)), Attempt("writing the finalizers", "SnapshotFinalizerError")),
    "claims": (
        ProtectClaims(("shop/a", "shop/b")),
        Attempt('protecting PersistentVolumeClaim "shop/a", "shop/b"', FAILED, FAILED),
    ),
    "claims at the end (case 81)": (
        ReleaseClaims(("shop/a",)),
        Attempt('letting PersistentVolumeClaim "shop/a" go', "ErrorPVCFinalizer"),
    ),
    "a new content (case 12)": (
        CreateContent({"metadata": {"name": "c"}}),
        Attempt('creating content "c"', "CreateSnapshotContentFailed", FAILED),
    ),
    "a binding (case 43)": (
        BindContent("c", "u"),
        Attempt('binding content "c"', "SnapshotBindFailed", "SnapshotBindFailed"),
    ),
    "a mark (case 105)": (MarkContent("c"), Attempt('deleting content "c"', "SnapshotContentObjectDeleteError")),
    "a deletion (case 96)": (DeleteContent("c"), Attempt('deleting content "c"', "SnapshotContentObjectDeleteError")),
    "a status (case 13)": (Report({}), Attempt("writing the status", "SnapshotStatusUpdateFailed")),
    "an error": (Refuse(None, "p"), Attempt("writing the status", "SnapshotStatusUpdateFailed")),
    "nothing": (Wait(), Attempt("writing the status", "SnapshotStatusUpdateFailed")),
    "nothing more": (Settle(), Attempt("writing the status", "SnapshotStatusUpdateFailed")),
    "a blocker": (Blocked("b"), Attempt("writing the status", "SnapshotStatusUpdateFailed")),
}


@pytest.mark.parametrize(("action", "expected"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_what_the_api_server_does_not_do_has_a_name(action: RequestAction, expected: Attempt) -> None:
    assert attempted(action, SINGLE_REASONS) == expected


SNATCHED: dict[str, tuple[UserSnapshot, bool]] = {
    "we held it, and had told nobody of anything": (request(), True),
    "its users knew of an error at most": (request(bound="c", ready=False, error="broken"), True),
    "a group likewise": (group_request(), True),
    "it was let go": (request(deleting=True), False),
    "we did not hold it": (request(finalizers=("example.com/theirs",)), False),
    "users know when it was cut": (request(created=CREATED_AT), False),
    "users know that it is ready": (group_request(ready=True), False),
    "what it asked for was made by others": (request(imports="c"), False),
}


@pytest.mark.parametrize(("gone", "expected"), SNATCHED.values(), ids=SNATCHED.keys())
def test_promise_2_a_request_was_snatched_away_when_nobody_can_have_wanted_it_so(
    gone: UserSnapshot, expected: bool
) -> None:
    assert was_snatched(gone) is expected
