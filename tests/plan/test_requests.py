"""What both kinds of requests have in common."""

import pytest

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
)

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
