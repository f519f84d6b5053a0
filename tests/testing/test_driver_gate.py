"""Faults, deadlines and the log of calls: what happens to an RPC on its way into the driver and back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc import StatusCode

from csi_proto import csi_pb2
from csi_proto.csi_pb2 import (
    ControllerModifyVolumeRequest,
    CreateSnapshotRequest,
    CreateSnapshotResponse,
    DeleteSnapshotRequest,
    GetPluginInfoRequest,
    ListSnapshotsRequest,
    ProbeRequest,
)
from csi_proto.csi_pb2_grpc import ControllerStub, GroupControllerStub, IdentityStub
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault

GENEROUS_SECONDS = 20


class Served(NamedTuple):
    driver: Driver
    controller: ControllerStub
    identity: IdentityStub
    channel: grpc.aio.Channel


@asynccontextmanager
async def serving(tmp_path: Path, **options: Any) -> AsyncIterator[Served]:
    """A driver with the volume vol-1, and clients."""
    socket = tmp_path / "csi.sock"
    async with (
        grpc.aio.insecure_channel(f"unix:{socket}", [("grpc.initial_reconnect_backoff_ms", 50)]) as channel,
        Driver.serve(socket, DriverOptions(state=tmp_path / "state", **options)) as driver,
    ):
        if "vol-1" not in driver.volumes:
            await driver.make_volume("vol-1", b"bytes")
        yield Served(driver, ControllerStub(channel), IdentityStub(channel), channel)


def create(name: str = "a") -> CreateSnapshotRequest:
    return CreateSnapshotRequest(name=name, source_volume_id="vol-1")


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


async def code_of(call: Awaitable[Any]) -> StatusCode:
    return (await failure(call)).code()


async def test_a_fault_answers_with_its_code_and_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="^CreateSnapshot vol-1$", error="DATA_LOSS", message="no. {n}", times=2))
        for number in (1, 2):
            error = await failure(served.controller.CreateSnapshot(create()))
            assert (error.code(), error.details()) == (StatusCode.DATA_LOSS, f"no. {number}")
            assert not served.driver.snapshots
        await served.controller.CreateSnapshot(create())


@pytest.mark.parametrize(
    "fault",
    [
        Fault(match="CreateSnapshot", error="UNAVAILABLE", error_when="after"),
        Fault(match="CreateSnapshot", cut="after"),
    ],
    ids=["an error", "a cut"],
)
async def test_a_failure_after_the_effect_leaves_the_effect(tmp_path: Path, fault: Fault) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(fault)
        assert await code_of(served.controller.CreateSnapshot(create())) is StatusCode.UNAVAILABLE
        assert len(served.driver.snapshots) == 1


async def test_a_cut_before_the_effect_prevents_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="CreateSnapshot", cut="before"))
        assert await code_of(served.controller.CreateSnapshot(create())) is StatusCode.UNAVAILABLE
        assert not served.driver.snapshots


@pytest.mark.parametrize("error", ["NO_SUCH_CODE", "OK", 409])
async def test_a_fault_that_makes_no_sense_says_so(tmp_path: Path, error: str | int) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="Probe", error=error))
        failed = await failure(served.identity.Probe(ProbeRequest()))
        assert failed.code() is StatusCode.INTERNAL
        assert f"no gRPC code: {error}" in (failed.details() or "")


async def test_a_held_create_goes_on_when_its_client_has_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateSnapshot", hold="before"))
        await abandon(served, served.controller.CreateSnapshot(create()))
        await eventually(served.driver, lambda: served.driver.calls[0].code == "CANCELLED")

        assert await code_of(served.controller.CreateSnapshot(create())) is StatusCode.ABORTED
        assert served.driver.faults.held() == ["CreateSnapshot vol-1"]
        assert not served.driver.snapshots

        served.driver.faults.lift(hold)
        await eventually(served.driver, lambda: served.driver.calls[0].done_at is not None)
        [snapshot] = served.driver.snapshots
        assert served.driver.calls[0].result_id == snapshot
        assert (await served.controller.CreateSnapshot(create())).snapshot.snapshot_id == snapshot


async def test_a_slow_create_goes_on_when_its_deadline_has_passed(tmp_path: Path) -> None:
    async with serving(tmp_path, create_delay_seconds=1) as served:
        await served.identity.Probe(ProbeRequest())  # the deadline is not spent on connecting
        error = await failure(served.controller.CreateSnapshot(create(), timeout=0.5))
        assert error.code() is StatusCode.DEADLINE_EXCEEDED
        assert not served.driver.snapshots
        await eventually(served.driver, lambda: served.driver.calls[-1].done_at is not None)
        assert len(served.driver.snapshots) == 1


async def test_a_held_delete_goes_on_when_its_client_has_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        snapshot = (await served.controller.CreateSnapshot(create())).snapshot
        delete = DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id)
        hold = served.driver.faults.set(Fault(match=f"^DeleteSnapshot {snapshot.snapshot_id}$", hold="before"))
        await abandon(served, served.controller.DeleteSnapshot(delete))
        assert await code_of(served.controller.DeleteSnapshot(delete)) is StatusCode.ABORTED
        assert served.driver.snapshots
        served.driver.faults.lift(hold)
        await eventually(served.driver, lambda: not served.driver.snapshots)


async def test_a_refused_operation_whose_client_has_gone_troubles_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateSnapshot", hold="before", error="INTERNAL"))
        await abandon(served, served.controller.CreateSnapshot(create()))
        served.driver.faults.lift(hold)
        await served.controller.CreateSnapshot(create())
        assert len(served.driver.snapshots) == 1


async def test_an_answer_held_back_does_not_hold_the_driver(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="CreateSnapshot", hold="after", times=1))
        first = served.controller.CreateSnapshot(create())
        await served.driver.faults.wait_for_held()
        again = await served.controller.CreateSnapshot(create())
        assert list(served.driver.snapshots) == [again.snapshot.snapshot_id]
        await abandon(served, first)
        await eventually(served.driver, lambda: served.driver.faults.held() == [])


async def test_a_held_call_that_only_reads_ends_with_its_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="^Probe $", hold="before"))
        await abandon(served, served.identity.Probe(ProbeRequest()))
        await eventually(served.driver, lambda: served.driver.calls[0].ended_at is not None)
        assert served.driver.faults.held() == []


async def test_other_calls_pass_while_some_are_held(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateSnapshot", hold="before"))
        creates = [asyncio.create_task(create_one(served, f"s{n}")) for n in range(50)]
        await served.driver.faults.wait_for_held(50)
        await served.identity.Probe(ProbeRequest(), timeout=GENEROUS_SECONDS)
        await served.controller.DeleteSnapshot(DeleteSnapshotRequest(snapshot_id="x"), timeout=GENEROUS_SECONDS)
        served.driver.faults.lift(hold)
        await asyncio.gather(*creates)
        assert len(served.driver.snapshots) == 50


ANSWERS: dict[str, tuple[dict[str, object], CreateSnapshotResponse]] = {
    "no id": (
        {"snapshot": {"snapshot_id": ""}},
        CreateSnapshotResponse(snapshot=csi_pb2.Snapshot(source_volume_id="vol-1")),
    ),
    "another source": (
        {"snapshot.source_volume_id": "other", "snapshot.snapshot_id": "s"},
        CreateSnapshotResponse(snapshot=csi_pb2.Snapshot(snapshot_id="s", source_volume_id="other")),
    ),
    "no snapshot at all": ({"snapshot": None}, CreateSnapshotResponse()),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_may_be_nonsense(
    tmp_path: Path, answer: dict[str, object], expected: CreateSnapshotResponse
) -> None:
    async with serving(tmp_path, omit_creation_time=True, omit_size=True, ready_after_seconds=99) as served:
        served.driver.faults.set(Fault(match="CreateSnapshot", answer=answer))
        assert await served.controller.CreateSnapshot(create()) == expected
        assert len(served.driver.snapshots) == 1


async def test_a_list_may_answer_thousands_and_the_same_twice(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        entry = {"snapshot": {"snapshot_id": "s", "creation_time": {"seconds": -1}}}
        served.driver.faults.set(Fault(match="^ListSnapshots s$", answer={"entries": [entry] * 5000}))
        answer = await served.controller.ListSnapshots(ListSnapshotsRequest(snapshot_id="s"))
        assert len(answer.entries) == 5000
        assert answer.entries[4999].snapshot.creation_time.seconds == -1


async def test_an_answer_that_cannot_be_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="Probe", answer={"raedy": None}))
        failed = await failure(served.identity.Probe(ProbeRequest()))
        assert "ProbeResponse has no field 'raedy'" in (failed.details() or "")


async def test_the_first_probes_may_find_it_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path, probes_not_ready=2) as served:
        answers = [(await served.identity.Probe(ProbeRequest())).ready.value for _ in range(4)]
        assert answers == [False, False, True, True]


async def test_the_log_tells_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        request = CreateSnapshotRequest(
            name="a", source_volume_id="vol-1", secrets={"user": "u", "key": "hush"}, parameters={"p": "1"}
        )
        made = await served.controller.CreateSnapshot(request, timeout=GENEROUS_SECONDS, metadata=(("k", "v"),))
        await code_of(served.controller.CreateSnapshot(create("")))

        first, second = served.driver.calls
        assert (first.number, first.name, first.code) == (1, "CreateSnapshot vol-1", "OK")
        assert first.request == {
            "name": "a",
            "source_volume_id": "vol-1",
            "secrets": ["key", "user"],
            "parameters": {"p": "1"},
        }
        assert first.metadata["k"] == "v"
        assert first.timeout_seconds is not None
        assert abs(first.timeout_seconds - GENEROUS_SECONDS) < 5
        assert first.result_id == made.snapshot.snapshot_id
        assert first.ended_at is not None
        assert first.started_at <= first.ended_at <= second.started_at
        assert (second.code, second.message) == ("INVALID_ARGUMENT", "name is missing")
        assert second.timeout_seconds is None
        assert not first.overlaps(second)
        assert "hush" not in repr(served.driver.calls)


async def test_calls_at_the_same_time_are_seen_to_overlap(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateSnapshot", hold="before"))
        creates = [asyncio.create_task(create_one(served, name)) for name in ("a", "b")]
        await served.driver.faults.wait_for_held(2)
        first, second = served.driver.calls
        assert first.overlaps(second)
        assert (first.code, first.ended_at) == (None, None)
        served.driver.faults.lift(hold)
        await asyncio.gather(*creates)
        await served.identity.Probe(ProbeRequest())
        assert first.overlaps(second)
        assert second.overlaps(first)
        assert not first.overlaps(served.driver.log.of("Probe")[0])


async def test_what_is_not_served_is_unimplemented(tmp_path: Path) -> None:
    async with serving(tmp_path, groups=False) as served:
        modify = ControllerModifyVolumeRequest(volume_id="vol-1")
        assert await code_of(served.controller.ControllerModifyVolume(modify)) is StatusCode.UNIMPLEMENTED
        groups = GroupControllerStub(served.channel)
        ask = csi_pb2.GroupControllerGetCapabilitiesRequest()
        assert await code_of(groups.GroupControllerGetCapabilities(ask)) is StatusCode.UNIMPLEMENTED
        assert [call.code for call in served.driver.calls] == ["UNIMPLEMENTED"] * 2


async def test_the_socket_may_go_and_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        snapshot = (await served.controller.CreateSnapshot(create())).snapshot
        await served.driver.stop_serving()
        assert not served.driver.socket.exists()
        assert await code_of(served.identity.Probe(ProbeRequest())) is StatusCode.UNAVAILABLE
        await served.driver.start_serving()
        again = await served.controller.CreateSnapshot(create(), wait_for_ready=True, timeout=GENEROUS_SECONDS)
        assert again.snapshot == snapshot


async def test_a_lost_socket_cuts_off_its_clients_but_not_the_operation(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        hold = served.driver.faults.set(Fault(match="CreateSnapshot", hold="before"))
        call = asyncio.create_task(failure(served.controller.CreateSnapshot(create())))
        await served.driver.faults.wait_for_held()
        await served.driver.stop_serving()
        assert (await call).code() in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}
        served.driver.faults.lift(hold)
        await eventually(served.driver, lambda: len(served.driver.snapshots) == 1)


async def test_the_end_of_the_driver_is_the_end_of_its_operations(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.driver.faults.set(Fault(match="CreateSnapshot", hold="before"))
        call = asyncio.ensure_future(served.controller.CreateSnapshot(create()))
        await served.driver.faults.wait_for_held()
    [outcome] = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(outcome, grpc.aio.AioRpcError | asyncio.CancelledError)
    assert served.driver.faults.held() == []
    async with serving(tmp_path) as served:
        assert not served.driver.snapshots


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "csi.sock").write_text("left behind")
    async with serving(tmp_path) as served:
        info = await served.identity.GetPluginInfo(GetPluginInfoRequest())
        assert info.name == "bytes.csi.example.com"


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long for a socket"):
        async with Driver.serve(tmp_path / ("x" * 108), DriverOptions(state=tmp_path / "state")):
            pass


async def abandon(served: Served, call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> None:
    """Give a call up as soon as it is held."""
    await served.driver.faults.wait_for_held()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def create_one(served: Served, name: str) -> CreateSnapshotResponse:
    return await served.controller.CreateSnapshot(create(name), timeout=GENEROUS_SECONDS)


async def eventually(driver: Driver, condition: Any) -> None:
    """Return once the condition holds; it is looked at whenever the log of calls changes."""
    async with asyncio.timeout(GENEROUS_SECONDS):
        await driver.log.wait_until(lambda _: condition())
