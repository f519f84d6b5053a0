"""What holds for every daemon while it runs."""

import asyncio
import subprocess
import sys

from snapshotter.daemon.running import Shutdown

PROGRAM = """
import asyncio, resource
from snapshotter.daemon.running import run_until_stopped

_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

async def work(stop):
    print(hard != 0, resource.getrlimit(resource.RLIMIT_CORE) == (0, hard))

asyncio.run(run_until_stopped(work))
"""


def test_promise_15_no_image_of_the_memory_is_written_when_it_crashes() -> None:
    """The limit was as high as it may be before. Where it may only be zero, it is."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0] in ("True True", "False True")


async def test_a_signal_ends_at_once_whoever_does_not_wait_for_it_any_more() -> None:
    """Such as a sidecar that has left the election and waits for its driver."""
    ended = asyncio.Event()

    async def run() -> None:
        stop = Shutdown()
        waiting = asyncio.create_task(stop.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        stop.request()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.set()

    await asyncio.wait_for(asyncio.create_task(run()), timeout=10)
    assert ended.is_set()
