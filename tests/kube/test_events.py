"""Events: one per object and reason, counted up, and never in the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from snapshotter.kube.connection import Connection
from snapshotter.kube.events import LONGEST_MESSAGE, MOST_WAITING, Events
from snapshotter.kube.kinds import CONTENT
from snapshotter.model.meta import Meta
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect

ONE = Meta(name="one", uid="uid-1", resource_version="7")
TWO = Meta(name="two", uid="uid-2", resource_version="8")


@asynccontextmanager
async def sending(connection: Connection) -> AsyncIterator[Events]:
    """Events that are sent in the background; all have been when the context ends."""
    events = Events(connection, "csi-snapshotter d")
    task = asyncio.create_task(events.run())
    try:
        yield events
        async with asyncio.timeout(10):
            await events.drain()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_an_event_says_what_about_whom(server: ApiServer, connected: Connect) -> None:
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "a text")
    (event,) = server.list("events")
    assert event["involvedObject"] == {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "name": "one",
        "uid": "uid-1",
        "resourceVersion": "7",
    }
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["name"].startswith("one.")
    assert event["source"] == {"component": "csi-snapshotter d"}
    assert event["reportingComponent"] == "csi-snapshotter d"
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "Reason", "a text", 1)


@pytest.mark.parametrize("uid", ["", "uid-1"], ids=["without a uid", "with the uid of another"])
async def test_odd_objects_do_not_share_an_event(server: ApiServer, connected: Connect, uid: str) -> None:
    async with connected() as connection, sending(connection) as events:
        for name in ("one", "two", "three"):
            events.tell(CONTENT, Meta(name=name, uid=uid, resource_version="7"), "Warning", "Reason", name)
    assert sorted(event["message"] for event in server.list("events")) == ["one", "three", "two"]


async def test_the_same_is_counted_up_and_has_the_last_text(server: ApiServer, connected: Connect) -> None:
    async with connected() as connection, sending(connection) as events:
        for number in range(5):
            events.tell(CONTENT, ONE, "Warning", "Reason", f"text {number}")
        events.tell(CONTENT, ONE, "Warning", "Another", "text")
        events.tell(CONTENT, TWO, "Warning", "Reason", "text")
    found = {(event["involvedObject"]["name"], event["reason"]): event for event in server.list("events")}
    assert {key: event["count"] for key, event in found.items()} == {
        ("one", "Reason"): 5,
        ("one", "Another"): 1,
        ("two", "Reason"): 1,
    }
    assert found["one", "Reason"]["message"] == "text 4"


async def test_what_is_told_again_before_it_is_sent_costs_no_request_of_its_own(
    server: ApiServer, connected: Connect
) -> None:
    async with connected() as connection, sending(connection) as events:
        for number in range(3):
            for _ in range(100):
                events.tell(CONTENT, ONE, "Warning", "Reason", f"round {number}")
                events.tell(CONTENT, TWO, "Warning", "Reason", f"round {number}")
            async with asyncio.timeout(10):
                await events.drain()
    assert [(event["count"], event["message"]) for event in server.list("events")] == [(300, "round 2")] * 2
    assert [record.verb for record in server.requests if "/events" in record.path] == ["POST"] * 2 + ["PATCH"] * 4


async def test_events_do_not_wait_for_each_other(server: ApiServer, connected: Connect) -> None:
    hold = server.faults.set(Fault(match="POST .*/events", times=1, hold="before"))
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "held")
        await server.faults.wait_for_held()
        events.tell(CONTENT, TWO, "Warning", "Reason", "sent")
        told = asyncio.Event()
        server._store.listen(lambda _resource, _change: told.set())
        async with asyncio.timeout(10):
            await told.wait()
        assert [event["message"] for event in server.list("events")] == ["sent"]
        server.faults.lift(hold)
    assert sorted(event["message"] for event in server.list("events")) == ["held", "sent"]


async def test_what_is_told_again_while_it_is_sent_is_counted_up(server: ApiServer, connected: Connect) -> None:
    hold = server.faults.set(Fault(match="POST .*/events", times=1, hold="after"))
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "first")
        await server.faults.wait_for_held()
        for text in ("second", "third"):
            events.tell(CONTENT, ONE, "Warning", "Reason", text)
        server.faults.lift(hold)
    assert [(event["message"], event["count"]) for event in server.list("events")] == [("third", 3)]


async def test_an_event_that_has_expired_is_begun_anew(server: ApiServer, connected: Connect) -> None:
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "first")
        await events.drain()
        (event,) = server.list("events")
        await connection.request("DELETE", f"/api/v1/namespaces/default/events/{event['metadata']['name']}")
        events.tell(CONTENT, ONE, "Warning", "Reason", "second")
    (event,) = server.list("events")
    assert (event["message"], event["count"]) == ("second", 1)


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_an_event_that_the_server_cannot_take_just_now_is_sent_again(
    server: ApiServer, connected: Connect, status: int
) -> None:
    server.faults.set(Fault(match="POST .*/events", times=2, error=status, headers={"Retry-After": "0"}))
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "sent")
    assert [(event["message"], event["count"]) for event in server.list("events")] == [("sent", 1)]


async def test_an_event_whose_answer_is_lost_is_there_once(server: ApiServer, connected: Connect) -> None:
    server.faults.set(Fault(match="POST .*/events", times=1, cut="after"))
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "sent")
        events.tell(CONTENT, ONE, "Warning", "Reason", "again")
    assert [(event["message"], event["count"]) for event in server.list("events")] == [("again", 2)]


async def test_an_event_about_an_object_with_the_longest_name_is_sent(server: ApiServer, connected: Connect) -> None:
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, Meta(name="x" * 253, uid="uid-3"), "Warning", "Reason", "sent")
    assert [event["message"] for event in server.list("events")] == ["sent"]


@pytest.mark.parametrize("status", [403, 404])
async def test_an_event_that_is_refused_is_lost_and_the_next_is_sent(
    server: ApiServer, connected: Connect, status: int
) -> None:
    server.faults.set(Fault(match="POST .*/events", times=1, error=status))
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "lost")
        await events.drain()
        events.tell(CONTENT, TWO, "Normal", "Reason", "sent")
    assert [event["message"] for event in server.list("events")] == ["sent"]


async def test_what_is_too_long_is_cut(server: ApiServer, connected: Connect) -> None:
    async with connected() as connection, sending(connection) as events:
        events.tell(CONTENT, ONE, "Warning", "Reason", "x" * 5000)
    (event,) = server.list("events")
    assert len(event["message"]) == LONGEST_MESSAGE


async def test_telling_never_waits(connected: Connect) -> None:
    async with connected() as connection:
        events = Events(connection, "c")
        for number in range(MOST_WAITING + 10):
            about = Meta(name="many", uid=f"uid-{number}", resource_version="1")
            events.tell(CONTENT, about, "Warning", "Reason", "a text")


async def test_that_events_are_refused_is_said_once_and_nobody_waits(
    server: ApiServer, connected: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal = 'events is forbidden: User "me" cannot {} resource "events" in API group "" in the namespace "default"'
    fault = server.faults.set(Fault(match="POST .*/events", error=403, message=refusal.format("create")))
    async with connected() as connection, sending(connection) as events:
        for _ in range(3):
            events.tell(CONTENT, ONE, "Warning", "Reason", "a text")
            events.tell(CONTENT, TWO, "Warning", "Reason", "a text")
            await events.drain()
        server.faults.lift(fault)
        # Counting up is refused: the event stands as it was told first.
        server.faults.set(Fault(match="PATCH .*/events", error=403, message=refusal.format("patch")))
        for _ in range(3):
            events.tell(CONTENT, ONE, "Warning", "Reason", "another text")
            await events.drain()
    (event,) = server.list("events")
    assert (event["count"], event["message"]) == (1, "another text")
    told = [line for line in capfd.readouterr().out.splitlines() if "events are refused" in line and "warning" in line]
    assert len(told) == 2
    assert "POST" in told[0]
    assert "PATCH" in told[1]
