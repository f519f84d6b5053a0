"""Builds the control plane of `main.go`, which tests run against as the truth.

`python tests/kubernetes/build.py` needs the Go tool chain, the Go module proxy and, once, several minutes; it fails if
it cannot. What is built is kept under a hash of its sources and built again when these change. `server.py` starts it.
With KUBEBUILDER_ASSETS there is nothing to build: that directory has the usual kube-apiserver and etcd.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
NAME = "controlplane"


def assets() -> Path | None:
    """Where somebody has the usual binaries."""
    directory = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(directory) if directory else None


def binary() -> Path:
    """Where the control plane of these sources is kept, or will be."""
    digest = hashlib.sha256()
    for file in sorted([*SOURCES.glob("*.go"), SOURCES / "go.mod", SOURCES / "go.sum"]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "snapshotter-kube" / f"{version()}-{digest.hexdigest()[:16]}" / NAME


def version() -> str:
    """The version of Kubernetes, such as 1.36.3."""
    found = re.search(r"^\s*k8s\.io/kubernetes v(\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def build(target: Path) -> None:
    """Raises CalledProcessError if the go command fails."""
    major, minor, _ = version().split(".")
    stamp = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor}
    flags = "-s -w " + " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamp.items())
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as workspace:
        made = Path(workspace) / NAME
        subprocess.run(["go", "build", "-o", made, "-ldflags", flags, "."], cwd=SOURCES, env=environment, check=True)
        made.replace(target)


def main() -> None:
    if (usual := assets()) is not None:
        sys.stdout.write(f"{usual}\n")
        return
    target = binary()
    if not target.exists():
        if shutil.which("go") is None:
            sys.exit("building a Kubernetes control plane needs the go command on the path")
        try:
            build(target)
        except subprocess.CalledProcessError as error:
            sys.exit(f"a go command failed: {error}")
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
