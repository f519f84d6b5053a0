"""Patches of `metadata` and `status`, applied to objects that others write to as well."""

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.group_content import GroupContent
from snapshotter.model.lifecycle import AnyContent
from snapshotter.plan import group_status
from snapshotter.plan.patches import mark_being_created, status_patch, unmark_being_created, without_finalizer
from snapshotter.plan.status import StatusPatch, recorded
from tests.factories import CREATED_AT, content, group_content, group_snapshot, member_info, snapshot
from tests.plan.kinds import Kind, of_both_kinds
from tests.plan.wire import Json, Refused, json_patched, merge_patched

OURS = names.CONTENT_FINALIZER


def document(
    *,
    uid: str = "uid-of-content-1",
    version: str = "10",
    annotations: dict[str, str] | None = None,
    finalizers: list[str] | None = None,
    status: Json | None = None,
) -> Json:
    """A content as the API server holds it, with what others have put into it."""
    metadata: Json = {"name": "content-1", "uid": uid, "resourceVersion": version, "labels": {"theirs": "too"}}
    if annotations is not None:
        metadata["annotations"] = annotations
    if finalizers is not None:
        metadata["finalizers"] = finalizers
    spec = {
        "driver": "mock.csi.example.com",
        "deletionPolicy": "Delete",
        "source": {"volumeHandle": "vol-1"},
        "sourceVolumeMode": "Block",
    }
    return {"metadata": metadata, "spec": spec} | ({} if status is None else {"status": status})


def read(held: Json) -> Content:
    return msgspec.convert(held, Content)


keys = st.text(alphabet="abc", min_size=1, max_size=3).map(lambda name: f"example.com/{name}")
foreign_annotations = st.none() | st.dictionaries(keys, st.text(max_size=3), max_size=4)
foreign_finalizers = st.lists(keys, max_size=3, unique=True)
foreign_status = st.none() | st.dictionaries(
    st.sampled_from(["snapshotHandle", "volumeGroupSnapshotHandle", "theirs"]), st.just("x"), max_size=3
)


def test_the_mark_names_this_object_and_this_key_alone() -> None:
    assert mark_being_created(content()) == {
        "metadata": {"uid": "uid-of-content-1", "annotations": {names.BEING_CREATED: "yes"}}
    }


def test_with_the_mark_comes_our_finalizer_where_it_is_missing() -> None:
    assert mark_being_created(content(finalizers=("example.com/a",), version="7")) == {
        "metadata": {
            "uid": "uid-of-content-1",
            "annotations": {names.BEING_CREATED: "yes"},
            "resourceVersion": "7",
            "finalizers": ["example.com/a", OURS],
        }
    }


def test_an_object_that_is_being_deleted_gets_no_finalizer() -> None:
    """API servers refuse new finalizers then."""
    assert "finalizers" not in mark_being_created(content(finalizers=(), deleting=True))["metadata"]  # type: ignore[operator]


@given(foreign_annotations, foreign_finalizers, st.booleans(), foreign_annotations)
def test_setting_and_removing_the_mark_loses_nothing_of_others(
    annotations: dict[str, str] | None, finalizers: list[str], protected: bool, later: dict[str, str] | None
) -> None:
    """Promise 8; case 24. Annotations that come after we have read the object survive as well."""
    seen = document(annotations=annotations, finalizers=[*finalizers, *([OURS] if protected else [])])
    held = copy.deepcopy(seen)
    if later:
        held["metadata"].setdefault("annotations", {}).update(later)
    marked = merge_patched(held, mark_being_created(read(seen)))
    expected = dict(annotations or {}) | (later or {})
    assert marked["metadata"]["annotations"] == expected | {names.BEING_CREATED: "yes"}
    assert marked["metadata"]["finalizers"] == [*finalizers, OURS]
    assert read(marked).marked_as_being_created

    unmarked = merge_patched(marked, unmark_being_created(read(marked)))
    assert unmarked["metadata"].pop("annotations", {}) == expected
    assert unmarked["metadata"] == {key: value for key, value in marked["metadata"].items() if key != "annotations"}
    assert unmarked["spec"] == seen["spec"]


def test_a_mark_that_brings_our_finalizer_does_not_undo_what_others_did_to_the_list() -> None:
    held = document(version="11", finalizers=["example.com/new"])
    with pytest.raises(Refused):
        merge_patched(held, mark_being_created(content(version="10", finalizers=())))


@pytest.mark.parametrize("patch", [mark_being_created(content()), unmark_being_created(content())])
def test_a_mark_is_not_put_on_another_object_of_the_same_name(patch: dict[str, object]) -> None:
    with pytest.raises(Refused):
        merge_patched(document(uid="uid-of-a-later-one"), patch)


def test_removing_a_mark_that_is_gone_already_is_no_trouble() -> None:
    held = document(annotations={"example.com/a": "1"})
    assert merge_patched(held, unmark_being_created(content()))["metadata"]["annotations"] == {"example.com/a": "1"}


@given(st.lists(keys | st.just(OURS), min_size=1, max_size=5))
def test_letting_go_takes_our_finalizer_and_no_other(finalizers: list[str]) -> None:
    """Promise 8; case 48."""
    assume(OURS in finalizers)
    held = document(finalizers=finalizers, annotations={"example.com/a": "1"})
    released = json_patched(held, without_finalizer(read(held)))
    kept = [name for name in finalizers if name != OURS]
    assert released == document(finalizers=kept, annotations={"example.com/a": "1"})


@given(st.lists(keys, max_size=3), st.lists(keys, max_size=3))
def test_a_list_of_finalizers_that_others_have_changed_stays_as_it_is(seen: list[str], held: list[str]) -> None:
    """Promise 8."""
    assume(seen != held)
    patch = without_finalizer(read(document(finalizers=[*seen, OURS])))
    with pytest.raises(Refused):
        json_patched(document(finalizers=[*held, OURS]), patch)


def test_letting_go_is_about_this_object_alone() -> None:
    patch = without_finalizer(content())
    with pytest.raises(Refused):
        json_patched(document(uid="uid-of-a-later-one", finalizers=[OURS]), patch)


STATUS_PATCHES: dict[str, tuple[Content, StatusPatch, list[dict[str, Any]]]] = {
    "a first status is added as a whole, if there still is none": (
        content(),
        {"snapshotHandle": "snap-1", "error": None, "readyToUse": False},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-content-1"},
            {"op": "test", "path": "/status", "value": None},
            {"op": "add", "path": "/status", "value": {"snapshotHandle": "snap-1", "readyToUse": False}},
        ],
    ),
    "into an empty status single keys are put, those that are set once only where they are not": (
        content(has_status=True),
        {"snapshotHandle": "snap-1", "readyToUse": True},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-content-1"},
            {"op": "test", "path": "/status/snapshotHandle", "value": None},
            {"op": "add", "path": "/status/snapshotHandle", "value": "snap-1"},
            {"op": "add", "path": "/status/readyToUse", "value": True},
        ],
    ),
    "keys that are set once may be removed": (
        content(handle="snap-1", created_at_ns=5),
        {"snapshotHandle": None, "creationTime": None},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-content-1"},
            {"op": "remove", "path": "/status/snapshotHandle"},
            {"op": "remove", "path": "/status/creationTime"},
        ],
    ),
    "keys are set and removed one by one": (
        content(handle="snap-1", ready=False, error="no"),
        {"readyToUse": True, "error": None},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-content-1"},
            {"op": "add", "path": "/status/readyToUse", "value": True},
            {"op": "remove", "path": "/status/error"},
        ],
    ),
}


@pytest.mark.parametrize(("given_content", "status", "expected"), STATUS_PATCHES.values(), ids=STATUS_PATCHES.keys())
def test_status_patch(given_content: Content, status: StatusPatch, expected: list[dict[str, Any]]) -> None:
    assert status_patch(given_content, status) == expected


our_status = st.dictionaries(
    st.sampled_from(["snapshotHandle", "creationTime", "restoreSize", "readyToUse", "error"]),
    st.sampled_from([True, 5, "snap-1", {"message": "no"}]),
    min_size=1,
)


@given(foreign_status, our_status)
def test_a_status_patch_changes_the_keys_that_it_names_and_no_other(status: Json | None, ours: Json) -> None:
    """Promise 8."""
    held = document(status=status, annotations={"example.com/a": "1"}, finalizers=[OURS])
    seen = content() if status is None else content(has_status=True)
    if status is not None and "snapshotHandle" in status and "snapshotHandle" in ours:
        with pytest.raises(Refused):
            json_patched(held, status_patch(seen, ours))
    else:
        assert json_patched(held, status_patch(seen, ours)) == held | {"status": (status or {}) | ours}


@given(st.sampled_from([None, "", "snap-0"]), st.sampled_from([None, 5]), st.sampled_from([None, False, True]))
def test_what_an_answer_gives_fits_the_object_that_it_was_computed_for(
    handle: str | None, created_at_ns: int | None, ready: bool | None
) -> None:
    """An empty handle is as good as none, and is replaced."""
    held = document(
        status={
            key: value
            for key, value in {"snapshotHandle": handle, "creationTime": created_at_ns, "readyToUse": ready}.items()
            if value is not None
        }
    )
    change = recorded(read(held), snapshot(), datetime(2024, 5, 6, tzinfo=UTC))
    if change is None:
        return
    written = read(json_patched(held, status_patch(read(held), change)))
    assert written.handle == (handle or "snap-1")
    assert written.ready


def test_a_first_status_does_not_take_the_place_of_another_one() -> None:
    patch = status_patch(content(), {"readyToUse": False})
    with pytest.raises(Refused):
        json_patched(document(status={"snapshotHandle": "snap-1"}), patch)


@pytest.mark.parametrize("seen", [content(), content(has_status=True)])
def test_a_status_is_written_to_this_object_alone(seen: Content) -> None:
    held = document(uid="uid-of-a-later-one", status=None if seen.written_status is None else {})
    with pytest.raises(Refused):
        json_patched(held, status_patch(seen, {"readyToUse": False}))


GROUP_STATUS_PATCHES: dict[str, tuple[GroupContent, StatusPatch, list[dict[str, Any]]]] = {
    "a first status is added as a whole, if there still is none": (
        group_content(),
        {"volumeGroupSnapshotHandle": "group-1", "error": None, "readyToUse": False},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-group-content-1"},
            {"op": "test", "path": "/status", "value": None},
            {"op": "add", "path": "/status", "value": {"volumeGroupSnapshotHandle": "group-1", "readyToUse": False}},
        ],
    ),
    "handle and time are put only where there are none, and the members take the place of those before": (
        group_content(has_status=True),
        {"volumeGroupSnapshotHandle": "group-1", "creationTime": CREATED_AT, "volumeSnapshotInfoList": []},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-group-content-1"},
            {"op": "test", "path": "/status/volumeGroupSnapshotHandle", "value": None},
            {"op": "test", "path": "/status/creationTime", "value": None},
            {"op": "add", "path": "/status/volumeGroupSnapshotHandle", "value": "group-1"},
            {"op": "add", "path": "/status/creationTime", "value": CREATED_AT},
            {"op": "add", "path": "/status/volumeSnapshotInfoList", "value": []},
        ],
    ),
    "what a deleted group was is removed key by key": (
        group_content(handle="group-1", created_at=CREATED_AT, ready=True),
        {"volumeGroupSnapshotHandle": None, "creationTime": None, "readyToUse": None},
        [
            {"op": "test", "path": "/metadata/uid", "value": "uid-of-group-content-1"},
            {"op": "remove", "path": "/status/volumeGroupSnapshotHandle"},
            {"op": "remove", "path": "/status/creationTime"},
            {"op": "remove", "path": "/status/readyToUse"},
        ],
    ),
}


@pytest.mark.parametrize(
    ("given_content", "status", "expected"), GROUP_STATUS_PATCHES.values(), ids=GROUP_STATUS_PATCHES.keys()
)
def test_status_patch_of_a_group(
    given_content: GroupContent, status: StatusPatch, expected: list[dict[str, Any]]
) -> None:
    assert status_patch(given_content, status) == expected


def held_as(given_content: AnyContent, version: str = "10") -> Json:
    """The object as the API server holds it, with what others have put into it."""
    held: Json = msgspec.json.decode(msgspec.json.encode(given_content))
    kept = {key: value for key, value in held["metadata"]["annotations"].items() if value is not None}
    held["metadata"] |= {"annotations": kept | {"example.com/a": "1"}, "labels": {"theirs": "too"}}
    held["metadata"]["resourceVersion"] = version
    status = {key: value for key, value in (held.pop("status") or {}).items() if value is not None}
    return held | ({"status": status | {"theirs": 1}} if given_content.has_status else {})


@of_both_kinds
def test_marks_and_finalizer_are_those_of_the_kind(kind: Kind) -> None:
    """Case 88; promise 8."""
    bare = kind.make(finalizers=("example.com/b",))
    marked = merge_patched(held_as(bare), mark_being_created(bare))
    known = msgspec.convert(marked, type(bare))
    assert known.marked_as_being_created
    assert known.protected
    assert marked["metadata"]["annotations"] == {bare.keys.being_created: "yes", "example.com/a": "1"}
    assert marked["metadata"]["finalizers"] == ["example.com/b", bare.keys.finalizer]

    unmarked = merge_patched(marked, unmark_being_created(known))
    assert unmarked["metadata"]["annotations"] == {"example.com/a": "1"}
    released = json_patched(unmarked, without_finalizer(msgspec.convert(unmarked, type(bare))))
    assert released == held_as(bare)


@of_both_kinds
def test_nothing_is_written_to_another_object_of_the_same_name(kind: Kind) -> None:
    seen, later = kind.make(), held_as(kind.make(uid="uid-of-a-later-one"))
    for merge in (mark_being_created(seen), unmark_being_created(seen)):
        with pytest.raises(Refused):
            merge_patched(later, merge)
    for operations in (without_finalizer(seen), status_patch(seen, {"readyToUse": False})):
        with pytest.raises(Refused):
            json_patched(later, operations)


GROUP_BEFORE = {
    "no status": group_content(),
    "an empty one": group_content(has_status=True),
    "an empty handle": group_content(handle="", ready=False),
    "an error": group_content(error="no", ready=False),
    "a group in the making": group_content(
        handle="group-1",
        created_at=CREATED_AT,
        ready=False,
        members=(member_info(1, ready=False), member_info(2, ready=False)),
    ),
}


@pytest.mark.parametrize("before", GROUP_BEFORE.values(), ids=GROUP_BEFORE.keys())
def test_what_is_recorded_and_cleared_of_a_group_fits_the_object_that_it_was_computed_for(before: GroupContent) -> None:
    change = group_status.recorded(before, group_snapshot(), datetime(2024, 5, 6, tzinfo=UTC))
    assert change is not None
    written = json_patched(held_as(before), status_patch(before, change))
    known = msgspec.convert(written, GroupContent)
    assert known.ready
    assert (known.handle, known.members) == ("group-1", ("snap-1", "snap-2"))
    assert known.status.error is None

    gone = group_status.cleared(known)
    assert gone is not None
    cleared = json_patched(written, status_patch(known, gone))
    assert set(cleared["status"]) <= {"volumeSnapshotInfoList", "theirs"}
    assert ("theirs" in cleared["status"]) is before.has_status


def test_a_group_that_another_writer_has_recorded_meanwhile_is_not_recorded_over() -> None:
    before = group_content(has_status=True)
    change = group_status.recorded(before, group_snapshot(), datetime(2024, 5, 6, tzinfo=UTC))
    assert change is not None
    with pytest.raises(Refused):
        json_patched(held_as(group_content(handle="group-0")), status_patch(before, change))
