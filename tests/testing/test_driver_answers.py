from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue

from csi_proto.csi_pb2 import (
    CreateSnapshotResponse,
    CreateVolumeGroupSnapshotResponse,
    GetPluginInfoResponse,
    ListSnapshotsResponse,
    ListVolumesResponse,
    ProbeResponse,
    Snapshot,
    VolumeGroupSnapshot,
)
from snapshotter.testing.driver.answers import BadScript, overwrite

NEXT = "7"


def made() -> CreateSnapshotResponse:
    return CreateSnapshotResponse(snapshot=Snapshot(snapshot_id="s", size_bytes=5))


def group(*member_ids: str) -> CreateVolumeGroupSnapshotResponse:
    return CreateVolumeGroupSnapshotResponse(
        group_snapshot=VolumeGroupSnapshot(
            group_snapshot_id="g", snapshots=[Snapshot(snapshot_id=member) for member in member_ids]
        )
    )


CASES: dict[str, tuple[Message, dict[str, Any], Message]] = {
    "nothing is changed by nothing": (made(), {}, made()),
    "a field of a message is changed, its others stay": (
        made(),
        {"snapshot": {"size_bytes": -1}},
        CreateSnapshotResponse(snapshot=Snapshot(snapshot_id="s", size_bytes=-1)),
    ),
    "a dot leads into a message": (
        made(),
        {"snapshot.creation_time.seconds": 7},
        CreateSnapshotResponse(snapshot=Snapshot(snapshot_id="s", size_bytes=5, creation_time=Timestamp(seconds=7))),
    ),
    "null takes a message away": (made(), {"snapshot": None}, CreateSnapshotResponse()),
    "an empty message is there": (
        CreateSnapshotResponse(),
        {"snapshot": {}},
        CreateSnapshotResponse(snapshot=Snapshot()),
    ),
    "a list is replaced as a whole": (
        ListSnapshotsResponse(entries=[ListSnapshotsResponse.Entry()], next_token=NEXT),
        {"entries": [{"snapshot": {"snapshot_id": "a"}}, {"snapshot": {"snapshot_id": "a"}}]},
        ListSnapshotsResponse(
            entries=[ListSnapshotsResponse.Entry(snapshot=Snapshot(snapshot_id="a"))] * 2, next_token=NEXT
        ),
    ),
    "a list of strings is replaced": (
        ListVolumesResponse.VolumeStatus(published_node_ids=["a"]),
        {"published_node_ids": ["b", "c"]},
        ListVolumesResponse.VolumeStatus(published_node_ids=["b", "c"]),
    ),
    "a number in a list is what was at that place": (
        group("a", "b"),
        {"group_snapshot.snapshots": [1, 1, {"snapshot_id": "foreign"}, 0]},
        group("b", "b", "foreign", "a"),
    ),
    "a member is left out": (group("a", "b", "c"), {"group_snapshot": {"snapshots": [0, 2]}}, group("a", "c")),
    "a list may become empty": (group("a"), {"group_snapshot.snapshots": []}, group()),
    "a place leads into a message of a list": (
        group("a", "b"),
        {"group_snapshot.snapshots.1.snapshot_id": "x"},
        group("a", "x"),
    ),
    "places name the messages of a list that change": (
        group("a", "b", "c"),
        {"group_snapshot": {"snapshots": {"0": {"snapshot_id": ""}, "2": {"snapshot_id": "x"}}}},
        group("", "b", "x"),
    ),
    "a map is replaced": (
        GetPluginInfoResponse(manifest={"a": "1"}),
        {"manifest": {"b": "2"}, "name": ""},
        GetPluginInfoResponse(manifest={"b": "2"}),
    ),
    "a wrapped value is a message": (ProbeResponse(), {"ready": {"value": False}}, ProbeResponse(ready=BoolValue())),
}


@pytest.mark.parametrize(("message", "fields", "expected"), CASES.values(), ids=CASES.keys())
def test_fields_are_overwritten(message: Message, fields: dict[str, Any], expected: Message) -> None:
    overwrite(message, fields)
    assert message == expected


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"snapsot": {}}, "CreateSnapshotResponse has no field 'snapsot'"),
        ({"snapshot": {"size": 1}}, "Snapshot has no field 'size'"),
        ({"snapshot.size_bytes": "many"}, "Snapshot.size_bytes cannot be 'many'"),
        ({"snapshot": 1}, "CreateSnapshotResponse.snapshot cannot be 1"),
        ({"snapshot.size_bytes.x": 1}, "Snapshot.size_bytes cannot be"),
    ],
)
def test_what_a_message_cannot_hold_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadScript, match=told):
        overwrite(made(), fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"group_snapshot.snapshots": [2]}, r"VolumeGroupSnapshot.snapshots cannot be \[2\]"),
        ({"group_snapshot.snapshots.2.snapshot_id": ""}, "VolumeGroupSnapshot.snapshots cannot be"),
        ({"group_snapshot.snapshots.first.snapshot_id": ""}, "VolumeGroupSnapshot.snapshots cannot be"),
        ({"group_snapshot.snapshots.0": 1}, "VolumeGroupSnapshot.snapshots cannot be"),
        ({"group_snapshot.snapshots.0.id": ""}, "Snapshot has no field 'id'"),
        ({"group_snapshot.snapshots": ["a"]}, "VolumeGroupSnapshot.snapshots cannot be"),
    ],
)
def test_what_a_list_cannot_hold_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadScript, match=told):
        overwrite(group("a", "b"), fields)
