"""Errors of a driver: which of them leave open whether there is a snapshot."""

import pytest

from snapshotter.model.snapshot import BadAnswer, Capabilities, Code, CsiError, DriverAway, Stalled

OPEN = {"Canceled", "DeadlineExceeded", "ResourceExhausted", "Aborted", "Unavailable"}


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_after_a_final_code_the_driver_has_made_nothing(code: Code) -> None:
    """Cases 27, 28."""
    assert CsiError(code, "no").final is (code not in OPEN)


def test_there_are_the_seventeen_codes_of_grpc() -> None:
    assert len(Code) == 17
    assert {str(code) for code in Code} > OPEN


def test_an_error_reads_as_its_code_and_the_drivers_text() -> None:
    """Case 113."""
    error = CsiError(Code.INTERNAL, "disk on fire")
    assert (str(error), error.code, error.text) == ("Internal: disk on fire", Code.INTERNAL, "disk on fire")


def test_who_knows_better_says_whether_an_error_is_final() -> None:
    assert not CsiError(Code.INTERNAL, "no", final=False).final
    assert CsiError(Code.UNAVAILABLE, "no", final=True).final


def test_an_answer_that_cannot_be_leaves_open_whether_there_is_a_snapshot() -> None:
    """Case 26."""
    error = BadAnswer("the driver answered CreateSnapshot without a snapshot")
    assert not error.final
    assert str(error) == "the driver answered CreateSnapshot without a snapshot"


def test_a_request_that_was_not_taken_in_time_may_be_taken_later() -> None:
    error = Stalled()
    assert not error.final
    assert error.code is Code.DEADLINE_EXCEEDED


def test_a_driver_that_is_away_may_have_been_at_it_before() -> None:
    error = DriverAway("the socket is gone")
    assert not error.final
    assert error.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (Capabilities(), False),
        (Capabilities(create_delete_snapshot=True), False),
        (Capabilities(list_snapshots=True), True),
        (Capabilities(get_snapshot=True), True),
    ],
)
def test_a_driver_can_look_up_what_it_can_get_or_list(capabilities: Capabilities, expected: bool) -> None:
    assert capabilities.can_look_up is expected
