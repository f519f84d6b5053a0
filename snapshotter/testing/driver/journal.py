"""The database of one state directory, below the tables of records."""

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
)
"""


class Journal:
    """Rows of all kinds, changed in transactions, and what is to follow once a change is kept."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        # What was written survives the death of the process; that of the machine is not at stake.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(SCHEMA)
        self._open = False
        self._following: list[Callable[[], None]] = []

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What changes within is kept as a whole, or not at all. A transaction within another is part of it."""
        if self._open:
            yield
            return
        self._open, self._following = True, []
        try:
            with self._database:
                yield
        finally:
            self._open = False
        for follow in self._following:
            follow()

    def afterwards(self, follow: Callable[..., None], *arguments: object) -> None:
        """Call this when the transaction is kept; never, when it is not."""
        self._following.append(functools.partial(follow, *arguments))

    def rows(self, kind: str) -> Iterator[tuple[int, bytes]]:
        """Sequence and body of each row of the kind, in the order in which they were inserted."""
        return self._database.execute("SELECT sequence, body FROM record WHERE kind = ? ORDER BY sequence", (kind,))

    def insert(self, kind: str, body: bytes) -> int:
        """The sequence of the new row, which is greater than that of any row before."""
        cursor = self._database.execute("INSERT INTO record (kind, body) VALUES (?, ?)", (kind, body))
        return cursor.lastrowid or 0

    def update(self, sequence: int, body: bytes) -> None:
        self._database.execute("UPDATE record SET body = ? WHERE sequence = ?", (body, sequence))

    def delete(self, sequence: int) -> None:
        self._database.execute("DELETE FROM record WHERE sequence = ?", (sequence,))
