"""Label selectors: which claims a group takes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.model.volume_group_snapshot import LabelSelector
from snapshotter.plan.requests import Refusal
from snapshotter.plan.selectors import matches, trouble, written


def selector(labels: dict[str, str] | None = None, *expressions: tuple[str, str, tuple[str, ...]]) -> LabelSelector:
    rules = [{"key": key, "operator": operator, "values": list(values)} for key, operator, values in expressions]
    return msgspec.convert({"matchLabels": labels or {}, "matchExpressions": rules}, LabelSelector)


MATCHES: dict[str, tuple[LabelSelector, dict[str, str], bool]] = {
    "the label is there": (selector({"app": "db"}), {"app": "db", "tier": "1"}, True),
    "the label has another value": (selector({"app": "db"}), {"app": "web"}, False),
    "the label is not there": (selector({"app": "db"}), {}, False),
    "one of two labels is there": (selector({"app": "db", "tier": "1"}), {"app": "db"}, False),
    "an empty value is a value": (selector({"app": ""}), {}, False),
    "In: one of the values": (selector(None, ("app", "In", ("db", "web"))), {"app": "web"}, True),
    "In: another value": (selector(None, ("app", "In", ("db", "web"))), {"app": "cache"}, False),
    "In: no label": (selector(None, ("app", "In", ("db",))), {}, False),
    "NotIn: another value": (selector(None, ("app", "NotIn", ("db",))), {"app": "web"}, True),
    "NotIn: one of the values": (selector(None, ("app", "NotIn", ("db",))), {"app": "db"}, False),
    "NotIn: no label": (selector(None, ("app", "NotIn", ("db",))), {}, True),
    "Exists": (selector(None, ("app", "Exists", ())), {"app": ""}, True),
    "Exists: no label": (selector(None, ("app", "Exists", ())), {}, False),
    "DoesNotExist": (selector(None, ("app", "DoesNotExist", ())), {}, True),
    "DoesNotExist: it does": (selector(None, ("app", "DoesNotExist", ())), {"app": "db"}, False),
    "labels and expressions must hold together": (
        selector({"app": "db"}, ("tier", "Exists", ())),
        {"app": "db"},
        False,
    ),
    "all expressions must hold": (
        selector(None, ("app", "Exists", ()), ("tier", "Exists", ())),
        {"app": "db"},
        False,
    ),
}


@pytest.mark.parametrize(("given_selector", "labels", "expected"), MATCHES.values(), ids=MATCHES.keys())
def test_labels_are_selected(given_selector: LabelSelector, labels: dict[str, str], expected: bool) -> None:
    assert matches(given_selector, labels) is expected


TROUBLE: dict[str, tuple[LabelSelector, str]] = {
    "it is empty": (selector(), "it would take every PersistentVolumeClaim of the namespace"),
    "it has no key": (selector(None, ("", "Exists", ())), "an expression has no key"),
    "In has no values": (selector(None, ("app", "In", ())), 'the expression on "app" has operator In and no values'),
    "NotIn has no values": (selector(None, ("app", "NotIn", ())), "operator NotIn and no values"),
    "Exists has values": (selector(None, ("app", "Exists", ("db",))), "operator Exists and values"),
    "DoesNotExist has values": (selector(None, ("app", "DoesNotExist", ("db",))), "operator DoesNotExist and values"),
    "nobody knows the operator": (selector(None, ("app", "Like", ("d",))), 'the unknown operator "Like"'),
}


@pytest.mark.parametrize(("given_selector", "text"), TROUBLE.values(), ids=TROUBLE.keys())
def test_a_selector_is_refused_because(given_selector: LabelSelector, text: str) -> None:
    for found in (trouble(given_selector), matches(given_selector, {"app": "db"})):
        assert isinstance(found, Refusal)
        assert text in found.problem


def test_a_selector_is_written_as_kubectl_takes_it() -> None:
    given_selector = selector(
        {"tier": "1", "app": "db"},
        ("a", "In", ("x", "y")),
        ("b", "NotIn", ("z",)),
        ("c", "Exists", ()),
        ("d", "DoesNotExist", ()),
    )
    assert written(given_selector) == "app=db,tier=1,a in (x,y),b notin (z),c,!d"


keys = st.sampled_from("abc")
values = st.sampled_from(["1", "2", ""])
rules = st.one_of(
    st.tuples(keys, st.sampled_from(["In", "NotIn"]), st.lists(values, min_size=1, max_size=2).map(tuple)),
    st.tuples(keys, st.sampled_from(["Exists", "DoesNotExist"]), st.just(())),
)


@given(st.dictionaries(keys, values), st.lists(rules, max_size=3), st.dictionaries(keys, values))
def test_a_selector_means_what_its_parts_mean(
    labels: dict[str, str], expressions: list[tuple[str, str, tuple[str, ...]]], held: dict[str, str]
) -> None:
    meaning: dict[str, Any] = {
        "In": lambda key, listed: any(held.get(key) == value for value in listed),
        "NotIn": lambda key, listed: all(held.get(key) != value for value in listed),
        "Exists": lambda key, _: key in held,
        "DoesNotExist": lambda key, _: key not in held,
    }
    expected = all(item in held.items() for item in labels.items()) and all(
        meaning[operator](key, listed) for key, operator, listed in expressions
    )
    found = matches(selector(labels, *expressions), held)
    assert isinstance(found, Refusal) if not labels and not expressions else found is expected
