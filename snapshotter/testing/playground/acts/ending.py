"""Everything goes."""

import time
from typing import Final

from snapshotter.testing.playground.acts.stage import Stage, count
from snapshotter.testing.playground.board import State

KINDS: Final = (
    "VolumeSnapshot",
    "VolumeSnapshotContent",
    "VolumeGroupSnapshot",
    "VolumeGroupSnapshotContent",
    "PersistentVolumeClaim",
    "PersistentVolume",
)


async def delete_everything(stage: Stage) -> None:
    stage.step("All snapshots and all claims are deleted")
    snapshots = [name for name, row in stage.board.rows.items() if row.state is not State.GONE]
    for name in snapshots:
        await stage.api.delete("VolumeSnapshot", name)
    for name in snapshots:
        await stage.board.until(name, State.GONE)
    volumes = (await stage.api.list("PersistentVolume")).items
    for claim in stage.volumes:
        await stage.api.delete("PersistentVolumeClaim", claim)
    for volume in volumes:
        await stage.api.wait_for("PersistentVolume", volume["metadata"]["name"], lambda left: left is None)
    left = [f"{kind} {each['metadata']['name']}" for kind in KINDS for each in (await stage.api.list(kind)).items]
    stage.check(
        "the API server has no snapshot, no content, no claim and no volume any more",
        held=not left,
        evidence=", ".join(left) or f"{', '.join(snapshots)} are gone",
    )
    held = await stage.storage.held()
    directory = stage.pieces.directory / "driver"
    files = [file for folder in ("snapshots", "volumes") for file in (directory / folder).iterdir()]
    stage.check(
        "the driver is empty",
        held=not held.snapshots and not held.groups and not held.volumes and not files,
        evidence=f"{count(held.snapshots, 'snapshot')}, {count(held.groups, 'group')}, "
        f"{count(held.volumes, 'volume')} and {count(files, 'file')} of bytes left",
    )
    events = (await stage.api.list("Event")).items
    warned = {event["involvedObject"]["name"] for event in events if event["type"] == "Warning"}
    stage.check(
        "none but lost caused a warning",
        held=warned == {"lost"},
        evidence=f"Warning events are about: {', '.join(sorted(warned)) or 'nothing'}",
    )


async def stop(stage: Stage) -> None:
    stage.step("Everything is stopped")
    asked = time.monotonic()
    codes = [await piece.terminate() for piece in (stage.pieces.controller, stage.pieces.sidecar)]
    stage.check(
        "the controller and the sidecar ended in order",
        held=codes == [0, 0],
        evidence=f"exit codes {codes[0]} and {codes[1]}, {time.monotonic() - asked:.1f} s after SIGTERM",
    )
