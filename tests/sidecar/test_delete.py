"""The end of a content: what is deleted, what is kept, and what holds it up."""

import math
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from snapshotter import names
from snapshotter.settings import WorkSettings
from snapshotter.testing.faults import Fault
from tests.world import Kind, World, each_kind, make_world

QUICK = WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=0.1)


async def ready(world: World, name: str = "one", **content: object) -> str:
    """A content with a ready snapshot; its handle."""
    await world.make_content(name, **content)  # type: ignore[arg-type]
    await world.until(lambda: world.settled(name))
    return world.handle(name)


@each_kind
async def test_a_snapshot_goes_with_its_content(world: World) -> None:
    """Cases 37 and 92."""
    async with world.sidecar():
        handle = await ready(world)
        before = len(world.sidecar_requests())
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
        assert world.sidecar_requests()[before:] == ["PATCH /one/status", "PATCH /one"]
    assert world.calls(world.kind.delete, handle) == 1
    assert not world.stored
    assert not world.warnings("one")


@each_kind
async def test_promise_2_a_retained_snapshot_outlives_its_content(world: World) -> None:
    """Cases 38 and 91."""
    async with world.sidecar():
        handle = await ready(world, policy="Retain")
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert handle in world.stored
    assert world.calls(world.kind.delete) == 0


@each_kind
async def test_promise_2_and_7_without_the_mark_nothing_is_deleted_and_the_blocker_is_named(world: World) -> None:
    """Cases 36 and 90."""
    async with world.sidecar():
        handle = await ready(world)
        await world.delete_content("one", marked=False)
        await world.until(lambda: world.events("one"))
        (event,) = world.events("one")
        assert event["reason"] == "SnapshotDeletePending"
        assert f"{world.kind.snapshot} default/one has not been deleted" in event["message"]
        assert handle in world.stored
        await world.patch("one", {"metadata": {"annotations": {world.kind.being_deleted: "yes"}}})
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


async def test_promise_2_a_member_of_a_group_is_released_and_not_deleted(world: World) -> None:
    """Case 43."""
    async with world.sidecar():
        handle = await ready(world)
        await world.patch("one", {"status": {"volumeGroupSnapshotHandle": "group-1"}}, status=True)
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert handle in world.stored
    assert world.calls(world.kind.delete) == 0


@each_kind
async def test_promise_2_an_import_that_nobody_bound_leaves_the_storage_alone(world: World) -> None:
    """Cases 36, 39 and 90."""
    async with world.sidecar():
        handle = await ready(world, policy="Retain")
        await ready(world, "import", snapshot=handle, uid="")
        await world.delete_content("import", marked=False)
        await world.until(lambda: world.content("import") is None)
    assert handle in world.stored


@each_kind
async def test_promise_8_other_finalizers_stay_and_the_status_is_cleared(world: World) -> None:
    """Cases 47 and 48."""
    async with world.sidecar():
        await ready(world, finalizers=("example.com/a", world.kind.finalizer, "example.com/b"))
        await world.delete_content("one")
        await world.until(lambda: world.finalizers("one") == ["example.com/a", "example.com/b"])
    # The members of a group stay: others may still look them up there.
    assert set(world.status("one")) <= {"volumeSnapshotInfoList"}
    assert not world.stored


@each_kind
@pytest.mark.parametrize("code", ["INTERNAL", "FAILED_PRECONDITION", "UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"])
async def test_promise_7_a_failed_delete_says_so_until_it_works(world: World, code: str) -> None:
    """Cases 42 and 94."""
    async with world.sidecar():
        handle = await ready(world)
        fault = world.driver.faults.set(Fault(match=world.kind.delete, error=code, message="it is in use"))
        await world.delete_content("one")
        await world.until(
            lambda: f'{world.kind.delete} of {world.kind.thing} "{handle}" failed' in (world.error("one") or "")
        )
        assert "it is in use" in (world.error("one") or "")
        assert world.ready("one")
        await world.until(lambda: world.warnings("one"))
        assert {event["reason"] for event in world.warnings("one")} == {world.kind.delete_failed}
        assert world.handle("one") == handle
        world.driver.faults.lift(fault)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored
    assert len(world.warnings("one")) == 1


@each_kind
async def test_a_driver_that_does_not_find_what_is_to_be_deleted_has_deleted_it(world: World) -> None:
    async with world.sidecar():
        await ready(world)
        world.driver.faults.set(Fault(match=world.kind.delete, error="NOT_FOUND"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)


@each_kind
async def test_promise_1_a_cut_without_an_answer_holds_the_deletion_back(world: World) -> None:
    """Case 30."""
    fault = world.driver.faults.set(
        Fault(match=world.kind.create, error="DEADLINE_EXCEEDED", error_when="after", message="too slow")
    )
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 2)
        await world.delete_content("one")
        await world.until(lambda: "the deletion waits for it" in (world.error("one") or ""))
        assert world.calls(world.kind.delete) == 0
        world.driver.faults.lift(fault)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_1_a_final_refusal_ends_the_wait(world: World) -> None:
    """Case 31."""
    waiting = world.driver.faults.set(Fault(match=world.kind.create, error="ABORTED", message="busy"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 2)
        await world.delete_content("one")
        world.driver.faults.set(Fault(match=world.kind.create, error="INVALID_ARGUMENT", message="no such volume"))
        world.driver.faults.lift(waiting)
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.delete) == 0


@each_kind
async def test_promise_1_a_cut_without_an_answer_is_settled_also_when_its_class_is_gone(world: World) -> None:
    fault = world.driver.faults.set(Fault(match=world.kind.create, error="UNAVAILABLE", error_when="after"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 1)
        await world.request("DELETE", f"{world.kind.class_path}/class")
        await world.until(lambda: f'{world.kind.snapshot_class} "class" does not exist' in (world.error("one") or ""))
        await world.delete_content("one")
        refusing = world.driver.faults.set(Fault(match=world.kind.create, error="INVALID_ARGUMENT", message="why"))
        world.driver.faults.lift(fault)
        await world.until(lambda: "without the parameters of the class, since" in (world.error("one") or ""))
        assert world.content("one") is not None
        world.driver.faults.lift(refusing)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_10_a_delete_starts_while_every_create_hangs(world: World) -> None:
    async with world.sidecar():
        await ready(world)
        world.hold(world.kind.create)
        for number in range(100):
            await world.make_content(f"hanging-{number}")
        await world.driver.faults.wait_for_held(10)
        start = time.monotonic()
        await world.delete_content("one")
        await world.until(lambda: world.calls(world.kind.delete) == 1)
        (call,) = world.driver.log.of(world.kind.delete)
        assert call.started_monotonic - start < 1.0
        world.driver.faults.clear()
        await world.until(lambda: all(world.ready(f"hanging-{number}") for number in range(100)))


@each_kind
async def test_promise_10_a_check_starts_while_every_create_hangs(world: World) -> None:
    async with world.sidecar():
        handle = await ready(world, policy="Retain")
        world.hold(world.kind.create)
        for number in range(30):
            await world.make_content(f"hanging-{number}")
        await world.driver.faults.wait_for_held(10)
        start = time.monotonic()
        await world.make_content("import", snapshot=handle, class_name=None)
        await world.until(lambda: world.calls(world.kind.look_up, handle) == 1)
        (call,) = (call for call in world.driver.log.of(world.kind.look_up) if call.subject == handle)
        assert call.started_monotonic - start < 1.0
        await world.until(lambda: world.ready("import"))
        world.driver.faults.clear()
        await world.until(lambda: all(world.ready(f"hanging-{number}") for number in range(30)))


@each_kind
async def test_promise_5_a_deletion_is_noticed_while_the_watch_lags_behind_our_own_writes(world: World) -> None:
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        hold = world.hold(world.kind.create)
        await world.make_content("two")
        await world.driver.faults.wait_for_held(1)
        # From here on the watch tells nothing, so the answers to our own writes are all that is heard.
        world.server.mute_watches()
        await world.delete_content("two")
        world.driver.faults.lift(hold)
        await world.until(lambda: world.content("two") is None)
    assert len(world.stored) == 1


@each_kind
async def test_case_46_a_status_that_cannot_be_cleared_does_not_repeat_the_call(world: World) -> None:
    async with world.sidecar():
        handle = await ready(world)
        world.server.faults.set(
            Fault(match=f"PATCH {world.kind.path}/one/status", times=2, error=500, message="not now")
        )
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.delete, handle) == 1
    assert not world.warnings("one")


@each_kind
async def test_cases_46_and_95_a_finalizer_that_cannot_be_dropped_does_not_repeat_the_call(world: World) -> None:
    async with world.sidecar():
        handle = await ready(world)
        await world.until(lambda: world.settled("one"))
        await world.annotate("one", **{world.kind.being_deleted: "yes"})
        world.server.faults.set(Fault(match=f"^PATCH {world.kind.path}/one$", times=2, error=500, message="not now"))
        await world.request("DELETE", f"{world.kind.path}/one")
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.delete, handle) == 1
    assert not world.warnings("one")


@each_kind
async def test_case_44_a_missing_secret_is_named_and_waited_for(world: World) -> None:
    await world.make_secret("login", user="admin")
    async with world.sidecar():
        secret = world.kind.secret("login")
        await ready(world, annotations=secret)
    await world.request("DELETE", "/api/v1/namespaces/default/secrets/login")
    async with world.sidecar():
        await world.delete_content("one")
        await world.until(lambda: "Secret default/login" in (world.error("one") or ""))
        assert world.calls(world.kind.delete) == 0
        await world.make_secret("login", user="admin")
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_7_the_blocker_is_named_also_while_the_snapshot_is_not_ready(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, answer={world.kind.answer: {"ready_to_use": False}}))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.kind.handle in world.status("one"))
        await world.delete_content("one", marked=False)
        await world.until(lambda: world.events("one"))
    (event,) = world.events("one")
    assert event["reason"] == "SnapshotDeletePending"
    assert event["count"] == 1


@each_kind
async def test_promise_1_a_mark_that_somebody_removed_is_put_back_while_a_cut_has_no_answer(world: World) -> None:
    hold = world.hold(world.kind.create, "after")
    async with world.sidecar(driver=type(world.settings().driver)(str(world.driver.socket), 1.5)):
        await world.make_content("one")
        await world.driver.faults.wait_for_held(1)
        await world.patch("one", {"metadata": {"annotations": {world.kind.being_created: None}}})
        await world.delete_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 2)
        assert world.kind.being_created in world.annotations("one")
        world.driver.faults.lift(hold)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_1_an_api_server_that_answers_404_for_a_moment_does_not_make_us_forget(world: World) -> None:
    async with world.sidecar():
        world.server.faults.set(
            Fault(match=f"PATCH {world.kind.path}/one/status", times=1, error=404, message="no page")
        )
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_2_a_change_of_mind_while_the_secret_is_read_counts(world: World) -> None:
    await world.make_secret("login", user="admin")
    secret = world.kind.secret("login")
    async with world.sidecar():
        handle = await ready(world, annotations=secret)
    async with world.sidecar():
        world.server.faults.set(Fault(match="GET .*/secrets/login", hold="before", times=1))
        await world.delete_content("one")
        await world.server.faults.wait_for_held(1)
        await world.patch("one", {"spec": {"deletionPolicy": "Retain"}})
        # What comes after it on the watch is seen after it.
        await ready(world, "later", policy="Retain")
        world.server.faults.clear()
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.delete) == 0
    assert handle in world.stored


async def test_promise_2_a_member_is_not_deleted_singly_either_before_its_group_is_recorded(world: World) -> None:
    async with world.sidecar():
        handle = await ready(world)
        await world.patch("one", {"metadata": {"annotations": {names.MEMBER_OF_GROUP: "group-1"}}})
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert handle in world.stored


@each_kind
async def test_promise_7_a_deletion_that_must_wait_says_so_at_once_whatever_the_backoff(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="ABORTED", message="busy"))
    async with world.sidecar(work=type(world.settings().work)(retry_start=0.05, retry_max=60.0)):
        await world.make_content("one")
        # The eighth try is three seconds after the seventh.
        await world.until(lambda: world.calls(world.kind.create) >= 7)
        await world.delete_content("one")
        await world.until(lambda: "the deletion waits for it" in (world.error("one") or ""), seconds=2.7)


@each_kind
async def test_promise_10_a_release_that_needs_no_driver_does_not_wait_for_deletes_that_hang(world: World) -> None:
    async with world.sidecar():
        for number in range(12):
            await world.make_content(f"hanging-{number}")
        await ready(world, "kept", policy="Retain")
        await world.until(lambda: all(world.ready(f"hanging-{number}") for number in range(12)))
        world.hold(world.kind.delete)
        for number in range(12):
            await world.delete_content(f"hanging-{number}")
        await world.driver.faults.wait_for_held(10)
        await world.delete_content("kept")
        await world.until(lambda: world.content("kept") is None, seconds=5)
        world.driver.faults.clear()


@each_kind
async def test_promise_1_a_name_taken_by_a_cut_without_an_answer_is_not_let_go(world: World) -> None:
    # As with a group whose class was made anew with other parameters meanwhile.
    world.driver.faults.set(Fault(match=world.kind.create, error="DEADLINE_EXCEEDED", error_when="after", times=1))
    taken = world.driver.faults.set(Fault(match=world.kind.create, error="ALREADY_EXISTS"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: "AlreadyExists" in (world.error("one") or ""))
        await world.delete_content("one")
        asked = world.calls(world.kind.create)
        await world.until(lambda: world.calls(world.kind.create) >= asked + 3)
        assert world.kind.being_created in world.annotations("one")
        world.driver.faults.lift(taken)
        await world.until(lambda: world.content("one") is None)
    assert not world.stored


@each_kind
async def test_promise_7_a_content_of_the_same_name_as_one_before_is_told_of_anew(world: World) -> None:
    async with world.sidecar():
        for _ in range(2):
            made = await world.make_content("one")
            await world.until(lambda: world.settled("one"))
            await world.delete_content("one", marked=False)
            uid = made["metadata"]["uid"]
            await world.until(lambda: [e for e in world.events("one") if e["involvedObject"]["uid"] == uid])  # noqa: B023
            await world.annotate("one", **{world.kind.being_deleted: "yes"})
            await world.until(lambda: world.content("one") is None)


@each_kind
async def test_promise_1_a_snapshot_is_not_deleted_before_the_driver_is_done_with_asking_for_it(
    tmp_path: Path, kind: Kind
) -> None:
    """Readiness is asked for by create calls; one that the driver holds would make the snapshot once more."""
    async with make_world(tmp_path, kind, ready_after_seconds=math.inf) as world, AsyncExitStack() as stack:
        await world.make_class()
        driver = replace(world.settings().driver, timeout=0.3)
        await stack.enter_async_context(world.sidecar(driver=driver, work=QUICK))
        await world.make_content("one")
        await world.until(lambda: world.status("one").get(kind.handle))
        held = world.hold(f"^{kind.create} ")
        await world.driver.faults.wait_for_held()
        await world.delete_content("one")
        await world.until(lambda: "the deletion waits for it" in (world.error("one") or ""))
        assert world.calls(kind.delete) == 0
        world.driver.faults.lift(held)
        await world.until(lambda: world.content("one") is None)
        assert not world.stored
        assert not world.driver.faults.held()
