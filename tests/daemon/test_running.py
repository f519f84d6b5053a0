"""What holds for every daemon while it runs."""

import subprocess
import sys

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
