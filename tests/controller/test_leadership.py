"""A controller that stands by: it knows everything, and leaves everything to the one that leads."""

from typing import Final

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.controller.controller import Controller
from snapshotter.settings import ElectionSettings
from tests.controller.conftest import each_sort
from tests.controller.shop import Shop
from tests.world import MERGE

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
LEASE: Final = "snapshot-controller-leader"
QUICK: Final = ElectionSettings(
    enabled=True, namespace="default", lease_duration=3.0, renew_deadline=2.0, retry_period=0.1
)


def shown(controller: Controller, *names: str) -> dict[str, float]:
    """The sums of what is not zero of these series."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(generate_latest(controller.registry).decode()):
        for sample in family.samples:
            if sample.name in names and sample.value:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


@each_sort
async def test_a_standby_queues_and_counts_nothing_and_begins_with_all_that_is_to_be_done(shop: Shop) -> None:
    """What waited in the queue of one that stands by would wait for ever, and look like work that is left undone."""
    held = {"holderIdentity": "another", "leaseDurationSeconds": 60}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": held}
    await shop.world.request("POST", LEASES, lease)
    async with shop.controller() as leader, shop.world.sidecar(), shop.controller(election=QUICK) as standby:
        await shop.world.until(lambda: not standby.health.ready())
        await shop.make("goes")
        await shop.world.until(lambda: shop.at_rest("goes"))
        await shop.delete("goes")
        await shop.world.until(shop.nothing_left)
        counted = "snapshot_controller_operation_total_seconds_count"
        await shop.world.until(lambda: shown(leader, counted).get(counted, 0.0) >= 3)
        assert shown(standby, counted) == {}
    async with shop.world.sidecar(), shop.controller(election=QUICK) as standby:
        await shop.world.until(lambda: not standby.health.ready())
        await shop.make("waits")
        await shop.world.until(lambda: shown(standby, "snapshotter_contents"))
        assert shown(standby, "workqueue_depth", "snapshot_controller_operations_in_flight") == {}
        await shop.world.request("PATCH", f"{LEASES}/{LEASE}", {"spec": {"holderIdentity": ""}}, MERGE)
        await shop.world.until(lambda: shop.at_rest("waits"))
