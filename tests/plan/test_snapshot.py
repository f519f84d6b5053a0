"""What is done next for a VolumeSnapshot. "Case" and "W" are the numbers of the controller's specification."""

from dataclasses import replace
from typing import Any

import pytest

from snapshotter import names
from snapshotter.controller.stores import Stores
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.requests import (
    BindContent,
    Blocked,
    CreateContent,
    DeleteContent,
    MarkContent,
    Prepare,
    ProtectClaims,
    Refuse,
    Release,
    ReleaseClaims,
    Report,
    Settle,
    Terms,
    Told,
    Wait,
)
from snapshotter.plan.snapshot import Action, AddOwner, next_action
from tests.factories import DRIVER, snapshot_class
from tests.requests import (
    BOTH,
    BOUND,
    CREATED_AT,
    CREATED_AT_NS,
    IN_GROUP,
    SOURCE,
    UID,
    claim,
    cluster,
    group_request,
    made_content,
    made_group_content,
    node,
    owner,
    request,
    volume,
)

MADE = f"snapcontent-{UID}"
CLASS = snapshot_class()
STORAGE = (claim(), volume())
FRESH = (CLASS, *STORAGE)
"""All that a new snapshot needs."""
BODY: dict[str, Any] = {
    "metadata": {"name": MADE, "finalizers": [names.CONTENT_FINALIZER]},
    "spec": {
        "volumeSnapshotRef": {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "name": "nightly",
            "namespace": "shop",
            "uid": UID,
        },
        "source": {"volumeHandle": "vol-data"},
        "volumeSnapshotClassName": "class-1",
        "deletionPolicy": "Delete",
        "driver": DRIVER,
        "sourceVolumeMode": "Filesystem",
    },
}
CREATE = CreateContent(BODY, ("shop/data",), driver=DRIVER)
CUT = made_content(handle="snap-1", created_ns=CREATED_AT_NS, size_bytes=5, ready=True)
"""A content whose snapshot is ready."""
READY = request(bound=MADE, created=CREATED_AT, ready=True, size="5")
UNPROTECTED = (claim(protected=False), volume())


def does(given: VolumeSnapshot, known: Stores, **terms: bool) -> Action:
    known.singles.snapshots.put(given)
    return next_action(given, known, Terms(**terms))


def refused(
    reason: str | None, *, ready: bool | None = False, missing: str | None = None, passing: bool = False
) -> Refuse:
    """A refusal, without its text."""
    return Refuse(reason, "", ready, missing, passing)


def shape(action: Action) -> Action:
    """The action; of a refusal all but its text."""
    return replace(action, problem="") if isinstance(action, Refuse) else action


CREATING: dict[str, tuple[VolumeSnapshot, Stores, Action]] = {
    "a new snapshot gets its finalizers first, both in one write (cases 25, 82)": (
        request(finalizers=()),
        cluster(*FRESH),
        Prepare(BOTH),
    ),
    "the one that is missing is added (case 83)": (request(finalizers=(SOURCE,)), cluster(*FRESH), Prepare((BOUND,))),
    "a snapshot that is to be retained is held by one (case 86)": (
        request(finalizers=()),
        cluster(snapshot_class(policy="Retain"), *STORAGE),
        Prepare((SOURCE,)),
    ),
    "then its claim is protected (cases 15, 76)": (
        request(),
        cluster(CLASS, claim(protected=False), volume()),
        ProtectClaims(("shop/data",)),
    ),
    "then its content is made, with all that it takes (cases 1, 3, 4, 66, 177)": (request(), cluster(*FRESH), CREATE),
    "an old error does not stand in the way (case 5)": (
        request(error="once upon a time", ready=False),
        cluster(*FRESH),
        CREATE,
    ),
    "what was bound and never cut is made again": (request(bound=MADE, ready=False), cluster(*FRESH), CREATE),
    "a named class that is not there (cases 6, 67)": (
        request(),
        cluster(*STORAGE),
        refused("GetSnapshotClassFailed", ready=None),
    ),
    "a claim that is not there (case 8)": (request(), cluster(CLASS), refused("SnapshotContentCreationFailed")),
    "a claim of that name in another namespace (case 14)": (
        request(),
        cluster(CLASS, claim(namespace="bank"), volume(claim_namespace="bank")),
        refused("SnapshotContentCreationFailed"),
    ),
    "a volume that is not there (case 9)": (
        request(),
        cluster(CLASS, claim()),
        refused("SnapshotContentCreationFailed", passing=True),
    ),
    "a claim that is not bound (case 10)": (
        request(),
        cluster(CLASS, claim(phase="Pending", volume=""), volume()),
        refused("SnapshotContentCreationFailed", passing=True),
    ),
    "a claim that has lost its volume": (
        request(),
        cluster(CLASS, claim(phase="Lost"), volume()),
        refused("SnapshotContentCreationFailed"),
    ),
    "a claim that is not bound, and no class to choose": (
        request(class_name=None),
        cluster(claim(phase="Pending", volume="")),
        refused("SetDefaultSnapshotClassFailed", ready=None, passing=True),
    ),
    "half a secret (cases 11, 177)": (
        request(),
        cluster(snapshot_class(parameters={names.SNAPSHOTTER_SECRET_NAME: "secret"}), *STORAGE),
        refused("SnapshotContentCreationFailed"),
    ),
    "a claim that is being deleted and not protected (case 16)": (
        request(),
        cluster(CLASS, claim(deleting=True, protected=False), volume()),
        refused("SnapshotContentCreationFailed"),
    ),
    "a claim that is being deleted but protected (case 17)": (
        request(),
        cluster(CLASS, claim(deleting=True), volume()),
        CREATE,
    ),
    "a volume that nobody claims (case 18)": (
        request(),
        cluster(CLASS, claim(), volume(unclaimed=True)),
        refused("SnapshotContentCreationFailed"),
    ),
    "a volume of another claim (case 18)": (
        request(),
        cluster(CLASS, claim(), volume(claim_name="other")),
        refused("SnapshotContentCreationFailed"),
    ),
    "a volume of a claim that had this name before (case 18)": (
        request(),
        cluster(CLASS, claim(), volume(claim_uid="before")),
        refused("SnapshotContentCreationFailed"),
    ),
    "a volume whose claim has no uid there (case 18)": (
        request(),
        cluster(CLASS, claim(), volume(claim_uid="")),
        CREATE,
    ),
    "a volume that is not of CSI (case 19)": (
        request(),
        cluster(CLASS, claim(), volume(driver=None)),
        refused("SnapshotContentCreationFailed"),
    ),
    "a class for another driver (case 23, W13)": (
        request(),
        cluster(snapshot_class(driver="other.example.com"), *STORAGE),
        refused("SnapshotContentCreationFailed"),
    ),
    "both sources (case 24)": (
        request(claim="data", imports="content"),
        cluster(*FRESH),
        refused("SnapshotValidationError"),
    ),
    "no source (case 24)": (request(no_source=True), cluster(*FRESH), refused("SnapshotValidationError")),
    "an import without a name (case 38)": (request(imports=""), cluster(*FRESH), refused(None)),
    "the default class is written with the finalizers (case 65)": (
        request(class_name=None, finalizers=()),
        cluster(snapshot_class(default="true"), *STORAGE),
        Prepare(BOTH, "class-1"),
    ),
    "the default class is written also when the finalizers are there": (
        request(class_name=None),
        cluster(snapshot_class(default="true"), *STORAGE),
        Prepare((), "class-1"),
    ),
    "no default class, for a claim that is not there (case 68)": (
        request(class_name=None),
        cluster(snapshot_class(default="true")),
        refused("SetDefaultSnapshotClassFailed", ready=None),
    ),
    "two default classes (case 69)": (
        request(class_name=None),
        cluster(snapshot_class(default="true"), snapshot_class(name="class-2", default="true"), *STORAGE),
        refused("SetDefaultSnapshotClassFailed", ready=None),
    ),
    "a default class of another driver (case 70)": (
        request(class_name=None),
        cluster(snapshot_class(default="true", driver="other.example.com"), *STORAGE),
        refused("SetDefaultSnapshotClassFailed", ready=None),
    ),
    "a default class that another driver has as well is no second one": (
        request(class_name=None),
        cluster(
            snapshot_class(default="true"),
            snapshot_class(name="class-2", default="true", driver="other.example.com"),
            *STORAGE,
        ),
        Prepare((), "class-1"),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), CREATING.values(), ids=CREATING.keys())
def test_a_snapshot_is_made(given: VolumeSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected


TEXTS: dict[str, tuple[VolumeSnapshot, Stores, str]] = {
    "the missing class": (request(), cluster(*STORAGE), 'VolumeSnapshotClass "class-1" does not exist'),
    "the missing claim": (request(), cluster(CLASS), 'PersistentVolumeClaim "shop/data" does not exist'),
    "the claim that is not bound": (
        request(),
        cluster(CLASS, claim(phase="Pending", volume="")),
        'PersistentVolumeClaim "shop/data" is not bound to a volume: it is Pending',
    ),
    "both drivers": (
        request(),
        cluster(snapshot_class(driver="other.example.com"), *STORAGE),
        f'"other.example.com", but PersistentVolumeClaim "shop/data" is on a volume of driver "{DRIVER}"',
    ),
    "how many default classes there are": (
        request(class_name=None),
        cluster(snapshot_class(default="true"), snapshot_class(name="class-2", default="true"), *STORAGE),
        f'2 are marked as the default of driver "{DRIVER}": "class-1", "class-2"',
    ),
    "that there is no default class": (request(class_name=None), cluster(*STORAGE), "0 are marked as the default"),
    "which class has half a secret": (
        request(),
        cluster(snapshot_class(parameters={names.SNAPSHOTTER_SECRET_NAME: "secret"}), *STORAGE),
        'VolumeSnapshotClass "class-1": class parameters',
    ),
    "whose the content is": (
        request(bound=MADE),
        cluster(made_content(ref_uid="another")),
        f'is for VolumeSnapshot "shop/nightly" with uid another and not for this one, "shop/nightly" with uid {UID}',
    ),
    "that the content is nobody's": (
        request(bound=MADE),
        cluster(made_content(ref_uid=None)),
        '"shop/nightly" without a uid and not for this one',
    ),
    "when the lost one was cut": (
        request(bound=MADE, created="2020-01-01T00:00:00Z", ready=False),
        cluster(CUT),
        f'cut at 2020-01-01T00:00:00Z is gone: VolumeSnapshotContent "{MADE}" has one that was cut at {CREATED_AT}',
    ),
}


@pytest.mark.parametrize(("given", "known", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_a_refusal_names(given: VolumeSnapshot, known: Stores, text: str) -> None:
    action = does(given, known)
    assert isinstance(action, Refuse)
    assert text in action.problem


def test_a_secret_is_written_into_the_content() -> None:
    """Cases 2, 178."""
    parameters = {
        names.SNAPSHOTTER_SECRET_NAME: "secret-of-${volumesnapshot.name}",
        names.SNAPSHOTTER_SECRET_NAMESPACE: "${volumesnapshot.namespace}",
    }
    action = does(request(), cluster(snapshot_class(parameters=parameters), *STORAGE))
    assert isinstance(action, CreateContent)
    assert action.body["metadata"]["annotations"] == {
        names.DELETION_SECRET_NAME: "secret-of-nightly",
        names.DELETION_SECRET_NAMESPACE: "shop",
    }


@pytest.mark.parametrize(
    ("mode", "asked", "written"), [("Block", True, "Block"), ("Block", False, None), (None, True, None)]
)
def test_the_mode_of_the_volume_is_recorded_if_that_is_asked_for(
    mode: str | None, asked: bool, written: str | None
) -> None:
    """Case 20."""
    action = does(request(), cluster(CLASS, claim(), volume(mode=mode)), record_volume_mode=asked)
    assert isinstance(action, CreateContent)
    assert action.body["spec"].get("sourceVolumeMode") == written


AFFINITY = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
}


def test_a_content_is_given_to_a_node_that_reaches_the_volume() -> None:
    """Case 176."""
    known = cluster(CLASS, claim(), volume(affinity=AFFINITY), node("node-2", zone="a"), node("node-1", zone="b"))
    action = does(request(), known, distributed=True)
    assert isinstance(action, CreateContent)
    assert action.body["metadata"]["labels"] == {names.MANAGED_BY: "node-2"}
    assert action.warning is None
    action = does(request(), known)
    assert isinstance(action, CreateContent)
    assert "labels" not in action.body["metadata"]


def test_a_content_that_no_node_can_work_on_is_made_with_a_warning() -> None:
    """Case 176, W16."""
    known = cluster(CLASS, claim(), volume(affinity=AFFINITY), node("node-1", zone="b"))
    action = does(request(), known, distributed=True)
    assert isinstance(action, CreateContent)
    assert "labels" not in action.body["metadata"]
    assert action.warning is not None


ALL_TOLD = {"boundVolumeSnapshotContentName": MADE, "creationTime": CREATED_AT, "readyToUse": True, "restoreSize": "5"}
EVENTS = (
    Told("SnapshotCreated", "VolumeSnapshot shop/nightly was cut by the CSI driver"),
    Told("SnapshotReady", "VolumeSnapshot shop/nightly is ready to use"),
)
IMPORTED = made_content("imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True)
MEMBER = request(owners=(owner(),), finalizers=(*BOTH, IN_GROUP), class_name=None)
MEMBER_CONTENT = made_content(
    "snapcontent-hash",
    class_name=None,
    member_of="g",
    handle="snap-1",
    created_ns=CREATED_AT_NS,
    ready=True,
    group_handle="g",
)

IMPORTED_MEMBER = request(imports="imported", bound="imported", created=CREATED_AT, ready=True, group_name="group")
IMPORTED_IN_GROUP = made_content(
    "imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True, group_handle="g"
)

FOLLOWING: dict[str, tuple[VolumeSnapshot, Stores, Action]] = {
    "a new content is named in the status (cases 1, 53)": (
        request(),
        cluster(made_content(), *FRESH),
        Report({"boundVolumeSnapshotContentName": MADE, "readyToUse": False}),
    ),
    "nothing is told twice (case 40)": (request(bound=MADE, ready=False), cluster(made_content(), *FRESH), Wait()),
    "a content that is ready says it all at once (cases 39, 46, 48, 61)": (
        request(),
        cluster(CUT, *FRESH),
        Report(ALL_TOLD, EVENTS),
    ),
    "becoming ready is told (case 47)": (
        request(bound=MADE, created=CREATED_AT, ready=False, size="5"),
        cluster(CUT, *FRESH),
        Report({"readyToUse": True}, EVENTS[1:]),
    ),
    "an error is passed on (cases 50, 52)": (
        request(bound=MADE, ready=False),
        cluster(made_content(ready=False, error="no space"), *FRESH),
        Report({"error": {"message": "no space", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "another error takes the place of an earlier one (case 58)": (
        request(bound=MADE, ready=False, error="no space"),
        cluster(made_content(ready=False, error="no disk"), *FRESH),
        Report({"error": {"message": "no disk", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "the same error is not told again (case 59, W22)": (
        request(bound=MADE, ready=False, error="no space"),
        cluster(made_content(ready=False, error="no space"), *FRESH),
        Wait(),
    ),
    "an error goes with success (case 51)": (
        request(bound=MADE, ready=False, error="no space", created=CREATED_AT, size="5"),
        cluster(CUT, *FRESH),
        Report({"readyToUse": True, "error": None}, EVENTS[1:]),
    ),
    "an error that is over goes also from a snapshot that is ready": (
        request(bound=MADE, created=CREATED_AT, ready=True, size="5", error="once"),
        cluster(CUT, *FRESH),
        Report({"error": None}),
    ),
    "a snapshot that is ready hears of no new errors": (
        READY,
        cluster(made_content(handle="snap-1", created_ns=CREATED_AT_NS, ready=True, error="late"), *UNPROTECTED),
        Settle(),
    ),
    "a content without a handle is not ready, whatever it says": (
        request(bound=MADE, ready=False),
        cluster(made_content(ready=True), *FRESH),
        Wait(),
    ),
    "a time is told once (case 56)": (
        request(bound=MADE, created=CREATED_AT, ready=False),
        cluster(made_content(handle="snap-1", created_ns=CREATED_AT_NS, ready=False), *FRESH),
        Wait(),
    ),
    "a size that was nothing is told (case 57)": (
        request(bound=MADE, created=CREATED_AT, ready=False, size="0"),
        cluster(made_content(handle="snap-1", created_ns=CREATED_AT_NS, ready=False, size_bytes=5), *FRESH),
        Report({"restoreSize": "5"}),
    ),
    "nothing is not told over nothing": (
        request(bound=MADE, created=CREATED_AT, ready=False, size=0),
        cluster(made_content(handle="snap-1", created_ns=CREATED_AT_NS, ready=False, size_bytes=0), *FRESH),
        Wait(),
    ),
    "a size that was told stays (case 57)": (
        request(bound=MADE, created=CREATED_AT, ready=False, size="5"),
        cluster(made_content(handle="snap-1", created_ns=CREATED_AT_NS, ready=False, size_bytes=7), *FRESH),
        Wait(),
    ),
    "a snapshot at rest (cases 44, 45, 78)": (READY, cluster(CUT, *UNPROTECTED), Settle()),
    "a class that is gone does not matter any more (cases 54, 55, W26)": (READY, cluster(CUT, *UNPROTECTED), Settle()),
    "the claim is let go when it is cut (case 77)": (READY, cluster(CUT, *STORAGE), ReleaseClaims(("shop/data",))),
    "the claim is kept while another snapshot needs it (case 79)": (
        READY,
        cluster(CUT, *STORAGE, READY, request("other", uid="other", error="no space")),
        Settle(),
    ),
    "the claim is not kept for what could not be begun, and would go without a word": (
        READY,
        cluster(
            CUT,
            *STORAGE,
            READY,
            request("other", uid="other", finalizers=(), error="no class"),
            group_request(finalizers=(), error="no class"),
        ),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is not kept for a snapshot that is lost": (
        READY,
        cluster(CUT, *STORAGE, READY, request("other", uid="other", created=CREATED_AT, ready=False, error="gone")),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is kept for a group that is still to be cut (W20)": (
        READY,
        cluster(CUT, *STORAGE, READY, group_request()),
        Settle(),
    ),
    "the claim is kept for a group whose content is made of it": (
        READY,
        cluster(CUT, claim(labels={}), volume(), READY, group_request(), made_group_content()),
        Settle(),
    ),
    "a claim of no interest to a group is let go": (
        READY,
        cluster(CUT, claim(labels={}), volume(), READY, group_request()),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is kept until it is known whether groups need it": (
        READY,
        cluster(CUT, *STORAGE, groups=None),
        Settle(),
    ),
    "finalizers that somebody took away come back": (
        request(bound=MADE, finalizers=("example.com/theirs",)),
        cluster(made_content(), *FRESH),
        Prepare(BOTH),
    ),
    "a ready snapshot whose content is gone (cases 26, 28, W2)": (
        READY,
        cluster(*FRESH),
        refused("SnapshotContentMissing", missing=MADE),
    ),
    "a snapshot that was cut is not cut again (case 29, W2)": (
        request(bound=MADE, created=CREATED_AT, ready=False, error="gone"),
        cluster(*FRESH),
        refused("SnapshotContentMissing", missing=MADE),
    ),
    "a snapshot that was cut takes no other moment's data (case 29, W2)": (
        request(bound=MADE, created="2020-01-01T00:00:00Z", ready=False, error="gone"),
        cluster(CUT, *FRESH),
        refused("SnapshotContentMissing"),
    ),
    "a lost content that comes back is taken (case 29)": (
        request(bound=MADE, created=CREATED_AT, ready=False, size="5", error="gone"),
        cluster(CUT, *FRESH),
        Report({"readyToUse": True, "error": None}, EVENTS[1:]),
    ),
    "a content of another with the same name (cases 33, 36)": (
        READY,
        cluster(made_content(ref_uid="another")),
        refused("SnapshotContentMisbound"),
    ),
    "a content that was imported in the place of one to be cut (case 34)": (
        request(),
        cluster(made_content(imported="snap-1"), *FRESH),
        refused("SnapshotContentMismatch"),
    ),
    "an import whose content is not there (cases 27, 64)": (
        request(imports="imported"),
        cluster(),
        refused("SnapshotContentMissing", missing="imported"),
    ),
    "an import of what is to be cut (case 35)": (
        request(imports="imported"),
        cluster(made_content("imported")),
        refused("SnapshotContentMismatch"),
    ),
    "an import of a content for another namespace (case 37)": (
        request(imports="imported"),
        cluster(made_content("imported", imported="snap-1", ref_namespace="bank")),
        refused("SnapshotContentMisbound"),
    ),
    "an import of a content that is another's (cases 30, 31, 32)": (
        request(imports="imported", bound="imported", ready=True),
        cluster(made_content("imported", imported="snap-1", ref_uid="another")),
        refused("SnapshotContentMisbound"),
    ),
    "an import is bound (case 41)": (
        request(imports="imported", class_name=None),
        cluster(made_content("imported", imported="snap-1", ref_uid=None)),
        BindContent("imported", UID),
    ),
    "an import is bound with its class (case 42)": (
        request(imports="imported"),
        cluster(made_content("imported", imported="snap-1", ref_uid=None, class_name=None)),
        BindContent("imported", UID, "class-1"),
    ),
    "a class is written also later (case 42)": (
        request(imports="imported"),
        cluster(made_content("imported", imported="snap-1", class_name=None)),
        BindContent("imported", UID, "class-1"),
    ),
    "an import without any class is bound once": (
        request(imports="imported", class_name=None),
        cluster(made_content("imported", imported="snap-1", class_name=None)),
        Report({"boundVolumeSnapshotContentName": "imported", "readyToUse": False}),
    ),
    "an import that is ready (cases 49, 72)": (
        request(imports="imported", class_name=None),
        cluster(IMPORTED),
        Report({"boundVolumeSnapshotContentName": "imported", "creationTime": CREATED_AT, "readyToUse": True}, EVENTS),
    ),
    "an import at rest": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True),
        cluster(IMPORTED),
        Settle(),
    ),
    "a member whose content is not made yet (cases 72, 153)": (MEMBER, cluster(), Wait()),
    "a member whose content does not say anything yet": (
        MEMBER,
        cluster(made_content("snapcontent-hash", class_name=None, member_of="g")),
        Wait(),
    ),
    "a member is told of by its content (case 153)": (
        MEMBER,
        cluster(MEMBER_CONTENT),
        Report(
            {
                "boundVolumeSnapshotContentName": "snapcontent-hash",
                "creationTime": CREATED_AT,
                "readyToUse": True,
                "volumeGroupSnapshotName": "group",
            },
            EVENTS,
        ),
    ),
    "a member whose content is gone": (
        request(owners=(owner(),), bound="snapcontent-hash", class_name=None),
        cluster(*FRESH),
        refused("SnapshotContentMissing", missing="snapcontent-hash"),
    ),
    "a member that upstream's earlier versions have made is not cut by itself (W19)": (
        request(owners=(owner(version="v1beta1"),), class_name=None),
        cluster(*FRESH),
        Wait(),
    ),
    "a snapshot whose owner is something else is an ordinary one": (
        request(owners=(owner(kind="Deployment"),)),
        cluster(*FRESH),
        CREATE,
    ),
    "the group of an imported member is told (case 60)": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True),
        cluster(
            made_content(
                "imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True, group_handle="g"
            ),
            made_group_content(imported="g", handle="g"),
        ),
        Report({"volumeGroupSnapshotName": "group"}),
    ),
    "a group of another driver is not it (W18)": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True),
        cluster(
            made_content(
                "imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True, group_handle="g"
            ),
            made_group_content(imported="g", handle="g", driver="other.example.com"),
        ),
        Settle(),
    ),
    "a group of another namespace is not it (W18)": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True),
        cluster(
            made_content(
                "imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True, group_handle="g"
            ),
            made_group_content(imported="g", handle="g", ref_namespace="bank"),
        ),
        Settle(),
    ),
    "without groups nobody asks for one (case 180, W3)": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True, group_name="group"),
        cluster(
            made_content(
                "imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, ready=True, group_handle="g"
            ),
            groups=False,
        ),
        Settle(),
    ),
    "an import is protected before it is bound": (
        request(imports="imported", finalizers=()),
        cluster(made_content("imported", imported="snap-1", ref_uid=None)),
        Prepare(BOTH),
    ),
    "an import that is being deleted, and bound to nobody, is not bound any more": (
        request(imports="imported"),
        cluster(made_content("imported", imported="snap-1", ref_uid=None, deleting=True)),
        refused("SnapshotContentMissing"),
    ),
    "a member whose owner was taken away follows its content": (
        request(
            finalizers=(*BOTH, IN_GROUP), bound="snapcontent-hash", created=CREATED_AT, ready=True, class_name=None
        ),
        cluster(MEMBER_CONTENT, CLASS, *UNPROTECTED),
        Settle(),
    ),
    "a member whose owner was taken away is not cut by itself": (
        request(finalizers=(IN_GROUP,)),
        cluster(*FRESH),
        refused("SnapshotContentMissing"),
    ),
    "an imported member names its group as its owner (case 155)": (
        IMPORTED_MEMBER,
        cluster(IMPORTED_IN_GROUP, group_request(), made_group_content(handle="g")),
        AddOwner("shop/group"),
    ),
    "another group that has got the name is not named": (
        IMPORTED_MEMBER,
        cluster(IMPORTED_IN_GROUP, group_request(uid="another"), made_group_content(handle="g")),
        Settle(),
    ),
    "a group that has another group snapshot by now is not named": (
        IMPORTED_MEMBER,
        cluster(IMPORTED_IN_GROUP, group_request(), made_group_content(handle="another")),
        Settle(),
    ),
    "it does so once (case 155)": (
        request(
            imports="imported", bound="imported", created=CREATED_AT, ready=True, group_name="group", owners=(owner(),)
        ),
        cluster(IMPORTED_IN_GROUP, group_request(), made_group_content(handle="g")),
        Settle(),
    ),
    "it does so when it is ready (case 155)": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=False, group_name="group"),
        cluster(
            made_content("imported", imported="snap-1", handle="snap-1", created_ns=CREATED_AT_NS, group_handle="g"),
            group_request(),
            made_group_content(handle="g"),
        ),
        Wait(),
    ),
    "a group that is not there (yet) is not named": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True, group_name="group"),
        cluster(IMPORTED_IN_GROUP, made_group_content(handle="g")),
        Settle(),
    ),
    "a group that is going is not named": (
        request(imports="imported", bound="imported", created=CREATED_AT, ready=True, group_name="group"),
        cluster(IMPORTED_IN_GROUP, group_request(deleting=True), made_group_content(handle="g")),
        Settle(),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), FOLLOWING.values(), ids=FOLLOWING.keys())
def test_a_snapshot_follows_its_content(given: VolumeSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected


GONE = request(deleting=True, bound=MADE, created=CREATED_AT, ready=True)
MARKED = made_content(being_deleted=True, handle="snap-1", created_ns=CREATED_AT_NS, ready=True)
CALLED = f'VolumeSnapshotContent "{MADE}"'
UNFINISHED = (
    f'CSI driver "{DRIVER}", or its csi-snapshotter, has not finished the deletion of {CALLED}; see the events of that'
)
GOING = made_content(being_deleted=True, deleting=True, handle="snap-1", created_ns=CREATED_AT_NS, ready=True)
RESTORING = claim("restored", phase="Pending", volume="", restores="nightly")
GONE_MEMBER = request(
    deleting=True,
    owners=(owner(),),
    bound="snapcontent-hash",
    created=CREATED_AT,
    ready=True,
    finalizers=(*BOTH, IN_GROUP),
    group_name="group",
    class_name=None,
)
GONE_IMPORTED_MEMBER = request(
    imports="imported", bound="imported", deleting=True, ready=True, created=CREATED_AT, group_name="group"
)

DELETING: dict[str, tuple[VolumeSnapshot, Stores, Action]] = {
    "the content is marked first (cases 92, 94, 104)": (GONE, cluster(CUT, *UNPROTECTED), MarkContent(MADE)),
    "then it is deleted (cases 92, 109)": (GONE, cluster(MARKED, *UNPROTECTED), DeleteContent(MADE)),
    "then the snapshot waits for it (cases 92, 97, W38)": (GONE, cluster(GOING, *UNPROTECTED), Wait(UNFINISHED)),
    "while the driver has not answered the cut, that is what it waits for": (
        GONE,
        cluster(made_content(being_created=True, being_deleted=True, deleting=True), *UNPROTECTED),
        Wait(f'CSI driver "{DRIVER}" has not answered yet whether the snapshot of {CALLED} was cut'),
    ),
    "what others keep is named with their finalizers": (
        GONE,
        cluster(
            made_content(being_deleted=True, deleting=True, finalizers=("example.com/a", "example.com/b")),
            *UNPROTECTED,
        ),
        Wait(f"{CALLED} is kept by the finalizers of others: example.com/a, example.com/b"),
    ),
    "an error that is told already says it": (
        request(deleting=True, bound=MADE, created=CREATED_AT, ready=True, error="refused"),
        cluster(
            made_content(being_deleted=True, deleting=True, handle="snap-1", ready=True, error="refused"), *UNPROTECTED
        ),
        Wait(),
    ),
    "what holds the content back is told": (
        GONE,
        cluster(
            made_content(being_deleted=True, deleting=True, handle="snap-1", ready=True, error="refused"), *UNPROTECTED
        ),
        Report({"error": {"message": "refused", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "what it waits for may be in the status, and stays there": (
        request(deleting=True, bound=MADE, created=CREATED_AT, ready=True, error=f"the deletion waits: {UNFINISHED}"),
        cluster(GOING, *UNPROTECTED),
        Wait(UNFINISHED),
    ),
    "until something else holds it back": (
        request(deleting=True, bound=MADE, created=CREATED_AT, ready=True, error=f"the deletion waits: {UNFINISHED}"),
        cluster(
            made_content(being_deleted=True, deleting=True, handle="snap-1", ready=True, error="refused"), *UNPROTECTED
        ),
        Report({"error": {"message": "refused", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "then it goes (cases 98, 114)": (GONE, cluster(*UNPROTECTED), Release(BOTH)),
    "a content that is retained is marked (case 94)": (
        GONE,
        cluster(made_content(policy="Retain", handle="snap-1"), *UNPROTECTED),
        MarkContent(MADE),
    ),
    "and stays (case 94)": (
        GONE,
        cluster(made_content(policy="Retain", being_deleted=True, handle="snap-1"), *UNPROTECTED),
        Release(BOTH),
    ),
    "an imported one likewise (cases 93, 95)": (
        request(imports="imported", bound="imported", deleting=True),
        cluster(IMPORTED),
        MarkContent("imported"),
    ),
    "an import that was bound and not told of (case 112, W25)": (
        request(imports="imported", deleting=True),
        cluster(IMPORTED),
        MarkContent("imported"),
    ),
    "an import that was never bound leaves the content alone": (
        request(imports="imported", deleting=True),
        cluster(made_content("imported", imported="snap-1", ref_uid=None)),
        Release(BOTH),
    ),
    "a content that was made and not told of (case 111)": (
        request(deleting=True),
        cluster(made_content(), *UNPROTECTED),
        MarkContent(MADE),
    ),
    "before it is forgotten that a content may be made, it is looked for": (
        request(deleting=True),
        cluster(*UNPROTECTED),
        Release(BOTH, missing=MADE),
    ),
    "a content of another uid is left alone (case 99)": (
        GONE,
        cluster(made_content(ref_uid="another"), *UNPROTECTED),
        Release(BOTH),
    ),
    "a content of another name is left alone (case 100)": (
        GONE,
        cluster(made_content(ref_name="another"), *UNPROTECTED),
        Release(BOTH),
    ),
    "a restore is waited for (case 101)": (
        GONE,
        cluster(CUT, RESTORING),
        Blocked('it is being restored into PersistentVolumeClaim "shop/restored"'),
    ),
    "a restore from another namespace is waited for (W30)": (
        GONE,
        cluster(
            CUT,
            claim(
                "restored",
                namespace="bank",
                phase="Pending",
                volume="",
                restores_ref={
                    "apiGroup": names.SNAPSHOT_GROUP,
                    "kind": "VolumeSnapshot",
                    "name": "nightly",
                    "namespace": "shop",
                },
            ),
        ),
        Blocked('it is being restored into PersistentVolumeClaim "bank/restored"'),
    ),
    "a restore that is done is not waited for (case 102)": (
        GONE,
        cluster(CUT, claim("restored", restores="nightly")),
        MarkContent(MADE),
    ),
    "a restore from something else is not waited for (case 102)": (
        GONE,
        cluster(
            CUT, claim("restored", phase="Pending", volume="", restores="nightly", source_kind="PersistentVolumeClaim")
        ),
        MarkContent(MADE),
    ),
    "a restore from another API is not waited for (case 102, W4)": (
        GONE,
        cluster(CUT, claim("restored", phase="Pending", volume="", restores="nightly", api_group=None)),
        MarkContent(MADE),
    ),
    "a restore in another namespace is not from here (case 102)": (
        GONE,
        cluster(CUT, claim("restored", namespace="bank", phase="Pending", volume="", restores="nightly")),
        MarkContent(MADE),
    ),
    "a restore from what is gone is not waited for (case 103)": (GONE, cluster(RESTORING), Release(BOTH)),
    "nothing is done where nothing of ours holds (case 113)": (
        request(deleting=True, finalizers=("example.com/theirs",)),
        cluster(CUT, *STORAGE),
        Settle(),
    ),
    "a snapshot that goes takes no finalizer (case 87)": (
        request(deleting=True, finalizers=(SOURCE,), bound=MADE),
        cluster(),
        Release((SOURCE,)),
    ),
    "a class that is gone does not matter (cases 73, 74)": (
        request(deleting=True, class_name=None, bound=MADE),
        cluster(),
        Release(BOTH),
    ),
    "the claim is let go with it": (
        request(deleting=True, ready=False, bound=MADE),
        cluster(*STORAGE, request(deleting=True, ready=False, bound=MADE)),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is kept for another": (
        request(deleting=True, ready=False, bound=MADE),
        cluster(*STORAGE, request("other", uid="other")),
        Release(BOTH),
    ),
    "the claim is let go by each of two that go at once": (
        request(deleting=True, ready=False),
        cluster(*STORAGE, request("other", uid="other", deleting=True)),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is kept for another whose content is still to go": (
        request(deleting=True, ready=False),
        cluster(
            *STORAGE,
            request("other", uid="other", deleting=True),
            made_content("snapcontent-other", ref_name="other", ref_uid="other"),
        ),
        Release(BOTH, missing=MADE),
    ),
    "the claim is not kept for another that leaves its content behind": (
        request(deleting=True, ready=False),
        cluster(
            *STORAGE,
            request("other", uid="other", deleting=True),
            made_content("snapcontent-other", ref_name="other", ref_uid="other", policy="Retain"),
        ),
        ReleaseClaims(("shop/data",)),
    ),
    "the claim is not kept for a group that goes as well": (
        request(deleting=True, ready=False),
        cluster(*STORAGE, group_request(deleting=True)),
        ReleaseClaims(("shop/data",)),
    ),
    "it stays until it is known whether a group needs its claim": (
        request(deleting=True, ready=False),
        cluster(*STORAGE, groups=None),
        Wait(),
    ),
    "it does not stay for a claim that is not protected": (
        request(deleting=True, ready=False),
        cluster(*UNPROTECTED, groups=None),
        Release(BOTH, missing=MADE),
    ),
    "a member stays as long as its group (case 168)": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT, group_request()),
        Blocked('it is a member of VolumeGroupSnapshot "shop/group", and goes with it'),
    ),
    "a member waits while its group goes (W17)": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT, group_request(deleting=True)),
        Wait(),
    ),
    "a member follows its group (cases 169, 170)": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT),
        MarkContent("snapcontent-hash"),
    ),
    "a member is held until its content is gone (case 170, W11)": (
        GONE_MEMBER,
        cluster(
            made_content(
                "snapcontent-hash", being_deleted=True, deleting=True, handle="s", ready=True, created_ns=CREATED_AT_NS
            )
        ),
        Wait(UNFINISHED.replace(MADE, "snapcontent-hash")),
    ),
    "a member that was only protected in its group (case 171, W12)": (
        request(deleting=True, owners=(owner(),), finalizers=(IN_GROUP,), bound="snapcontent-hash"),
        cluster(),
        Release((IN_GROUP,)),
    ),
    "a member that does not tell of its group (case 171, W12)": (
        request(deleting=True, owners=(owner(),), finalizers=(IN_GROUP,)),
        cluster(group_request()),
        Blocked('it is a member of VolumeGroupSnapshot "shop/group", and goes with it'),
    ),
    "a new group of the old name does not hold the old one's members (case 172, W18)": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT, group_request(uid="another")),
        MarkContent("snapcontent-hash"),
    ),
    "an imported member stays as long as its group (W24)": (
        GONE_IMPORTED_MEMBER,
        cluster(IMPORTED_IN_GROUP, group_request(), made_group_content(handle="g")),
        Blocked('it is a member of VolumeGroupSnapshot "shop/group", and goes with it'),
    ),
    "an imported member is not held by another group that has got the name (W18)": (
        GONE_IMPORTED_MEMBER,
        cluster(IMPORTED_IN_GROUP, group_request(uid="another"), made_group_content(ref_uid="another", handle="new")),
        MarkContent("imported"),
    ),
    "an imported member whose content is gone has nothing to wait for": (
        GONE_IMPORTED_MEMBER,
        cluster(group_request(), made_group_content(handle="g")),
        Release(BOTH),
    ),
    "a member that is held tells on, since its group waits for it to be ready": (
        request(
            deleting=True,
            owners=(owner(),),
            bound="snapcontent-hash",
            created=CREATED_AT,
            ready=False,
            finalizers=(*BOTH, IN_GROUP),
            group_name="group",
        ),
        cluster(MEMBER_CONTENT, group_request()),
        Report({"readyToUse": True}, EVENTS[1:]),
    ),
    "a member of which nobody has told is looked for under its own name": (
        request("snapshot-hash", deleting=True, owners=(owner(),), finalizers=(*BOTH, IN_GROUP)),
        cluster(),
        Release((*BOTH, IN_GROUP), missing="snapcontent-hash"),
    ),
    "a member waits until it is known whether there are groups": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT, groups=None),
        Wait(),
    ),
    "a single one does not wait for that": (GONE, cluster(CUT, groups=None), MarkContent(MADE)),
    "without groups a member goes by itself (case 180, W3)": (
        GONE_MEMBER,
        cluster(MEMBER_CONTENT, groups=False),
        MarkContent("snapcontent-hash"),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), DELETING.values(), ids=DELETING.keys())
def test_a_snapshot_goes(given: VolumeSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected
