"""What random histories of the programs have in common: how they begin, go on, come to rest, are judged and told.

`tests.sidecar.test_histories` and `tests.controller.test_histories` say what happens in them.
`SNAPSHOTTER_HISTORY_EXAMPLES=500` makes so many histories, and other ones each time.
"""

import asyncio
import itertools
import logging
import os
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from structlog.testing import capture_logs

from snapshotter import names
from snapshotter.daemon.running import CannotRun
from snapshotter.runtime.workqueue import Backoff
from snapshotter.testing.apiserver.server import definitions_in, shipped_crds
from snapshotter.testing.apiserver.targets import Target, WriteOptions
from snapshotter.testing.proxy import Cut, StreamProxy
from tests.world import World, make_world

EXAMPLES: Final = int(os.environ.get("SNAPSHOTTER_HISTORY_EXAMPLES", "0"))
"""So many random histories; 0: the usual ones."""
STEPS_WITHOUT_REST: Final = 8
REST_SECONDS: Final = 60.0
FIRST_RETRY: Final = 0.05
LONGEST_RETRY: Final = 0.4
MOST_TOLD: Final = 200
"""So many lines of what happened are told with a failure."""

SERVED: Final = (("v1beta2", "v1"), ("v1beta2",), ("v1",), ())
"""The versions in which groups may be served; usually as in the first."""
_GROUP_DEFINITIONS: Final = {
    definition["metadata"]["name"]: definition["spec"]["versions"]
    for definition in definitions_in(shipped_crds())
    if definition["spec"]["group"] == names.GROUP_SNAPSHOT_GROUP
}

picks = st.integers(0, 11)
moments = st.sampled_from([0.0, 0.0, 0.001, 0.005, 0.02, 0.06])
"""Seconds after a step."""

_numbers = itertools.count(1)


@dataclass
class Tally:
    """What was done in all histories."""

    histories: int = 0
    steps: int = 0
    rests: int = 0
    calls: int = 0
    requests: int = 0
    contents: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """How a program reaches the API server and the driver. Cut, nothing of it reaches them any more."""

    kubeconfig: Path
    socket: Path
    proxies: tuple[StreamProxy, StreamProxy]

    def cut(self) -> None:
        for proxy in self.proxies:
            proxy.script.set("^connect$", Cut("before"), times=None)
            proxy.cut()


class Program:
    """A program at work in this process, started again whenever it ends."""

    def __init__(
        self,
        name: str,
        world: World,
        started: Callable[[Way], AbstractAsyncContextManager[Any]],
        may_fail: Callable[[CannotRun], bool] = lambda _: True,
    ) -> None:
        """`may_fail`: whether the world is such that it may be unable to start."""
        self.at_work: Any = None
        self._name = name
        self._world = world
        self._started = started
        self._may_fail = may_fail
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        self._way = await self._make_way()
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._run(self._way, self._end), name=self._name)

    async def _run(self, way: Way, end: asyncio.Event) -> None:
        while not end.is_set():
            try:
                async with self._started(way) as program:
                    self.at_work = program
                    await program.work(end.wait)
            except CannotRun as error:
                if not self._may_fail(error):
                    raise
                # The kubelet tries again.
                await asyncio.sleep(FIRST_RETRY)
            finally:
                self.at_work = None

    async def _make_way(self) -> Way:
        number = next(_numbers)
        kubeconfig = self._world.directory / f"kubeconfig-{number}"
        socket = self._world.directory / f"way-{number}.sock"
        host, _, port = self._world.server.url.removeprefix("http://").partition(":")
        to_server = await self._stack.enter_async_context(StreamProxy.tcp(0, int(port), host=host))
        to_driver = await self._stack.enter_async_context(StreamProxy.unix(socket, self._world.driver.socket))
        kubeconfig.write_text(self._world.server.kubeconfig().replace(f"{host}:{port}", f"{host}:{to_server.port}"))
        return Way(kubeconfig, socket, (to_server, to_driver))

    async def stop(self, *, gently: bool) -> None:
        """End it as by SIGTERM, or as by SIGKILL: nothing is finished, and nothing that it does then has an effect."""
        if gently and self.at_work is not None:
            self._end.set()
            await asyncio.wait([self.task], timeout=REST_SECONDS)
        else:
            self._way.cut()
        self.task.cancel()
        await asyncio.wait([self.task], timeout=REST_SECONDS)
        await self._stack.aclose()
        if not self.task.cancelled():
            self.task.result()

    @property
    def failure(self) -> BaseException | None:
        return self.task.exception() if self.task.done() and not self.task.cancelled() else None


class History(RuleBasedStateMachine):
    """One history."""

    runner: ClassVar[asyncio.Runner]
    """One event loop for all histories: gRPC does not part from a loop in peace."""
    failures: ClassVar[list[BaseException]]
    """The first failure. It may not come again, so it is kept as it was."""
    tally: ClassVar[Tally]

    world: World
    log: Any
    """What the programs have logged since the last rest."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = AsyncExitStack()
        self.programs: tuple[Program, ...] = ()
        self.story: list[str] = []
        self.mishaps: list[str] = []
        """What the event loop and the servers of the stand-ins have been told of."""
        self.steps_since_rest = 0
        self.failed = False

    # What the histories of one sort say.

    async def prepare(self) -> None:
        """Make what there is at the beginning, and the programs."""
        raise NotImplementedError

    async def repair(self) -> None:
        """End the trouble: what follows is rest."""

    def restless(self) -> Iterator[str]:
        """What has not come to rest."""
        raise NotImplementedError

    def broken(self) -> list[str]:
        """The promises that were broken so far."""
        raise NotImplementedError

    def rested(self) -> None:
        """Judge what holds at rest alone."""
        raise NotImplementedError

    async def finish(self) -> None:
        """All is repaired and deleted, and nothing is left."""
        raise NotImplementedError

    def changes(self) -> list[str]:
        """What the programs have changed, each with its time, to be told with a failure."""
        return []

    # The machinery.

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self.runner.run(work)
        except BaseException as error:
            self._explain(error)
            raise

    def _explain(self, error: BaseException) -> None:
        """Keep an error, and tell with it what had happened."""
        self.failed = True
        self.failures.append(error)
        if hasattr(self, "world"):
            calls = [f"{call.started_monotonic:.3f} {call.name} {call.code}" for call in self.world.driver.calls[-60:]]
            told = sorted([*self.story, *self.changes()])[-MOST_TOLD:]
            error.add_note("\n".join(["the story:", *told, "the last calls:", *calls]))

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            error = AssertionError(otherwise)
            self._explain(error)
            raise error

    def _tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic():.3f} {what}")

    def _step(self, what: str, act: Callable[[], object], moment: float = 0.0) -> None:
        """Do something, and let some time pass."""
        self.tally.steps += 1
        self.steps_since_rest += 1

        async def step() -> None:
            self._tell(what)
            done = act()
            if isinstance(done, Awaitable):
                await done
            await asyncio.sleep(moment)

        self._run(step())

    # The beginning and the end.

    def _begin(self, options: Mapping[str, Any]) -> None:
        """Begin in a world whose driver has these options."""
        if self.failures:
            raise self.failures[0]
        self.tally.histories += 1

        async def begin() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: self.mishaps.append(str(context)))
            self.stack.enter_context(_errors_of_servers(self.mishaps))
            self.log = self.stack.enter_context(capture_logs())
            directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
            self.world = await self.stack.enter_async_context(make_world(directory, **options))
            await self.prepare()
            for program in self.programs:
                await program.start()
            self._tell(f"begun with {options}")

        self._run(begin())

    def teardown(self) -> None:
        try:
            if self.programs and not self.failed:
                self._run(self._end())
        finally:
            self.runner.run(self._close())

    async def _end(self) -> None:
        await self._rest()
        self._tell("the end begins")
        await self.finish()
        for program in self.programs:
            await program.stop(gently=True)
        self.tally.calls += len(self.world.driver.calls)

    async def _close(self) -> None:
        if hasattr(self, "world"):
            self.world.driver.faults.clear()
            self.world.server.faults.clear()
        for program in self.programs:
            with suppress(Exception):
                await program.stop(gently=False)
        await self.stack.aclose()

    # What holds always, and what at rest.

    @invariant()
    def nothing_is_broken(self) -> None:
        if not self.programs:
            return
        broken = self.broken()
        self._require(not broken, "\n".join(broken))
        self._require(not self.mishaps, "\n".join(self.mishaps))
        for program in self.programs:
            if (failure := program.failure) is not None:
                self._require(holds=False, otherwise="".join(traceback.format_exception(failure)))

    async def _rest(self) -> None:
        """All trouble is over: everything comes to rest."""
        self.tally.rests += 1
        self._tell("rest")
        self.world.server.faults.clear()
        self.world.driver.faults.clear()
        await self.repair()
        await self._until(lambda: list(self._restless()))
        for program in self.programs:
            if program.at_work is not None:
                async with asyncio.timeout(REST_SECONDS):
                    await program.at_work._events.drain()
        broken = self.broken()
        assert not broken, "\n".join(broken)
        self.rested()
        assert not [line for line in self.log if line["log_level"] in ("error", "critical") and not _known(line)]
        self.log.clear()
        self.steps_since_rest = 0
        self._tell("at rest")

    async def _until(self, left: Callable[[], list[Any]]) -> None:
        """Wait until nothing of this is left."""
        try:
            await self.world.until(lambda: self._has_ended() or not left(), seconds=REST_SECONDS)
        except TimeoutError:
            raise AssertionError(f"no rest: {left()}") from None

    def _has_ended(self) -> bool:
        return any(program.task.done() for program in self.programs)

    def _restless(self) -> Iterator[str]:
        self._make_all_ready()
        if any(program.at_work is None for program in self.programs):
            yield "a program is not at work"
        else:
            yield from self.restless()

    def _make_all_ready(self) -> None:
        for snapshot in list(self.world.driver.snapshots.values()):
            self.world.driver.make_ready(snapshot.id)

    def _serve_groups(self, *versions: str) -> None:
        """Let the API server serve the kinds of groups in these versions alone."""
        server = self.world.server
        kind = server._catalogue.of_plural("customresourcedefinitions")
        for name, defined in _GROUP_DEFINITIONS.items():
            served = [version | {"served": version["name"] in versions} for version in defined]
            target = Target(kind, kind.storage, "", name)
            server._registry.patch(target, "merge", {"spec": {"versions": served}}, WriteOptions())

    @rule(moment=moments)
    def all_snapshots_become_ready(self, moment: float) -> None:
        self._step("all are ready", self._make_all_ready, moment)

    @rule(seconds=st.sampled_from([0.05, 0.1, 0.3]))
    def time_passes(self, seconds: float) -> None:
        self._step(f"{seconds}s pass", lambda: None, seconds)

    @precondition(lambda history: history.steps_since_rest >= STEPS_WITHOUT_REST)
    @rule(moment=moments)
    def all_comes_to_rest(self, moment: float) -> None:
        self._step("all comes to rest", self._rest, moment)


@contextmanager
def _errors_of_servers(mishaps: list[str]) -> Iterator[None]:
    """Note what the API server's stand-in could not answer because of a mistake of its own."""

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            mishaps.append(logging.Formatter().format(record))

    logger, handler = logging.getLogger("aiohttp.server"), Noting(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _known(line: Mapping[str, Any]) -> bool:
    """Whether an error in the log is what it should be: somebody has taken a content away by force."""
    return "is not found any more" in str(line["event"])


def shorten_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times that are constants of the product are short, so that a history takes seconds."""
    for name, value in {
        "kube.patience.PAUSES": (0.02, 0.05, 0.1, 0.2),
        "kube.objects.WATCH_SECONDS": (1, 1),
        "kube.objects.WATCH_GRACE": 0.3,
        "runtime.informer.SHORTEST_WATCH": 0.1,
        "daemon.groups.LOOK_AGAIN_SECONDS": 0.2,
        "sidecar.part.READINESS": Backoff(start=0.1, maximum=0.3, jitter=0.25),
        "daemon.ending.LAST_EVENTS_SECONDS": 0.3,
        "csi.driver.PROBE_PERIOD": 0.1,
        "kube.secrets.KEEP_SECONDS": 0.05,
    }.items():
        monkeypatch.setattr(f"snapshotter.{name}", value)


def make_histories(machine: type[History], monkeypatch: pytest.MonkeyPatch, *, usual: int, steps: int) -> Tally:
    """Make the usual number of histories of at most so many steps, or as many as are asked for; what was done."""
    shorten_clocks(monkeypatch)
    failures: list[BaseException] = []
    monkeypatch.setattr(History, "failures", failures, raising=False)
    monkeypatch.setattr(History, "tally", Tally(), raising=False)
    with asyncio.Runner() as runner:
        monkeypatch.setattr(History, "runner", runner, raising=False)
        try:
            run_state_machine_as_test(machine, settings=_settings(usual, steps))
        except Exception:
            if failures:
                raise failures[0] from None
            raise
    print(History.tally)  # noqa: T201
    return History.tally


def _settings(usual: int, steps: int) -> settings:
    return settings(
        max_examples=EXAMPLES or usual,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        # A history depends on time, so a shorter one that fails as well may fail for another reason.
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
