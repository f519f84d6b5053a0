"""The name and the parameters of a create request, for a snapshot and for a group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter import names
from snapshotter.plan.create import Prepared, driver_parameters, extra_metadata, prepare, snapshot_name
from snapshotter.plan.lifecycle import Naming, Refuse, Step
from snapshotter.plan.secrets import Problem, SecretRef
from tests.factories import content, group_class, group_content, terms
from tests.plan.kinds import Kind, of_both_kinds

UID = "11111111-2222-3333-4444-555555555555"

NAMES = {
    "the uid as it is": (Naming(), f"snapshot-{UID}"),
    "another prefix": (Naming("cut"), f"cut-{UID}"),
    "a few characters of the uid, without dashes": (Naming("snapshot", 10), "snapshot-1111111122"),
    "all of its characters, without dashes": (Naming("snapshot", 32), "snapshot-11111111222233334444555555555555"),
    "more than there are": (Naming("snapshot", 99), "snapshot-11111111222233334444555555555555"),
}


@of_both_kinds
@pytest.mark.parametrize(("naming", "expected"), NAMES.values(), ids=NAMES.keys())
def test_a_snapshot_is_named_after_its_uid(kind: Kind, naming: Naming, expected: str) -> None:
    """Case 80."""
    assert snapshot_name(naming, kind.make(ref_uid=UID)) == expected


@of_both_kinds
@pytest.mark.parametrize("naming", [Naming(), Naming("snapshot", 8)])
def test_without_a_uid_there_is_no_name(kind: Kind, naming: Naming) -> None:
    """Cases 32, 76."""
    given_content = kind.make(ref_uid="")
    assert snapshot_name(naming, given_content) == Problem(
        f"spec.{given_content.keys.ref}.uid is empty, so the snapshot has no name"
    )


@of_both_kinds
@given(st.uuids(), st.none() | st.integers(min_value=1, max_value=64))
def test_a_name_is_the_same_whenever_it_is_asked(kind: Kind, uid: object, length: int | None) -> None:
    naming = Naming("snapshot", length)
    before = snapshot_name(naming, kind.make(ref_uid=str(uid)))
    after = snapshot_name(
        naming, kind.make(ref_uid=str(uid), version="99", handle="h", ready=False, error="no", deleting=True)
    )
    assert before == after


PARAMETERS = {
    "ordinary ones are passed on (case 63)": ({"pool": "fast", "csiFoo": "bar"}, {"pool": "fast", "csiFoo": "bar"}),
    "known reserved ones are not (case 63)": (
        {"pool": "fast", names.LIST_SECRET_NAME: "secret-1", names.LIST_SECRET_NAMESPACE: "ns-1"},
        {"pool": "fast"},
    ),
    "nothing is left of reserved ones alone (case 63)": (dict.fromkeys(names.RESERVED_PARAMETERS, "x"), {}),
    "none are none (case 63)": ({}, {}),
    "the prefix is reserved at the start alone": ({"x/csi.storage.k8s.io/y": "z"}, {"x/csi.storage.k8s.io/y": "z"}),
    "the prefix is reserved in lower case alone": ({"CSI.storage.k8s.io/y": "z"}, {"CSI.storage.k8s.io/y": "z"}),
    "the annotation's names are ordinary (case 6)": (
        {names.DELETION_SECRET_NAME: "x"},
        {names.DELETION_SECRET_NAME: "x"},
    ),
}


@pytest.mark.parametrize(("parameters", "expected"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_the_driver_gets_the_parameters_that_are_for_it(parameters: dict[str, str], expected: dict[str, str]) -> None:
    before = dict(parameters)
    assert driver_parameters(parameters) == expected
    assert parameters == before


@pytest.mark.parametrize(
    "key",
    [
        "csi.storage.k8s.io/",
        "csi.storage.k8s.io/fstype",
        names.METADATA_SNAPSHOT_NAME,
        names.METADATA_SNAPSHOT_NAMESPACE,
        names.METADATA_CONTENT_NAME,
        names.METADATA_GROUP_SNAPSHOT_NAME,
        "csi.storage.k8s.io/Snapshotter-Secret-Name",
    ],
)
def test_an_unknown_reserved_parameter_is_a_mistake(key: str) -> None:
    """Case 64."""
    problem = driver_parameters({"pool": "fast", key: "a value"})
    assert isinstance(problem, Problem)
    assert f'"{key}"' in problem.text
    assert names.RESERVED_PREFIX in problem.text
    assert "a value" not in problem.text


@given(st.sets(st.text(alphabet="abc-"), min_size=1))
def test_all_unknown_reserved_parameters_are_told_in_one_order(endings: set[str]) -> None:
    keys = [names.RESERVED_PREFIX + ending for ending in endings]
    problem = driver_parameters(dict.fromkeys(keys, ""))
    assert problem == driver_parameters(dict.fromkeys(reversed(keys), ""))
    assert isinstance(problem, Problem)
    assert all(f'"{key}"' in problem.text for key in keys)


def test_extra_metadata_names_the_objects_behind_the_snapshot() -> None:
    """Case 1."""
    assert extra_metadata(content(name="content-7")) == {
        "csi.storage.k8s.io/volumesnapshot/name": "snap",
        "csi.storage.k8s.io/volumesnapshot/namespace": "ns",
        "csi.storage.k8s.io/volumesnapshotcontent/name": "content-7",
    }


def test_extra_metadata_names_the_objects_behind_the_group() -> None:
    """Case 77."""
    assert extra_metadata(group_content(name="content-7")) == {
        "csi.storage.k8s.io/volumegroupsnapshot/name": "group",
        "csi.storage.k8s.io/volumegroupsnapshot/namespace": "ns",
        "csi.storage.k8s.io/volumegroupsnapshotcontent/name": "content-7",
    }


def test_everything_about_a_group_but_its_volumes_is_prepared() -> None:
    """Cases 80, 82."""
    annotations = {names.GROUP_DELETION_SECRET_NAME: "secret-1", names.GROUP_DELETION_SECRET_NAMESPACE: "ns-1"}
    parameters = {"pool": "fast", names.GROUP_GET_SECRET_NAME: "a", names.GROUP_GET_SECRET_NAMESPACE: "b"}
    assert prepare(
        group_content(ref_uid=UID, annotations=annotations),
        group_class(parameters=parameters),
        terms(naming=Naming("groupsnapshot", 8)),
    ) == Prepared("groupsnapshot-11111111", SecretRef("ns-1", "secret-1"), {"pool": "fast"})


@of_both_kinds
def test_without_a_class_nothing_is_prepared(kind: Kind) -> None:
    """Cases 11, 81."""
    given_content = kind.make(class_name=None)
    assert prepare(given_content, None, terms()) == Refuse(
        Step.CREATE, f"spec.{given_content.keys.class_name} is not set, and creating needs a class"
    )
