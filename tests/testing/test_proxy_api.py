"""The proxy before an API server: what its clients see of each trouble, and what the far side has done by then."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.client import KubeClient
from snapshotter.testing.proxy import (
    ApiProxy,
    Cut,
    CutWatch,
    Dribble,
    EndWatch,
    ErrorFrame,
    Hold,
    LagWatch,
    Late,
    Refusal,
    StallWatch,
    Trouble,
)

THING: Final = "/apis/things.example.com/v1/things/a"
THINGS: Final = "/apis/things.example.com/v1/things"
ANSWER: Final = b'{"kind":"Thing","text":"' + b"x" * 1000 + b'"}'
EVENT: Final = b'{"type":"MODIFIED","object":{}}\n'
LONG: Final = 20.0


class Far:
    """The far side: it counts what it is asked for, and its watches send an event now and then."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: dict[str, str] = {}
        self.watches = 0
        self.url = ""
        self._ended = asyncio.Event()

    async def until_nobody_watches(self) -> None:
        async with asyncio.timeout(LONG):
            while self.watches:
                self._ended.clear()
                await self._ended.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get(THINGS, self._watch)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, await request.read()))
        self.headers = dict(request.headers)
        status = 404 if request.path.endswith("/missing") else 200
        return web.Response(status=status, body=ANSWER, content_type="application/json", headers={"Warning": "old"})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.watches += 1
        try:
            while True:
                # In two parts, so that a proxy has to put them together.
                await response.write(EVENT[:9])
                await asyncio.sleep(0.005)
                await response.write(EVENT[9:])
                await asyncio.sleep(0.02)
        finally:
            self.watches -= 1
            self._ended.set()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    made = Far()
    async with made.serving():
        yield made


@pytest.fixture
async def proxy(far: Far) -> AsyncIterator[ApiProxy]:
    async with ApiProxy.serve(far.url) as made:
        yield made


@pytest.fixture
async def http(proxy: ApiProxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url, timeout=aiohttp.ClientTimeout(LONG)) as session:
        yield session


async def test_without_a_script_all_is_passed_on(far: Far, proxy: ApiProxy, http: aiohttp.ClientSession) -> None:
    path = f"{THINGS}/missing?fieldSelector=metadata.name%3Da%2Fb&limit=5"
    headers = {
        "Authorization": "Bearer t",
        "Content-Type": "application/merge-patch+json",
        "Accept": "application/json",
    }
    async with http.patch(URL(proxy.url + path, encoded=True), data=b'{"a":1}', headers=headers) as response:
        assert (response.status, await response.read()) == (404, ANSWER)
        assert response.headers["Warning"] == "old"
        assert response.headers["Content-Type"].startswith("application/json")
    assert far.asked == [("PATCH", path, b'{"a":1}')]
    assert far.headers.items() >= headers.items()


SEEN: Final[dict[str, tuple[Trouble, object, bool]]] = {
    "cut before": (Cut("before"), "lost", False),
    "cut after": (Cut("after"), "lost", True),
    "half an answer": (Cut("amid"), "broken off", True),
    "late before": (Late(0.1), (200, ANSWER, None), True),
    "late after": (Late(0.1, "after"), (200, ANSWER, None), True),
    "byte by byte": (Dribble(0.1), (200, ANSWER, None), True),
    "busy": (Refusal(429, retry_after=2), (429, "TooManyRequests", "2"), False),
    "out of order": (Refusal(500), (500, "InternalError", None), False),
    "no word": (Refusal(503, "empty"), (503, b"", None), False),
    "a load balancer": (Refusal(502, "html"), (502, b"<html>", None), False),
    "a load balancer that did not wait": (Refusal(504, "html", moment="after"), (504, b"<html>", None), True),
}
"""What is done to a request, what its client sees, and whether the far side has done it."""


@pytest.mark.parametrize(("trouble", "seen", "done"), SEEN.values(), ids=SEEN.keys())
async def test_what_happens_to_a_request(
    far: Far, proxy: ApiProxy, http: aiohttp.ClientSession, trouble: Trouble, seen: object, done: bool
) -> None:
    proxy.script.set("^PATCH .*/things/a$", trouble)
    began = time.monotonic()
    found: object
    try:
        async with http.patch(THING, data=b"{}") as response:
            body = await response.read()
        found = (response.status, _gist(body), response.headers.get("Retry-After"))
    except aiohttp.ClientConnectionError:
        found = "lost"
    except aiohttp.ClientPayloadError:
        found = "broken off"
    assert found == seen
    assert [method for method, _, _ in far.asked] == ["PATCH"] * done
    if isinstance(trouble, Late | Dribble):
        assert time.monotonic() - began >= 0.1
    # The next one is none of the rule's business.
    async with http.patch(THING, data=b"{}") as response:
        assert response.status == 200
    assert proxy.script.happened == {type(trouble).__name__: 1}


def _gist(body: bytes) -> str | bytes:
    """The reason of a Status, the beginning of a page, or all."""
    if body.startswith(b'{"kind":"Status"'):
        reason: str = msgspec.json.decode(body)["reason"]
        return reason
    return body[:6] if body.startswith(b"<html>") else body


async def watch(http: aiohttp.ClientSession, enough: int = 1000) -> tuple[bytes, str]:
    """What comes over a watch, and how it ended: `end`, `broken`, `silent`, `refused` or, by ourselves, `enough`."""
    received = b""
    try:
        async with http.get(THINGS, params={"watch": "true"}) as response:
            if response.status != 200:
                return await response.read(), "refused"
            while received.count(b"\n") < enough:
                async with asyncio.timeout(1.0):
                    chunk = await response.content.readany()
                if not chunk:
                    return received, "end"
                received += chunk
            return received, "enough"
    except TimeoutError:
        return received, "silent"
    except aiohttp.ClientError:
        return received, "broken"


WATCHED: Final[dict[str, tuple[Trouble, str]]] = {
    "ended": (EndWatch(0.1), "end"),
    "cut": (CutWatch(0.1), "broken"),
    "cut amid an event": (CutWatch(0.1, amid=True), "broken"),
    "cut as it begins": (Cut("after"), "broken"),
    "cut amid its first event": (Cut("amid"), "broken"),
    "refused": (Refusal(410), "refused"),
    "history is gone": (ErrorFrame(0.1, 410), "end"),
    "out of order": (ErrorFrame(0.1, 500), "end"),
    "silent": (StallWatch(0.1), "silent"),
    "silent for a while": (StallWatch(0.1, 0.2), "broken"),
    "late": (LagWatch(0.1), "enough"),
    "byte by byte": (Dribble(0.02, 10), "enough"),
}


@pytest.mark.parametrize(("trouble", "end"), WATCHED.values(), ids=WATCHED.keys())
async def test_what_happens_to_a_watch(
    far: Far, proxy: ApiProxy, http: aiohttp.ClientSession, trouble: Trouble, end: str
) -> None:
    # The client asks once more by itself when it has had no answer at all.
    proxy.script.set("^WATCH ", trouble, times=2 if trouble == Cut("after") else 1)
    received, ended = await watch(http, enough=20)
    assert ended == end
    proxy.script.clear()
    *frames, last = received.split(b"\n")
    half = trouble in (CutWatch(0.1, amid=True), Cut("amid"))
    assert ended == "enough" or bool(last) == (half or end == "refused")
    if isinstance(trouble, ErrorFrame):
        error = msgspec.json.decode(frames.pop())
        assert (error["type"], error["object"]["code"]) == ("ERROR", trouble.code)
    assert set(frames) <= {EVENT.strip()}
    assert len(frames) > 0 or isinstance(trouble, Cut | Refusal)
    await far.until_nobody_watches()
    assert (await watch(http, enough=2))[1] == "enough"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_request_can_be_held_and_the_far_side_is_told_that_it_was(
    far: Far, proxy: ApiProxy, http: aiohttp.ClientSession, moment: Literal["before", "after"]
) -> None:
    held, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        held.set()
        await go.wait()

    proxy.script.set("^PATCH ", Hold(wait, moment))
    async with asyncio.timeout(LONG):
        patching = asyncio.create_task(http.patch(THING, data=b"{}", headers={"User-Agent": "one/1"}))
        await held.wait()
        assert len(far.asked) == (moment == "after")
        assert not patching.done()
        go.set()
        async with await patching as response:
            assert response.status == 200
    assert len(far.asked) == 1
    assert far.headers["User-Agent"] == "one/1 (in trouble)"


async def test_a_refusal_says_what_it_is_told_to(proxy: ApiProxy, http: aiohttp.ClientSession) -> None:
    proxy.script.set("^GET ", Refusal(409, message="somebody was faster"))
    async with http.get(THING) as response:
        assert (response.status, (await response.json())["message"]) == (409, "somebody was faster")


async def test_open_watches_can_go_silent_at_once_and_later_ones_do_not(
    proxy: ApiProxy, http: aiohttp.ClientSession
) -> None:
    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(watch(http)) for _ in range(2)]
        await asyncio.sleep(0.2)
        proxy.mute_watches()
        assert (await watch(http, enough=5))[1] == "enough"
    assert [watch.result()[1] for watch in watches] == ["silent"] * 2


async def test_open_watches_can_be_cut_at_once(proxy: ApiProxy, http: aiohttp.ClientSession) -> None:
    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(watch(http)) for _ in range(3)]
        await asyncio.sleep(0.2)
        proxy.cut_watches()
    assert [watch.result()[1] for watch in watches] == ["broken"] * 3


async def test_while_it_is_away_nobody_answers_and_then_all_is_as_before(
    far: Far, proxy: ApiProxy, http: aiohttp.ClientSession
) -> None:
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(http))
        await asyncio.sleep(0.2)
        async with proxy.away():
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(THING)
    assert watching.result()[1] == "broken"
    async with http.get(THING) as response:
        assert response.status == 200
    assert len(far.asked) == 1


async def test_a_client_that_goes_takes_its_request_along(far: Far, proxy: ApiProxy) -> None:
    async with aiohttp.ClientSession(proxy.url) as session:
        response = await session.get(THINGS, params={"watch": "true"})
        await response.content.readline()
        assert far.watches == 1
        response.close()
    await far.until_nobody_watches()


async def test_a_far_side_that_is_gone_is_a_bad_gateway() -> None:
    far = Far()
    async with far.serving():
        pass
    async with ApiProxy.serve(far.url) as proxy, aiohttp.ClientSession(proxy.url) as http, http.get(THING) as response:
        assert response.status == 502


async def test_rules_hold_in_the_order_in_which_they_were_set_until_the_script_is_cleared(
    proxy: ApiProxy, http: aiohttp.ClientSession
) -> None:
    proxy.script.set("GET", Refusal(503), skip=1)
    proxy.script.set("things/a", Refusal(500), times=None)
    statuses = []
    for _ in range(4):
        async with http.get(THING) as response:
            statuses.append(response.status)
    proxy.script.clear()
    async with http.get(THING) as response:
        statuses.append(response.status)
    assert statuses == [500, 503, 500, 500, 200]
    assert proxy.script.happened == {"Refusal": 4}


async def test_a_kubeconfig_leads_through_it_with_tls_on_either_side(tmp_path: Path) -> None:
    seen: list[str] = []
    async with (
        ApiServer.serve(tmp_path, rbac=True, tls=True) as server,
        ApiProxy.serve(
            server.url,
            authority=server.authority,
            tls=True,
            on_request=lambda verb, path: seen.append(f"{verb} {path}"),
        ) as proxy,
    ):
        file = tmp_path / "kubeconfig"
        file.write_text(proxy.kubeconfig(server.admin_token))
        async with KubeClient.of(file) as client:
            await client.create({"kind": "Secret", "metadata": {"name": "a"}})
            found = await client.wait_for("Secret", "a", lambda secret: secret is not None)
        assert found is not None
    assert seen == [
        "POST /api/v1/namespaces/default/secrets",
        "LIST /api/v1/namespaces/default/secrets",
    ]
