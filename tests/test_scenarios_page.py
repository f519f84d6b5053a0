"""The page of what users want to do names a test for each scenario, and the tests exist."""

from typing import Final

from tests.manifests.test_examples import EXAMPLES, PROVISIONER
from tests.pages import DOCS, TESTS, find, references, rows

PAGE: Final = (DOCS / "scenarios.md").read_text()
EXPLAINED: Final = {"S33", "S34"}
"""Nothing is done for these: the page says what that means."""


def test_every_scenario_is_on_the_page_once_and_in_order() -> None:
    assert [number for number, *_ in rows(PAGE)] == [f"S{number}" for number in range(1, 50)]


def test_every_scenario_has_a_test_but_those_that_ask_for_nothing() -> None:
    assert {number for number, _, shown in rows(PAGE) if not references(shown)} == EXPLAINED
    assert all(f"({number})" in PAGE for number in EXPLAINED)


def test_the_tests_exist() -> None:
    assert [place for place in references(PAGE) if find(place) is None] == []


def test_what_the_provisioner_does_for_an_example_is_shown_in_the_playground() -> None:
    text = "".join((TESTS / "system" / name).read_text() for name in ("person.py", "test_scenarios.py"))
    assert [name for name, each in EXAMPLES.items() if each.needs == PROVISIONER and f'"{name}"' not in text] == []
