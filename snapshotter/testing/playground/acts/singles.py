"""Volumes for claims, snapshots of them, and a new volume from a snapshot."""

import asyncio
import secrets
import time
from typing import Final

from snapshotter import names
from snapshotter.testing.client import Json
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground import objects
from snapshotter.testing.playground.acts.stage import (
    CONTENT_BYTES,
    DATABASE,
    DOCUMENTS,
    SIZE_BYTES,
    Content,
    Stage,
    count,
    digest,
)
from snapshotter.testing.playground.board import State
from snapshotter.testing.playground.storage import StoredSnapshot
from snapshotter.testing.playground.views import facts, size

KEEPING: Final = "bytes-kept"
"""The class of snapshots that outlive their objects."""
COPY_SECONDS: Final = 1.0
"""How long the storage says of the database's snapshot that it is not ready, as one does that still copies."""
READY_WITHIN_SECONDS: Final = 5.0
"""How soon after the storage the status must say that a snapshot is ready."""


async def make_volumes(stage: Stage) -> None:
    stage.step("Two claims get volumes, and the volumes are filled with random bytes")
    await stage.api.create(objects.storage_class())
    for claim, content_bytes in CONTENT_BYTES.items():
        volume = await stage.make_claim(claim, SIZE_BYTES[claim])
        await stage.storage.write_volume(volume, secrets.token_bytes(content_bytes))
        stage.before[claim] = await stage.read(claim)
    held = stage.before
    stage.check(
        "each claim is bound to a volume of its size",
        held=all(len(held[claim]) == SIZE_BYTES[claim] for claim in SIZE_BYTES),
        evidence=", ".join(f"{claim}: {size(len(held[claim]))}, sha256 {digest(held[claim])}" for claim in held),
    )


async def cut_snapshots(stage: Stage) -> None:
    stage.step("Three snapshots are asked for; one is of a claim that does not exist")
    not_ready = Fault(match=f"^CreateSnapshot {stage.volumes[DATABASE]}$", answer={"snapshot.ready_to_use": False})
    copying = await stage.pieces.driver_admin.set_fault(not_ready)
    await stage.api.create(objects.snapshot_class())
    await stage.api.create(objects.snapshot_class(KEEPING, policy="Retain"))
    await stage.api.create(objects.snapshot("nightly", DATABASE))
    await stage.api.create(objects.snapshot("archive", DOCUMENTS, class_name=KEEPING))
    await stage.api.create(objects.snapshot("lost", "no-such-claim"))
    archive = await stage.board.until("archive", State.READY)
    stage.check("archive is ready at once", held=True, evidence=facts(archive))
    await _check_cost(stage, "archive", stage.volumes[DOCUMENTS])
    await stage.board.until("nightly", State.NOT_READY)
    await asyncio.sleep(COPY_SECONDS)
    await stage.pieces.driver_admin.lift(copying)
    said_at = time.monotonic()
    nightly = await stage.board.until("nightly", State.READY)
    took = time.monotonic() - said_at
    stage.report.shown.picture()
    stage.check(
        "nightly is ready soon after its storage says so",
        held=took < READY_WITHIN_SECONDS,
        evidence=f"{facts(nightly)}; {took:.1f} s later",
    )
    contents = [await stage.content_of(name) for name in ("nightly", "archive")]
    stored = (await stage.storage.held()).snapshots
    stage.check(
        "both contents say what the storage says: handle, size and time",
        held=all(_agree(content, stored) for content in contents),
        evidence=", ".join(content.handle for content in contents),
    )
    lost = await stage.board.until("lost", State.FAILING)
    stage.check(
        "lost tells in its status what is wrong",
        held="no-such-claim" in (lost.error or ""),
        evidence=lost.error or "no error",
    )


async def _check_cost(stage: Stage, snapshot: str, volume: str) -> None:
    """One attempt, one call; and no request of the sidecar that only reads."""
    content = await stage.content_of(snapshot)
    await stage.api.wait_for("VolumeSnapshotContent", content.name, _has_no_mark)
    requests = [
        call
        for call in await stage.pieces.api_admin.calls()
        if call["user_agent"].startswith("csi-snapshotter") and f"/{content.name}" in call["path"]
    ]
    reads = [call for call in requests if call["verb"] not in ("PATCH", "PUT", "POST")]
    cuts = [
        call
        for call in await stage.pieces.driver_admin.calls()
        if call["subject"] == volume and call["method"] == "CreateSnapshot"
    ]
    stage.check(
        "it took the sidecar one call and at most three requests, none of them a read",
        held=len(requests) <= 3 and not reads and len(cuts) == 1,
        evidence=f"{count(cuts, 'call')} to the driver, {count(requests, 'request')} to the API server, "
        f"{count(reads, 'read')}",
    )


async def restore_a_snapshot(stage: Stage) -> None:
    stage.step("The database goes on writing, and its snapshot is restored into a new claim")
    await stage.storage.write_volume(stage.volumes[DATABASE], secrets.token_bytes(CONTENT_BYTES[DATABASE]))
    now = await stage.read(DATABASE)
    await stage.make_claim("yesterday", SIZE_BYTES[DATABASE], snapshot="nightly")
    restored = await stage.read("yesterday")
    stage.check(
        "the new claim holds the bytes of the snapshot's instant",
        held=now != stage.before[DATABASE] and restored == stage.before[DATABASE],
        evidence=f"sha256 of the restored volume {digest(restored)}, of the database now {digest(now)}",
    )


def _has_no_mark(content: Json | None) -> bool:
    """The mark is taken off after the snapshot has been recorded: by the last request of a cut."""
    return content is not None and names.BEING_CREATED not in content["metadata"].get("annotations", {})


def _agree(content: Content, stored: dict[str, StoredSnapshot]) -> bool:
    snapshot = stored.get(content.handle)
    return (
        snapshot is not None
        and snapshot.size_bytes == content.size_bytes
        and snapshot.created_at_ns == content.created_at_ns
    )
