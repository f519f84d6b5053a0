"""What is recorded in a group's status, computed and then applied as an API server would."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.model.group_content import GroupContent, MemberInfo
from snapshotter.model.snapshot import GroupSnapshot, Snapshot
from snapshotter.plan.group_status import cleared, recorded
from snapshotter.plan.status import StatusPatch, error_cleared, failed, rfc3339
from tests.factories import CREATED_AT, CREATED_AT_NS, group_content, group_snapshot, member, member_info
from tests.plan.wire import merged

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
NOW_NS = 1_714_979_289_123_456_000


def after(old: GroupContent, patch: StatusPatch | None) -> GroupContent:
    """The group content as the API server has it once the patch is applied."""
    if patch is None:
        return old
    document = msgspec.to_builtins(old)
    document["status"] = merged(document["status"], patch)
    return msgspec.convert(document, GroupContent)


def entry(number: int, *, ready: bool = True, **others: object) -> dict[str, object]:
    """An entry of `volumeSnapshotInfoList` as it is sent."""
    return {
        "volumeHandle": f"vol-{number}",
        "snapshotHandle": f"snap-{number}",
        "creationTime": CREATED_AT_NS,
        "readyToUse": ready,
        "restoreSize": 1000,
    } | others


READY = (member_info(1), member_info(2))
UNREADY = (member_info(1, ready=False), member_info(2, ready=False))
KNOWN = group_content(handle="group-1", ready=False, created_at="2020-01-01T00:00:00Z", members=UNREADY)
FIRST: dict[str, object] = {
    "volumeGroupSnapshotHandle": "group-1",
    "creationTime": CREATED_AT,
    "volumeSnapshotInfoList": [entry(1), entry(2)],
    "readyToUse": True,
}

RECORDED: dict[str, tuple[GroupContent, GroupSnapshot, StatusPatch | None]] = {
    "everything that a first answer says is recorded (cases 77, 83)": (group_content(), group_snapshot(), FIRST),
    "also when the status is there but empty (case 83)": (group_content(has_status=True), group_snapshot(), FIRST),
    "a group that is not ready has its handles recorded (case 78)": (
        group_content(),
        group_snapshot(ready=False),
        FIRST | {"volumeSnapshotInfoList": [entry(1, ready=False), entry(2, ready=False)], "readyToUse": False},
    ),
    "an import has the members recorded that the driver tells of (case 97)": (
        group_content(imported="group-1"),
        group_snapshot(),
        FIRST,
    ),
    "the handle stays, whatever the driver says later, and the members are filled in (case 84)": (
        group_content(handle="group-0", ready=False, created_at="2020-01-01T00:00:00Z"),
        group_snapshot(),
        {"volumeSnapshotInfoList": [entry(1), entry(2)], "readyToUse": True},
    ),
    "an answer that says nothing new is not written (case 85)": (KNOWN, group_snapshot(ready=False), None),
    "nor is one about a ready group (case 85)": (
        group_content(handle="group-1", ready=True, created_at=CREATED_AT, members=READY),
        group_snapshot(),
        None,
    ),
    "a group becomes ready with its members (case 99)": (
        KNOWN,
        group_snapshot(),
        {"volumeSnapshotInfoList": [entry(1), entry(2)], "readyToUse": True},
    ),
    "members become ready before their group (case 99)": (
        KNOWN,
        group_snapshot(ready=False, members=(member(1), member(2, ready=False))),
        {"volumeSnapshotInfoList": [entry(1), entry(2, ready=False)]},
    ),
    "a group is not ready before all of its members, whatever the driver says (case 99)": (
        KNOWN,
        group_snapshot(ready=True, members=(member(1), member(2, ready=False))),
        {"volumeSnapshotInfoList": [entry(1), entry(2, ready=False)]},
    ),
    "a group is not ready before the driver says so, although its members are": (
        KNOWN,
        group_snapshot(ready=False, members=(member(1), member(2))),
        {"volumeSnapshotInfoList": [entry(1), entry(2)]},
    ),
    "a size follows the driver (case 99)": (
        KNOWN,
        group_snapshot(ready=False, members=(member(1, ready=False, size_bytes=2000), member(2, ready=False))),
        {"volumeSnapshotInfoList": [entry(1, ready=False, restoreSize=2000), entry(2, ready=False)]},
    ),
    "a size that the driver forgets stays": (
        KNOWN,
        group_snapshot(ready=False, members=(member(1, ready=False, size_bytes=None), member(2, ready=False))),
        None,
    ),
    "members come in any order and are recorded in that of the volumes": (
        group_content(),
        group_snapshot(members=(member(2), member(1))),
        FIRST,
    ),
    "and in that of the source where the group is imported": (
        group_content(imported="group-1", imported_members=("snap-2", "snap-1")),
        group_snapshot(),
        FIRST | {"volumeSnapshotInfoList": [entry(2), entry(1)]},
    ),
    "so another order says nothing new": (
        KNOWN,
        group_snapshot(ready=False, members=(member(2, ready=False), member(1, ready=False))),
        None,
    ),
    "a creation time stays, that of the group and those of its members": (
        KNOWN,
        group_snapshot(
            ready=False,
            created_at_ns=6,
            members=(member(1, ready=False, created_at_ns=6), member(2, ready=False, created_at_ns=None)),
        ),
        None,
    ),
    "the handles of members stay, whatever the driver says later": (
        KNOWN,
        group_snapshot(ready=False, members=(replace(member(1, ready=False), handle="snap-7"), member(2, ready=False))),
        None,
    ),
    "a member without a creation time is as old as its group (case 86)": (
        group_content(),
        group_snapshot(members=(member(1, created_at_ns=None), member(2, created_at_ns=5))),
        FIRST | {"volumeSnapshotInfoList": [entry(1), entry(2, creationTime=5)]},
    ),
    "a driver that gives no creation time gets now (case 86)": (
        group_content(),
        group_snapshot(created_at_ns=None, members=(member(1, created_at_ns=None), member(2))),
        FIRST
        | {
            "creationTime": "2024-05-06T07:08:09Z",
            "volumeSnapshotInfoList": [entry(1, creationTime=NOW_NS), entry(2)],
        },
    ),
    "an empty handle is none": (
        group_content(handle="", ready=True, created_at=CREATED_AT, members=READY),
        group_snapshot(),
        {"volumeGroupSnapshotHandle": "group-1"},
    ),
    "what is left of a group that is deleted says nothing of another one": (
        group_content(members=(msgspec.structs.replace(member_info(1), snapshot_handle="old-1"),)),
        group_snapshot(),
        FIRST,
    ),
    "a success ends an error, ready or not": (
        group_content(handle="group-1", ready=False, created_at=CREATED_AT, members=UNREADY, error="no"),
        group_snapshot(ready=False),
        {"error": None},
    ),
    "a success ends the error of a first failure (case 79)": (
        group_content(ready=False, error="no"),
        group_snapshot(),
        FIRST | {"error": None},
    ),
}


@pytest.mark.parametrize(("old", "answer", "expected"), RECORDED.values(), ids=RECORDED.keys())
def test_an_answer_is_folded_into_the_status(
    old: GroupContent, answer: GroupSnapshot, expected: StatusPatch | None
) -> None:
    assert recorded(old, answer, NOW) == expected


def test_a_size_that_is_not_known_is_not_written() -> None:
    """Case 86."""
    answer = group_snapshot(members=(member(1, size_bytes=None), member(2, size_bytes=123)))
    first, second = after(group_content(), recorded(group_content(), answer, NOW)).status.volume_snapshot_info_list
    assert first.restore_size is None
    assert second.restore_size == 123


def test_a_volume_that_the_driver_does_not_name_is_not_written() -> None:
    """Only an imported group may lack it: for others the answer is refused."""
    old = group_content(imported="group-1", imported_members=("snap-1",))
    patch = recorded(old, group_snapshot(members=(Snapshot("snap-1", ready=True),)), NOW)
    (found,) = after(old, patch).status.volume_snapshot_info_list
    assert (found.volume_handle, found.snapshot_handle) == (None, "snap-1")


def test_a_volume_that_is_told_later_is_recorded_and_then_stays() -> None:
    old = group_content(
        imported="group-1", imported_members=("snap-1",), members=(MemberInfo(snapshot_handle="snap-1"),)
    )
    told = after(old, recorded(old, group_snapshot(ready=False, members=(member(1),)), NOW))
    assert told.status.volume_snapshot_info_list[0].volume_handle == "vol-1"
    silent = group_snapshot(ready=False, members=(Snapshot("snap-1", ready=True),))
    assert recorded(told, silent, NOW) is None


COUNT = 3
MEMBERS = range(1, COUNT + 1)
VOLUMES = tuple(f"vol-{number}" for number in MEMBERS)
HANDLES = tuple(f"snap-{number}" for number in MEMBERS)
NEW = {
    "cut": group_content(volumes=VOLUMES),
    "imported": group_content(imported="group-1", imported_members=HANDLES),
}

# As long as nanoseconds since the epoch fit into 64 bits.
times = st.datetimes(datetime(2000, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (its own form)
# Within the years that a time of day can be written in.
given_times = st.none() | st.integers(min_value=1, max_value=2**62)


@st.composite
def answers(draw: st.DrawFn) -> GroupSnapshot:
    """What a driver may say of one group in the course of time: the same members in any order and state."""
    members = tuple(
        member(
            number,
            ready=draw(st.booleans()),
            size_bytes=draw(st.none() | st.integers(min_value=1, max_value=2**63 - 1)),
            created_at_ns=draw(given_times),
        )
        for number in draw(st.permutations(MEMBERS))
    )
    return group_snapshot(
        handle=draw(st.sampled_from(["group-1", "group-2"])),
        ready=draw(st.booleans()),
        members=members,
        created_at_ns=draw(given_times),
    )


@pytest.mark.parametrize("new", NEW.values(), ids=NEW.keys())
@given(st.lists(answers(), max_size=3), answers(), times, st.booleans())
def test_an_answer_that_is_recorded_has_nothing_more_to_say(
    new: GroupContent, earlier: list[GroupSnapshot], answer: GroupSnapshot, now: datetime, failing: bool
) -> None:
    old = new
    for before in earlier:
        old = after(old, recorded(old, before, now))
    if failing:
        old = after(old, failed(old, "no", now))
    known = after(old, recorded(old, answer, now))
    assert recorded(known, answer, now + timedelta(hours=1)) is None
    assert known.status.error is None


@pytest.mark.parametrize("new", NEW.values(), ids=NEW.keys())
@given(st.lists(answers(), min_size=1, max_size=4), times)
def test_handles_volumes_and_creation_times_are_set_once(
    new: GroupContent, given_answers: list[GroupSnapshot], now: datetime
) -> None:
    """Promise 9, for any sequence of answers."""
    first = given_answers[0]
    started = known = after(new, recorded(new, first, now))
    for number, answer in enumerate(given_answers):
        known = after(known, recorded(known, answer, now + timedelta(seconds=number)))
        assert known.handle == first.handle
        assert known.status.creation_time == started.status.creation_time
        for info, at_first in zip(
            known.status.volume_snapshot_info_list, started.status.volume_snapshot_info_list, strict=True
        ):
            assert info.volume_handle == at_first.volume_handle
            assert info.snapshot_handle == at_first.snapshot_handle
            assert info.creation_time == at_first.creation_time


@pytest.mark.parametrize("new", NEW.values(), ids=NEW.keys())
@given(st.lists(answers(), min_size=1, max_size=4), times)
def test_members_follow_the_driver_in_the_order_of_the_content(
    new: GroupContent, given_answers: list[GroupSnapshot], now: datetime
) -> None:
    """Promise 9: and no size is one that the driver did not give."""
    known = new
    sizes: dict[str, int | None] = {}
    for answer in given_answers:
        known = after(known, recorded(known, answer, now))
        told = {member.handle: member for member in answer.members}
        sizes |= {handle: member.size_bytes for handle, member in told.items() if member.size_bytes is not None}
        assert known.members == HANDLES
        for info in known.status.volume_snapshot_info_list:
            assert info.snapshot_handle is not None
            assert info.ready_to_use is told[info.snapshot_handle].ready
            assert info.restore_size == sizes.get(info.snapshot_handle)


@pytest.mark.parametrize("new", NEW.values(), ids=NEW.keys())
@given(st.lists(answers(), min_size=1, max_size=4), times)
def test_a_ready_group_has_ready_members(new: GroupContent, given_answers: list[GroupSnapshot], now: datetime) -> None:
    """Promise 9."""
    known = new
    for answer in given_answers:
        known = after(known, recorded(known, answer, now))
        all_ready = all(info.ready_to_use for info in known.status.volume_snapshot_info_list)
        assert known.ready is (answer.ready and all_ready)


@given(answers(), times)
def test_the_time_of_a_group_is_in_utc_and_whole_seconds(answer: GroupSnapshot, now: datetime) -> None:
    time = after(NEW["cut"], recorded(NEW["cut"], answer, now)).status.creation_time
    assert time is not None
    if answer.created_at_ns is None:
        assert time == rfc3339(now)
    else:
        assert datetime.fromisoformat(time) == datetime.fromtimestamp(answer.created_at_ns // 10**9, UTC)


CLEARED: dict[str, tuple[GroupContent, StatusPatch | None]] = {
    "all that the group was goes but its members (case 92)": (
        group_content(handle="group-1", ready=True, created_at=CREATED_AT, members=READY, error="no"),
        dict.fromkeys(["volumeGroupSnapshotHandle", "readyToUse", "creationTime", "error"]),
    ),
    "nothing is removed that is not there": (
        group_content(handle="group-1", ready=False),
        dict.fromkeys(["volumeGroupSnapshotHandle", "readyToUse"]),
    ),
    "members alone leave nothing to clear": (group_content(members=READY), None),
    "an empty status has nothing to clear": (group_content(has_status=True), None),
    "neither has one that is not there": (group_content(), None),
}


@pytest.mark.parametrize(("old", "expected"), CLEARED.values(), ids=CLEARED.keys())
def test_a_deleted_group_is_forgotten(old: GroupContent, expected: StatusPatch | None) -> None:
    assert cleared(old) == expected


@given(answers(), times, st.booleans())
def test_after_clearing_there_is_nothing_to_delete_and_nothing_to_clear(
    answer: GroupSnapshot, now: datetime, failing: bool
) -> None:
    """Case 95: a retry finds no handle to delete again; the members are still there for others to look up."""
    old = after(NEW["cut"], recorded(NEW["cut"], answer, now))
    if failing:
        old = after(old, failed(old, "no", now))
    known = after(old, cleared(old))
    assert known.handle is None
    assert cleared(known) is None
    assert known.has_status
    assert known.members == HANDLES


def test_a_failure_is_written_for_users() -> None:
    """Case 87; a group that was ready stays so."""
    error = {"message": "no", "time": "2024-05-06T07:08:09Z"}
    assert failed(group_content(), "no", NOW) == {"error": error, "readyToUse": False}
    assert failed(KNOWN, "no", NOW) == {"error": error}
    assert failed(group_content(handle="group-1", ready=True), "no", NOW) == {"error": error}


@given(answers(), answers(), times)
def test_a_failure_changes_nothing_but_the_error(before: GroupSnapshot, answer: GroupSnapshot, now: datetime) -> None:
    old = after(NEW["cut"], recorded(NEW["cut"], before, now))
    broken = after(old, failed(old, "no", now))
    mended = after(broken, recorded(broken, answer, now))
    assert mended == after(old, recorded(old, answer, now))


def test_an_error_that_is_over_goes_alone() -> None:
    assert error_cleared(group_content(handle="group-1", ready=True, error="no")) == {"error": None}
    assert error_cleared(group_content(handle="group-1", ready=True)) is None
