"""The README of the manifests tells of everything there is, and its commands are about things that there are."""

import re
from pathlib import Path

import pytest

from snapshotter.testing.apiserver import ApiServer
from tests.contract.client import Kubectl
from tests.manifests.rendering import MANIFESTS, MONITORING, kustomizations, kustomize

README = (MANIFESTS / "README.md").read_text()
COMMANDS = re.findall(r"kubectl apply -([fk]) manifests/(\S+?)[`\s]", README)


def test_every_base_overlay_and_component_is_named() -> None:
    named = set(re.findall(r"`(?:kubectl apply -k manifests/)?([\w./-]+)`", README)) | {path for _, path in COMMANDS}
    missing = {*kustomizations("Kustomization"), *kustomizations("Component")} - named
    assert {name for name in missing if not name.startswith(f"{MONITORING}/")} == set()


@pytest.mark.parametrize(("option", "path"), sorted(set(COMMANDS)))
def test_a_command_is_about_something_that_there_is(option: str, path: str) -> None:
    target = MANIFESTS / path
    assert target.is_file() if option == "f" else (target / "kustomization.yaml").is_file()


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./-]+)\)", README))
def test_a_link_leads_somewhere(path: str) -> None:
    assert (MANIFESTS / path).exists()


def test_scripts_are_there() -> None:
    scripts = set(re.findall(r"manifests/(webhook/script/\S+\.sh)", README))
    assert scripts == {str(file.relative_to(MANIFESTS)) for file in (MANIFESTS / "webhook" / "script").iterdir()}


NOT_ON_A_BARE_SERVER = {"monitoring", "overlays/monitoring-service-monitors", "overlays/webhook-cert-manager"}
"""They have objects of the Prometheus operator and of cert-manager."""


@pytest.mark.kubectl
@pytest.mark.kustomize
async def test_the_commands_work(tmp_path: Path) -> None:
    if kustomize() != ("kubectl", "kustomize"):
        pytest.skip("this kubectl is too old for `apply -k`")
    async with ApiServer.serve() as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig())
        kubectl = Kubectl(tmp_path / "kubeconfig", tmp_path / "cache")
        for option, path in sorted(set(COMMANDS)):
            if path in NOT_ON_A_BARE_SERVER:
                continue
            output = await kubectl("apply", f"-{option}", str(MANIFESTS / path))
            assert output.code == 0, (path, output)
        found = {workload["metadata"]["name"] for workload in server.list("deployments")}
        assert found == {
            "csi-snapshotter",
            "csi-snapshotter-second",
            "snapshot-controller",
            "snapshot-conversion-webhook-deployment",
        }
        assert [each["metadata"]["name"] for each in server.list("daemonsets")] == ["csi-snapshotter"]
