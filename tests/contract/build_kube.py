"""Builds kube-apiserver, etcd and kube-controller-manager, which the contract tests run against as the truth.

`python tests/contract/build_kube.py` needs the Go tool chain, the Go module proxy and, once, several minutes.
What is built already stays as it is. `kube.py` starts the binaries.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.36.3"
BINARIES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "etcd": "go.etcd.io/etcd/server/v3",
}


def cache_directory() -> Path:
    """Where the binaries of this version are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "snapshotter-kube" / VERSION


def missing(directory: Path) -> list[str]:
    """The binaries that are not there yet."""
    return [name for name in BINARIES if not os.access(directory / name, os.X_OK)]


def go(*arguments: str, cwd: Path | None = None) -> str:
    """What a go command prints. Its own messages go to stderr."""
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod -p=2 -buildvcs=false",
        "GOWORK": "off",
    }
    command = ["nice", "go", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def module_file() -> str:
    """A go.mod that has Kubernetes, and with it etcd, among its dependencies.

    The go.mod of k8s.io/kubernetes replaces its libraries by directories of its repository, which the module
    lacks. Replacements count in the main module alone, so a main module of our own asks for published ones.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        place = Path(elsewhere)
        module = json.loads(go("mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}", cwd=place))
        described = json.loads(go("mod", "edit", "-json", module["GoMod"], cwd=place))
    libraries = [each["Path"] for each in described["Require"] if each["Version"] == "v0.0.0"]
    published = "v0" + VERSION.removeprefix("1")
    lines = [f"k8s.io/kubernetes v{VERSION}", *(f"{path} {published}" for path in libraries)]
    return f"module kube\n\ngo {described['Go']}\n\nrequire (\n\t" + "\n\t".join(lines) + "\n)\n"


def build(directory: Path) -> None:
    """Put the missing binaries into the directory. Raises CalledProcessError if a go command fails."""
    major, minor, _ = VERSION.split(".")
    stamp = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = "-s -w " + " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in stamp.items())
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as workspace:
        place = Path(workspace)
        (place / "go.mod").write_text(module_file())
        for name in missing(directory):
            go("build", "-o", name, "-ldflags", flags, BINARIES[name], cwd=place)
            (place / name).replace(directory / name)


def main() -> None:
    directory = cache_directory()
    if missing(directory):
        if shutil.which("go") is None:
            sys.exit("building Kubernetes needs the go command on the path")
        try:
            build(directory)
        except subprocess.CalledProcessError as error:
            sys.exit(f"a go command failed: {error}")
    sys.stdout.write(f"{directory}\n")


if __name__ == "__main__":
    main()
