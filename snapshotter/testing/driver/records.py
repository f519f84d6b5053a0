"""The records of volumes and snapshots: what they hold, and the table that keeps them across restarts.

`state.py` puts the tables and the bytes together.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
)
"""


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


Record = TypeVar("Record", Volume, Snapshot)


class Table(Generic[Record]):
    """The records of one kind, in the order in which they were made, each with a file of bytes.

    Reading is from memory; every change is in the database before it can be seen.
    """

    def __init__(self, kind: type[Record], database: sqlite3.Connection, folder: Path) -> None:
        self._kind: type[Record] = kind
        self._database = database
        self._folder = folder
        self._by_id: dict[str, Record] = {}
        self._by_name: dict[str, Record] = {}
        self.used_bytes = 0
        """The sum of the sizes."""
        database.execute(SCHEMA)
        folder.mkdir(exist_ok=True)
        self._load()

    @property
    def by_id(self) -> Mapping[str, Record]:
        return MappingProxyType(self._by_id)

    @property
    def by_name(self) -> Mapping[str, Record]:
        return MappingProxyType(self._by_name)

    def path(self, record: Record) -> Path:
        """The file of its bytes. It is there before the record and goes after it."""
        return self._folder / record.id

    def insert(self, made: Iterable[Record]) -> list[Record]:
        """Add the records, all or none; they come back with their sequence."""
        inserted = []
        with self._database:
            for record in made:
                cursor = self._database.execute(
                    "INSERT INTO record (kind, body) VALUES (?, ?)",
                    (self._kind.__name__, msgspec.json.encode(record)),
                )
                inserted.append(msgspec.structs.replace(record, sequence=cursor.lastrowid or 0))
        for record in inserted:
            self._remember(record)
        return inserted

    def update(self, record: Record) -> Record:
        with self._database:
            self._database.execute(
                "UPDATE record SET body = ? WHERE sequence = ?",
                (msgspec.json.encode(record), record.sequence),
            )
        self.used_bytes -= self._by_id[record.id].size_bytes
        self._remember(record)
        return record

    def remove(self, record: Record) -> None:
        """Forget the record, then its bytes."""
        with self._database:
            self._database.execute("DELETE FROM record WHERE sequence = ?", (record.sequence,))
        del self._by_id[record.id], self._by_name[record.name]
        self.used_bytes -= record.size_bytes
        self.path(record).unlink()

    def _remember(self, record: Record) -> None:
        self._by_id[record.id] = self._by_name[record.name] = record
        self.used_bytes += record.size_bytes

    def _load(self) -> None:
        rows = self._database.execute(
            "SELECT sequence, body FROM record WHERE kind = ? ORDER BY sequence", (self._kind.__name__,)
        )
        for sequence, body in rows:
            record = msgspec.json.decode(body, type=self._kind)
            self._remember(msgspec.structs.replace(record, sequence=sequence))
        # What a killed process had begun to make, or not finished to remove.
        for path in self._folder.iterdir():
            if path.name not in self._by_id:
                path.unlink()
