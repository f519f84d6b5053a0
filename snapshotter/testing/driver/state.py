"""What the driver keeps in its state directory: volumes, snapshots with their bytes, and groups of snapshots.

The directory holds `state.db` (the records, see `records.py`) and a file of bytes for each volume and snapshot.
A process killed at any instant leaves at worst a file without a record; it is removed when the directory is
opened again.

Nothing here waits: on the one event loop each method runs whole, so a snapshot is of one instant, and so are
all members of a group. Who writes to a file of bytes from another process is not held up meanwhile.
"""

import contextlib
import fcntl
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from snapshotter.testing.driver import files
from snapshotter.testing.driver.journal import Journal
from snapshotter.testing.driver.records import Group, Snapshot, Table, TableOfBytes, Volume

PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class StateInUse(Exception):
    """Another driver has the state directory open."""


class Store:
    """The volumes, snapshots and groups of one state directory.

    Names are unique among volumes, among snapshots and among groups: callers look before they make.
    Raises StateInUse when another store has the directory open, and OSError as files do.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opening:
            lock = opening.enter_context((directory / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateInUse(f"another driver uses {directory}") from error
            self._journal = opening.enter_context(contextlib.closing(Journal(directory / "state.db")))
            self.volumes = TableOfBytes(Volume, self._journal, directory / "volumes")
            self.snapshots = TableOfBytes(Snapshot, self._journal, directory / "snapshots")
            self.groups = Table(Group, self._journal)
            self._opened = opening.pop_all()

    def close(self) -> None:
        self._opened.close()

    @property
    def used_bytes(self) -> int:
        """What volumes and snapshots are declared to take."""
        return self.volumes.used_bytes + self.snapshots.used_bytes

    def path(self, record: Volume | Snapshot) -> Path:
        return self.volumes.path(record) if isinstance(record, Volume) else self.snapshots.path(record)

    def read(self, record: Volume | Snapshot) -> bytes:
        return self.path(record).read_bytes()

    def write(self, volume: Volume, content: bytes, offset: int = 0) -> None:
        """Overwrite bytes of the volume. Raises ValueError for what lies beyond its end."""
        if offset < 0 or offset + len(content) > volume.size_bytes:
            raise ValueError(f"the volume has {volume.size_bytes} bytes")
        files.write(self.path(volume), content, offset)

    def create_volume(
        self, name: str, size_bytes: int, *, content: bytes = b"", identifier: str | None = None
    ) -> Volume:
        """A volume that begins with the content. Raises ValueError for an id that is no plain word."""
        if identifier is None:
            identifier = _new_id("vol")
        volume = Volume(id=identifier, name=name, size_bytes=size_bytes)
        if not PLAIN_ID.fullmatch(volume.id):
            raise ValueError(f"not a volume id: {volume.id!r}")
        files.make(self.path(volume), size_bytes, content)
        return self.volumes.insert([volume])[0]

    def copy_volume(self, name: str, size_bytes: int, source: Volume | Snapshot) -> Volume:
        """A volume that begins with the bytes of the source, which is not larger."""
        volume = Volume(
            id=_new_id("vol"),
            name=name,
            size_bytes=size_bytes,
            from_snapshot=source.id if isinstance(source, Snapshot) else "",
            from_volume=source.id if isinstance(source, Volume) else "",
        )
        with self._copied([(source, volume)]):
            return self.volumes.insert([volume])[0]

    def grow_volume(self, volume: Volume, size_bytes: int) -> Volume:
        files.grow(self.path(volume), size_bytes)
        return self.volumes.update(msgspec.structs.replace(volume, size_bytes=size_bytes))

    def publish_volume(self, volume: Volume, published: dict[str, bool]) -> Volume:
        """Record which nodes have the volume from now on, and whether they may only read."""
        return self.volumes.update(msgspec.structs.replace(volume, published=published))

    def delete_volume(self, volume: Volume) -> None:
        self.volumes.remove(volume)

    def create_snapshot(
        self,
        name: str,
        volume: Volume,
        *,
        created_at_ns: int,
        ready_at_ns: int | None,
        parameters: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """A snapshot of the volume as it is now."""
        snapshot = Snapshot(
            id=_new_id("snap"),
            name=name,
            volume_id=volume.id,
            size_bytes=volume.size_bytes,
            created_at_ns=created_at_ns,
            ready_at_ns=ready_at_ns,
            parameters=dict(parameters or {}),
        )
        with self._copied([(volume, snapshot)]):
            return self.snapshots.insert([snapshot])[0]

    def create_group(
        self,
        name: str,
        members: Sequence[tuple[Volume, int | None]],
        *,
        created_at_ns: int,
        parameters: Mapping[str, str] | None = None,
    ) -> Group:
        """Snapshots of these volumes, all of the same instant: all of them are made, or none.

        Each volume comes with the time when its snapshot becomes ready to use; None: not until it is told to.
        """
        group_id = _new_id("group")
        pairs = [
            (
                volume,
                Snapshot(
                    id=_new_id("snap"),
                    name="",
                    volume_id=volume.id,
                    size_bytes=volume.size_bytes,
                    created_at_ns=created_at_ns,
                    ready_at_ns=ready_at_ns,
                    group_id=group_id,
                ),
            )
            for volume, ready_at_ns in members
        ]
        group = Group(
            id=group_id,
            name=name,
            volume_ids=[volume.id for volume, _ in pairs],
            snapshot_ids=[snapshot.id for _, snapshot in pairs],
            created_at_ns=created_at_ns,
            parameters=dict(parameters or {}),
        )
        with self._copied(pairs), self._journal.transaction():
            self.snapshots.insert(snapshot for _, snapshot in pairs)
            return self.groups.insert([group])[0]

    def members(self, group: Group) -> list[Snapshot]:
        """Its snapshots, in the order of its volumes."""
        return [self.snapshots.by_id[identifier] for identifier in group.snapshot_ids]

    def make_ready(self, snapshot: Snapshot, now_ns: int) -> Snapshot:
        """The snapshot is ready to use from now on, whatever was foreseen."""
        return self.snapshots.update(msgspec.structs.replace(snapshot, ready_at_ns=now_ns))

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.remove(snapshot)

    def delete_group(self, group: Group) -> None:
        """Remove the group with all of its members."""
        with self._journal.transaction():
            self.groups.remove(group)
            for member in self.members(group):
                self.snapshots.remove(member)

    @contextlib.contextmanager
    def _copied(self, pairs: Sequence[tuple[Volume | Snapshot, Volume | Snapshot]]) -> Iterator[None]:
        """Copy bytes from record to record; no copy stays when one of them fails, or what is done with them."""
        with contextlib.ExitStack() as undo:
            for source, target in pairs:
                undo.callback(self.path(target).unlink, missing_ok=True)
                files.copy(self.path(source), self.path(target), target.size_bytes)
            yield
            undo.pop_all()


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:12]}"
