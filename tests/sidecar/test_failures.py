"""What users hear of failures, and what they do not."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from snapshotter.csi.errors import CODES
from snapshotter.model.snapshot import OUTCOME_UNKNOWN
from snapshotter.testing.faults import Fault
from tests.world import World, each_kind

REFUSALS = sorted(status.name for status, code in CODES.items() if code not in OUTCOME_UNKNOWN and status.name != "OK")
OPEN = sorted(status.name for status, code in CODES.items() if code in OUTCOME_UNKNOWN)


@each_kind
@pytest.mark.parametrize("code", REFUSALS)
async def test_case_27_a_refusal_is_told_at_once_and_leaves_no_mark(world: World, code: str) -> None:
    """Case 29, and case 79 for groups."""
    fault = world.driver.faults.set(Fault(match=world.kind.create, error=code, message="cannot\n  do {n}"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.error("one") and world.kind.being_created not in world.annotations("one"))
        spelled = CODES[next(status for status in CODES if status.name == code)]
        assert re.fullmatch(
            rf"{re.escape(world.kind.cut)} failed: {spelled}: cannot do \d+ \(attempt \d+, next in \d+s\)",
            world.error("one") or "",
        )
        world.driver.faults.lift(fault)
        await world.until(lambda: world.ready("one"))
        assert world.error("one") is None
        (event,) = world.warnings("one")
    assert event["reason"] == world.kind.creation_failed
    assert event["source"]["component"] == "csi-snapshotter bytes.csi.example.com"


@each_kind
@pytest.mark.parametrize("code", OPEN)
async def test_case_28_an_open_outcome_keeps_the_mark_and_is_told_when_it_comes_twice(world: World, code: str) -> None:
    """Case 29, and case 79 for groups."""
    hold = world.hold(world.kind.create, skip=1)
    world.driver.faults.lift(hold)
    fault = world.driver.faults.set(Fault(match=world.kind.create, error=code, message="perhaps"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.error("one"))
        assert world.kind.being_created in world.annotations("one")
        assert "(attempt 1," not in (world.error("one") or "")
        assert len({call.request["name"] for call in world.driver.log.of(world.kind.create)}) == 1
        world.driver.faults.lift(fault)
        await world.until(lambda: world.settled("one"))
        assert world.error("one") is None
    assert len(world.stored) == 1


@each_kind
@pytest.mark.parametrize("code", OPEN)
async def test_promise_7_a_first_passing_failure_is_not_told(world: World, code: str) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error=code, times=1))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
    assert not world.warnings("one")
    written = [record.body for record in world.server.requests if record.path.endswith("/one/status")]
    assert not any("error" in str(body) for body in written)


@each_kind
async def test_promise_7_and_case_25_a_failure_is_one_event_that_is_counted_up(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", message="broken in way {n}"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: any(event["count"] >= 3 for event in world.warnings("one")))
    (event,) = world.warnings("one")
    assert "broken in way" in event["message"]
    assert event["involvedObject"]["kind"] == world.kind.content


@dataclass(frozen=True)
class Problem:
    """A content with which nothing can be done, and what users read of it."""

    text: str
    content: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    """The Secret that its annotations name; None: no such annotation."""
    namespace: str | None = None


PROBLEMS = {
    "cases 11 and 81: no class": Problem("needs a class", {"class_name": None}),
    "cases 10 and 81: a missing class": Problem('{kind.snapshot_class} "none" does not exist', {"class_name": "none"}),
    "cases 7 and 82: an empty reference to a secret": Problem(
        "secret name or namespace is missing", name="", namespace=""
    ),
    "cases 12 and 82: half a reference to a secret": Problem("secret name or namespace is missing", name="login"),
    "case 8: a secret that is not there": Problem(
        "credentials from Secret default/no are unavailable", name="no", namespace="default"
    ),
    "cases 32 and 76: no uid": Problem("spec.{kind.ref}.uid is empty", {"uid": ""}),
    "case 32: an unknown reserved parameter": Problem('"csi.storage.k8s.io/wrong"', {"class_name": "wrong"}),
    "a class of another driver": Problem('is for driver "other"', {"class_name": "foreign"}),
}


@each_kind
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
async def test_what_can_be_checked_is_checked_before_the_mark_and_the_call(world: World, problem: Problem) -> None:
    text = problem.text.format(kind=world.kind)
    secret = {world.kind.secret_name: problem.name, world.kind.secret_namespace: problem.namespace}
    annotations = {key: value for key, value in secret.items() if value is not None}
    await world.make_class("wrong", {"csi.storage.k8s.io/wrong": "x"})
    await world.make_class("foreign", driver="other")
    async with world.sidecar():
        await world.make_content("one", annotations=annotations, **problem.content)
        await world.until(lambda: text in (world.error("one") or ""))
        assert world.status("one")["readyToUse"] is False
        await world.until(lambda: world.warnings("one"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
    assert world.calls(world.kind.create) == 0
    marked = [record for record in world.server.requests if world.kind.being_created in str(record.body)]
    assert not marked


@each_kind
async def test_promise_6_and_case_35_trouble_of_the_api_server_is_not_told_to_users(world: World) -> None:
    for status in (409, 500, 503, 429):
        world.server.faults.set(Fault(match=f"PATCH {world.kind.path}", times=1, error=status, message="trouble"))
    world.server.faults.set(Fault(match=f"PATCH {world.kind.path}/two/status", times=1, cut="after"))
    async with world.sidecar():
        await world.make_content("one")
        await world.make_content("two")
        await world.until(lambda: world.ready("one") and world.ready("two"))
    assert not world.server.list("events")
    assert len(world.stored) == 2
    told = [record.body for record in world.server.requests if record.path.endswith("/status")]
    assert not any("trouble" in str(body) for body in told)


@each_kind
async def test_case_23_when_the_mark_cannot_be_removed_the_status_stays_and_only_the_removal_is_repeated(
    world: World,
) -> None:
    async with world.sidecar():
        world.server.faults.set(
            Fault(match=f"PATCH {world.kind.path}/one$", skip=1, times=7, error=500, message="not now")
        )
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
    assert world.calls(world.kind.create) == 1
    assert not world.warnings("one")


@each_kind
async def test_case_16_a_mark_that_was_left_behind_is_removed_with_one_write(world: World) -> None:
    """Case 89 for groups."""
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.settled("one"))
        before, calls = len(world.sidecar_requests()), len(world.driver.calls)
        await world.patch("one", {"metadata": {"annotations": {world.kind.being_created: "yes"}}})
        await world.until(lambda: world.kind.being_created not in world.annotations("one"))
    assert world.sidecar_requests()[before:] == ["PATCH /one"]
    assert len(world.driver.calls) == calls


@each_kind
async def test_cases_28_and_88_a_mark_that_is_there_already_is_not_written_again(world: World) -> None:
    await world.make_content("one", annotations={world.kind.being_created: "yes"})
    async with world.sidecar():
        await world.until(lambda: world.settled("one"))
    assert [request for request in world.sidecar_requests() if "/one" in request] == ["PATCH /one/status", "PATCH /one"]
    assert world.calls(world.kind.create) == 1


@each_kind
async def test_promise_7_an_error_is_gone_one_second_after_the_success(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", times=2))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.error("one"))
        await world.until(lambda: world.ready("one"))
        assert world.error("one") is None


@each_kind
async def test_case_22_an_error_is_gone_with_an_answer_that_is_not_ready_yet(world: World) -> None:
    world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", times=1))
    world.driver.faults.set(Fault(match=world.kind.create, answer={world.kind.answer: {"ready_to_use": False}}))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.kind.handle in world.status("one"))
        assert world.error("one") is None
        assert not world.ready("one")


@each_kind
async def test_a_call_that_takes_too_long_is_repeated_with_the_same_name(world: World) -> None:
    """Case 28."""
    hold = world.hold(world.kind.create, times=1)
    async with world.sidecar(driver=type(world.settings().driver)(str(world.driver.socket), 0.3)):
        await world.make_content("one")
        await world.until(lambda: world.calls(world.kind.create) >= 2)
        await asyncio.sleep(0.1)
        world.driver.faults.lift(hold)
        await world.until(lambda: world.ready("one"))
    assert len(world.stored) == 1


@each_kind
async def test_promise_6_an_error_that_a_late_write_has_left_on_a_ready_snapshot_goes(world: World) -> None:
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        await world.patch("one", {"status": {"error": {"message": "late"}}}, status=True)
        await world.until(lambda: world.error("one") is None)
        assert world.ready("one")
    assert not world.warnings("one")


@each_kind
@pytest.mark.parametrize("name", ["login#x", "login?x=y", "../secrets/login", "%6cogin", ".", "a b"])
async def test_a_reference_that_cannot_be_a_secret_is_refused_and_nothing_is_read(world: World, name: str) -> None:
    await world.make_secret("login", user="admin")
    annotations = world.kind.secret(name)
    async with world.sidecar():
        await world.make_content("one", annotations=annotations)
        await world.until(lambda: "is not a valid Secret name" in (world.error("one") or ""))
    assert not [path for path in world.sidecar_requests("/api/v1") if "secrets" in path]
    assert world.calls(world.kind.create) == 0


@each_kind
@pytest.mark.parametrize("code", [400, 413, 422])
async def test_promise_7_what_the_api_server_will_not_write_is_told(world: World, code: int) -> None:
    """Such as a status that is too large: the driver has done its part, and users would wait without a word."""
    fault = world.server.faults.set(Fault(match="PATCH .*/one/status", error=code, message="it is too much"))
    async with world.sidecar():
        await world.make_content("one")
        await world.until(lambda: world.warnings("one"))
        (event,) = world.warnings("one")
        assert event["reason"] == world.kind.creation_failed
        assert event["message"].startswith(
            f"{world.kind.cut} failed: PATCH {world.kind.path}/one/status: {code}: it is"
        )
        assert world.kind.being_created in world.annotations("one")
        world.server.faults.lift(fault)
        await world.until(lambda: world.settled("one"))
        assert world.error("one") is None
    assert len(world.stored) == 1
