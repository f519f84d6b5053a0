"""The driver's state on disk, against a model in memory, across restarts."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snapshotter.testing.driver import StateInUse, Volume, files
from snapshotter.testing.driver.paging import page
from snapshotter.testing.driver.state import Store


@dataclass
class Model:
    """What there is by id, in the order in which it was made."""

    volumes: dict[str, bytes] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    """The members of each, which are among the snapshots."""

    @property
    def alone(self) -> list[str]:
        """The snapshots that belong to no group."""
        members = {member for group in self.groups.values() for member in group}
        return [snapshot for snapshot in self.snapshots if snapshot not in members]


class StoreAgainstModel(RuleBasedStateMachine):
    """Whatever is made, changed and deleted, in whatever order, and however often the store is opened anew."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.store = Store(self.directory)
        self.model = Model()
        self.names = 0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def name(self) -> str:
        self.names += 1
        return f"name-{self.names}"

    @rule(content=st.binary(max_size=20), hole=st.integers(0, 20_000))
    def create_volume(self, content: bytes, hole: int) -> None:
        volume = self.store.create_volume(self.name(), len(content) + hole, content=content)
        self.model.volumes[volume.id] = content + bytes(hole)

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data(), content=st.binary(max_size=20))
    def write(self, data: st.DataObject, content: bytes) -> None:
        volume_id = data.draw(st.sampled_from(list(self.model.volumes)))
        before = self.model.volumes[volume_id]
        content = content[: len(before)]
        offset = data.draw(st.integers(0, len(before) - len(content)))
        self.store.write(self.store.volumes.by_id[volume_id], content, offset)
        self.model.volumes[volume_id] = before[:offset] + content + before[offset + len(content) :]

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data(), more=st.integers(0, 100))
    def grow(self, data: st.DataObject, more: int) -> None:
        volume_id = data.draw(st.sampled_from(list(self.model.volumes)))
        volume = self.store.volumes.by_id[volume_id]
        self.store.grow_volume(volume, volume.size_bytes + more)
        self.model.volumes[volume_id] += bytes(more)

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data())
    def create_snapshot(self, data: st.DataObject) -> None:
        volume_id = data.draw(st.sampled_from(list(self.model.volumes)))
        volume = self.store.volumes.by_id[volume_id]
        made = self.store.create_snapshot(self.name(), volume, created_at_ns=1, ready_at_ns=None)
        assert made.volume_id == volume_id
        self.model.snapshots[made.id] = self.model.volumes[volume_id]

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data())
    def create_group(self, data: st.DataObject) -> None:
        volume_ids = data.draw(st.lists(st.sampled_from(list(self.model.volumes)), min_size=1, max_size=3, unique=True))
        members = [(self.store.volumes.by_id[volume_id], place) for place, volume_id in enumerate(volume_ids)]
        made = self.store.create_group(self.name(), members, created_at_ns=1, parameters={"p": "1"})
        assert [snapshot.volume_id for snapshot in self.store.members(made)] == volume_ids == made.volume_ids
        self.model.groups[made.id] = made.snapshot_ids
        for snapshot_id, volume_id in zip(made.snapshot_ids, volume_ids, strict=True):
            self.model.snapshots[snapshot_id] = self.model.volumes[volume_id]

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data())
    def fail_to_create_group(self, data: st.DataObject) -> None:
        volume_ids = data.draw(st.permutations(list(self.model.volumes)))
        members: list[tuple[Volume, int | None]] = [
            (self.store.volumes.by_id[volume_id], None) for volume_id in volume_ids
        ]
        members.insert(data.draw(st.integers(0, len(members))), (Volume(id="gone", name="gone", size_bytes=1), None))
        with pytest.raises(FileNotFoundError):
            self.store.create_group(self.name(), members, created_at_ns=1)

    @precondition(lambda self: self.model.snapshots)
    @rule(data=st.data(), more=st.integers(0, 100))
    def restore(self, data: st.DataObject, more: int) -> None:
        snapshot = self.store.snapshots.by_id[data.draw(st.sampled_from(list(self.model.snapshots)))]
        volume = self.store.copy_volume(self.name(), snapshot.size_bytes + more, snapshot)
        self.model.volumes[volume.id] = self.model.snapshots[snapshot.id] + bytes(more)

    @precondition(lambda self: self.model.volumes)
    @rule(data=st.data())
    def delete_volume(self, data: st.DataObject) -> None:
        volume_id = data.draw(st.sampled_from(list(self.model.volumes)))
        self.store.delete_volume(self.store.volumes.by_id[volume_id])
        del self.model.volumes[volume_id]

    @precondition(lambda self: self.model.alone)
    @rule(data=st.data())
    def delete_snapshot(self, data: st.DataObject) -> None:
        snapshot_id = data.draw(st.sampled_from(self.model.alone))
        self.store.delete_snapshot(self.store.snapshots.by_id[snapshot_id])
        del self.model.snapshots[snapshot_id]

    @precondition(lambda self: self.model.groups)
    @rule(data=st.data())
    def delete_group(self, data: st.DataObject) -> None:
        group_id = data.draw(st.sampled_from(list(self.model.groups)))
        self.store.delete_group(self.store.groups.by_id[group_id])
        for member in self.model.groups.pop(group_id):
            del self.model.snapshots[member]

    @rule(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), restart=st.booleans())
    def list_by_pages(self, sizes: list[int], *, restart: bool) -> None:
        listed, token = [], ""
        for size in (*sizes, 0):
            records, token = page(self.store.snapshots.by_id.values(), token, size, 0)
            listed += records
            if restart:
                self.open_anew()
            if not token:
                break
        assert [record.id for record in listed] == list(self.model.snapshots)

    @rule()
    def open_anew(self) -> None:
        self.store.close()
        self.store = Store(self.directory)

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        store, model = self.store, self.model
        assert {id_: store.read(volume) for id_, volume in store.volumes.by_id.items()} == model.volumes
        assert {id_: store.read(snapshot) for id_, snapshot in store.snapshots.by_id.items()} == model.snapshots
        assert list(store.snapshots.by_id) == list(model.snapshots)
        assert {group.id: group.snapshot_ids for group in store.groups.by_id.values()} == model.groups
        assert {store.snapshots.by_id[id_].name for id_ in model.alone} == set(store.snapshots.by_name)
        assert {group.name for group in store.groups.by_id.values()} == set(store.groups.by_name)
        in_files = {path.name for path in (self.directory / "snapshots").iterdir()}
        assert in_files == set(model.snapshots)
        assert store.used_bytes == sum(map(len, (*model.volumes.values(), *model.snapshots.values())))


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as opened:
        yield opened


def test_what_a_killed_driver_had_begun_is_cleared_away(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        kept = store.create_volume("kept", 4, content=b"kept")
    (tmp_path / "volumes" / "vol-begun").write_bytes(b"x")
    (tmp_path / "snapshots" / "snap-begun").write_bytes(b"x")
    with closing(Store(tmp_path)) as store:
        assert [path.name for path in (tmp_path / "volumes").iterdir()] == [kept.id]
        assert list((tmp_path / "snapshots").iterdir()) == []
        assert store.read(kept) == b"kept"


def test_a_group_that_cannot_be_recorded_is_not_seen(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        volume = store.create_volume("volume", 4)
        members: list[tuple[Volume, int | None]] = [(volume, 0), (volume, 0)]
        with closing(sqlite3.connect(tmp_path / "state.db")) as other:
            # The last row of the transaction is refused.
            other.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN NEW.kind = 'Group'"
                " BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
            with pytest.raises(sqlite3.IntegrityError, match="refused"):
                store.create_group("group", members, created_at_ns=1)
            assert not store.snapshots.by_id
            assert store.used_bytes == volume.size_bytes
            assert list((tmp_path / "snapshots").iterdir()) == []
            other.execute("DROP TRIGGER refuse")
        made = store.create_group("group", members, created_at_ns=1)
        assert list(store.snapshots.by_id) == made.snapshot_ids
    with closing(Store(tmp_path)) as store:
        assert list(store.snapshots.by_id) == made.snapshot_ids
        assert store.groups.by_name["group"] == made


def test_only_one_driver_has_a_state_directory(tmp_path: Path) -> None:
    with closing(Store(tmp_path)), pytest.raises(StateInUse, match=str(tmp_path)):
        Store(tmp_path)
    Store(tmp_path).close()


@pytest.mark.parametrize("identifier", ["../up", "", "a/b", ".hidden", "x" * 129])
def test_an_id_stays_in_its_directory(store: Store, identifier: str) -> None:
    with pytest.raises(ValueError, match="not a volume id"):
        store.create_volume("name", 1, identifier=identifier)


@pytest.mark.parametrize(("content", "offset"), [(b"12345", 0), (b"1", 4), (b"1", -1)])
def test_a_write_beyond_the_end_is_refused(store: Store, content: bytes, offset: int) -> None:
    volume = store.create_volume("name", 4)
    with pytest.raises(ValueError, match="4 bytes"):
        store.write(volume, content, offset)


def test_a_copy_costs_what_was_written(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    size_bytes = 50 << 30
    files.make(source, size_bytes, b"begin")
    files.write(source, b"end", size_bytes - 3)
    files.copy(source, target, size_bytes + 10)
    assert target.stat().st_size == size_bytes + 10
    assert target.stat().st_blocks * 512 < 1 << 20
    with target.open("rb") as copied:
        assert copied.read(6) == b"begin\0"
        copied.seek(size_bytes - 4)
        assert copied.read() == b"\0end" + bytes(10)


def test_large_contents_are_copied_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    files.make(tmp_path / "source", len(content), content)
    files.copy(tmp_path / "source", tmp_path / "target", len(content))
    assert (tmp_path / "target").read_bytes() == content
