"""The Lease as it is read and written, its names, and the events about it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from snapshotter.kube.connection import Connection
from snapshotter.kube.leases import LeaseDoor, LeaseEvents, identity, lease_name, lease_namespace
from snapshotter.runtime.leader import LeaseConflict, LeaseMissing, LeaseRecord, LeaseTrouble
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect

NAMES = {
    "hostpath.csi.k8s.io": "external-snapshotter-leader-hostpath-csi-k8s-io",
    "example.com/driver": "external-snapshotter-leader-example-com-driver",
    "plain": "external-snapshotter-leader-plain",
    "Upper.example.com": "external-snapshotter-leader-upper-example-com-31ce8708",
    "ends-with.": "external-snapshotter-leader-ends-with-f6436ec4",
}


@pytest.mark.parametrize(("driver", "name"), NAMES.items(), ids=NAMES.keys())
def test_the_lease_has_a_name_that_objects_can_have(driver: str, name: str) -> None:
    assert lease_name(driver) == name


def test_drivers_that_differ_in_case_have_leases_of_their_own() -> None:
    assert len({lease_name(driver) for driver in ("a.b", "A.b", "a.B", "A.B")}) == 4


def test_no_two_processes_have_one_identity() -> None:
    assert identity("node.example") != identity("node.example")
    assert identity("node.example").startswith("node-example-")


PLACES = {
    "as given": ({"given": "given", "pod": "pod"}, "given"),
    "the pod's": ({"given": "", "pod": "pod"}, "pod"),
    "the service account's": ({"given": "", "pod": ""}, "account"),
}


@pytest.mark.parametrize(("known", "namespace"), PLACES.values(), ids=PLACES.keys())
def test_the_lease_lives_in_the_namespace_that_is_known_best(
    tmp_path: Path, known: dict[str, str], namespace: str
) -> None:
    file = tmp_path / "namespace"
    file.write_text("account\n")
    assert lease_namespace(**known, file=file) == namespace


def test_outside_of_a_cluster_the_lease_lives_in_default(tmp_path: Path) -> None:
    assert lease_namespace(given="", pod="", file=tmp_path / "none") == "default"


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINE = LeaseRecord("me", 15, NOON, NOON, 0)


@pytest.fixture
async def connection(connected: Connect) -> AsyncIterator[Connection]:
    async with connected() as made:
        yield made


@pytest.fixture
def door(connection: Connection) -> LeaseDoor:
    return LeaseDoor(connection, "default", "lease", {"team": "storage"})


def stored(server: ApiServer) -> dict[str, Any]:
    found = server.get("leases", "lease", "default")
    assert found is not None
    return found


async def test_what_is_written_is_read(server: ApiServer, door: LeaseDoor) -> None:
    made = await door.create(MINE)
    assert made == MINE
    assert await door.read() == made
    taken = replace(made, holder="other", transitions=1, renewed_at=NOON.replace(microsecond=5))
    await door.replace(taken)
    assert await door.read() == taken
    assert stored(server)["spec"] == {
        "holderIdentity": "other",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T12:00:00.000000Z",
        "renewTime": "2026-01-01T12:00:00.000005Z",
        "leaseTransitions": 1,
    }


async def test_a_lease_that_is_not_there_is_missing(door: LeaseDoor) -> None:
    with pytest.raises(LeaseMissing):
        await door.read()
    with pytest.raises(LeaseMissing):
        await door.replace(replace(MINE, version="1"))


async def test_a_second_lease_is_a_conflict(door: LeaseDoor) -> None:
    await door.create(MINE)
    with pytest.raises(LeaseConflict):
        await door.create(MINE)


async def test_an_old_version_is_a_conflict(door: LeaseDoor) -> None:
    old = await door.create(MINE)
    await door.replace(replace(old, transitions=1))
    with pytest.raises(LeaseConflict):
        await door.replace(old)


async def test_a_lease_made_again_has_a_version_of_its_own(server: ApiServer, door: LeaseDoor) -> None:
    made = await door.create(MINE)
    await door._connection.request("DELETE", "/apis/coordination.k8s.io/v1/namespaces/default/leases/lease")
    assert (await door.create(made)).version != made.version


async def test_labels_are_set_and_those_of_others_kept(
    server: ApiServer, connection: Connection, door: LeaseDoor
) -> None:
    made = await door.create(MINE)
    assert stored(server)["metadata"]["labels"] == {"team": "storage"}
    await connection.request(
        "PATCH",
        "/apis/coordination.k8s.io/v1/namespaces/default/leases/lease",
        body={"metadata": {"labels": {"theirs": "1", "team": "none"}, "annotations": {"a": "b"}}},
        content_type="application/merge-patch+json",
    )
    with pytest.raises(LeaseConflict):
        await door.replace(made)
    await door.replace(await door.read())
    assert stored(server)["metadata"]["labels"] == {"team": "storage", "theirs": "1"}
    assert stored(server)["metadata"]["annotations"] == {"a": "b"}


async def test_a_lease_as_upstream_writes_it_is_understood(connection: Connection, door: LeaseDoor) -> None:
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lease", "namespace": "default"},
        "spec": {
            "holderIdentity": "csi-node-0",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T12:00:00.000000Z",
            "renewTime": "2026-01-01T12:00:05.250000Z",
            "leaseTransitions": 2,
        },
    }
    await connection.request("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", body=body)
    assert await door.read() == LeaseRecord(
        "csi-node-0", 15, NOON, NOON.replace(second=5, microsecond=250_000), transitions=2
    )


async def test_an_empty_lease_is_held_by_nobody(connection: Connection, door: LeaseDoor) -> None:
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lease"}}
    await connection.request("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", body=body)
    assert await door.read() == LeaseRecord()
    assert (await door.replace(replace(MINE, version=(await door.read()).version))).holder == "me"


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_refusal_is_trouble(server: ApiServer, door: LeaseDoor, status: int) -> None:
    server.faults.set(Fault(match="leases", error=status))
    with pytest.raises(LeaseTrouble, match=str(status)):
        await door.read()


async def test_no_answer_is_trouble(server: ApiServer, door: LeaseDoor) -> None:
    server.faults.set(Fault(match="leases", cut="after"))
    with pytest.raises(LeaseTrouble):
        await door.create(MINE)


async def test_only_get_create_and_update_are_used(server: ApiServer, door: LeaseDoor) -> None:
    """So upstream's role is enough."""
    await door.replace(await door.create(MINE))
    await door.read()
    assert {record.verb for record in server.requests if "leases" in record.path} == {"GET", "POST", "PUT"}


async def test_an_event_tells_who_leads(server: ApiServer, connection: Connection) -> None:
    await LeaseEvents(connection, "default", "lease", "external-snapshotter-leader-d/me").tell("me became leader")
    (event,) = server.list("events")
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "LeaderElection", "me became leader")
    assert event["involvedObject"]["kind"] == "Lease"
    assert event["involvedObject"]["namespace"] == "default"
    assert event["source"] == {"component": "external-snapshotter-leader-d/me"}


async def test_an_event_that_cannot_be_sent_is_no_failure(server: ApiServer, connection: Connection) -> None:
    events = LeaseEvents(connection, "default", "lease", "d/me")
    server.faults.set(Fault(match="events", error=403))
    await events.tell("me became leader")
    server.faults.clear()
    server.faults.set(Fault(match="events", hold="before"))
    async with asyncio.timeout(10):
        await events.tell("me became leader")
    server.faults.clear()
