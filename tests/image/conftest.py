"""`python -m pytest tests/image --image` also builds what the Dockerfile builds, which needs a package index."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import dockerfile, trees
from tests.image.trees import Image


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", action="store_true", help="build what the Dockerfile builds, and run it")


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory with the stages of the builder, open to other users; not in /tmp, which inside is another."""
    if not request.config.getoption("--image", default=False) and os.environ.get("SNAPSHOTTER_IMAGE") != "1":
        pytest.skip("building the image needs a package index: --image")
    directory = Path(tempfile.mkdtemp(prefix="snapshotter-image-", dir="/var/tmp"))
    try:
        directory.chmod(0o755)
        trees.build(dockerfile.read(), directory)
        for tree in directory.glob("*/opt"):
            _forbid_writing(tree)
        yield directory
    finally:
        _allow_writing(directory)
        shutil.rmtree(directory)


def _forbid_writing(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")]:
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)


def _allow_writing(directory: Path) -> None:
    for path, _, _ in os.walk(directory):
        Path(path).chmod(0o755)


@pytest.fixture(scope="session")
def jailed(built: Path) -> bool:
    """Whether commands can be run as in a container; else they are run as another user on a read-only tree."""
    obstacles = []
    for choice in (True, False):
        if not (obstacle := trees.obstacle(trees.image(dockerfile.read(), "all", built, jailed=choice))):
            return choice
        obstacles.append(obstacle)
    pytest.skip(f"no way to confine a command: {'; '.join(obstacles)}")


@pytest.fixture(scope="session")
def images(built: Path, jailed: bool) -> dict[str, Image]:
    """The images by the names of their targets."""
    made = dockerfile.read()
    return {target: trees.image(made, target, built, jailed=jailed) for target in [*made.entrypoints(), "all"]}
