"""Objects that are there and cannot be read: the snapshot-controller does not take them for gone."""

from typing import Any

import pytest

from snapshotter import names
from snapshotter.controller.stores import Stores
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import group_snapshot, snapshot
from snapshotter.plan.requests import GROUP_REASONS, SINGLE_REASONS, Blocked, Refuse, Release, Terms
from snapshotter.runtime.store import SetAside, Store
from tests.factories import DRIVER, group_class, snapshot_class
from tests.requests import (
    CREATED_AT,
    GROUP_UID,
    UID,
    claim,
    cluster,
    group_request,
    made_content,
    request,
    volume,
)

WHY = "Expected `str`, got `int` - at `$.spec.driver`"
MADE, GROUP_MADE = f"snapcontent-{UID}", f"groupsnapcontent-{GROUP_UID}"
CONTENT_TROUBLE = f'VolumeSnapshotContent "{MADE}" cannot be read: {WHY}'
GROUP_TROUBLE = f'VolumeGroupSnapshotContent "{GROUP_MADE}" cannot be read: {WHY}'
STORAGE = (snapshot_class(), claim(), volume(), group_class())


def unreadable(plural: str, key: str, *, known: Stores | None = None) -> Stores:
    """A cluster in which an object cannot be read."""
    known = cluster(*STORAGE) if known is None else known
    stores: dict[str, Store[Any]] = {
        "contents": known.singles.contents,
        "classes": known.singles.classes,
        "group contents": known.groups.contents,
        "group classes": known.groups.classes,
        "claims": known.storage.claims,
        "volumes": known.storage.volumes,
    }
    assert stores[plural].set_aside(SetAside(key, "99", WHY))
    return known


SINGLES = {
    "a content that was told of is there, and users keep what they have": (
        request(bound=MADE, created=CREATED_AT, ready=True),
        unreadable("contents", MADE),
        Refuse(SINGLE_REASONS.content_mismatch, CONTENT_TROUBLE, ready=None),
    ),
    "a content of which nobody was told is not made again": (
        request(),
        unreadable("contents", MADE),
        Refuse(SINGLE_REASONS.content_mismatch, CONTENT_TROUBLE, ready=None),
    ),
    "a content to be imported": (
        request(imports="imported"),
        unreadable("contents", "imported"),
        Refuse(
            SINGLE_REASONS.content_mismatch,
            f'VolumeSnapshotContent "imported" cannot be read: {WHY}',
            ready=None,
        ),
    ),
    "a class": (
        request(),
        unreadable("classes", "class-1"),
        Refuse(SINGLE_REASONS.class_missing, f'VolumeSnapshotClass "class-1" cannot be read: {WHY}', ready=None),
    ),
    "a claim": (
        request(),
        unreadable("claims", "shop/data"),
        Refuse(SINGLE_REASONS.creation_failed, f'PersistentVolumeClaim "shop/data" cannot be read: {WHY}'),
    ),
    "a volume": (
        request(),
        unreadable("volumes", "pv-data"),
        Refuse(
            SINGLE_REASONS.creation_failed,
            f'PersistentVolume "pv-data" of PersistentVolumeClaim "shop/data" cannot be read: {WHY}',
        ),
    ),
    "a deleted snapshot does not leave its content behind": (
        request(deleting=True, bound=MADE, created=CREATED_AT, ready=True),
        unreadable("contents", MADE),
        Blocked(CONTENT_TROUBLE),
    ),
    "a deleted snapshot does not leave a content behind of which it was not told": (
        request(deleting=True),
        unreadable("contents", MADE),
        Blocked(CONTENT_TROUBLE),
    ),
    "a deleted snapshot whose own content is known does not mind others": (
        request(deleting=True, bound="other", finalizers=(names.SOURCE_FINALIZER,)),
        unreadable("contents", "odd", known=cluster(*STORAGE)),
        Release((names.SOURCE_FINALIZER,)),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), SINGLES.values(), ids=SINGLES.keys())
def test_a_snapshot_says_what_cannot_be_read(given: VolumeSnapshot, known: Stores, expected: snapshot.Action) -> None:
    if isinstance(expected, Release):
        known.storage.claims.remove("shop/data")
    assert snapshot.next_action(given, known, Terms()) == expected


GROUPS = {
    "a content that was told of is there, and users keep what they have": (
        group_request(bound=GROUP_MADE, created=CREATED_AT, ready=True),
        unreadable("group contents", GROUP_MADE),
        Refuse(GROUP_REASONS.content_mismatch, GROUP_TROUBLE, ready=None),
    ),
    "a class": (
        group_request(),
        unreadable("group classes", "class-1"),
        Refuse(GROUP_REASONS.class_missing, f'VolumeGroupSnapshotClass "class-1" cannot be read: {WHY}', ready=None),
    ),
    "a claim that the selector may take: a group must not lack a volume": (
        group_request(),
        unreadable("claims", "shop/odd"),
        Refuse(
            GROUP_REASONS.creation_failed,
            f'PersistentVolumeClaim "shop/odd" cannot be read, so nobody can tell if the selector takes it: {WHY}',
        ),
    ),
    "a deleted group does not leave its content behind": (
        group_request(deleting=True, bound=GROUP_MADE, created=CREATED_AT, ready=True),
        unreadable("group contents", GROUP_MADE),
        Blocked(GROUP_TROUBLE),
    ),
    "a deleted group whose content is gone goes": (
        group_request(deleting=True, bound=GROUP_MADE, created=CREATED_AT, ready=True),
        unreadable("group contents", "odd"),
        Release((names.GROUP_BOUND_FINALIZER,)),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), GROUPS.values(), ids=GROUPS.keys())
def test_a_group_says_what_cannot_be_read(
    given: VolumeGroupSnapshot, known: Stores, expected: group_snapshot.Action
) -> None:
    if isinstance(expected, Release):
        known.storage.claims.remove("shop/data")
    assert group_snapshot.next_action(given, known, Terms()) == expected


REFUSED = "permission is missing: list"


def unlisted() -> Stores:
    """A cluster whose classes we may not read."""
    known = cluster(*(each for each in STORAGE if each not in (snapshot_class(), group_class())))
    known.singles.trouble_with_classes = known.groups.trouble_with_classes = lambda: REFUSED
    return known


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("class-1", '{} "class-1" cannot be read: '),
        (None, 'no {} is named, and the default one of driver "' + DRIVER + '" cannot be read: '),
    ],
    ids=["a named class", "the default class"],
)
def test_that_classes_may_not_be_read_is_not_said_to_be_the_users_fault(class_name: str | None, words: str) -> None:
    single = snapshot.next_action(request(class_name=class_name), unlisted(), Terms())
    assert isinstance(single, Refuse)
    assert single.problem == words.format("VolumeSnapshotClass") + REFUSED
    group = group_snapshot.next_action(group_request(class_name=class_name), unlisted(), Terms())
    assert isinstance(group, Refuse)
    assert group.problem == words.format("VolumeGroupSnapshotClass") + REFUSED


def test_a_claim_of_another_namespace_is_nothing_to_a_group() -> None:
    known = unreadable("claims", "bank/odd")
    assert not isinstance(group_snapshot.next_action(group_request(), known, Terms()), Refuse)


def test_what_is_mended_counts_again() -> None:
    known = unreadable("contents", MADE)
    known.singles.contents.end(MADE, "100")
    known.singles.contents.put(made_content())
    assert not isinstance(snapshot.next_action(request(deleting=True, bound=MADE), known, Terms()), Blocked)
