from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue

from csi_proto.csi_pb2 import (
    CreateSnapshotResponse,
    GetPluginInfoResponse,
    ListSnapshotsResponse,
    ListVolumesResponse,
    ProbeResponse,
    Snapshot,
)
from snapshotter.testing.driver.answers import BadScript, overwrite

NEXT = "7"


def made() -> CreateSnapshotResponse:
    return CreateSnapshotResponse(snapshot=Snapshot(snapshot_id="s", size_bytes=5))


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
