"""The page about the promises tells the truth: its tests exist, and are for the kinds that it says."""

from dataclasses import dataclass
from typing import Final

import pytest

from tests import pages

PAGE: Final = (pages.DOCS / "promises.md").read_text()
PROMISES: Final = range(1, 17)
KINDS_OF: Final = {"both": {"single", "group"}, "any": {"single", "group"}, "singles": {"single"}, "groups": {"group"}}


@dataclass(frozen=True)
class Row:
    """A sentence, the kinds that it is shown for, the tests that show it and where they run."""

    sentence: str
    of: str
    tests: list[str]
    where: str


def rows_of(number: int) -> list[Row]:
    """What the page says of a promise."""
    [section] = [part for part in PAGE.split("\n## ")[1:] if part.startswith(f"{number}. ")]
    return [Row(sentence, of, pages.references(tests), where) for sentence, of, tests, where in pages.rows(section)]


def named_by(row: Row) -> list[pages.Test]:
    return [test for place in row.tests if (test := pages.find(place)) is not None]


each_promise = pytest.mark.parametrize("number", PROMISES)


@each_promise
def test_every_test_that_is_named_exists(number: int) -> None:
    rows = rows_of(number)
    assert rows
    assert [row.sentence for row in rows if not row.tests] == []
    assert [place for row in rows for place in row.tests if pages.find(place) is None] == []


@each_promise
def test_what_is_said_to_be_for_both_kinds_is(number: int) -> None:
    rows = rows_of(number)
    assert {row.of for row in rows} <= KINDS_OF.keys()
    both = (test for row in rows if row.of == "both" for test in named_by(row))
    assert [test.place for test in both if not test.of_both_kinds] == []


@each_promise
def test_the_tests_run_where_it_is_said(number: int) -> None:
    said = {row.sentence: set(row.where.split(", ")) for row in rows_of(number)}
    assert said == {row.sentence: set[str]().union(*(test.tiers for test in named_by(row))) for row in rows_of(number)}


@each_promise
def test_each_promise_is_shown_for_both_kinds(number: int) -> None:
    # What knows no kinds is not enough: something of either kind must be seen to hold.
    shown = [KINDS_OF[row.of] for row in rows_of(number) if row.of != "any"]
    assert set[str]().union(*shown) == {"single", "group"}
