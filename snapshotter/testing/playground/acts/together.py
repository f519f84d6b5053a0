"""A database and its log are cut together while they are written to, and restored."""

import asyncio
from typing import Final

from snapshotter.testing.client import Json
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground import objects
from snapshotter.testing.playground.acts.stage import Stage, count, is_ready
from snapshotter.testing.playground.board import PATIENCE_SECONDS, State
from snapshotter.testing.playground.storage import Storage
from snapshotter.testing.playground.views import short, size

LEDGER: Final = "ledger"
JOURNAL: Final = "journal"
"""The claims of the group. A writer writes each number first into the ledger, then into the journal."""
SIZE_BYTES: Final = 1 << 20
NUMBER_BYTES: Final = 8
WRITES_AROUND: Final = 20
"""So many numbers are written before the group is asked for, and after it is cut."""
GROUP: Final = "together"
ANSWER_HELD_BACK: Final = Fault(match="^CreateVolumeGroupSnapshot ", hold="after")
"""The group is cut, and the driver's answer does not leave."""


async def cut_a_group(stage: Stage) -> None:
    stage.step("A group of two claims is cut while they are written to, first the one, then the other")
    for claim in (LEDGER, JOURNAL):
        await stage.make_claim(claim, SIZE_BYTES, app="bank")
    await stage.api.create(objects.group_class())
    writer = Writer(stage.storage, [stage.volumes[claim] for claim in (LEDGER, JOURNAL)])
    writing = stage.pieces.background.create_task(writer.run(), name="writer")
    try:
        await writer.until(WRITES_AROUND)
        await _cut_while_the_controller_dies(stage, writer)
    finally:
        writing.cancel()
    members = await _members(stage)
    for member in members.values():
        await stage.board.until(member["metadata"]["name"], State.READY)
    members = await _members(stage)
    group = await stage.api.get("VolumeGroupSnapshot", GROUP)
    content = await stage.api.get("VolumeGroupSnapshotContent", group["status"]["boundVolumeGroupSnapshotContentName"])
    stored = await stage.storage.held()
    stage.report.shown.picture()
    stage.check(
        "there is one group on the storage, and one snapshot for each claim, ready and with its size",
        held=list(stored.groups) == [content["status"]["volumeGroupSnapshotHandle"]]
        and members.keys() == {LEDGER, JOURNAL}
        and all(member["status"]["restoreSize"] == "1Mi" for member in members.values()),
        evidence=", ".join(
            f"{claim}: {short(member['metadata']['name'])}, {size(SIZE_BYTES)}" for claim, member in members.items()
        ),
    )
    await _restore(stage, members, writer)
    await _ask_in_the_old_version(stage, content)
    await _delete(stage, members)


async def _cut_while_the_controller_dies(stage: Stage, writer: "Writer") -> None:
    fault = await stage.pieces.driver_admin.set_fault(ANSWER_HELD_BACK)
    await stage.api.create(objects.group(GROUP, app="bank"))
    await stage.pieces.driver_admin.wait_for_held(timeout=PATIENCE_SECONDS)
    stage.step("The controller is killed with SIGKILL when the group is cut, and started again")
    await stage.pieces.controller.kill()
    await stage.pieces.driver_admin.lift(fault)
    await writer.until(writer.written + WRITES_AROUND)
    await stage.pieces.controller.start()
    await stage.api.wait_for("VolumeGroupSnapshot", GROUP, is_ready)


async def _members(stage: Stage) -> dict[str, Json]:
    """The snapshots that the group owns, by the claims that they are of."""
    return {
        each["spec"]["source"]["persistentVolumeClaimName"]: each
        for each in (await stage.api.list("VolumeSnapshot")).items
        if any(owner["name"] == GROUP for owner in each["metadata"].get("ownerReferences", ()))
    }


async def _restore(stage: Stage, members: dict[str, Json], writer: "Writer") -> None:
    stage.step("Each member is restored into a new claim")
    numbers = []
    for claim in (LEDGER, JOURNAL):
        name = f"{claim}-restored"
        await stage.make_claim(name, SIZE_BYTES, snapshot=members[claim]["metadata"]["name"])
        numbers.append(int.from_bytes((await stage.read(name))[:NUMBER_BYTES]))
    ledger, journal = numbers
    stage.check(
        "they are of one instant: no number is in the journal that is not in the ledger",
        held=WRITES_AROUND <= journal <= ledger <= journal + 1 and ledger < writer.written,
        evidence=f"the ledger ends with {ledger}, the journal with {journal}; written were {writer.written}",
    )


async def _ask_in_the_old_version(stage: Stage, content: Json) -> None:
    name = content["metadata"]["name"]
    old = await stage.api.get("VolumeGroupSnapshotContent.v1beta1", name)
    infos = content["status"]["volumeSnapshotInfoList"]
    pairs = [{key: info[key] for key in ("volumeHandle", "snapshotHandle")} for info in infos]
    stage.check(
        "a client of v1beta1 sees the members as that version lists them",
        held=old["status"].get("volumeSnapshotHandlePairList") == pairs,
        evidence="converted by the webhook, over TLS",
    )
    label = {"metadata": {"labels": {"seen-by": "v1beta1"}}}
    await stage.api.merge_patch("VolumeGroupSnapshotContent.v1beta1", name, label)
    now = await stage.api.get("VolumeGroupSnapshotContent", name)
    stage.check(
        "what it writes loses nothing of what v1beta1 does not know",
        held=now["status"]["volumeSnapshotInfoList"] == infos and now["metadata"]["labels"] == {"seen-by": "v1beta1"},
        evidence=f"{count(infos, 'member')} with time, size and readiness",
    )


async def _delete(stage: Stage, members: dict[str, Json]) -> None:
    await stage.api.delete("VolumeGroupSnapshot", GROUP)
    await stage.api.wait_for("VolumeGroupSnapshot", GROUP, lambda left: left is None)
    for member in members.values():
        await stage.board.until(member["metadata"]["name"], State.GONE)
    stored = await stage.storage.held()
    restored = [stage.volumes[f"{claim}-restored"] for claim in (LEDGER, JOURNAL)]
    stage.check(
        "the group goes with its members, and what was restored from them stays",
        held=not stored.groups and all(volume in stored.volumes for volume in restored),
        evidence=f"the driver holds {count(stored.groups, 'group')}",
    )


class Writer:
    """Writes numbers into the two volumes of the group, as fast as it goes, each into the ledger first."""

    def __init__(self, storage: Storage, volumes: list[str]) -> None:
        self._storage = storage
        self._volumes = volumes
        self._changed = asyncio.Event()
        self.written = 0
        """The last number that is in both volumes."""

    async def run(self) -> None:
        """Write for ever."""
        while True:
            number = (self.written + 1).to_bytes(NUMBER_BYTES)
            for volume in self._volumes:
                await self._storage.write_volume(volume, number)
            self.written += 1
            self._changed.set()

    async def until(self, number: int) -> None:
        """Return once a number is written. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.written < number:
                self._changed.clear()
                await self._changed.wait()
