"""Label and field selectors, as they stand in a query."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snapshotter.testing.apiserver.status import bad_request

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<op>==|!=|=)\s*(?P<value>[^=!\s]*)$")
_NAME = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_FIELD = re.compile(r"^(?P<key>[^=!]+?)(?P<op>==|!=|=)(?P<value>(?:[^\\=,]|\\.)*)$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """The value of `key` is one of `values` (`among`), or is not; absent counts as not among any.

    `values` None means any value: the key is present (`among`), or absent.
    """

    key: str
    among: bool
    values: frozenset[str] | None

    def holds(self, value: str | None) -> bool:
        found = value is not None and (self.values is None or value in self.values)
        return found == self.among


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold; without any, everything is selected."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, values: Callable[[str], str | None]) -> bool:
        return all(requirement.holds(values(requirement.key)) for requirement in self.requirements)

    def matches_labels(self, labels: Mapping[str, str] | None) -> bool:
        return not self.requirements or self.matches((labels or {}).get)

    def __bool__(self) -> bool:
        return bool(self.requirements)


EVERYTHING = Selector()


def selector_of(selector: Mapping[str, Any]) -> Selector:
    """A label selector as it stands in an object, with `matchLabels` and `matchExpressions`."""
    exact = [Requirement(key, True, frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    expressions = selector.get("matchExpressions") or ()
    return Selector((*exact, *(_expressed(expression) for expression in expressions)))


def _expressed(expression: Mapping[str, Any]) -> Requirement:
    among = expression["operator"] in ("In", "Exists")
    values = frozenset(expression.get("values") or ()) if expression["operator"] in ("In", "NotIn") else None
    return Requirement(expression["key"], among, values)


def parse_labels(text: str) -> Selector:
    """A label selector such as `a=b,c in (d,e),!f`; ApiError 400 when it cannot be read."""
    return Selector(tuple(_label_requirement(part) for part in _split(text, r",(?![^(]*\))")))


def parse_fields(text: str) -> Selector:
    """A field selector such as `metadata.name=a,spec.driver!=b`; ApiError 400 when it cannot be read."""
    return Selector(tuple(_field_requirement(part) for part in _split(text, r"(?<!\\),")))


def _split(text: str, comma: str) -> list[str]:
    return [part.strip() for part in re.split(comma, text)] if text.strip() else []


def _label_requirement(part: str) -> Requirement:
    if found := _SET.match(part):
        values = frozenset(value.strip() for value in found["values"].split(","))
        requirement = Requirement(found["key"], found["op"] == "in", values)
    elif found := _EQUALITY.match(part):
        requirement = Requirement(found["key"], found["op"] != "!=", frozenset({found["value"]}))
    else:
        requirement = Requirement(part.removeprefix("!").strip(), not part.startswith("!"), None)
    if not _NAME.match(requirement.key):
        raise bad_request(f"unable to parse requirement: invalid label key {requirement.key!r} in {part!r}")
    return requirement


def _field_requirement(part: str) -> Requirement:
    found = _FIELD.match(part)
    if found is None:
        raise bad_request(f"invalid selector: {part!r}; can't understand {part!r}")
    value = re.sub(r"\\(.)", r"\1", found["value"])
    return Requirement(found["key"].strip(), found["op"] != "!=", frozenset({value}))
