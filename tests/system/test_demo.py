"""`snapshotter demo` as a user runs it: on a terminal and off, to its end, interrupted, and with a driver that dies."""

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("snapshotter")
GENEROUS_SECONDS = 60
UP = re.compile(r"process ids (\d+), (\d+), (\d+), (\d+), (\d+), (\d+)")
"""How the demo tells the processes: the API server, the driver, sidecar, controller, provisioner and webhook."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which temporary files can be found, and processes can be recognised by their TMPDIR."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    cleaned = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
    return cleaned | {"TMPDIR": str(temporary), "TERM": "xterm-256color"}


def left_behind(environment: dict[str, str]) -> list[str]:
    """Files and processes that the demo has not cleared away."""
    temporary = Path(environment["TMPDIR"])
    return [*(path.name for path in temporary.iterdir()), *processes_with(f"TMPDIR={temporary}")]


def processes_with(variable: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # not ours, or gone by now


class Running:
    """A demo off the terminal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""

    async def until(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Read on until something has been said."""
        assert self.process.stdout is not None
        async with asyncio.timeout(GENEROUS_SECONDS):
            while (found := pattern.search(self.out)) is None:
                line = await self.process.stdout.readline()
                assert line, self.out
                self.out += line.decode()
        return found

    async def end(self) -> int:
        """Read the rest; the exit code."""
        async with asyncio.timeout(GENEROUS_SECONDS):
            out, _ = await self.process.communicate()
        self.out += out.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def demo(environment: dict[str, str], *arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "demo",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=environment["TMPDIR"],
        env=environment,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


CLAIMS = (
    "✓ each claim is bound to a volume of its size",
    "✓ archive is ready at once",
    "✓ it took the sidecar one call and at most three requests, none of them a read (1 call to the driver, 3 requests",
    "✓ nightly is ready soon after its storage says so",
    "✓ both contents say what the storage says: handle, size and time",
    "✓ lost tells in its status what is wrong",
    "✓ the new claim holds the bytes of the snapshot's instant",
    "✓ the new sidecar found that snapshot and did not cut another",
    "✓ both are gone and the snapshot has stayed",
    "✓ the imported snapshot has its handle, size and time",
    "✓ a claim that is restored from it holds the same bytes as ever",
    "✓ there is one group on the storage, and one snapshot for each claim, ready and with its size",
    "✓ they are of one instant: no number is in the journal that is not in the ledger",
    "✓ a client of v1beta1 sees the members as that version lists them",
    "✓ what it writes loses nothing of what v1beta1 does not know",
    "✓ the group goes with its members, and what was restored from them stays",
    "✓ the API server has no snapshot, no content, no claim and no volume any more",
    "✓ the driver is empty",
    "✓ none but lost caused a warning",
    "✓ the controller and the sidecar ended in order (exit codes 0 and 0",
)


async def test_off_the_terminal_it_tells_each_change_in_a_line_and_all_checks_hold(environment: dict[str, str]) -> None:
    async with demo(environment) as running:
        code = await running.end()
    assert code == 0, running.out
    assert [claim for claim in CLAIMS if claim not in running.out] == []
    assert "✗" not in running.out
    assert re.search(r"nightly: cut, not ready yet, 4 MiB, cut at ", running.out)
    assert re.search(r"nightly: ready, 4 MiB, cut at ", running.out)
    assert all(re.match(r" *\d+\.\ds  ", line) for line in running.out.splitlines())
    assert re.search(r"All \d+ checks held, in \d+\.\d s\.\n$", running.out)
    assert left_behind(environment) == []


def test_on_a_terminal_it_keeps_a_table_up_to_date(environment: dict[str, str]) -> None:
    with terminal(80, 24) as (ours, theirs):
        process = subprocess.Popen([COMMAND, "demo"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        out = read_all(ours)
        assert process.wait(GENEROUS_SECONDS) == 0, out
    assert "\x1b[" in out
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert re.search(r"snapshot +of +state +size +cut at", plain)
    assert re.search(r"nightly +database +cut, not ready yet +4 MiB", plain)
    assert re.search(r"nightly +database +ready +4 MiB", plain)
    assert re.search(r"All \d+ checks held", plain)
    assert max(len(line) for line in plain.replace("\r", "\n").splitlines()) <= 80
    assert left_behind(environment) == []


@contextmanager
def terminal(columns: int, lines: int) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: our end of it, and the end for a program, which the caller closes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def read_all(terminal: int) -> str:
    """What is written to the terminal until nobody has it open any more."""
    out = b""
    until = time.monotonic() + GENEROUS_SECONDS
    while select.select([terminal], [], [], until - time.monotonic())[0]:
        try:
            out += os.read(terminal, 1 << 16)
        except OSError:  # EIO: the other end is closed
            return out.decode()
    raise TimeoutError(out.decode())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interruption_leaves_nothing(environment: dict[str, str], number: signal.Signals, code: int) -> None:
    async with demo(environment) as running:
        await running.until(re.compile("nightly: cut, not ready yet"))
        running.process.send_signal(number)
        assert await running.end() == code
    assert "Traceback" not in running.out
    assert "✗" not in running.out
    assert running.out.endswith("Interrupted; everything is stopped.\n")
    assert left_behind(environment) == []


async def test_a_driver_that_dies_is_named_and_its_log_is_kept(environment: dict[str, str]) -> None:
    async with demo(environment) as running:
        pids = await running.until(UP)
        os.kill(int(pids[2]), signal.SIGKILL)
        assert await running.end() == 1
    assert "✗ the demo got to its end (the CSI driver ended in the middle: it was killed by SIGKILL." in running.out
    said = re.search(r"1 of \d+ checks failed\. Logs: (\S+)\n$", running.out)
    assert said, running.out
    assert "serves on unix:" in (Path(said[1]) / "driver.log").read_text()
    assert list(processes_with(f"TMPDIR={environment['TMPDIR']}")) == []


def test_a_reader_that_goes_away_ends_it_quietly(environment: dict[str, str]) -> None:
    process = subprocess.Popen([COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(GENEROUS_SECONDS), said) == (128 + signal.SIGPIPE, b"")
    assert left_behind(environment) == []


async def test_the_pieces_die_with_a_demo_that_is_killed(environment: dict[str, str]) -> None:
    async with demo(environment) as running:
        pids = [int(pid) for pid in (await running.until(UP)).groups()]
        watched = [os.pidfd_open(pid) for pid in pids]
        running.process.kill()
        try:
            for file in watched:
                assert select.select([file], [], [], GENEROUS_SECONDS)[0]
        finally:
            for file in watched:
                os.close(file)


async def test_what_it_leaves_can_be_kept(environment: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with demo(environment, "--keep", str(kept)) as running:
        assert await running.end() == 0
    assert {"kubeconfig", "logs", "driver"} <= {path.name for path in kept.iterdir()}
    async with demo(environment, "--keep", str(kept)) as running:
        assert await running.end() == 2
    assert running.out.endswith(f"snapshotter demo: error: --keep: {kept} is not an empty directory\n")


@pytest.mark.parametrize("arguments", [("--fast",), ("more",), ("--", "--omit-size")], ids=" ".join)
async def test_arguments_that_it_does_not_know_are_refused(environment: dict[str, str], arguments: list[str]) -> None:
    async with demo(environment, *arguments) as running:
        assert await running.end() == 2
    assert "snapshotter demo: error: unrecognized arguments: " in running.out
