"""The driver's door, over a real socket: introductions, look-ups, and answers that make no sense."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from csi_proto import csi_pb2
from snapshotter.csi.channel import BadAddress, socket_path
from snapshotter.csi.driver import Driver, open_driver
from snapshotter.csi.errors import csi_error
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import BadAnswer, Capabilities, Code, CsiError, DriverAway
from snapshotter.testing import driver as far
from snapshotter.testing.faults import Fault

TIMEOUT = 5.0


@asynccontextmanager
async def opened(socket: Path, timeout: float = TIMEOUT, *, want_groups: bool = False) -> AsyncIterator[Driver]:
    metrics = Metrics(CollectorRegistry())
    async with open_driver(str(socket), metrics, timeout=timeout, log_payloads=True, want_groups=want_groups) as driver:
        yield driver


@asynccontextmanager
async def beside(
    tmp_path: Path, *, want_groups: bool = False, **options: Any
) -> AsyncIterator[tuple[Driver, far.Driver]]:
    """Our door, and the driver behind it."""
    socket = tmp_path / "csi.sock"
    settings = far.DriverOptions(name="d.example", state=tmp_path / "state", **options)
    async with far.Driver.serve(socket, settings) as far_driver, opened(socket, want_groups=want_groups) as driver:
        await far_driver.make_volume("vol", b"bytes")
        yield driver, far_driver


@pytest.mark.parametrize("address", ["/run/csi/socket", "unix:///run/csi/socket"])
def test_a_path_and_a_unix_url_are_addresses(address: str) -> None:
    assert socket_path(address) == "/run/csi/socket"


@pytest.mark.parametrize("address", ["", "csi.sock", "tcp://127.0.0.1:1", "unix:relative", "http:///run/csi/socket"])
def test_anything_else_is_not(address: str) -> None:
    with pytest.raises(BadAddress):
        socket_path(address)


CAPABILITIES = {
    "everything": ({}, Capabilities(create_delete_snapshot=True, list_snapshots=True, get_snapshot=True)),
    "no look-ups": ({"list_snapshots": False, "get_snapshot": False}, Capabilities(create_delete_snapshot=True)),
    "no snapshots": ({"snapshots": False, "list_snapshots": False, "get_snapshot": False}, Capabilities()),
}


@pytest.mark.parametrize(("options", "expected"), CAPABILITIES.values(), ids=CAPABILITIES.keys())
async def test_case_102_what_a_driver_can_do_is_what_it_announces(
    tmp_path: Path, options: Mapping[str, bool], expected: Capabilities
) -> None:
    async with beside(tmp_path, **options) as (driver, _):
        identity = await driver.meet()
    assert identity.name == "d.example"
    assert identity.capabilities == expected


async def test_case_103_an_empty_entry_announces_nothing(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match="ControllerGetCapabilities", answer={"capabilities": [{}]}))
        assert (await driver.meet()).capabilities == Capabilities()


async def test_case_104_a_driver_that_is_not_ready_is_probed_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.csi.driver.PROBE_PERIOD", 0.05)
    async with beside(tmp_path, probes_not_ready=2) as (driver, far_driver):
        await driver.meet()
        assert len(far_driver.log.of("Probe")) == 3


async def test_case_104_a_probe_that_takes_too_long_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.csi.driver.PROBE_PERIOD", 0.05)
    async with beside(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match="Probe", error="DEADLINE_EXCEEDED", times=2))
        await driver.meet()
        assert len(far_driver.log.of("Probe")) == 3


@pytest.mark.parametrize("method", ["GetPluginInfo", "Probe", "ControllerGetCapabilities"])
async def test_case_105_a_driver_that_fails_the_introduction_is_not_met(tmp_path: Path, method: str) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match=method, error="FAILED_PRECONDITION", message="no"))
        with pytest.raises(CsiError, match="FailedPrecondition: no"):
            await driver.meet()
        with pytest.raises(DriverAway):
            await driver.create_snapshot("s", "vol", {}, {})
        assert not far_driver.log.of("CreateSnapshot")


async def test_case_106_an_empty_name_is_refused(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match="GetPluginInfo", answer={"name": ""}))
        with pytest.raises(BadAnswer, match="empty name"):
            await driver.meet()


async def test_a_socket_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path / "none.sock") as driver:
        with pytest.raises(DriverAway, match=r"within 0s: No such file or directory$"):
            await driver.wait_until_connected(0.2)


async def test_a_socket_that_nobody_listens_at_any_more_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with opened(path) as driver:
        with pytest.raises(DriverAway, match=r"within 0s: Connection refused$"):
            await driver.wait_until_connected(0.2)


async def test_a_socket_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        async with opened(path) as driver:
            with pytest.raises(DriverAway, match=r"within 0s$"):
                await driver.wait_until_connected(0.2)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_case_113_code_and_text_are_kept(tmp_path: Path, code: grpc.StatusCode) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        far_driver.faults.set(Fault(match="CreateSnapshot|GetSnapshot", error=code.name, message="for a reason"))
        for call in (driver.create_snapshot("s", "vol", {}, {}), driver.find_snapshot("x", {})):
            with pytest.raises(CsiError) as raised:
                await call
            assert raised.value.code.upper() == code.name.replace("_", "").replace("CANCELLED", "CANCELED")
            assert raised.value.text == "for a reason"


async def test_a_snapshot_is_found_on_whatever_page_it_is(tmp_path: Path) -> None:
    async with beside(tmp_path, get_snapshot=False) as (driver, far_driver):
        await driver.meet()
        wanted = await driver.create_snapshot("s", "vol", {}, {})
        other, ours = {"snapshot": {"snapshot_id": "other"}}, {"snapshot": {"snapshot_id": wanted.handle}}
        pages: tuple[dict[str, object], ...] = (
            {"entries": [other] * 3000, "next_token": "1"},
            {"entries": [other, ours], "next_token": ""},
        )
        for page in pages:
            far_driver.faults.set(Fault(match="ListSnapshots", times=1, answer=page))
        assert (await driver.find_snapshot(wanted.handle, {})).handle == wanted.handle
        assert len(far_driver.log.of("ListSnapshots")) == 2


async def test_a_token_that_is_given_twice_leads_nowhere(tmp_path: Path) -> None:
    async with beside(tmp_path, get_snapshot=False) as (driver, far_driver):
        await driver.meet()
        far_driver.faults.set(Fault(match="ListSnapshots", answer={"entries": [], "next_token": "1"}))
        with pytest.raises(CsiError, match="does not find"):
            await driver.find_snapshot("x", {})
        assert len(far_driver.log.of("ListSnapshots")) == 2


async def test_a_list_without_an_end_is_given_up(tmp_path: Path) -> None:
    async with beside(tmp_path, get_snapshot=False) as (driver, far_driver):
        await driver.meet()
        for number in range(200):
            far_driver.faults.set(
                Fault(match="ListSnapshots", times=1, answer={"entries": [], "next_token": str(number)})
            )
        with pytest.raises(BadAnswer, match="did not come to an end"):
            await driver.find_snapshot("x", {})


async def test_a_driver_that_gets_another_one_s_snapshot_has_not_found_ours(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        wanted = await driver.create_snapshot("s", "vol", {}, {})
        far_driver.faults.set(Fault(match="GetSnapshot", times=1, answer={"snapshot": {"snapshot_id": "other"}}))
        with pytest.raises(CsiError) as raised:
            await driver.find_snapshot(wanted.handle, {})
        assert raised.value.code is Code.NOT_FOUND


class _Garbage(grpc.GenericRpcHandler):
    """Answers every call with bytes that are no message."""

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, _request: bytes, _context: Any) -> bytes:
        return b"\xff\xff\xff\xff"


async def test_an_answer_that_cannot_be_read_is_an_error_and_not_final(tmp_path: Path) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Garbage(),))
    server.add_insecure_port(f"unix:{tmp_path}/csi.sock")
    await server.start()
    try:
        async with opened(tmp_path / "csi.sock") as driver:
            with pytest.raises(BadAnswer, match="answer to GetPluginInfo cannot be read") as raised:
                await driver.meet()
        assert not raised.value.final
    finally:
        await server.stop(None)


async def test_a_snapshot_that_does_not_exist_is_deleted(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        far_driver.faults.set(Fault(match="DeleteSnapshot", error="NOT_FOUND"))
        await driver.delete_snapshot("none", {})


async def test_a_failed_deletion_is_an_error(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        far_driver.faults.set(Fault(match="DeleteSnapshot", error="INTERNAL", message="in use"))
        with pytest.raises(CsiError, match="Internal: in use"):
            await driver.delete_snapshot("snap", {})


async def test_an_answer_without_a_snapshot_is_refused(tmp_path: Path) -> None:
    """Case 26."""
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        wanted = await driver.create_snapshot("s", "vol", {}, {})
        far_driver.faults.set(Fault(match="CreateSnapshot|GetSnapshot", answer={"snapshot": None}))
        with pytest.raises(BadAnswer, match="answered CreateSnapshot without a snapshot"):
            await driver.create_snapshot("s", "vol", {}, {})
        with pytest.raises(BadAnswer, match="answered GetSnapshot without a snapshot"):
            await driver.find_snapshot(wanted.handle, {})


async def test_a_driver_that_comes_back_is_met_anew_whatever_it_can_do_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 11."""
    monkeypatch.setattr("snapshotter.csi.driver.PROBE_PERIOD", 0.05)
    socket = tmp_path / "csi.sock"

    def options(name: str, *, groups: bool) -> far.DriverOptions:
        return far.DriverOptions(name=name, state=tmp_path / "state", groups=groups)

    returned = asyncio.Event()
    async with opened(socket, want_groups=True) as driver:
        async with far.Driver.serve(socket, options("d.example", groups=False)):
            assert not (await driver.meet()).capabilities.groups
            in_touch = asyncio.create_task(driver.keep_in_touch(returned.set), name="keep in touch")
            await asyncio.sleep(0)
        async with far.Driver.serve(socket, options("another.example", groups=False)) as stranger:
            async with asyncio.timeout(20):
                await stranger.log.wait_until(lambda log: bool(log.of("GetPluginInfo")))
            with pytest.raises(DriverAway):
                await driver.create_snapshot("s", "vol", {}, {})
            assert not returned.is_set()
            assert not stranger.log.of("CreateSnapshot")
        async with far.Driver.serve(socket, options("d.example", groups=True)), asyncio.timeout(20):
            await returned.wait()
            assert driver.trouble is None
            assert driver.identity.capabilities.groups
        in_touch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_touch


def broken(code: grpc.StatusCode, text: str) -> CsiError:
    nothing = grpc.aio.Metadata()
    return csi_error(grpc.aio.AioRpcError(code, nothing, nothing, text), {})


def test_a_stream_that_broke_is_not_the_driver_s_last_word() -> None:
    assert broken(grpc.StatusCode.INTERNAL, "the array is on fire").final
    assert broken(grpc.StatusCode.UNKNOWN, "").text == "the driver gave no reason"


async def test_the_request_has_what_was_asked_for(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        await driver.meet()
        await driver.create_snapshot("name", "vol", {"color": "blue"}, {"user": "u"})
        (call,) = far_driver.log.of("CreateSnapshot")
    assert set(call.request) == {"source_volume_id", "name", "secrets", "parameters"}
    assert call.timeout_seconds is not None
    assert 0 < call.timeout_seconds < TIMEOUT + 1
    assert csi_pb2.CreateSnapshotRequest.DESCRIPTOR.fields_by_name["secrets"].number == 3


async def test_what_a_driver_can_do_with_groups_is_asked_only_where_groups_are_wanted(tmp_path: Path) -> None:
    async with beside(tmp_path) as (driver, far_driver):
        assert not (await driver.meet()).capabilities.groups
        assert not far_driver.log.of("GroupControllerGetCapabilities")


async def test_a_driver_that_announces_groups_can_do_groups(tmp_path: Path) -> None:
    async with beside(tmp_path, want_groups=True) as (driver, _):
        capabilities = (await driver.meet()).capabilities
    assert capabilities == Capabilities(
        create_delete_snapshot=True, list_snapshots=True, get_snapshot=True, groups=True
    )


async def test_case_101_a_driver_without_a_group_controller_is_met_all_the_same(tmp_path: Path) -> None:
    async with beside(tmp_path, want_groups=True, groups=False) as (driver, far_driver):
        capabilities = (await driver.meet()).capabilities
        (call,) = far_driver.log.of("GroupControllerGetCapabilities")
    assert call.code == "UNIMPLEMENTED"
    assert not capabilities.groups
    assert capabilities.create_delete_snapshot


async def test_case_101_an_empty_entry_announces_no_groups(tmp_path: Path) -> None:
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        far_driver.faults.set(Fault(match="GroupControllerGetCapabilities", answer={"capabilities": [{}]}))
        assert not (await driver.meet()).capabilities.groups


async def test_a_group_controller_that_fails_for_good_costs_single_snapshots_nothing(tmp_path: Path) -> None:
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        far_driver.faults.set(Fault(match="GroupControllerGetCapabilities", error="INTERNAL", message="no"))
        assert not (await driver.meet()).capabilities.groups
        assert (await driver.create_snapshot("s", "vol", {}, {})).ready


@asynccontextmanager
async def with_groups(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Driver, far.Driver]]:
    """Our door, already introduced, and a driver behind it that has two volumes."""
    async with beside(tmp_path, want_groups=True, **options) as (driver, far_driver):
        await far_driver.make_volume("other", b"more")
        await driver.meet()
        yield driver, far_driver


BOTH = ("vol", "other")


async def test_case_77_a_group_is_cut_looked_up_and_deleted(tmp_path: Path) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        group = await driver.create_group_snapshot("g", BOTH, {}, {})
        assert group.ready
        assert group.created_at_ns is not None
        assert [member.volume for member in group.members] == list(BOTH)
        assert {member.group_handle for member in group.members} == {group.handle}
        assert all(member.size_bytes and member.created_at_ns for member in group.members)
        assert await driver.create_group_snapshot("g", BOTH, {}, {}) == group, "the same name, the same group"

        handles = [member.handle for member in group.members]
        assert await driver.find_group_snapshot(group.handle, handles, {}) == group
        await driver.delete_group_snapshot(group.handle, handles, {})
        assert not far_driver.groups
        assert not far_driver.snapshots


async def test_case_78_a_group_that_is_not_ready_is_understood_as_such(tmp_path: Path) -> None:
    async with with_groups(tmp_path, ready_after_seconds=float("inf")) as (driver, _):
        group = await driver.create_group_snapshot("g", BOTH, {}, {})
    assert not group.ready
    assert [member.ready for member in group.members] == [False, False]


async def test_requests_about_groups_have_what_was_asked_for(tmp_path: Path) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        group = await driver.create_group_snapshot("g", BOTH, {"color": "blue"}, {"user": "u"})
        handles = [member.handle for member in group.members]
        await driver.find_group_snapshot(group.handle, handles, {"user": "u"})
        await driver.delete_group_snapshot(group.handle, handles, {"user": "u"})
        (create,) = far_driver.log.of("CreateVolumeGroupSnapshot")
        (get,) = far_driver.log.of("GetVolumeGroupSnapshot")
        (delete,) = far_driver.log.of("DeleteVolumeGroupSnapshot")
    assert set(create.request) == {"name", "source_volume_ids", "secrets", "parameters"}
    assert create.request["source_volume_ids"] == list(BOTH)
    assert create.request["parameters"] == {"color": "blue"}
    for call in (get, delete):
        assert set(call.request) == {"group_snapshot_id", "snapshot_ids", "secrets"}
        assert call.request["snapshot_ids"] == handles
    for call in (create, get, delete):
        assert call.timeout_seconds is not None
        assert 0 < call.timeout_seconds < TIMEOUT + 1


WRONG_GROUPS: dict[str, tuple[dict[str, object], str]] = {
    "no group at all": ({"group_snapshot": None}, "without a group"),
    "a group without an id": ({"group_snapshot.group_snapshot_id": ""}, "with a group without an id"),
    "a missing member": ({"group_snapshot.snapshots": [0]}, "without"),
    "a doubled member": ({"group_snapshot.snapshots": [0, 1, 1]}, "with doubled"),
    "a foreign member": (
        {"group_snapshot.snapshots": [0, 1, {"snapshot_id": "s", "source_volume_id": "v"}]},
        "with foreign",
    ),
    "a member without an id": ({"group_snapshot.snapshots.0.snapshot_id": ""}, "with a snapshot without an id"),
    "a member of another group": (
        {"group_snapshot.snapshots.0.group_snapshot_id": "else"},
        'and a member "[^"]+" of group "else"',
    ),
}


@pytest.mark.parametrize(("answer", "text"), WRONG_GROUPS.values(), ids=WRONG_GROUPS.keys())
async def test_a_group_that_is_not_the_one_asked_for_is_refused_and_not_lost(
    tmp_path: Path, answer: dict[str, object], text: str
) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match="VolumeGroupSnapshot ", answer=answer, times=2))
        with pytest.raises(BadAnswer, match=f"the driver answered CreateVolumeGroupSnapshot .*{text}") as refused:
            await driver.create_group_snapshot("g", BOTH, {}, {})
        assert not refused.value.final
        (made,) = far_driver.groups.values()
        with pytest.raises(BadAnswer, match=f"the driver answered GetVolumeGroupSnapshot .*{text}"):
            await driver.find_group_snapshot(made.id, made.snapshot_ids, {})
        assert (await driver.create_group_snapshot("g", BOTH, {}, {})).handle == made.id


async def test_a_driver_that_finds_another_group_has_not_found_ours(tmp_path: Path) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        group = await driver.create_group_snapshot("g", BOTH, {}, {})
        answer: dict[str, object] = {
            "group_snapshot.group_snapshot_id": "else",
            "group_snapshot.snapshots.0.group_snapshot_id": "else",
            "group_snapshot.snapshots.1.group_snapshot_id": "else",
        }
        far_driver.faults.set(Fault(match="GetVolumeGroupSnapshot", times=1, answer=answer))
        with pytest.raises(BadAnswer, match=f'with group "else" instead of "{group.handle}"'):
            await driver.find_group_snapshot(group.handle, [member.handle for member in group.members], {})


async def test_a_group_that_does_not_exist_is_not_found_and_is_deleted(tmp_path: Path) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        with pytest.raises(CsiError) as raised:
            await driver.find_group_snapshot("none", ["a", "b"], {})
        assert raised.value.code is Code.NOT_FOUND
        far_driver.faults.set(Fault(match="DeleteVolumeGroupSnapshot", error="NOT_FOUND"))
        await driver.delete_group_snapshot("none", ["a", "b"], {})


@pytest.mark.parametrize("code", ["FAILED_PRECONDITION", "UNAVAILABLE"])
async def test_case_94_code_and_text_of_group_calls_are_kept(tmp_path: Path, code: str) -> None:
    async with with_groups(tmp_path) as (driver, far_driver):
        far_driver.faults.set(Fault(match="VolumeGroupSnapshot ", error=code, message="for a reason"))
        for call in (
            driver.create_group_snapshot("g", BOTH, {}, {}),
            driver.find_group_snapshot("g-1", ["a"], {}),
            driver.delete_group_snapshot("g-1", ["a"], {}),
        ):
            with pytest.raises(CsiError) as raised:
                await call
            assert raised.value.code.upper() == code.replace("_", "")
            assert raised.value.text == "for a reason"
            assert raised.value.final is (code == "FAILED_PRECONDITION")


async def test_no_group_call_is_sent_to_a_driver_that_was_not_met(tmp_path: Path) -> None:
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        for call in (
            driver.create_group_snapshot("g", BOTH, {}, {}),
            driver.find_group_snapshot("g-1", ["a"], {}),
            driver.delete_group_snapshot("g-1", ["a"], {}),
        ):
            with pytest.raises(DriverAway):
                await call
        assert not far_driver.calls


class Forbidden(Exception):
    """Not now."""


async def test_no_call_about_snapshots_is_sent_without_a_permit(tmp_path: Path) -> None:
    def permit() -> None:
        raise Forbidden

    async with (
        beside(tmp_path) as (_, far_driver),
        open_driver(
            str(tmp_path / "csi.sock"),
            Metrics(CollectorRegistry()),
            timeout=TIMEOUT,
            log_payloads=True,
            want_groups=True,
            permit=permit,
        ) as driver,
    ):
        await driver.meet()
        met = len(far_driver.calls)
        for call in (
            driver.create_snapshot("s", "vol", {}, {}),
            driver.find_snapshot("s", {}),
            driver.delete_snapshot("s", {}),
            driver.create_group_snapshot("g", BOTH, {}, {}),
            driver.find_group_snapshot("g-1", ["a"], {}),
            driver.delete_group_snapshot("g-1", ["a"], {}),
        ):
            with pytest.raises(Forbidden):
                await call
        assert len(far_driver.calls) == met


@pytest.mark.parametrize("kind", ["single", "group"])
async def test_promise_1_a_stranger_that_knows_nothing_of_a_snapshot_has_not_deleted_it(
    tmp_path: Path, kind: str
) -> None:
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        await driver.meet()
        hold = far_driver.faults.set(Fault(match="Delete", hold="before", error="NOT_FOUND"))
        delete = driver.delete_snapshot("x", {}) if kind == "single" else driver.delete_group_snapshot("x", (), {})
        deleting = asyncio.create_task(delete)
        await far_driver.faults.wait_for_held(1)
        # The connection is lost meanwhile, so the answer may come from anybody.
        driver._lose("gone")
        far_driver.faults.lift(hold)
        with pytest.raises(CsiError):
            await deleting


async def test_a_driver_that_cannot_say_now_whether_it_can_do_groups_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.csi.driver.PROBE_PERIOD", 0.05)
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        far_driver.faults.set(Fault(match="GroupControllerGetCapabilities", error="UNAVAILABLE", times=2))
        assert (await driver.meet()).capabilities.groups
        far_driver.faults.set(Fault(match="GroupControllerGetCapabilities", error="UNAVAILABLE"))
        assert not (await driver.meet()).capabilities.groups


async def test_promise_11_a_driver_that_is_lost_while_it_is_asked_about_groups_is_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.csi.driver.GROUP_QUESTIONS", 1)
    async with beside(tmp_path, want_groups=True) as (driver, far_driver):
        await driver.meet()
        returned = asyncio.Event()
        in_touch = asyncio.create_task(driver.keep_in_touch(returned.set), name="keep in touch")
        await asyncio.sleep(0)
        await far_driver.stop_serving()
        far_driver.faults.set(Fault(match="GroupControllerGetCapabilities", hold="before", times=1))
        await far_driver.start_serving()
        async with asyncio.timeout(20):
            await far_driver.faults.wait_for_held()
            await far_driver.stop_serving()
            await far_driver.start_serving()
            await returned.wait()
            assert driver.identity.capabilities.groups
        in_touch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_touch
