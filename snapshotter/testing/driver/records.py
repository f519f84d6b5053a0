"""The records of volumes, snapshots and groups: what they hold, and the tables that keep them across restarts.

`state.py` puts the tables and the bytes together; `journal.py` is the database below.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from snapshotter.testing.driver.journal import Journal


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    """The name under which it was asked for; a repeated request is recognised by it."""
    size_bytes: int
    from_snapshot: str = ""
    from_volume: str = ""
    published: dict[str, bool] = {}
    """The nodes that have it, each with whether it may only read."""
    sequence: int = 0
    """Its place in lists; never given twice."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    """Empty for the member of a group: nobody asked for it by a name of its own."""
    volume_id: str
    size_bytes: int
    created_at_ns: int
    ready_at_ns: int | None
    """When it becomes ready to use; None: not until it is told to."""
    group_id: str = ""
    parameters: dict[str, str] = {}
    sequence: int = 0

    def ready(self, now_ns: int) -> bool:
        return self.ready_at_ns is not None and self.ready_at_ns <= now_ns


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots of several volumes at one instant. They come and go together."""

    id: str
    name: str
    volume_ids: list[str]
    snapshot_ids: list[str]
    """The members, in the order of their volumes."""
    created_at_ns: int
    parameters: dict[str, str] = {}
    sequence: int = 0


Record = TypeVar("Record", bound=Volume | Snapshot | Group)
RecordOfBytes = TypeVar("RecordOfBytes", bound=Volume | Snapshot)


class Table(Generic[Record]):
    """The records of one kind, in the order in which they were made.

    Reading is from memory; every change is in the database before it can be seen.
    """

    def __init__(self, kind: type[Record], journal: Journal) -> None:
        self._kind: type[Record] = kind
        self._journal = journal
        self._by_id: dict[str, Record] = {}
        self._by_name: dict[str, Record] = {}
        for sequence, body in journal.rows(kind.__name__):
            record = msgspec.json.decode(body, type=kind)
            self._remember(msgspec.structs.replace(record, sequence=sequence))

    @property
    def by_id(self) -> Mapping[str, Record]:
        return MappingProxyType(self._by_id)

    @property
    def by_name(self) -> Mapping[str, Record]:
        return MappingProxyType(self._by_name)

    def insert(self, made: Iterable[Record]) -> list[Record]:
        """Add the records, all or none; they come back with their sequence."""
        inserted = []
        with self._journal.transaction():
            for record in made:
                sequence = self._journal.insert(self._kind.__name__, msgspec.json.encode(record))
                inserted.append(msgspec.structs.replace(record, sequence=sequence))
                self._journal.afterwards(self._remember, inserted[-1])
        return inserted

    def update(self, record: Record) -> Record:
        with self._journal.transaction():
            self._journal.update(record.sequence, msgspec.json.encode(record))
            self._journal.afterwards(self._remember, record)
        return record

    def remove(self, record: Record) -> None:
        with self._journal.transaction():
            self._journal.delete(record.sequence)
            self._journal.afterwards(self._forget, record)

    def _remember(self, record: Record) -> None:
        self._by_id[record.id] = record
        if record.name:
            self._by_name[record.name] = record

    def _forget(self, record: Record) -> None:
        del self._by_id[record.id]
        self._by_name.pop(record.name, None)


class TableOfBytes(Table[RecordOfBytes]):
    """The records of one kind, each with a file of bytes: it is there before the record and goes after it."""

    def __init__(self, kind: type[RecordOfBytes], journal: Journal, folder: Path) -> None:
        self._folder = folder
        self.used_bytes = 0
        """The sum of the sizes."""
        super().__init__(kind, journal)
        folder.mkdir(exist_ok=True)
        # What a killed process had begun to make, or not finished to remove.
        for path in folder.iterdir():
            if path.name not in self._by_id:
                path.unlink()

    def path(self, record: RecordOfBytes) -> Path:
        """The file of its bytes."""
        return self._folder / record.id

    def _remember(self, record: RecordOfBytes) -> None:
        before = self._by_id.get(record.id)
        self.used_bytes += record.size_bytes - (before.size_bytes if before else 0)
        super()._remember(record)

    def _forget(self, record: RecordOfBytes) -> None:
        super()._forget(record)
        self.used_bytes -= record.size_bytes
        self.path(record).unlink(missing_ok=True)
