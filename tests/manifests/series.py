"""The series that the real programs have, read from their own pages: names, labels and the values of labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from snapshotter.testing.faults import Fault
from tests.manifests import programs, promql
from tests.world import KINDS, make_world

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


async def pages(directory: Path, free_port: Callable[[], int]) -> Pages:
    """What each program tells that has done everything once; the first create of a snapshot fails."""
    found = Pages(dict(OF_PROMETHEUS))
    sidecar_port, controller_port, port, webhook_port = (free_port() for _ in range(4))
    async with (
        make_world(directory) as world,
        programs.sidecar(world, sidecar_port),
        programs.controller(world, controller_port),
        programs.webhook(directory, port, webhook_port) as pair,
    ):
        world.driver.faults.set(Fault(match="CreateSnapshot", error="INTERNAL", message="no", times=1))
        await programs.make_claims(world)
        for kind in KINDS:
            await world.of(kind).make_class()
        await programs.take_snapshots(world, "stays")
        await programs.take_snapshots(world, "goes")
        await programs.delete_snapshots(world, "goes")
        await programs.convert_something(pair, port)
        for each in (sidecar_port, controller_port, webhook_port):
            found.add(await programs.read_page(each))
    return found
