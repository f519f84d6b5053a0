"""The driver's answers: what is understood, what is left out, what is refused."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from csi_proto import csi_pb2
from snapshotter.csi.answers import LONGEST_ID, capabilities_from, entry_of, group_from, has_groups, snapshot_from
from snapshotter.model.snapshot import BadAnswer, Capabilities, GroupSnapshot, Snapshot

Entry = csi_pb2.ListSnapshotsResponse.Entry
Capability = csi_pb2.ControllerServiceCapability
RPC = csi_pb2.ControllerServiceCapability.RPC


def answer(
    *,
    handle: str = "snap-1",
    volume: str = "vol-1",
    size_bytes: int = 1000,
    created: Timestamp | None = None,
    ready: bool = True,
    group_handle: str = "",
) -> csi_pb2.Snapshot:
    return csi_pb2.Snapshot(
        snapshot_id=handle,
        source_volume_id=volume,
        size_bytes=size_bytes,
        creation_time=created,
        ready_to_use=ready,
        group_snapshot_id=group_handle,
    )


def at(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


SNAPSHOTS: dict[str, tuple[csi_pb2.Snapshot, Snapshot]] = {
    "all that a driver can say": (
        answer(created=at(5, 7), group_handle="group-1"),
        Snapshot("snap-1", True, "vol-1", 1000, 5_000_000_007, "group-1"),
    ),
    "as little as it can say": (
        csi_pb2.Snapshot(snapshot_id="snap-1"),
        Snapshot(handle="snap-1", ready=False),
    ),
    "no size is not known (case 14)": (answer(size_bytes=0), Snapshot("snap-1", ready=True, volume="vol-1")),
    "a negative size is not known": (answer(size_bytes=-1), Snapshot("snap-1", ready=True, volume="vol-1")),
    "no creation time is not known (case 15)": (
        answer(),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000),
    ),
    "1970 is not known (case 15)": (
        answer(created=at(0)),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000),
    ),
    "a time before 1970 is not known": (
        answer(created=at(-62135596800)),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000),
    ),
    "a time that does not fit is not known": (
        answer(created=at(253402300799)),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000),
    ),
    "the last time that fits": (
        answer(created=at(9223372036, 854775807)),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000, created_at_ns=2**63 - 1),
    ),
    "the first time that is one": (
        answer(created=at(0, 1)),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000, created_at_ns=1),
    ),
    "a driver need not repeat the volume": (
        answer(volume=""),
        Snapshot("snap-1", ready=True, size_bytes=1000),
    ),
    "a group (case 55)": (
        answer(group_handle="group-1"),
        Snapshot("snap-1", ready=True, volume="vol-1", size_bytes=1000, group_handle="group-1"),
    ),
}


@pytest.mark.parametrize(("message", "expected"), SNAPSHOTS.values(), ids=SNAPSHOTS.keys())
def test_an_answer_is_understood(message: csi_pb2.Snapshot, expected: Snapshot) -> None:
    assert snapshot_from(message, call="CreateSnapshot", volume="vol-1") == expected


@pytest.mark.parametrize(("size_bytes", "warnings"), [(-1, 1), (0, 0), (1, 0)])
def test_a_negative_size_is_worth_a_warning(size_bytes: int, warnings: int) -> None:
    with capture_logs() as logs:
        snapshot_from(answer(size_bytes=size_bytes), call="CreateSnapshot")
    assert [(entry["log_level"], entry["size_bytes"]) for entry in logs] == [("warning", size_bytes)] * warnings


def test_a_snapshot_without_an_id_is_refused() -> None:
    """Case 26."""
    with pytest.raises(BadAnswer, match="the driver answered CreateSnapshot with a snapshot without an id"):
        snapshot_from(answer(handle=""), call="CreateSnapshot", volume="vol-1")


LONG: dict[str, csi_pb2.Snapshot] = {
    "of the snapshot": answer(handle="x" * (LONGEST_ID + 1)),
    "of its group": answer(group_handle="x" * (LONGEST_ID + 1)),
}


@pytest.mark.parametrize("message", LONG.values(), ids=LONG.keys())
def test_an_id_for_which_no_object_has_room_is_refused(message: csi_pb2.Snapshot) -> None:
    with pytest.raises(BadAnswer, match=f"whose id has {LONGEST_ID + 1} characters") as refused:
        snapshot_from(message, call="CreateSnapshot", volume="vol-1")
    assert not refused.value.final
    with pytest.raises(BadAnswer, match=f"whose id has {LONGEST_ID + 1} characters"):
        group_from(csi_pb2.VolumeGroupSnapshot(group_snapshot_id="x" * (LONGEST_ID + 1)), call="Create")


def test_a_long_id_is_taken() -> None:
    assert snapshot_from(answer(handle="x" * LONGEST_ID), call="CreateSnapshot").handle == "x" * LONGEST_ID


def test_a_snapshot_of_another_volume_is_refused() -> None:
    with pytest.raises(BadAnswer, match='"snap-1" of volume "vol-2" instead of "vol-1"') as refused:
        snapshot_from(answer(volume="vol-2"), call="CreateSnapshot", volume="vol-1")
    assert not refused.value.final, "the driver has made something, so the content stays"


def test_any_volume_will_do_when_none_was_asked_for() -> None:
    assert snapshot_from(answer(volume="vol-2"), call="ListSnapshots").volume == "vol-2"


@settings(deadline=None)
@given(
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.integers(min_value=-(2**31), max_value=2**31 - 1),
)
def test_what_is_understood_fits_into_a_status(size_bytes: int, seconds: int, nanos: int) -> None:
    found = snapshot_from(answer(size_bytes=size_bytes, created=at(seconds, nanos)), call="CreateSnapshot")
    assert found.size_bytes is None or found.size_bytes == size_bytes > 0
    time = seconds * 1_000_000_000 + nanos
    assert found.created_at_ns == (time if 0 < time < 2**63 else None)


def test_the_entry_of_the_snapshot_is_found_among_others() -> None:
    """Case 57."""
    entries = [
        Entry(),
        Entry(snapshot=answer(handle="snap-2", ready=False)),
        Entry(snapshot=answer(ready=True)),
        Entry(snapshot=answer(ready=False)),
    ]
    found = entry_of(entries, "snap-1")
    assert found is not None
    assert (found.handle, found.ready) == ("snap-1", True)


@pytest.mark.parametrize("entries", [[], [Entry()], [Entry(snapshot=answer(handle="snap-2"))]])
def test_a_snapshot_that_is_not_listed_is_not_found(entries: list[csi_pb2.ListSnapshotsResponse.Entry]) -> None:
    """Cases 54, 57; an entry without a snapshot is passed over (case 26)."""
    assert entry_of(entries, "snap-1") is None


CAPABILITIES: dict[str, tuple[list[csi_pb2.ControllerServiceCapability], Capabilities]] = {
    "volumes and snapshots (case 102)": (
        [
            Capability(rpc=RPC(type=RPC.CREATE_DELETE_VOLUME)),
            Capability(rpc=RPC(type=RPC.CREATE_DELETE_SNAPSHOT)),
        ],
        Capabilities(create_delete_snapshot=True),
    ),
    "volumes alone (case 103)": ([Capability(rpc=RPC(type=RPC.CREATE_DELETE_VOLUME))], Capabilities()),
    "an empty entry (case 103)": ([Capability()], Capabilities()),
    "an entry of an unknown sort": ([Capability(rpc=RPC())], Capabilities()),
    "a capability that came after us": ([Capability(rpc=RPC(type=999))], Capabilities()),  # type: ignore[arg-type]
    "none (case 103)": ([], Capabilities()),
    "listing (cases 50, 52)": (
        [Capability(rpc=RPC(type=RPC.LIST_SNAPSHOTS))],
        Capabilities(list_snapshots=True),
    ),
    "getting": ([Capability(rpc=RPC(type=RPC.GET_SNAPSHOT))], Capabilities(get_snapshot=True)),
}


@pytest.mark.parametrize(("entries", "expected"), CAPABILITIES.values(), ids=CAPABILITIES.keys())
def test_capabilities_are_understood(
    entries: list[csi_pb2.ControllerServiceCapability], expected: Capabilities
) -> None:
    assert capabilities_from(csi_pb2.ControllerGetCapabilitiesResponse(capabilities=entries)) == expected


def member(
    number: int, *, handle: str | None = None, volume: str | None = None, group_handle: str = "group-1"
) -> csi_pb2.Snapshot:
    return answer(
        handle=f"snap-{number}" if handle is None else handle,
        volume=f"vol-{number}" if volume is None else volume,
        group_handle=group_handle,
    )


def group(
    *members: csi_pb2.Snapshot, handle: str = "group-1", created: Timestamp | None = None, ready: bool = True
) -> csi_pb2.VolumeGroupSnapshot:
    return csi_pb2.VolumeGroupSnapshot(
        group_snapshot_id=handle, snapshots=members, creation_time=created, ready_to_use=ready
    )


def understood(number: int, group_handle: str | None = "group-1") -> Snapshot:
    return Snapshot(f"snap-{number}", ready=True, volume=f"vol-{number}", size_bytes=1000, group_handle=group_handle)


GROUPS: dict[str, tuple[csi_pb2.VolumeGroupSnapshot, GroupSnapshot]] = {
    "all that a driver can say (case 77)": (
        group(member(1), member(2), created=at(5, 7)),
        GroupSnapshot("group-1", True, (understood(1), understood(2)), 5_000_000_007),
    ),
    "not ready (case 78)": (
        group(member(1), member(2), ready=False),
        GroupSnapshot("group-1", ready=False, members=(understood(1), understood(2))),
    ),
    "members in another order than the volumes": (
        group(member(2), member(1)),
        GroupSnapshot("group-1", ready=True, members=(understood(2), understood(1))),
    ),
    "members that do not say to which group they belong": (
        group(member(1, group_handle=""), member(2)),
        GroupSnapshot("group-1", ready=True, members=(understood(1, None), understood(2))),
    ),
    "1970 is not known": (
        group(member(1), member(2), created=at(0)),
        GroupSnapshot("group-1", ready=True, members=(understood(1), understood(2))),
    ),
}


@pytest.mark.parametrize(("message", "expected"), GROUPS.values(), ids=GROUPS.keys())
def test_an_answer_about_a_group_is_understood(message: csi_pb2.VolumeGroupSnapshot, expected: GroupSnapshot) -> None:
    assert group_from(message, call="C", volumes=("vol-1", "vol-2")) == expected
    assert group_from(message, call="C", members=("snap-1", "snap-2")) == expected


def test_who_looks_up_a_group_need_not_be_told_the_volumes() -> None:
    found = group_from(group(member(1, volume="")), call="C", members=("snap-1",))
    assert found.members == (Snapshot("snap-1", ready=True, size_bytes=1000, group_handle="group-1"),)


REFUSED: dict[str, tuple[csi_pb2.VolumeGroupSnapshot, str]] = {
    "a group without an id": (group(member(1), member(2), handle=""), "with a group without an id"),
    "a member without an id": (group(member(1), member(2, handle="")), "with a snapshot without an id"),
    "a member of another group": (
        group(member(1), member(2, group_handle="group-2")),
        'with group "group-1" and a member "snap-2" of group "group-2"',
    ),
    "no members": (group(), 'without volumes "vol-1", "vol-2"'),
    "a missing member": (group(member(2)), 'without volumes "vol-1"'),
    "a foreign member": (group(member(1), member(2), member(3)), 'with foreign volumes "vol-3"'),
    "a foreign member in the place of another": (
        group(member(1), member(3)),
        'without volumes "vol-2", with foreign volumes "vol-3"',
    ),
    "a doubled member": (
        group(member(1), member(2), member(2)),
        'with doubled snapshots "snap-2"',
    ),
    "two members of one volume": (
        group(member(1), member(2), member(3, volume="vol-2")),
        'with doubled volumes "vol-2"',
    ),
    "one member for two volumes": (
        group(member(1), member(1, volume="vol-2")),
        'with doubled snapshots "snap-1"',
    ),
    "a member of a volume that is not named": (
        group(member(1), member(2, volume="")),
        'without volumes "vol-2", with foreign volumes ""',
    ),
}


@pytest.mark.parametrize(("message", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_an_answer_that_is_not_the_group_that_was_asked_for_is_refused(
    message: csi_pb2.VolumeGroupSnapshot, text: str
) -> None:
    with pytest.raises(BadAnswer) as refused:
        group_from(message, call="CreateVolumeGroupSnapshot", volumes=("vol-1", "vol-2"))
    assert str(refused.value) == f"the driver answered CreateVolumeGroupSnapshot {text}"
    assert not refused.value.final, "the driver has made something, so the content stays"


WRONG_MEMBERS: dict[str, tuple[csi_pb2.VolumeGroupSnapshot, str]] = {
    "a missing member": (group(member(1)), 'without snapshots "snap-2"'),
    "a foreign member": (group(member(1), member(2), member(3)), 'with foreign snapshots "snap-3"'),
    "a doubled member": (group(member(1), member(2), member(1)), 'with doubled snapshots "snap-1"'),
    "all of it at once": (
        group(member(3), member(2), member(2)),
        'without snapshots "snap-1", with foreign snapshots "snap-3", with doubled snapshots "snap-2"',
    ),
}


@pytest.mark.parametrize(("message", "text"), WRONG_MEMBERS.values(), ids=WRONG_MEMBERS.keys())
def test_members_that_were_not_asked_for_are_refused(message: csi_pb2.VolumeGroupSnapshot, text: str) -> None:
    with pytest.raises(BadAnswer) as refused:
        group_from(message, call="GetVolumeGroupSnapshot", members=("snap-1", "snap-2"))
    assert str(refused.value) == f"the driver answered GetVolumeGroupSnapshot {text}"


def test_of_thousands_of_members_a_complaint_names_few() -> None:
    asked = [f"vol-{number}" for number in range(5000)]
    members = [member(number) for number in range(5000)]
    assert len(group_from(group(*members), call="C", volumes=asked).members) == 5000
    with pytest.raises(BadAnswer) as refused:
        group_from(group(*members[4000:]), call="C", volumes=asked)
    assert str(refused.value) == (
        'the driver answered C without volumes "vol-0", "vol-1", "vol-2", "vol-3", "vol-4" and 3995 more'
    )


numbers = st.lists(st.integers(min_value=1, max_value=5), max_size=6)


@settings(deadline=None)
@given(numbers, st.sets(st.integers(min_value=1, max_value=5), min_size=1))
def test_an_answer_is_taken_only_if_it_has_each_member_once(given_numbers: list[int], asked: set[int]) -> None:
    message = group(*(member(number) for number in given_numbers))
    for wanted in (
        {"volumes": [f"vol-{number}" for number in asked]},
        {"members": [f"snap-{number}" for number in asked]},
    ):
        if sorted(given_numbers) == sorted(asked):
            found = group_from(message, call="C", **wanted)
            assert [each.handle for each in found.members] == [f"snap-{number}" for number in given_numbers]
        else:
            with pytest.raises(BadAnswer):
                group_from(message, call="C", **wanted)


GroupCapability = csi_pb2.GroupControllerServiceCapability
GroupRPC = csi_pb2.GroupControllerServiceCapability.RPC

GROUP_CAPABILITIES: dict[str, tuple[list[csi_pb2.GroupControllerServiceCapability], bool]] = {
    "groups": ([GroupCapability(rpc=GroupRPC(type=GroupRPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT))], True),
    "groups among others": (
        [
            GroupCapability(),
            GroupCapability(rpc=GroupRPC(type=999)),  # type: ignore[arg-type]
            GroupCapability(rpc=GroupRPC(type=GroupRPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT)),
        ],
        True,
    ),
    "an empty entry (case 101)": ([GroupCapability()], False),
    "an entry of an unknown sort (case 101)": ([GroupCapability(rpc=GroupRPC())], False),
    "none (case 101)": ([], False),
}


@pytest.mark.parametrize(("entries", "expected"), GROUP_CAPABILITIES.values(), ids=GROUP_CAPABILITIES.keys())
def test_what_a_group_controller_can_do_is_understood(
    entries: list[csi_pb2.GroupControllerServiceCapability], expected: bool
) -> None:
    assert has_groups(csi_pb2.GroupControllerGetCapabilitiesResponse(capabilities=entries)) is expected
