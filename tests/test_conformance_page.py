"""The pages about conformance are complete: each case has tests or a decision, each weakness of upstream its tests."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest

from tests import pages


@dataclass(frozen=True)
class Specification:
    """One program's specification: how many cases and weaknesses it has, and the pages about them."""

    page: str
    cases: range
    weaknesses: range
    weaknesses_page: str
    decisions: dict[str, range]
    """The pages that say where we do otherwise, and the cases that they may be about."""


SIDECAR: Final = Specification(
    "conformance.md",
    range(1, 115),
    range(1, 50),
    "2026-11-20-known-weaknesses-of-upstreams-sidecar.md",
    {
        "2026-11-20-conformance-of-single-snapshots.md": range(1, 115),
        "2026-11-20-conformance-of-group-snapshots.md": range(76, 102),
    },
)
CONTROLLER: Final = Specification(
    "controller-conformance.md",
    range(1, 191),
    range(1, 41),
    "2026-11-20-known-weaknesses-of-upstreams-controller.md",
    {"2026-11-20-differences-of-the-snapshot-controller.md": range(1, 191)},
)

each_program = pytest.mark.parametrize("program", [SIDECAR, CONTROLLER], ids=["sidecar", "controller"])


@dataclass(frozen=True)
class Row:
    """A case, the tests that show it and the decisions about it."""

    number: int
    tests: list[str]
    decisions: set[str]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def page(name: str) -> str:
    return (pages.DOCS / name).read_text()


def decided(name: str) -> set[int]:
    """The cases that a page of decisions is about."""
    return {number for row in pages.rows(page(f"decisions/{name}")) for number in numbers(row[0])}


@cache
def rows_of(name: str) -> list[Row]:
    return [
        Row(int(number), pages.references(tests), set(re.findall(r"\(decisions/([^)]+)\)", otherwise)))
        for number, _, tests, otherwise in pages.rows(page(name))
    ]


@each_program
def test_every_case_is_there_once(program: Specification) -> None:
    assert [row.number for row in rows_of(program.page)] == list(program.cases)


@each_program
def test_every_case_has_a_test_or_a_decision(program: Specification) -> None:
    assert [row.number for row in rows_of(program.page) if not row.tests and not row.decisions] == []


@each_program
def test_every_test_that_is_named_exists_and_speaks_of_its_case(program: Specification) -> None:
    named = [(row.number, place) for row in rows_of(program.page) for place in row.tests]
    found = {place: pages.find(place) for _, place in named}
    assert [place for place, test in found.items() if test is None] == []
    assert [(n, place) for n, place in named if (test := found[place]) is not None and n not in test.cases] == []


@each_program
def test_the_decisions_that_are_named_are_those_that_there_are(program: Specification) -> None:
    for name, cases in program.decisions.items():
        assert {row.number for row in rows_of(program.page) if name in row.decisions} == decided(name)
        assert decided(name) <= set(cases)


@each_program
def test_every_weakness_of_upstream_is_shown_not_to_be_ours(program: Specification) -> None:
    rows = list(pages.rows(page(f"decisions/{program.weaknesses_page}")))
    assert [row[0] for row in rows] == [f"W{number}" for number in program.weaknesses]
    assert [row[0] for row in rows if not pages.references(row[3])] == []
    assert [place for row in rows for place in pages.references(row[3]) if pages.find(place) is None] == []
