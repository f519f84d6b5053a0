"""The sidecar dies in the middle of a cut."""

from snapshotter.testing.client import Json
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground import objects
from snapshotter.testing.playground.acts.stage import DOCUMENTS, Stage
from snapshotter.testing.playground.board import PATIENCE_SECONDS, State
from snapshotter.testing.playground.views import facts


async def kill_the_sidecar(stage: Stage) -> None:
    stage.step("The sidecar is killed with SIGKILL in the middle of a cut, and started again")
    before = (await stage.storage.held()).snapshots
    # The snapshot is cut, and the driver's answer does not leave.
    held_back = Fault(match=f"^CreateSnapshot {stage.volumes[DOCUMENTS]}$", hold="after")
    fault = await stage.pieces.driver_admin.set_fault(held_back)
    await stage.api.create(objects.snapshot("unlucky", DOCUMENTS))
    await stage.pieces.driver_admin.wait_for_held(timeout=PATIENCE_SECONDS)
    await stage.pieces.kill_sidecar()
    unrecorded = [handle for handle in (await stage.storage.held()).snapshots if handle not in before]
    recorded = _handles((await stage.api.list("VolumeSnapshotContent")).items)
    stage.check(
        "the storage has cut a snapshot that the API server has not heard of",
        held=len(unrecorded) == 1 and unrecorded[0] not in recorded,
        evidence=f"{', '.join(unrecorded)} is cut, and no content has this handle",
    )
    await stage.pieces.driver_admin.lift(fault)
    await stage.pieces.start_sidecar()
    unlucky = await stage.board.until("unlucky", State.READY)
    after = [handle for handle in (await stage.storage.held()).snapshots if handle not in before]
    content = await stage.content_of("unlucky")
    stage.check(
        "the new sidecar found that snapshot and did not cut another",
        held=after == unrecorded == [content.handle],
        evidence=facts(unlucky),
    )


def _handles(contents: list[Json]) -> set[str]:
    return {content.get("status", {}).get("snapshotHandle", "") for content in contents}
