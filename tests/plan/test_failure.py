"""What users are told of a failure, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.snapshot import OUTCOME_UNKNOWN, BadAnswer, Code, CsiError, DriverAway
from snapshotter.plan import group_content as groups
from snapshotter.plan.content import Action, CheckSnapshot, CreateSnapshot, DeleteSnapshot, TrustSnapshot, attempted
from snapshotter.plan.failure import LONGEST_CAUSE, is_worth_telling, message, one_line
from snapshotter.plan.lifecycle import Attempted, Refuse, Release, Step
from tests.factories import content, group_content
from tests.plan.kinds import Kind, of_both_kinds

CUT = content(handle="snap-1", ready=False)
IMPORT = content(imported="snap-0")
CREATE = CreateSnapshot("snapshot-1", "vol-1")


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_a_passing_trouble_is_told_when_it_comes_again_and_any_other_at_once(code: Code) -> None:
    """Promise 7; cases 27, 28."""
    error = CsiError(code, "no")
    assert is_worth_telling(content(), error, 1) is (code not in OUTCOME_UNKNOWN)
    assert is_worth_telling(content(), error, 2)


def test_a_first_answer_that_cannot_be_is_told_when_it_comes_again() -> None:
    assert not is_worth_telling(content(), BadAnswer("odd"), 1)
    assert is_worth_telling(content(), BadAnswer("odd"), 2)


def test_a_driver_that_is_away_for_a_moment_is_not_told() -> None:
    assert not is_worth_telling(content(), DriverAway("gone"), 1)


def test_a_member_that_is_not_found_may_go_with_its_group_so_that_it_is_told_when_it_comes_again() -> None:
    member, missing = content(handle="snap-1", group_handle="group-1"), CsiError(Code.NOT_FOUND, "no")
    assert not is_worth_telling(member, missing, 1)
    assert is_worth_telling(member, missing, 2)
    assert is_worth_telling(member, CsiError(Code.INTERNAL, "no"), 1)
    assert is_worth_telling(content(handle="snap-1"), missing, 1)


def test_a_status_that_tells_of_a_failure_is_kept_true() -> None:
    assert is_worth_telling(content(error="before"), CsiError(Code.UNAVAILABLE, "no"), 1)


ATTEMPTED: dict[str, tuple[Content, Action, str, str]] = {
    "a cut is about its volume": (content(), CREATE, 'CreateSnapshot of volume "vol-1"', names.CREATION_FAILED),
    "so is one that is refused": (
        content(),
        Refuse(Step.CREATE, "no"),
        'CreateSnapshot of volume "vol-1"',
        names.CREATION_FAILED,
    ),
    "asking again is a check": (CUT, CREATE, 'check of snapshot "snap-1"', names.CHECK_FAILED),
    "so is a refusal to ask again (case 9)": (
        CUT,
        Refuse(Step.CREATE, "no"),
        'check of snapshot "snap-1"',
        names.CHECK_FAILED,
    ),
    "a look-up is about the handle": (CUT, CheckSnapshot("snap-1"), 'check of snapshot "snap-1"', names.CHECK_FAILED),
    "a first look-up is about the imported handle": (
        IMPORT,
        CheckSnapshot("snap-0"),
        'check of snapshot "snap-0"',
        names.CHECK_FAILED,
    ),
    "so is a first look-up that is refused": (
        IMPORT,
        Refuse(Step.CHECK, "no"),
        'check of snapshot "snap-0"',
        names.CHECK_FAILED,
    ),
    "trust is a check": (IMPORT, TrustSnapshot("snap-0"), 'check of snapshot "snap-0"', names.CHECK_FAILED),
    "a deletion is about the handle": (
        CUT,
        DeleteSnapshot("snap-1"),
        'DeleteSnapshot of snapshot "snap-1"',
        names.DELETE_FAILED,
    ),
    "so is one that is refused (case 44)": (
        CUT,
        Refuse(Step.DELETE, "no"),
        'DeleteSnapshot of snapshot "snap-1"',
        names.DELETE_FAILED,
    ),
    "letting go may be refused": (CUT, Release(), "removal of our finalizer", names.DELETE_FAILED),
}


@pytest.mark.parametrize(("given_content", "action", "what", "reason"), ATTEMPTED.values(), ids=ATTEMPTED.keys())
def test_a_failure_names_the_step_and_what_it_is_about(
    given_content: Content, action: Action, what: str, reason: str
) -> None:
    """The reasons: cases 7 to 10, 27, 42."""
    assert attempted(given_content, action) == Attempted(what, reason)


def test_the_reasons_are_those_that_dashboards_know() -> None:
    assert names.CREATION_FAILED == "SnapshotCreationFailed"
    assert names.CHECK_FAILED == "SnapshotContentCheckandUpdateFailed"
    assert names.DELETE_FAILED == "SnapshotDeleteError"
    assert names.GROUP_CREATION_FAILED == "GroupSnapshotCreationFailed"
    assert names.GROUP_CHECK_FAILED == "GroupSnapshotContentCheckandUpdateFailed"
    assert names.GROUP_DELETE_FAILED == "GroupSnapshotDeleteError"


def test_a_message_says_what_failed_why_and_when_it_is_tried_again() -> None:
    """Promise 7."""
    text = message(
        content(),
        'CreateSnapshot of volume "vol-1"',
        str(CsiError(Code.INTERNAL, "disk full")),
        attempt=3,
        retry_in=3.9,
    )
    assert text == 'CreateSnapshot of volume "vol-1" failed: Internal: disk full (attempt 3, next in 4s)'


@of_both_kinds
def test_a_message_says_that_a_deletion_waits(kind: Kind) -> None:
    """Promise 7: no silent stuck deletion."""
    deleting = kind.make(deleting=True, being_deleted=True, being_created=True)
    text = message(deleting, 'CreateSnapshot of volume "vol-1"', "Unavailable: no", attempt=1, retry_in=1)
    assert text.endswith("(attempt 1, next in 1s; the deletion waits for it)")


def test_a_deletion_that_waits_for_the_controller_does_not_wait_for_the_cut() -> None:
    text = message(content(deleting=True), 'CreateSnapshot of volume "vol-1"', "Unavailable: no", attempt=1, retry_in=1)
    assert text.endswith("(attempt 1, next in 1s)")


def test_a_failed_deletion_does_not_wait_for_itself() -> None:
    deleting = content(deleting=True, being_deleted=True, handle="snap-1")
    text = message(deleting, 'DeleteSnapshot of snapshot "snap-1"', "Internal: in use", attempt=1, retry_in=1)
    assert text == 'DeleteSnapshot of snapshot "snap-1" failed: Internal: in use (attempt 1, next in 1s)'


def test_several_lines_become_one() -> None:
    assert one_line(" a\n\tb\r\n c  d ") == "a b c d"


def test_a_text_that_just_fits_stays_whole() -> None:
    assert one_line("x" * LONGEST_CAUSE) == "x" * LONGEST_CAUSE


@given(st.text(max_size=3 * LONGEST_CAUSE) | st.text(alphabet="ab \n", min_size=LONGEST_CAUSE, max_size=2000))
def test_any_text_is_one_line_of_bounded_length(text: str) -> None:
    line = one_line(text)
    assert len(line) <= LONGEST_CAUSE
    assert len(line.splitlines()) <= 1
    assert line.isprintable()
    if len(line) < LONGEST_CAUSE and text.replace("\n", " ").isprintable():
        assert line == " ".join(text.split())


@given(st.text(max_size=5000), st.integers(min_value=1, max_value=10**6))
def test_a_message_with_usual_names_fits_into_an_event(cause: str, attempt: int) -> None:
    ascii_cause = cause.encode("ascii", "replace").decode()
    deleting = content(deleting=True, being_deleted=True, being_created=True)
    text = message(deleting, f'check of snapshot "{"s" * 128}"', ascii_cause, attempt=attempt, retry_in=300.0)
    assert len(text.encode()) <= 1024


@given(st.text(max_size=5000), st.integers(min_value=1, max_value=1000))
def test_so_does_one_about_many_volumes_with_long_names(cause: str, count: int) -> None:
    ascii_cause = cause.encode("ascii", "replace").decode()
    volumes = tuple(f"{number:064}" for number in range(count))
    deleting = group_content(volumes=volumes, deleting=True, being_deleted=True, being_created=True)
    what = groups.attempted(deleting, groups.CreateGroupSnapshot("group", volumes)).what
    text = message(deleting, what, ascii_cause, attempt=1000, retry_in=300.0)
    assert len(text.encode()) <= 1024


PLAIN = {
    "lines become one": ("a\n b\r\n\tc", "a b c"),
    "what a terminal would obey is not passed on": ("\x1b[31mred\x00\x07\u202eevil", "�[31mred��\ufffdevil"),
    "halves of surrogate pairs cannot be written": ("\ud800", "�"),
    "other languages are left as they are": ("größer 大きい \U0001f4be", "größer 大きい \U0001f4be"),
    "a text is cut": ("x" * 5_000_000, "x" * (LONGEST_CAUSE - 1) + "…"),
    "a megabyte of blanks says nothing": (" " * 1_000_000 + "end", ""),
}


@pytest.mark.parametrize(("text", "told"), PLAIN.values(), ids=PLAIN.keys())
def test_a_text_from_elsewhere_is_made_plain(text: str, told: str) -> None:
    assert one_line(text) == told


def test_what_was_attempted_may_be_enormous_and_the_message_is_not() -> None:
    what = f'CreateSnapshot of volume "{"x" * 1_000_000}"'
    text = message(content(), what, "no\n", attempt=3, retry_in=4.0)
    assert len(text) < 600
    assert text.startswith('CreateSnapshot of volume "xxx')
    assert text.endswith("… failed: no (attempt 3, next in 4s)")
