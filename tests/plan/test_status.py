"""What is recorded in status, computed and then applied as an API server would."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.model.content import Content
from snapshotter.model.lifecycle import StatusError
from snapshotter.model.snapshot import Snapshot
from snapshotter.plan.status import StatusPatch, cleared, error_cleared, failed, nanoseconds, recorded, rfc3339
from tests.factories import CREATED_AT_NS, content, snapshot
from tests.plan.wire import merged

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
NOW_NS = 1_714_979_289_123_456_000


def after(old: Content, patch: StatusPatch | None) -> Content:
    """The content as the API server has it once the patch is applied."""
    if patch is None:
        return old
    document = msgspec.to_builtins(old)
    document["status"] = merged(document["status"], patch)
    return msgspec.convert(document, Content)


KNOWN = content(handle="snap-1", ready=False, created_at_ns=5, size_bytes=1000)

RECORDED: dict[str, tuple[Content, Snapshot, StatusPatch | None]] = {
    "everything that a first answer says is recorded (cases 1, 50)": (
        content(),
        snapshot(),
        {"snapshotHandle": "snap-1", "creationTime": CREATED_AT_NS, "restoreSize": 1000, "readyToUse": True},
    ),
    "also when the status is there but empty": (
        content(has_status=True),
        snapshot(),
        {"snapshotHandle": "snap-1", "creationTime": CREATED_AT_NS, "restoreSize": 1000, "readyToUse": True},
    ),
    "a snapshot that is not ready has its handle recorded (case 2)": (
        content(),
        snapshot(ready=False),
        {"snapshotHandle": "snap-1", "creationTime": CREATED_AT_NS, "restoreSize": 1000, "readyToUse": False},
    ),
    "an answer that says nothing new is not written (cases 3, 21)": (KNOWN, snapshot(ready=False), None),
    "a snapshot becomes ready (case 4)": (KNOWN, snapshot(), {"readyToUse": True}),
    "the handle stays, whatever the driver says later, and so does the size (case 5)": (
        content(handle="A", ready=False, created_at_ns=5, size_bytes=1000),
        snapshot(handle="B", size_bytes=None),
        {"readyToUse": True},
    ),
    "an empty handle is none": (
        content(handle="", ready=True, created_at_ns=5, size_bytes=1000),
        snapshot(),
        {"snapshotHandle": "snap-1"},
    ),
    "a size that is not known is not written (cases 14, 52)": (
        content(handle="snap-1", ready=True, created_at_ns=5),
        snapshot(size_bytes=None),
        None,
    ),
    "a driver that gives no creation time gets now (case 15)": (
        content(handle="snap-1", ready=True, size_bytes=1000),
        snapshot(created_at_ns=None),
        {"creationTime": NOW_NS},
    ),
    "a creation time stays": (KNOWN, snapshot(ready=False, created_at_ns=6), None),
    "a creation time stays when the driver forgets it": (KNOWN, snapshot(ready=False, created_at_ns=None), None),
    "a size follows the driver until the snapshot is ready": (
        KNOWN,
        snapshot(ready=False, size_bytes=2000),
        {"restoreSize": 2000},
    ),
    "the size of the answer that says ready is the last to be taken": (
        KNOWN,
        snapshot(size_bytes=2000),
        {"restoreSize": 2000, "readyToUse": True},
    ),
    "the size of a ready snapshot stays": (
        content(handle="snap-1", ready=True, created_at_ns=5, size_bytes=1000),
        snapshot(size_bytes=2000),
        None,
    ),
    "a success ends an error, ready or not (cases 22, 29)": (
        content(handle="snap-1", ready=False, created_at_ns=5, size_bytes=1000, error="no"),
        snapshot(ready=False),
        {"error": None},
    ),
    "a success ends the error of a first failure (case 29)": (
        content(ready=False, error="no"),
        snapshot(size_bytes=None),
        {"snapshotHandle": "snap-1", "creationTime": CREATED_AT_NS, "readyToUse": True, "error": None},
    ),
    "a group is recorded (case 55)": (
        KNOWN,
        snapshot(ready=False, group_handle="group-1"),
        {"volumeGroupSnapshotHandle": "group-1"},
    ),
    "a group stays, whatever the driver says later (case 19)": (
        content(handle="snap-1", ready=False, created_at_ns=5, size_bytes=1000, group_handle="group-1"),
        snapshot(ready=False, group_handle="group-2"),
        None,
    ),
}


@pytest.mark.parametrize(("old", "answer", "expected"), RECORDED.values(), ids=RECORDED.keys())
def test_an_answer_is_folded_into_the_status(old: Content, answer: Snapshot, expected: StatusPatch | None) -> None:
    assert recorded(old, answer, NOW) == expected


sizes = st.none() | st.integers(min_value=1, max_value=2**63 - 1)
answers = st.builds(
    snapshot,
    handle=st.sampled_from(["snap-1", "snap-2"]),
    ready=st.booleans(),
    size_bytes=sizes,
    created_at_ns=st.none() | st.integers(min_value=1, max_value=2**63 - 1),
    group_handle=st.none() | st.sampled_from(["group-1", "group-2"]),
)
contents = st.builds(
    content,
    handle=st.sampled_from([None, "", "snap-0"]),
    ready=st.sampled_from([None, False, True]),
    created_at_ns=st.none() | st.just(5),
    size_bytes=st.none() | st.just(1000),
    error=st.none() | st.just("no"),
    group_handle=st.none() | st.just("group-0"),
)
# As long as nanoseconds since the epoch fit into 64 bits.
times = st.datetimes(datetime(2000, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (its own form)


# What is ready is not asked for any more, so there is no law for what would follow.
@given(contents.filter(lambda old: not old.ready), answers, times)
def test_an_answer_that_is_recorded_has_nothing_more_to_say(old: Content, answer: Snapshot, now: datetime) -> None:
    known = after(old, recorded(old, answer, now))
    assert recorded(known, answer, now + timedelta(hours=1)) is None
    assert known.status.error is None
    assert known.ready is answer.ready


@given(st.lists(answers, min_size=1), times)
def test_handle_and_creation_time_and_group_are_set_once(given_answers: list[Snapshot], now: datetime) -> None:
    """Promise 9, for any sequence of answers."""
    first = given_answers[0]
    known = content()
    for number, answer in enumerate(given_answers):
        known = after(known, recorded(known, answer, now + timedelta(seconds=number)))
        assert known.handle == first.handle
        assert known.status.creation_time == (first.created_at_ns or nanoseconds(now))
    groups = [answer.group_handle for answer in given_answers if answer.group_handle is not None]
    assert known.status.volume_group_snapshot_handle == (groups[0] if groups else None)


@given(st.lists(answers, min_size=1))
def test_the_size_follows_the_driver_until_the_snapshot_is_ready(given_answers: list[Snapshot]) -> None:
    """Promise 9: and it is never a size that the driver did not give."""
    known = content()
    expected: int | None = None
    for answer in given_answers:
        if not known.ready and answer.size_bytes is not None:
            expected = answer.size_bytes
        known = after(known, recorded(known, answer, NOW))
        assert known.status.restore_size == expected


CLEARED: dict[str, tuple[Content, StatusPatch | None]] = {
    "all that the snapshot was goes (case 47)": (
        content(handle="snap-1", ready=True, created_at_ns=5, size_bytes=0, error="no"),
        dict.fromkeys(["snapshotHandle", "readyToUse", "creationTime", "restoreSize", "error"]),
    ),
    "nothing is removed that is not there": (
        content(handle="snap-1", ready=False),
        dict.fromkeys(["snapshotHandle", "readyToUse"]),
    ),
    "the group stays (case 47)": (content(handle="snap-1", group_handle="group-1"), {"snapshotHandle": None}),
    "an empty status has nothing to clear": (content(has_status=True), None),
    "neither has one that is not there": (content(), None),
}


@pytest.mark.parametrize(("old", "expected"), CLEARED.values(), ids=CLEARED.keys())
def test_a_deleted_snapshot_is_forgotten(old: Content, expected: StatusPatch | None) -> None:
    assert cleared(old) == expected


@given(contents)
def test_after_clearing_there_is_nothing_to_delete_and_nothing_to_clear(old: Content) -> None:
    known = after(old, cleared(old))
    assert known.handle is None
    assert cleared(known) is None
    assert known.written_status is None if old.written_status is None else known.written_status is not None


def error(message: str) -> Mapping[str, str]:
    return {"message": message, "time": "2024-05-06T07:08:09Z"}


FAILED: dict[str, tuple[Content, StatusPatch]] = {
    "a first failure says that the snapshot is not ready (case 27)": (
        content(),
        {"error": error("no"), "readyToUse": False},
    ),
    "a failure leaves the handle (cases 9, 42)": (content(handle="snap-1", ready=False), {"error": error("no")}),
    "a ready snapshot stays ready": (content(handle="snap-1", ready=True), {"error": error("no")}),
    "a failure takes the place of an earlier one": (content(ready=False, error="before"), {"error": error("no")}),
}


@pytest.mark.parametrize(("old", "expected"), FAILED.values(), ids=FAILED.keys())
def test_a_failure_is_written_for_users(old: Content, expected: StatusPatch) -> None:
    assert failed(old, "no", NOW) == expected


def test_an_error_that_is_over_goes_alone() -> None:
    assert error_cleared(content(handle="snap-1", ready=True, error="no")) == {"error": None}
    assert error_cleared(content(handle="snap-1", ready=True)) is None


def test_an_error_without_a_message_is_replaced_like_any_other() -> None:
    """Case 26."""
    odd = content(ready=False, error="before")
    odd = msgspec.structs.replace(odd, written_status=msgspec.structs.replace(odd.status, error=StatusError()))
    assert after(odd, failed(odd, "no", NOW)).status.error == StatusError(message="no", time="2024-05-06T07:08:09Z")
    assert after(odd, recorded(odd, snapshot(), NOW)).status.error is None


@given(contents, answers)
def test_a_failure_changes_nothing_but_the_error(old: Content, answer: Snapshot) -> None:
    broken = after(old, failed(old, "no", NOW))
    mended = after(broken, recorded(broken, answer, NOW))
    assert mended == after(old, recorded(old, answer, NOW))


def test_nanoseconds_are_exact_to_the_microsecond() -> None:
    assert nanoseconds(NOW) == NOW_NS


@given(times)
def test_nanoseconds_and_times_of_day_agree(time: datetime) -> None:
    expected = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert abs(nanoseconds(time) - expected) <= 100_000


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    assert rfc3339(NOW) == "2024-05-06T07:08:09Z"
    assert rfc3339(NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2024-05-06T07:08:09Z"
