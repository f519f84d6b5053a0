"""The series that the real programs have, read from their own pages: names, labels and the values of labels."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.metrics import WebhookMetrics
from snapshotter.testing.faults import Fault
from tests.manifests import promql
from tests.world import GROUP, SINGLE, World, make_world

COMMAND = Path(sys.executable).parent / "csi-snapshotter"

OF_PROMETHEUS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "driver_name"}),
}
"""What Prometheus itself tells of each target, and of the alerts."""


@dataclass(frozen=True, slots=True)
class Pages:
    """What the programs tell."""

    labels: dict[str, frozenset[str]] = field(default_factory=dict)
    """The labels of each series."""
    values: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The values that a label of a series has."""

    def add(self, page: str) -> None:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self.labels[sample.name] = self.labels.get(sample.name, frozenset()) | sample.labels.keys()
                for label, value in sample.labels.items():
                    self.values.setdefault((sample.name, label), set()).add(value)

    def record(self, name: str, query: str) -> None:
        """A rule computes this series. Raises `BadQuery` if it cannot."""
        self.labels[name] = promql.labels(query, self.labels)
        for label in self.labels[name]:
            of = [self.values.get((each, label), set()) for each in promql.names(query)]
            self.values[name, label] = set().union(*of)


async def pages(directory: Path, port: int) -> Pages:
    found = Pages(dict(OF_PROMETHEUS))
    for page in (await sidecar_page(directory, port), webhook_page()):
        found.add(page)
    return found


async def sidecar_page(directory: Path, port: int) -> str:
    """What a sidecar tells that leads, has made both kinds of snapshots, and has failed."""
    async with make_world(directory) as world:
        process = await asyncio.create_subprocess_exec(
            COMMAND, *arguments(world, port), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await make_some(world)
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
                return await response.text()
        finally:
            process.terminate()
            await process.wait()


def arguments(world: World, port: int) -> list[str]:
    """The flags of a sidecar in this world that elects a leader and serves its metrics."""
    return [
        f"--csi-address={world.driver.socket}",
        f"--kubeconfig={world.kubeconfig}",
        f"--http-endpoint=127.0.0.1:{port}",
        "--leader-election",
        "--leader-election-namespace=default",
    ]


async def make_some(world: World) -> None:
    """Make and delete a snapshot and a group; the first create of the snapshot fails, and one of each stays."""
    world.driver.faults.set(Fault(match="CreateSnapshot", error="INTERNAL", message="no", times=1))
    for each in (world.of(SINGLE), world.of(GROUP)):
        await each.make_class()
        for name in ("stays", "goes"):
            await each.make_content(name)
            await each.until(lambda each=each, name=name: each.settled(name))  # type: ignore[misc]
        await each.delete_content("goes")
        await each.until(lambda each=each: each.content("goes") is None)  # type: ignore[misc]


def webhook_page() -> str:
    metrics = WebhookMetrics(CollectorRegistry())
    metrics.review_durations.labels("conversion").observe(0.01)
    metrics.converted_objects.labels("v1", "v1beta1").inc()
    return generate_latest(metrics.registry).decode()
