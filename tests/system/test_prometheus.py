"""A real Prometheus that reads the real programs by the shipped rules: silent while all is well, loud in an outage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
import yaml

from snapshotter.testing.faults import Fault
from tests.manifests import programs
from tests.manifests.prometheus_rule import RULES
from tests.manifests.test_dashboard import queries
from tests.world import DRIVER, KINDS, World, make_world

pytestmark = pytest.mark.prometheus

Json = dict[str, Any]
T = TypeVar("T")

NAMESPACE = "storage"
ONLY_IN_TROUBLE = {"Alerts that fire", "Calls that did not succeed", "Permissions that are missing"}
"""Panels that show nothing while all is well."""


class Prometheus:
    """A Prometheus that looks twice a second."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def ask(self, path: str, **parameters: str) -> Any:
        async with self._http.get(f"/api/v1/{path}", params=parameters) as response:
            answer: Json = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, query: str) -> list[Json]:
        found: list[Json] = (await self.ask("query", query=query))["result"]
        return found

    async def firing(self) -> list[Json]:
        found = (await self.ask("alerts"))["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    async def until_firing(self, *names: str) -> list[Json]:
        """The alerts that fire, once those of all these names do. Raises `TimeoutError`."""

        async def found() -> list[Json]:
            alerts = await self.firing()
            return alerts if {alert["labels"]["alertname"] for alert in alerts} >= set(names) else []

        return await until(found)

    async def until_silent(self) -> None:
        """Return once no alert fires. Raises `TimeoutError`."""

        async def silent() -> bool:
            return not await self.firing()

        await until(silent)

    async def until_found(self, query: str) -> None:
        """Return once a query has an answer. Raises `TimeoutError`."""
        await until(lambda: self.query(query))


async def until(find: Callable[[], Awaitable[T]]) -> T:
    """What is found, once something is. Raises `TimeoutError`."""
    async with asyncio.timeout(60):
        while True:
            if found := await find():
                return found
            await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Target:
    """A program that serves its metrics."""

    job: str
    pod: str
    port: int


@asynccontextmanager
async def prometheus(directory: Path, port: int, *targets: Target) -> AsyncIterator[Prometheus]:
    """A Prometheus that reads these programs, and judges by the shipped rules with short waits."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group["interval"] = "500ms"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "2s"
    (directory / "rules.yaml").write_text(yaml.safe_dump(rules))
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [
                    {
                        "targets": [f"127.0.0.1:{target.port}"],
                        "labels": {"namespace": NAMESPACE, "pod": target.pod, "container": job},
                    }
                    for target in targets
                    if target.job == job
                ],
            }
            for job in {target.job for target in targets}
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={directory}/prometheus.yaml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await until(lambda: is_ready(http))
            yield Prometheus(http)
    finally:
        process.terminate()
        await process.wait()


async def is_ready(http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get("/-/ready") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        for kind in KINDS:
            await made.of(kind).make_class()
        await programs.make_claims(made)
        yield made


async def test_it_is_silent_while_all_is_well_and_calls_when_the_driver_is_gone(
    world: World, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    free = unused_tcp_port_factory
    sidecars = [Target(programs.SIDECAR, f"csi-{number}", free()) for number in range(2)]
    controller, webhook = (Target(job, f"{job}-0", free()) for job in (programs.CONTROLLER, programs.WEBHOOK))
    review_port = free()
    async with AsyncExitStack() as stack:
        for sidecar in sidecars:
            await stack.enter_async_context(programs.sidecar(world, sidecar.port))
        await stack.enter_async_context(programs.controller(world, controller.port))
        pair = await stack.enter_async_context(programs.webhook(tmp_path, review_port, webhook.port))
        await programs.take_snapshots(world, "stays")
        watcher = await stack.enter_async_context(prometheus(tmp_path, free(), *sidecars, controller, webhook))
        await watcher.until_found("sum(up) == 4")
        # What is counted shows as a rate only when it has grown between two looks.
        for name in ("first", "second"):
            await programs.take_snapshots(world, name)
            await programs.delete_snapshots(world, name)
            await programs.convert_something(pair, review_port)
            await watcher.until_found('csi_sidecar_operations_seconds_count{method_name=~".+/Delete.*Group.+"} > 0')
        await watcher.until_found("snapshotter:csi_calls:rate5m > 0")

        await every_rule_works(watcher)
        await every_panel_shows_something(watcher)
        await watcher.until_silent()

        await world.driver.stop_serving()
        fired = await watcher.until_firing("SnapshotterDriverAway")
        (away,) = [alert for alert in fired if alert["labels"]["alertname"] == "SnapshotterDriverAway"]
        assert away["labels"].items() >= {"driver_name": DRIVER, "namespace": NAMESPACE, "severity": "critical"}.items()
        # Of the two replicas it is the one that leads, and the other is told apart from it.
        (leads,) = await watcher.query('leader_election_master_status{job="csi-snapshotter"} == 1')
        assert away["labels"]["pod"] == leads["metric"]["pod"]
        assert f"{NAMESPACE}/{away['labels']['pod']}" in away["annotations"]["description"]
        await watcher.until_firing("SnapshotterStandbyWithoutDriver")

        await world.driver.start_serving()
        await watcher.until_silent()


async def every_rule_works(watcher: Prometheus) -> None:
    async def evaluated() -> list[Json]:
        found = await rules(watcher)
        return [] if any(rule["health"] == "unknown" for rule in found) else found

    assert [rule for rule in await until(evaluated) if rule["health"] != "ok"] == []


async def rules(watcher: Prometheus) -> list[Json]:
    groups = (await watcher.ask("rules"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


async def every_panel_shows_something(watcher: Prometheus) -> None:
    # A rate shows when what it is about has been read twice.
    empty = set[str]()
    for _ in range(60):
        empty = {title for title, query, _ in queries() if not await watcher.query(query)} - ONLY_IN_TROUBLE
        if not empty:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"nothing is shown in {empty}")


async def test_it_calls_when_snapshots_fail(
    world: World, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    sidecar = Target(programs.SIDECAR, "csi-0", unused_tcp_port_factory())
    world.driver.faults.set(Fault(match="Create", error="INTERNAL", message="the disk is on fire"))
    async with (
        programs.sidecar(world, sidecar.port),
        prometheus(tmp_path, unused_tcp_port_factory(), sidecar) as watcher,
    ):
        await watcher.until_found("up == 1")
        for each in (world.of(kind) for kind in KINDS):
            for number in range(5):
                await each.make_content(f"{each.kind.id}-{number}")
        fired = await watcher.until_firing("SnapshotterCreateFailing", "SnapshotterContentsFailing")
        failing = [alert["labels"] for alert in fired if alert["labels"]["alertname"] == "SnapshotterCreateFailing"]
        assert {labels["driver_name"] for labels in failing} == {DRIVER}
