"""What the acts of the demo share: the pieces, the board, the report, and what users look up."""

import hashlib
from collections.abc import Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.playground import objects
from snapshotter.testing.playground.board import Board
from snapshotter.testing.playground.running import Pieces
from snapshotter.testing.playground.storage import Storage
from snapshotter.testing.playground.views import Check, View, size

DATABASE: Final = "database"
DOCUMENTS: Final = "documents"
"""The claims of the single snapshots."""
CONTENT_BYTES: Final = {DATABASE: 256 << 10, DOCUMENTS: 64 << 10}
SIZE_BYTES: Final = {DATABASE: 4 << 20, DOCUMENTS: 1 << 20}


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


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the acts play."""

    pieces: Pieces
    board: Board
    report: Report
    volumes: dict[str, str] = field(default_factory=dict)
    """The handle of each claim's volume."""
    before: dict[str, bytes] = field(default_factory=dict)
    """What the volume of each claim held before it was written to."""

    @property
    def api(self) -> KubeClient:
        return self.pieces.api

    @property
    def storage(self) -> Storage:
        return self.pieces.storage

    def step(self, text: str) -> None:
        self.report.shown.step(text)

    def check(self, text: str, *, held: bool, evidence: str = "") -> None:
        self.report.check(text, held=held, evidence=evidence)

    async def make_claim(self, name: str, size_bytes: int, *, snapshot: str | None = None, **labels: str) -> str:
        """A claim, bound; gives the handle of its volume."""
        await self.api.create(objects.claim(name, size_bytes, snapshot=snapshot, **labels))
        found = await self.api.wait_for("PersistentVolumeClaim", name, is_bound) or {}
        volume = await self.api.get("PersistentVolume", found["spec"]["volumeName"])
        self.volumes[name] = volume["spec"]["csi"]["volumeHandle"]
        return self.volumes[name]

    async def read(self, claim: str) -> bytes:
        """All bytes of a claim's volume."""
        return await self.storage.read_volume(self.volumes[claim])

    async def content_of(self, snapshot: str) -> "Content":
        """The content that a snapshot is bound to."""
        status = (await self.api.get("VolumeSnapshot", snapshot))["status"]
        return content(await self.api.get("VolumeSnapshotContent", status["boundVolumeSnapshotContentName"]))


@dataclass(frozen=True, slots=True)
class Content:
    """What a VolumeSnapshotContent says of the storage."""

    name: str
    handle: str
    size_bytes: int | None
    created_at_ns: int

    @property
    def facts(self) -> str:
        cut_at = datetime.fromtimestamp(self.created_at_ns / 1e9, UTC).astimezone()
        return f"{self.handle}, {size(self.size_bytes)}, cut at {cut_at:%H:%M:%S}"


def content(found: Json) -> Content:
    status = found["status"]
    return Content(
        found["metadata"]["name"], status["snapshotHandle"], status.get("restoreSize"), status["creationTime"]
    )


def is_bound(claim: Json | None) -> bool:
    return claim is not None and claim["status"]["phase"] == "Bound"


def is_ready(found: Json | None) -> bool:
    return found is not None and found.get("status", {}).get("readyToUse") is True


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8] + "…"


def count(things: Sized, what: str) -> str:
    number = len(things)
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
