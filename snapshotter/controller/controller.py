"""The snapshot-controller at work: the parts for single snapshots and for groups, and what they share."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import structlog

from snapshotter.controller.claims import Claims
from snapshotter.controller.groups import GroupController
from snapshotter.controller.operations import Operations, in_flight
from snapshotter.controller.part import Part, Shop, Sorted
from snapshotter.controller.requests import Sort, Surroundings
from snapshotter.controller.snapshots import SnapshotController
from snapshotter.controller.stores import Stores
from snapshotter.controller.wakeups import Wakeups
from snapshotter.daemon.ending import finish
from snapshotter.daemon.groups import Groups
from snapshotter.daemon.health import Health, exposed_watches
from snapshotter.daemon.leadership import Leadership
from snapshotter.daemon.written import Written
from snapshotter.kube.connection import Connection
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import (
    CLAIM,
    CONTENT,
    NODE,
    SNAPSHOT,
    SNAPSHOT_CLASS,
    VOLUME,
    Kind,
    group_class,
    group_content,
    group_snapshot,
)
from snapshotter.kube.objects import Objects
from snapshotter.metrics import ControllerMetrics, LoopMetrics
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import group_snapshot as group_plan
from snapshotter.plan import snapshot as single_plan
from snapshotter.plan.requests import GROUP_REASONS, SINGLE_REASONS, Terms
from snapshotter.runtime.informer import Informer, OnChange
from snapshotter.runtime.lag import measure_loop
from snapshotter.runtime.store import Store, Versioned
from snapshotter.settings import ControllerSettings

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Versioned)

COMPONENT = "snapshot-controller"

Singles = Part[VolumeSnapshot, Content, SnapshotClass, single_plan.Action]
GroupPart = Part[VolumeGroupSnapshot, GroupContent, GroupSnapshotClass, group_plan.Action]


class Controller:
    """The working parts, put together."""

    def __init__(
        self,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        health: Health,
        connection: Connection,
        leadership: Leadership,
    ) -> None:
        self.health = health
        self.registry = metrics.registry
        self.stores = Stores(groups=settings.features.group_snapshots)
        self._settings = settings
        self._metrics = metrics
        self._connection = connection
        self._leadership = leadership
        self._events = Events(connection, COMPONENT)
        self._wakeups = Wakeups(self.stores)
        claims = Objects(connection, CLAIM, metrics)
        storage = self.stores.storage
        self._claims = Claims(Written(claims, storage.claims, self._wakeups.claim_changed), storage.claims)
        self._informers: list[Informer[Any]] = [
            Informer(
                claims,
                storage.claims,
                self._wakeups.claim_changed,
                what=CLAIM.plural,
                on_set_aside=self._wakeups.claim_set_aside,
            ),
            self._informer(VOLUME, storage.volumes, self._wakeups.volume_changed),
        ]
        self._needed = tuple(self._informers)
        if settings.control.distributed:
            self._informers.append(self._informer(NODE, storage.all_nodes, lambda _old, _new: None))
        self._singles = self._single_part()
        self._groups = (
            Groups(
                connection,
                self._group_part,
                lambda version: [group_content(version), group_snapshot(version)],
                self._groups_absent,
            )
            if settings.features.group_snapshots
            else None
        )

    def _informer(self, kind: Kind[T], store: Store[T], on_change: OnChange[T]) -> Informer[T]:
        return Informer(Objects(self._connection, kind, self._metrics), store, on_change, what=kind.plural)

    def _single_part(self) -> Singles:
        stores, wakeups = self.stores.singles, self._wakeups

        def at_work(part: Singles | None) -> None:
            wakeups.snapshots = None if part is None else part.request_desk
            wakeups.contents = None if part is None else part.content_desk

        surroundings = self._surroundings("Snapshot", self._driver_of_snapshot)
        part = Part(
            Sorted(
                kind=SNAPSHOT,
                content_kind=CONTENT,
                class_kind=SNAPSHOT_CLASS,
                requests=stores.snapshots,
                contents=stores.contents,
                classes=stores.classes,
                on_request=wakeups.snapshot_changed,
                on_content=wakeups.content_changed,
                on_class=wakeups.class_changed,
                on_content_set_aside=wakeups.content_set_aside,
                reasons=SINGLE_REASONS,
                next_action=single_plan.next_action,
                request_queue="snapshot-controller-snapshot",
                content_queue="snapshot-controller-content",
            ),
            self._shop(surroundings),
            lambda sort: SnapshotController(sort, surroundings),
            at_work,
        )
        stores.trouble_with_classes = part.trouble_with_classes
        return part

    def _group_part(self, version: str) -> GroupPart:
        # What was known of groups in another version, or of those that were there before, counts for nothing.
        self.stores.forget_groups()
        stores, wakeups = self.stores.groups, self._wakeups

        def at_work(part: GroupPart | None) -> None:
            stores.known = part is not None
            wakeups.groups = None if part is None else part.request_desk
            wakeups.group_contents = None if part is None else part.content_desk
            if part is None:
                # Whoever waits for a group waits for nothing any more.
                wakeups.consider_everything()

        surroundings = self._surroundings("GroupSnapshot", self._driver_of_group)

        def make_controller(sort: Sort[VolumeGroupSnapshot, GroupContent, group_plan.Action]) -> GroupController:
            return GroupController(
                sort,
                surroundings,
                snapshots=self.stores.singles.snapshots,
                written_snapshots=self._singles.written_requests,
                written_contents=self._singles.written_contents,
            )

        part = Part(
            Sorted(
                kind=group_snapshot(version),
                content_kind=group_content(version),
                class_kind=group_class(version),
                requests=stores.groups,
                contents=stores.contents,
                classes=stores.classes,
                on_request=wakeups.group_changed,
                on_content=wakeups.group_content_changed,
                on_class=wakeups.group_class_changed,
                on_content_set_aside=wakeups.group_content_set_aside,
                reasons=GROUP_REASONS,
                next_action=group_plan.next_action,
                request_queue="snapshot-controller-group-snapshot",
                content_queue="snapshot-controller-group-content",
            ),
            self._shop(surroundings),
            make_controller,
            at_work,
        )
        stores.trouble_with_classes = part.trouble_with_classes
        return part

    def _groups_absent(self) -> None:
        if self.stores.groups.known is None:
            self.stores.groups.known = False
            self._wakeups.consider_everything()

    def _surroundings(self, thing: str, driver_of: Callable[[UserSnapshot], str | None]) -> Surroundings:
        control = self._settings.control
        return Surroundings(
            cluster=self.stores,
            claims=self._claims,
            events=self._events,
            terms=Terms(record_volume_mode=control.record_volume_mode, distributed=control.distributed),
            operations=Operations(self._metrics, thing, driver_of, self._leading),
        )

    def _shop(self, surroundings: Surroundings) -> Shop:
        return Shop(
            connection=self._connection,
            metrics=self._metrics,
            health=self.health,
            leadership=self._leadership,
            work=self._settings.work,
            surroundings=surroundings,
            synced=self._synced,
            consider_everything=self._wakeups.consider_everything,
        )

    def _driver_of_snapshot(self, request: UserSnapshot) -> str | None:
        singles = self.stores.singles
        content = singles.content(request.bound_name or request.imported_name or request.made_name)
        if content is not None:
            return content.spec.driver
        found = None if request.class_name is None else singles.snapshot_class(request.class_name)
        return None if found is None else found.driver

    def _driver_of_group(self, request: UserSnapshot) -> str | None:
        groups = self.stores.groups
        content = groups.content(request.bound_name or request.imported_name or request.made_name)
        if content is not None:
            return content.spec.driver
        found = None if request.class_name is None else groups.group_class(request.class_name)
        return None if found is None else found.driver

    async def _synced(self) -> None:
        for informer in self._informers:
            # Where nodes may not be read, contents are made all the same, for no node.
            await (informer.synced if informer in self._needed else informer.answered).wait()

    async def work(self, end: Callable[[], Awaitable[object]]) -> None:
        """Work while we lead, until `end` returns, then finish what is in hand within the grace time.

        Raises a group of `NotLeading` as soon as another may lead.
        """
        with ExitStack() as shown:
            for informer in self._informers:
                self.health.watch(informer, optional=informer not in self._needed)
                shown.callback(self.health.unwatch, informer)
            shown.enter_context(exposed_watches(self._metrics, self._informers))
            shown.callback(
                self._metrics.watch_gauge(
                    "snapshot_controller_operations_in_flight",
                    "Operations on snapshots and groups that are under way.",
                    self._in_flight,
                )
            )
            async with asyncio.TaskGroup() as tasks:
                background = [
                    *(tasks.create_task(each.run(), name=f"informer {each.what}") for each in self._informers),
                    tasks.create_task(self._events.run(), name="events"),
                    tasks.create_task(self._leadership.run(), name="election"),
                    tasks.create_task(self._wakeups.resync(self._settings.kube.resync_period), name="resync"),
                    tasks.create_task(measure_loop(LoopMetrics(self._metrics)), name="loop"),
                ]
                work = {tasks.create_task(self._singles.run(), name="singles")}
                if self._groups is not None:
                    work.add(tasks.create_task(self._groups.run(), name="groups"))
                await end()
                log.info("stopping")
                self._singles.close()
                if self._groups is not None:
                    self._groups.close()
                await finish(work, self._events, self._leadership, grace=self._settings.work.shutdown_grace)
                for task in background:
                    task.cancel()
        await self._leadership.give_up()

    def _leading(self) -> bool:
        return self._leadership.won.is_set()

    def _in_flight(self) -> float:
        if not self._leading():
            return 0.0
        return in_flight(self.stores.singles.snapshots) + in_flight(self.stores.groups.groups)
