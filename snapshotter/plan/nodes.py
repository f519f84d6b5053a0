"""Distributed snapshotting: which node's sidecar is to cut a volume."""

import re
from collections.abc import Iterable
from typing import Final

from snapshotter.model.storage import Node, NodeAffinity, NodeSelectorTerm, Requirement, Volume
from snapshotter.names import MANAGED_BY
from snapshotter.plan.requests import Labelled

LONGEST_LABEL: Final = 63
"""Characters of a label's value (Kubernetes, "Labels and Selectors")."""


def managed_by(volumes: Iterable[Volume], nodes: Iterable[Node]) -> Labelled:
    """The label that gives a content to the sidecar of one node: the first by name that can reach all volumes.

    Volumes that any node can reach want no label. The order makes the choice the same whenever it is made.
    """
    bound = [volume.spec.node_affinity for volume in volumes if volume.spec.node_affinity is not None]
    affinities = [affinity for affinity in bound if affinity.required is not None]
    if not affinities:
        return Labelled()
    fitting = sorted(node.name for node in nodes if all(_fits(affinity, node) for affinity in affinities))
    if not fitting:
        return Labelled(remark="no node can reach the volume, so no node's csi-snapshotter will make the snapshot")
    if len(fitting[0]) > LONGEST_LABEL:
        return Labelled(remark=f'the name of node "{fitting[0]}" is too long for the label {MANAGED_BY}')
    return Labelled({MANAGED_BY: fitting[0]})


def _fits(affinity: NodeAffinity, node: Node) -> bool:
    """Whether one of the terms holds; an empty or a broken term does not."""
    required = affinity.required
    return required is None or any(_holds(term, node) for term in required.node_selector_terms)


def _holds(term: NodeSelectorTerm, node: Node) -> bool:
    rules = [(rule, node.labels.get(rule.key)) for rule in term.match_expressions]
    rules += [(rule, node.name if rule.key == "metadata.name" else None) for rule in term.match_fields]
    return bool(rules) and all(_meets(rule, value) for rule, value in rules)


def _meets(rule: Requirement, value: str | None) -> bool:
    match rule.operator:
        case "In":
            return value in rule.values
        case "NotIn":
            return bool(rule.values) and value not in rule.values
        case "Exists":
            return value is not None and not rule.values
        case "DoesNotExist":
            return value is None and not rule.values
        case "Gt" | "Lt" if value is not None and len(rule.values) == 1:
            return _compares(rule.operator, value, rule.values[0])
        case _:
            return False


def _compares(operator: str, value: str, bound: str) -> bool:
    # Kubernetes takes 64 bits; twenty digits hold them.
    if not (re.fullmatch(r"[+-]?[0-9]{1,20}", value) and re.fullmatch(r"[+-]?[0-9]{1,20}", bound)):
        return False
    return int(value) > int(bound) if operator == "Gt" else int(value) < int(bound)
