"""The dashboard: its queries, and that a person can read it."""

import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import promql
from tests.manifests.prometheus_rule import rules
from tests.manifests.rendering import one, rendered
from tests.manifests.series import Pages

DASHBOARD = Path(__file__).parents[2] / "manifests" / "monitoring" / "dashboard.json"
OURS = ("snapshotter_", "snapshot_controller_")
COLUMNS = 24
"""The width of Grafana's grid."""

Json = dict[str, Any]


@cache
def dashboard() -> Json:
    found: Json = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[Json]:
    """What shows something; the rows between are left out."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def variables() -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard()["templating"]["list"]}


def queries() -> Iterator[tuple[str, str, str]]:
    """Each query with the panel that it is for, and what its lines are called."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], plain(target["expr"]), target["legendFormat"]


def plain(query: str) -> str:
    """The query as Prometheus gets it, with every value of each variable."""
    for name in variables():
        query = query.replace(f"${name}", ".*")
    return query.replace("$__rate_interval", "5m")


def test_queries_ask_for_series_and_labels_that_exist(metrics: Pages) -> None:
    for title, query, legend in queries():
        labels = promql.labels(query, metrics.labels)
        assert set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)) <= labels, f"the legend of {title}"


def test_queries_compare_labels_with_values_that_they_have(metrics: Pages) -> None:
    assert [text for _, query, _ in queries() for text in promql.impossible(query, metrics.values)] == []


def test_all_series_of_our_own_are_shown(metrics: Pages) -> None:
    asked = set[str]().union(*(promql.names(query) for _, query, _ in queries()))
    for rule in rules():
        if rule.get("record") in asked:
            asked |= promql.names(rule["expr"])
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics.labels if name.startswith(OURS)}
    assert ours - {name.removesuffix("_bucket") for name in asked} == set()


def test_lines_are_told_apart(metrics: Pages) -> None:
    # Labels that always have one value, or that the panel's variable chooses.
    alone = promql.OF_TARGETS | {"le", "version"}
    for title, query, legend in queries():
        if not legend:
            continue
        labels = promql.labels(query, metrics.labels) - alone
        missing = labels - set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))
        assert missing == set(), f"{title} does not say which {missing}"


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(titles) == len(set(titles))


def test_panels_lie_side_by_side() -> None:
    every = dashboard()["panels"]
    assert [panel["id"] for panel in every] == list(range(1, len(every) + 1))
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["y"] >= 0
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
    for one_panel, other in itertools.combinations(every, 2):
        assert not overlap(one_panel["gridPos"], other["gridPos"]), (one_panel["title"], other["title"])


def overlap(a: Json, b: Json) -> bool:
    return bool(
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )


def test_it_belongs_to_no_one_grafana() -> None:
    """Every data source is the one that the reader chooses, and Grafana gives the dashboard its own identity."""
    assert dashboard()["id"] is None
    assert "uid" not in dashboard()
    assert set(uids(dashboard())) == {"${datasource}"}
    assert "__inputs" not in dashboard()


def uids(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, child in node.items():
            if key == "uid":
                yield child
            yield from uids(child)
    elif isinstance(node, list):
        for child in node:
            yield from uids(child)


def test_variables_are_defined_before_they_are_used(metrics: Pages) -> None:
    assert list(variables()) == ["datasource", "namespace", "driver", "pod"]
    defined = set[str]()
    for name, variable in variables().items():
        if variable["type"] == "query":
            query, label = asked(variable)
            assert used(query) <= defined
            assert label in promql.labels(plain(query), metrics.labels)
        defined.add(name)
    for panel in panels():
        assert used(json.dumps(panel)) <= defined, panel["title"]


def asked(variable: Json) -> tuple[str, str]:
    """What a variable asks for, and the label whose values it takes."""
    query = variable["query"]["query"]
    if found := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
        return found[1], found[2]
    found, label = re.fullmatch(r"query_result\((.+)\)", query), re.fullmatch(r'/(\w+)="\(.+\)"/', variable["regex"])
    assert found is not None
    assert label is not None
    return found[1], label[1]


def used(text: str) -> set[str]:
    return set(re.findall(r"\$\{?([a-z]\w*)", text))


@pytest.mark.kustomize
def test_grafana_finds_it_by_the_label_of_its_config_map() -> None:
    config_map = one(rendered("monitoring"), "ConfigMap", "snapshotter-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in config_map["data"].items()} == {"snapshotter.json": dashboard()}
