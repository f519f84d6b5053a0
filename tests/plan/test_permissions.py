from dataclasses import replace
from pathlib import Path

import pytest

from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP
from snapshotter.plan import permissions
from snapshotter.plan.permissions import Access, Permission, Places, Where, question_about, questions
from snapshotter.plan.secrets import SecretRef

Rule = tuple[str, str, str]
"""Verb, API group and resource, as a role names them."""

PROGRAMS = {
    "the sidecar": permissions.sidecar(),
    "the webhook": permissions.webhook(),
    "the controller": permissions.controller(distributed_snapshotting=True),
}


def rules(table: tuple[Permission, ...]) -> set[Rule]:
    return {(row.verb, row.group, row.full_resource) for row in table}


def role(*granted: tuple[str, str, str]) -> set[Rule]:
    """The rules of a role, given as group, resource and verbs."""
    return {(verb, group, resource) for group, resource, verbs in granted for verb in verbs.split()}


UPSTREAM_SIDECAR = role(
    ("", "events", "list watch create update patch"),
    ("", "secrets", "get list"),
    (SNAPSHOT_GROUP, "volumesnapshotclasses", "get list watch"),
    (SNAPSHOT_GROUP, "volumesnapshotcontents", "get list watch update patch"),
    (SNAPSHOT_GROUP, "volumesnapshotcontents/status", "update patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", "get list watch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "get list watch update patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents/status", "update patch"),
    ("coordination.k8s.io", "leases", "get watch list delete update create"),
)

UPSTREAM_CONTROLLER = role(
    ("", "persistentvolumes", "get list watch"),
    ("", "persistentvolumeclaims", "get list watch update"),
    ("", "events", "list watch create update patch"),
    ("", "nodes", "get list watch"),
    (SNAPSHOT_GROUP, "volumesnapshotclasses", "get list watch"),
    (SNAPSHOT_GROUP, "volumesnapshotcontents", "create get list watch update delete patch"),
    (SNAPSHOT_GROUP, "volumesnapshotcontents/status", "patch"),
    (SNAPSHOT_GROUP, "volumesnapshots", "create get list watch update patch delete"),
    (SNAPSHOT_GROUP, "volumesnapshots/status", "update patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", "get list watch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "create get list watch update delete patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents/status", "patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshots", "get list watch update patch"),
    (GROUP_SNAPSHOT_GROUP, "volumegroupsnapshots/status", "update patch"),
    ("coordination.k8s.io", "leases", "get watch list delete update create"),
)


@pytest.mark.parametrize(
    ("table", "granted"),
    [(PROGRAMS["the sidecar"], UPSTREAM_SIDECAR), (PROGRAMS["the controller"], UPSTREAM_CONTROLLER)],
    ids=["sidecar", "controller"],
)
def test_upstreams_roles_give_everything_that_is_used(table: tuple[Permission, ...], granted: set[Rule]) -> None:
    assert rules(table) - granted == set()


@pytest.mark.parametrize("table", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_each_row_can_be_told_apart_and_says_what_it_is_for(table: tuple[Permission, ...]) -> None:
    # These four are the labels of the metric; where two rows share them, one could hide the other.
    labels = [(row.verb, row.group, row.full_resource, row.needed_for) for row in table]
    assert len(set(labels)) == len(labels)
    assert all(row.needed_for and row.without_it for row in table)


WHAT_IS_OFF = {
    "groups": (
        permissions.sidecar(groups=False),
        permissions.sidecar(),
        lambda row: row.group == GROUP_SNAPSHOT_GROUP,
    ),
    "election": (
        permissions.sidecar(election=False),
        permissions.sidecar(),
        lambda row: row.where is Where.LEASE,
    ),
    "groups of the controller": (
        permissions.controller(groups=False),
        permissions.controller(),
        lambda row: row.needed_for == "group snapshots",
    ),
    "distributed snapshotting": (
        permissions.controller(),
        permissions.controller(distributed_snapshotting=True),
        lambda row: row.resource == "nodes",
    ),
    "election of the controller": (
        permissions.controller(election=False),
        permissions.controller(),
        lambda row: row.where is Where.LEASE,
    ),
    "default class admission": (permissions.webhook(default_class_admission=False), permissions.webhook(), bool),
}


@pytest.mark.parametrize(("without", "with_it", "belongs"), WHAT_IS_OFF.values(), ids=WHAT_IS_OFF.keys())
def test_what_is_turned_off_needs_no_permission(
    without: tuple[Permission, ...], with_it: tuple[Permission, ...], belongs: object
) -> None:
    assert callable(belongs)
    assert set(with_it) - set(without) == {row for row in with_it if belongs(row)} != set()


def test_nothing_but_single_snapshots_and_the_election_keeps_the_sidecar_from_being_ready() -> None:
    required = {row for row in permissions.sidecar() if row.required}
    assert {row.needed_for for row in required} == {"single snapshots", "leader election"}


def row(verb: str, where: Where, resource: str = "things", subresource: str = "") -> Permission:
    return Permission(verb, "example.com", resource, "a feature", "it is lost", where, subresource)


SECRETS = (SecretRef("a", "one"), SecretRef("b", "two"))
LEASE = ("kube-system", "leader")

QUESTIONS = {
    "a cluster-scoped kind is asked about at large": (
        row("list", Where.CLUSTER),
        Places(),
        [Access("list", "example.com", "things")],
    ),
    "a subresource is asked about as such": (
        row("patch", Where.CLUSTER, subresource="status"),
        Places(),
        [Access("patch", "example.com", "things", "status")],
    ),
    "events are asked about where those of cluster-scoped objects live": (
        row("create", Where.EVENTS),
        Places(),
        [Access("create", "example.com", "things", namespace="default")],
    ),
    "a lease is asked about by its name": (
        row("update", Where.LEASE),
        Places(lease=LEASE),
        [Access("update", "example.com", "things", namespace="kube-system", name="leader")],
    ),
    "to create a lease needs no name": (
        row("create", Where.LEASE),
        Places(lease=LEASE),
        [Access("create", "example.com", "things", namespace="kube-system")],
    ),
    "a lease of unknown name is not asked about": (row("get", Where.LEASE), Places(), []),
    "Secrets are asked about by their names alone": (
        row("get", Where.SECRETS),
        Places(secrets=SECRETS),
        [
            Access("get", "example.com", "things", namespace="a", name="one"),
            Access("get", "example.com", "things", namespace="b", name="two"),
        ],
    ),
    "what is not served is not asked about": (
        row("list", Where.CLUSTER),
        Places(unserved=frozenset({"example.com"})),
        [],
    ),
    "where no Secret is used there is nothing to ask": (row("get", Where.SECRETS), Places(lease=LEASE), []),
}


@pytest.mark.parametrize(("permission", "places", "expected"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_questions(permission: Permission, places: Places, expected: list[Access]) -> None:
    assert questions([permission], places) == dict.fromkeys(expected, (permission,))


@pytest.mark.parametrize("table", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_every_row_is_asked_about(table: tuple[Permission, ...]) -> None:
    asked = questions(table, Places(lease=LEASE, secrets=SECRETS[:1]))
    assert [permission for about in asked.values() for permission in about] == list(table)


def test_one_question_may_be_about_two_features() -> None:
    asked = questions(permissions.sidecar(), Places(lease=("default", "leader")))
    about = asked[Access("create", "", "events", namespace="default")]
    assert [permission.needed_for for permission in about] == ["events", "events about the leader"]


TEXTS = {
    "list things": Access("list", "", "things"),
    'patch things/status "a" in API group "example.com"': Access("patch", "example.com", "things", "status", name="a"),
    'get secrets "login" in namespace "default"': Access("get", "", "secrets", namespace="default", name="login"),
}


@pytest.mark.parametrize(("text", "access"), TEXTS.items(), ids=TEXTS.keys())
def test_an_access_reads_as_a_role_names_it(text: str, access: Access) -> None:
    assert str(access) == text


CONTENTS = Access("patch", "example.com", "things")
ABOUT = {
    "an object is asked about at large": (replace(CONTENTS, name="one"), CONTENTS),
    "so is an object in a namespace": (replace(CONTENTS, namespace="a", name="one"), CONTENTS),
    "a namespace is asked about if that is what is needed": (
        Access("create", "", "events", namespace="a"),
        Access("create", "", "events", namespace="a"),
    ),
    "an object of it as well": (
        Access("create", "", "events", namespace="a", name="one"),
        Access("create", "", "events", namespace="a"),
    ),
    "a Secret is asked about by its name": (
        Access("get", "", "secrets", namespace="a", name="one"),
        Access("get", "", "secrets", namespace="a", name="one"),
    ),
    "another Secret is not": (Access("get", "", "secrets", namespace="a", name="two"), None),
    "nor another verb": (replace(CONTENTS, verb="get"), None),
    "nor a subresource": (replace(CONTENTS, subresource="status"), None),
    "nor another group": (replace(CONTENTS, group=""), None),
}
ASKED = (
    CONTENTS,
    Access("create", "", "events", namespace="a"),
    Access("get", "", "secrets", namespace="a", name="one"),
)


@pytest.mark.parametrize(("access", "expected"), ABOUT.values(), ids=ABOUT.keys())
def test_what_was_refused_is_known_by_a_question(access: Access, expected: Access | None) -> None:
    assert question_about(access, ASKED) == expected


DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
HEADINGS = {
    "csi-snapshotter": PROGRAMS["the sidecar"],
    "snapshot-controller": PROGRAMS["the controller"],
    "snapshot-conversion-webhook": PROGRAMS["the webhook"],
}


@pytest.mark.parametrize(("heading", "table"), HEADINGS.items(), ids=HEADINGS.keys())
def test_people_are_told_the_same_table(heading: str, table: tuple[Permission, ...]) -> None:
    (section,) = (part for part in DOCUMENT.read_text().split("\n## ") if part.startswith(f"{heading}\n"))
    told = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert told == [
        ["verb", "resource", "API group", "where", "needed for", "required", "without it"],
        *(
            [
                row.verb,
                row.full_resource,
                row.group or "core",
                row.where,
                row.needed_for,
                "yes" if row.required else "no",
                row.without_it,
            ]
            for row in table
        ),
    ]
