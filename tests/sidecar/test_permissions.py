"""The sidecar under roles: with just what it needs, with upstream's role, and with each single permission missing."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.kube.access import PATH
from snapshotter.kube.attributes import access_of
from snapshotter.names import (
    GROUP_SNAPSHOT_GROUP,
    LIST_SECRET_NAME,
    LIST_SECRET_NAMESPACE,
    SNAPSHOT_GROUP,
    SNAPSHOTTER_SECRET_NAME,
    SNAPSHOTTER_SECRET_NAMESPACE,
)
from snapshotter.plan import permissions
from snapshotter.plan.permissions import Access, Permission, Places, Where, question_about, questions
from snapshotter.plan.secrets import SecretRef
from snapshotter.settings import ElectionSettings
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.faults import Fault
from tests.roles import UPSTREAM_LEASES, UPSTREAM_SIDECAR, binding, collection, role, roles_of, rule
from tests.world import ACCOUNT, DEFINITIONS, GROUP, MERGE, SINGLE, Kind, World, make_world

LEASE = ("kube-system", "external-snapshotter-leader-bytes-csi-example-com")
VOLUMES = ("vol", "vol2")
LOGIN = SecretRef("default", "login")
BY_LOGIN = {SNAPSHOTTER_SECRET_NAME: LOGIN.name, SNAPSHOTTER_SECRET_NAMESPACE: LOGIN.namespace}
PLACES = Places(lease=LEASE, secrets=(LOGIN,))
TABLE = permissions.sidecar()
ELECTION = ElectionSettings(
    enabled=True, namespace=LEASE[0], lease_duration=90.0, renew_deadline=60.0, retry_period=0.2
)
EVENTS_ABOUT_LEADER = "events about the leader"


class Cluster(World):
    """A world in which roles decide."""

    async def grant(self, roles: Iterable[dict[str, Any]]) -> None:
        """Let these roles, bound to the sidecar's account, be as they are given."""
        for given in roles:
            name, namespace = given["metadata"]["name"], given["metadata"].get("namespace", "")
            if self.server.get(f"{given['kind'].lower()}s.rbac.authorization.k8s.io", name, namespace):
                await self.request("PATCH", f"{collection(given)}/{name}", {"rules": given["rules"]}, MERGE)
                continue
            await self.request("POST", collection(given), given)
            bound = binding(name, namespace, ACCOUNT)
            await self.request("POST", collection(bound), bound)

    async def give(self, table: Iterable[Permission], places: Places = PLACES) -> None:
        """Let the sidecar have these permissions and no others."""
        await self.grant(roles_of(table, places, "sidecar"))

    def requests(self) -> list[tuple[Access, str]]:
        """What the sidecar has needed so far, and where, but for what everybody may do."""
        ours = (record for record in self.server.requests if record.user_agent.startswith("csi-snapshotter/"))
        methods = {"LIST": "GET", "WATCH": "GET"}
        found = (
            (access_of(methods.get(record.verb, record.verb), record.path, record.query), record.path)
            for record in ours
            if record.path != PATH
        )
        return [(access, path) for access, path in found if access is not None]


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """A cluster with a driver, a class for each kind and a Secret `login`; the sidecar's account may do nothing."""
    monkeypatch.setattr("snapshotter.daemon.groups.LOOK_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("snapshotter.daemon.permissions.SECOND_LOOK", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.EACH_UNSETTLED", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.SHORTEST_PAUSE", 0.1)
    async with make_world(tmp_path, rbac=True) as world:
        made = Cluster(world.server, world.driver, world.directory, world.http)
        for kind in (SINGLE, GROUP):
            await made.of(kind).make_class()
        await made.make_secret(LOGIN.name, user="me")
        yield made


Series = dict[tuple[str, str, str, str], float]


def missing(sidecar: Sidecar) -> Series:
    """The metric, by verb, group, resource and feature."""
    return {
        (labels["verb"], labels["group"], labels["resource"], labels["needed_for"]): sample.value
        for family in text_string_to_metric_families(generate_latest(sidecar.registry).decode())
        for sample in family.samples
        if sample.name == "snapshotter_permission_missing" and (labels := sample.labels)
    }


def labels_of(row: Permission) -> tuple[str, str, str, str]:
    return (row.verb, row.group, row.full_resource, row.needed_for)


def series(*rows_missing: Permission, of: Iterable[Permission] = TABLE) -> Series:
    """The metric when everything is known."""
    return {labels_of(row): float(row in rows_missing) for row in of}


def lines(text: str, event: str) -> list[dict[str, str]]:
    """The key-values of the lines of a log with this event."""
    return [
        {key: value.strip("'") for key, value in re.findall(r"(\w+)=('[^']*'|\S*)", line)}
        for line in text.splitlines()
        if f"] {event} " in line
    ]


async def test_each_permission_of_the_table_is_used_and_no_other(cluster: Cluster) -> None:
    """Creates, deletions, failures, credentials, conflicts and an election: all that needs the API server."""
    await cluster.give(TABLE)
    groups = cluster.of(GROUP)
    secret = SINGLE.secret(LOGIN.name)
    cluster.driver.faults.set(Fault(match="CreateSnapshot", error="INTERNAL", times=2))
    cluster.server.faults.set(Fault(match=f"PATCH .*{SINGLE.plural}/one/status", error=409, times=1))
    cluster.server.faults.set(Fault(match=f"PATCH .*{GROUP.plural}/one/status", error=409, times=1))
    async with cluster.sidecar(election=ELECTION) as sidecar:
        await cluster.make_content("one", annotations=secret)
        await groups.make_content("one")
        for world in (cluster, groups):
            await world.until(lambda world=world: world.settled("one"))  # type: ignore[misc]
            await world.delete_content("one")
            await world.until(lambda world=world: world.content("one") is None)  # type: ignore[misc]
        await cluster.until(lambda: any(event["count"] > 1 for event in cluster.events("one")))
        await cluster.until(lambda: missing(sidecar) | series(TABLE[0]) == series(TABLE[0]))
        await cluster.until(lambda: cluster.server.list("events", LEASE[0]))
    asked = questions(TABLE, PLACES)
    used = {access: question_about(access, asked) for access, _ in cluster.requests()}
    assert {access for access, question in used.items() if question is None} == set()
    assert {str(question) for question in asked} - {str(question) for question in used.values()} == set()


async def come_and_go(world: World, name: str, **content: Any) -> None:
    """A snapshot is made and deleted."""
    await world.make_content(name, **content)
    await world.until(lambda: world.settled(name))
    await world.delete_content(name)
    await world.until(lambda: world.content(name) is None)


async def test_under_upstreams_role_everything_works_and_nothing_is_missed(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    await cluster.grant([role("upstream", "", UPSTREAM_SIDECAR), role("upstream", LEASE[0], UPSTREAM_LEASES)])
    async with cluster.sidecar(election=ELECTION) as sidecar:
        cluster.driver.faults.set(Fault(match="Create", error="INTERNAL", times=4))
        for world in (cluster, cluster.of(GROUP)):
            await come_and_go(world, "one")
            await world.until(lambda world=world: world.warnings("one"))  # type: ignore[misc]
        expected = {labels: value for labels, value in series().items() if "secrets" not in labels}
        await cluster.until(lambda: missing(sidecar) == expected)
        assert not sidecar.health.ready()
    assert all(record.status != 403 for record in cluster.server.requests)
    assert lines(capfd.readouterr().out, "permission is missing") == []


async def test_without_secrets_in_the_role_only_what_needs_them_fails_and_says_so(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    await cluster.grant([role("upstream", "", UPSTREAM_SIDECAR)])
    async with cluster.sidecar() as sidecar:
        await cluster.make_content("secretive", annotations=SINGLE.secret(LOGIN.name))
        await come_and_go(cluster, "plain")
        words = f'permission is missing: get secrets "{LOGIN.name}" in namespace "{LOGIN.namespace}"'
        await cluster.until(lambda: words in (cluster.error("secretive") or ""))
        await cluster.until(lambda: missing(sidecar).get(("get", "", "secrets", "credentials for the driver")) == 1)
        assert not sidecar.health.ready()
        (line,) = lines(capfd.readouterr().out, "permission is missing")
        assert (line["verb"], line["resource"], line["name"]) == ("get", "secrets", LOGIN.name)
        # A role for this one Secret is enough.
        await cluster.grant([role("by-name", "default", [rule("", "secrets", "get", LOGIN.name)])])
        await cluster.until(lambda: cluster.settled("secretive"))
        await cluster.until(lambda: missing(sidecar)["get", "", "secrets", "credentials for the driver"] == 0)


async def test_secrets_that_are_readable_by_name_only_raise_no_false_alarm(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    by_name = role("by-name", "default", [rule("", "secrets", "get", LOGIN.name, "look")])
    await cluster.grant([role("upstream", "", UPSTREAM_SIDECAR), by_name])
    await cluster.make_secret("look", user="me")
    # One Secret is named by a class before anything needs it, and by an annotation; one by a template.
    await cluster.make_class("login", BY_LOGIN)
    template = {LIST_SECRET_NAME: "${volumesnapshotcontent.name}", LIST_SECRET_NAMESPACE: LOGIN.namespace}
    await cluster.make_class("template", template)
    async with cluster.sidecar() as sidecar:
        await cluster.make_content("one", annotations=SINGLE.secret(LOGIN.name))
        await cluster.until(lambda: cluster.settled("one"))
        await cluster.make_content("look", snapshot=cluster.handle("one"), class_name="template")
        await cluster.until(lambda: cluster.ready("look"))
        await cluster.until(lambda: missing(sidecar).get(("get", "", "secrets", "credentials for the driver")) == 0)
    assert lines(capfd.readouterr().out, "permission is missing") == []


async def test_a_role_that_gives_nothing_is_told_line_by_line_within_ten_seconds(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = [row for row in TABLE if row.where is not Where.SECRETS]
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with cluster.sidecar(election=ELECTION) as sidecar:
        await cluster.until(lambda: missing(sidecar) == series(*expected, of=expected), seconds=10)
        told = lines(capfd.readouterr().out, "permission is missing")
        assert loop.time() - began < 10
        ready = sidecar.health.ready()
        # What is refused is an answer too: a restart would not help.
        assert sidecar.health.alive() == []
    assert {(line["verb"], line["group"], line["resource"], line["needed_for"]) for line in told} == set(
        map(labels_of, expected)
    )
    assert len(told) == len(expected)
    asked = questions(expected, PLACES)
    for access, rows in asked.items():
        assert (f"permission is missing: {access}" in ready) is any(row.required for row in rows)


async def test_a_cluster_without_groups_needs_no_role_for_them(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    singles = permissions.sidecar(groups=False)
    for kind in ("snapshot", "snapshotcontent", "snapshotclasse"):
        await cluster.request("DELETE", f"{DEFINITIONS}/volumegroup{kind}s.{GROUP_SNAPSHOT_GROUP}")
    await cluster.make_class("login", BY_LOGIN)
    await cluster.give(singles)
    async with cluster.sidecar(election=ELECTION) as sidecar:
        await come_and_go(cluster, "one")
        await cluster.until(lambda: missing(sidecar) == series(of=singles))
    assert lines(capfd.readouterr().out, "permission is missing") == []


async def test_a_server_that_knows_no_reviews_keeps_nobody_from_working(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    await cluster.give(TABLE)
    cluster.server.faults.set(Fault(match=f"POST {PATH}", error=404))
    async with cluster.sidecar() as sidecar:
        await come_and_go(cluster, "one")
        await come_and_go(cluster.of(GROUP), "one")
        assert not sidecar.health.ready()
        assert missing(sidecar) == {}
    assert len(lines(capfd.readouterr().out, "permissions could not be looked up")) == 1


# Each permission taken away in turn.

Done = Callable[[Cluster], object]


def of(kind: Kind, check: Callable[[World], object]) -> Done:
    return lambda cluster: check(cluster.of(kind))


def about(group: str, contents: str, classes: str, kind: Kind) -> dict[str, tuple[Done, set[tuple[str, str]]]]:
    """What is to be done for contents of a kind: when it is, and what it needs as verb and resource."""
    writes = {("list", contents), ("patch", contents), ("patch", f"{contents}/status")}
    return {
        f"{kind.id}: cut": (of(kind, lambda world: world.settled("cut")), {*writes, ("list", classes)}),
        f"{kind.id}: deleted": (of(kind, lambda world: world.content("deleted") is None), writes),
        f"{kind.id}: released": (
            of(kind, lambda world: world.content("released") is None),
            {("list", contents), ("patch", contents)},
        ),
        f"{kind.id}: looked up": (
            of(kind, lambda world: world.ready("looked-up")),
            {("list", contents), ("patch", f"{contents}/status")},
        ),
    }


SINGLES_ARE_SEEN = ("list", "volumesnapshotcontents")
WORK: dict[str, tuple[Done, set[tuple[str, str]]]] = {
    **about(SNAPSHOT_GROUP, "volumesnapshotcontents", "volumesnapshotclasses", SINGLE),
    **about(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "volumegroupsnapshotclasses", GROUP),
    "cut with credentials": (
        lambda cluster: cluster.settled("secretive"),
        {
            SINGLES_ARE_SEEN,
            ("list", "volumesnapshotclasses"),
            ("patch", "volumesnapshotcontents"),
            ("patch", "volumesnapshotcontents/status"),
            ("get", "secrets"),
        },
    ),
    "a failure is told": (lambda cluster: cluster.events("broken"), {SINGLES_ARE_SEEN, ("create", "events")}),
    "a failure is counted": (
        lambda cluster: any(event["count"] > 1 for event in cluster.events("broken")),
        {SINGLES_ARE_SEEN, ("create", "events"), ("patch", "events")},
    ),
}
TO_LEAD = {("get", "leases"), ("create", "leases")}
"""Nothing is done without them. Who has made the lease leads, and until the lease runs out it need not be renewed."""


def needs(work: str, row: Permission) -> bool:
    if row.needed_for == EVENTS_ABOUT_LEADER:
        return False
    return (row.verb, row.full_resource) in WORK[work][1] | TO_LEAD


def put_on_storage(cluster: Cluster, kind: Kind) -> tuple[str, list[dict[str, str]]]:
    """Make a snapshot past the sidecar: its handle, and its members as a status lists them."""
    store = cluster.driver._store
    volumes = [next(found for found in cluster.driver.volumes.values() if found.name == name) for name in VOLUMES]
    if kind is SINGLE:
        return store.create_snapshot("by-hand", volumes[0], created_at_ns=1, ready_at_ns=1).id, []
    group = store.create_group("by-hand", [(volume, 1) for volume in volumes], created_at_ns=1)
    pairs = zip(group.volume_ids, group.snapshot_ids, strict=True)
    return group.id, [{"volumeHandle": volume, "snapshotHandle": snapshot} for volume, snapshot in pairs]


async def prepare(cluster: Cluster) -> None:
    """Contents of all sorts, so that each step waits for the sidecar."""
    for kind in (SINGLE, GROUP):
        world = cluster.of(kind)
        await world.make_content("cut")
        handle, _ = put_on_storage(cluster, kind)
        await world.make_content("looked-up", snapshot=handle, class_name=None)
        await world.make_content("released", snapshot="whatever", policy="Retain", class_name=None)
        await world.delete_content("released")
        await world.make_content("deleted")
        handle, members = put_on_storage(cluster, kind)
        listed = {"volumeSnapshotInfoList": members} if members else {}
        await world.patch("deleted", {"status": {kind.handle: handle, "readyToUse": True, **listed}}, status=True)
        await world.delete_content("deleted")
    await cluster.make_class("login", BY_LOGIN)
    await cluster.make_content("secretive", annotations=SINGLE.secret(LOGIN.name))
    await cluster.make_content("broken", volume="no-such-volume")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.verb} {row.full_resource} for {row.needed_for}")
async def test_what_needs_no_missing_permission_goes_on_and_the_missing_one_is_named(
    cluster: Cluster, capfd: pytest.CaptureFixture[str], row: Permission
) -> None:
    await prepare(cluster)
    await cluster.give(other for other in TABLE if other is not row)
    async with cluster.sidecar(election=ELECTION) as sidecar:
        for work, (done, _) in WORK.items():
            if not needs(work, row):
                await cluster.until(lambda done=done: done(cluster))  # type: ignore[misc]
        await cluster.until(lambda: missing(sidecar) == series(row), seconds=10)
        (line,) = lines(capfd.readouterr().out, "permission is missing")
        assert (line["verb"], line["group"], line["resource"], line["needed_for"]) == labels_of(row)
        assert bool(sidecar.health.ready()) is row.required
        assert sidecar.health.alive() == []
        assert [work for work, (done, _) in WORK.items() if needs(work, row) and done(cluster)] == []
        # Once it is given, everything is done.
        await cluster.give(TABLE)
        for done, _ in WORK.values():
            await cluster.until(lambda done=done: done(cluster), seconds=40)  # type: ignore[misc]
        await cluster.until(lambda: missing(sidecar) == series())
        await cluster.until(lambda: not sidecar.health.ready())
    assert len(lines(capfd.readouterr().out, "permission is given")) == 1
