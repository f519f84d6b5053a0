"""Rules and alerts: that they say what they are meant to, and ask for nothing that is not there."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Promtool
from tests.manifests import promql
from tests.manifests.prometheus_rule import OBJECT, RULES, rendered, rules
from tests.manifests.series import Pages

CASES = Path(__file__).parent / "monitoring"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"

Json = dict[str, Any]


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


def test_the_cases_judge_by_all_groups_in_their_order() -> None:
    """What is recorded comes before what asks for it."""
    order = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    for path in CASES.glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["group_eval_order"] == order, path.name


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


def test_rules_ask_for_series_and_labels_that_exist(metrics: Pages) -> None:
    for name, alert in alerts().items():
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
        assert shown <= promql.labels(alert["expr"], metrics.labels), name


def test_rules_compare_labels_with_values_that_they_have(metrics: Pages) -> None:
    assert [text for rule in rules() for text in promql.impossible(rule["expr"], metrics.values)] == []


def test_the_cases_are_of_series_that_exist(metrics: Pages) -> None:
    for series in {series["series"] for case in cases() for series in case["input_series"]}:
        name, labels = series.partition("{")[0], set(re.findall(r'(\w+)="', series))
        assert labels <= metrics.labels[name] | promql.OF_TARGETS, series
