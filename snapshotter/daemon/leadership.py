"""Our part in the election of a leader; without an election we are the leader from the start."""

import asyncio
import socket

from snapshotter.kube.connection import Connection
from snapshotter.kube.leases import LeaseDoor, LeaseEvents, identity, lease_namespace
from snapshotter.metrics import ElectionMetrics, WorkMetrics
from snapshotter.runtime.leader import Election, Tenure, Terms
from snapshotter.settings import ElectionSettings

STALE_SECONDS = 20.0
"""So long after a lease has run out a leader that is still at it counts as stuck."""


class Leadership:
    """Whether we may work. Every act asks `require` first; work begins when `won` is set."""

    def __init__(self) -> None:
        self.won = asyncio.Event()
        self.won.set()

    def require(self) -> None:
        """Raise `NotLeading` unless we may act at this moment."""

    async def run(self) -> None:
        """Become the leader and stay it. Raises `NotLeading` when another may be the leader."""

    async def give_up(self) -> None:
        """Let another lead. Only when nothing acts any more."""

    def trouble(self) -> list[str]:
        """What is wrong with our leadership."""
        return []


class ElectedLeadership(Leadership):
    """Leadership that is held together with a lease."""

    def __init__(self, settings: ElectionSettings, *, release: bool) -> None:
        super().__init__()
        self.won.clear()
        self._settings = settings
        self._release = release
        self._tenure = Tenure()
        self._election: Election | None = None
        self._events: LeaseEvents | None = None
        self._identity = identity(socket.gethostname())
        self.namespace = lease_namespace(given=settings.namespace, pod=settings.pod_namespace)
        """Where the lease lives."""

    def stand(self, lease: str, component: str, connection: Connection, metrics: WorkMetrics) -> None:
        """Make us a candidate for a lease. `component`: what events about it say that they come from."""
        settings = self._settings
        self._events = LeaseEvents(connection, self.namespace, lease, f"{component}/{self._identity}")
        self._election = Election(
            LeaseDoor(connection, self.namespace, lease, dict(settings.labels)),
            Terms(self._identity, settings.lease_duration, settings.renew_deadline, settings.retry_period),
            self._tenure,
            ElectionMetrics(metrics, lease),
        )
        self.won = self._election.won

    def require(self) -> None:
        self._tenure.require()

    async def run(self) -> None:
        if self._election is None:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._announce(), name="announce the leader")
            await self._election.run()

    async def _announce(self) -> None:
        await self.won.wait()
        await self._tell("became leader")

    async def _tell(self, what: str) -> None:
        if self._events is not None:
            await self._events.tell(f"{self._identity} {what}")

    async def give_up(self) -> None:
        if self._election is None or not self._release:
            return
        await self._election.release()
        if self.won.is_set():
            await self._tell("stopped leading")

    def trouble(self) -> list[str]:
        settings = self._settings
        late = settings.lease_duration - settings.renew_deadline + STALE_SECONDS
        if self.won.is_set() and self._tenure.seconds_over > late:
            return ["internal server error: the lease has not been renewed, and we have not stopped"]
        return []
