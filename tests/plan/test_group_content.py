"""What the sidecar does next for groups, as one table. "(case 90)" is the row of the specification's conformance cases.

The laws that hold for single contents as well are in `test_lifecycle`.
"""

from dataclasses import dataclass

import pytest

from snapshotter import names
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass, MemberInfo
from snapshotter.plan.group_content import (
    Action,
    CheckGroupSnapshot,
    CreateGroupSnapshot,
    DeleteGroupSnapshot,
    attempted,
    is_pending,
    lane,
    next_action,
    secret_of,
    worth_a_look,
)
from snapshotter.plan.lifecycle import (
    Attempted,
    ClearError,
    Lane,
    Naming,
    Refuse,
    Release,
    Settle,
    Step,
    Terms,
    Unmark,
    Wait,
)
from snapshotter.plan.secrets import SecretRef
from tests.factories import DRIVER, SNAPSHOT_UID, group_class, group_content, member_info, terms
from tests.plan.kinds import every_group_content

NAME = f"groupsnapshot-{SNAPSHOT_UID}"
VOLUMES = ("vol-1", "vol-2")
HANDLES = ("snap-1", "snap-2")
CREATE = CreateGroupSnapshot(NAME, VOLUMES)
CHECK = CheckGroupSnapshot("group-1", HANDLES)
DELETE = DeleteGroupSnapshot("group-1", HANDLES)
RECORDED = (member_info(1), member_info(2))
SECRET = SecretRef("ns-1", "secret-1")
CLASS = group_class()
NAMING = Naming("groupsnapshot")
TERMS = terms(naming=NAMING)
INCAPABLE = terms(naming=NAMING, groups=False)

ANNOTATED = {names.GROUP_DELETION_SECRET_NAME: "secret-1", names.GROUP_DELETION_SECRET_NAMESPACE: "ns-1"}
HALF = {names.GROUP_DELETION_SECRET_NAME: "secret-1"}
GET_SECRET = {names.GROUP_GET_SECRET_NAME: "secret-1", names.GROUP_GET_SECRET_NAMESPACE: "ns-1"}

NO_CLASS_NAME = "spec.volumeGroupSnapshotClassName is not set, and creating needs a class"
MISSING_CLASS = 'VolumeGroupSnapshotClass "class-1" does not exist'
FOREIGN_CLASS = f'VolumeGroupSnapshotClass "class-1" is for driver "other.example.com", this content for "{DRIVER}"'
INCOMPLETE = (
    "the secret name or namespace is missing: annotations groupsnapshot.storage.kubernetes.io/deletion-secret-name and "
    "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace must both be set"
)
INCOMPLETE_IN_CLASS = (
    f"class parameters {names.GROUP_GET_SECRET_NAME} and {names.GROUP_GET_SECRET_NAMESPACE} "
    "must both be set, or neither"
)
NO_UID = "spec.volumeGroupSnapshotRef.uid is empty, so the snapshot has no name"
NO_MEMBERS = "spec.source.groupSnapshotHandles.volumeSnapshotHandles is empty"
NO_GROUPS = f'CSI driver "{DRIVER}" does not support group snapshots'
BLOCKER = (
    "VolumeGroupSnapshot ns/group has not been deleted, or the snapshot-controller has not "
    "yet marked this content as being deleted"
)


@dataclass(frozen=True)
class Case:
    given: GroupContent
    expected: Action
    group_class: GroupSnapshotClass | None = CLASS
    terms: Terms = TERMS


CREATING = {
    "a new group is cut (case 77)": Case(group_content(), CREATE),
    "the volumes go to the driver in the order in which they are given": Case(
        group_content(volumes=("vol-2", "vol-3", "vol-1")), CreateGroupSnapshot(NAME, ("vol-2", "vol-3", "vol-1"))
    ),
    "with extra metadata the driver learns whom it is made for (case 77)": Case(
        group_content(),
        CreateGroupSnapshot(
            NAME,
            VOLUMES,
            None,
            {
                "csi.storage.k8s.io/volumegroupsnapshot/name": "group",
                "csi.storage.k8s.io/volumegroupsnapshot/namespace": "ns",
                "csi.storage.k8s.io/volumegroupsnapshotcontent/name": "group-content-1",
            },
        ),
        terms=terms(naming=NAMING, extra_create_metadata=True),
    ),
    "a group in the making is asked for again by the same name (case 78)": Case(
        group_content(handle="group-1", ready=False, members=RECORDED), CREATE
    ),
    "an empty status is as good as none (case 79)": Case(group_content(has_status=True), CREATE),
    "an error in status does not keep from trying again (case 79)": Case(
        group_content(error="no", ready=False), CREATE
    ),
    "a cut without an answer is asked for again by the same name (case 79)": Case(
        group_content(being_created=True), CREATE
    ),
    "without the uid of a VolumeGroupSnapshot there is no name (case 76)": Case(
        group_content(ref_uid=""), Refuse(Step.CREATE, NO_UID)
    ),
    "a name is shortened as the flags say (case 80)": Case(
        group_content(), CreateGroupSnapshot("cut-11111111", VOLUMES), terms=terms(naming=Naming("cut", 8))
    ),
    "a group to be cut needs a class (case 81)": Case(
        group_content(class_name=None), Refuse(Step.CREATE, NO_CLASS_NAME), None
    ),
    "an empty class name is none (case 81)": Case(group_content(class_name=""), Refuse(Step.CREATE, NO_CLASS_NAME)),
    "a class that does not exist is named (case 81)": Case(group_content(), Refuse(Step.CREATE, MISSING_CLASS), None),
    "a class for another driver is a mistake of the content": Case(
        group_content(), Refuse(Step.CREATE, FOREIGN_CLASS), group_class(driver="other.example.com")
    ),
    "a group in the making needs its class": Case(
        group_content(handle="group-1", ready=False), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "only the driver's parameters are sent": Case(
        group_content(),
        CreateGroupSnapshot(NAME, VOLUMES, None, {"pool": "fast"}),
        group_class(parameters={"pool": "fast", **GET_SECRET}),
    ),
    "an unknown reserved parameter is a mistake of the class": Case(
        group_content(),
        Refuse(
            Step.CREATE,
            'class parameters "csi.storage.k8s.io/a" are unknown, and csi.storage.k8s.io/ is reserved',
        ),
        group_class(parameters={"csi.storage.k8s.io/a": ""}),
    ),
    "the annotated secret is used (case 82)": Case(
        group_content(annotations=ANNOTATED), CreateGroupSnapshot(NAME, VOLUMES, SECRET)
    ),
    "the annotated secret of a single snapshot is not (case 82)": Case(
        group_content(annotations={names.DELETION_SECRET_NAME: "s", names.DELETION_SECRET_NAMESPACE: "n"}), CREATE
    ),
    "a secret's name without its namespace is a mistake (case 82)": Case(
        group_content(annotations=HALF), Refuse(Step.CREATE, INCOMPLETE)
    ),
    "an empty name and namespace are a mistake (case 82)": Case(
        group_content(annotations=dict.fromkeys(ANNOTATED, "")), Refuse(Step.CREATE, INCOMPLETE)
    ),
    "an empty handle in status is none": Case(group_content(handle="", ready=False), CREATE),
    "a volume that is named twice is a mistake, and is told before anything is cut": Case(
        group_content(volumes=("vol-2", "vol-1", "vol-2", "vol-3", "vol-3")),
        Refuse(Step.CREATE, 'spec.source.volumeHandles has more than once: "vol-2", "vol-3"'),
    ),
    "a driver that cannot list cuts groups all the same": Case(
        group_content(), CREATE, terms=terms(naming=NAMING, can_list=False)
    ),
}

AT_REST = {
    "a ready group is left alone (case 77)": Case(group_content(handle="group-1", ready=True), Settle()),
    "an error that a late write has left on a ready group goes": Case(
        group_content(handle="group-1", ready=True, error="no"), ClearError()
    ),
    "while a deletion waits the error may stay": Case(
        group_content(handle="group-1", ready=True, error="no", deleting=True), Wait(BLOCKER)
    ),
    "a mark that a crash left behind on a ready group goes (case 89)": Case(
        group_content(handle="group-1", ready=True, being_created=True), Unmark()
    ),
    "a mark is of no use once the handle is recorded (case 89)": Case(
        group_content(handle="group-1", ready=False, being_created=True), Unmark()
    ),
    "a mark goes also while a deletion waits for the controller (case 89)": Case(
        group_content(handle="group-1", ready=True, being_created=True, deleting=True), Unmark()
    ),
}

OTHERS = {
    "a group of another driver is none of our business": Case(group_content(driver="other.example.com"), Wait()),
    "also when it is to be deleted": Case(
        group_content(driver="other.example.com", handle="group-1", deleting=True, being_deleted=True), Wait()
    ),
    "a group of no volumes is ignored (case 76)": Case(group_content(volumes=()), Wait()),
    "an import without a handle is ignored (case 96)": Case(group_content(imported=""), Wait()),
}

CHECKING = {
    "an imported group is looked up by the handle and the members of its source (case 96)": Case(
        group_content(imported="group-1"), CHECK
    ),
    "a handle in status comes before that of the source (case 96)": Case(
        group_content(imported="group-0", handle="group-1", ready=False), CHECK
    ),
    "an import without members is a mistake (case 96)": Case(
        group_content(imported="group-1", imported_members=()), Refuse(Step.CHECK, NO_MEMBERS)
    ),
    "an import is asked for with the members of its source, whatever is recorded": Case(
        group_content(imported="group-1", handle="group-1", ready=False, members=(member_info(7),)), CHECK
    ),
    "an import that is not ready is looked up again (case 97)": Case(
        group_content(imported="group-1", handle="group-1", ready=False, members=RECORDED), CHECK
    ),
    "a ready import is left alone (case 97)": Case(
        group_content(imported="group-1", handle="group-1", ready=True), Settle()
    ),
    "an import needs no class (case 81)": Case(group_content(imported="group-1", class_name=None), CHECK, None),
    "the class that an import names must be there (case 81)": Case(
        group_content(imported="group-1"), Refuse(Step.CHECK, MISSING_CLASS), None
    ),
    "and be for our driver": Case(
        group_content(imported="group-1"),
        Refuse(Step.CHECK, FOREIGN_CLASS),
        group_class(driver="other.example.com"),
    ),
    "the class's get secret is used (case 98)": Case(
        group_content(imported="group-1"),
        CheckGroupSnapshot("group-1", HANDLES, SECRET),
        group_class(parameters=GET_SECRET),
    ),
    "the get secret may be named after the group content (case 98)": Case(
        group_content(imported="group-1"),
        CheckGroupSnapshot("group-1", HANDLES, SecretRef("ns-1", "group-content-1-secret")),
        group_class(parameters=GET_SECRET | {names.GROUP_GET_SECRET_NAME: "${volumegroupsnapshotcontent.name}-secret"}),
    ),
    "half a get secret is a mistake of the class": Case(
        group_content(imported="group-1"),
        Refuse(Step.CHECK, INCOMPLETE_IN_CLASS),
        group_class(parameters={names.GROUP_GET_SECRET_NAME: "secret-1"}),
    ),
    "the annotated secret is for creating and deleting, not for looking up": Case(
        group_content(imported="group-1", class_name=None, annotations=HALF), CHECK, None
    ),
    "a mark on an import does not keep it from being looked up": Case(
        group_content(imported="group-1", being_created=True), CHECK
    ),
    "an import that is being deleted is looked up until the controller has marked it": Case(
        group_content(imported="group-1", deleting=True), CHECK
    ),
}

DELETING = {
    "a deletion waits for the controller's mark, and says so (case 90)": Case(
        group_content(handle="group-1", ready=True, deleting=True), Wait(BLOCKER)
    ),
    "a bound import waits for the controller's mark as well (case 90)": Case(
        group_content(imported="group-1", handle="group-1", ready=True, deleting=True), Wait(BLOCKER)
    ),
    "an import that was never bound goes without the mark, and its group stays (case 90)": Case(
        group_content(imported="group-1", ref_uid="", handle="group-1", ready=True, deleting=True), Release()
    ),
    "an import that was never bound loses its group on the controller's word": Case(
        group_content(imported="group-1", ref_uid="", handle="group-1", deleting=True, being_deleted=True), DELETE
    ),
    "a group whose cut has no answer yet is not deleted (case 90)": Case(
        group_content(being_created=True, deleting=True, being_deleted=True), CREATE
    ),
    "the mark goes first, or it would say that a cut has no answer yet (case 90)": Case(
        group_content(being_created=True, deleting=True, being_deleted=True, handle="group-1", ready=False), Unmark()
    ),
    "the controller's mark without a deletion deletes nothing (case 90)": Case(
        group_content(handle="group-1", ready=True, being_deleted=True), Settle()
    ),
    "a deletion timestamp alone does not end a cut (case 90)": Case(
        group_content(deleting=True, handle="group-1", ready=False), CREATE
    ),
    "a retained group outlives its content (case 91)": Case(
        group_content(policy="Retain", deleting=True, being_deleted=True, handle="group-1", ready=True), Release()
    ),
    "an imported group is retained like any other (case 91)": Case(
        group_content(policy="Retain", imported="group-1", deleting=True, being_deleted=True, handle="group-1"),
        Release(),
    ),
    "a group is deleted with the members of its status (case 92)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1", ready=True, members=RECORDED), DELETE
    ),
    "an import of which no members are recorded is deleted with those of its source (case 92)": Case(
        group_content(imported="group-0", deleting=True, being_deleted=True, handle="group-1"), DELETE
    ),
    "a group of which no members are known is deleted by its handle (case 93)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1"), DeleteGroupSnapshot("group-1", ())
    ),
    "a group that is not ready is deleted with the members that have handles": Case(
        group_content(
            deleting=True,
            being_deleted=True,
            handle="group-1",
            ready=False,
            members=(MemberInfo(volume_handle="vol-1"), member_info(2)),
        ),
        DeleteGroupSnapshot("group-1", ("snap-2",)),
    ),
    "a content without a handle goes without a call (case 93)": Case(
        group_content(deleting=True, being_deleted=True), Release()
    ),
    "a content whose group has been deleted goes, although its members stay in status (case 95)": Case(
        group_content(deleting=True, being_deleted=True, members=RECORDED), Release()
    ),
    "once it is certain that nothing was cut it goes (case 79)": Case(
        group_content(deleting=True, being_deleted=True, error="no", ready=False), Release()
    ),
    "deleting uses the annotated secret (case 82)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1", members=RECORDED, annotations=ANNOTATED),
        DeleteGroupSnapshot("group-1", HANDLES, SECRET),
    ),
    "half a secret keeps a group from being deleted (case 82)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1", members=RECORDED, annotations=HALF),
        Refuse(Step.DELETE, INCOMPLETE),
    ),
    "deleting asks for no class (case 81)": Case(
        group_content(class_name=None, deleting=True, being_deleted=True, handle="group-1", members=RECORDED),
        DELETE,
        None,
    ),
    "a class that is gone does not hold up a deletion (case 81)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1", members=RECORDED), DELETE, None
    ),
    "a cut without an answer is settled even when its class is gone": Case(
        group_content(being_created=True, deleting=True, being_deleted=True),
        CreateGroupSnapshot(NAME, VOLUMES, without_class=MISSING_CLASS),
        None,
    ),
    "or is for another driver by now": Case(
        group_content(being_created=True, deleting=True, being_deleted=True),
        CreateGroupSnapshot(NAME, VOLUMES, without_class=FOREIGN_CLASS),
        group_class(driver="other.example.com"),
    ),
    "a class that is gone holds up a cut that nobody wants deleted": Case(
        group_content(being_created=True), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "readiness that somebody else wrote does not answer for a cut": Case(
        group_content(being_created=True, ready=True, deleting=True, being_deleted=True), CREATE
    ),
    "nothing is cut for a content that our finalizer cannot keep any more": Case(
        group_content(deleting=True, finalizers=()), Wait(BLOCKER)
    ),
    "a cut without an answer is asked for again all the same": Case(
        group_content(deleting=True, being_created=True, finalizers=()), CREATE
    ),
    "a content without our finalizer needs no write": Case(
        group_content(deleting=True, being_deleted=True, finalizers=("example.com/other",)), Settle()
    ),
    "among other finalizers ours still goes": Case(
        group_content(
            deleting=True, being_deleted=True, finalizers=("example.com/other", names.GROUP_CONTENT_FINALIZER)
        ),
        Release(),
    ),
}

WITHOUT_GROUPS = {
    "a driver without groups is not asked to cut one (case 101)": Case(
        group_content(), Refuse(Step.CREATE, NO_GROUPS), terms=INCAPABLE
    ),
    "it is not asked for one either (case 101)": Case(
        group_content(imported="group-1"), Refuse(Step.CHECK, NO_GROUPS), terms=INCAPABLE
    ),
    "nor to delete one, which then stays until it can (case 101)": Case(
        group_content(deleting=True, being_deleted=True, handle="group-1"),
        Refuse(Step.DELETE, NO_GROUPS),
        terms=INCAPABLE,
    ),
    "what needs no call is done all the same (case 101)": Case(
        group_content(policy="Retain", deleting=True, being_deleted=True, handle="group-1"), Release(), terms=INCAPABLE
    ),
    "so is the end of a group that was never cut (case 101)": Case(
        group_content(deleting=True, being_deleted=True), Release(), terms=INCAPABLE
    ),
    "a ready group is left alone (case 101)": Case(
        group_content(handle="group-1", ready=True), Settle(), terms=INCAPABLE
    ),
}

CASES = CREATING | AT_REST | OTHERS | CHECKING | DELETING | WITHOUT_GROUPS


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_next_action(case: Case) -> None:
    assert next_action(case.given, case.group_class, case.terms) == case.expected


def test_a_driver_without_groups_hears_nothing_of_them() -> None:
    """Case 101."""
    for given in every_group_content():
        action = next_action(given, CLASS, INCAPABLE)
        assert not isinstance(action, CreateGroupSnapshot | CheckGroupSnapshot | DeleteGroupSnapshot)


def test_a_group_is_deleted_with_all_the_members_that_are_known() -> None:
    for given in every_group_content():
        action = next_action(given, CLASS, TERMS)
        if isinstance(action, DeleteGroupSnapshot):
            assert action.handle == given.handle
            assert action.members == given.members


def test_groups_of_others_are_looked_up_and_never_cut() -> None:
    for given in every_group_content():
        action = next_action(given, CLASS, TERMS)
        if isinstance(action, CreateGroupSnapshot):
            assert given.imported_handle is None
        if isinstance(action, CheckGroupSnapshot):
            assert given.imported_handle is not None


@dataclass(frozen=True)
class Change:
    old: GroupContent | None
    new: GroupContent
    expected: bool


CUT = group_content(handle="group-1", ready=False, members=RECORDED)

CHANGES = {
    "a group that is new": Change(None, group_content(), True),
    "a new group of another driver": Change(None, group_content(driver="other.example.com"), False),
    "another object of the same name": Change(group_content(), group_content(uid="uid-of-a-later-one"), True),
    "no change": Change(group_content(), group_content(), False),
    "an error in status": Change(group_content(), group_content(error="no", ready=False), False),
    "an error in status that is gone": Change(
        group_content(error="no", ready=False), group_content(ready=False), False
    ),
    "another error in status": Change(
        group_content(error="one", ready=False), group_content(error="two", ready=False), False
    ),
    "the being-created mark set": Change(group_content(), group_content(being_created=True), False),
    "the being-created mark removed": Change(group_content(being_created=True), group_content(), False),
    "a being-created mark that somebody puts on a ready group": Change(
        group_content(handle="group-1", ready=True),
        group_content(handle="group-1", ready=True, being_created=True),
        True,
    ),
    "the members of a group that is cut": Change(group_content(handle="group-1", ready=False), CUT, False),
    "another finalizer": Change(group_content(), group_content(finalizers=("x", names.GROUP_CONTENT_FINALIZER)), False),
    "a class that is named at last": Change(group_content(class_name=None), group_content(), True),
    "a secret's annotations": Change(group_content(), group_content(annotations=ANNOTATED), True),
    "readiness": Change(CUT, group_content(handle="group-1", ready=True, members=RECORDED), True),
    "the controller's mark, before anybody deletes": Change(
        CUT, group_content(handle="group-1", ready=False, members=RECORDED, being_deleted=True), False
    ),
    "a deletion": Change(
        group_content(handle="group-1", ready=True), group_content(handle="group-1", ready=True, deleting=True), True
    ),
    "a deletion during the cut, which users are told of": Change(
        CUT, group_content(handle="group-1", ready=False, members=RECORDED, deleting=True), True
    ),
    "the controller's mark": Change(
        group_content(handle="group-1", ready=True, deleting=True),
        group_content(handle="group-1", ready=True, deleting=True, being_deleted=True),
        True,
    ),
    "the controller's mark while the cut has no answer, which users are told of": Change(
        group_content(being_created=True, deleting=True),
        group_content(being_created=True, deleting=True, being_deleted=True),
        True,
    ),
    "the policy, while the group is to be deleted": Change(
        group_content(handle="group-1", deleting=True, being_deleted=True),
        group_content(handle="group-1", deleting=True, being_deleted=True, policy="Retain"),
        True,
    ),
    "the members, while the group is to be deleted": Change(
        group_content(handle="group-1", deleting=True, being_deleted=True),
        group_content(handle="group-1", deleting=True, being_deleted=True, members=RECORDED),
        True,
    ),
    "a group of another driver": Change(
        group_content(driver="other.example.com"), group_content(driver="other.example.com", deleting=True), False
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_worth_a_look_when_something_else_is_to_be_done(change: Change) -> None:
    """Promise 4: what we write ourselves while a group fails or is not ready is none of these."""
    assert worth_a_look(change.old, change.new, CLASS, TERMS) is change.expected


LANES: dict[str, tuple[GroupContent, Action, Lane]] = {
    "a cut": (group_content(), CREATE, Lane.CREATE),
    "a cut that is refused": (group_content(), Refuse(Step.CREATE, "no"), Lane.WRITE),
    "asking again for what is cut": (CUT, CREATE, Lane.CHECK),
    "a look-up": (group_content(imported="group-1"), CHECK, Lane.CHECK),
    "a deletion": (CUT, DELETE, Lane.DELETE),
    "a deletion that is refused": (CUT, Refuse(Step.DELETE, "no"), Lane.WRITE),
    "letting go": (group_content(), Release(), Lane.WRITE),
    "taking an error off": (group_content(), ClearError(), Lane.WRITE),
    "taking a mark off": (group_content(), Unmark(), Lane.WRITE),
    "waiting": (group_content(), Wait(), Lane.WRITE),
    "resting": (group_content(), Settle(), Lane.WRITE),
}


@pytest.mark.parametrize(("given", "action", "expected"), LANES.values(), ids=LANES.keys())
def test_deletes_and_checks_never_wait_behind_creates(given: GroupContent, action: Action, expected: Lane) -> None:
    """Promise 10."""
    assert lane(given, action) is expected


PENDING: dict[str, tuple[GroupContent, Action, bool]] = {
    "a group that is cut but not ready": (CUT, CREATE, True),
    "a look-up of a group whose handle is recorded": (CUT, CHECK, True),
    "a first cut": (group_content(), CREATE, False),
    "a first look-up": (group_content(imported="group-1"), CHECK, False),
    "a refusal": (CUT, Refuse(Step.CREATE, "no"), False),
    "a ready group": (CUT, Settle(), False),
    "a deletion": (CUT, DELETE, False),
}


@pytest.mark.parametrize(("given", "action", "expected"), PENDING.values(), ids=PENDING.keys())
def test_only_what_is_cut_and_not_ready_is_waited_for(given: GroupContent, action: Action, expected: bool) -> None:
    assert is_pending(given, action) is expected


def volumes(count: int) -> tuple[str, ...]:
    return tuple(f"vol-{number}" for number in range(1, count + 1))


CREATION = 'CreateVolumeGroupSnapshot of volumes "vol-1", "vol-2"'
IMPORT = group_content(imported="group-0")

ATTEMPTS: dict[str, tuple[GroupContent, Action, Attempted]] = {
    "a cut names its volumes (case 79)": (
        group_content(),
        CREATE,
        Attempted(CREATION, "GroupSnapshotCreationFailed"),
    ),
    "so does a cut that is refused": (
        group_content(),
        Refuse(Step.CREATE, "no"),
        Attempted(CREATION, "GroupSnapshotCreationFailed"),
    ),
    "of many volumes three are named": (
        group_content(volumes=volumes(3)),
        CREATE,
        Attempted(
            'CreateVolumeGroupSnapshot of volumes "vol-1", "vol-2", "vol-3"',
            "GroupSnapshotCreationFailed",
        ),
    ),
    "and the others counted": (
        group_content(volumes=volumes(1000)),
        CREATE,
        Attempted(
            'CreateVolumeGroupSnapshot of volumes "vol-1", "vol-2", "vol-3" and 997 more',
            "GroupSnapshotCreationFailed",
        ),
    ),
    "what is cut is only checked (case 79)": (
        CUT,
        CREATE,
        Attempted('check of group snapshot "group-1"', "GroupSnapshotContentCheckandUpdateFailed"),
    ),
    "also when that is refused": (
        CUT,
        Refuse(Step.CREATE, "no"),
        Attempted('check of group snapshot "group-1"', "GroupSnapshotContentCheckandUpdateFailed"),
    ),
    "a first look-up names the handle of the source (case 97)": (
        IMPORT,
        CheckGroupSnapshot("group-0", HANDLES),
        Attempted('check of group snapshot "group-0"', "GroupSnapshotContentCheckandUpdateFailed"),
    ),
    "a look-up that is refused as well": (
        IMPORT,
        Refuse(Step.CHECK, "no"),
        Attempted('check of group snapshot "group-0"', "GroupSnapshotContentCheckandUpdateFailed"),
    ),
    "a deletion (case 94)": (
        CUT,
        DELETE,
        Attempted('DeleteVolumeGroupSnapshot of group snapshot "group-1"', "GroupSnapshotDeleteError"),
    ),
    "a deletion that is refused (case 94)": (
        CUT,
        Refuse(Step.DELETE, "no"),
        Attempted('DeleteVolumeGroupSnapshot of group snapshot "group-1"', "GroupSnapshotDeleteError"),
    ),
    "the end of one that was deleted": (
        CUT,
        Release(),
        Attempted("removal of our finalizer", "GroupSnapshotDeleteError"),
    ),
}


@pytest.mark.parametrize(("given", "action", "expected"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_what_is_attempted_is_said_in_words(given: GroupContent, action: Action, expected: Attempted) -> None:
    assert attempted(given, action) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (CreateGroupSnapshot(NAME, VOLUMES, SECRET), SECRET),
        (CheckGroupSnapshot("group-1", HANDLES, SECRET), SECRET),
        (DeleteGroupSnapshot("group-1", HANDLES, SECRET), SECRET),
        (CREATE, None),
        (Release(), None),
        (Refuse(Step.CREATE, "no"), None),
    ],
)
def test_a_secret_goes_with_calls_alone(action: Action, expected: SecretRef | None) -> None:
    assert secret_of(action) == expected
