"""The program under test: started as a process with its driver, and looked at from outside."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.processes import cpu_seconds, resident_bytes, running, wait_until_at_rest

NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Contender:
    """A `csi-snapshotter` that is measured."""

    label: str
    command: tuple[str, ...]
    unlimited: tuple[str, ...] = ()
    """Flags without which it limits itself."""
    groups: tuple[str, ...] = ()
    """Flags without which it does not do groups."""

    def on_host(self, name: str) -> "Contender":
        """The same, on a host that has another name: by that some tell in elections who they are. Root alone can."""
        return replace(
            self, command=("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, *self.command)
        )


class Program:
    """One that runs."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, started_at: float, quiet_seconds: float) -> None:
        self.process = process
        self.log = log
        self.started_at = started_at
        """On the loop's clock, which is the machine's."""
        self._quiet_seconds = quiet_seconds

    @property
    def cpu_seconds(self) -> float:
        self.check()
        return cpu_seconds(self.process.pid)

    @property
    def resident_bytes(self) -> float:
        self.check()
        return resident_bytes(self.process.pid)

    async def rest(self) -> None:
        """Return when it has nothing to do any more."""
        self.check()
        await wait_until_at_rest(self.process.pid, self._quiet_seconds)

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self.process.returncode is not None:
            raise RuntimeError(f"ended with {self.process.returncode}: {self.log.read_text(errors='replace')[-2000:]}")

    def ask_to_end(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@asynccontextmanager
async def started(
    contender: Contender,
    access: str,
    driver: Path,
    directory: Path,
    flags: Sequence[str],
    *,
    name: str,
    quiet_seconds: float,
) -> AsyncIterator[Program]:
    """The program beside a driver's socket, killed when the block is left. `name` tells it from others.

    `access` is the text of its kubeconfig.
    """
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(access)
    log = directory / f"{contender.label}-{name}.log"
    command = (*contender.command, f"--csi-address={driver}", f"--kubeconfig={kubeconfig}", *flags)
    at = asyncio.get_running_loop().time()
    environment = {"POD_NAMESPACE": NAMESPACE, "POD_NAME": name}
    async with running(command, log, environment=environment) as process:
        yield Program(process, log, at, quiet_seconds)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
