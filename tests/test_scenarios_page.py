"""The page of what users want to do names a test for each scenario, and the tests exist."""

from typing import Final

from tests.pages import DOCS, find, references, rows

PAGE: Final = (DOCS / "scenarios.md").read_text()
EXPLAINED: Final = {"S33", "S34"}
"""These are about what is not offered: the page says what that means."""


def test_every_scenario_is_on_the_page_once_and_in_order() -> None:
    assert [number for number, *_ in rows(PAGE)] == [f"S{number}" for number in range(1, 50)]


def test_every_scenario_has_a_test_with_the_installed_programs() -> None:
    elsewhere = {
        number for number, _, shown in rows(PAGE) if not any(place.startswith("system/") for place in references(shown))
    }
    assert elsewhere == set()


def test_what_is_not_offered_is_explained() -> None:
    assert all(f"({number})" in PAGE for number in EXPLAINED)


def test_the_tests_exist() -> None:
    assert [place for place in references(PAGE) if find(place) is None] == []
