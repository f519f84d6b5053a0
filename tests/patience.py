"""Patience on a machine that is busy with others: time in which a process has no core to go on with does not count."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.5


@asynccontextmanager
async def patience(seconds: float, *pids: int) -> AsyncIterator[None]:
    """`asyncio.timeout`, but for the time in which this process or one of the others waited for a core.

    So what hangs is found out soon, and what is only slow goes on.
    """
    loop = asyncio.get_running_loop()
    pids = (os.getpid(), *pids)
    began, waited_before = loop.time(), waited_for_a_core(pids)
    async with asyncio.timeout(None) as limit:

        async def end() -> None:
            while (left := began + seconds + waited() - loop.time()) > 0:  # noqa: ASYNC110 (time alone ends it)
                await asyncio.sleep(min(left, LOOK_SECONDS))
            limit.reschedule(loop.time())

        def waited() -> float:
            # What a process waited that has ended by now is not known any more.
            return max(0.0, waited_for_a_core(pids) - waited_before)

        ending = asyncio.create_task(end(), name="end of patience")
        try:
            yield
        finally:
            ending.cancel()


def waited_for_a_core(pids: tuple[int, ...]) -> float:
    """For how many seconds so far the main threads of these processes were ready to go on, and others had the cores.

    Where the kernel does not count it, 0. See its documentation of `/proc/<pid>/schedstat`: the second number.
    """
    nanoseconds = 0
    for pid in pids:
        with suppress(OSError):
            nanoseconds += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return nanoseconds / 1e9
