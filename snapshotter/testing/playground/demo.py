"""`snapshotter demo`: a volume's snapshots from the wish to the storage and back, with a check for each claim.

There is no snapshot-controller in it; the demo makes the contents in its place, and marks them for deletion.
"""

import asyncio
import hashlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Sized
from pathlib import Path
from typing import Final

import aiohttp

from snapshotter import names
from snapshotter.testing.admin import AdminError
from snapshotter.testing.client import ApiFailure, Json
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground import interruption, objects
from snapshotter.testing.playground.board import PATIENCE_SECONDS, Board, NotSeen, Row, State, row_of
from snapshotter.testing.playground.pieces import PieceFailed
from snapshotter.testing.playground.running import DirectoryInUse, Pieces, playground
from snapshotter.testing.playground.storage import Storage, StoredSnapshot
from snapshotter.testing.playground.views import Check, View, facts, size, view

INTRODUCTION: Final = (
    "Volume snapshots without a cluster: separate processes, real HTTP and a real Unix socket, bytes in files. "
    "The demo plays the users and the snapshot-controller."
)

FAILED: Final = 1
"""The exit code when a check did not hold."""

DATABASE: Final = "database"
DOCUMENTS: Final = "documents"
"""The volumes of the single snapshots."""
CONTENT_BYTES: Final = {DATABASE: 256 << 10, DOCUMENTS: 64 << 10}
SIZE_BYTES: Final = {DATABASE: 4 << 20, DOCUMENTS: 1 << 20}

LEDGER: Final = "ledger"
JOURNAL: Final = "journal"
"""The volumes of the group. A writer writes each number first into the ledger, then into the journal."""
NUMBER_BYTES: Final = 8
WRITES_AROUND: Final = 20
"""So many numbers are written before the group is asked for, and after it is cut."""

NOT_READY_YET: Final = Fault(match=f"^CreateSnapshot {DATABASE}$", answer={"snapshot.ready_to_use": False})
"""What the driver says of the database's snapshot for a while, as a storage does that still copies."""
COPY_SECONDS: Final = 1.0
"""How long it says so."""
READY_WITHIN_SECONDS: Final = 5.0
"""How soon after the storage the status must say that a snapshot is ready."""
ANSWER_HELD_BACK: Final = Fault(match=f"^CreateSnapshot {DOCUMENTS}$", hold="after")
"""The snapshot is cut, and the driver's answer does not leave."""


def run(keep: Path | None) -> int:
    """The exit code: 0 when every check held, 1 otherwise, 128 and the signal's number when a signal ended it.

    What the demo leaves is in `keep`. Without it nothing is left, but for the logs of a demo that failed.
    """
    directory = keep or Path(tempfile.mkdtemp(prefix="snapshotter-demo-"))
    code = 0
    try:
        with view() as shown:
            code = _shown(directory, shown)
    finally:
        if keep is None and code != FAILED:
            shutil.rmtree(directory)
    return code


def _shown(directory: Path, shown: View) -> int:
    try:
        return interruption.run(_demo(directory, shown))
    except interruption.Interrupted as end:
        shown.end("Interrupted; everything is stopped.", good=False)
        return end.exit_code


async def _demo(directory: Path, shown: View) -> int:
    report = Report(shown)
    started = time.monotonic()
    try:
        shown.begin(INTRODUCTION)
        shown.step("An API server, a CSI driver, its provisioner and sidecar, the controller and the webhook start")
        async with playground(directory) as pieces:
            board = Board(shown.row)
            following = pieces.background.create_task(board.follow(pieces.api), name="board")
            try:
                await Demo(pieces, board, report).run(time.monotonic() - started)
            finally:
                following.cancel()
    except BrokenPipeError:
        raise
    except (NotSeen, PieceFailed, ApiFailure, AdminError, aiohttp.ClientError, DirectoryInUse, OSError) as error:
        report.check("the demo got to its end", held=False, evidence=str(error))
    took = time.monotonic() - started
    if report.failed:
        shown.end(f"{report.failed} of {report.done} checks failed. Logs: {directory / 'logs'}", good=False)
        return FAILED
    shown.end(f"All {report.done} checks held, in {took:.1f} s.", good=True)
    return 0


class Report:
    """Counts the checks, and shows them."""

    def __init__(self, shown: View) -> None:
        self.shown = shown
        self.done = 0
        self.failed = 0

    def check(self, text: str, *, held: bool, evidence: str = "") -> None:
        self.done += 1
        self.failed += not held
        self.shown.check(Check(text, held, evidence))


class Demo:
    """The story."""

    def __init__(self, pieces: Pieces, board: Board, report: Report) -> None:
        self._pieces = pieces
        self._api = pieces.api
        self._storage = pieces.storage
        self._board = board
        self._step = report.shown.step
        self._picture = report.shown.picture
        self._check = report.check
        self._bytes: dict[str, bytes] = {}
        """What each volume held before it was written to."""

    async def run(self, start_seconds: float) -> None:
        pieces = self._pieces
        programs = (
            pieces.apiserver,
            pieces.driver,
            pieces.sidecar,
            pieces.controller,
            pieces.provisioner,
            pieces.webhook,
        )
        pids = [str(piece.pid) for piece in programs]
        self._check(
            "all six serve, as processes of their own",
            held=len(set(pids)) == 6,
            evidence=f"process ids {', '.join(pids)}; up in {start_seconds:.1f} s",
        )
        await self._make_volumes()
        await self._cut_snapshots()
        await self._write_to_a_volume()
        await self._kill_the_sidecar()
        await self._hand_over_a_retained_snapshot()
        await self._cut_a_group()
        await self._delete_everything()
        await self._stop()

    async def _make_volumes(self) -> None:
        self._step("Two volumes are filled with random bytes")
        for volume, content_bytes in CONTENT_BYTES.items():
            await self._storage.make_volume(volume, secrets.token_bytes(content_bytes), SIZE_BYTES[volume])
            self._bytes[volume] = await self._storage.read_volume(volume)
        self._check(
            "the driver holds the volumes",
            held=all(len(self._bytes[volume]) == SIZE_BYTES[volume] for volume in SIZE_BYTES),
            evidence=", ".join(
                f"{name}: {size(len(held))}, sha256 {_digest(held)}" for name, held in self._bytes.items()
            ),
        )

    async def _cut_snapshots(self) -> None:
        self._step("Three contents ask for snapshots; one names a volume that does not exist")
        copying = await self._pieces.driver_admin.set_fault(NOT_READY_YET)
        await self._api.create(objects.snapshot_class())
        await self._api.create(objects.content_of_volume("nightly", DATABASE))
        await self._api.create(objects.content_of_volume("archive", DOCUMENTS, policy="Retain"))
        await self._api.create(objects.content_of_volume("lost", "no-such-volume"))
        archive = await self._board.until("archive", State.READY)
        self._check("archive is ready at once", held=True, evidence=facts(archive))
        await self._api.wait_for("VolumeSnapshotContent", "archive", _has_no_mark)
        await self._check_cost("archive", DOCUMENTS)
        cut = await self._board.until("nightly", State.NOT_READY)
        await asyncio.sleep(COPY_SECONDS)
        await self._pieces.driver_admin.lift(copying)
        said_at = time.monotonic()
        nightly = await self._board.until("nightly", State.READY)
        took = time.monotonic() - said_at
        self._picture()
        self._check(
            "nightly is ready soon after its storage says so",
            held=nightly.handle == cut.handle and took < READY_WITHIN_SECONDS,
            evidence=f"{facts(nightly)}; {took:.1f} s later",
        )
        stored = (await self._storage.held()).snapshots
        self._check(
            "both statuses say what the storage says: handle, size and time",
            held=all(_agree(row, stored) for row in (nightly, archive)),
        )
        lost = await self._board.until("lost", State.FAILING)
        self._check(
            "lost tells in its status what is wrong",
            held="no-such-volume" in (lost.error or ""),
            evidence=lost.error or "no error",
        )

    async def _check_cost(self, content: str, volume: str) -> None:
        """One attempt, one call; and no request that only reads."""
        requests = [
            call
            for call in await self._pieces.api_admin.calls()
            if call["user_agent"].startswith("csi-snapshotter") and f"/{content}" in call["path"]
        ]
        reads = [call for call in requests if call["verb"] not in ("PATCH", "PUT", "POST")]
        calls = [call for call in await self._pieces.driver_admin.calls() if call["subject"] == volume]
        self._check(
            "it took one call and at most three requests, none of them a read",
            held=len(requests) <= 3 and not reads and len(calls) == 1,
            evidence=f"{_count(calls, 'call')} to the driver, {_count(requests, 'request')} to the API server, "
            f"{_count(reads, 'read')}",
        )

    async def _write_to_a_volume(self) -> None:
        self._step("The database goes on writing")
        nightly = self._board.rows["nightly"]
        await self._storage.write_volume(DATABASE, secrets.token_bytes(CONTENT_BYTES[DATABASE]))
        now = await self._storage.read_volume(DATABASE)
        kept = await self._storage.read_snapshot(nightly.handle or "")
        self._check(
            "its snapshot still holds the bytes of its instant",
            held=now != self._bytes[DATABASE] and kept == self._bytes[DATABASE],
            evidence=f"sha256 of the snapshot {_digest(kept)}, of the volume now {_digest(now)}",
        )

    async def _kill_the_sidecar(self) -> None:
        self._step("The sidecar is killed with SIGKILL in the middle of a cut, and started again")
        before = (await self._storage.held()).snapshots
        fault = await self._pieces.driver_admin.set_fault(ANSWER_HELD_BACK)
        await self._api.create(objects.content_of_volume("unlucky", DOCUMENTS))
        await self._pieces.driver_admin.wait_for_held(timeout=PATIENCE_SECONDS)
        await self._pieces.kill_sidecar()
        unrecorded = [handle for handle in (await self._storage.held()).snapshots if handle not in before]
        row = row_of(await self._api.get("VolumeSnapshotContent", "unlucky"))
        self._check(
            "the storage has cut a snapshot that the API server has not heard of",
            held=len(unrecorded) == 1 and row.handle is None,
            evidence=f"{', '.join(unrecorded)} is cut, unlucky has no handle",
        )
        await self._pieces.driver_admin.lift(fault)
        await self._pieces.start_sidecar()
        unlucky = await self._board.until("unlucky", State.READY)
        after = [handle for handle in (await self._storage.held()).snapshots if handle not in before]
        self._check(
            "the new sidecar found that snapshot and did not cut another",
            held=after == unrecorded == [unlucky.handle],
            evidence=facts(unlucky),
        )

    async def _hand_over_a_retained_snapshot(self) -> None:
        self._step("archive is deleted, and its retained snapshot brought in by another content")
        archive = self._board.rows["archive"]
        await objects.delete_content(self._api, "archive")
        await self._board.until("archive", State.GONE)
        self._check(
            "the content is gone and its snapshot has stayed",
            held=archive.handle in (await self._storage.held()).snapshots,
            evidence=f"the driver holds {archive.handle}",
        )
        await self._api.create(objects.content_of_snapshot("imported", archive.handle or ""))
        imported = await self._board.until("imported", State.READY)
        self._check(
            "the imported content has its handle, size and time",
            held=_what_is_stored(imported) == _what_is_stored(archive),
            evidence=facts(imported),
        )
        kept = await self._storage.read_snapshot(imported.handle or "")
        self._check(
            "the snapshot holds the same bytes as ever",
            held=kept == self._bytes[DOCUMENTS],
            evidence=f"sha256 {_digest(kept)}",
        )

    async def _cut_a_group(self) -> None:
        self._step("A group of two volumes is cut while they are written to, first the one, then the other")
        for volume in (LEDGER, JOURNAL):
            await self._storage.make_volume(volume, bytes(NUMBER_BYTES), SIZE_BYTES[DOCUMENTS])
        await self._api.create(objects.group_class())
        writer = Writer(self._storage)
        writing = self._pieces.background.create_task(writer.run(), name="writer")
        try:
            await writer.until(WRITES_AROUND)
            await self._api.create(objects.content_of_volumes("together", LEDGER, JOURNAL))
            content = await self._api.wait_for("VolumeGroupSnapshotContent", "together", _is_ready_group) or {}
            await writer.until(writer.written + WRITES_AROUND)
        finally:
            writing.cancel()
        members = {member["volumeHandle"]: member for member in content["status"]["volumeSnapshotInfoList"]}
        self._check(
            "the group is ready, and so is every member, with its size",
            held=set(members) == {LEDGER, JOURNAL}
            and all(
                member["readyToUse"] and member["restoreSize"] == SIZE_BYTES[DOCUMENTS] for member in members.values()
            ),
            evidence=", ".join(f"{volume}: {member['snapshotHandle']}" for volume, member in members.items()),
        )
        ledger, journal = [
            _number(await self._storage.read_snapshot(members[volume]["snapshotHandle"]))
            for volume in (LEDGER, JOURNAL)
        ]
        self._check(
            "its members are of one instant: no number is in the journal that is not in the ledger",
            held=WRITES_AROUND <= journal <= ledger <= journal + 1 and ledger < writer.written,
            evidence=f"the ledger ends with {ledger}, the journal with {journal}; written were {writer.written}",
        )
        await self._ask_in_the_old_version(content)
        await objects.delete_group_content(self._api, "together")
        await self._api.wait_for("VolumeGroupSnapshotContent", "together", lambda left: left is None)
        stored = await self._storage.held()
        left = [member for member in members.values() if member["snapshotHandle"] in stored.snapshots]
        self._check(
            "the group went with its content, and its members with it",
            held=not stored.groups and not left,
            evidence=f"the driver holds {_count(stored.groups, 'group')} and {_count(left, 'member')} of it",
        )

    async def _ask_in_the_old_version(self, content: Json) -> None:
        old = await self._api.get("VolumeGroupSnapshotContent.v1beta1", "together")
        infos = content["status"]["volumeSnapshotInfoList"]
        pairs = [{key: info[key] for key in ("volumeHandle", "snapshotHandle")} for info in infos]
        self._check(
            "a client of v1beta1 sees the members as that version lists them",
            held=old["status"].get("volumeSnapshotHandlePairList") == pairs,
            evidence="converted by the webhook, over TLS",
        )
        label = {"metadata": {"labels": {"seen-by": "v1beta1"}}}
        await self._api.merge_patch("VolumeGroupSnapshotContent.v1beta1", "together", label)
        now = await self._api.get("VolumeGroupSnapshotContent", "together")
        self._check(
            "what it writes loses nothing of what v1beta1 does not know",
            held=now["status"]["volumeSnapshotInfoList"] == infos
            and now["metadata"]["labels"] == {"seen-by": "v1beta1"},
            evidence=f"{_count(infos, 'member')} with time, size and readiness",
        )

    async def _delete_everything(self) -> None:
        self._step("All contents are deleted, with policy Delete")
        left = [name for name, row in self._board.rows.items() if row.state is not State.GONE]
        for name in left:
            await objects.delete_content(self._api, name)
        for name in left:
            await self._board.until(name, State.GONE)
        contents = (await self._api.list("VolumeSnapshotContent")).items
        self._check(
            "the API server has no contents any more", held=not contents, evidence=f"{', '.join(left)} are gone"
        )
        snapshots = (await self._storage.held()).snapshots
        files = list((self._pieces.directory / "driver" / "snapshots").iterdir())
        self._check(
            "the driver holds no snapshot any more",
            held=not snapshots and not files,
            evidence=f"{_count(snapshots, 'record')} and {_count(files, 'file')} of bytes left",
        )
        events = (await self._api.list("Event")).items
        warned = {event["involvedObject"]["name"] for event in events if event["type"] == "Warning"}
        self._check(
            "none but lost caused a warning",
            held=warned == {"lost"},
            evidence=f"Warning events are about: {', '.join(sorted(warned)) or 'nothing'}",
        )

    async def _stop(self) -> None:
        self._step("Everything is stopped")
        asked = time.monotonic()
        code = await self._pieces.terminate_sidecar()
        self._check(
            "the sidecar ended in order",
            held=code == 0,
            evidence=f"exit code {code}, {time.monotonic() - asked:.1f} s after SIGTERM",
        )


class Writer:
    """Writes numbers into the two volumes of the group, as fast as it goes, each into the ledger first."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._changed = asyncio.Event()
        self.written = 0
        """The last number that is in both volumes."""

    async def run(self) -> None:
        """Write for ever."""
        while True:
            number = (self.written + 1).to_bytes(NUMBER_BYTES)
            for volume in (LEDGER, JOURNAL):
                await self._storage.write_volume(volume, number)
            self.written += 1
            self._changed.set()

    async def until(self, number: int) -> None:
        """Return once a number is written. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.written < number:
                self._changed.clear()
                await self._changed.wait()


def _number(content: bytes) -> int:
    """The last number that was written into a volume when it was cut."""
    return int.from_bytes(content[:NUMBER_BYTES])


def _is_ready_group(content: Json | None) -> bool:
    return content is not None and content.get("status", {}).get("readyToUse") is True


def _has_no_mark(content: Json | None) -> bool:
    """The mark is taken off after the snapshot has been recorded: by the last request of a cut."""
    return content is not None and names.BEING_CREATED not in content["metadata"].get("annotations", {})


def _agree(row: Row, stored: dict[str, StoredSnapshot]) -> bool:
    snapshot = stored.get(row.handle or "")
    return (
        snapshot is not None
        and snapshot.size_bytes == row.size_bytes
        and row.created_at is not None
        and abs(row.created_at.timestamp() - snapshot.created_at_ns / 1e9) < 1e-3
    )


def _what_is_stored(row: Row) -> tuple[object, ...]:
    return row.handle, row.size_bytes, row.created_at


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8] + "…"


def _count(things: Sized, what: str) -> str:
    number = len(things)
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
