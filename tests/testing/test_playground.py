"""The playground: its pieces started, joined, killed and started again, missed when they die; what is shown of it."""

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snapshotter.testing.client import Json
from snapshotter.testing.playground import objects
from snapshotter.testing.playground.acts.stage import Report
from snapshotter.testing.playground.board import Board, NotSeen, Row, State, row_of
from snapshotter.testing.playground.pieces import Piece, PieceFailed
from snapshotter.testing.playground.running import DirectoryInUse, playground
from snapshotter.testing.playground.views import PlainView, short, size


async def test_a_content_becomes_ready_across_the_death_of_sidecar_and_driver(tmp_path: Path) -> None:
    async with playground(tmp_path) as pieces:
        await pieces.storage.make_volume("vol", b"bytes", 4096)
        await pieces.api.create(objects.snapshot_class())
        await pieces.kill_sidecar()
        await pieces.api.create(objects.content_of_volume("a", "vol"))
        await pieces.kill_driver()
        await pieces.start_driver()
        await pieces.start_sidecar()
        found = await pieces.api.wait_for("VolumeSnapshotContent", "a", is_ready)
        assert found is not None
        handle = found["status"]["snapshotHandle"]
        assert await pieces.storage.read_snapshot(handle) == b"bytes".ljust(4096, b"\0")
        assert [call["method"] for call in await pieces.driver_admin.calls()].count("CreateSnapshot") == 1
        assert await pieces.api_admin.calls()
        async with aiohttp.ClientSession() as http, http.get(pieces.metrics_url) as response:
            assert "csi_sidecar_operations_seconds" in await response.text()
        assert await pieces.terminate_sidecar() == 0
        assert await pieces.terminate_driver() == 0


async def test_arguments_reach_the_driver_and_the_sidecar(tmp_path: Path) -> None:
    async with playground(
        tmp_path, driver_arguments=["--omit-size"], sidecar_arguments=["--snapshot-name-prefix=mine"]
    ) as pieces:
        await pieces.storage.make_volume("vol", b"bytes")
        await pieces.api.create(objects.snapshot_class())
        await pieces.api.create(objects.content_of_volume("a", "vol"))
        found = await pieces.api.wait_for("VolumeSnapshotContent", "a", is_ready)
        assert found is not None
        assert "restoreSize" not in found["status"]
        [snapshot] = (await pieces.storage.held()).snapshots.values()
        assert snapshot.name.startswith("mine-")


async def test_a_death_ends_the_block_and_is_named_with_the_end_of_the_log(tmp_path: Path) -> None:
    async def kill_the_driver() -> None:
        async with playground(tmp_path) as pieces:
            kill(pieces.driver)
            await asyncio.Event().wait()

    with pytest.raises(PieceFailed, match=r"the CSI driver ended in the middle: it was killed by SIGKILL") as failed:
        await kill_the_driver()
    assert str(tmp_path / "logs" / "driver.log") in str(failed.value)
    assert f"serves on unix:{tmp_path / 'csi.sock'}" in str(failed.value)


async def test_a_death_is_named_even_if_a_client_noticed_it_first(tmp_path: Path) -> None:
    async def kill_the_server_and_go_on_asking() -> None:
        async with playground(tmp_path) as pieces:
            kill(pieces.apiserver)
            while True:
                await pieces.api.list("Node")

    with pytest.raises(PieceFailed, match="the API server"):
        await kill_the_server_and_go_on_asking()


async def test_a_process_that_does_not_come_up_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(PieceFailed, match=r"(?s)the CSI driver did not start: it ended with exit code 2.*--page-size"):
        async with playground(tmp_path, driver_arguments=["--page-size=many"]):
            pass


async def test_what_goes_wrong_in_the_block_comes_out_as_it_is_and_leaves_no_process(tmp_path: Path) -> None:
    mishap = LookupError("something in the block")
    pids: list[int] = []

    async def go_wrong() -> None:
        async with playground(tmp_path) as pieces:
            pids.extend(piece.pid for piece in (pieces.apiserver, pieces.driver, pieces.sidecar) if piece.pid)
            raise mishap

    with pytest.raises(LookupError) as failed:
        await go_wrong()
    assert failed.value is mishap
    assert len(pids) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_directory_has_one_playground_at_a_time(tmp_path: Path) -> None:
    async with playground(tmp_path):
        with pytest.raises(DirectoryInUse, match="another playground runs in"):
            async with playground(tmp_path):
                pass


async def test_a_directory_too_deep_for_a_socket_will_do(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 30)
    async with playground(directory) as pieces:
        socket = pieces.socket
        assert directory not in socket.parents
    assert not socket.parent.exists()


def kill(piece: Piece) -> None:
    """As somebody else would."""
    assert piece.pid is not None
    os.kill(piece.pid, signal.SIGKILL)


def is_ready(content: Json | None) -> bool:
    return content is not None and content.get("status", {}).get("readyToUse") is True


def snapshot(metadata: Json | None = None, **status: Any) -> Json:
    return {
        "metadata": {"name": "a", **(metadata or {})},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": status,
    }


CUT: dict[str, Any] = {"boundVolumeSnapshotContentName": "content", "creationTime": "2026-01-01T12:00:00Z"}
CUT_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)

ROWS = {
    "nothing has happened yet": (snapshot(), Row("a", "data", State.WAITING)),
    "with a content it is being cut": (
        snapshot(boundVolumeSnapshotContentName="content"),
        Row("a", "data", State.BEING_CUT),
    ),
    "a time without readiness": (
        snapshot(**CUT, readyToUse=False),
        Row("a", "data", State.NOT_READY, created_at=CUT_AT),
    ),
    "ready, with everything that is known": (
        snapshot(**CUT, readyToUse=True, restoreSize="4Ki"),
        Row("a", "data", State.READY, 4096, CUT_AT),
    ),
    "an error tells more than a time": (
        snapshot(**CUT, error={"message": "it broke"}),
        Row("a", "data", State.FAILING, created_at=CUT_AT, error="it broke"),
    ),
    "being deleted tells most": (
        snapshot({"deletionTimestamp": "2026-01-01T00:00:00Z"}, **CUT, readyToUse=True),
        Row("a", "data", State.DELETING, created_at=CUT_AT),
    ),
    "brought in": (
        {"metadata": {"name": "a"}, "spec": {"source": {"volumeSnapshotContentName": "content"}}},
        Row("a", "content", State.WAITING),
    ),
}


@pytest.mark.parametrize(("given", "expected"), ROWS.values(), ids=ROWS.keys())
def test_row_of(given: Json, expected: Row) -> None:
    assert row_of(given) == expected


SIZES = {
    "unknown": (None, ""),
    "nothing": (0, "0 B"),
    "below a step": (1023, "1023 B"),
    "a whole number": (4 << 20, "4 MiB"),
    "one decimal": (1536, "1.5 KiB"),
    "beyond the last step": (5000 << 40, "5000 TiB"),
}


@pytest.mark.parametrize(("size_bytes", "expected"), SIZES.values(), ids=SIZES.keys())
def test_size(size_bytes: int | None, expected: str) -> None:
    assert size(size_bytes) == expected


def test_long_names_are_shown_by_their_beginning() -> None:
    assert short("nightly") == "nightly"
    assert short("snapshot-" + 64 * "0") == "snapshot-00000000…"


async def test_waiting_for_a_state_in_vain_says_how_the_snapshot_is() -> None:
    with pytest.raises(NotSeen, match=r'a is not there after .* instead of "ready"'):
        await Board(lambda _: None, patience_seconds=0.05).until("a", State.READY)


def test_a_check_that_does_not_hold_is_counted_and_shown_with_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(PlainView())
    report.check("two and two are four", held=True)
    report.check("the moon is cheese", held=False, evidence="rock")
    assert (report.done, report.failed) == (2, 1)
    said = [line.split("s  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["✓ two and two are four", "✗ the moon is cheese (rock)"]
