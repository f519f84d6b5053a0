"""The page about conformance is complete: each case has tests or a decision, each weakness of upstream its tests."""

import re
from dataclasses import dataclass
from typing import Final

import pytest

from tests import pages

CASES: Final = range(1, 115)
WEAKNESSES: Final = range(1, 50)
DECISIONS: Final = {
    "2026-11-20-conformance-of-single-snapshots.md": CASES,
    "2026-11-20-conformance-of-group-snapshots.md": range(76, 102),
}
"""The pages that say where we do otherwise, and the cases that they may be about."""


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


ROWS: Final = [
    Row(int(number), pages.references(tests), set(re.findall(r"\(decisions/([^)]+)\)", otherwise)))
    for number, _, tests, otherwise in pages.rows(page("conformance.md"))
]
TESTS: Final = [(row.number, place) for row in ROWS for place in row.tests]


def test_every_case_is_there_once() -> None:
    assert [row.number for row in ROWS] == list(CASES)


def test_every_case_has_a_test_or_a_decision() -> None:
    assert [row.number for row in ROWS if not row.tests and not row.decisions] == []


def test_every_test_that_is_named_exists_and_speaks_of_its_case() -> None:
    found = {place: pages.find(place) for _, place in TESTS}
    assert [place for place, test in found.items() if test is None] == []
    assert [(n, place) for n, place in TESTS if (test := found[place]) is not None and n not in test.cases] == []


@pytest.mark.parametrize("name", DECISIONS)
def test_the_decisions_that_are_named_are_those_that_there_are(name: str) -> None:
    assert {row.number for row in ROWS if name in row.decisions} == decided(name)
    assert decided(name) <= set(DECISIONS[name])


def test_every_weakness_of_upstream_is_shown_not_to_be_ours() -> None:
    rows = list(pages.rows(page("decisions/2026-11-20-known-weaknesses-of-upstreams-sidecar.md")))
    assert [row[0] for row in rows] == [f"W{number}" for number in WEAKNESSES]
    assert [row[0] for row in rows if not pages.references(row[3])] == []
    assert [place for row in rows for place in pages.references(row[3]) if pages.find(place) is None] == []
