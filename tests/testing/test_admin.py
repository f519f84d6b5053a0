"""The admin address, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from snapshotter.testing.admin import Admin, AdminError, admin_routes
from snapshotter.testing.faults import Fault, Faults


@dataclass(frozen=True)
class Call:
    name: str


class Standin:
    def __init__(self) -> None:
        self.faults = Faults()
        self.calls: list[object] = []
        self.url = ""


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    standin = Standin()
    app = web.Application()
    app.add_routes(admin_routes(standin.faults, lambda: standin.calls, standin.calls.clear))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    standin.url = f"http://{host}:{port}"
    yield standin
    await runner.cleanup()


async def test_calls_are_listed_from_a_number_on_and_reset(standin: Standin) -> None:
    standin.calls += [Call("GET /a"), Call("GET /b")]
    async with Admin(standin.url) as admin:
        assert await admin.calls() == [{"name": "GET /a"}, {"name": "GET /b"}]
        assert await admin.calls(since=1) == [{"name": "GET /b"}]
        await admin.reset_calls()
        assert await admin.calls() == []


async def test_a_fault_is_set_listed_and_lifted(standin: Standin) -> None:
    fault = Fault(match="^GET", error=503, headers={"Retry-After": "1"})
    async with Admin(standin.url) as admin:
        number = await admin.set_fault(fault)
        assert await admin.faults() == {number: fault}
        assert standin.faults.match("GET /a") is not None
        await admin.lift(number)
        assert await admin.faults() == {}
        await admin.set_fault(fault)
        await admin.clear()
        assert standin.faults.match("GET /a") is None


async def test_who_is_held_can_be_waited_for(standin: Standin) -> None:
    async with Admin(standin.url) as admin, asyncio.TaskGroup() as tasks:
        number = await admin.set_fault(Fault(match="Create", hold="before"))
        held = standin.faults.match("CreateSnapshot a")
        tasks.create_task(standin.faults.pause(held, "before"))
        await admin.wait_for_held(1, timeout=5)
        assert await admin.held() == ["CreateSnapshot a"]
        await admin.lift(number)


async def test_waiting_for_more_than_are_held_ends(standin: Standin) -> None:
    async with Admin(standin.url) as admin:
        with pytest.raises(AdminError, match="408"):
            await admin.wait_for_held(1, timeout=0.01)


async def test_a_client_outside_a_with_block_works_too(standin: Standin) -> None:
    assert await Admin(standin.url).held() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [("{", "truncated"), ('{"match": "("}', "unterminated"), ('{"mtach": "a"}', "mtach"), ("{}", "match")],
    ids=["no JSON", "a bad pattern", "an unknown field", "no pattern"],
)
async def test_a_bad_fault_is_refused_with_the_reason(standin: Standin, body: str, reason: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{standin.url}/_standin/faults", data=body) as answer,
    ):
        assert answer.status == 400
        assert reason in (await answer.json())["error"]


async def test_a_bad_number_is_refused_with_the_reason(standin: Standin) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{standin.url}/_standin/calls?since=x") as answer,
    ):
        assert answer.status == 400
        assert "since" in (await answer.json())["error"]
