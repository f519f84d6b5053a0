"""The lock files, as far as they can be judged without a package index; `python -m image.lock --check` asks one."""

from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image.lock import HERE, LOCKS
from snapshotter.testing.playground import EXTRA
from tests.image.dockerfile import project
from tests.image.locks import read, unmet

PROJECT = project()
DAEMONS = PROJECT["project"]["dependencies"]
REQUIREMENTS = {
    "daemons.lock": DAEMONS,
    "playground.lock": [*DAEMONS, *PROJECT["project"]["optional-dependencies"]["playground"]],
    "tools.lock": [*PROJECT["dependency-groups"]["image"], *PROJECT["build-system"]["requires"]],
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_versions_that_the_project_allows(name: str) -> None:
    assert unmet(REQUIREMENTS[name], read(name)) == []


def test_a_requirement_that_a_lock_does_not_meet_is_seen() -> None:
    assert unmet(["aiohttp>=99", "no-such-library"], read("daemons.lock")) == ["aiohttp>=99", "no-such-library"]


@pytest.mark.parametrize("name", LOCKS)
def test_every_version_has_hashes(name: str) -> None:
    assert [package for package, pin in read(name).items() if len(pin.hashes) < 1] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_package_index(name: str) -> None:
    assert "://" not in (HERE / name).read_text()


def test_the_playground_runs_the_daemons_with_the_libraries_that_they_have_alone() -> None:
    daemons, playground = read("daemons.lock"), read("playground.lock")
    assert {name: playground.get(name) for name in daemons} == dict(daemons)
    assert len(playground) > len(daemons)


def test_there_is_no_lock_that_nobody_keeps() -> None:
    assert {path.name for path in HERE.glob("*.lock")} == set(LOCKS)


def test_the_tool_knows_which_modules_come_with_its_extra() -> None:
    """So that it can say what to install when one is missing."""
    modules = packages_distributions()
    for text in PROJECT["project"]["optional-dependencies"]["playground"]:
        name = canonicalize_name(Requirement(text).name)
        provided = {module for module, names in modules.items() if name in map(canonicalize_name, names)}
        assert provided & EXTRA, f"{name} provides {provided}"
