"""A role without groups: single snapshots go on, and the sidecar is ready."""

import pytest

from snapshotter.testing.faults import Fault
from tests.world import World

GROUP_API = "/apis/groupsnapshot.storage.k8s.io/v1"


@pytest.mark.parametrize("status", [403, 404])
async def test_without_the_right_to_list_groups_single_snapshots_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("snapshotter.daemon.groups.LOOK_AGAIN_SECONDS", 0.05)
    fault = world.server.faults.set(Fault(match=f"LIST {GROUP_API}", error=status, message="not for you"))
    async with world.sidecar() as sidecar:
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        await world.until(lambda: len(world.sidecar_requests("/apis/groupsnapshot.storage.k8s.io")) > 20)
        # Nothing of groups is waited for, so nothing of them can fail.
        assert not sidecar.health.ready()
        # Once the right is given, groups begin without a restart.
        world.server.faults.lift(fault)
        await world.until(lambda: f"WATCH {GROUP_API}/volumegroupsnapshotcontents" in world.sidecar_requests(""))
