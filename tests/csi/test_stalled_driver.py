"""A driver that lives but does not read from its socket: its process is stopped, and the socket's buffer runs full."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from snapshotter.csi.driver import Driver, open_driver
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import Code, CsiError, DriverAway, Stalled

GENEROUS = 30.0
CALLS = 1500
"""Several times as many as there is room for in the buffer of a Unix socket."""


@pytest.fixture
async def far_side(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "snapshotter.testing.driver", "--create-delay-seconds=10"),
        *(f"--socket={tmp_path / 'csi.sock'}", f"--state={tmp_path / 'state'}"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def driver(
    tmp_path: Path, far_side: asyncio.subprocess.Process, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Driver]:
    monkeypatch.setattr("snapshotter.csi.channel.STALL_SECONDS", 0.5)
    metrics = Metrics(CollectorRegistry())
    async with open_driver(str(tmp_path / "csi.sock"), metrics, timeout=0.5, log_payloads=False) as opened:
        await opened.wait_until_connected(GENEROUS)
        await opened.meet()
        yield opened


async def outcome(driver: Driver, number: int) -> CsiError:
    with pytest.raises(CsiError) as raised:
        await driver.create_snapshot(f"snapshot-{number}", "volume", {}, {})
    return raised.value


def is_away(driver: Driver) -> bool:
    return driver.trouble is not None


async def test_promise_1_no_call_hangs_and_promise_11_the_driver_is_away_until_it_reads_again(
    driver: Driver, far_side: asyncio.subprocess.Process
) -> None:
    returned = asyncio.Event()
    in_touch = asyncio.create_task(driver.keep_in_touch(returned.set), name="keep in touch")
    far_side.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(GENEROUS):
        outcomes = await asyncio.gather(*(outcome(driver, number) for number in range(CALLS)))
    assert {type(error) for error in outcomes} == {CsiError, Stalled}
    assert {error.code for error in outcomes} == {Code.DEADLINE_EXCEEDED}
    assert is_away(driver)
    assert isinstance(await outcome(driver, CALLS), DriverAway)
    assert not returned.is_set()
    far_side.send_signal(signal.SIGCONT)
    async with asyncio.timeout(GENEROUS):
        await returned.wait()
    assert not is_away(driver)
    assert (await outcome(driver, CALLS)).code is Code.NOT_FOUND
    in_touch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_touch
