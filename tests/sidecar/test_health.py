"""What the metrics tell about contents, queues and the loop; and that their number does not grow with the objects."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.daemon.health import oldest_deleting, oldest_unready
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.driver.identity import VERSION
from snapshotter.testing.faults import Fault
from tests.factories import DELETED_AT, content
from tests.world import DRIVER, SINGLE, World, each_kind

# The names that dashboards made for upstream's sidecar know, as far as they do not come from Go itself.
UPSTREAM = {
    "csi_sidecar_operations_seconds",
    "workqueue_depth",
    "workqueue_adds",
    "workqueue_queue_duration_seconds",
    "workqueue_work_duration_seconds",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "workqueue_retries",
    "leader_election_master_status",
    "leader_election_slowpath",
    "process_start_time_seconds",
    "process_cpu_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_virtual_memory_max_bytes",
    "process_network_receive_bytes",
    "process_network_transmit_bytes",
}
OURS = {
    "snapshotter_api_requests",
    "snapshotter_contents",
    "snapshotter_csi_calls_in_flight",
    "snapshotter_driver_connected",
    "snapshotter_driver_info",
    "snapshotter_event_loop_delay_seconds",
    "snapshotter_event_loop_lag_seconds",
    "snapshotter_event_loop_tasks",
    "snapshotter_malformed_objects",
    "snapshotter_next_retry_seconds",
    "snapshotter_oldest_deleting_seconds",
    "snapshotter_permission_missing",
    "snapshotter_oldest_unready_seconds",
    "snapshotter_unreadable_objects",
    "snapshotter_watch_age_seconds",
}


def samples(sidecar: Sidecar) -> dict[str, dict[tuple[str, ...], float]]:
    """The page as a scraper reads it: families with their samples by the values of the labels."""
    page = generate_latest(sidecar.registry).decode()
    return {
        family.name: {(sample.name, *sorted(sample.labels.values())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(page)
    }


async def test_the_page_has_upstreams_names_and_ours_and_no_others(world: World) -> None:
    async with world.sidecar() as sidecar:
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        await world.until(lambda: samples(sidecar).get("snapshotter_permission_missing"))
        assert samples(sidecar).keys() == UPSTREAM | OURS


async def test_the_number_of_series_does_not_grow_with_the_number_of_objects(world: World) -> None:
    async with world.sidecar() as sidecar:
        world.driver.faults.set(Fault(match="CreateSnapshot", error="INTERNAL", message="broken in way {n}", times=1))
        await world.make_content("first")
        await world.until(lambda: world.ready("first"))
        await world.until(lambda: samples(sidecar).get("snapshotter_permission_missing"))
        before = sum(len(family) for family in samples(sidecar).values())
        for number in range(30):
            await world.make_content(f"c{number}")
        await world.until(lambda: all(world.ready(f"c{number}") for number in range(30)))
        assert sum(len(family) for family in samples(sidecar).values()) == before


@each_kind
async def test_what_waits_is_seen_in_the_metrics(world: World) -> None:
    queue = "csi-snapshotter-content" if world.kind is SINGLE else "csi-snapshotter-groupsnapshotcontent"
    world.driver.faults.set(Fault(match=world.kind.create, error="INTERNAL", message="no"))
    async with world.sidecar(work=type(world.settings().work)(retry_start=30.0, retry_max=30.0)) as sidecar:
        await world.until(lambda: next_retry(sidecar, queue) is not None)
        assert next_retry(sidecar, queue) == pytest.approx(-1)
        await world.make_content("one")
        await world.until(lambda: world.error("one"))
        await world.until(lambda: (next_retry(sidecar, queue) or 0) > 0)
        assert 20 < (next_retry(sidecar, queue) or 0) <= 30
        found = samples(sidecar)["snapshotter_contents"]
        assert found["snapshotter_contents", world.kind.content, DRIVER, "failing"] == 1


async def test_the_driver_is_told_with_the_version_that_was_met_last(world: World) -> None:
    async with world.sidecar() as sidecar:
        info = samples(sidecar)["snapshotter_driver_info"]
        assert info == {("snapshotter_driver_info", *sorted((DRIVER, VERSION))): 1}


async def test_contents_and_watches_that_nobody_follows_any_more_are_not_shown(world: World) -> None:
    async with world.sidecar() as sidecar:
        of_parts = {"snapshotter_contents", "snapshotter_oldest_deleting_seconds", "snapshotter_watch_age_seconds"}
        await world.until(lambda: of_parts <= samples(sidecar).keys())
    assert not of_parts & samples(sidecar).keys()


def next_retry(sidecar: Sidecar, queue: str) -> float | None:
    name = "snapshotter_next_retry_seconds"
    return samples(sidecar).get(name, {}).get((name, queue))


AGES = {
    "nothing": ([], 0.0),
    "what is ready does not count": ([content(handle="s", ready=True)], 0.0),
    "what is being deleted does not count": ([content(deleting=True)], 0.0),
    "without a time there is no age": ([content()], 0.0),
}


@pytest.mark.parametrize(("contents", "expected"), AGES.values(), ids=AGES.keys())
def test_the_oldest_unready_content(contents: list[object], expected: float) -> None:
    assert oldest_unready(contents, datetime.now(UTC)) == expected  # type: ignore[arg-type]


def test_the_deletion_that_waits_longest_counts() -> None:
    contents = [content(), content(deleting=True), content(deleting=True, ready=True, handle="s")]
    assert oldest_deleting(contents, DELETED_AT + timedelta(seconds=90)) == 90
    assert oldest_deleting(contents[:1], DELETED_AT) == 0
    # A clock that is behind the API server's shows no age below zero.
    assert oldest_deleting(contents, DELETED_AT - timedelta(seconds=1)) == 0


def test_the_oldest_of_several_counts() -> None:
    now = datetime(2024, 5, 6, tzinfo=UTC)
    contents = [content(created=now - timedelta(seconds=age)) for age in (5, 90, 30)]
    assert oldest_unready(contents, now) == 90
