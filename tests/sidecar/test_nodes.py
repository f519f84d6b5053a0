"""Node deployment: a sidecar works on the contents of its node alone. Case 108."""

from snapshotter.settings import NodeSettings
from tests.world import API, CONTENT_PATH, World

LABEL = "snapshot.storage.kubernetes.io/managed-by"


async def test_case_108_only_contents_with_the_nodes_label_are_worked_on(world: World) -> None:
    async with world.sidecar(node=NodeSettings(enabled=True, name="node-1")):
        for name, node in (("unlabelled", None), ("theirs", "node-2"), ("ours", "node-1")):
            await world.make_content(name)
            if node is not None:
                await world.patch(name, {"metadata": {"labels": {LABEL: node}}})
        await world.until(lambda: world.ready("ours"))
        await world.patch("theirs", {"metadata": {"labels": {LABEL: "node-1"}}})
        await world.until(lambda: world.ready("theirs"))
        assert not world.ready("unlabelled")
    assert world.calls("CreateSnapshot") == 2


async def test_case_108_the_contents_are_selected_and_the_classes_are_not(world: World) -> None:
    async with world.sidecar(node=NodeSettings(enabled=True, name="node-1")) as sidecar:
        await world.until(lambda: not sidecar.health.ready())
    selectors = {
        record.path: record.query.get("labelSelector")
        for record in world.server.requests
        if record.path in (CONTENT_PATH, f"{API}/volumesnapshotclasses") and record.verb in ("GET", "WATCH", "LIST")
    }
    assert selectors == {CONTENT_PATH: f"{LABEL}=node-1", f"{API}/volumesnapshotclasses": None}
