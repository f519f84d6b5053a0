"""Carries out what is planned for one VolumeSnapshotContent. What both kinds share is in `controller`."""

from datetime import UTC, datetime
from typing import assert_never

import structlog

from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.snapshot import Snapshot
from snapshotter.plan import status
from snapshotter.plan.content import Action, CheckSnapshot, CreateSnapshot, DeleteSnapshot, TrustSnapshot
from snapshotter.plan.lifecycle import ClearError, Refuse, Release, Settle, Unmark, Wait
from snapshotter.plan.status import nanoseconds
from snapshotter.sidecar.controller import Controller

log = structlog.get_logger(__name__)


class ContentController(Controller[Content, SnapshotClass, Action]):
    """The controller of VolumeSnapshotContents."""

    async def _act(self, content: Content, action: Action) -> None:
        match action:
            case CreateSnapshot():
                await self._create(content, action)
            case CheckSnapshot(handle):
                credentials = await self._ready_to_call(content, action)
                await self._record(content, await self._driver.find_snapshot(handle, credentials))
            case TrustSnapshot(handle):
                now_ns = nanoseconds(datetime.now(UTC))
                await self._record(content, Snapshot(handle, ready=True, created_at_ns=now_ns))
            case DeleteSnapshot(handle):
                credentials = await self._ready_to_call(content, action)
                await self._driver.delete_snapshot(handle, credentials)
                log.info("snapshot deleted", handle=handle)
                await self._settle_deletion(content, status.cleared(self._contents.latest(content)))
            case Release() | Unmark() | ClearError() | Refuse() | Wait() | Settle():
                await self._act_without_driver(content, action)
            case _:
                assert_never(action)

    async def _create(self, content: Content, action: CreateSnapshot) -> None:
        credentials = await self._ready_to_call(content, action)
        await self._cut(
            content,
            lambda: self._driver.create_snapshot(action.name, action.volume, action.parameters, credentials),
            self._record,
            without_class=action.without_class,
        )

    async def _record(self, content: Content, snapshot: Snapshot) -> None:
        latest = self._contents.latest(content)
        if latest.handle not in (None, snapshot.handle):
            log.warning("driver gave another handle than before", kept=latest.handle, ignored=snapshot.handle)
        recorded = await self._contents.record(latest, status.recorded(latest, snapshot, datetime.now(UTC)))
        if recorded.ready and not latest.ready:
            log.info("snapshot is ready", handle=recorded.handle, restore_size=recorded.status.restore_size)
