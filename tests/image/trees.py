"""Builds the trees of the image as the Dockerfile says, and runs commands in them, without Docker."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.image.dockerfile import ROOT, Dockerfile, Stage, context

PYTHON: Final = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
"""The interpreter in the place of the one in the base image."""

COMMON: Final = ("TOOLS", "WHEELS")
"""What the stages of the builder hand on to each other; each has a tree and links of its own."""

SYSTEM: Final = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64",
    "/etc/hosts", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf",
    "/dev/null", "/dev/random", "/dev/urandom",
)  # fmt: skip
"""What commands find of the base image, besides the interpreter: libraries, but no programs."""


class BuildFailed(Exception):
    """A step of the Dockerfile ended with an error; the text is what it said."""


def build(dockerfile: Dockerfile, directory: Path) -> None:
    """Walk through the stages of the builder, each in a directory of its own below this one."""
    for stage in dockerfile.stages.values():
        if dockerfile.lineage(stage.name)[0].name == "builder":
            _build_stage(dockerfile, stage, directory)


def _build_stage(dockerfile: Dockerfile, stage: Stage, directory: Path) -> None:
    source = directory / stage.name / "source"
    if stage.base in dockerfile.stages:
        shutil.copytree(directory / stage.base / "source", source)
    else:
        source.mkdir(parents=True)
    places = {
        name: f"{directory}{place}" if name in COMMON else f"{directory / stage.name}{place}"
        for name, place in dockerfile.environment(stage.name).items()
    }
    for instruction in stage.own:
        match instruction.name:
            case "RUN":
                _run(instruction.value, source, {**os.environ, **places, "PYTHON": str(PYTHON)})
            case "COPY" if instruction.value.startswith("--from="):
                # It is in its place already: the stages share it.
                assert instruction.value.split()[1:] == ["/wheels/", "/wheels/"]
            case "COPY":
                *names, target = instruction.value.split()
                _copy(names, source / target)
            case "ENV" | "WORKDIR":
                pass
            case _:
                raise BuildFailed(f"the builder has an instruction that the tests do not know: {instruction}")


def _copy(names: Sequence[str], target: Path) -> None:
    """Docker's COPY: a file is put into the target, of a directory what is in it."""
    for name in names:
        for path in context():
            if path == Path(name):
                shutil.copy2(ROOT / path, target)
            elif path.is_relative_to(name):
                (target / path.relative_to(name)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, target / path.relative_to(name))


def _run(command: str, directory: Path, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise BuildFailed(f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


@dataclass(frozen=True, slots=True)
class Image:
    """What a target of the Dockerfile would be, and how to run a command in it."""

    tree: Path
    links: Path
    user: str
    environment: dict[str, str]
    tmp: Path
    """What is at /tmp in it. All images share it."""
    jail: Path | None
    """An empty directory, for the root; None where there are no mount namespaces: then commands run among ours."""

    def command(self, *arguments: str) -> list[str]:
        """What to execute outside to have these arguments executed inside; the first one is a path inside."""
        if self.jail is None:
            program = str(self.links / arguments[0][1:]) if arguments[0].count("/") == 1 else arguments[0]
            return [*_become(self.user), program, *arguments[1:]]
        system = [path for path in SYSTEM if Path(path).exists()]
        interpreter = [str(PYTHON.resolve()), str(Path(sys.base_prefix) / "lib"), str(PYTHON)]
        paths = dict.fromkeys([*system, *interpreter, str(self.tree)])
        namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        user = self.user if os.getuid() == 0 else ""
        script = Path(__file__).with_name("jail.sh")
        return [*namespace, str(script), str(self.jail), str(self.links), str(self.tmp), user, *paths, "--", *arguments]

    def path(self, name: str) -> str:
        """The path inside of a file in /tmp."""
        return f"/tmp/{name}" if self.jail else str(self.tmp / name)  # noqa: S108

    def run(self, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip


def _become(user: str) -> list[str]:
    if os.getuid() != 0:
        return []
    uid, _, gid = user.partition(":")
    # setpriv itself would still execute what only root can reach.
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "env"]


def image(dockerfile: Dockerfile, target: str, directory: Path, *, jailed: bool) -> Image:
    """The target, from what was built in this directory."""
    stage = next(copy.stage for stage in dockerfile.lineage(target) for copy in stage.copies())
    assert stage is not None
    places = dockerfile.environment(stage)
    (user,) = dockerfile.all(target, "USER")
    built = directory / stage
    environment = dockerfile.environment(target)
    environment["PATH"] = environment["PATH"].replace("${PATH}", "/usr/sbin:/usr/bin:/sbin:/bin")
    tmp = directory / "tmp"
    if not tmp.exists():
        tmp.mkdir()
        tmp.chmod(0o1777)
    jail = directory / "root"
    jail.mkdir(exist_ok=True)
    return Image(
        tree=Path(f"{built}{places['TREE']}"),
        links=Path(f"{built}{places['LINKS']}"),
        user=user,
        environment={
            name: value.replace(places["TREE"], f"{built}{places['TREE']}") for name, value in environment.items()
        },
        tmp=tmp,
        jail=jail if jailed else None,
    )


def obstacle(probed: Image) -> str:
    """What keeps commands from being run in this image; empty when nothing does."""
    ended = probed.run(str(probed.tree / "bin/python"), "-c", "pass")
    return ended.stderr.strip() if ended.returncode else ""
