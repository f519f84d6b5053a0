"""A cluster that has nothing at first: what the manifests describe is applied, and then run as a kubelet would run it.

Each program has the arguments of its Deployment, and of rights those of its service account. The API server decides by
roles, over TLS. It is the stand-in or a real one.
"""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.playground.converting import DEFINITION, NAMESPACE, SERVICE
from snapshotter.testing.playground.driver_pod import DriverPod, driver_pod
from snapshotter.testing.playground.pieces import Command, Piece, free_port, python
from tests.contract.client import Client, Kubectl
from tests.kubernetes import audit, costs
from tests.kubernetes.server import running
from tests.manifests.rendering import Container, Workload

CERTS: Final = "/etc/snapshot-conversion-webhook/certs"
"""Where the pod of the webhook has its Secret."""
SCRIPT_SECONDS: Final = 60.0
WEBHOOK: Final = f"{NAMESPACE}/{SERVICE}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, as its administrator sees it, and the programs that are started beside it."""

    directory: Path
    kubeconfig: Path
    api: KubeClient
    webhook_port: int
    """Where the API server looks for the Service of the webhook."""
    lead_service_here: Callable[[], Awaitable[None]]
    """Let it look there, once Service and definitions are applied."""
    tasks: asyncio.TaskGroup

    async def apply(self, *objects: Json) -> None:
        """What the administrator does with a directory of the manifests."""
        kubectl = Kubectl(self.kubeconfig, self.directory / "cache")
        done = await kubectl.apply(*objects)
        assert done.code == 0, done

    async def run_script(self, path: Path) -> None:
        """Run a script of the manifests, which uses kubectl."""
        process = await asyncio.create_subprocess_exec(
            path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.directory / "cache")},
        )
        async with asyncio.timeout(SCRIPT_SECONDS):
            said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()

    @asynccontextmanager
    async def account(self, namespace: str, name: str) -> AsyncIterator["Cluster"]:
        """The cluster as a service account sees it."""
        kubeconfig = await self.kubeconfig_of(namespace, name)
        async with KubeClient.of(kubeconfig) as api:
            yield replace(self, kubeconfig=kubeconfig, api=api)

    async def kubeconfig_of(self, namespace: str, account: str) -> Path:
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": await self.api.token_for(namespace, account)}
        path = self.directory / f"{namespace}-{account}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    @asynccontextmanager
    async def program(self, workload: Workload, *places: tuple[str, str]) -> AsyncIterator[Piece]:
        """The program of a Deployment as its account, ready.

        Each pair of texts is replaced in its arguments: a path or a port of the pod, and one of this machine.
        """
        (container,) = workload.containers
        namespace = workload.object["metadata"]["namespace"]
        http = f"127.0.0.1:{free_port()}"
        arguments = container.arguments
        for old, new in (("--http-endpoint=:8080", f"--http-endpoint={http}"), *places):
            arguments = [argument.replace(old, new) for argument in arguments]
        if workload.pod.get("automountServiceAccountToken", True):
            arguments.append(f"--kubeconfig={await self.kubeconfig_of(namespace, workload.pod['serviceAccountName'])}")
        command = Command(
            name=f"the program of {workload.name}",
            arguments=(
                *("/usr/bin/env", f"POD_NAMESPACE={namespace}"),
                *(str(Path(sys.executable).with_name(container.program)), *arguments),
            ),
            log=self.directory / "logs" / f"{workload.name}.log",
            ready_url=f"http://{http}/readyz",
        )
        piece = Piece(command, self.tasks)
        await piece.start()
        try:
            yield piece
        finally:
            await piece.terminate()

    @asynccontextmanager
    async def driver(self, name: str, workload: Workload) -> AsyncIterator[DriverPod]:
        """The driver of a Deployment, with its sidecar, not started yet, and a provisioner, which no manifest has."""
        namespace, account = workload.object["metadata"]["namespace"], workload.pod["serviceAccountName"]
        sidecar = next(each for each in workload.containers if each.name == "csi-snapshotter")
        home = self.directory / name
        home.mkdir()
        async with driver_pod(
            name,
            home,
            self.kubeconfig,
            self.tasks,
            sidecar_arguments=(
                *arguments_of(sidecar),
                f"--leader-election-namespace={namespace}",
                f"--kubeconfig={await self.kubeconfig_of(namespace, account)}",
            ),
            whose=f" of {name}",
        ) as pod:
            yield pod

    async def mount_certificate(self) -> Path:
        """The Secret of the webhook as files."""
        secret = await self.api.get("Secret", "snapshot-conversion-webhook-secret")
        directory = self.directory / "certs"
        directory.mkdir()
        for name, value in secret["data"].items():
            (directory / name).write_bytes(base64.b64decode(value))
        return directory


@asynccontextmanager
async def bare_cluster(directory: Path, *, on_kube: bool) -> AsyncIterator[Cluster]:
    """A cluster without a definition; nothing runs in it.

    `on_kube`: with a real API server of its own, whose audit log is judged at the end.
    """
    async with _real(directory) if on_kube else _standin(directory) as made:
        yield made


@asynccontextmanager
async def _real(directory: Path) -> AsyncIterator[Cluster]:
    kubeconfig, webhook_port = directory / "kubeconfig", free_port()
    (directory / "server").mkdir()
    async with running(directory / "server", controllers=True, audit=True, crds=False) as kube:
        kubeconfig.write_text(kube.kubeconfig())

        async def lead_service_here() -> None:
            """It leads out of the cluster to this machine, as there are no pods for it."""
            async with kube.session() as session:
                api = Client(session)
                outside = {"spec": {"type": "ExternalName", "externalName": "localhost"}}
                (await api.merge(f"/api/v1/namespaces/{NAMESPACE}/services/{SERVICE}", outside)).ok()
                port = {"webhook": {"clientConfig": {"service": {"port": webhook_port}}}}
                definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}"
                (await api.merge(definition, {"spec": {"conversion": port}})).ok()

        async with asyncio.TaskGroup() as tasks, KubeClient.of(kubeconfig) as api:
            yield Cluster(directory, kubeconfig, api, webhook_port, lead_service_here, tasks)
        assert [*audit.complaints(kube.audited()), *costs.complaints(kube.audited())] == []


@asynccontextmanager
async def _standin(directory: Path) -> AsyncIterator[Cluster]:
    address, webhook_port = f"127.0.0.1:{free_port()}", free_port()
    (directory / "no-definitions").mkdir()
    kubeconfig = directory / "kubeconfig"
    command = Command(
        name="the API server",
        arguments=(
            *python("snapshotter.testing.apiserver"),
            *(f"--listen={address}", f"--kubeconfig={kubeconfig}", f"--crds={directory / 'no-definitions'}"),
            *("--authorization-mode=RBAC", "--tls", f"--service={WEBHOOK}=127.0.0.1:{webhook_port}"),
        ),
        log=directory / "logs" / "apiserver.log",
        # Our probe would not trust the certificate; the file is written once the server serves.
        ready_file=kubeconfig,
    )
    async with asyncio.TaskGroup() as tasks:
        server = Piece(command, tasks)
        await server.start()
        try:
            async with KubeClient.of(kubeconfig) as api:
                yield Cluster(directory, kubeconfig, api, webhook_port, _nothing, tasks)
        finally:
            await server.terminate()


async def _nothing() -> None:
    """The stand-in has been told by a flag."""


def arguments_of(container: Container) -> list[str]:
    """Those of a sidecar, but for its places, which are others here than in a pod."""
    return [each for each in container.arguments if not each.startswith(("--csi-address=", "--http-endpoint="))]
