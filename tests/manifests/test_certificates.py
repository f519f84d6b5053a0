"""The scripts that give the webhook its certificate and tell the API server whom to trust."""

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from snapshotter.testing.apiserver import ApiServer
from tests.manifests.rendering import MANIFESTS, Json

SCRIPTS = MANIFESTS / "webhook" / "script"
SERVICE, SECRET = "snapshot-conversion-webhook-service", "snapshot-conversion-webhook-secret"
DEFINITION = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io"
SCRIPT_SECONDS = 60.0
HANDSHAKE_SECONDS = 20.0


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda script: script.name)
def test_a_script_has_no_flaw_that_shellcheck_knows_and_can_be_started(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, "--norc", script], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The stand-in, with the scripts to run against it."""

    server: ApiServer
    kubeconfig: Path

    async def run(self, script: str, *arguments: str) -> tuple[int, str]:
        """The exit code of a script and what it says."""
        process = await asyncio.create_subprocess_exec(
            SCRIPTS / script,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.kubeconfig.parent)},
        )
        async with asyncio.timeout(SCRIPT_SECONDS):
            said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def ok(self, script: str, *arguments: str) -> None:
        code, said = await self.run(script, *arguments)
        assert code == 0, said

    def certificate(self, name: str = SECRET, namespace: str = "default") -> "Certificate":
        secret = self.server.get("secrets", name, namespace)
        assert secret is not None
        assert secret["type"] == "kubernetes.io/tls"
        parts = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        assert parts.keys() == {"tls.crt", "tls.key", "ca.crt"}
        return Certificate(parts["tls.crt"], parts["tls.key"], parts["ca.crt"])

    @property
    def conversion(self) -> Json:
        definition = self.server.get("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
        assert definition is not None
        found: Json = definition["spec"]["conversion"]
        return found


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the Secret holds, as PEM texts."""

    chain: str
    key: str
    authorities: str

    async def is_trusted(self, host: str, authorities: str, directory: Path) -> bool:
        """Whether a client that asks for this host and trusts these authorities accepts it, in a real handshake."""
        (directory / "tls.crt").write_text(self.chain)
        (directory / "tls.key").write_text(self.key)
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        asking = ssl.create_default_context(cadata=authorities)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
        async with server, asyncio.timeout(HANDSHAKE_SECONDS):
            port = server.sockets[0].getsockname()[1]
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=asking, server_hostname=host)
            except ssl.SSLCertVerificationError:
                return False
            writer.close()
            return True


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with ApiServer.serve() as server:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        yield Cluster(server, kubeconfig)


@pytest.mark.kubectl
async def test_the_certificate_is_the_services_and_is_trusted_by_its_authority(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.ok("create-cert.sh")
    made = cluster.certificate()
    assert await made.is_trusted(f"{SERVICE}.default.svc", made.authorities, tmp_path)
    assert not await made.is_trusted("another-service.default.svc", made.authorities, tmp_path)
    # The key of the authority is nowhere.
    assert made.key.count("PRIVATE KEY") == 2
    assert "PRIVATE KEY" not in made.chain + made.authorities


@pytest.mark.kubectl
async def test_the_certificate_is_made_for_the_names_that_are_given(cluster: Cluster, tmp_path: Path) -> None:
    name = "a-service-whose-name-is-as-long-as-the-name-of-a-service-may-be"
    await cluster.ok(
        "create-cert.sh", "--service", name, "--namespace", "kube-system", "--secret", "mine", "--days", "3"
    )
    made = cluster.certificate("mine", "kube-system")
    assert await made.is_trusted(f"{name}.kube-system.svc", made.authorities, tmp_path)
    (authority,) = ssl.create_default_context(cadata=made.authorities).get_ca_certs()
    valid = [ssl.cert_time_to_seconds(str(authority[word])) for word in ("notBefore", "notAfter")]
    assert valid[1] - valid[0] == 3 * 24 * 3600


@pytest.mark.kubectl
async def test_a_new_certificate_and_the_one_before_it_are_trusted_alike(cluster: Cluster, tmp_path: Path) -> None:
    host = f"{SERVICE}.default.svc"
    made = []
    for _ in range(3):
        await cluster.ok("create-cert.sh")
        made.append(cluster.certificate())
    first, second, third = made
    assert await third.is_trusted(host, third.authorities, tmp_path)
    assert await second.is_trusted(host, third.authorities, tmp_path)
    # It does not grow for ever.
    assert not await first.is_trusted(host, third.authorities, tmp_path)
    assert third.authorities.count("BEGIN CERTIFICATE") == 2


MISTAKES = {
    "an unknown option": ("create-cert.sh", "--nonsense"),
    "an option without value": ("create-cert.sh", "--service"),
    "an unknown option of the other": ("patch-ca-bundle.sh", "--nonsense"),
    "an option of the other without value": ("patch-ca-bundle.sh", "--secret"),
}


@pytest.mark.kubectl
@pytest.mark.parametrize("command", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_script_that_is_asked_for_nonsense_says_how_it_is_used(
    cluster: Cluster, command: tuple[str, ...]
) -> None:
    before = len(cluster.server.requests)
    code, said = await cluster.run(*command)
    assert (code, said.startswith("usage: ")) == (2, True)
    code, said = await cluster.run(command[0], "--help")
    assert (code, said.startswith("usage: ")) == (0, True)
    assert len(cluster.server.requests) == before


@pytest.mark.kubectl
async def test_a_secret_that_cannot_be_stored_is_a_failure_and_changes_nothing(cluster: Cluster) -> None:
    code, said = await cluster.run("create-cert.sh", "--namespace", "nowhere")
    assert (code, "nowhere" in said) == (1, True)
    code, said = await cluster.run("patch-ca-bundle.sh")
    assert (code, SECRET in said) == (1, True)
    assert cluster.conversion == {"strategy": "None"}


@pytest.mark.kubectl
async def test_the_definition_is_told_in_one_patch_whom_to_ask_and_to_trust(cluster: Cluster) -> None:
    await cluster.ok("create-cert.sh")
    await cluster.ok("patch-ca-bundle.sh")
    assert cluster.conversion == {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {
                "service": {"name": SERVICE, "namespace": "default", "path": "/convert", "port": 443},
                "caBundle": base64.b64encode(cluster.certificate().authorities.encode()).decode(),
            },
        },
    }
    patches = [each for each in cluster.server.requests if each.verb == "PATCH" and DEFINITION in each.path]
    assert len(patches) == 1
    await cluster.ok("patch-ca-bundle.sh", "--off")
    assert cluster.conversion == {"strategy": "None"}


@pytest.mark.kubectl
async def test_a_certificate_that_vouches_for_itself_is_trusted_itself(cluster: Cluster) -> None:
    alone = {key: base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode() for key in ("tls.crt", "tls.key")}
    cluster.server.create(
        "secrets", {"metadata": {"name": SECRET}, "type": "kubernetes.io/tls", "data": alone}, "default"
    )
    code, said = await cluster.run("patch-ca-bundle.sh")
    # It is handed over; that this one is none is for the API server to say.
    sent = [each.body for each in cluster.server.requests if each.verb == "PATCH" and DEFINITION in each.path]
    assert json.dumps(alone["tls.crt"]) in json.dumps(sent), (code, said)
