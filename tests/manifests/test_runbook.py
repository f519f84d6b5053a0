"""The runbook: its commands do what it says they do, and its links lead somewhere."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.certificates import make_pair
from tests.world import DRIVER, KINDS, make_world

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
LEASE = "external-snapshotter-leader-any"
NEEDS_A_CLUSTER = re.compile(r"kubectl logs|/proxy/|deployments|endpointslices|certificates")
"""What the stand-in has not: pods that run, and controllers of others."""


def commands() -> list[str]:
    """The commands that are given as a whole; of a pipe the first part."""
    blocks = re.findall(r"```sh\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("kubectl")]
    return [line.partition(" | ")[0] for line in lines]


def test_links_lead_to_sections() -> None:
    text = RUNBOOK.read_text()
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= sections


@pytest.mark.kubectl
async def test_commands_work(tmp_path: Path) -> None:
    pair = make_pair()
    async with make_world(tmp_path) as world:
        for kind in KINDS:
            await world.of(kind).make_class()
            await world.of(kind).make_content("one")
        await world.make_secret(
            "snapshot-conversion-webhook-secret", **{"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
        )
        pod = {"serviceAccountName": "csi-snapshotter", "containers": [{"name": "csi-snapshotter", "image": "any"}]}
        for path, body in {
            "/api/v1/namespaces/default/pods": {"kind": "Pod", "metadata": {"name": "csi-0"}, "spec": pod},
            "/apis/coordination.k8s.io/v1/namespaces/default/leases": {"kind": "Lease", "metadata": {"name": LEASE}},
        }.items():
            version = path.removeprefix("/apis/").removeprefix("/api/").partition("/namespaces")[0]
            await world.request("POST", path, {"apiVersion": version, **body})
        words = {"NAMESPACE": "default", "POD": "csi-0", "DRIVER": DRIVER, "NAME": "one", "LEASE": LEASE}
        environment = os.environ | words | {"KUBECONFIG": str(world.kubeconfig)}
        tried = [command for command in commands() if not NEEDS_A_CLUSTER.search(command)]
        answers = {command: await run(command, environment) for command in tried}
    assert {command: text for command, (code, text) in answers.items() if code} == {}
    contents = [text for command, (_, text) in answers.items() if "--field-selector spec.driver" in command]
    assert [text.splitlines()[1].split()[0] for text in contents] == ["one", "one"]
    assert len(tried) > len(commands()) // 2


async def run(command: str, environment: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()
