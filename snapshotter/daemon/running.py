"""How a daemon runs: until a signal, until it cannot go on, or until another leads."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from snapshotter.runtime.leader import NotLeading

log = structlog.get_logger(__name__)


class CannotRun(Exception):
    """The program cannot start, or not go on; the message is for the person who started it."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


async def run_until_stopped(work: Callable[["Shutdown"], Awaitable[None]]) -> None:
    """Run until SIGTERM or SIGINT, which `work` is told of; a second signal does not wait any more.

    Raises `CannotRun`, also when we lead no more.
    """
    leave_no_core()
    stop = Shutdown()
    with stop.on_signals():
        try:
            await _work(work, stop)
        except asyncio.CancelledError:
            if not stop.requested:
                raise
    log.info("stopped")


def leave_no_core() -> None:
    """Let the system write no image of our memory when we crash: secrets and keys are in there."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


async def _work(work: Callable[["Shutdown"], Awaitable[None]], stop: "Shutdown") -> None:
    lost: BaseException | None = None
    try:
        await work(stop)
    except* NotLeading as errors:
        lost = errors
        while isinstance(lost, BaseExceptionGroup):
            lost = lost.exceptions[0]
    if lost is not None:
        raise CannotRun(f"leadership lost: {lost}") from lost


class Shutdown:
    """The wish to end. During the start it ends everything at once; later the work in hand is finished first."""

    def __init__(self) -> None:
        self.requested = False
        self._event = asyncio.Event()
        self._gentle = False
        self._main = asyncio.current_task()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT)
        for number in caught:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def request(self) -> None:
        at_once = self.requested or not self._gentle
        self.requested = True
        self._event.set()
        if at_once and self._main is not None:
            self._main.cancel()

    async def wait(self) -> None:
        """Return when the end is wished for; while this waits, and after it, it is a gentle one."""
        self._gentle = True
        try:
            await self._event.wait()
        finally:
            self._gentle = self.requested
