"""The playground: a cluster's part in snapshots as processes in one directory, joined by real wires."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from snapshotter.testing.admin import Admin, AdminError
from snapshotter.testing.client import ApiFailure, KubeClient
from snapshotter.testing.playground.converting import NAMESPACE, SERVICE, Certificate, have_converted, make_certificate
from snapshotter.testing.playground.driver_pod import GRACE_SECONDS, DriverPod, driver_pod
from snapshotter.testing.playground.pieces import Command, Piece, PieceFailed, free_port, installed, python
from snapshotter.testing.playground.storage import Storage

DRIVER: Final = "hostpath.csi.k8s.io"
"""The name that the driver of the playground goes by: the one of the examples among the manifests."""

MOMENT_SECONDS: Final = 0.3


class DirectoryInUse(Exception):
    """Another playground runs in the directory."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """A running playground."""

    directory: Path
    kubeconfig: Path
    api_url: str
    controller_metrics_url: str
    api: KubeClient
    api_admin: Admin
    apiserver: Piece
    controller: Piece
    webhook: Piece
    certificate: Certificate
    """Of the webhook."""
    pod: DriverPod
    """The driver that is there from the start."""
    background: asyncio.TaskGroup
    """Tasks beside the block; a failure of one ends the block and comes out of the playground."""

    @property
    def socket(self) -> Path:
        return self.pod.socket

    @property
    def metrics_url(self) -> str:
        """Of the sidecar."""
        return self.pod.metrics_url

    @property
    def driver_admin_url(self) -> str:
        return self.pod.admin_url

    @property
    def driver_admin(self) -> Admin:
        return self.pod.admin

    @property
    def storage(self) -> Storage:
        return self.pod.storage

    @property
    def driver(self) -> Piece:
        return self.pod.driver

    @property
    def sidecar(self) -> Piece:
        return self.pod.sidecar

    @property
    def provisioner(self) -> Piece:
        return self.pod.provisioner

    def another_driver(self, name: str, *driver_arguments: str) -> contextlib.AbstractAsyncContextManager[DriverPod]:
        """A driver of this name beside the first, with a sidecar and a provisioner of its own; not started yet."""
        return driver_pod(
            name,
            self.directory / "drivers" / name,
            self.kubeconfig,
            self.background,
            driver_arguments=driver_arguments,
            whose=f" of {name}",
        )

    async def start_sidecar(self) -> None:
        """Return when the sidecar is ready. Raises `PieceFailed`."""
        await self.sidecar.start()

    async def kill_sidecar(self) -> None:
        """End the sidecar with SIGKILL, wherever it is."""
        await self.sidecar.kill()

    async def terminate_sidecar(self) -> int:
        """End the sidecar with SIGTERM; gives its exit code."""
        return await self.sidecar.terminate()

    async def start_driver(self) -> None:
        """Return when the driver serves, at the addresses that it had. Raises `PieceFailed`."""
        await self.driver.start()

    async def kill_driver(self) -> None:
        """End the driver with SIGKILL; what it had stored is there when it is started again."""
        await self.driver.kill()

    async def terminate_driver(self) -> int:
        """End the driver with SIGTERM; gives its exit code."""
        return await self.driver.terminate()


@contextlib.asynccontextmanager
async def playground(
    directory: Path,
    *,
    driver_arguments: Sequence[str] = (),
    sidecar_arguments: Sequence[str] = (),
    missed: Callable[[str], None] | None = None,
) -> AsyncIterator[Pieces]:
    """The processes, serving. At the end they are stopped in order; killed they are even if we are killed.

    Logs, kubeconfig and the driver's state are in the directory, and stay there. With `missed` a process that dies is
    started again, and `missed` is told of it; not the API server, since all objects die with it.

    Raises `DirectoryInUse`; and `PieceFailed` at once when a process does not come up, or dies within the block.
    """
    with _locked(directory) as home:
        try:
            async with (
                asyncio.TaskGroup() as tasks,
                _joined(home, driver_arguments, sidecar_arguments, tasks, missed) as pieces,
            ):
                await _start(pieces)
                try:
                    yield pieces
                except (ApiFailure, AdminError, aiohttp.ClientError):
                    # One who died may have been missed by its clients first: a moment for its guard to tell.
                    await asyncio.sleep(MOMENT_SECONDS)
                    raise
        except BaseExceptionGroup as group:
            # A process that died explains whatever else went wrong then.
            deaths, others = group.split(PieceFailed)
            raise (deaths or others or group).exceptions[0] from None


async def _start(pieces: Pieces) -> None:
    await pieces.apiserver.launch()
    await pieces.driver.launch()
    await pieces.webhook.launch()
    await pieces.apiserver.wait_until_serving()
    await pieces.driver.wait_until_serving()
    await pieces.webhook.wait_until_serving()
    await have_converted(pieces.api, pieces.certificate)
    # These read the kubeconfig that is there by now.
    await pieces.controller.launch()
    await pieces.pod.start_beside_the_driver()
    await pieces.controller.wait_until_serving()


@contextlib.asynccontextmanager
async def _joined(
    directory: Path,
    driver_arguments: Sequence[str],
    sidecar_arguments: Sequence[str],
    tasks: asyncio.TaskGroup,
    missed: Callable[[str], None] | None,
) -> AsyncIterator[Pieces]:
    """The pieces, not started yet; whatever runs at the end is stopped."""
    api_url, controller_url, webhook_url = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
    webhook_port = free_port()
    kubeconfig = directory / "kubeconfig"
    certificate = make_certificate(directory / "webhook")
    commands = (
        Command(
            name="the API server",
            arguments=(
                *python("snapshotter.testing.apiserver"),
                f"--listen={api_url.removeprefix('http://')}",
                f"--kubeconfig={kubeconfig}",
                f"--service={NAMESPACE}/{SERVICE}=127.0.0.1:{webhook_port}",
            ),
            log=directory / "logs" / "apiserver.log",
            ready_url=f"{api_url}/readyz",
            ready_file=kubeconfig,
        ),
        Command(
            name="the controller",
            arguments=(
                installed("snapshot-controller"),
                f"--kubeconfig={kubeconfig}",
                f"--http-endpoint={controller_url.removeprefix('http://')}",
                f"--shutdown-grace-period={GRACE_SECONDS}s",
            ),
            log=directory / "logs" / "controller.log",
            ready_url=f"{controller_url}/readyz",
        ),
        Command(
            name="the webhook",
            arguments=(
                installed("snapshot-conversion-webhook"),
                f"--tls-cert-file={certificate.file}",
                f"--tls-private-key-file={certificate.key_file}",
                f"--port={webhook_port}",
                f"--http-endpoint={webhook_url.removeprefix('http://')}",
                "--shutdown-delay=0s",
            ),
            log=directory / "logs" / "webhook.log",
            ready_url=f"{webhook_url}/readyz",
        ),
    )
    served, *programs = commands
    apiserver = Piece(served, tasks)
    controller, webhook = (Piece(command, tasks, missed) for command in programs)
    async with KubeClient(api_url) as api, Admin(api_url) as api_admin:
        try:
            async with driver_pod(
                DRIVER,
                directory,
                kubeconfig,
                tasks,
                driver_arguments=driver_arguments,
                sidecar_arguments=sidecar_arguments,
                missed=missed,
            ) as pod:
                yield Pieces(
                    directory=directory,
                    kubeconfig=kubeconfig,
                    api_url=api_url,
                    controller_metrics_url=f"{controller_url}/metrics",
                    api=api,
                    api_admin=api_admin,
                    apiserver=apiserver,
                    controller=controller,
                    webhook=webhook,
                    certificate=certificate,
                    pod=pod,
                    background=tasks,
                )
        finally:
            for piece in (controller, apiserver, webhook):
                await piece.terminate()


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[Path]:
    """The directory, made if need be and ours alone, by its full path."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(f"another playground runs in {directory}") from None
        yield directory
