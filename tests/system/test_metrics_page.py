"""The page of metrics of a real process that has seen everything: creates, failures, deletes, groups, an election."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.testing.faults import Fault
from tests.conftest import Promtool
from tests.world import DRIVER, GROUP, KINDS, SINGLE, World, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"
LEASE = "external-snapshotter-leader-bytes-csi-example-com"

DELAYS = ("0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "15.0", "25.0", "50.0", "120.0", "300.0", "600.0", "+Inf")
SHORT_DELAYS = ("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
TENFOLD = ("1e-08", "1e-07", "1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1.0", "10.0", "+Inf")


@dataclass(frozen=True, slots=True)
class Family:
    """What dashboards rely on."""

    type: str
    labels: frozenset[str] = frozenset()
    buckets: tuple[str, ...] = ()


def family(kind: str, *labels: str, buckets: tuple[str, ...] = ()) -> Family:
    return Family(kind, frozenset(labels), buckets)


UPSTREAM = {
    "csi_sidecar_operations_seconds": family(
        "histogram", "driver_name", "method_name", "grpc_status_code", buckets=DELAYS
    ),
    "workqueue_depth": family("gauge", "name"),
    "workqueue_adds": family("counter", "name"),
    "workqueue_queue_duration_seconds": family("histogram", "name", buckets=TENFOLD),
    "workqueue_work_duration_seconds": family("histogram", "name", buckets=TENFOLD),
    "workqueue_unfinished_work_seconds": family("gauge", "name"),
    "workqueue_longest_running_processor_seconds": family("gauge", "name"),
    "workqueue_retries": family("counter", "name"),
    "leader_election_master_status": family("gauge", "name"),
    "leader_election_slowpath": family("counter", "name"),
    "process_start_time_seconds": family("gauge"),
    "process_cpu_seconds": family("counter"),
    "process_open_fds": family("gauge"),
    "process_max_fds": family("gauge"),
    "process_resident_memory_bytes": family("gauge"),
    "process_virtual_memory_bytes": family("gauge"),
    "process_virtual_memory_max_bytes": family("gauge"),
    "process_network_receive_bytes": family("counter"),
    "process_network_transmit_bytes": family("counter"),
}
"""Counters by their names without `_total`, as the parser gives them."""

OURS = {
    "snapshotter_api_requests": family("counter", "method", "status"),
    "snapshotter_contents": family("gauge", "driver_name", "kind", "state"),
    "snapshotter_csi_calls_in_flight": family("gauge", "method_name"),
    "snapshotter_driver_connected": family("gauge"),
    "snapshotter_driver_info": family("gauge", "driver_name", "version"),
    "snapshotter_event_loop_delay_seconds": family("histogram", buckets=SHORT_DELAYS),
    "snapshotter_event_loop_lag_seconds": family("gauge"),
    "snapshotter_event_loop_tasks": family("gauge"),
    "snapshotter_next_retry_seconds": family("gauge", "name"),
    "snapshotter_oldest_deleting_seconds": family("gauge", "driver_name", "kind"),
    "snapshotter_oldest_unready_seconds": family("gauge", "driver_name", "kind"),
    "snapshotter_permission_missing": family("gauge", "verb", "group", "resource", "needed_for"),
    "snapshotter_unreadable_objects": family("gauge", "resource"),
    "snapshotter_watch_age_seconds": family("gauge", "resource"),
    "snapshotter_malformed_objects": family("counter", "resource"),
}


@asynccontextmanager
async def sidecar(world: World, port: int) -> AsyncIterator[None]:
    log = world.directory / "sidecar.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *(f"--csi-address={world.driver.socket}", f"--kubeconfig={world.kubeconfig}"),
            *(f"--http-endpoint=127.0.0.1:{port}", "--leader-election", "--leader-election-namespace=default"),
            *("--retry-interval-start=50ms", "--retry-interval-max=200ms"),
            stderr=output,
        )
    try:
        yield
    finally:
        assert process.returncode is None, log.read_text()[-3000:]
        process.terminate()
        await process.wait()


async def load(world: World, number: int) -> None:
    """Contents of every fate, of one kind."""
    names = [f"fine-{number}", f"deleted-{number}", f"failing-{number}", f"failing-delete-{number}"]
    volume = f"{world.kind.id}-failing-{number}"
    await world.driver.make_volume(volume, b"x")
    for name in names:
        await world.make_content(name, volume=volume if name == names[2] else "vol", uid=f"{world.kind.id}-{name}")
    await world.until(lambda: all(world.ready(name) for name in names if name != names[2]))
    await world.make_content(f"imported-{number}", volume=None, snapshot=world.handle(names[0]), policy="Retain")
    await world.until(lambda: world.ready(f"imported-{number}"))
    world.driver.faults.set(Fault(match=f"^{world.kind.delete} {world.handle(names[3])}", error="INTERNAL"))
    for name in (names[1], names[3]):
        await world.delete_content(name)
    await world.until(lambda: world.content(names[1]) is None)
    await world.until(lambda: world.error(names[2]) and world.error(names[3]))


async def read_page(port: int) -> str:
    """The page, once the API server has been asked about all permissions."""
    async with asyncio.timeout(30), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        while True:
            async with http.get("/metrics") as response:
                assert response.status == 200
                assert response.headers["Content-Type"].startswith("text/plain; version=")
                page = await response.text()
            if 'needed_for="leader election"' in page:
                return page
            await asyncio.sleep(0.1)


@pytest.fixture
async def pages(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[tuple[str, str]]:
    """The page after some load, and after more of the same."""
    async with make_world(tmp_path) as world:
        for kind in KINDS:
            await world.of(kind).make_class()
            world.driver.faults.set(
                Fault(match=f"^{kind.create} .*failing-{kind.id}-", error="INTERNAL", message="broken in way {n}")
            )
            world.driver.faults.set(Fault(match=f"^{kind.create} .*failing-\\d", error="INTERNAL"))
        # An object that cannot be understood is counted as well.
        async with sidecar(world, unused_tcp_port):
            found = []
            for numbers in (range(1), range(1, 8)):
                async with asyncio.TaskGroup() as tasks:
                    for number in numbers:
                        for kind in KINDS:
                            tasks.create_task(load(world.of(kind), number))
                found.append(await read_page(unused_tcp_port))
            yield found[0], found[1]


def families(page: str) -> dict[str, Metric]:
    return {each.name: each for each in text_string_to_metric_families(page)}


def as_family(metric: Metric) -> Family:
    labels = {label for sample in metric.samples for label in sample.labels}
    buckets = dict.fromkeys(sample.labels["le"] for sample in metric.samples if "le" in sample.labels)
    return Family(metric.type, frozenset(labels - {"le"}), tuple(buckets))


def series(page: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {
        (sample.name, frozenset(sample.labels.items()))
        for metric in families(page).values()
        for sample in metric.samples
    }


def values(page: str, prefix: str, label: str) -> set[str]:
    """The values of a label in the series that begin so."""
    return {dict(labels)[label] for name, labels in series(page) if name.startswith(prefix)}


def contents(page: str) -> float:
    return sum(sample.value for sample in families(page)["snapshotter_contents"].samples)


async def test_it_has_the_names_the_labels_and_the_buckets_that_dashboards_know_and_no_others(
    pages: tuple[str, str],
) -> None:
    for page in pages:
        found = families(page)
        assert {name: as_family(metric) for name, metric in found.items()} == UPSTREAM | OURS
        assert all(metric.documentation.endswith(".") for metric in found.values())
        assert values(page, "workqueue_", "name") == {"csi-snapshotter-content", "csi-snapshotter-groupsnapshotcontent"}
        assert values(page, "leader_election_", "name") == {LEASE}
        assert values(page, "csi_sidecar_", "driver_name") == {"unknown-driver", DRIVER}
        assert values(page, "csi_sidecar_", "grpc_status_code") == {"OK", "Internal"}
        assert {f"/csi.v1.Controller/{SINGLE.create}", f"/csi.v1.GroupController/{GROUP.delete}"} <= values(
            page, "csi_sidecar_", "method_name"
        )


async def test_it_does_not_grow_with_the_number_of_objects(pages: tuple[str, str]) -> None:
    fewer, more = (series(page) for page in pages)
    # A status of the API server may come later for the first time; there are not many.
    assert {name for name, _ in more ^ fewer} <= {"snapshotter_api_requests_total"}
    assert contents(pages[1]) > contents(pages[0]) + 30


@pytest.mark.promtool
async def test_promtool_has_nothing_to_say_against_it(pages: tuple[str, str], promtool: Promtool) -> None:
    checked = promtool("check", "metrics", text=pages[1])
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.promtool
def test_promtool_would_say_something(promtool: Promtool) -> None:
    checked = promtool("check", "metrics", text="# TYPE waited_ms counter\nwaited_ms 1\n")
    assert checked.returncode == 3
    assert "no help text" in checked.stderr
