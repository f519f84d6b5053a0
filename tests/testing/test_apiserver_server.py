"""The API server stand-in over real HTTP: what it does beyond a real server, and in place of controllers.

That it behaves as a real one otherwise is the business of `tests/contract`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import yaml

from snapshotter.testing.admin import Admin, AdminError
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.faults import Fault

SOON = 10.0
"""Seconds within which things happen that should happen at once."""
A_MOMENT = 0.05
"""Seconds after which what has not happened is taken not to happen."""

SECRETS = "/api/v1/namespaces/default/secrets"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


class Client:
    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session

    async def ask(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Answer:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with asyncio.timeout(SOON), self._session.request(method, path, data=data, headers=headers) as response:
            text = await response.text()
            value = json.loads(text) if response.content_type == "application/json" else text
            return Answer(response.status, value, dict(response.headers))

    async def create(self, path: str, **members: Any) -> Json:
        answer = await self.ask("POST", path, members)
        assert answer.status == 201, answer
        body: Json = answer.body
        return body

    async def merge(self, path: str, patch: Json) -> Answer:
        return await self.ask("PATCH", path, patch, MERGE)

    async def watch(self, path: str, **query: str) -> aiohttp.ClientResponse:
        async with asyncio.timeout(SOON):
            return await self._session.get(path, params={"watch": "1", **query})


async def event(response: aiohttp.ClientResponse) -> tuple[str, Json]:
    async with asyncio.timeout(SOON):
        frame = json.loads(await response.content.readline())
    return frame["type"], frame["object"]


async def is_silent(response: aiohttp.ClientResponse) -> bool:
    try:
        async with asyncio.timeout(A_MOMENT):
            await response.content.readline()
    except TimeoutError:
        return True
    return False


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once that holds; the far side tells nobody when."""
    async with asyncio.timeout(SOON):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def is_gone(client: Client, path: str) -> None:
    async def answers_404() -> bool:
        return (await client.ask("GET", path)).status == 404

    await until(answers_404)


async def is_terminating(client: Client, path: str) -> None:
    async def has_a_timestamp() -> bool:
        return "deletionTimestamp" in (await client.ask("GET", path)).body["metadata"]

    await until(has_a_timestamp)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer.serve() as running:
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(server.url) as session:
        yield Client(server, session)


def content(name: str = "one", **metadata: Any) -> Json:
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name, **metadata},
        "spec": {
            "deletionPolicy": "Delete",
            "driver": "d.example",
            "source": {"volumeHandle": "v"},
            "volumeSnapshotRef": {"name": "s", "namespace": "default"},
        },
    }


class TestInProcess:
    async def test_objects_can_be_read(self, client: Client) -> None:
        await client.create(CONTENTS, **content())
        found = client.server.get("volumesnapshotcontents", "one")
        assert found is not None
        assert found["spec"]["driver"] == "d.example"
        assert client.server.objects.get("volumesnapshotcontents.snapshot.storage.k8s.io", "one") == found
        assert client.server.list("volumesnapshotcontents") == [found]

    async def test_absent_objects_are_none(self, server: ApiServer) -> None:
        assert server.get("secrets", "absent", "default") is None
        assert server.list("secrets") == []

    async def test_objects_can_be_created(self, client: Client) -> None:
        made = client.server.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "default")
        assert (await client.ask("GET", f"{SECRETS}/s")).body == made

    async def test_the_shipped_definitions_are_served(self, client: Client) -> None:
        names = [found["metadata"]["name"] for found in client.server.list("customresourcedefinitions")]
        assert "volumesnapshotcontents.snapshot.storage.k8s.io" in names

    async def test_the_kubeconfig_leads_to_the_server(self, server: ApiServer) -> None:
        (cluster,) = yaml.safe_load(server.kubeconfig())["clusters"]
        assert cluster["cluster"]["server"] == server.url

    async def test_a_failure_inside_the_block_comes_out_as_it_is(self) -> None:
        with pytest.raises(ZeroDivisionError):
            async with ApiServer.serve():
                raise ZeroDivisionError

    async def test_serving_ends_at_once_with_open_watches_and_held_requests(self) -> None:
        async with asyncio.timeout(SOON), aiohttp.ClientSession() as session:
            async with ApiServer.serve() as server:
                server.faults.set(Fault(match="GET .*held", hold="before"))
                watch = await session.get(f"{server.url}{SECRETS}?watch=1")
                held = asyncio.create_task(session.get(f"{server.url}{SECRETS}/held"))
                await server.faults.wait_for_held()
                started = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - started < 5
            assert await watch.content.readline() == b""
            await asyncio.wait([held])
            held.exception()


class TestRequestLog:
    async def test_tells_what_was_asked_and_answered(self, client: Client) -> None:
        await client.merge(f"{CONTENTS}/one?fieldManager=me", {"metadata": {"labels": {"a": "b"}}})
        (record,) = client.server.requests
        assert (record.number, record.verb, record.path) == (1, "PATCH", f"{CONTENTS}/one")
        assert record.query == {"fieldManager": "me"}
        assert record.content_type == MERGE
        assert record.user_agent.startswith("Python")
        assert record.body == {"metadata": {"labels": {"a": "b"}}}
        assert record.status == 404

    @pytest.mark.parametrize(
        ("method", "path", "verb"),
        [
            ("GET", SECRETS, "LIST"),
            ("GET", f"{SECRETS}/a", "GET"),
            ("GET", f"{SECRETS}?watch=true&timeoutSeconds=1&resourceVersion=99999", "WATCH"),
            ("POST", SECRETS, "POST"),
            ("DELETE", f"{SECRETS}/a", "DELETE"),
            ("GET", "/api", "GET"),
            ("GET", "/api/v1/namespaces", "LIST"),
            ("GET", "/api/v1/namespaces/default", "GET"),
        ],
    )
    async def test_names_the_verb(self, client: Client, method: str, path: str, verb: str) -> None:
        if verb == "WATCH":
            (await client.watch(SECRETS)).close()
        else:
            await client.ask(method, path)
        assert [record.verb for record in client.server.requests] == [verb]

    async def test_does_not_need_the_body_to_be_readable(self, client: Client) -> None:
        async with aiohttp.ClientSession() as session:
            headers = {"Content-Type": "application/json"}
            await session.post(f"{client.server.url}{SECRETS}", data=b"\xff{", headers=headers)
        assert [(record.status, record.body) for record in client.server.requests] == [(400, None)]


class TestFaults:
    async def test_an_error_comes_instead_of_the_effect(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^POST", error=429, headers={"Retry-After": "2"}, message="slow down"))
        answer = await client.ask("POST", CONTENTS, content())
        assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
        assert (answer.body["reason"], answer.body["message"]) == ("TooManyRequests", "slow down")
        assert client.server.list("volumesnapshotcontents") == []

    async def test_an_error_may_come_after_the_effect(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^POST", error=500, error_when="after"))
        assert (await client.ask("POST", CONTENTS, content())).status == 500
        assert client.server.get("volumesnapshotcontents", "one") is not None

    @pytest.mark.parametrize("code", [401, 403, 404, 409, 410, 500, 503, 504])
    async def test_an_error_has_a_status_body(self, client: Client, code: int) -> None:
        client.server.faults.set(Fault(match="^GET", error=code))
        answer = await client.ask("GET", f"{SECRETS}/a")
        assert (answer.status, answer.body["kind"], answer.body["code"]) == (code, "Status", code)
        assert answer.body["reason"]

    async def test_a_connection_is_cut_before_the_effect(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^POST", cut="before"))
        with pytest.raises(aiohttp.ClientError):
            await client.ask("POST", CONTENTS, content())
        assert client.server.list("volumesnapshotcontents") == []
        assert [record.status for record in client.server.requests] == [None]

    async def test_a_connection_is_cut_after_the_effect(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^POST", cut="after"))
        with pytest.raises(aiohttp.ClientError):
            await client.ask("POST", CONTENTS, content())
        assert client.server.get("volumesnapshotcontents", "one") is not None

    async def test_a_cut_is_a_reset(self, server: ApiServer) -> None:
        server.faults.set(Fault(match=".", cut="before"))
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(SOON):
                await reader.read()
        writer.close()

    @pytest.mark.parametrize(("moment", "stored"), [("before", False), ("after", True)])
    async def test_a_request_is_held(self, client: Client, moment: Any, stored: bool) -> None:
        number = client.server.faults.set(Fault(match="^POST", hold=moment))
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.ask("POST", CONTENTS, content()))
            await client.server.faults.wait_for_held()
            assert (client.server.get("volumesnapshotcontents", "one") is not None) is stored
            assert not asked.done()
            client.server.faults.lift(number)
        assert asked.result().status == 201

    async def test_a_client_that_gives_up_is_held_no_longer(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^POST", hold="before"))
        asked = asyncio.create_task(client.ask("POST", CONTENTS, content()))
        await client.server.faults.wait_for_held()
        asked.cancel()

        async def nobody_is_held() -> bool:
            return not client.server.faults.held()

        await until(nobody_is_held)
        assert client.server.list("volumesnapshotcontents") == []

    async def test_a_watch_is_held_before_its_headers(self, client: Client) -> None:
        number = client.server.faults.set(Fault(match="^WATCH", hold="before"))
        async with asyncio.TaskGroup() as tasks:
            opened = tasks.create_task(client.watch(SECRETS))
            await client.server.faults.wait_for_held()
            assert not opened.done()
            client.server.faults.lift(number)
        opened.result().close()

    async def test_a_watch_is_held_after_its_headers_and_misses_nothing(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        number = client.server.faults.set(Fault(match="^WATCH", hold="after"))
        async with await client.watch(SECRETS) as watch:
            assert watch.status == 200
            assert await is_silent(watch)
            client.server.create("secrets", {"metadata": {"name": "b"}}, "default")
            client.server.faults.lift(number)
            assert [(await event(watch))[1]["metadata"]["name"] for _ in range(2)] == ["a", "b"]

    async def test_a_watch_fails_with_a_frame(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        client.server.faults.set(Fault(match="^WATCH", error=410, error_when="after"))
        async with await client.watch(SECRETS) as watch:
            kind, status = await event(watch)
            assert (watch.status, kind, status["code"], status["reason"]) == (200, "ERROR", 410, "Expired")
            assert await watch.content.readline() == b""

    async def test_a_watch_fails_with_a_status(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^WATCH", error=410))
        async with await client.watch(SECRETS) as watch:
            assert (watch.status, (await watch.json())["reason"]) == (410, "Expired")

    async def test_a_watch_is_cut_before_its_headers(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^WATCH", cut="before"))
        with pytest.raises(aiohttp.ClientError):
            await client.watch(SECRETS)

    async def test_a_watch_is_cut_after_its_initial_frames(self, client: Client) -> None:
        client.server.faults.set(Fault(match="^WATCH", cut="after"))
        async with await client.watch(SECRETS) as watch:
            assert watch.status == 200
            with pytest.raises(aiohttp.ClientError):
                await watch.content.readline()


class TestWatches:
    async def test_begin_with_what_is_there_without_a_version(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        async with await client.watch(SECRETS) as watch:
            assert (await event(watch))[0] == "ADDED"
            client.server.create("secrets", {"metadata": {"name": "b"}}, "default")
            kind, found = await event(watch)
            assert (kind, found["metadata"]["name"]) == ("ADDED", "b")

    async def test_stream_the_list_and_mark_its_end(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        query = {
            "sendInitialEvents": "true",
            "allowWatchBookmarks": "true",
            "resourceVersionMatch": "NotOlderThan",
        }
        async with await client.watch(SECRETS, **query) as watch:
            assert (await event(watch))[0] == "ADDED"
            kind, mark = await event(watch)
            assert (kind, mark["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
            assert (
                mark["metadata"]["resourceVersion"]
                == (await client.ask("GET", SECRETS)).body["metadata"]["resourceVersion"]
            )

    async def test_send_bookmarks_as_time_goes_by(self) -> None:
        async with ApiServer.serve(bookmark_seconds=0.02) as server, aiohttp.ClientSession(server.url) as session:
            watch = await Client(server, session).watch(SECRETS, allowWatchBookmarks="true", resourceVersion="9999")
            assert [(await event(watch))[0] for _ in range(3)] == ["BOOKMARK"] * 3
            watch.close()

    async def test_fail_when_the_history_is_compacted(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        client.server.compact()
        async with await client.watch(SECRETS, resourceVersion="1") as watch:
            kind, status = await event(watch)
            assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")

    async def test_can_be_cut(self, client: Client) -> None:
        async with await client.watch(SECRETS) as watch:
            client.server.cut_watches()
            with pytest.raises(aiohttp.ClientError):
                async with asyncio.timeout(SOON):
                    await watch.content.readline()

    async def test_can_be_cut_when_the_client_has_gone_already(self, client: Client) -> None:
        async with await client.watch(SECRETS) as watch:
            (of_the_server,) = client.server._watches.everyone()
            watch.close()

            async def is_lost() -> bool:
                return of_the_server._transport is not None and of_the_server._transport.is_closing()

            await until(is_lost)
            await asyncio.sleep(0)
            of_the_server.cut()

    async def test_can_be_muted_while_later_ones_speak(self, client: Client) -> None:
        async with await client.watch(SECRETS) as muted:
            client.server.mute_watches()
            client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
            async with await client.watch(SECRETS) as later:
                assert (await event(later))[1]["metadata"]["name"] == "a"
            assert await is_silent(muted)

    async def test_end_on_the_side_of_the_server_when_the_client_goes(self, client: Client) -> None:
        watch = await client.watch(SECRETS)
        open_watches = client.server._watches.everyone
        assert len(open_watches()) == 1
        watch.close()

        async def none_is_open() -> bool:
            return not open_watches()

        await until(none_is_open)


def owned_by(*owners: Json) -> list[Json]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]


class TestHousekeeping:
    async def test_what_is_owned_goes_with_its_owner_and_so_on(self, client: Client) -> None:
        top = await client.create(CONFIG_MAPS, metadata={"name": "top"})
        middle = await client.create(CONFIG_MAPS, metadata={"name": "middle", "ownerReferences": owned_by(top)})
        await client.create(SECRETS, metadata={"name": "bottom", "ownerReferences": owned_by(middle)})
        await client.ask("DELETE", f"{CONFIG_MAPS}/top")
        await is_gone(client, f"{SECRETS}/bottom")

    async def test_an_owner_deleted_in_the_foreground_waits_for_what_it_owns(self, client: Client) -> None:
        top = await client.create(CONFIG_MAPS, metadata={"name": "top"})
        held = {"name": "held", "ownerReferences": owned_by(top), "finalizers": ["example.com/hold"]}
        await client.create(SECRETS, metadata=held)
        answer = await client.ask("DELETE", f"{CONFIG_MAPS}/top", {"propagationPolicy": "Foreground"})
        assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
        await is_terminating(client, f"{SECRETS}/held")
        assert (await client.ask("GET", f"{CONFIG_MAPS}/top")).status == 200
        await client.merge(f"{SECRETS}/held", {"metadata": {"finalizers": None}})
        await is_gone(client, f"{CONFIG_MAPS}/top")

    async def test_owners_of_kinds_that_are_not_served_count_as_there(self, client: Client) -> None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "d", "uid": "u"}}
        await client.create(SECRETS, metadata={"name": "kept", "ownerReferences": owned_by(owner)})
        await client.create(SECRETS, metadata={"name": "other"})
        await asyncio.sleep(A_MOMENT)
        assert (await client.ask("GET", f"{SECRETS}/kept")).status == 200

    async def test_a_namespace_takes_its_objects_with_it(self, client: Client) -> None:
        await client.create("/api/v1/namespaces", metadata={"name": "n"})
        inside = "/api/v1/namespaces/n/secrets"
        await client.create(inside, metadata={"name": "held", "finalizers": ["example.com/hold"]})
        await client.create(inside, metadata={"name": "free"})
        answer = await client.ask("DELETE", "/api/v1/namespaces/n")
        assert answer.body["status"]["phase"] == "Terminating"
        await is_gone(client, f"{inside}/free")
        refused = await client.ask("POST", inside, {"metadata": {"name": "late"}})
        assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
        await client.merge(f"{inside}/held", {"metadata": {"finalizers": None}})
        await is_gone(client, "/api/v1/namespaces/n")

    async def test_a_definition_waits_for_the_objects_of_its_kind(self, client: Client) -> None:
        await client.create(CONTENTS, **content(finalizers=["example.com/hold"]))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/volumesnapshotcontents.snapshot.storage.k8s.io"
        await client.ask("DELETE", path)
        await is_terminating(client, f"{CONTENTS}/one")
        assert (await client.ask("GET", path)).status == 200
        await client.merge(f"{CONTENTS}/one", {"metadata": {"finalizers": None}})
        await is_gone(client, path)
        assert (await client.ask("GET", CONTENTS)).status == 404


class TestAdmin:
    async def test_steers_faults_and_reads_requests(self, client: Client) -> None:
        async with Admin(client.server.url) as admin:
            number = await admin.set_fault(Fault(match="^GET", error=503))
            assert (await client.ask("GET", f"{SECRETS}/a")).status == 503
            await admin.lift(number)
            assert (await client.ask("GET", f"{SECRETS}/a")).status == 404
            assert [call["status"] for call in await admin.calls()] == [503, 404]
            assert [call["status"] for call in await admin.calls(since=1)] == [404]
            await admin.reset_calls()
            assert client.server.requests == []

    async def test_is_not_part_of_the_log(self, client: Client) -> None:
        await Admin(client.server.url).held()
        assert client.server.requests == []

    async def test_compacts_the_history(self, client: Client) -> None:
        client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
        await Admin(client.server.url).post("compact")
        async with await client.watch(SECRETS, resourceVersion="1") as watch:
            assert (await event(watch))[0] == "ERROR"

    async def test_cuts_watches(self, client: Client) -> None:
        async with await client.watch(SECRETS) as watch:
            await Admin(client.server.url).post("cut-watches")
            with pytest.raises(aiohttp.ClientError):
                await watch.content.readline()

    async def test_mutes_watches(self, client: Client) -> None:
        async with await client.watch(SECRETS) as watch:
            await Admin(client.server.url).post("mute-watches")
            client.server.create("secrets", {"metadata": {"name": "a"}}, "default")
            assert await is_silent(watch)

    async def test_refuses_what_it_does_not_know(self, client: Client) -> None:
        with pytest.raises(AdminError, match="404"):
            await Admin(client.server.url).post("explode")
