"""Which series a query of Prometheus asks for, and which labels its answer has."""

import re
from collections.abc import Mapping
from typing import Any

import promql_parser as promql

OF_TARGETS = frozenset({"job", "instance", "namespace", "pod", "container", "endpoint"})
"""The labels that a series gets from where it was scraped."""

ENUMERATED = frozenset({"kind", "method_name", "name", "outcome", "review", "state"})
"""Labels of which every value shows on the page of a program that has worked a little."""

Series = Mapping[str, frozenset[str]]
"""The labels that each series has, by its name."""

SETS = ("and", "or", "unless")
NOT_A_RESULT = frozenset({"time", "vector", "pi", "scalar"})
"""Functions whose answer has no labels."""


class BadQuery(Exception):
    """A query asks for what there is not."""


def names(query: str) -> set[str]:
    """The names of the series that are asked for."""
    return {selector.name for selector in _selectors(promql.parse(query)) if selector.name is not None}


def _selectors(expr: promql.Expr) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def look(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(expr, look)
    return found


def labels(query: str, known: Series) -> frozenset[str]:
    """The labels that the answer may have. Raises `BadQuery` if there is no such series or label."""
    return _labels(promql.parse(query), known)


def impossible(query: str, values: Mapping[tuple[str, str], set[str]]) -> list[str]:
    """Comparisons that no value fulfils, of labels whose values are few and all known."""
    return [
        f"{selector.name} has no {matcher.name} like {matcher.value}"
        for selector in _selectors(promql.parse(query))
        for matcher in selector.matchers.matchers
        if matcher.name in ENUMERATED
        and matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re)
        and not any(re.fullmatch(matcher.value, value) for value in values[selector.name or "", matcher.name])
    ]


def _labels(expr: Any, known: Series) -> frozenset[str]:
    match expr:
        case promql.VectorSelector():
            return _selected(expr, known)
        case promql.MatrixSelector():
            return _selected(expr.vector_selector, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(expr.expr, known)
        case promql.AggregateExpr():
            return _aggregated(expr, known)
        case promql.Call():
            return _called(expr, known)
        case promql.BinaryExpr():
            return _joined(expr, known)
        case promql.NumberLiteral() | promql.StringLiteral():
            return frozenset()
    raise TypeError(f"what is {expr!r}?")


def _selected(selector: promql.VectorSelector, known: Series) -> frozenset[str]:
    if selector.name is None or selector.name not in known:
        raise BadQuery(f"there is no series {selector.name}")
    found = known[selector.name] | OF_TARGETS
    _require({matcher.name for matcher in selector.matchers.matchers}, found, f"{selector.name}")
    return found


def _aggregated(expr: promql.AggregateExpr, known: Series) -> frozenset[str]:
    of = _labels(expr.expr, known)
    if str(expr.op) in ("topk", "bottomk"):
        return of
    if expr.modifier is None:
        return frozenset()
    named = frozenset(expr.modifier.labels)
    _require(named, of, expr.prettify())
    return of - named if expr.modifier.type == promql.AggModifierType.Without else named


def _called(call: promql.Call, known: Series) -> frozenset[str]:
    if call.func.name in NOT_A_RESULT:
        return frozenset()
    vectors = [_labels(each, known) for each in call.args if not _is_literal(each)]
    of = vectors[-1] if vectors else frozenset[str]()
    if call.func.name == "histogram_quantile":
        _require({"le"}, of, call.prettify())
        return of - {"le"}
    if call.func.name == "label_replace":
        _, target, _, source, _ = call.args
        _require({source.val}, of, call.prettify())
        return of | {target.val}
    return of


def _is_literal(expr: Any) -> bool:
    return isinstance(expr, promql.NumberLiteral | promql.StringLiteral)


def _joined(expr: promql.BinaryExpr, known: Series) -> frozenset[str]:
    left, right = _labels(expr.lhs, known), _labels(expr.rhs, known)
    if any(_is_literal(side) or _is_scalar(side) for side in (expr.lhs, expr.rhs)):
        return left | right
    modifier = expr.modifier
    on = modifier is not None and modifier.matching is not None
    if modifier is not None and modifier.matching is not None:
        _require(frozenset(modifier.matching.labels), left & right, expr.prettify())
    if str(expr.op) in SETS:
        return left | right if str(expr.op) == "or" else left
    if modifier is not None and modifier.group_labels:
        _require(frozenset(modifier.group_labels), right, expr.prettify())
        return left | frozenset(modifier.group_labels)
    if not on and left != right:
        raise BadQuery(f"the sides have different labels, so nothing matches: {expr.prettify()}")
    return left & right


def _is_scalar(expr: Any) -> bool:
    """Whether it is a number without labels, such as `14.4 * 0.01`."""
    match expr:
        case promql.NumberLiteral():
            return True
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_scalar(expr.expr)
        case promql.BinaryExpr():
            return _is_scalar(expr.lhs) and _is_scalar(expr.rhs)
        case promql.Call():
            return expr.func.name in ("time", "pi", "scalar")
    return False


def _require(wanted: frozenset[str] | set[str], there: frozenset[str], where: str) -> None:
    if missing := wanted - there:
        raise BadQuery(f"there is no label {', '.join(sorted(missing))} in {where}")
