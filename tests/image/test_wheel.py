"""The wheel: what is in it, and that it is the same for everybody."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.image.dockerfile import ROOT, Copy, context, project, read

HATCHLING = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory")
PACKAGES = ("csi_proto", "snapshotter")


def sources() -> list[Path]:
    """What the Dockerfile gives to the stage that makes the wheel."""
    copies: list[Copy] = read().stages["wheel"].copies()
    names = {source.rstrip("/") for copy in copies for source in copy.sources}
    return [path for path in context() if path.parts[0] in names]


def build(directory: Path, *, seconds: int = 0, mode: int = 0o644) -> Path:
    """The wheel of a copy of the sources whose files have this time and mode; scripts stay executable."""
    tree = directory / "tree"
    for path in sorted(sources(), reverse=bool(seconds)):
        copy = tree / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)
        copy.chmod(mode | ((ROOT / path).stat().st_mode & 0o100))
        if seconds:
            os.utime(copy, (seconds, seconds))
    made = subprocess.run(
        [*HATCHLING, str(directory)],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wheel_is_the_same_whenever_and_by_whomever_it_is_built(wheel: Path, tmp_path: Path) -> None:
    assert digest(build(tmp_path, seconds=1_000_000_000, mode=0o600)) == digest(wheel)


def test_a_change_of_a_manifest_is_a_change_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    build(tmp_path)
    crd = next((tmp_path / "tree/manifests/crds").glob("*.yaml"))
    crd.write_text(crd.read_text() + "# more\n")
    subprocess.run([*HATCHLING, str(tmp_path)], cwd=tmp_path / "tree", capture_output=True, check=True)
    (changed,) = tmp_path.glob("*.whl")
    assert digest(changed) != digest(wheel)


def test_the_wheel_holds_the_packages_and_the_manifests_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    packages = {str(path) for path in sources() if path.parts[0] in PACKAGES}
    manifests = {f"snapshotter/{path}" for path in sources() if path.parts[0] == "manifests"}
    assert len(manifests) >= 6
    assert inside == packages | manifests


def test_the_wheel_carries_the_licence_and_the_commands(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (commands,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
    for line in (f"{name} = {target}" for name, target in project()["project"]["scripts"].items()):
        assert line in archive.read(commands).decode().splitlines()
    assert [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
