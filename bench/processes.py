"""Processes that end with a block, and what the kernel says of their memory and time."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

LONGEST_WAIT_SECONDS = 60.0
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int | str = "self") -> float:
    """Memory that is resident at this moment."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def cpu_seconds(process: int) -> float:
    """Time that all threads have had, in the program and in the kernel; it grows by ticks of a hundredth."""
    # The second field is the command's name in parentheses, which may hold anything.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECONDS


def machine_seconds() -> float:
    """Time that the machine's cores have worked, for whomever; a hypervisor's other guests not counted."""
    # user, nice, system, idle, iowait, irq, softirq; what follows is counted among these or stolen.
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) * TICK_SECONDS


async def wait_until_at_rest(process: int, quiet_seconds: float) -> None:
    """Return when the process has used less than a twentieth of so long a time, or a minute has passed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            before = cpu_seconds(process)
            while True:
                await asyncio.sleep(quiet_seconds)
                now = cpu_seconds(process)
                if now - before < quiet_seconds / 20:
                    return
                before = now


@asynccontextmanager
async def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is killed when the block is left. What it logs is in the file; `stdout` None: that too."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output if stdout is None else stdout,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
