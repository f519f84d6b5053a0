"""The Dockerfile as a text. What it makes is tested in `test_trees.py`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from image.lock import PYTHON
from snapshotter import __version__
from tests.image.dockerfile import ROOT, commands, context, read

DOCKERFILE = read()
TARGETS = [*DOCKERFILE.entrypoints(), "all"]
"""The stages that are meant to be images."""


LINTERS = {"hadolint": ["Dockerfile"], "shellcheck": ["image/build.sh", "tests/image/jail.sh"]}


@pytest.mark.parametrize("linter", LINTERS)
def test_the_linter_has_nothing_to_say(linter: str) -> None:
    command = [str(Path(sys.executable).parent / linter), *LINTERS[linter]]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_every_command_has_a_target_of_its_name_that_starts_it_where_upstreams_image_has_it() -> None:
    assert DOCKERFILE.entrypoints() == {name: [f"/{name}"] for name in commands()}


def test_the_default_target_hides_no_command() -> None:
    default = next(reversed(DOCKERFILE.stages))
    assert default == "all"
    assert DOCKERFILE.all(default, "ENTRYPOINT") == []
    assert json.loads(DOCKERFILE.all(default, "CMD")[-1]) == ["/snapshotter", "--help"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_numeric_user_that_is_not_root(target: str) -> None:
    (user,) = DOCKERFILE.all(target, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_manifests_run_it_as_the_same_user() -> None:
    (user,) = DOCKERFILE.all("all", "USER")
    texts = [path.read_text() for path in (ROOT / "manifests").rglob("*.yaml")]
    numbers = [number for text in texts for number in re.findall(r"^ *runAs(?:User|Group): (\d+)", text, re.MULTILINE)]
    assert numbers
    assert {f"{number}:{number}" for number in numbers} == {user}


@pytest.mark.parametrize("target", TARGETS)
def test_no_shell_is_used_in_an_image(target: str) -> None:
    """The exec form is a JSON list; the shell form is not."""
    for instruction in ("RUN", "CMD", "ENTRYPOINT"):
        for value in DOCKERFILE.all(target, instruction):
            assert isinstance(json.loads(value), list)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_built_is_copied_to_the_place_where_it_was_built(target: str) -> None:
    """A virtual environment cannot be moved, and the links lead into it."""
    copies = [copy for stage in DOCKERFILE.lineage(target) for copy in stage.copies()]
    (tree, links) = copies
    assert tree.stage is not None
    assert tree.stage == links.stage
    built = DOCKERFILE.environment(tree.stage)
    assert (tree.sources, tree.target) == ((f"{built['TREE']}/",), f"{built['TREE']}/")
    assert (links.sources, links.target) == ((f"{built['LINKS']}/",), "/")
    assert DOCKERFILE.environment(target)["PATH"].startswith(f"{built['TREE']}/bin:")


def test_daemons_are_built_without_the_playground() -> None:
    for name in commands():
        trees = {copy.stage for stage in DOCKERFILE.lineage(name) for copy in stage.copies()}
        assert trees == {"playground-tree" if name == "snapshotter" else "daemons-tree"}


def test_the_builder_is_given_exactly_what_it_copies() -> None:
    copied = {
        source.rstrip("/")
        for stage in DOCKERFILE.stages.values()
        for copy in stage.copies()
        if copy.stage is None
        for source in copy.sources
    }
    assert copied == {path.parts[0] for path in context()}


def test_nothing_generated_is_given_to_the_builder() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("this is no clone")
    ignored = subprocess.run(
        ["git", "check-ignore", "--stdin"],
        cwd=ROOT, input="\n".join(map(str, context())), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ignored.stdout == ""


def test_the_label_tells_the_version_of_the_project() -> None:
    assert f"VERSION={__version__}" in DOCKERFILE.stages["runtime"].values("ARG")


def test_the_base_is_tagged_with_the_python_that_the_locks_are_for() -> None:
    assert re.fullmatch(rf"python:{re.escape(PYTHON)}-slim-[a-z]+", DOCKERFILE.arguments["PYTHON_IMAGE"])
    bases = {stage.base for stage in DOCKERFILE.stages.values()} - set(DOCKERFILE.stages)
    assert bases == {"${PYTHON_IMAGE}", "scratch"}
