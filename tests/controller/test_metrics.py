"""The series that upstream's dashboards know: how long operations took, and how many are under way."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.controller.controller import Controller
from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import GROUPS, NEVER, SINGLES, Shop, Sort
from tests.world import DRIVER

HISTOGRAM = "snapshot_controller_operation_total_seconds"
IN_FLIGHT = "snapshot_controller_operations_in_flight"
BUCKETS = ("0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "15.0", "30.0", "60.0", "120.0", "300.0", "600.0", "+Inf")
LABELS = {"driver_name", "operation_name", "snapshot_type", "operation_status"}


def samples(controller: Controller, name: str) -> list[tuple[Mapping[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(generate_latest(controller.registry).decode())
        for sample in family.samples
        if sample.name == name
    ]


def counted(controller: Controller) -> dict[str, float]:
    """How many operations were recorded: `CreateSnapshot dynamic success`, of our driver."""
    return {
        f"{labels['operation_name']} {labels['snapshot_type']} {labels['operation_status']}"
        + ("" if labels["driver_name"] == DRIVER else f" of {labels['driver_name']}"): value
        for labels, value in samples(controller, f"{HISTOGRAM}_count")
    }


def in_flight(controller: Controller) -> float:
    ((_, value),) = samples(controller, IN_FLIGHT)
    return value


def operations(sort: Sort) -> tuple[str, str, str]:
    thing = "Snapshot" if sort is SINGLES else "GroupSnapshot"
    return f"Create{thing}", f"Create{thing}AndReady", f"Delete{thing}"


def of_sort(controller: Controller, sort: Sort) -> dict[str, float]:
    """What was recorded of requests of this sort; members of groups are single snapshots, and are counted as these."""
    return {name: value for name, value in counted(controller).items() if name.split()[0] in operations(sort)}


@each_sort
async def test_each_operation_is_recorded_once_with_its_driver(shop: Shop, sort: Sort) -> None:
    """Cases 183, 187, W23; 190 for what was finished."""
    create, ready, delete = operations(sort)
    async with shop.programs() as controller:
        assert samples(controller, f"{HISTOGRAM}_count") == []
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        made = {f"{create} dynamic success": 1.0, f"{ready} dynamic success": 1.0}
        assert of_sort(controller, sort) == made
        assert in_flight(controller) == 0
        await shop.delete("one")
        await shop.world.until(lambda: shop.nothing_left() and f"{delete} dynamic success" in counted(controller))
        assert of_sort(controller, sort) == made | {f"{delete} dynamic success": 1.0}
        if sort is GROUPS:
            await shop.world.until(lambda: counted(controller).get("DeleteSnapshot dynamic success") == 2)
            assert {name: value for name, value in counted(controller).items() if "Group" not in name} == {
                "CreateSnapshot dynamic success": 2.0,
                "CreateSnapshotAndReady dynamic success": 2.0,
                "DeleteSnapshot dynamic success": 2.0,
            }
        assert in_flight(controller) == 0


@each_sort
async def test_imports_are_recorded_as_such(shop: Shop, sort: Sort) -> None:
    """Case 187."""
    create, ready, _ = operations(sort)
    async with shop.programs() as controller:
        await shop.make("original")
        await shop.world.until(lambda: shop.at_rest("original"))
        handle = (shop.content("original") or {})["status"][sort.kind.handle]
        await shop.world.make_content("one", snapshot=handle, policy="Retain", uid="", finalizers=())
        await shop.make("one", imports="one", class_name=None)
        await shop.world.until(lambda: shop.ready("one"))
        await shop.world.until(lambda: f"{ready} pre-provisioned success" in counted(controller))
        assert counted(controller)[f"{create} pre-provisioned success"] == 1


@each_sort
async def test_what_is_deleted_before_it_is_done_was_cancelled(shop: Shop, sort: Sort) -> None:
    """Case 190, W23: for groups as for singles."""
    create, ready, delete = operations(sort)
    async with shop.programs() as controller:
        hold = shop.world.hold(f"^{sort.kind.create} ", error="INVALID_ARGUMENT", times=1)
        await shop.make("one")
        await shop.world.driver.faults.wait_for_held()
        assert in_flight(controller) == 2
        await shop.delete("one")
        await shop.world.until(lambda: in_flight(controller) == 3)
        shop.world.driver.faults.lift(hold)
        await shop.world.until(lambda: shop.nothing_left() and f"{delete} dynamic success" in counted(controller))
        assert of_sort(controller, sort) == {
            f"{delete} dynamic success": 1.0,
            f"{create} dynamic cancel": 1.0,
            f"{ready} dynamic cancel": 1.0,
        }
        assert in_flight(controller) == 0


async def test_a_request_of_which_nobody_knows_the_driver_is_counted_as_unknown(shop: Shop) -> None:
    """Case 189."""
    async with shop.programs(NEVER) as controller:
        await shop.make("one", class_name="missing")
        await shop.world.until(lambda: shop.error("one"))
        assert in_flight(controller) == 2
        await shop.delete("one")
        await shop.world.until(lambda: in_flight(controller) == 0)
        assert set(counted(controller)) <= {
            "CreateSnapshot dynamic cancel of unknown",
            "CreateSnapshotAndReady dynamic cancel of unknown",
            "DeleteSnapshot dynamic success of unknown",
        }


@each_sort
async def test_a_conflict_counts_nothing_twice(shop: Shop, sort: Sort) -> None:
    """Case 62, W23."""
    create, ready, _ = operations(sort)
    match = f"PATCH .*/{sort.plural}/one/status$"
    shop.world.server.faults.set(Fault(match=match, skip=1, times=2, error=409))
    async with shop.programs() as controller:
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        assert of_sort(controller, sort) == {f"{create} dynamic success": 1.0, f"{ready} dynamic success": 1.0}


@each_sort
async def test_a_restart_makes_no_operation_shorter(shop: Shop, sort: Sort) -> None:
    """W23: what was asked for before the start took as long as its user has waited."""
    _, ready, _ = operations(sort)
    hold = shop.world.hold(f"^{sort.kind.create} ")
    async with shop.world.sidecar():
        async with shop.controller():
            await shop.make("one")
            await shop.world.driver.faults.wait_for_held()
        made = datetime.fromisoformat((shop.request("one") or {})["metadata"]["creationTimestamp"])
        # Times of objects are in whole seconds.
        await asyncio.sleep(1.2)
        async with shop.controller() as controller:
            shop.world.driver.faults.lift(hold)
            await shop.world.until(lambda: shop.at_rest("one"))
            waited = (datetime.now(UTC) - made).total_seconds()
            took = next(
                value for labels, value in samples(controller, f"{HISTOGRAM}_sum") if labels["operation_name"] == ready
            )
            assert 1.2 <= took <= waited


FAMILIES = {
    HISTOGRAM,
    IN_FLIGHT,
    "process_start_time_seconds",
    "process_cpu_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_virtual_memory_max_bytes",
    "process_network_receive_bytes",
    "process_network_transmit_bytes",
    "workqueue_depth",
    "workqueue_adds",
    "workqueue_queue_duration_seconds",
    "workqueue_work_duration_seconds",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "workqueue_retries",
    "leader_election_master_status",
    "leader_election_slowpath",
    "snapshotter_api_requests",
    "snapshotter_contents",
    "snapshotter_event_loop_delay_seconds",
    "snapshotter_event_loop_lag_seconds",
    "snapshotter_event_loop_tasks",
    "snapshotter_malformed_objects",
    "snapshotter_next_retry_seconds",
    "snapshotter_oldest_deleting_seconds",
    "snapshotter_oldest_unready_seconds",
    "snapshotter_permission_missing",
    "snapshotter_unreadable_objects",
    "snapshotter_watch_age_seconds",
}


def families(controller: Controller) -> set[str]:
    page = generate_latest(controller.registry).decode()
    return {family.name for family in text_string_to_metric_families(page)}


async def test_the_page_has_upstreams_names_and_ours_and_no_others(shop: Shop) -> None:
    async with shop.programs() as controller:
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        await shop.world.until(lambda: samples(controller, "snapshotter_permission_missing"))
        assert families(controller) == FAMILIES


async def test_the_series_have_the_names_the_labels_and_the_buckets_that_dashboards_know(shop: Shop) -> None:
    """Case 188, and section 10."""
    async with shop.programs() as controller:
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        buckets = samples(controller, f"{HISTOGRAM}_bucket")
        assert tuple(dict.fromkeys(labels["le"] for labels, _ in buckets)) == BUCKETS
        assert {frozenset(labels) for labels, _ in buckets} == {frozenset(LABELS | {"le"})}
        assert [labels for labels, _ in samples(controller, IN_FLIGHT)] == [{}]
        ((_, started),) = samples(controller, "process_start_time_seconds")
        assert 0 < started <= datetime.now(UTC).timestamp()
        queues = {labels["name"] for labels, _ in samples(controller, "workqueue_depth")}
        assert queues == {
            "snapshot-controller-snapshot",
            "snapshot-controller-content",
            "snapshot-controller-group-snapshot",
            "snapshot-controller-group-content",
        }


@pytest.mark.parametrize("many", [30])
async def test_the_number_of_series_does_not_grow_with_the_number_of_objects(shop: Shop, many: int) -> None:
    def names(controller: Controller) -> set[str]:
        lines = generate_latest(controller.registry).decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if "snapshotter_api_requests" not in line}

    async with shop.programs() as controller:
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        before = names(controller)
        for number in range(many):
            await shop.make(f"r{number}")
        await shop.world.until(lambda: all(shop.at_rest(f"r{number}") for number in range(many)))
        assert names(controller) == before
