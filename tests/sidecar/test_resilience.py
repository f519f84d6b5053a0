"""Promise 11: the driver may go, the API server may go; the sidecar does not."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from snapshotter.testing.driver import CallLog
from snapshotter.testing.faults import Fault
from tests.world import DEFINITIONS, World, each_kind


@each_kind
async def test_promise_11_and_case_110_a_lost_driver_is_met_again_and_work_goes_on(world: World) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        await world.make_content("meanwhile")
        await world.delete_content("before")
        await world.until(lambda: "lost" in (world.error("meanwhile") or ""))
        # A deletion that waits for the driver says so as well.
        await world.until(lambda: "lost" in (world.error("before") or ""))
        world.driver.log.reset()
        await world.driver.start_serving()
        await world.until(lambda: world.ready("meanwhile") and world.content("before") is None)
        assert not sidecar.health.ready()
    methods = [call.method for call in world.driver.calls]
    assert methods[:3] == ["GetPluginInfo", "Probe", "ControllerGetCapabilities"]


@each_kind
async def test_promise_11_another_driver_at_the_socket_gets_no_call(world: World) -> None:
    async with world.sidecar():
        await world.driver.stop_serving()
        fault = world.driver.faults.set(Fault(match="GetPluginInfo", answer={"name": "another.example.com"}))
        await world.driver.start_serving()
        await world.make_content("one")
        await world.until(lambda: 'driver "another.example.com" answers' in (world.error("one") or ""))
        assert world.calls(world.kind.create) == 0
        world.driver.faults.lift(fault)
        await world.until(lambda: world.ready("one"))


@each_kind
async def test_promise_11_a_call_in_flight_when_the_driver_dies_is_repeated(world: World) -> None:
    async with world.sidecar():
        world.hold(world.kind.create, "after", times=1)
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        await world.driver.stop_serving()
        await world.driver.start_serving()
        await world.until(lambda: world.ready("one"))
    assert len(world.stored) == 1


@each_kind
async def test_promise_11_tries_for_which_the_driver_was_away_do_not_make_later_waits_longer(world: World) -> None:
    async with world.sidecar(work=type(world.settings().work)(retry_start=0.1, retry_max=100.0)) as sidecar:
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        await world.make_content("one")
        await world.until(lambda: "(attempt 5, " in (world.error("one") or ""))
        world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", message="no", times=1))
        await world.driver.start_serving()
        await world.until(lambda: "Internal: no (attempt 1, next in 0s)" in (world.error("one") or ""))
        await world.until(lambda: world.ready("one"))


@dataclass(frozen=True)
class WatchTrouble:
    """What happens when the open watches have been reset."""

    fault: dict[str, Any] | None = None
    """A fault of the watches that follow."""
    forgets: bool = False


WATCH_FAULTS = {
    "reset": WatchTrouble(),
    "reset again and again": WatchTrouble({"cut": "before", "times": 3}),
    "410 as a frame": WatchTrouble({"error": 410, "error_when": "after", "times": 2}),
    "410 as a status": WatchTrouble({"error": 410, "times": 2}),
    "an error frame": WatchTrouble({"error": 500, "error_when": "after", "times": 2}),
    "401": WatchTrouble({"error": 401, "times": 2}),
    "history forgotten": WatchTrouble(forgets=True),
}


@each_kind
@pytest.mark.parametrize("trouble", WATCH_FAULTS.values(), ids=WATCH_FAULTS.keys())
async def test_promise_11_whatever_happens_to_the_watch_changes_are_acted_on(
    world: World, trouble: WatchTrouble
) -> None:
    async with world.sidecar():
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        if trouble.fault is not None:
            world.server.faults.set(Fault(match=f"WATCH {world.kind.path}", **trouble.fault))
        if trouble.forgets:
            world.server.compact()
        world.server.cut_watches()
        await world.delete_content("before")
        await world.make_content("after")
        await world.until(lambda: world.ready("after") and world.content("before") is None)
    assert len(world.stored) == 1
    assert not world.server.list("events")


@each_kind
async def test_promise_11_what_is_new_waits_for_no_other_page_of_a_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.kube.objects.PAGE_SIZE", 1)
    async with world.sidecar():
        for name in ("a", "b", "c"):
            await world.make_content(name)
        await world.until(lambda: all(world.ready(name) for name in ("a", "b", "c")))
        page = world.server.faults.set(Fault(match=f"LIST {world.kind.path}", skip=1, times=1, hold="before"))
        world.server.faults.set(Fault(match=f"WATCH {world.kind.path}", times=1, error=410))
        world.server.cut_watches()
        await world.server.faults.wait_for_held(1)
        await world.make_content("new")
        await world.until(lambda: world.ready("new"))
        await world.delete_content("c")
        await world.until(lambda: world.content("c") is None)
        assert len(world.server.faults.held()) == 1, "the second page has not come yet"
        world.server.faults.lift(page)
        await world.delete_content("a")
        await world.until(lambda: world.content("a") is None)
    assert len(world.stored) == 2
    assert not world.server.list("events")


@each_kind
@pytest.mark.parametrize("when", ["before", "after"])
async def test_promise_11_a_watch_that_says_nothing_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # The times are constants, so that nobody sets them wrong; here they are short. What is shown is that a
    # connection that is open but silent is given up when the watch's time is over, and nothing is missed.
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_SECONDS", (1, 1))
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_GRACE", 0.3)
    async with world.sidecar():
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        world.server.faults.set(Fault(match=f"WATCH {world.kind.path}", hold=when, times=1))  # type: ignore[arg-type]
        world.server.cut_watches()
        await world.server.faults.wait_for_held(1)
        await world.make_content("after")
        await world.until(lambda: world.ready("after"))


@each_kind
async def test_promise_11_a_half_open_watch_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_SECONDS", (1, 1))
    monkeypatch.setattr("snapshotter.kube.objects.WATCH_GRACE", 0.3)
    async with world.sidecar():
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        world.server.mute_watches()
        await world.make_content("after")
        await world.until(lambda: world.ready("after"))


@each_kind
async def test_promise_11_the_health_tells_of_a_server_that_is_not_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.daemon.health.LONGEST_SILENCE", 0.2)
    async with world.sidecar() as sidecar:
        await world.until(lambda: not sidecar.health.ready())
        world.server.mute_watches()
        classes = f"{world.kind.snapshot_class.lower()}es"
        for what in (world.kind.plural, classes):
            told = f"no word from the API server about {what} for"
            await world.until(lambda: any(told in problem for problem in sidecar.health.alive()))  # noqa: B023


def has_called(method: str, times: int, log: CallLog) -> bool:
    return len(log.of(method)) >= times


@each_kind
async def test_promise_4_a_driver_that_dies_of_each_create_is_called_by_the_backoff_alone(world: World) -> None:
    work = type(world.settings().work)(retry_start=0.4, retry_max=10.0)
    async with world.sidecar(work=work):
        world.hold(world.kind.create)
        await world.make_content("one")
        async with asyncio.timeout(30):
            # 0.4, 0.8 and 1.6 seconds at least lie between four calls; each time the driver is back at once.
            start = asyncio.get_running_loop().time()
            for number in range(4):
                await world.driver.log.wait_until(partial(has_called, world.kind.create, number + 1))
                await world.driver.stop_serving()
                await world.driver.start_serving()
        assert asyncio.get_running_loop().time() - start > 0.9 * (0.4 + 0.8 + 1.6)


@each_kind
async def test_promise_5_a_content_made_anew_under_the_same_name_begins_anew(world: World) -> None:
    work = type(world.settings().work)(retry_start=60.0, retry_max=60.0)
    async with world.sidecar(work=work):
        world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", times=1))
        await world.make_content("one", finalizers=())
        await world.until(lambda: world.error("one"))
        # The watch tells nothing of this, the list afterwards only how it is then.
        world.server.mute_watches()
        await world.patch("one", {"metadata": {"finalizers": None}})
        await world.request("DELETE", f"{world.kind.path}/one")
        await world.make_content("one")
        world.server.compact()
        world.server.cut_watches()
        await world.until(lambda: world.ready("one"))


@each_kind
async def test_promise_11_crds_that_cannot_select_any_more_are_lived_with(world: World) -> None:
    async with world.sidecar():
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        definition = await world.request("GET", world.kind.definition)
        for version in definition["spec"]["versions"]:
            version.pop("selectableFields", None)
        await world.request("PUT", world.kind.definition, definition)
        world.server.cut_watches()
        await world.make_content("after")
        await world.until(lambda: world.ready("after"))


async def test_without_the_definitions_of_snapshots_it_says_what_it_waits_for_and_begins_when_they_come(
    world: World,
) -> None:
    definitions = [
        await world.request("GET", path)
        for path in (world.kind.definition, world.kind.definition.replace("contents.", "classes."))
    ]
    for definition in definitions:
        await world.request("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")
    async with world.sidecar() as sidecar:
        await world.until(lambda: sidecar.health.ready() and "start" not in str(sidecar.health.ready()))
        assert f"{world.kind.plural} have not been listed yet" in sidecar.health.ready()
        for definition in definitions:
            metadata = {"name": definition["metadata"]["name"], "annotations": definition["metadata"]["annotations"]}
            made = {"apiVersion": definition["apiVersion"], "kind": definition["kind"], "spec": definition["spec"]}
            await world.request("POST", DEFINITIONS, made | {"metadata": metadata})
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        assert not sidecar.health.ready()


@each_kind
async def test_case_34_a_driver_that_cannot_say_its_name_leaves_the_mark_of_an_open_cut(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="DEADLINE_EXCEEDED", error_when="after", times=1))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) == 1)
        await world.driver.stop_serving()
        fault = world.driver.faults.set(Fault(match="GetPluginInfo", error="INTERNAL", message="who am I"))
        await world.driver.start_serving()
        await world.delete_content("one")
        await world.until(lambda: "who am I" in (world.error("one") or ""))
        assert world.kind.being_created in world.annotations("one")
        world.driver.faults.lift(fault)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_case_49_an_object_that_vanishes_during_a_look_up_is_let_go(world: World) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("cut", policy="Retain")
        await world.until(lambda: world.ready("cut"))
        hold = world.hold(world.kind.look_up, times=1)
        handle = world.handle("cut")
        await world.make_content("import", snapshot=handle, class_name=None, finalizers=())
        await world.driver.faults.wait_for_held(1)
        await world.request("DELETE", f"{world.kind.path}/import")
        world.driver.faults.lift(hold)
        await world.make_content("next")
        await world.until(lambda: world.ready("next"))
        assert world.calls(world.kind.look_up) == 1
        assert not sidecar.health.ready()
    assert not world.server.list("events")


@each_kind
async def test_case_73_a_retry_is_not_lost_though_the_watch_lags_behind_our_own_writes(world: World) -> None:
    async with world.sidecar():
        await world.make_content("before")
        await world.until(lambda: world.ready("before"))
        hold = world.hold(world.kind.create, times=1)
        world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", times=3))
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        world.server.mute_watches()
        world.driver.faults.lift(hold)
        await world.until(lambda: world.ready("one"))
    assert len(world.stored) == 2
