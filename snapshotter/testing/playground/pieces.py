"""One process of the playground: started, seen to serve, stopped, missed when it dies. `running.py` joins several."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from snapshotter.testing.playground import tether

START_SECONDS: Final = 30.0
"""How long a process is given until it serves; a small fraction is the rule."""
STOP_SECONDS: Final = 10.0
"""How long a process is given to end after SIGTERM before it is killed."""
RESTART_SECONDS: Final = 1.0
"""How long a process that has died is gone before it is started again, where it is."""
PROBE_SECONDS: Final = 0.05
"""The time between two looks whether a process serves: it is another's, so there is nothing to wait for but this."""

TAIL_LINES: Final = 8


class PieceFailed(Exception):
    """A process of the playground did not come up, or died; the text names it and ends with its last words."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a process is started, and where one sees that it serves."""

    name: str
    """For people: `the CSI driver`."""
    arguments: Sequence[str]
    log: Path
    ready_url: str | None = None
    """Answers 200 once the process serves."""
    ready_file: Path | None = None
    """Is written by the process when it serves; one that an earlier process left is removed first."""


class Piece:
    """A process that may be started and ended several times. Its output is appended to its log.

    A death that nobody asked for is a `PieceFailed` in the task group. With `missed` it is not: that is told, and the
    process is started again, as a kubelet does.
    """

    def __init__(self, command: Command, tasks: asyncio.TaskGroup, missed: Callable[[str], None] | None = None) -> None:
        self._command = command
        self._tasks = tasks
        self._missed = missed
        self._ended = False
        """Whether the process was asked to end since it was started."""
        self._process: asyncio.subprocess.Process | None = None
        """The process that is wanted; None from the moment on when it is to end."""

    @property
    def name(self) -> str:
        return self._command.name

    @property
    def log(self) -> Path:
        return self._command.log

    @property
    def pid(self) -> int | None:
        """The process's id; None when there is none."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Return when the process serves. Raises `PieceFailed`."""
        await self.launch()
        await self.wait_until_serving()

    async def launch(self) -> None:
        if self._process is not None:
            raise RuntimeError(f"{self.name} runs already")
        if self._command.ready_file is not None:
            self._command.ready_file.unlink(missing_ok=True)
        self._ended = False
        self._process = await self._spawn()

    async def wait_until_serving(self) -> None:
        """Raises `PieceFailed` when the launched process does not come up."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.name} has not been launched")
        ended = asyncio.create_task(process.wait(), name=f"end of {self.name}")
        serving = asyncio.create_task(self._becomes_ready(), name=f"start of {self.name}")
        try:
            await asyncio.wait({ended, serving}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                self._process = None
                raise self._failure(f"did not start: it {_end_in_words(ended.result())}")
            if not serving.done():
                raise self._failure(f"does not serve after {START_SECONDS:.0f}s")
        finally:
            ended.cancel()
            serving.cancel()
            await asyncio.gather(ended, serving, return_exceptions=True)
        self._tasks.create_task(self._guard(process), name=f"guard of {self.name}")

    async def terminate(self, grace_seconds: float = STOP_SECONDS) -> int:
        """Ask the process to end, and kill it if it has not after the grace time; gives its exit code."""
        return await self._end(signal.SIGTERM, grace_seconds)

    async def kill(self) -> int:
        """End the process at once, whatever it is at; gives its exit code, which is -9."""
        return await self._end(signal.SIGKILL, STOP_SECONDS)

    async def _guard(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if self._process is not process:
            return
        if self._missed is None:
            raise self._failure(f"ended in the middle: it {_end_in_words(code)}")
        self._process = None
        self._missed(f"{self.name} {_end_in_words(code)}, and is started again")
        await asyncio.sleep(RESTART_SECONDS)
        if self._ended:
            return
        try:
            await self.start()
        except PieceFailed:
            if not self._ended:
                raise

    async def _end(self, number: signal.Signals, grace_seconds: float) -> int:
        process, self._process = self._process, None
        self._ended = True
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(grace_seconds):
                return await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._command.log.parent.mkdir(parents=True, exist_ok=True)
        tethered = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()))
        with self._command.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *tethered,
                *self._command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._command.log.parent,
                env=_environment(),
                # A Ctrl-C on the terminal is for us: we end the others in order.
                start_new_session=True,
            )

    async def _becomes_ready(self) -> None:
        file = self._command.ready_file
        timeout = aiohttp.ClientTimeout(START_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                if (file is None or file.exists()) and await self._answers(session):
                    return
                await asyncio.sleep(PROBE_SECONDS)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        if self._command.ready_url is None:
            return True
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(self._command.ready_url) as response:
                return response.status == 200
        return False

    def _failure(self, what: str) -> PieceFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        last = "".join(f"\n    {line}" for line in lines) or " nothing"
        return PieceFailed(f"{self.name} {what}.\n  The end of its log ({self.log}):{last}")


def python(module: str) -> tuple[str, ...]:
    """A module as a program; -P: whatever lies in the current directory is not taken for ours."""
    return (sys.executable, "-P", "-m", module)


def installed(command: str) -> str:
    """One of our commands, as it is installed beside this interpreter."""
    return str(Path(sys.executable).with_name(command))


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, below those that the system gives to others meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _environment() -> dict[str, str]:
    """Ours without proxies: all that these processes talk to is on this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _end_in_words(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
