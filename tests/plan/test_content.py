"""What the sidecar does next, as one table. "(case 36)" is the row of the specification's conformance cases.

The laws that hold for group contents as well are in `test_lifecycle`.
"""

from dataclasses import dataclass, replace

import msgspec
import pytest

from snapshotter import names
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.plan.content import (
    Action,
    CheckSnapshot,
    CreateSnapshot,
    DeleteSnapshot,
    TrustSnapshot,
    exists_on_storage,
    is_pending,
    lane,
    next_action,
    secret_of,
    worth_a_look,
)
from snapshotter.plan.lifecycle import (
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
from tests.factories import DRIVER, SNAPSHOT_UID, content, snapshot_class, terms
from tests.plan.kinds import every_content

NAME = f"snapshot-{SNAPSHOT_UID}"
CREATE = CreateSnapshot(NAME, "vol-1")
SECRET = SecretRef("ns-1", "secret-1")
CLASS = snapshot_class()
TERMS = terms()

ANNOTATED = {names.DELETION_SECRET_NAME: "secret-1", names.DELETION_SECRET_NAMESPACE: "ns-1"}
HALF = {names.DELETION_SECRET_NAME: "secret-1"}
LIST_SECRET = {names.LIST_SECRET_NAME: "secret-1", names.LIST_SECRET_NAMESPACE: "ns-1"}

NO_CLASS_NAME = "spec.volumeSnapshotClassName is not set, and creating needs a class"
UNKNOWN_CLASS = 'VolumeSnapshotClass "class-1" cannot be read: list: not allowed'
MISSING_CLASS = 'VolumeSnapshotClass "class-1" does not exist'
FOREIGN_CLASS = f'VolumeSnapshotClass "class-1" is for driver "other.example.com", this content for "{DRIVER}"'
INCOMPLETE = (
    "the secret name or namespace is missing: annotations snapshot.storage.kubernetes.io/deletion-secret-name and "
    "snapshot.storage.kubernetes.io/deletion-secret-namespace must both be set"
)
INCOMPLETE_IN_CLASS = (
    f"class parameters {names.LIST_SECRET_NAME} and {names.LIST_SECRET_NAMESPACE} must both be set, or neither"
)
NO_UID = "spec.volumeSnapshotRef.uid is empty, so the snapshot has no name"
BLOCKER = (
    "VolumeSnapshot ns/snap has not been deleted, or the snapshot-controller has not "
    "yet marked this content as being deleted"
)


@dataclass(frozen=True)
class Case:
    given: Content
    expected: Action
    snapshot_class: SnapshotClass | None = CLASS
    terms: Terms = TERMS


CREATING = {
    "a new content is cut (case 1)": Case(content(), CREATE),
    "with extra metadata the driver learns whom it is made for (case 1)": Case(
        content(),
        CreateSnapshot(
            NAME,
            "vol-1",
            None,
            {
                "csi.storage.k8s.io/volumesnapshot/name": "snap",
                "csi.storage.k8s.io/volumesnapshot/namespace": "ns",
                "csi.storage.k8s.io/volumesnapshotcontent/name": "content-1",
            },
        ),
        terms=terms(extra_create_metadata=True),
    ),
    "a snapshot in the making is asked for again by the same name (cases 2, 3)": Case(
        content(handle="snap-1", ready=False), CREATE
    ),
    "an empty status is as good as none (cases 7, 8)": Case(content(has_status=True), CREATE),
    "a ready snapshot is left alone (cases 4, 16)": Case(content(handle="snap-1", ready=True), Settle()),
    "the annotated secret is used, and keys of the class that look like it are plain parameters (case 6)": Case(
        content(annotations=ANNOTATED),
        CreateSnapshot(NAME, "vol-1", SECRET, {names.DELETION_SECRET_NAME: "x"}),
        snapshot_class(parameters={names.DELETION_SECRET_NAME: "x"}),
    ),
    "two empty values are not a secret (case 7)": Case(
        content(has_status=True, annotations={names.DELETION_SECRET_NAME: "", names.DELETION_SECRET_NAMESPACE: ""}),
        Refuse(Step.CREATE, INCOMPLETE),
    ),
    "a secret's name without its namespace is a mistake (case 12)": Case(
        content(annotations=HALF), Refuse(Step.CREATE, INCOMPLETE)
    ),
    "a secret's namespace without its name is a mistake (case 12)": Case(
        content(annotations={names.DELETION_SECRET_NAMESPACE: "ns-1"}), Refuse(Step.CREATE, INCOMPLETE)
    ),
    "a snapshot in the making needs its class (case 9)": Case(
        content(handle="snap-1", ready=False), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "a class that does not exist is named, and the content not ignored (cases 10, 75)": Case(
        content(), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "a class that cannot be read is not said to be missing": Case(
        content(),
        Refuse(Step.CREATE, 'VolumeSnapshotClass "class-1" cannot be read: it is odd'),
        None,
        replace(TERMS, class_troubles={"class-1": "it is odd", "class-2": "no"}),
    ),
    "that the classes cannot be read is not said to be the class's fault": Case(
        content(), Refuse(Step.CREATE, UNKNOWN_CLASS), None, replace(TERMS, classes_unknown="list: not allowed")
    ),
    "a class that was read once is used, whatever has become of the right to read it": Case(
        content(), CREATE, terms=replace(TERMS, classes_unknown="list: not allowed")
    ),
    "a content to be cut needs a class (case 11)": Case(content(class_name=None), Refuse(Step.CREATE, NO_CLASS_NAME)),
    "an empty class name is none": Case(content(class_name=""), Refuse(Step.CREATE, NO_CLASS_NAME)),
    "without extra metadata only the driver's parameters are sent (cases 14, 63)": Case(
        content(),
        CreateSnapshot(NAME, "vol-1", None, {"pool": "fast", "csiFoo": "bar"}),
        snapshot_class(parameters={"pool": "fast", "csiFoo": "bar", **LIST_SECRET}),
    ),
    "an unknown reserved parameter is a mistake of the class (cases 32, 64)": Case(
        content(),
        Refuse(
            Step.CREATE,
            'class parameters "csi.storage.k8s.io/a", "csi.storage.k8s.io/b" are unknown, '
            "and csi.storage.k8s.io/ is reserved",
        ),
        snapshot_class(parameters={"csi.storage.k8s.io/b": "", "csi.storage.k8s.io/a": ""}),
    ),
    "without the uid of a VolumeSnapshot there is no name (case 32)": Case(
        content(ref_uid=""), Refuse(Step.CREATE, NO_UID)
    ),
    "a class for another driver is a mistake of the content (case 74)": Case(
        content(), Refuse(Step.CREATE, FOREIGN_CLASS), snapshot_class(driver="other.example.com")
    ),
    "a cut without an answer is asked for again by the same name (case 28)": Case(content(being_created=True), CREATE),
    "an error in status does not keep from trying again (case 29)": Case(content(error="no", ready=False), CREATE),
    "a name is shortened as the flags say": Case(
        content(),
        CreateSnapshot("cut-11111111", "vol-1"),
        terms=terms(naming=Naming("cut", 8)),
    ),
    "what we cut is asked for again, whatever group the driver puts it into": Case(
        content(handle="snap-1", group_handle="group-1", ready=False), CREATE, terms=terms(can_list=False)
    ),
    "an empty handle in status is none": Case(content(handle="", ready=False), CREATE),
}

ERRORS = {
    "an error that a late write has left on a ready snapshot goes": Case(
        content(handle="snap-1", ready=True, error="no"), ClearError()
    ),
    "while a deletion waits the error may stay": Case(
        content(handle="snap-1", ready=True, error="no", deleting=True), Wait(BLOCKER)
    ),
    "an error of a snapshot that is not ready goes with the next good answer (case 22)": Case(
        content(handle="snap-1", ready=False, error="no"), CREATE
    ),
}

MARKS = {
    "a mark that a crash left behind on a ready content goes (case 16)": Case(
        content(handle="snap-1", ready=True, being_created=True), Unmark()
    ),
    "a mark is of no use once the handle is recorded (case 23)": Case(
        content(handle="snap-1", ready=False, being_created=True), Unmark()
    ),
    "a mark goes also while a deletion waits for the controller": Case(
        content(handle="snap-1", ready=True, being_created=True, deleting=True), Unmark()
    ),
    "a ready content without a mark is left alone (case 16)": Case(content(handle="snap-1", ready=True), Settle()),
}

OTHERS = {
    "a content of another driver is none of our business (case 74)": Case(content(driver="other.example.com"), Wait()),
    "also when it is to be deleted (case 74)": Case(
        content(driver="other.example.com", handle="snap-1", deleting=True, being_deleted=True), Wait()
    ),
    "a content without a source is ignored (case 74)": Case(content(volume=""), Wait()),
    "a ready import that was never bound is left alone (case 17)": Case(
        content(imported="snap-1", ref_uid="", handle="snap-1", ready=True), Settle()
    ),
    "a ready content with Retain is left alone (case 17)": Case(
        content(policy="Retain", handle="snap-1", ready=True), Settle()
    ),
}

IN_DOUBT = content(handle="snap-1", ready=False, deleting=True, being_deleted=True)
DOUBTED = msgspec.structs.replace(IN_DOUBT, cut_in_doubt=True)

DOUBTS = {
    "a deletion does not overtake a create call that may still be at work": Case(DOUBTED, CREATE),
    "nor does it without the class, whose parameters then are left out": Case(
        DOUBTED,
        CreateSnapshot(CREATE.name, CREATE.volume, without_class='VolumeSnapshotClass "class-1" does not exist'),
        None,
    ),
    "once the driver has answered it is deleted": Case(IN_DOUBT, DeleteSnapshot("snap-1")),
}

MEMBERS = {
    "a member waits for its group, without a call and a write (case 18)": Case(
        content(member_of="group-1", class_name=None), Wait()
    ),
    "a member with a handle but without its group's still waits (case 18)": Case(
        content(member_of="group-1", class_name=None, handle="snap-1", ready=False), Wait()
    ),
    "a member is looked up with the annotated secret (case 19)": Case(
        content(
            member_of="group-1",
            class_name=None,
            handle="snap-1",
            group_handle="group-1",
            ready=False,
            annotations=ANNOTATED,
        ),
        CheckSnapshot("snap-1", SECRET),
        None,
    ),
    "half a secret keeps a member from being looked up": Case(
        content(
            member_of="group-1",
            class_name=None,
            handle="snap-1",
            group_handle="group-1",
            ready=False,
            annotations=HALF,
        ),
        Refuse(Step.CHECK, INCOMPLETE),
        None,
    ),
    "a driver that cannot look up leaves a member's readiness to its group (case 20)": Case(
        content(member_of="group-1", class_name=None, handle="snap-1", group_handle="group-1", ready=False),
        Wait(),
        terms=terms(can_list=False),
    ),
    "a member that is not ready names what blocks its deletion": Case(
        content(member_of="group-1", class_name=None, deleting=True), Wait(BLOCKER)
    ),
    "so does one that cannot be looked up": Case(
        content(
            member_of="group-1", class_name=None, handle="snap-1", group_handle="group-1", ready=False, deleting=True
        ),
        Wait(BLOCKER),
        terms=terms(can_list=False),
    ),
}

CHECKING = {
    "an imported snapshot is looked up (case 50)": Case(content(imported="snap-1"), CheckSnapshot("snap-1")),
    "an import needs no class": Case(content(imported="snap-1", class_name=None), CheckSnapshot("snap-1"), None),
    "an import that is not ready is looked up again (case 56)": Case(
        content(imported="snap-1", handle="snap-1", ready=False), CheckSnapshot("snap-1")
    ),
    "the class's list secret is used (case 51)": Case(
        content(imported="snap-1"), CheckSnapshot("snap-1", SECRET), snapshot_class(parameters=LIST_SECRET)
    ),
    "the list secret may be named after the content (case 61)": Case(
        content(imported="snap-1"),
        CheckSnapshot("snap-1", SecretRef("ns-1", "content-1-secret")),
        snapshot_class(parameters=LIST_SECRET | {names.LIST_SECRET_NAME: "${volumesnapshotcontent.name}-secret"}),
    ),
    "half a list secret is a mistake of the class (case 58)": Case(
        content(imported="snap-1"),
        Refuse(Step.CHECK, INCOMPLETE_IN_CLASS),
        snapshot_class(parameters={names.LIST_SECRET_NAME: "secret-1"}),
    ),
    "the annotated secret is for creating and deleting, not for looking up an import": Case(
        content(imported="snap-1", class_name=None, annotations=ANNOTATED),
        CheckSnapshot("snap-1"),
        None,
    ),
    "a driver that can get one snapshot need not list them": Case(
        content(imported="snap-1"), CheckSnapshot("snap-1"), terms=terms(can_list=False, can_get=True)
    ),
    "an import is taken on trust when the driver cannot look it up (case 52)": Case(
        content(imported="snap-1"), TrustSnapshot("snap-1"), terms=terms(can_list=False)
    ),
    "a class that is missing is named (case 56)": Case(
        content(imported="snap-1"), Refuse(Step.CHECK, MISSING_CLASS), None
    ),
    "a mark on an import does not keep it from being looked up (case 53)": Case(
        content(imported="snap-1", being_created=True), CheckSnapshot("snap-1")
    ),
    "an import that turned out to be of a group is looked up with the annotated secret (case 55)": Case(
        content(
            imported="snap-1",
            class_name=None,
            handle="snap-1",
            group_handle="group-1",
            ready=False,
            annotations=ANNOTATED,
        ),
        CheckSnapshot("snap-1", SECRET),
        None,
    ),
    "a class for another driver is a mistake of an import as well (case 74)": Case(
        content(imported="snap-1"), Refuse(Step.CHECK, FOREIGN_CLASS), snapshot_class(driver="other.example.com")
    ),
    "an import that is being deleted is looked up until the controller has marked it": Case(
        content(imported="snap-1", deleting=True), CheckSnapshot("snap-1")
    ),
}

DELETING = {
    "a deletion waits for the controller's mark, and says so (case 36)": Case(
        content(handle="snap-1", ready=True, deleting=True), Wait(BLOCKER)
    ),
    "a bound import waits for the controller's mark as well (case 36)": Case(
        content(imported="snap-1", handle="snap-1", ready=True, deleting=True), Wait(BLOCKER)
    ),
    "an import that was never bound goes without the mark, and its snapshot stays (case 36)": Case(
        content(imported="snap-1", ref_uid="", handle="snap-1", ready=True, deleting=True), Release()
    ),
    "an import that was never bound goes even while it is marked as being created (case 36)": Case(
        content(imported="snap-1", ref_uid="", being_created=True, deleting=True), Release()
    ),
    "an import that was never bound loses its snapshot on the controller's word": Case(
        content(imported="snap-1", ref_uid="", handle="snap-1", deleting=True, being_deleted=True),
        DeleteSnapshot("snap-1"),
    ),
    "a content whose cut has no answer yet is not deleted (cases 30, 36)": Case(
        content(being_created=True, deleting=True, being_deleted=True), CREATE
    ),
    "once it has an answer it is deleted by the handle (case 30)": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", ready=False), DeleteSnapshot("snap-1")
    ),
    "the mark goes first, or it would say that a cut has no answer yet (case 30)": Case(
        content(being_created=True, deleting=True, being_deleted=True, handle="snap-1", ready=False), Unmark()
    ),
    "nothing is cut for a content that our finalizer cannot keep any more": Case(
        content(deleting=True, finalizers=()), Wait(BLOCKER)
    ),
    "a cut without an answer is asked for again all the same": Case(
        content(deleting=True, being_created=True, finalizers=()), CREATE
    ),
    "a mark on a member holds nothing up, for members are not cut": Case(
        content(member_of="group-1", class_name=None, being_created=True, deleting=True, being_deleted=True),
        Release(),
    ),
    "once it is certain that nothing was cut it goes (case 31)": Case(
        content(deleting=True, being_deleted=True, error="no", ready=False), Release()
    ),
    "a content that could never be cut goes (case 32)": Case(
        content(ref_uid="", deleting=True, being_deleted=True), Release()
    ),
    "a cut without an answer is settled even when its class is gone": Case(
        content(being_created=True, deleting=True, being_deleted=True),
        CreateSnapshot(NAME, "vol-1", without_class=MISSING_CLASS),
        None,
    ),
    "or is for another driver by now": Case(
        content(being_created=True, deleting=True, being_deleted=True),
        CreateSnapshot(NAME, "vol-1", without_class=FOREIGN_CLASS),
        snapshot_class(driver="other.example.com"),
    ),
    "or has mistakes in it by now": Case(
        content(being_created=True, deleting=True, being_deleted=True),
        CreateSnapshot(
            NAME,
            "vol-1",
            without_class='class parameters "csi.storage.k8s.io/a" are unknown, and csi.storage.k8s.io/ is reserved',
        ),
        snapshot_class(parameters={"csi.storage.k8s.io/a": ""}),
    ),
    "readiness that somebody else wrote does not answer for a cut": Case(
        content(being_created=True, ready=True, deleting=True, being_deleted=True), CREATE
    ),
    "a member's snapshot goes with the group, even before the group's handle is recorded": Case(
        content(member_of="group-1", class_name=None, deleting=True, being_deleted=True, handle="snap-1", ready=True),
        Release(),
    ),
    "a class that is gone holds up a cut without an answer that nobody wants deleted": Case(
        content(being_created=True), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "a class that is gone holds up a new cut, deletion or not": Case(
        content(deleting=True), Refuse(Step.CREATE, MISSING_CLASS), None
    ),
    "a deletion timestamp alone does not end a cut": Case(content(deleting=True, handle="snap-1", ready=False), CREATE),
    "a deleted content's snapshot is deleted (case 37)": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", ready=True), DeleteSnapshot("snap-1")
    ),
    "a retained snapshot outlives its content (case 38)": Case(
        content(policy="Retain", deleting=True, being_deleted=True, handle="snap-1", ready=True), Release()
    ),
    "an imported snapshot is deleted like any other (case 39)": Case(
        content(imported="snap-1", deleting=True, being_deleted=True, handle="snap-1", ready=True),
        DeleteSnapshot("snap-1"),
    ),
    "an imported snapshot is retained like any other (case 39)": Case(
        content(policy="Retain", imported="snap-1", deleting=True, being_deleted=True, handle="snap-1", ready=True),
        Release(),
    ),
    "deleting asks for no class (case 40)": Case(
        content(class_name=None, deleting=True, being_deleted=True, handle="snap-1", ready=True),
        DeleteSnapshot("snap-1"),
        None,
    ),
    "deleting an import asks for no class (case 40)": Case(
        content(imported="snap-1", class_name=None, deleting=True, being_deleted=True, handle="snap-1"),
        DeleteSnapshot("snap-1"),
        None,
    ),
    "a class that is gone does not hold up a deletion": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", ready=True), DeleteSnapshot("snap-1"), None
    ),
    "a class with mistakes in it does not hold up a deletion (case 41)": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", ready=True),
        DeleteSnapshot("snap-1"),
        snapshot_class(parameters={names.LIST_SECRET_NAME: "$nonsense", "csi.storage.k8s.io/nonsense": ""}),
    ),
    "a member of a group goes without a call, for its snapshot goes with the group (case 43)": Case(
        content(
            member_of="group-1",
            class_name=None,
            group_handle="group-1",
            deleting=True,
            being_deleted=True,
            handle="snap-1",
            ready=True,
        ),
        Release(),
    ),
    "deleting uses the annotated secret (case 44)": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", annotations=ANNOTATED),
        DeleteSnapshot("snap-1", SECRET),
    ),
    "half a secret keeps a snapshot from being deleted": Case(
        content(deleting=True, being_deleted=True, handle="snap-1", annotations=HALF),
        Refuse(Step.DELETE, INCOMPLETE),
    ),
    "a content without a handle goes without a call (case 45)": Case(
        content(deleting=True, being_deleted=True), Release()
    ),
    "a content whose snapshot has been deleted goes (cases 46, 47)": Case(
        content(deleting=True, being_deleted=True, has_status=True), Release()
    ),
    "a content without our finalizer needs no write (case 48)": Case(
        content(deleting=True, being_deleted=True, finalizers=("example.com/other",)), Settle()
    ),
    "among other finalizers ours still goes (case 48)": Case(
        content(deleting=True, being_deleted=True, finalizers=("example.com/other", names.CONTENT_FINALIZER)),
        Release(),
    ),
    "the controller's mark without a deletion deletes nothing": Case(
        content(handle="snap-1", ready=True, being_deleted=True), Settle()
    ),
}

CASES = CREATING | ERRORS | MARKS | DOUBTS | OTHERS | MEMBERS | CHECKING | DELETING


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_next_action(case: Case) -> None:
    assert next_action(case.given, case.snapshot_class, case.terms) == case.expected


def test_what_belongs_to_a_group_is_never_deleted_alone() -> None:
    """Promise 2."""
    for given in every_content():
        if isinstance(next_action(given, CLASS, TERMS), DeleteSnapshot):
            assert not given.has_group_handle
            assert not given.is_group_member


def test_only_imports_are_taken_on_trust() -> None:
    """Promise 9: what we cut is ready when the driver says so."""
    for given in every_content():
        if isinstance(next_action(given, CLASS, terms(can_list=False)), TrustSnapshot):
            assert given.imported_handle is not None


def test_members_of_groups_are_never_cut_one_by_one() -> None:
    for given in every_content():
        if given.is_group_member:
            assert not isinstance(next_action(given, CLASS, TERMS), CreateSnapshot)


MADE_BY_OTHERS = {
    "an import": (content(imported="snap-1"), True),
    "a member of which the handle is recorded": (
        content(member_of="group-1", handle="snap-1", group_handle="group-1"),
        True,
    ),
    "not a member without a handle": (content(member_of="group-1", group_handle="group-1"), False),
    "not a member without its group's handle": (content(member_of="group-1", handle="snap-1"), False),
    "not what we cut, whatever group the driver puts it into": (
        content(handle="snap-1", group_handle="group-1"),
        False,
    ),
    "not what we cut": (content(handle="snap-1"), False),
}


@pytest.mark.parametrize(("given", "expected"), MADE_BY_OTHERS.values(), ids=MADE_BY_OTHERS.keys())
def test_a_snapshot_exists_on_the_storage(given: Content, expected: bool) -> None:
    assert exists_on_storage(given) is expected


@dataclass(frozen=True)
class Change:
    old: Content | None
    new: Content
    expected: bool


CUT = content(handle="snap-1", ready=False)

CHANGES = {
    "a content that is new": Change(None, content(), True),
    "no change (case 65)": Change(content(), content(), False),
    "an error in status (case 65)": Change(content(), content(error="no", ready=False), False),
    "an error in status that is gone (case 65)": Change(content(error="no", ready=False), content(ready=False), False),
    "another finalizer (case 65)": Change(content(), content(finalizers=("x", names.CONTENT_FINALIZER)), False),
    "the being-created mark set (case 67)": Change(content(), content(being_created=True), False),
    "the being-created mark removed (case 67)": Change(content(being_created=True), content(), False),
    "a being-created mark that somebody puts on a ready content": Change(
        content(handle="snap-1", ready=True), content(handle="snap-1", ready=True, being_created=True), True
    ),
    "the class name, before the cut (case 66)": Change(content(class_name=None), content(), True),
    "the class name, after the cut (case 66)": Change(
        content(handle="snap-1", ready=True),
        content(handle="snap-1", ready=True, class_name="class-2"),
        False,
    ),
    "the class name, while the cut is not ready (case 66)": Change(
        content(handle="snap-1", ready=False, class_name="class-0"), CUT, True
    ),
    "a secret's annotations (case 66)": Change(content(), content(annotations=ANNOTATED), True),
    "the controller's mark, before anybody deletes (case 66)": Change(
        CUT, content(handle="snap-1", ready=False, being_deleted=True), False
    ),
    "the controller's mark (case 66)": Change(
        content(handle="snap-1", ready=True, deleting=True),
        content(handle="snap-1", ready=True, deleting=True, being_deleted=True),
        True,
    ),
    "a deletion": Change(
        content(handle="snap-1", ready=True), content(handle="snap-1", ready=True, deleting=True), True
    ),
    "a deletion during the cut, which users are told of": Change(
        CUT, content(handle="snap-1", ready=False, deleting=True), True
    ),
    "the controller's mark while the cut has no answer, which users are told of": Change(
        content(being_created=True, deleting=True),
        content(being_created=True, deleting=True, being_deleted=True),
        True,
    ),
    "another object of the same name": Change(content(), content(uid="uid-of-a-later-one"), True),
    "a new content of another driver": Change(None, content(driver="other.example.com"), False),
    "an error that appears on a ready snapshot": Change(
        content(handle="snap-1", ready=True), content(handle="snap-1", ready=True, error="no"), True
    ),
    "readiness (case 66)": Change(CUT, content(handle="snap-1", ready=True), True),
    "a handle that a member is given": Change(
        content(member_of="group-1", class_name=None),
        content(member_of="group-1", class_name=None, handle="snap-1", group_handle="group-1", ready=False),
        True,
    ),
    "the policy, while the content is not deleted": Change(
        content(handle="snap-1", ready=True), content(handle="snap-1", ready=True, policy="Retain"), False
    ),
    "the policy, while the snapshot is to be deleted": Change(
        content(handle="snap-1", deleting=True, being_deleted=True),
        content(handle="snap-1", deleting=True, being_deleted=True, policy="Retain"),
        True,
    ),
    "a content of another driver": Change(
        content(driver="other.example.com"), content(driver="other.example.com", deleting=True), False
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_worth_a_look_when_something_else_is_to_be_done(change: Change) -> None:
    assert worth_a_look(change.old, change.new, CLASS, TERMS) is change.expected


LANES: dict[str, tuple[Content, Action, Lane]] = {
    "a cut": (content(), CREATE, Lane.CREATE),
    "a cut that is refused": (content(), Refuse(Step.CREATE, "no"), Lane.WRITE),
    "asking again for what is cut": (CUT, CREATE, Lane.CHECK),
    "a refusal to ask again": (CUT, Refuse(Step.CREATE, "no"), Lane.WRITE),
    "a look-up": (content(imported="snap-1"), CheckSnapshot("snap-1"), Lane.CHECK),
    "a look-up that is refused": (content(imported="snap-1"), Refuse(Step.CHECK, "no"), Lane.WRITE),
    "trust": (content(imported="snap-1"), TrustSnapshot("snap-1"), Lane.WRITE),
    "a deletion": (content(handle="snap-1"), DeleteSnapshot("snap-1"), Lane.DELETE),
    "a deletion that is refused": (content(handle="snap-1"), Refuse(Step.DELETE, "no"), Lane.WRITE),
    "letting go": (content(), Release(), Lane.WRITE),
    "taking an error off": (content(), ClearError(), Lane.WRITE),
    "taking a mark off": (content(), Unmark(), Lane.WRITE),
    "waiting": (content(), Wait(), Lane.WRITE),
    "resting": (content(), Settle(), Lane.WRITE),
}


@pytest.mark.parametrize(("given", "action", "expected"), LANES.values(), ids=LANES.keys())
def test_deletes_and_checks_never_wait_behind_creates(given: Content, action: Action, expected: Lane) -> None:
    """Promise 10: each sort of work has its own lane, what needs no driver included."""
    assert lane(given, action) is expected


PENDING: dict[str, tuple[Content, Action, bool]] = {
    "a snapshot that is cut but not ready": (CUT, CREATE, True),
    "a look-up of a snapshot whose handle is recorded": (CUT, CheckSnapshot("snap-1"), True),
    "a first cut": (content(), CREATE, False),
    "a first look-up": (content(imported="snap-1"), CheckSnapshot("snap-1"), False),
    "a refusal": (CUT, Refuse(Step.CREATE, "no"), False),
    "a ready snapshot": (CUT, Settle(), False),
    "a deletion": (CUT, DeleteSnapshot("snap-1"), False),
}


@pytest.mark.parametrize(("given", "action", "expected"), PENDING.values(), ids=PENDING.keys())
def test_only_what_is_cut_and_not_ready_is_waited_for(given: Content, action: Action, expected: bool) -> None:
    assert is_pending(given, action) is expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (CreateSnapshot(NAME, "vol-1", SECRET), SECRET),
        (CheckSnapshot("snap-1", SECRET), SECRET),
        (DeleteSnapshot("snap-1", SECRET), SECRET),
        (CREATE, None),
        (TrustSnapshot("snap-1"), None),
        (Release(), None),
        (Refuse(Step.CREATE, "no"), None),
    ],
)
def test_a_secret_goes_with_calls_alone(action: Action, expected: SecretRef | None) -> None:
    assert secret_of(action) == expected
