"""Alerts and dashboards: that they say what they are meant to, and ask for nothing that is not there."""

import asyncio
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.metrics import WebhookMetrics
from snapshotter.testing.faults import Fault
from tests.conftest import Promtool
from tests.manifests import promql
from tests.manifests.prometheus_rule import OBJECT, RULES, rendered
from tests.world import GROUP, SINGLE, World, make_world

CASES = Path(__file__).parent / "monitoring"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
COMMAND = Path(sys.executable).parent / "csi-snapshotter"

Json = dict[str, Any]


@cache
def rules() -> tuple[Json, ...]:
    return tuple(rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"])


def alerts() -> dict[str, Json]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


of_each_alert = pytest.mark.parametrize(("name", "alert"), alerts().items(), ids=alerts().keys())


@cache
def cases() -> tuple[Json, ...]:
    return tuple(case for path in sorted(CASES.glob("*.yaml")) for case in yaml.safe_load(path.read_text())["tests"])


def test_the_object_for_the_operator_has_the_same_rules() -> None:
    assert OBJECT.read_text() == rendered(), "run tests/manifests/prometheus_rule.py"
    assert yaml.safe_load(OBJECT.read_text())["spec"] == yaml.safe_load(RULES.read_text())


@pytest.mark.promtool
def test_prometheus_understands_the_rules(promtool: Promtool) -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


@pytest.mark.promtool
@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_and_are_silent_as_they_should(promtool: Promtool, path: Path) -> None:
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@of_each_alert
def test_of_each_alert_it_is_shown_when_it_fires_and_when_it_is_silent(name: str, alert: Json) -> None:
    about = [(case, each) for case in cases() for each in case["alert_rule_test"] if each["alertname"] == name]
    fires = [case for case, expected in about if expected["exp_alerts"]]
    silent = [case for case, expected in about if not expected["exp_alerts"]]
    assert fires, "no case in which it fires"
    assert silent, "no case in which it is silent"
    # Silence is worth something only when there is something to be silent about.
    asked = asked_for(alert["expr"])
    for case in fires + silent:
        assert asked & {series["series"].partition("{")[0] for series in case["input_series"]}, case["name"]


def asked_for(query: str) -> set[str]:
    """The scraped series that a query needs, also those behind recorded ones."""
    found = promql.names(query)
    for name in found & recorded().keys():
        found = found | asked_for(recorded()[name])
    return found - recorded().keys()


@of_each_alert
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str, alert: Json) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/runbook.md")
    assert section == name.lower()


def test_the_runbook_has_a_section_for_each_alert_in_their_order() -> None:
    assert re.findall(r"^### (Snapshotter\w+)$", RUNBOOK.read_text(), re.MULTILINE) == list(alerts())


async def test_rules_ask_for_series_and_labels_that_exist(tmp_path: Path, unused_tcp_port: int) -> None:
    known = await series(tmp_path, unused_tcp_port)
    problems = []
    for rule in rules():
        name = rule.get("record") or rule["alert"]
        try:
            labels = promql.labels(rule["expr"], known)
        except promql.BadQuery as error:
            problems.append(f"{name}: {error}")
            continue
        if "record" in rule:
            known[name] = labels
        else:
            shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
            problems += [f"{name}: no label {label} to show" for label in set(shown) - labels]
    assert problems == []


async def series(directory: Path, port: int) -> dict[str, frozenset[str]]:
    """The series of the real programs with their labels, and what Prometheus itself tells of each target."""
    pages = [await sidecar_page(directory, port), webhook_page()]
    known = {
        "up": frozenset[str](),
        "snapshotter_permission_missing": frozenset({"verb", "group", "resource", "needed_for"}),
    }
    for page in pages:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                known[sample.name] = known.get(sample.name, frozenset()) | sample.labels.keys()
    return known


async def sidecar_page(directory: Path, port: int) -> str:
    """What a sidecar tells that leads, has made both kinds of snapshots, and has failed."""
    async with make_world(directory) as world:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            f"--csi-address={world.driver.socket}",
            f"--kubeconfig={world.kubeconfig}",
            f"--http-endpoint=127.0.0.1:{port}",
            "--leader-election",
            "--leader-election-namespace=default",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await make_some(world)
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{port}/metrics") as response,
            ):
                return await response.text()
        finally:
            process.terminate()
            await process.wait()


async def make_some(world: World) -> None:
    """A snapshot and a group; the first create of the snapshot fails."""
    world.driver.faults.set(Fault(match="CreateSnapshot", error="INTERNAL", message="no", times=1))
    for each in (world.of(SINGLE), world.of(GROUP)):
        await each.make_class()
        await each.make_content("one")
        await each.until(lambda each=each: each.ready("one"))  # type: ignore[misc]


def webhook_page() -> str:
    metrics = WebhookMetrics(CollectorRegistry())
    metrics.review_durations.labels("conversion").observe(0.01)
    metrics.converted_objects.labels("v1", "v1beta1").inc()
    return generate_latest(metrics.registry).decode()
