"""When a content gets its turn, and when it does not: the rules that no single failure shows."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from snapshotter.settings import WorkSettings
from snapshotter.testing.faults import Fault
from tests.world import World, each_kind, make_world

PATIENT = WorkSettings(retry_start=60.0, retry_max=60.0, shutdown_grace=2.0)
"""Who is to be looked at again before a minute has passed must have been woken."""


@each_kind
async def test_promise_1_a_mark_that_vanishes_while_a_cut_waits_for_its_next_try_is_put_back(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="UNAVAILABLE", error_when="after", times=1))
    async with world.sidecar(work=PATIENT):
        await world.make_content("one")
        await world.driver.log.wait_until(lambda log: any(call.ended_at for call in log.of(world.kind.create)))
        await world.patch("one", {"metadata": {"annotations": {world.kind.being_created: None}}})
        # The mark comes back, or the next try has already made it superfluous.
        await world.until(lambda: world.kind.being_created in world.annotations("one") or world.ready("one"))
    assert len(world.stored) == 1


@each_kind
async def test_promise_1_a_mark_that_was_removed_during_the_call_is_there_after_a_restart(world: World) -> None:
    world.hold(world.kind.create, "after", times=1)
    async with world.sidecar(driver=type(world.settings().driver)(str(world.driver.socket), 0.5), work=PATIENT):
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        await world.patch("one", {"metadata": {"annotations": {world.kind.being_created: None}}})
        await world.until(lambda: world.kind.being_created in world.annotations("one"))
    await world.delete_content("one")
    async with world.sidecar():
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_6_a_conflict_is_settled_at_once_although_the_watch_is_silent(world: World) -> None:
    async with world.sidecar(work=PATIENT):
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        hold = world.hold(world.kind.create)
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        world.server.mute_watches()
        # Somebody else makes a status meanwhile, so that ours is not the first any more.
        await world.patch("one", {"status": {"readyToUse": False}}, status=True)
        world.driver.faults.lift(hold)
        await world.until(lambda: world.ready("one"), seconds=5)
    assert not world.server.list("events")


@each_kind
async def test_promise_4_an_api_server_that_refuses_a_write_for_good_is_asked_by_the_backoff(world: World) -> None:
    world.server.faults.set(Fault(match=f"PATCH {world.kind.path}/one/status", error=409, message="for ever"))
    async with world.sidecar(work=WorkSettings(retry_start=0.2, retry_max=60.0, shutdown_grace=2.0)):
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 2)
        await asyncio.sleep(1.0)
        # Tries at 0, 0.2, 0.6 and 1.4 seconds.
        assert world.calls(world.kind.create) <= 5
    # Users hear of it, in one event that counts.
    [event] = world.server.list("events")
    assert event["type"] == "Warning"
    assert "for ever" in event["message"]


@each_kind
async def test_promise_1_a_driver_that_is_away_leaves_no_mark_on_what_it_was_not_asked_for(world: World) -> None:
    async with world.sidecar() as sidecar:
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        await world.make_content("one")
        await world.until(lambda: world.error("one"))
        assert world.kind.being_created not in world.annotations("one")
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)


@each_kind
async def test_promise_5_a_plan_that_changes_while_a_call_fails_is_acted_on_now(world: World) -> None:
    hold = world.hold(world.kind.create, error="INVALID_ARGUMENT", message="no")
    async with world.sidecar(work=PATIENT):
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        await world.delete_content("one")
        # What comes after it on the watch is seen after it.
        await world.make_content("later", class_name="none")
        await world.until(lambda: world.error("later"))
        world.driver.faults.lift(hold)
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.create) == 1
    assert not world.stored


@each_kind
async def test_promise_4_events_of_our_own_writes_during_a_slow_cut_cause_no_second_one(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, delay_seconds=0.5))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one") and world.kind.being_created not in world.annotations("one"))
        await asyncio.sleep(0.3)
    assert world.calls(world.kind.create) == 1
    assert [request for request in world.sidecar_requests() if "/one" in request] == [
        "PATCH /one",
        "PATCH /one/status",
        "PATCH /one",
    ]


@each_kind
async def test_promise_11_who_missed_the_driver_has_its_turn_when_it_is_back(world: World) -> None:
    async with world.sidecar(work=PATIENT) as sidecar:
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        await world.make_content("one")
        # What is seen after it has been looked at after it.
        await world.make_content("later", class_name="none")
        await world.until(lambda: world.error("later"))
        await world.driver.start_serving()
        await world.until(lambda: world.ready("one"))


async def test_promise_11_what_the_driver_can_do_is_asked_anew_when_it_is_back(tmp_path: Path) -> None:
    async with make_world(tmp_path, get_snapshot=False) as world, world.sidecar(work=PATIENT) as sidecar:
        await world.make_class()
        fault = world.driver.faults.set(Fault(match="ControllerGetCapabilities", answer={"capabilities": []}))
        await world.driver.stop_serving()
        await world.driver.start_serving()
        await world.driver.log.wait_until(lambda log: len(log.of("GroupControllerGetCapabilities")) >= 2)
        await world.until(lambda: not sidecar.health.ready())
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.ready("cut"))
        handle = world.status("cut")["snapshotHandle"]
        # Without the ability to list, an import is taken on trust.
        await world.make_content("trusted", snapshot=handle, class_name=None)
        await world.until(lambda: world.ready("trusted"))
        assert world.calls("ListSnapshots") == 0
        world.driver.faults.lift(fault)
        await world.driver.stop_serving()
        await world.driver.start_serving()
        await world.driver.log.wait_until(lambda log: len(log.of("GroupControllerGetCapabilities")) >= 3)
        await world.until(lambda: not sidecar.health.ready())
        await world.make_content("looked-up", snapshot=handle, class_name=None)
        await world.until(lambda: world.ready("looked-up"))
        assert world.calls("ListSnapshots", handle) == 1


@each_kind
async def test_promise_7_a_deletion_that_stays_blocked_is_told_of_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.sidecar.controller.REMIND_SECONDS", 0.1)
    kube = replace(world.settings().kube, resync_period=0.3)
    async with world.sidecar(kube=kube):
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        await world.delete_content("one", marked=False)
        await world.until(lambda: any(event["count"] >= 2 for event in world.events("one")))
