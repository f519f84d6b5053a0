"""A cluster's part in snapshots on the real API server: the manifests' accounts and roles, and the programs under them.

Each program is the installed command with a token of its own service account, which may do what the manifests say and
nothing else. Driver and provisioner are the stand-ins of the playground.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from snapshotter.testing.client import KubeClient
from snapshotter.testing.playground import converting
from snapshotter.testing.playground.driver_pod import GRACE_SECONDS, DriverPod, driver_pod
from snapshotter.testing.playground.pieces import Command, Piece, free_port, installed
from snapshotter.testing.playground.running import DRIVER
from tests.contract.client import Client, Json
from tests.kubernetes.server import Kube
from tests.manifests.rendering import kustomize, of_kind, rendered

RBAC: Final = "rbac.authorization.k8s.io/v1"
PATHS: Final = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": f"/apis/{RBAC}/clusterroles",
    "ClusterRoleBinding": f"/apis/{RBAC}/clusterrolebindings",
    "Role": f"/apis/{RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"/apis/{RBAC}/namespaces/{{namespace}}/rolebindings",
}
SIDECAR: Final = ("default", "csi-snapshotter")
CONTROLLER: Final = ("kube-system", "snapshot-controller")
"""Namespaces and names of the service accounts, as the manifests have them."""
INSTALLED: Final = ("overlays/csi-snapshotter-secrets", "snapshot-controller")
"""The kustomizations whose accounts and roles count. Scenarios have classes with credentials in any namespace."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What works in the cluster. A playground has the same attributes, so tests can be about either."""

    kube: Kube
    directory: Path
    kubeconfig: Path
    """The administrator's."""
    api: KubeClient
    controller: Piece
    webhook: Piece
    pod: DriverPod
    background: asyncio.TaskGroup
    sidecar_arguments: tuple[str, ...]

    def another_driver(self, name: str, *driver_arguments: str) -> contextlib.AbstractAsyncContextManager[DriverPod]:
        """A driver of this name beside the first, with a sidecar and a provisioner of its own; not started yet."""
        return driver_pod(
            name,
            self.directory / "drivers" / name,
            self.kubeconfig,
            self.background,
            driver_arguments=driver_arguments,
            sidecar_arguments=self.sidecar_arguments,
            whose=f" of {name}",
        )


async def allow(api: Client, objects: Iterable[Json]) -> None:
    """Make what is given of accounts, roles and bindings, or make it so where it was otherwise."""
    for given in of_kind(tuple(objects), *PATHS):
        path = PATHS[given["kind"]].format(namespace=given["metadata"].get("namespace"))
        answer = await api.create(path, given)
        if answer.status == 409:
            answer = await api.merge(f"{path}/{given['metadata']['name']}", given)
        answer.ok()


async def token_for(api: Client, account: tuple[str, str]) -> str:
    """A token that the API server gives for a service account."""
    namespace, name = account
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = (await api.create(path, request)).ok()
    token: str = answer["status"]["token"]
    return token


@contextlib.asynccontextmanager
async def at_work(kube: Kube, directory: Path) -> AsyncIterator[Cluster]:
    """All programs at work, and a driver. The end of one ends the block, and comes out of it as `PieceFailed`."""
    if kustomize() is None:
        pytest.skip("there is neither a kubectl with kustomize 5 nor kustomize on the path")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(kube.kubeconfig())
    certificate = converting.make_certificate(directory / "webhook")
    of_sidecar, of_controller = (directory / f"{name}.kubeconfig" for _, name in (SIDECAR, CONTROLLER))
    controller_http, webhook_http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    webhook_port = free_port()
    commands = (
        Command(
            name="the controller",
            arguments=(
                installed("snapshot-controller"),
                f"--kubeconfig={of_controller}",
                f"--http-endpoint={controller_http}",
                f"--shutdown-grace-period={GRACE_SECONDS}s",
                "--leader-election",
                f"--leader-election-namespace={CONTROLLER[0]}",
            ),
            log=directory / "logs" / "controller.log",
            ready_url=f"http://{controller_http}/readyz",
        ),
        Command(
            name="the webhook",
            arguments=(
                installed("snapshot-conversion-webhook"),
                f"--tls-cert-file={certificate.file}",
                f"--tls-private-key-file={certificate.key_file}",
                f"--port={webhook_port}",
                f"--http-endpoint={webhook_http}",
                "--shutdown-delay=0s",
            ),
            log=directory / "logs" / "webhook.log",
            ready_url=f"http://{webhook_http}/readyz",
        ),
    )
    # The last of two flags counts.
    sidecar_arguments = (f"--kubeconfig={of_sidecar}", "--leader-election", "--leader-election-namespace=default")
    async with contextlib.AsyncExitStack() as stack:
        administrator = Client(await stack.enter_async_context(kube.session()))
        for overlay in INSTALLED:
            await allow(administrator, rendered(overlay))
        for account, file in ((SIDECAR, of_sidecar), (CONTROLLER, of_controller)):
            file.write_text(kube.kubeconfig(await token_for(administrator, account)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        api = await stack.enter_async_context(KubeClient.of(kubeconfig))
        pod = await stack.enter_async_context(
            driver_pod(DRIVER, directory, kubeconfig, tasks, sidecar_arguments=sidecar_arguments)
        )
        controller, webhook = (Piece(command, tasks) for command in commands)
        for piece in (controller, webhook):
            stack.push_async_callback(piece.terminate)
            await piece.launch()
        await pod.start()
        for piece in (controller, webhook):
            await piece.wait_until_serving()
        async with _converted(administrator, certificate, webhook_port):
            yield Cluster(kube, directory, kubeconfig, api, controller, webhook, pod, tasks, sidecar_arguments)


@contextlib.asynccontextmanager
async def _converted(api: Client, certificate: converting.Certificate, port: int) -> AsyncIterator[None]:
    """Group contents are converted by the webhook, behind the Service that the manifests name.

    The Service leads out of the cluster to this machine, as there are no pods for it.
    """
    services = f"/api/v1/namespaces/{converting.NAMESPACE}/services"
    outside = {"type": "ExternalName", "externalName": "localhost"}
    service = {"kind": "Service", "metadata": {"name": converting.SERVICE}, "spec": outside}
    (await api.create(services, {"apiVersion": "v1", **service})).ok()
    where = {"namespace": converting.NAMESPACE, "name": converting.SERVICE, "path": "/convert", "port": port}
    client = {"service": where, "caBundle": base64.b64encode(certificate.authority).decode()}
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": client}
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{converting.DEFINITION}"
    (await api.merge(definition, {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}})).ok()
    try:
        yield
    finally:
        (await api.merge(definition, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})).ok()
        (await api.delete(f"{services}/{converting.SERVICE}")).ok()
