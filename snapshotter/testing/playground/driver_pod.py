"""A CSI driver with its sidecar and its provisioner, as a cluster has them in one pod; `running.py` adds the rest."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from snapshotter.testing.admin import PREFIX, Admin
from snapshotter.testing.playground.pieces import Command, Piece, free_port, installed, python
from snapshotter.testing.playground.storage import Storage

LONGEST_SOCKET_PATH_BYTES: Final = 107
GRACE_SECONDS: Final = 2
"""What sidecar and controller are given to finish at the end: nobody waits longer for a playground."""


@dataclass(frozen=True, slots=True)
class DriverPod:
    """One driver, and what works for it alone."""

    name: str
    """The driver's: what classes and volumes name."""
    directory: Path
    """The driver's state: its volumes and snapshots are files below it."""
    socket: Path
    admin_url: str
    metrics_url: str
    """Of the sidecar."""
    driver: Piece
    sidecar: Piece
    provisioner: Piece
    admin: Admin
    storage: Storage

    async def start(self) -> None:
        """Return when all three serve. Raises `PieceFailed`."""
        await self.driver.start()
        await self.start_beside_the_driver()

    async def start_beside_the_driver(self) -> None:
        """Return when sidecar and provisioner serve. Raises `PieceFailed`."""
        for program in (self.sidecar, self.provisioner):
            await program.launch()
        for program in (self.sidecar, self.provisioner):
            await program.wait_until_serving()


@contextlib.asynccontextmanager
async def driver_pod(
    name: str,
    home: Path,
    kubeconfig: Path,
    tasks: asyncio.TaskGroup,
    *,
    driver_arguments: Sequence[str] = (),
    sidecar_arguments: Sequence[str] = (),
    whose: str = "",
    missed: Callable[[str], None] | None = None,
) -> AsyncIterator[DriverPod]:
    """A driver of this name and what belongs to it, not started yet; whatever runs at the end is stopped.

    `home` holds state, logs and, if the path is not too long, the socket. `whose` tells it from other drivers where
    a process is named to people: ` of the second driver`. With `missed` a process that dies is started again.
    """
    admin, sidecar_http, provisioner_http = (f"127.0.0.1:{free_port()}" for _ in range(3))
    with _socket_path(home) as socket:
        commands = (
            Command(
                name=f"the CSI driver{whose}",
                arguments=(
                    *python("snapshotter.testing.driver"),
                    f"--name={name}",
                    f"--socket={socket}",
                    f"--state={home / 'driver'}",
                    f"--admin={admin}",
                    *driver_arguments,
                ),
                log=home / "logs" / "driver.log",
                ready_url=f"http://{admin}{PREFIX}/faults",
            ),
            Command(
                name=f"the sidecar{whose}",
                arguments=(
                    installed("csi-snapshotter"),
                    f"--csi-address={socket}",
                    f"--kubeconfig={kubeconfig}",
                    f"--http-endpoint={sidecar_http}",
                    f"--shutdown-grace-period={GRACE_SECONDS}s",
                    *sidecar_arguments,
                ),
                log=home / "logs" / "sidecar.log",
                ready_url=f"http://{sidecar_http}/readyz",
            ),
            Command(
                name=f"the provisioner{whose}",
                arguments=(
                    *python("snapshotter.testing.provisioner"),
                    f"--socket={socket}",
                    f"--kubeconfig={kubeconfig}",
                    f"--http-endpoint={provisioner_http}",
                ),
                log=home / "logs" / "provisioner.log",
                ready_url=f"http://{provisioner_http}/readyz",
            ),
        )
        driver, sidecar, provisioner = (Piece(command, tasks, missed) for command in commands)
        async with Admin(f"http://{admin}") as driver_admin, Storage(f"http://{admin}") as storage:
            try:
                yield DriverPod(
                    name=name,
                    directory=home / "driver",
                    socket=socket,
                    admin_url=f"http://{admin}",
                    metrics_url=f"http://{sidecar_http}/metrics",
                    driver=driver,
                    sidecar=sidecar,
                    provisioner=provisioner,
                    admin=driver_admin,
                    storage=storage,
                )
            finally:
                for piece in (sidecar, provisioner, driver):
                    await piece.terminate()


@contextlib.contextmanager
def _socket_path(directory: Path) -> Iterator[Path]:
    """A path for the driver's socket: in the directory, or in one of its own where the path would be too long."""
    path = directory / "csi.sock"
    if len(bytes(path)) <= LONGEST_SOCKET_PATH_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="csi-") as short:
        yield Path(short) / "csi.sock"
