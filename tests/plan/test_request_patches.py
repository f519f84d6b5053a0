"""Patches of the snapshot-controller, applied to objects that others write to as well."""

from typing import Any

import pytest

from snapshotter import names
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.bodies import owner
from snapshotter.plan.patches import (
    add_owner,
    bind_content,
    mark_being_deleted,
    prepare,
    status_patch,
    with_finalizers,
    without_finalizers,
)
from snapshotter.plan.requests import BindContent, Prepare
from tests.plan.wire import Json, Refused, json_patched, merge_patched
from tests.requests import BOTH, BOUND, SOURCE, UID, group_request, made_content, request

THEIRS = "example.com/theirs"


def held(uid: str = UID, **metadata: Any) -> Json:
    """A request as the API server holds it."""
    return {"metadata": {"name": "nightly", "uid": uid, "resourceVersion": "10", **metadata}, "spec": {"source": {}}}


ADDING: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str]]] = {
    "none is there": ((), BOTH, [*BOTH]),
    "others' are there (case 83)": ((THEIRS,), BOTH, [THEIRS, *BOTH]),
    "one of ours is there": ((SOURCE, THEIRS), BOTH, [SOURCE, THEIRS, BOUND]),
}


@pytest.mark.parametrize(("there", "added", "expected"), ADDING.values(), ids=ADDING.keys())
def test_finalizers_are_added(there: tuple[str, ...], added: tuple[str, ...], expected: list[str]) -> None:
    patch = with_finalizers(request(finalizers=there).metadata, added)
    given = held(finalizers=list(there)) if there else held()
    assert json_patched(given, patch)["metadata"]["finalizers"] == expected


def test_finalizers_that_are_there_change_nothing() -> None:
    given = held(finalizers=[*BOTH])
    assert json_patched(given, with_finalizers(request().metadata, BOTH)) == given


DROPPING: dict[str, tuple[list[str], list[str]]] = {
    "only ours": ([SOURCE, BOUND], []),
    "others' stay, in their order (case 84)": (["a/a", SOURCE, "b/b", BOUND, "c/c"], ["a/a", "b/b", "c/c"]),
    "one of them three times (case 91)": ([SOURCE, SOURCE, "a/a", SOURCE], ["a/a"]),
}


@pytest.mark.parametrize(("there", "expected"), DROPPING.values(), ids=DROPPING.keys())
def test_finalizers_are_dropped(there: list[str], expected: list[str]) -> None:
    patch = without_finalizers(request(finalizers=tuple(there)).metadata, BOTH)
    assert json_patched(held(finalizers=there), patch)["metadata"]["finalizers"] == expected


@pytest.mark.parametrize(
    "given",
    [held("another", finalizers=[SOURCE]), held(finalizers=[SOURCE, THEIRS]), held()],
    ids=["another object of that name", "a list that somebody has added to", "no list any more"],
)
def test_finalizers_are_not_written_over(given: Json) -> None:
    known = request(finalizers=(SOURCE,))
    for patch in (with_finalizers(known.metadata, BOTH), without_finalizers(known.metadata, BOTH)):
        with pytest.raises(Refused):
            json_patched(given, patch)


def test_a_class_is_written_with_the_finalizers() -> None:
    """Case 65."""
    written = json_patched(held(), prepare(request(finalizers=(), class_name=None), Prepare(BOTH, "class-1")))
    assert written["metadata"]["finalizers"] == [*BOTH]
    assert written["spec"]["volumeSnapshotClassName"] == "class-1"


def test_without_a_class_to_write_the_spec_is_left_alone() -> None:
    written = json_patched(held(), prepare(request(finalizers=()), Prepare(BOTH)))
    assert (written["metadata"]["finalizers"], written["spec"]) == ([*BOTH], {"source": {}})


def test_a_class_that_the_user_has_chosen_meanwhile_stays() -> None:
    given = held()
    given["spec"]["volumeSnapshotClassName"] = "theirs"
    with pytest.raises(Refused):
        json_patched(given, prepare(request(finalizers=(), class_name=None), Prepare(BOTH, "class-1")))


def content_held(ref_uid: str | None = None) -> Json:
    ref = {"name": "nightly", "namespace": "shop"} | ({} if ref_uid is None else {"uid": ref_uid})
    return {
        "metadata": {
            "name": "imported",
            "uid": "uid-of-content",
            "resourceVersion": "10",
            "annotations": {THEIRS: "x"},
        },
        "spec": {"volumeSnapshotRef": ref},
    }


@pytest.mark.parametrize("ref_uid", [None, ""], ids=["it names nobody", "it names nobody in so many words"])
def test_a_content_is_bound(ref_uid: str | None) -> None:
    """Case 42."""
    known = made_content("imported", imported="snap-1", ref_uid=ref_uid, class_name=None)
    written = json_patched(content_held(ref_uid), bind_content(known, BindContent("imported", UID, "class-1")))
    assert written["spec"]["volumeSnapshotRef"]["uid"] == UID
    assert written["spec"]["volumeSnapshotClassName"] == "class-1"


def test_a_content_that_another_has_taken_meanwhile_is_not_bound_again() -> None:
    known = made_content("imported", imported="snap-1", ref_uid=None)
    given = content_held("another")
    given["metadata"]["resourceVersion"] = "11"
    with pytest.raises(Refused):
        json_patched(given, bind_content(known, BindContent("imported", UID)))


@pytest.mark.parametrize(
    ("deleting", "finalizers", "written"),
    [
        (False, (), [names.CONTENT_FINALIZER]),
        (False, (THEIRS,), [THEIRS, names.CONTENT_FINALIZER]),
        (False, (THEIRS, names.CONTENT_FINALIZER), [THEIRS, names.CONTENT_FINALIZER]),
        (True, (THEIRS,), [THEIRS]),
    ],
    ids=["it has none", "it has others'", "it has ours", "it takes no more"],
)
def test_a_content_that_is_bound_is_protected(deleting: bool, finalizers: tuple[str, ...], written: list[str]) -> None:
    known = made_content("imported", imported="snap-1", ref_uid=None, finalizers=finalizers, deleting=deleting)
    given = content_held(None)
    given["metadata"]["finalizers"] = list(finalizers)
    assert json_patched(given, bind_content(known, BindContent("imported", UID)))["metadata"]["finalizers"] == written


def test_a_class_is_written_into_a_content_that_is_bound() -> None:
    known = made_content("imported", imported="snap-1", class_name=None)
    written = json_patched(content_held(UID), bind_content(known, BindContent("imported", UID, "class-1")))
    assert written["spec"] == {
        "volumeSnapshotRef": {"name": "nightly", "namespace": "shop", "uid": UID},
        "volumeSnapshotClassName": "class-1",
    }


def test_the_mark_of_a_deletion_erases_nothing() -> None:
    """Case 115, W7."""
    written = merge_patched(content_held(), mark_being_deleted(made_content()))
    assert written["metadata"]["annotations"] == {THEIRS: "x", names.BEING_DELETED: "yes"}


OWNER = owner(group_request())
OTHER = {"apiVersion": "example.com/v1", "kind": "Backup", "name": "b", "uid": "u"}


def test_an_owner_is_added() -> None:
    """Case 155."""
    written = json_patched(held(), add_owner(request(), OWNER))
    assert written["metadata"]["ownerReferences"] == [OWNER]


def test_an_owner_is_added_beside_others() -> None:
    """Case 155."""
    written = json_patched(held(ownerReferences=[OTHER]), add_owner(request(owners=(OTHER,)), OWNER))
    assert written["metadata"]["ownerReferences"] == [OTHER, OWNER]


@pytest.mark.parametrize("known", [request(), request(owners=(OTHER,))], ids=["the first", "another one"])
def test_an_owner_that_comes_meanwhile_is_not_doubled(known: VolumeSnapshot) -> None:
    given = held(ownerReferences=[OTHER, OWNER])
    given["metadata"]["resourceVersion"] = "11"
    with pytest.raises(Refused):
        json_patched(given, add_owner(known, OWNER))


def test_a_request_of_another_uid_is_not_reported_to() -> None:
    """W28."""
    patch = status_patch(request(), {"boundVolumeSnapshotContentName": "c", "readyToUse": False})
    assert json_patched(held(), patch)["status"] == {"boundVolumeSnapshotContentName": "c", "readyToUse": False}
    with pytest.raises(Refused):
        json_patched(held("another"), patch)


def test_a_binding_is_written_once() -> None:
    patch = status_patch(request(has_status=True), {"boundVolumeSnapshotContentName": "c"})
    given = {**held(), "status": {"boundVolumeSnapshotContentName": "another"}}
    with pytest.raises(Refused):
        json_patched(given, patch)
