"""The manifests as objects: as they are written, and as kustomize renders them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "manifests"
OLDEST_KUSTOMIZE = 5
"""Its major version; those before do not know all that the manifests use."""
MONITORING = "monitoring"


@cache
def kustomize() -> tuple[str, ...] | None:
    """The command that renders a directory: that of kubectl, or kustomize itself; None where there is none."""
    if shutil.which("kubectl") is not None:
        asked = subprocess.run(
            ("kubectl", "version", "--client", "-o", "json"), capture_output=True, text=True, check=False
        )
        version = json.loads(asked.stdout or "{}").get("kustomizeVersion", "v0")
        if int(version.removeprefix("v").partition(".")[0]) >= OLDEST_KUSTOMIZE:
            return ("kubectl", "kustomize")
    return ("kustomize", "build") if shutil.which("kustomize") is not None else None


class NotRendered(Exception):
    """kustomize refuses a directory; the text is its own."""


def build(directory: Path) -> tuple[Json, ...]:
    """The objects that kustomize makes of a directory. Raises NotRendered."""
    command = kustomize()
    assert command is not None, "the test lacks the marker `kustomize`"
    done = subprocess.run((*command, str(directory)), capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise NotRendered(done.stderr)
    return objects_in(done.stdout)


@cache
def rendered(directory: str) -> tuple[Json, ...]:
    """The objects of a directory below the manifests; not to be changed."""
    return build(MANIFESTS / directory)


def objects_in(text: str) -> tuple[Json, ...]:
    return tuple(each for each in yaml.load_all(text, _LOADER) if each is not None)


# The definitions are long; the parser in C reads them in a tenth of the time, where there is one.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def written(directory: str) -> tuple[Json, ...]:
    """The objects in the files of a directory itself, as they are written; not to be changed."""
    return tuple(each for file in files_of(directory) for each in objects_in(file.read_text()))


def files_of(directory: str) -> list[Path]:
    found = sorted((MANIFESTS / directory).glob("*.yaml"))
    return [file for file in found if file.name != "kustomization.yaml"]


def kustomizations(kind: str) -> list[str]:
    """The directories below the manifests with a kustomization of this kind."""
    return [
        str(file.parent.relative_to(MANIFESTS))
        for file in sorted(MANIFESTS.rglob("kustomization.yaml"))
        if yaml.safe_load(file.read_text())["kind"] == kind
    ]


def overlay(directory: Path, base: str, *components: str, **fields: Any) -> Path:
    """A kustomization of a base with components, as an administrator writes one."""
    # A path through a symbolic link would lead elsewhere.
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)

    def relative(name: str) -> str:
        return os.path.relpath(MANIFESTS / name, directory)

    content: Json = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(base)],
        "components": [relative(each) for each in components],
        **fields,
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return directory


def of_kind(objects: tuple[Json, ...], *kinds: str) -> list[Json]:
    return [each for each in objects if each["kind"] in kinds]


def one(objects: tuple[Json, ...], kind: str, name: str) -> Json:
    """The object of this kind and name. Fails the test unless there is just one."""
    found = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs pods, with what is in each pod."""

    object: Json

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def template(self) -> Json:
        found: Json = self.object["spec"]["template"]
        return found

    @property
    def pod(self) -> Json:
        found: Json = self.template["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def containers(self) -> list["Container"]:
        return [Container(each) for each in self.pod["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        return {name: port for container in self.containers for name, port in container.ports.items()}


@dataclass(frozen=True, slots=True)
class Container:
    object: Json

    @property
    def name(self) -> str:
        return str(self.object["name"])

    @property
    def program(self) -> str:
        """The command, without the directory that it is in."""
        return str(self.object["command"][0]).removeprefix("/")

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.object.get("ports", [])}

    @property
    def environment(self) -> dict[str, str]:
        """The variables; those that the cluster fills in are named by what they are filled with."""
        return {each["name"]: each.get("value") or _source(each) for each in self.object.get("env", [])}

    @property
    def arguments(self) -> list[str]:
        """The command line behind the command, with its variables filled in as the kubelet does."""
        filled_in = list(self.object["args"])
        for name, value in self.environment.items():
            filled_in = [argument.replace(f"$({name})", value) for argument in filled_in]
        return filled_in

    @property
    def probes(self) -> Iterator[tuple[str, Json]]:
        for name in ("livenessProbe", "readinessProbe", "startupProbe"):
            if name in self.object:
                yield name, self.object[name]["httpGet"]


def _source(variable: Json) -> str:
    return str(variable["valueFrom"]["fieldRef"]["fieldPath"])


def workloads(objects: tuple[Json, ...]) -> list[Workload]:
    return [Workload(each) for each in of_kind(objects, "Deployment", "DaemonSet", "StatefulSet")]
