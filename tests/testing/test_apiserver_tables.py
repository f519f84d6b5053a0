"""Tables: JSONPaths, cells and ages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.jsonpath import PathError, find
from snapshotter.testing.apiserver.kinds import Column, Version, builtin_kinds
from snapshotter.testing.apiserver.schema import Node
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.tables import short_duration, table

OBJECT: Json = {
    "metadata": {"name": "one", "creationTimestamp": "2024-01-01T00:00:00Z", "annotations": {"a.b/c": "dotted"}},
    "spec": {"list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}], "flag": False, "map": {"b": 1}},
}
NOW = 1704067200.0 + 90

PATHS: dict[str, list[Any]] = {
    ".metadata.name": ["one"],
    "{.metadata.name}": ["one"],
    "$.metadata.name": ["one"],
    r".metadata.annotations.a\.b/c": ["dotted"],
    ".metadata.annotations['a.b/c']": ["dotted"],
    ".spec.list[0].name": ["x"],
    ".spec.list[-1].name": ["y"],
    ".spec.list[5].name": [],
    ".spec.list[*].n": [1, 2],
    '.spec.list[?(@.name=="y")].n': [2],
    ".spec.list[?(@.name=='z')].n": [],
    ".spec.absent.more": [],
    ".metadata.name.more": [],
}


@pytest.mark.parametrize(("path", "found"), PATHS.items(), ids=PATHS.keys())
def test_find(path: str, found: list[Any]) -> None:
    assert find(OBJECT, path) == found


def test_a_path_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PathError):
        find(OBJECT, ".a[")


CELLS: dict[str, tuple[str, str, Any]] = {
    "a string": ("string", ".metadata.name", "one"),
    "a number as a string": ("string", ".spec.list[0].n", "1"),
    "a boolean as a string": ("string", ".spec.flag", "false"),
    "a map as a string": ("string", ".spec.map", '{"b":1}'),
    "an integer": ("integer", ".spec.list[0].n", 1),
    "text is no integer": ("integer", ".metadata.name", None),
    "a boolean": ("boolean", ".spec.flag", False),
    "text is no boolean": ("boolean", ".metadata.name", None),
    "a date as an age": ("date", ".metadata.creationTimestamp", "90s"),
    "an absent value": ("string", ".spec.absent", None),
    "an absent date": ("date", ".spec.absent", None),
}


@pytest.mark.parametrize(("type_name", "path", "cell"), CELLS.values(), ids=CELLS.keys())
def test_cells(type_name: str, path: str, cell: Any) -> None:
    version = Version("v1", True, {}, Node(), (Column("X", type_name, path),), frozenset(), has_status=False)
    assert table([OBJECT], version, {}, NOW, "None")["rows"] == [{"cells": ["one", cell]}]


def test_a_row_carries_what_was_asked_for() -> None:
    version = Version("v1", True, {}, Node(), (), frozenset(), has_status=False)
    (row,) = table([OBJECT], version, {}, NOW, "Object")["rows"]
    assert row["object"] == OBJECT
    (row,) = table([OBJECT], version, {}, NOW, "Metadata")["rows"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"] == OBJECT["metadata"]


SHOWN: dict[str, tuple[str, Json, list[Any]]] = {
    "a claim": (
        "PersistentVolumeClaim",
        {
            "spec": {"volumeName": "pv-1", "storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        ["one", "Bound", "pv-1", "1Gi", "RWO", "fast", "<unset>", "90s", None],
    ),
    "a volume": (
        "PersistentVolume",
        {"spec": {"claimRef": {"namespace": "ns", "name": "c"}, "accessModes": ["ReadOnlyMany", "ReadWriteMany"]}},
        ["one", "", "ROX,RWX", None, "", "ns/c", "", "<unset>", "", "90s", None],
    ),
    "an event": (
        "Event",
        {
            "involvedObject": {"kind": "Pod", "name": "p"},
            "lastTimestamp": "2024-01-01T00:01:00Z",
            "type": "Warning",
            "reason": "Bad",
            "message": "it is bad",
        },
        ["one", "30s", "Warning", "Bad", "pod/p", None, None, "it is bad", "<unknown>", None, "one"],
    ),
    "a secret": ("Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["one", "Opaque", "2", "90s"]),
    "a node": ("Node", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, ["one", "Ready", "90s"]),
    "a node that is not ready": (
        "Node",
        {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
        ["one", "NotReady", "90s"],
    ),
    "a node that says nothing": ("Node", {}, ["one", "Unknown", "90s"]),
    "a storage class": (
        "StorageClass",
        {"provisioner": "d", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
        ["one", "d", "Delete", "Immediate", "false", "90s"],
    ),
}


@pytest.mark.parametrize(("kind", "members", "cells"), SHOWN.values(), ids=SHOWN.keys())
def test_built_in_kinds(kind: str, members: Json, cells: list[Any]) -> None:
    (version,) = next(known for known in builtin_kinds() if known.kind == kind).served_versions()
    (row,) = table([{**OBJECT, **members}], version, {}, NOW, "None")["rows"]
    assert row["cells"] == cells


def test_a_terminating_claim_says_so() -> None:
    (version,) = next(known for known in builtin_kinds() if known.plural == "persistentvolumeclaims").served_versions()
    going = {**OBJECT, "metadata": {**OBJECT["metadata"], "deletionTimestamp": "2024-01-01T00:00:00Z"}}
    (row,) = table([going], version, {}, NOW, "None")["rows"]
    assert row["cells"][1] == "Terminating"


DURATIONS = {
    -5: "<invalid>",
    -1: "0s",
    0: "0s",
    119: "119s",
    120: "2m",
    125: "2m5s",
    599: "9m59s",
    600: "10m",
    3 * 3600 - 1: "179m",
    3 * 3600: "3h",
    3 * 3600 + 60: "3h1m",
    8 * 3600: "8h",
    47 * 3600: "47h",
    48 * 3600: "2d",
    49 * 3600: "2d1h",
    8 * 86400: "8d",
    364 * 86400: "364d",
    2 * 365 * 86400: "2y",
    (2 * 365 + 3) * 86400: "2y3d",
    9 * 365 * 86400: "9y",
}


@pytest.mark.parametrize(("seconds", "text"), DURATIONS.items(), ids=map(str, DURATIONS))
def test_short_duration(seconds: int, text: str) -> None:
    assert short_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_a_duration_is_short(seconds: int) -> None:
    assert len(short_duration(seconds)) <= 7
