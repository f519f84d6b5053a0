"""Makes the lock files of the image, or checks that they fit pyproject.toml.

    python -m image.lock [--check | --upgrade]

A version that is locked stays until pyproject.toml no longer allows it, or until `--upgrade`. The hashes are those of
all files of a version, so one lock serves every platform; the platforms of the image are checked to have wheels.
Needs a package index, which is never named in a lock.
"""

import argparse
import difflib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parent / "pyproject.toml"
PYTHON: Final = "3.11"
PLATFORMS: Final = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")

LOCKS: Final[dict[str, Sequence[str]]] = {
    "tools.lock": ("--group", f"{PROJECT}:image"),
    "playground.lock": (str(PROJECT), "--extra", "playground"),
    "daemons.lock": (str(PROJECT), "--constraints", "playground.lock"),
}
"""What each lock is made from, in this order: what the daemons share with the playground is of one version."""


class Refused(Exception):
    """The resolver found no answer; the text is its own."""


def make(directory: Path, *, upgrade: bool = False) -> None:
    """Write the locks there, starting from those that are there already. Raises Refused."""
    for name, source in LOCKS.items():
        _uv(
            directory, "compile", *source, "--output-file", name,
            "--universal", "--python-version", PYTHON, "--generate-hashes", "--no-annotate",
            "--custom-compile-command", "python -m image.lock",
            *(("--upgrade",) if upgrade else ()),
        )  # fmt: skip


def check_platforms(directory: Path) -> None:
    """Raises Refused when a platform of the image has no wheel for a locked version."""
    for name in LOCKS:
        for platform in PLATFORMS:
            with tempfile.TemporaryDirectory() as nowhere:
                _uv(
                    directory, "install", "--dry-run", "--target", nowhere, "--requirement", name,
                    "--require-hashes", "--only-binary", ":all:",
                    "--python-platform", platform, "--python-version", PYTHON,
                )  # fmt: skip


def stale() -> list[str]:
    """The differences between the committed locks and what would be made now, as lines of a unified diff."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as fresh:
        for name in LOCKS:
            shutil.copy(HERE / name, fresh)
        make(Path(fresh))
        for name in LOCKS:
            lines += difflib.unified_diff(
                (HERE / name).read_text().splitlines(),
                (Path(fresh) / name).read_text().splitlines(),
                f"committed/{name}",
                f"made now/{name}",
                lineterm="",
            )
    return lines


def _uv(directory: Path, *arguments: str) -> None:
    uv = [sys.executable, "-m", "uv", "--quiet", "pip"]
    ended = subprocess.run(  # noqa: S603 - a command of our own making
        [*uv, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise Refused(ended.stderr.strip())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m image.lock", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; fail when a lock is stale")
    mode.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    given = parser.parse_args()
    try:
        if given.check:
            differences = stale()
        else:
            differences = []
            make(HERE, upgrade=given.upgrade)
        check_platforms(HERE)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    if differences:
        sys.stderr.write("\n".join(differences[:60]) + "\nstale: run python -m image.lock\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
