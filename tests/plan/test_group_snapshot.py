"""What is done next for a VolumeGroupSnapshot. "Case" and "W" are the numbers of the controller's specification."""

from dataclasses import replace
from typing import Any

import pytest

from snapshotter import names
from snapshotter.controller.stores import Stores
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.plan.bodies import member_content_name, member_name
from snapshotter.plan.group_snapshot import Action, DeleteMembers, MakeMembers, members, next_action
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
from tests.factories import DRIVER, group_class
from tests.requests import (
    CREATED_AT,
    CREATED_AT_NS,
    GROUP_BOUND,
    GROUP_UID,
    AnyObject,
    claim,
    cluster,
    group_request,
    info,
    made_content,
    made_group_content,
    node,
    owner,
    request,
    volume,
)

MADE = f"groupsnapcontent-{GROUP_UID}"
CLASS = group_class()
DATA, LOG = claim("data"), claim("log")
VOLUMES = (volume("pv-data"), volume("pv-log"))
FRESH = (CLASS, DATA, LOG, *VOLUMES)
"""All that a new group needs."""
BODY: dict[str, Any] = {
    "metadata": {"name": MADE, "finalizers": [names.GROUP_CONTENT_FINALIZER]},
    "spec": {
        "volumeGroupSnapshotRef": {
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot",
            "name": "group",
            "namespace": "shop",
            "uid": GROUP_UID,
        },
        "source": {"volumeHandles": ["vol-data", "vol-log"]},
        "volumeGroupSnapshotClassName": "class-1",
        "deletionPolicy": "Delete",
        "driver": DRIVER,
    },
}
CREATE = CreateContent(BODY, ("shop/data", "shop/log"), driver=DRIVER)
INFOS = (info("vol-data"), info("vol-log"))
CUT = made_group_content(handle="g", created=CREATED_AT, ready=True, infos=INFOS)
"""The content of a group that was cut, and is ready."""
IN_EXPRESSION = {"key": "app", "operator": "In", "values": ["db", "cache"]}


def does(given: VolumeGroupSnapshot, known: Stores, **terms: bool) -> Action:
    known.groups.groups.put(given)
    return next_action(given, known, Terms(**terms))


def refused(
    reason: str | None, *, ready: bool | None = False, missing: str | None = None, passing: bool = False
) -> Refuse:
    """A refusal, without its text."""
    return Refuse(reason, "", ready, missing, passing)


def shape(action: Action) -> Action:
    """The action; of a refusal all but its text."""
    return replace(action, problem="") if isinstance(action, Refuse) else action


def snapshot_of(volume_handle: str, **more: Any) -> AnyObject:
    """The VolumeSnapshot of a member."""
    known = {
        "claim": volume_handle.removeprefix("vol-"),
        "owners": (owner(),),
        "class_name": None,
        "uid": f"uid-of-snapshot-{volume_handle}",
        **more,
    }
    return request(member_name(GROUP_UID, volume_handle), **known)


def content_of(volume_handle: str, **more: Any) -> AnyObject:
    """The VolumeSnapshotContent of a member, as it is when nothing is left to be done."""
    known = {
        "volume": volume_handle,
        "class_name": None,
        "ref_name": member_name(GROUP_UID, volume_handle),
        "ref_uid": f"uid-of-snapshot-{volume_handle}",
        "uid": f"uid-of-content-{volume_handle}",
        "member_of": "g",
        "handle": f"snap-of-{volume_handle}",
        "created_ns": CREATED_AT_NS,
        "size_bytes": 5,
        "ready": True,
        "group_handle": "g",
        **more,
    }
    return made_content(member_content_name(GROUP_UID, volume_handle), **known)


def complete(**status: Any) -> tuple[AnyObject, ...]:
    """Both members, whose VolumeSnapshots have this status."""
    handles = ("vol-data", "vol-log")
    return (
        *(snapshot_of(handle, bound=member_content_name(GROUP_UID, handle), **status) for handle in handles),
        *(content_of(handle) for handle in handles),
    )


CREATING: dict[str, tuple[VolumeGroupSnapshot, Stores, Action]] = {
    "the finalizer comes first (case 129, W10)": (
        group_request(finalizers=()),
        cluster(*FRESH),
        Prepare((GROUP_BOUND,)),
    ),
    "the default class comes with it (case 124)": (
        group_request(finalizers=(), class_name=None),
        cluster(group_class(default="true"), *FRESH[1:]),
        Prepare((GROUP_BOUND,), "class-1"),
    ),
    "then the claims are protected (W20)": (
        group_request(),
        cluster(CLASS, claim("data", protected=False), LOG, *VOLUMES),
        ProtectClaims(("shop/data",)),
    ),
    "then the content is made, of all claims that are selected (case 116)": (group_request(), cluster(*FRESH), CREATE),
    "claims of other labels are not in it": (
        group_request(),
        cluster(*FRESH, claim("web", labels={"app": "web"}), claim("db", namespace="bank")),
        CREATE,
    ),
    "expressions alone select (case 123, W9)": (
        group_request(expressions=(IN_EXPRESSION,)),
        cluster(*FRESH, claim("web", labels={"app": "web"})),
        CREATE,
    ),
    "expressions and labels select together (case 123, W9)": (
        group_request(labels={"app": "db"}, expressions=({"key": "tier", "operator": "DoesNotExist"},)),
        cluster(*FRESH, claim("web", labels={"app": "db", "tier": "test"})),
        CREATE,
    ),
    "an empty selector is refused": (
        group_request(labels={}),
        cluster(*FRESH),
        refused("GroupSnapshotValidationError"),
    ),
    "an unknown operator is refused": (
        group_request(expressions=({"key": "app", "operator": "Like", "values": ["d"]},)),
        cluster(*FRESH),
        refused("GroupSnapshotValidationError"),
    ),
    "no source": (group_request(no_source=True), cluster(*FRESH), refused("GroupSnapshotValidationError")),
    "both sources": (
        group_request(imports="content", both_sources=True),
        cluster(*FRESH),
        refused("GroupSnapshotValidationError"),
    ),
    "no class of that name (cases 117, 118)": (
        group_request(),
        cluster(*FRESH[1:]),
        refused("GetGroupSnapshotClassFailed", ready=None),
    ),
    "no claim is selected (case 119)": (
        group_request(),
        cluster(CLASS),
        refused("GroupSnapshotContentCreationFailed"),
    ),
    "a claim that is not bound (case 120)": (
        group_request(),
        cluster(CLASS, DATA, claim("log", phase="Pending", volume=""), *VOLUMES),
        refused("GroupSnapshotContentCreationFailed", passing=True),
    ),
    "a volume that is not of CSI (case 121)": (
        group_request(),
        cluster(CLASS, DATA, LOG, VOLUMES[0], volume("pv-log", driver=None)),
        refused("GroupSnapshotContentCreationFailed"),
    ),
    "a volume of another driver (case 122)": (
        group_request(),
        cluster(CLASS, DATA, LOG, VOLUMES[0], volume("pv-log", driver="other.example.com")),
        refused("GroupSnapshotContentCreationFailed"),
    ),
    "two default classes (case 125)": (
        group_request(class_name=None),
        cluster(group_class(default="true"), group_class(name="class-2", default="true"), *FRESH[1:]),
        refused("SetDefaultGroupSnapshotClassFailed", ready=None),
    ),
    "no default class, and no claim (case 125)": (
        group_request(class_name=None),
        cluster(group_class(default="true")),
        refused("SetDefaultGroupSnapshotClassFailed", ready=None),
    ),
    "half a secret": (
        group_request(),
        cluster(group_class(parameters={names.GROUP_SNAPSHOTTER_SECRET_NAME: "secret"}), *FRESH[1:]),
        refused("GroupSnapshotContentCreationFailed"),
    ),
    "an import without a name": (group_request(imports=""), cluster(*FRESH), refused(None)),
}


@pytest.mark.parametrize(("given", "known", "expected"), CREATING.values(), ids=CREATING.keys())
def test_a_group_is_made(given: VolumeGroupSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected


TEXTS: dict[str, tuple[VolumeGroupSnapshot, Stores, str]] = {
    "the selector that takes nothing (case 119)": (
        group_request(labels={"app": "db"}, expressions=(IN_EXPRESSION,)),
        cluster(CLASS),
        'no PersistentVolumeClaim of namespace "shop" has labels that fit "app=db,app in (db,cache)"',
    ),
    "the claim that is not bound (case 120)": (
        group_request(),
        cluster(CLASS, DATA, claim("log", phase="Pending", volume=""), *VOLUMES),
        'PersistentVolumeClaim "shop/log" is not bound to a volume: it is Pending',
    ),
    "both drivers (case 122)": (
        group_request(),
        cluster(CLASS, DATA, LOG, VOLUMES[0], volume("pv-log", driver="other.example.com")),
        f'is for driver "{DRIVER}", but PersistentVolumeClaim "shop/log" is on a volume of driver "other.example.com"',
    ),
    "that an empty selector would take everything": (
        group_request(labels={}),
        cluster(*FRESH),
        "every PersistentVolumeClaim",
    ),
    "the stranger of a member's name": (
        group_request(bound=MADE),
        cluster(CUT, *VOLUMES, snapshot_of("vol-data", owners=())),
        f'VolumeSnapshot "shop/{member_name(GROUP_UID, "vol-data")}" is there already, and not of this group',
    ),
    "the stranger of a member content's name": (
        group_request(bound=MADE),
        cluster(CUT, *VOLUMES, snapshot_of("vol-data"), content_of("vol-data", ref_uid="another")),
        f'VolumeSnapshotContent "{member_content_name(GROUP_UID, "vol-data")}" is there already',
    ),
    "when the lost one was cut": (
        group_request(bound=MADE, created="2020-01-01T00:00:00Z", ready=False),
        cluster(CUT),
        f'at 2020-01-01T00:00:00Z is gone: VolumeGroupSnapshotContent "{MADE}" has one that was cut at {CREATED_AT}',
    ),
}


@pytest.mark.parametrize(("given", "known", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_a_refusal_names(given: VolumeGroupSnapshot, known: Stores, text: str) -> None:
    action = does(given, known)
    assert isinstance(action, Refuse)
    assert text in action.problem


def test_a_secret_is_written_into_the_content() -> None:
    """Cases 127, 128."""
    parameters = {
        names.GROUP_SNAPSHOTTER_SECRET_NAME: "secret-of-${volumegroupsnapshot.name}",
        names.GROUP_SNAPSHOTTER_SECRET_NAMESPACE: "${volumegroupsnapshot.namespace}",
    }
    action = does(group_request(), cluster(group_class(parameters=parameters), *FRESH[1:]))
    assert isinstance(action, CreateContent)
    assert action.body["metadata"]["annotations"] == {
        names.GROUP_DELETION_SECRET_NAME: "secret-of-group",
        names.GROUP_DELETION_SECRET_NAMESPACE: "shop",
    }


AFFINITY = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
}


def test_a_group_is_given_to_a_node_that_reaches_all_volumes() -> None:
    """W16."""
    volumes = (volume("pv-data", affinity=AFFINITY), volume("pv-log"))
    known = cluster(CLASS, DATA, LOG, *volumes, node("node-2", zone="a"), node("node-1", zone="b"))
    action = does(group_request(), known, distributed=True)
    assert isinstance(action, CreateContent)
    assert action.body["metadata"]["labels"] == {names.MANAGED_BY: "node-2"}


CREATED = Told("GroupSnapshotCreated", "VolumeGroupSnapshot shop/group was cut by the CSI driver")
BECAME_READY = Told("GroupSnapshotReady", "VolumeGroupSnapshot shop/group is ready to use")
FREE = (claim("data", protected=False), claim("log", protected=False), *VOLUMES)
CUT_GROUP = group_request(bound=MADE, created=CREATED_AT, ready=False)
IMPORTED = made_group_content("imported", imported="g", handle="g", created=CREATED_AT, ready=True)

FOLLOWING: dict[str, tuple[VolumeGroupSnapshot, Stores, Action]] = {
    "a new content is named in the status (case 116)": (
        group_request(),
        cluster(made_group_content(), *FRESH),
        Report({"boundVolumeGroupSnapshotContentName": MADE, "readyToUse": False}),
    ),
    "nothing is told twice (case 135)": (
        group_request(bound=MADE, ready=False),
        cluster(made_group_content(), *FRESH),
        Wait(),
    ),
    "an error is passed on": (
        group_request(bound=MADE, ready=False),
        cluster(made_group_content(ready=False, error="no space"), *FRESH),
        Report({"error": {"message": "no space", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "a group that is cut is not ready before its members are (cases 145, 159, W29)": (
        group_request(bound=MADE, ready=False),
        cluster(CUT, *FREE, *complete(created=CREATED_AT, ready=False)),
        Report({"creationTime": CREATED_AT}, (CREATED,)),
    ),
    "then it is ready (cases 136, 145)": (
        CUT_GROUP,
        cluster(CUT, *FREE, *complete(created=CREATED_AT, ready=True)),
        Report({"readyToUse": True}, (BECAME_READY,)),
    ),
    "a group without a list of members is not ready (W29)": (
        CUT_GROUP,
        cluster(made_group_content(handle="g", created=CREATED_AT, ready=True), *FREE),
        Wait(),
    ),
    "a group whose list is not complete is not ready (W29)": (
        CUT_GROUP,
        cluster(
            made_group_content(handle="g", created=CREATED_AT, ready=True, infos=INFOS[:1]),
            *FREE,
            *complete(created=CREATED_AT, ready=True),
        ),
        Wait(),
    ),
    "members that are complete are left alone (case 157, W15)": (
        CUT_GROUP,
        cluster(CUT, *FREE, *complete(created=CREATED_AT, ready=False)),
        Wait(),
    ),
    "the claims are let go when all is done": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(CUT, DATA, LOG, *VOLUMES, *complete(created=CREATED_AT, ready=True)),
        ReleaseClaims(("shop/data", "shop/log")),
    ),
    "a claim is let go although another volume has its handle as well (case 160)": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(
            CUT,
            DATA,
            *FREE[1:],
            volume("pv-twin", handle="vol-data", unclaimed=True),
            *complete(created=CREATED_AT, ready=True),
        ),
        ReleaseClaims(("shop/data",)),
    ),
    "a group at rest (cases 139, 142)": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(CUT, *FREE, *complete(created=CREATED_AT, ready=True)),
        Settle(),
    ),
    "members of a group that was ready are not made again": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(CUT, *FREE),
        Settle(),
    ),
    "a finalizer that is missing is added, whatever the policy (cases 137, 138)": (
        group_request(bound=MADE, finalizers=()),
        cluster(made_group_content(policy="Retain")),
        Prepare((GROUP_BOUND,)),
    ),
    "a ready group whose content is gone (case 140)": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(*FRESH),
        refused("GroupSnapshotContentMissing", missing=MADE),
    ),
    "a group that was cut is not cut again (W2)": (
        CUT_GROUP,
        cluster(*FRESH),
        refused("GroupSnapshotContentMissing", missing=MADE),
    ),
    "a group that was cut takes no other moment's data (W2)": (
        group_request(bound=MADE, created="2020-01-01T00:00:00Z", ready=False),
        cluster(CUT, *FRESH),
        refused("GroupSnapshotContentMissing"),
    ),
    "a content of another (case 141)": (
        group_request(bound=MADE, created=CREATED_AT, ready=True),
        cluster(made_group_content(ref_uid="another")),
        refused("GroupSnapshotContentMisbound"),
    ),
    "an import whose content is not there (case 131)": (
        group_request(imports="imported"),
        cluster(),
        refused("GroupSnapshotContentMissing", missing="imported"),
    ),
    "an import of another's content (case 132)": (
        group_request(imports="imported"),
        cluster(made_group_content("imported", imported="g", ref_name="another")),
        refused("GroupSnapshotContentMisbound"),
    ),
    "an import of what is to be cut (case 133)": (
        group_request(imports="imported"),
        cluster(made_group_content("imported")),
        refused("GroupSnapshotContentMismatch"),
    ),
    "an import is protected before it is bound": (
        group_request(imports="imported", finalizers=()),
        cluster(made_group_content("imported", imported="g", ref_uid=None)),
        Prepare((GROUP_BOUND,)),
    ),
    "an import that is being deleted, and bound to nobody, is not bound any more": (
        group_request(imports="imported"),
        cluster(made_group_content("imported", imported="g", ref_uid=None, deleting=True)),
        refused("GroupSnapshotContentMissing"),
    ),
    "a claim that was not selected any more when the group was cut is let go": (
        group_request(bound=MADE, ready=False),
        cluster(made_group_content(), DATA, LOG, claim("web", labels={}), *VOLUMES),
        ReleaseClaims(("shop/web",)),
    ),
    "an import is bound": (
        group_request(imports="imported", class_name=None),
        cluster(made_group_content("imported", imported="g", ref_uid=None)),
        BindContent("imported", GROUP_UID),
    ),
    "an import is bound with its class": (
        group_request(imports="imported"),
        cluster(made_group_content("imported", imported="g", ref_uid=None, class_name=None)),
        BindContent("imported", GROUP_UID, "class-1"),
    ),
    "a class that the content has already stays": (
        group_request(imports="imported"),
        cluster(made_group_content("imported", imported="g", ref_uid=None, class_name="class-2")),
        BindContent("imported", GROUP_UID),
    ),
    "an import that is ready (case 130)": (
        group_request(imports="imported"),
        cluster(IMPORTED),
        Report(
            {"boundVolumeGroupSnapshotContentName": "imported", "creationTime": CREATED_AT, "readyToUse": True},
            (CREATED, BECAME_READY),
        ),
    ),
    "an import that says nothing yet (case 134)": (
        group_request(imports="imported", bound="imported", ready=False),
        cluster(made_group_content("imported", imported="g")),
        Wait(),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), FOLLOWING.values(), ids=FOLLOWING.keys())
def test_a_group_follows_its_content(given: VolumeGroupSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected


UNFINISHED: dict[str, tuple[tuple[AnyObject, ...], list[str]]] = {
    "nothing is there yet (case 146)": ((), ["vol-data", "vol-log"]),
    "one snapshot is there": ((snapshot_of("vol-data"),), ["vol-data", "vol-log"]),
    "one member is complete (case 149)": (
        (snapshot_of("vol-data"), content_of("vol-data")),
        ["vol-log"],
    ),
    "a content that names nobody yet": (
        (snapshot_of("vol-data"), content_of("vol-data", ref_uid=None), snapshot_of("vol-log"), content_of("vol-log")),
        ["vol-data"],
    ),
    "a content that does not tell of its snapshot yet": (
        (
            snapshot_of("vol-data"),
            content_of("vol-data", handle=None, created_ns=None, size_bytes=None, ready=None, group_handle=None),
            snapshot_of("vol-log"),
            content_of("vol-log"),
        ),
        ["vol-data"],
    ),
    "a content that does not know yet that it is ready": (
        (
            snapshot_of("vol-data"),
            content_of("vol-data", ready=False),
            snapshot_of("vol-log"),
            content_of("vol-log"),
        ),
        ["vol-data"],
    ),
}


@pytest.mark.parametrize(("there", "unfinished"), UNFINISHED.values(), ids=UNFINISHED.keys())
def test_what_is_missing_of_members_is_made(there: tuple[AnyObject, ...], unfinished: list[str]) -> None:
    action = does(CUT_GROUP, cluster(CUT, *FREE, *there))
    assert isinstance(action, MakeMembers)
    assert action.content == MADE
    assert [member.volume_handle for member in action.members] == unfinished


def test_members_know_their_claims_and_modes() -> None:
    """Cases 146, 147, 156, 158, 160, W18."""
    infos = (info("vol-data"), info("vol-twice"), info("vol-unclaimed"), info("vol-elsewhere"), info("vol-unknown"))
    content = made_group_content(handle="g", infos=(*infos, info("vol-late", snapshot=""), info(None)))
    known = cluster(
        content,
        volume("pv-data", mode="Block"),
        volume("pv-one", handle="vol-twice"),
        volume("pv-two", handle="vol-twice"),
        volume("pv-unclaimed", unclaimed=True),
        volume("pv-elsewhere", claim_namespace="bank"),
        volume("pv-unknown", driver=None),
    )
    found = members(group_request(), content, known)
    assert [(each.volume_handle, each.claim_name, each.volume_mode) for each in found] == [
        ("vol-data", "data", "Block"),
        ("vol-twice", None, None),
        ("vol-unclaimed", None, "Filesystem"),
        ("vol-elsewhere", None, "Filesystem"),
        ("vol-unknown", None, None),
    ]


@pytest.mark.parametrize(
    ("group", "content"),
    [
        (group_request(imports="imported"), IMPORTED),
        (group_request(), made_group_content(infos=INFOS)),
        (group_request(), made_group_content(handle="g")),
    ],
    ids=["it was imported", "it has no handle (case 144)", "it has no list (case 144)"],
)
def test_a_group_has_no_members_while(group: VolumeGroupSnapshot, content: AnyObject) -> None:
    known = cluster(content)
    (held,) = known.groups.contents
    assert members(group, held, known) == ()


GONE = group_request(deleting=True, bound=MADE, created=CREATED_AT, ready=True)
MARKED = made_group_content(handle="g", created=CREATED_AT, ready=True, infos=INFOS, being_deleted=True)
GOING = made_group_content(handle="g", created=CREATED_AT, ready=True, being_deleted=True, deleting=True)
CONTENT_UNFINISHED = (
    f'CSI driver "{DRIVER}", or its csi-snapshotter, has not finished the deletion of VolumeGroupSnapshotContent '
    f'"{MADE}"; see the events of that'
)
MEMBERS = (snapshot_of("vol-data"), snapshot_of("vol-log"))
MEMBER_KEYS = tuple(sorted(f"shop/{member_name(GROUP_UID, handle)}" for handle in ("vol-data", "vol-log")))

DELETING: dict[str, tuple[VolumeGroupSnapshot, Stores, Action]] = {
    "the content is marked first (cases 163, 164)": (GONE, cluster(CUT, *FREE, *MEMBERS), MarkContent(MADE)),
    "then the members are deleted (case 166)": (GONE, cluster(MARKED, *FREE, *MEMBERS), DeleteMembers(MEMBER_KEYS)),
    "then the content (case 164)": (GONE, cluster(MARKED, *FREE), DeleteContent(MADE)),
    "members that are going are not asked again": (
        GONE,
        cluster(MARKED, *FREE, snapshot_of("vol-data", deleting=True)),
        DeleteContent(MADE),
    ),
    "then the group waits for it (case 164, W38)": (GONE, cluster(GOING, *FREE), Wait(CONTENT_UNFINISHED)),
    "what holds the content back is told": (
        GONE,
        cluster(
            made_group_content(handle="g", created=CREATED_AT, being_deleted=True, deleting=True, error="refused"),
            *FREE,
        ),
        Report({"error": {"message": "refused", "time": "2024-01-02T03:04:05Z"}}),
    ),
    "then it goes (case 165)": (GONE, cluster(*FREE), Release((GROUP_BOUND,))),
    "what is retained is marked, and stays (case 163)": (
        GONE,
        cluster(made_group_content(policy="Retain", handle="g", being_deleted=True), *FREE),
        Release((GROUP_BOUND,)),
    ),
    "what was never made is looked for, and then it goes (case 162)": (
        group_request(deleting=True),
        cluster(*FREE),
        Release((GROUP_BOUND,), missing=MADE),
    ),
    "what was made and not told of is found (W10)": (
        group_request(deleting=True),
        cluster(made_group_content(), *FREE),
        MarkContent(MADE),
    ),
    "an import that was bound and not told of is found (W25)": (
        group_request(imports="imported", deleting=True),
        cluster(IMPORTED),
        MarkContent("imported"),
    ),
    "an import that was never bound leaves the content alone": (
        group_request(imports="imported", deleting=True),
        cluster(made_group_content("imported", imported="g", ref_uid=None)),
        Release((GROUP_BOUND,)),
    ),
    "a content of another is left alone": (
        GONE,
        cluster(made_group_content(ref_uid="another"), *FREE),
        Release((GROUP_BOUND,)),
    ),
    "nothing is done where nothing of ours holds (case 161)": (
        group_request(deleting=True, finalizers=()),
        cluster(CUT, *FREE),
        Settle(),
    ),
    "a restore of a member is waited for (case 167)": (
        GONE,
        cluster(
            CUT, *MEMBERS, claim("restored", phase="Pending", volume="", restores=member_name(GROUP_UID, "vol-data"))
        ),
        Blocked(
            'members are being restored: PersistentVolumeClaim "shop/restored" from member '
            f'"shop/{member_name(GROUP_UID, "vol-data")}"'
        ),
    ),
    "members of an older group of that name are not its own (W18)": (
        GONE,
        cluster(MARKED, *FREE, snapshot_of("vol-data", owners=(owner(uid="another"),))),
        DeleteContent(MADE),
    ),
    "members that upstream's earlier versions have made are its own (W19)": (
        GONE,
        cluster(MARKED, *FREE, snapshot_of("vol-data", owners=(owner(version="v1beta2"),))),
        DeleteMembers(
            MEMBER_KEYS[:1] if MEMBER_KEYS[0].endswith(member_name(GROUP_UID, "vol-data")) else MEMBER_KEYS[1:]
        ),
    ),
    "claims that only this group protects are let go": (
        group_request(deleting=True),
        cluster(DATA, LOG, claim("web", labels={}), *VOLUMES),
        ReleaseClaims(("shop/data", "shop/log", "shop/web")),
    ),
    "claims of a content that is retained are let go, and those that had its labels once": (
        group_request(deleting=True, bound=MADE),
        cluster(made_group_content(policy="Retain", being_deleted=True), DATA, claim("web", labels={}), *VOLUMES),
        ReleaseClaims(("shop/data", "shop/web")),
    ),
    "an import has protected no claims": (
        group_request(imports="imported", deleting=True),
        cluster(DATA, *VOLUMES),
        Release((GROUP_BOUND,)),
    ),
    "a restore from a group that is gone is not waited for": (
        GONE,
        cluster(*MEMBERS, claim("restored", phase="Pending", volume="", restores=member_name(GROUP_UID, "vol-data"))),
        DeleteMembers(MEMBER_KEYS),
    ),
}


@pytest.mark.parametrize(("given", "known", "expected"), DELETING.values(), ids=DELETING.keys())
def test_a_group_goes(given: VolumeGroupSnapshot, known: Stores, expected: Action) -> None:
    assert shape(does(given, known)) == expected
