"""The measurement of what timed-out calls leave behind, in short."""

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


async def measure(*arguments: str) -> tuple[int | None, str]:
    """The exit code and what is said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.timeouts", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize(("through", "calls"), [("door", 3000), ("sidecar", 300)])
async def test_calls_that_time_out_leave_nothing_behind(through: str, calls: int) -> None:
    code, said = await measure("--through", through, "--calls", str(calls))
    assert code == 0, said
    assert "DeadlineExceeded" in said or "CANCELLED" in said


async def test_too_much_growth_is_a_failure() -> None:
    code, said = await measure("--calls", "100", "--most-mib", "-1000")
    assert code == 1, said
    assert "grown by" in said
