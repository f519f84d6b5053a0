"""What is to be seen of the VolumeSnapshots: one row each, kept up to date by a watch."""

import asyncio
import dataclasses
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from snapshotter.testing.client import ApiFailure, Change, Json, KubeClient
from snapshotter.testing.quantities import size_bytes

PATIENCE_SECONDS: Final = 20.0
"""How long is waited for something that takes two or three seconds as a rule."""


class State(enum.StrEnum):
    """How far a snapshot is, in words."""

    WAITING = "waiting"
    BEING_CUT = "being cut"
    NOT_READY = "cut, not ready yet"
    READY = "ready"
    FAILING = "failing"
    DELETING = "being deleted"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Row:
    """What users look at in a VolumeSnapshot."""

    name: str
    source: str
    """The claim, or the content that was brought in."""
    state: State
    size_bytes: int | None = None
    created_at: datetime | None = None
    error: str | None = None


class NotSeen(Exception):
    """What was waited for did not come about."""


def row_of(snapshot: Json) -> Row:
    status = snapshot.get("status", {})
    size = status.get("restoreSize")
    created_at = status.get("creationTime")
    return Row(
        name=snapshot["metadata"]["name"],
        source=next(iter(snapshot["spec"]["source"].values())),
        state=_state(snapshot["metadata"], status),
        size_bytes=None if size is None else size_bytes(size),
        created_at=None if created_at is None else datetime.fromisoformat(created_at),
        error=status.get("error", {}).get("message"),
    )


def _state(metadata: Json, status: Json) -> State:
    if "deletionTimestamp" in metadata:
        return State.DELETING
    if "error" in status:
        return State.FAILING
    if status.get("readyToUse"):
        return State.READY
    if "creationTime" in status:
        return State.NOT_READY
    return State.BEING_CUT if "boundVolumeSnapshotContentName" in status else State.WAITING


class Board:
    """The rows by the snapshots' names, in the order in which they came. Rows of deleted snapshots stay."""

    def __init__(self, changed: Callable[[Row], None], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._rows: dict[str, Row] = {}
        self._tell = changed
        self._patience_seconds = patience_seconds
        self._changed = asyncio.Event()

    @property
    def rows(self) -> Mapping[str, Row]:
        return MappingProxyType(self._rows)

    async def follow(self, api: KubeClient) -> None:
        """Keep up to date, for as long as the API server is there."""
        try:
            async for change in api.follow("VolumeSnapshot"):
                self._learn(change)
        except ApiFailure as error:
            if not error.unreachable:
                raise

    async def until(self, name: str, *states: State) -> Row:
        """The snapshot's row once it is in one of these states. Raises `NotSeen`."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                while (row := self._rows.get(name)) is None or row.state not in states:
                    self._changed.clear()
                    await self._changed.wait()
                return row
        except TimeoutError:
            last = self._rows.get(name)
            found = "is not there" if last is None else f'is "{last.state}"'
            because = f": {last.error}" if last is not None and last.error else ""
            raise NotSeen(
                f'{name} {found} after {self._patience_seconds:g}s instead of "{states[0]}"{because}'
            ) from None

    def _learn(self, change: Change) -> None:
        row = row_of(change.object)
        if change.type == "DELETED":
            row = dataclasses.replace(row, state=State.GONE, error=None)
        if row != self._rows.get(row.name):
            self._rows[row.name] = row
            self._changed.set()
            self._tell(row)
