"""Promise 14: what a cluster full of contents costs, for both kinds: pages, the selection, the fields that are kept."""

import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snapshotter import names
from snapshotter.kube.connection import Limits, connect
from snapshotter.kube.kinds import CONTENT, Kind, group_content
from snapshotter.kube.objects import Objects
from snapshotter.metrics import Metrics
from snapshotter.runtime.informer import Changed, Removed
from snapshotter.testing.apiserver import ApiServer
from tests.kube.conftest import Connect, changed_crds

KINDS: dict[str, Kind[Any]] = {"single": CONTENT, "group": group_content("v1")}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def body(kind: Kind[Any], name: str, *, driver: str = "d", **annotations: str) -> dict[str, Any]:
    single = kind is CONTENT
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "driver": driver,
            "deletionPolicy": "Delete",
            "source": {"volumeHandle": "v"} if single else {"volumeHandles": ["v"]},
            "volumeSnapshotRef" if single else "volumeGroupSnapshotRef": {"name": "s", "namespace": "default"},
        },
    }


@each_kind
async def test_promise_14_lists_are_paged(
    server: ApiServer, connected: Connect, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, kind: Kind[Any]
) -> None:
    monkeypatch.setattr("snapshotter.kube.objects.PAGE_SIZE", 3)
    for number in range(8):
        server.create(kind.plural, body(kind, f"c{number}"))
    async with connected() as connection:
        listing = await Objects(connection, kind, metrics).list_all()
    assert [content.name for content in listing.objects] == [f"c{number}" for number in range(8)]
    assert [record.query["limit"] for record in server.requests if record.verb == "LIST"] == ["3", "3", "3"]


def ours(connection: Any, kind: Kind[Any], metrics: Metrics) -> Objects[Any]:
    """The contents of the driver `d`, as the sidecar asks for them."""
    return Objects(
        connection,
        kind,
        metrics,
        wanted=lambda content: content.spec.driver == "d",
        field_selector="spec.driver=d",
    )


@each_kind
async def test_promise_14_where_the_server_can_select_only_our_drivers_contents_come(
    server: ApiServer, connected: Connect, metrics: Metrics, kind: Kind[Any]
) -> None:
    server.create(kind.plural, body(kind, "ours"))
    server.create(kind.plural, body(kind, "theirs", driver="other"))
    async with connected() as connection:
        contents = ours(connection, kind, metrics)
        listing = await contents.list_all()
        assert [content.name for content in listing.objects] == ["ours"]
        async with contents.watch(listing.version) as events:
            server.create(kind.plural, body(kind, "theirs-too", driver="other"))
            server.create(kind.plural, body(kind, "ours-too"))
            event = await anext(events)
    assert isinstance(event, Changed)
    assert event.object.name == "ours-too"


@each_kind
async def test_promise_14_where_it_cannot_those_of_others_are_not_kept(
    tmp_path: Path, metrics: Metrics, kind: Kind[Any]
) -> None:
    crds = changed_crds(tmp_path, lambda version: version.pop("selectableFields", None))
    async with ApiServer.serve(crds) as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig())
        server.create(kind.plural, body(kind, "ours"))
        server.create(kind.plural, body(kind, "theirs", driver="other"))
        async with connect(tmp_path / "kubeconfig", Limits(), metrics, user_agent="test/1") as connection:
            contents = ours(connection, kind, metrics)
            listing = await contents.list_all()
            assert [content.name for content in listing.objects] == ["ours"]
            async with contents.watch(listing.version) as events:
                server.create(kind.plural, body(kind, "theirs-too", driver="other"))
                assert isinstance(await anext(events), Removed)


COUNT = 300
BYTES_EACH = 4096
"""The most that a content may cost. It has about ten times as much in it that is not used."""


class Page(msgspec.Struct):
    """A page of a list, as it comes."""

    items: list[msgspec.Raw]


@each_kind
def test_promise_14_only_the_fields_that_are_used_are_kept_in_memory(kind: Kind[Any]) -> None:
    mark = names.BEING_CREATED if kind is CONTENT else names.GROUP_BEING_CREATED
    bodies = [body(kind, f"c{number}", **{"example.com/big": "x" * 40_000, mark: "yes"}) for number in range(COUNT)]
    pages, objects = msgspec.json.Decoder(Page), msgspec.json.Decoder(kind.type)
    tracemalloc.start()
    try:
        page = msgspec.json.encode({"items": bodies})
        contents = [objects.decode(raw) for raw in pages.decode(page).items]
        del page
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > COUNT * 40_000
    assert kept < COUNT * BYTES_EACH
    assert all(content.marked_as_being_created for content in contents)
