"""Carries out what is planned for one VolumeGroupSnapshotContent. What both kinds share is in `controller`."""

from datetime import UTC, datetime
from typing import assert_never

import structlog

from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.snapshot import GroupSnapshot
from snapshotter.plan import group_status
from snapshotter.plan.group_content import Action, CheckGroupSnapshot, CreateGroupSnapshot, DeleteGroupSnapshot
from snapshotter.plan.lifecycle import ClearError, Refuse, Release, Settle, Unmark, Wait
from snapshotter.sidecar.controller import Controller

log = structlog.get_logger(__name__)


class GroupContentController(Controller[GroupContent, GroupSnapshotClass, Action]):
    """The controller of VolumeGroupSnapshotContents."""

    async def _act(self, content: GroupContent, action: Action) -> None:
        match action:
            case CreateGroupSnapshot():
                await self._create(content, action)
            case CheckGroupSnapshot(handle, members):
                credentials = await self._ready_to_call(content, action)
                await self._record(content, await self._driver.find_group_snapshot(handle, members, credentials))
            case DeleteGroupSnapshot(handle, members):
                credentials = await self._ready_to_call(content, action)
                await self._driver.delete_group_snapshot(handle, members, credentials)
                log.info("group snapshot deleted", handle=handle, members=len(members))
                await self._settle_deletion(content, group_status.cleared(self._contents.latest(content)))
            case Release() | Unmark() | ClearError() | Refuse() | Wait() | Settle():
                await self._act_without_driver(content, action)
            case _:
                assert_never(action)

    async def _create(self, content: GroupContent, action: CreateGroupSnapshot) -> None:
        credentials = await self._ready_to_call(content, action)
        await self._cut(
            content,
            lambda: self._driver.create_group_snapshot(action.name, action.volumes, action.parameters, credentials),
            self._record,
            without_class=action.without_class,
        )

    async def _record(self, content: GroupContent, group: GroupSnapshot) -> None:
        latest = self._contents.latest(content)
        if latest.handle not in (None, group.handle):
            log.warning("driver gave another handle than before", kept=latest.handle, ignored=group.handle)
        recorded = await self._contents.record(latest, group_status.recorded(latest, group, datetime.now(UTC)))
        if recorded.ready and not latest.ready:
            log.info("group snapshot is ready", handle=recorded.handle, members=len(group.members))
