"""Which node's sidecar is given a content, where snapshotting is distributed."""

from typing import Any

import pytest

from snapshotter.names import MANAGED_BY
from snapshotter.plan.nodes import managed_by
from tests.requests import node, volume

NODES = (node("node-b", zone="a", size="5"), node("node-a", zone="b", size="7", odd="x"))


def rule(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def term(*expressions: dict[str, Any], fields: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"matchExpressions": list(expressions), "matchFields": list(fields)}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"required": {"nodeSelectorTerms": list(terms)}}


CHOSEN: dict[str, tuple[dict[str, Any], str | None]] = {
    "the one that has the value": (affinity(term(rule("zone", "In", "a"))), "node-b"),
    "the first by name of those that have it": (affinity(term(rule("zone", "In", "a", "b"))), "node-a"),
    "one that has not the value": (affinity(term(rule("zone", "NotIn", "b"))), "node-b"),
    "one without the label is not in it": (affinity(term(rule("odd", "NotIn", "x"))), "node-b"),
    "one that has the label": (affinity(term(rule("odd", "Exists"))), "node-a"),
    "one that has not the label": (affinity(term(rule("odd", "DoesNotExist"))), "node-b"),
    "one that has more": (affinity(term(rule("size", "Gt", "6"))), "node-a"),
    "one that has less": (affinity(term(rule("size", "Lt", "6"))), "node-b"),
    "the one of that name": (affinity(term(fields=(rule("metadata.name", "In", "node-b"),))), "node-b"),
    "any of the terms is enough": (
        affinity(term(rule("zone", "In", "nowhere")), term(rule("zone", "In", "a"))),
        "node-b",
    ),
    "within a term all must hold": (affinity(term(rule("zone", "In", "a"), rule("size", "Gt", "6"))), None),
    "expressions and fields must hold together": (
        affinity(term(rule("zone", "In", "a"), fields=(rule("metadata.name", "In", "node-a"),))),
        None,
    ),
    "no node has it": (affinity(term(rule("zone", "In", "nowhere"))), None),
    "an empty term holds nowhere": (affinity(term()), None),
    "no term holds nowhere": (affinity(), None),
    "a broken term is passed over": (
        affinity(term(rule("zone", "Near", "a")), term(rule("zone", "In", "a"))),
        "node-b",
    ),
    "NotIn nothing is broken": (affinity(term(rule("zone", "NotIn"))), None),
    "Exists with values is broken": (affinity(term(rule("zone", "Exists", "a"))), None),
    "DoesNotExist with values is broken": (affinity(term(rule("odd", "DoesNotExist", "a"))), None),
    "more than two numbers is broken": (affinity(term(rule("size", "Gt", "1", "2"))), None),
    "more than a word is broken": (affinity(term(rule("size", "Gt", "few"))), None),
    "more than a number that no machine holds is broken": (affinity(term(rule("size", "Gt", "9" * 5000))), None),
    "a word is not more": (affinity(term(rule("odd", "Gt", "1"))), None),
    "what is not there is not more": (affinity(term(rule("nothing", "Gt", "1"))), None),
    "another field is never there": (affinity(term(fields=(rule("spec.unschedulable", "Exists"),))), None),
}


@pytest.mark.parametrize(("given", "chosen"), CHOSEN.values(), ids=CHOSEN.keys())
def test_a_content_goes_to(given: dict[str, Any], chosen: str | None) -> None:
    label = managed_by([volume(affinity=given)], NODES)
    assert label.labels == ({} if chosen is None else {MANAGED_BY: chosen})
    assert (label.remark is None) is (chosen is not None)


@pytest.mark.parametrize("given", [None, {}], ids=["it has no affinity", "its affinity requires nothing"])
def test_a_volume_that_all_nodes_reach_needs_no_label(given: dict[str, Any] | None) -> None:
    label = managed_by([volume(affinity=given)], NODES)
    assert (label.labels, label.remark) == ({}, None)


def test_a_node_must_reach_all_volumes() -> None:
    both = [volume(affinity=affinity(term(rule("zone", "In", zone)))) for zone in ("a", "b")]
    assert managed_by(both, NODES).remark is not None


def test_a_name_that_is_no_label_is_not_written() -> None:
    long = "n" * 64
    label = managed_by([volume(affinity=affinity(term(rule("zone", "In", "a"))))], [node(long, zone="a")])
    assert label.labels == {}
    assert label.remark is not None
    assert long in label.remark
