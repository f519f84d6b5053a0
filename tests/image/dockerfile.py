"""Reads the Dockerfile, as far as ours uses the format: stages, and their instructions in order."""

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Copy:
    """What a COPY takes, and from where: another stage, or None for the build context."""

    sources: tuple[str, ...]
    target: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    """Another stage, or an image."""
    own: tuple[Instruction, ...]

    def values(self, name: str) -> list[str]:
        return [instruction.value for instruction in self.own if instruction.name == name]

    def copies(self) -> list[Copy]:
        return [_copy(value) for value in self.values("COPY")]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    arguments: dict[str, str]
    """ARG before the first stage, with defaults."""
    stages: dict[str, Stage]
    """By name, in the order of the file."""

    def lineage(self, name: str) -> list[Stage]:
        """The stage with the stages that it is made from, eldest first."""
        stage = self.stages[name]
        return [*(self.lineage(stage.base) if stage.base in self.stages else ()), stage]

    def all(self, name: str, instruction: str) -> list[str]:
        """The values of an instruction in a stage and in those that it is made from, in order."""
        return [value for stage in self.lineage(name) for value in stage.values(instruction)]

    def environment(self, name: str) -> dict[str, str]:
        return dict(pair.split("=", 1) for value in self.all(name, "ENV") for pair in value.split())

    def entrypoints(self) -> dict[str, list[str]]:
        """The stages that set an ENTRYPOINT, with its words."""
        found = ((stage.name, stage.values("ENTRYPOINT")) for stage in self.stages.values())
        return {name: json.loads(values[-1]) for name, values in found if values}


def read(path: Path = ROOT / "Dockerfile") -> Dockerfile:
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for instruction in _instructions(path.read_text()):
        if instruction.name == "FROM":
            base, _as, name = instruction.value.split()
            stages[name] = Stage(name, base, ())
        elif not stages:
            key, _, default = instruction.value.partition("=")
            arguments[key] = default
        else:
            last = next(reversed(stages.values()))
            stages[last.name] = Stage(last.name, last.base, (*last.own, instruction))
    return Dockerfile(arguments, stages)


def context() -> Iterator[Path]:
    """The files that the builder is given, relative to the project: all that .dockerignore leaves."""
    rules = [rule for rule in (ROOT / ".dockerignore").read_text().splitlines() if rule and not rule.startswith("#")]
    everything, *rest = rules
    assert everything == "*"
    allowed = [rule.removeprefix("!") for rule in rest if rule.startswith("!")]
    refused = [rule.removeprefix("**/") for rule in rest if not rule.startswith("!")]
    for name in allowed:
        path = ROOT / name
        for file in [path] if path.is_file() else path.rglob("*"):
            parts = file.relative_to(ROOT).parts
            if file.is_file() and not any(fnmatch.fnmatch(part, rule) for part in parts for rule in refused):
                yield file.relative_to(ROOT)


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def commands() -> list[str]:
    return list(project()["project"]["scripts"])


def _instructions(text: str) -> Iterator[Instruction]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        if line.strip():
            name, _, value = line.strip().partition(" ")
            yield Instruction(name, value.strip())


def _copy(value: str) -> Copy:
    words = value.split()
    stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
    assert not words[0].startswith("--")
    *sources, target = words
    return Copy(tuple(sources), target, stage)
