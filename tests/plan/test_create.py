"""The name and the parameters of a CreateSnapshot request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter import names
from snapshotter.plan.create import driver_parameters, extra_metadata, snapshot_name
from snapshotter.plan.lifecycle import Naming
from snapshotter.plan.secrets import Problem
from tests.factories import content

UID = "11111111-2222-3333-4444-555555555555"

NAMES = {
    "the uid as it is": (Naming(), f"snapshot-{UID}"),
    "another prefix": (Naming("cut"), f"cut-{UID}"),
    "a few characters of the uid, without dashes": (Naming("snapshot", 10), "snapshot-1111111122"),
    "all of its characters, without dashes": (Naming("snapshot", 32), "snapshot-11111111222233334444555555555555"),
    "more than there are": (Naming("snapshot", 99), "snapshot-11111111222233334444555555555555"),
}


@pytest.mark.parametrize(("naming", "expected"), NAMES.values(), ids=NAMES.keys())
def test_a_snapshot_is_named_after_its_uid(naming: Naming, expected: str) -> None:
    assert snapshot_name(naming, content(ref_uid=UID)) == expected


@pytest.mark.parametrize("naming", [Naming(), Naming("snapshot", 8)])
def test_without_a_uid_there_is_no_name(naming: Naming) -> None:
    """Case 32."""
    assert isinstance(snapshot_name(naming, content(ref_uid="")), Problem)


@given(st.uuids(), st.none() | st.integers(min_value=1, max_value=64))
def test_a_name_is_the_same_whenever_it_is_asked(uid: object, length: int | None) -> None:
    naming = Naming("snapshot", length)
    before = snapshot_name(naming, content(ref_uid=str(uid)))
    after = snapshot_name(
        naming, content(ref_uid=str(uid), version="99", handle="snap-1", ready=False, error="no", deleting=True)
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
