"""VolumeSnapshots, VolumeGroupSnapshots and storage objects, decoded from what an API server sends."""

from typing import Any

import msgspec
import pytest

from snapshotter import names
from snapshotter.model.storage import Claim, Volume
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from tests.requests import (
    CREATED_AT,
    GROUP_BOUND,
    GROUP_UID,
    SOURCE,
    UID,
    claim,
    group_request,
    made_group_content,
    owner,
    request,
    volume,
)


def test_a_snapshot_without_a_status_has_an_empty_one() -> None:
    bare = request()
    assert not bare.has_status
    assert (bare.bound_name, bare.cut, bare.ready, bare.status.error) == (None, False, False, None)
    assert request(has_status=True).has_status
    assert not group_request().has_status
    assert group_request(has_status=True).has_status


REQUESTS: dict[str, tuple[UserSnapshot, str, str]] = {
    "a snapshot": (request(bound="c", created=CREATED_AT, ready=True), f"snapcontent-{UID}", "shop/nightly"),
    "a group": (
        group_request(bound="c", created=CREATED_AT, ready=True),
        f"groupsnapcontent-{GROUP_UID}",
        "shop/group",
    ),
}


@pytest.mark.parametrize(("given", "made_name", "key"), REQUESTS.values(), ids=REQUESTS.keys())
def test_requests_of_both_kinds_tell_the_same(given: UserSnapshot, made_name: str, key: str) -> None:
    assert (given.key, given.name, given.namespace) == (key, key.removeprefix("shop/"), "shop")
    assert given.made_name == made_name
    assert (given.bound_name, given.cut, given.ready, given.class_name) == ("c", True, True, "class-1")
    assert given.set_once == {given.keys.bound_name: "c", "creationTime": CREATED_AT}
    assert not given.deleting


def test_a_request_is_held_by_a_finalizer_of_ours() -> None:
    assert request(finalizers=("example.com/theirs", SOURCE)).held
    assert not request(finalizers=("example.com/theirs",)).held
    assert group_request(finalizers=(GROUP_BOUND,)).held
    assert not group_request(finalizers=(SOURCE,)).held


def test_an_empty_string_is_nothing() -> None:
    assert request(class_name="").class_name is None
    assert request(bound="").bound_name is None
    assert group_request(class_name="").class_name is None
    assert group_request(bound="").bound_name is None


def test_a_snapshot_names_its_source() -> None:
    assert (request().claim_name, request().claim_key, request().imported_name) == ("data", "shop/data", None)
    assert (request(imports="c").claim_key, request(imports="c").imported_name) == (None, "c")
    assert (request(claim="").claim_name, request(claim="").claim_key) == ("", None)


OWNERS: dict[str, tuple[tuple[dict[str, str], ...], str | None]] = {
    "nobody": ((), None),
    "a Deployment": ((owner(kind="Deployment"),), None),
    "a group of another API": (({**owner(), "apiVersion": "example.com/v1"},), None),
    "a group without a name": ((owner(""),), None),
    "a group": ((owner(),), "group"),
    "a group in an earlier version (W19)": ((owner(version="v1beta1"),), "group"),
    "the first of two": ((owner(kind="Deployment"), owner("first"), owner("second")), "first"),
}


@pytest.mark.parametrize(("owners", "expected"), OWNERS.values(), ids=OWNERS.keys())
def test_a_member_is_owned_by_its_group(owners: tuple[dict[str, str], ...], expected: str | None) -> None:
    """Case 154."""
    group = request(owners=owners).group
    assert (None if group is None else group.name) == expected


def test_a_size_may_be_a_number() -> None:
    assert request(size=5).status.restore_size == 5
    assert request(size="5Gi").status.restore_size == "5Gi"


def test_a_group_selects_claims() -> None:
    group = group_request(labels={"app": "db"}, expressions=({"key": "tier", "operator": "In", "values": ["a"]},))
    assert group.selector is not None
    assert group.selector.match_labels == {"app": "db"}
    assert [(rule.key, rule.operator, rule.values) for rule in group.selector.match_expressions] == [
        ("tier", "In", ("a",))
    ]
    assert group_request(imports="c").selector is None
    assert group_request(imports="c").imported_name == "c"


def test_a_groups_content_tells_its_node() -> None:
    assert made_group_content(node="node-1").managed_by == "node-1"
    assert made_group_content().managed_by is None


def test_a_claim_is_bound_to_a_volume() -> None:
    assert claim().bound
    assert not claim(phase="Pending").bound
    assert not claim(volume="").bound
    assert claim(deleting=True).deleting
    assert not claim(protected=False).protected


IN_REF = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": "nightly"}
RESTORES: dict[str, tuple[Claim, tuple[str, ...]]] = {
    "a claim of nothing": (claim(phase="Pending"), ()),
    "a claim that waits": (claim(phase="Pending", restores="nightly"), ("shop/nightly",)),
    "a claim that is filled": (claim(restores="nightly"), ()),
    "a claim of another kind": (claim(phase="Pending", restores="nightly", source_kind="PersistentVolumeClaim"), ()),
    "a claim of another API": (claim(phase="Pending", restores="nightly", api_group="example.com"), ()),
    "a claim of the core API": (claim(phase="Pending", restores="nightly", api_group=None), ()),
    "both fields say the same": (
        claim(phase="Pending", restores="nightly", restores_ref=IN_REF),
        ("shop/nightly",),
    ),
    "only the newer field is set": (claim(phase="Pending", restores_ref=IN_REF), ("shop/nightly",)),
    "a snapshot of another namespace": (
        claim(phase="Pending", restores_ref={**IN_REF, "namespace": "bank"}),
        ("bank/nightly",),
    ),
    "no name": (claim(phase="Pending", restores=""), ()),
}


@pytest.mark.parametrize(("given", "expected"), RESTORES.values(), ids=RESTORES.keys())
def test_a_claim_restores(given: Claim, expected: tuple[str, ...]) -> None:
    assert given.restores == expected


BELONGS: dict[str, tuple[Volume, bool]] = {
    "it says so": (volume(), True),
    "it says so without a uid": (volume(claim_uid=""), True),
    "it is nobody's": (volume(unclaimed=True), False),
    "it is another's": (volume(claim_name="other"), False),
    "it is of another namespace": (volume(claim_namespace="bank"), False),
    "it is of an earlier claim of that name": (volume(claim_uid="earlier"), False),
}


@pytest.mark.parametrize(("given", "expected"), BELONGS.values(), ids=BELONGS.keys())
def test_a_volume_belongs_to_its_claim(given: Volume, expected: bool) -> None:
    assert given.belongs_to(claim()) is expected


MINIMAL: dict[str, tuple[type, dict[str, Any]]] = {
    "a snapshot": (VolumeSnapshot, {"spec": {"source": {}}}),
    "a group": (VolumeGroupSnapshot, {"spec": {"source": {}}}),
    "a claim": (Claim, {}),
}


@pytest.mark.parametrize(("kind", "rest"), MINIMAL.values(), ids=MINIMAL.keys())
def test_the_least_that_an_api_server_may_send_is_understood(kind: type, rest: dict[str, Any]) -> None:
    assert msgspec.convert({"metadata": {"name": "n", "namespace": "s"}, **rest}, kind).key == "s/n"
