"""What pages of the documentation say about tests: their tables, and whether the tests that they name exist.

A test is named by its file below `tests` and its name, as in `plan/test_content.py::test_next_action`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
DOCS: Final = TESTS.parent / "docs"

REFERENCE: Final = re.compile(r"`([\w/]+\.py::[\w:]+)`")
CASES: Final = re.compile(r"\bcases? (\d+(?:(?:, | and |, and )\d+)*)", re.IGNORECASE)

TIERS: Final = {
    "plan": "table",
    "model": "table",
    "manifests": "table",
    "runtime": "virtual time",
    "csi": "wires",
    "kube": "wires",
    "daemon": "wires",
    "sidecar": "wires",
    "system": "processes",
    "contract": "real API server",
    "cli": "table",
    "test_settings.py": "table",
    "test_logs.py": "processes",
}
"""By the first part of a test's path."""


BOTH_KINDS: Final = {"each_kind", "of_both_kinds", "KINDS", "WATCHED"}
"""Names in tests that stand for singles and groups."""

ON_KUBE: Final = "real API server"
WORLDS: Final = {"world", "shop", "kube", "minutes"}
"""The fixtures that are on the real API server with `--kube`."""
ANYWHERE: Final = "anywhere"
"""The marker of tests that are left out there."""
EVERYWHERE: Final = {"get", "list", "requests", "url", "faults", "cut_watches", "mute_watches"}
"""What a test may ask either server; what is asked of the stand-in alone passes the test over on the real one."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Test:
    """A test as its source tells of it."""

    __test__ = False

    place: str
    """Its file and name."""
    says: str
    """Its name, docstring and the ids of its cases."""
    of_both_kinds: bool
    """Whether it is about single and group contents alike."""
    on_kube: bool
    """Whether `tox -e kube` runs it on the real API server as well."""

    @property
    def cases(self) -> set[int]:
        """The numbers of the specification's cases that it shows."""
        listed = (number for found in CASES.findall(self.says) for number in re.findall(r"\d+", found))
        named = re.findall(r"cases?((?:_(?:and_)?\d+)+)", self.place)
        return {int(number) for number in (*listed, *(n for name in named for n in re.findall(r"\d+", name)))}

    @property
    def tiers(self) -> set[str]:
        """Where it runs."""
        tier = TIERS[self.place.partition("::")[0].partition("/")[0]]
        return {tier, ON_KUBE} if self.on_kube else {tier}


def find(place: str) -> Test | None:
    """The test of this name, if there is one."""
    return _tests_in(place.partition("::")[0]).get(place)


@cache
def _tests_in(file: str) -> dict[str, Test]:
    path = TESTS / file
    if not path.is_file():
        return {}
    body = ast.parse(path.read_text()).body
    defined = dict(_defined(body))
    return {
        f"{file}::{name}": _read(f"{file}::{name}", function, defined)
        for name, function in _functions(body)
        if name.rpartition("::")[2].startswith("test_")
    }


def _functions(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, Function]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{inside}{node.name}::")
        elif isinstance(node, Function):
            yield inside + node.name, node


def _defined(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """What a module defines, by name."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node


def _read(place: str, function: Function, defined: Mapping[str, ast.AST]) -> Test:
    tables = {name: node for name, node in defined.items() if isinstance(node, ast.Assign | ast.AnnAssign)}
    used = _used({name for node in function.decorator_list for name in _names(node)}, tables)
    nodes = (*function.decorator_list, *(tables[name] for name in used if name in tables))
    says = (place, ast.get_docstring(function) or "", *(text for node in nodes for text in _texts(node)))
    return Test(place, "\n".join(says), _knows_both_kinds(function, defined), _runs_on_kube(place, function))


def _runs_on_kube(place: str, function: Function) -> bool:
    if (
        not place.startswith(_files_on_kube())
        or place in _left_to_the_night()
        or not WORLDS & {each.arg for each in function.args.args}
    ):
        return False
    if any(isinstance(found, ast.Attribute) and found.attr == ANYWHERE for found in _marks(function)):
        return False
    asked = {
        found.attr
        for found in ast.walk(function)
        if isinstance(found, ast.Attribute)
        and isinstance(found.value, ast.Attribute | ast.Name)
        and (found.value.attr if isinstance(found.value, ast.Attribute) else found.value.id) == "server"
    }
    return asked <= EVERYWHERE


def _marks(function: Function) -> Iterator[ast.AST]:
    for decorator in function.decorator_list:
        yield from ast.walk(decorator)


@cache
def _files_on_kube() -> tuple[str, ...]:
    """What `tox -e kube` runs, as tests are named."""
    return tuple(each.removeprefix("tests/") for each in _selection())


@cache
def _left_to_the_night() -> frozenset[str]:
    """The tests of these files that take too long for it."""
    option = "--deselect=tests/"
    return frozenset(each.removeprefix(option) for each in _selection() if each.startswith(option))


def _selection() -> list[str]:
    return (TESTS / "kubernetes" / "selection.txt").read_text().split()


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts that appear in it."""
    for found in ast.walk(node):
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value


def _knows_both_kinds(function: Function, defined: Mapping[str, ast.AST]) -> bool:
    """Whether it names both kinds, or uses something of its module that does."""
    known = _used(set(_names(function)), defined)
    return not known.isdisjoint(BOTH_KINDS) or known >= {"SINGLE", "GROUP"}


def _used(names: set[str], defined: Mapping[str, ast.AST]) -> set[str]:
    """These names, and those that stand in what they are defined by."""
    known: set[str] = set()
    while names:
        known |= names
        names = {inner for name in names if name in defined for inner in _names(defined[name])} - known
    return known


def _names(node: ast.AST) -> Iterator[str]:
    """The names and parameters that appear in it."""
    for found in ast.walk(node):
        if isinstance(found, ast.Name):
            yield found.id
        elif isinstance(found, ast.arg):
            yield found.arg


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the tables of a page, without their heads."""
    head = True
    for line in text.splitlines():
        if not line.startswith("|"):
            head = True
        elif re.fullmatch(r"[|\s:-]+", line):
            head = False
        elif not head:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def references(text: str) -> list[str]:
    """The tests that are named in a text."""
    return REFERENCE.findall(text)
