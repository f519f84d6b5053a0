"""The sidecar at work: the parts for the kinds of contents, and what they share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from snapshotter.csi.driver import Driver
from snapshotter.daemon.ending import finish
from snapshotter.daemon.groups import Groups
from snapshotter.daemon.health import Health
from snapshotter.daemon.leadership import Leadership
from snapshotter.kube.connection import Connection
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import CONTENT, SNAPSHOT_CLASS, Kind, group_class, group_content
from snapshotter.kube.secrets import Secrets
from snapshotter.metrics import LoopMetrics, Metrics
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.names import CONTENT_QUEUE, GROUP_CONTENT_QUEUE, GROUP_SNAPSHOT_GROUP, MANAGED_BY
from snapshotter.plan import content
from snapshotter.plan import group_content as groups_plan
from snapshotter.plan.lifecycle import Naming, Plan, Terms
from snapshotter.plan.secrets import SecretRef
from snapshotter.runtime.lag import measure_loop
from snapshotter.settings import NodeSettings, SidecarSettings
from snapshotter.sidecar.content import ContentController
from snapshotter.sidecar.controller import Controller, Surroundings
from snapshotter.sidecar.group_content import GroupContentController
from snapshotter.sidecar.part import Part

C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")

log = structlog.get_logger(__name__)


AWAY_SECONDS = 60.0
"""So long the lease is kept while the driver is away; after that another should lead, whose driver may be well."""


class Sidecar:
    """The working parts, put together."""

    def __init__(
        self,
        settings: SidecarSettings,
        metrics: Metrics,
        health: Health,
        connection: Connection,
        driver: Driver,
        leadership: Leadership,
    ) -> None:
        self.health = health
        self.registry = metrics.registry
        self._settings = settings
        self._metrics = metrics
        self._connection = connection
        self._driver = driver
        self._leadership = leadership
        self._away_for_long = asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None
        """Runs out when the driver has been away for long."""
        self._events = Events(connection, f"csi-snapshotter {driver.identity.name}")
        self._surroundings = Surroundings(driver, Secrets(connection), self._events)
        self._singles = self._part(
            CONTENT, SNAPSHOT_CLASS, content.PLAN, ContentController, self._single_terms, CONTENT_QUEUE
        )
        self._groups = Groups(connection, self._group_part) if settings.features.group_snapshots else None

    def _group_part(self, version: str) -> Part[GroupContent, GroupSnapshotClass, groups_plan.Action]:
        return self._part(
            group_content(version),
            group_class(version),
            groups_plan.PLAN,
            GroupContentController,
            self._group_terms,
            GROUP_CONTENT_QUEUE,
        )

    def _part(
        self,
        kind: Kind[C],
        class_kind: Kind[K],
        plan: Plan[C, K, A],
        controller: type[Controller[C, K, A]],
        terms: Callable[[], Terms],
        queue_name: str,
    ) -> Part[C, K, A]:
        return Part(
            kind,
            class_kind,
            plan,
            controller,
            terms=terms,
            surroundings=self._surroundings,
            connection=self._connection,
            kube=self._settings.kube,
            work=self._settings.work,
            metrics=self._metrics,
            health=self.health,
            leadership=self._leadership,
            label_selector=_selector(self._settings.node),
            queue_name=queue_name,
            optional=kind.group == GROUP_SNAPSHOT_GROUP,
        )

    async def work(self, end: Callable[[], Awaitable[object]]) -> bool:
        """Work while we lead, until `end` returns, then finish what is in hand within the grace time.

        Gives True then; False if we have given up to lead because the driver stays away.
        Raises a group of `NotLeading` as soon as another may lead.
        """
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._events.run(), name="events"),
                tasks.create_task(self._driver.keep_in_touch(self._driver_returned, self._driver_lost), name="driver"),
                tasks.create_task(self._leadership.run(), name="election"),
                tasks.create_task(measure_loop(LoopMetrics(self._metrics)), name="loop"),
            ]
            work = {tasks.create_task(self._singles.run(), name="singles")}
            if self._groups is not None:
                work.add(tasks.create_task(self._groups.run(), name="groups"))
            wished = await self._until_over(end)
            log.info("stopping", driver_away=self._driver.trouble)
            self._singles.close()
            if self._groups is not None:
                self._groups.close()
            await finish(work, self._events, self._leadership, grace=self._settings.work.shutdown_grace)
            for task in background:
                task.cancel()
        await self._leadership.give_up()
        return wished

    async def _until_over(self, end: Callable[[], Awaitable[object]]) -> bool:
        """Return when the end is wished for (True), or when others should lead as our driver stays away (False)."""

        async def wished() -> None:
            await end()

        wish = asyncio.create_task(wished(), name="end")
        away = asyncio.create_task(self._away_for_long.wait(), name="driver away for long")
        try:
            await asyncio.wait((wish, away), return_when=asyncio.FIRST_COMPLETED)
            return wish.done()
        finally:
            wish.cancel()
            away.cancel()
            if self._patience is not None:
                self._patience.cancel()

    def secrets_in_use(self) -> set[SecretRef]:
        """The Secrets that have to be read, as far as is known."""
        groups = None if self._groups is None else self._groups.part
        of_groups = set() if groups is None else groups.secrets_in_use()
        return self._singles.secrets_in_use() | of_groups

    def _driver_lost(self) -> None:
        if self._settings.election.enabled:
            self._patience = asyncio.get_running_loop().call_later(AWAY_SECONDS, self._away_for_long.set)

    def _driver_returned(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._singles.driver_returned()
        if self._groups is not None and self._groups.part is not None:
            self._groups.part.driver_returned()

    def _single_terms(self) -> Terms:
        return self._terms(self._settings.snapshots.name_prefix, self._settings.snapshots.name_uuid_length)

    def _group_terms(self) -> Terms:
        return self._terms(self._settings.groups.name_prefix, self._settings.groups.name_uuid_length)

    def _terms(self, prefix: str, uuid_length: int) -> Terms:
        identity = self._driver.identity
        return Terms(
            driver=identity.name,
            capabilities=identity.capabilities,
            naming=Naming(prefix, None if uuid_length < 0 else uuid_length),
            extra_create_metadata=self._settings.snapshots.extra_create_metadata,
        )


def _selector(node: NodeSettings) -> str | None:
    """Which contents are for us; None: all of our driver's."""
    return f"{MANAGED_BY}={node.name}" if node.enabled else None
