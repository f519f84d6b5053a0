"""From a content to a ready snapshot, over real wires."""

import asyncio
from pathlib import Path

import pytest

from snapshotter.settings import GroupSettings, SnapshotSettings
from snapshotter.testing.faults import Fault
from tests.world import SINGLE, Kind, World, each_kind, make_world

INTRODUCTION = ["GetPluginInfo", "Probe", "ControllerGetCapabilities", "GroupControllerGetCapabilities"]


@each_kind
async def test_promise_3_a_content_costs_one_call_and_three_requests_and_no_read(world: World) -> None:
    """Cases 1 and 77."""
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
    asked = [request for request in world.sidecar_requests() if "/one" in request]
    assert asked == ["PATCH /one", "PATCH /one/status", "PATCH /one"]
    methods = [call.method for call in world.driver.calls]
    assert methods == [*INTRODUCTION, world.kind.create]


async def test_the_status_tells_what_the_driver_made(world: World) -> None:
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    (snapshot,) = world.driver.snapshots.values()
    assert world.status("one") == {
        "snapshotHandle": snapshot.id,
        "creationTime": snapshot.created_at_ns,
        "restoreSize": 500,
        "readyToUse": True,
    }


@each_kind
async def test_promise_4_waiting_for_readiness_costs_no_request(tmp_path: Path, kind: Kind) -> None:
    """Cases 2, 3, 4, 21 and 78."""
    async with make_world(tmp_path, kind, ready_after_seconds=1.2) as world, world.sidecar():
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        asked = [request for request in world.sidecar_requests() if "/one" in request]
    assert asked == ["PATCH /one", "PATCH /one/status", "PATCH /one", "PATCH /one/status"]
    assert 2 <= world.calls(world.kind.create) <= 5
    assert len(world.stored) == 1


@each_kind
async def test_promise_4_a_failing_driver_is_called_by_the_backoff_alone(world: World) -> None:
    # The default flags, twenty times as fast: six or seven calls in what stands for 60 seconds.
    world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", message="broken in way {n}"))
    fast = world.settings().work
    async with world.sidecar(work=type(fast)(retry_start=1 / 20, retry_max=300 / 20)):
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 1)
        await asyncio.sleep(60 / 20)
        assert world.calls(world.kind.create) <= 7


@each_kind
@pytest.mark.parametrize("length", [pytest.param(-1, id="the uid as it is"), pytest.param(8, id="a part of it")])
async def test_the_name_is_made_of_prefix_and_uid(world: World, length: int) -> None:
    """Cases 1 and 80."""
    settings = {
        "snapshots": SnapshotSettings(name_prefix="cut", name_uuid_length=length),
        "groups": GroupSettings(name_prefix="group-cut", name_uuid_length=length),
    }
    async with world.sidecar(**settings):
        await world.make_content("one", uid="01234567-89ab-cdef-0123-456789abcdef")
        await world.until(lambda: world.ready("one"))
    (call,) = world.driver.log.of(world.kind.create)
    expected = "01234567-89ab-cdef-0123-456789abcdef" if length < 0 else "01234567"
    prefix = "cut" if world.kind is SINGLE else "group-cut"
    assert call.request["name"] == f"{prefix}-{expected}"


@each_kind
async def test_the_driver_gets_the_class_parameters_the_secret_and_the_extra_metadata(world: World) -> None:
    """Cases 1, 6, 77 and 82."""
    await world.make_secret("login", user="admin")
    await world.make_class("rich", {"color": "blue", world.kind.secret_parameter: "login"})
    async with world.sidecar(snapshots=SnapshotSettings(extra_create_metadata=True)):
        await world.make_content(
            "one",
            class_name="rich",
            annotations=world.kind.secret("login"),
        )
        await world.until(lambda: world.ready("one"))
    (call,) = world.driver.log.of(world.kind.create)
    assert call.request["parameters"] == {
        "color": "blue",
        f"{world.kind.metadata_prefix}/name": "one",
        f"{world.kind.metadata_prefix}/namespace": "default",
        f"{world.kind.metadata_prefix}content/name": "one",
    }
    assert call.request["secrets"] == ["user"]


@each_kind
async def test_contents_of_other_drivers_are_left_alone(world: World) -> None:
    """Case 74."""
    async with world.sidecar():
        await world.make_content("foreign", driver="other.example.com")
        foreign = world.content("foreign")
        await world.make_content("ours")
        await world.until(lambda: world.ready("ours"))
    assert world.content("foreign") == foreign
    assert world.calls(world.kind.create) == 1


@each_kind
async def test_a_content_whose_protection_is_missing_gets_it_with_the_mark(world: World) -> None:
    async with world.sidecar():
        await world.make_content("one", finalizers=())
        await world.until(lambda: world.ready("one"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


async def test_promise_9_a_driver_that_gives_no_time_and_no_size_gives_now_and_nothing(tmp_path: Path) -> None:
    """Cases 14 and 15."""
    async with make_world(tmp_path, omit_creation_time=True, omit_size=True) as world, world.sidecar():
        await world.make_class()
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    status = world.status("one")
    assert "restoreSize" not in status
    assert status["creationTime"] > 1_700_000_000_000_000_000


def size(world: World, name: str) -> int | None:
    """The `restoreSize` of a snapshot, or of a group's first member."""
    entries = [world.status(name)] if world.kind is SINGLE else world.status(name).get("volumeSnapshotInfoList", [])
    found: int | None = entries[0].get("restoreSize") if entries else None
    return found


@each_kind
async def test_promise_9_the_size_follows_the_driver_until_ready_and_then_stays(world: World) -> None:
    """Case 99 for groups."""
    path = "snapshot" if world.kind is SINGLE else "group_snapshot.snapshots.0"

    def answer(size_bytes: int, **more: object) -> int:
        answers = {f"{path}.size_bytes": size_bytes, **more}
        return world.driver.faults.set(Fault(match=world.kind.create, answer=answers))

    waiting = {f"{world.kind.answer}.ready_to_use": False}
    async with world.sidecar():
        told = answer(0, **waiting)
        await world.make_content("one")
        await world.until(lambda: world.kind.handle in world.status("one"))
        assert size(world, "one") is None
        for size_bytes in (1000, 2000):
            world.driver.faults.lift(told)
            told = answer(size_bytes, **waiting)
            await world.until(lambda: size(world, "one") == size_bytes)  # noqa: B023
        world.driver.faults.lift(told)
        told = answer(3000)
        await world.until(lambda: world.ready("one"))
        assert size(world, "one") == 3000
        before = world.status("one")
        world.driver.faults.lift(told)
        # Nothing is asked any more, whoever stirs the content.
        await world.patch("one", {"metadata": {"labels": {"example.com/stirred": "yes"}}})
        await world.make_content("next")
        await world.until(lambda: world.ready("next"))
        assert world.status("one") == before


NONSENSE: dict[str, tuple[dict[str, object], str]] = {
    "no snapshot": ({"snapshot": None}, "without a snapshot"),
    "no id": ({"snapshot": {"snapshot_id": ""}}, "without an id"),
    "another volume": (
        {"snapshot": {"source_volume_id": "elsewhere"}},
        'of volume "elsewhere" instead of "vol"',
    ),
}


@pytest.mark.parametrize(("answer", "text"), NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_nonsensical_answer_is_an_error_and_loses_nothing(
    world: World, answer: dict[str, object], text: str
) -> None:
    """Case 26."""
    fault = world.driver.faults.set(Fault(match=world.kind.create, answer=answer))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: text in (world.error("one") or ""))
        # The driver may have made a snapshot, so the content is held back.
        assert world.kind.being_created in world.annotations("one")
        await world.delete_content("one")
        world.driver.faults.lift(fault)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


async def test_another_handle_for_the_same_snapshot_is_not_taken(world: World) -> None:
    """Case 5."""
    world.driver.faults.set(
        Fault(match=world.kind.create, times=1, answer={world.kind.answer: {"ready_to_use": False}})
    )
    async with world.sidecar():
        world.driver.faults.set(Fault(match=world.kind.create, answer={world.kind.answer: {"snapshot_id": "another"}}))
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    assert list(world.stored) == [world.handle("one")]


@each_kind
async def test_promise_5_a_class_that_comes_later_is_noticed_at_once(world: World) -> None:
    """Cases 10, 75 and 81."""
    slow = world.settings().work
    async with world.sidecar(work=type(slow)(retry_start=60.0, retry_max=60.0)):
        await world.make_content("one", class_name="later")
        await world.until(lambda: f'{world.kind.snapshot_class} "later" does not exist' in (world.error("one") or ""))
        await world.make_class("later")
        await world.until(lambda: world.ready("one"))
    assert world.error("one") is None


@each_kind
async def test_promise_13_there_is_no_limit_of_our_own(world: World) -> None:
    async with world.sidecar():
        start = asyncio.get_running_loop().time()
        for number in range(60):
            await world.make_content(f"c{number}")
        await world.until(lambda: all(world.ready(f"c{number}") for number in range(60)))
    # Upstream's default of five requests a second would need more than half a minute.
    assert asyncio.get_running_loop().time() - start < 20


@each_kind
async def test_promise_13_a_server_that_is_busy_is_obeyed(world: World) -> None:
    world.server.faults.set(
        Fault(match=f"PATCH {world.kind.path}", times=3, error=429, headers={"Retry-After": "0"}, message="busy")
    )
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    assert not world.warnings("one")
    assert world.calls(world.kind.create) == 1
