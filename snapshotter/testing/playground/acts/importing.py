"""A snapshot outlives its objects, and is brought in again."""

from snapshotter.testing.playground import objects
from snapshotter.testing.playground.acts.stage import DOCUMENTS, SIZE_BYTES, Stage, digest
from snapshotter.testing.playground.board import State


async def hand_over_a_retained_snapshot(stage: Stage) -> None:
    stage.step("archive and its content are deleted, and its retained snapshot is brought in by others")
    archive = await stage.content_of("archive")
    await stage.api.delete("VolumeSnapshot", "archive")
    await stage.board.until("archive", State.GONE)
    await stage.api.delete("VolumeSnapshotContent", archive.name)
    await stage.api.wait_for("VolumeSnapshotContent", archive.name, lambda left: left is None)
    stage.check(
        "both are gone and the snapshot has stayed",
        held=archive.handle in (await stage.storage.held()).snapshots,
        evidence=f"the driver holds {archive.handle}",
    )
    await stage.api.create(objects.content_of_snapshot("imported", archive.handle))
    await stage.api.create(objects.snapshot_of_content("imported", "imported"))
    await stage.board.until("imported", State.READY)
    imported = await stage.content_of("imported")
    stage.check(
        "the imported snapshot has its handle, size and time",
        held=(imported.handle, imported.size_bytes, imported.created_at_ns)
        == (archive.handle, archive.size_bytes, archive.created_at_ns),
        evidence=imported.facts,
    )
    await stage.make_claim("documents-again", SIZE_BYTES[DOCUMENTS], snapshot="imported")
    restored = await stage.read("documents-again")
    stage.check(
        "a claim that is restored from it holds the same bytes as ever",
        held=restored == stage.before[DOCUMENTS],
        evidence=f"sha256 {digest(restored)}",
    )
