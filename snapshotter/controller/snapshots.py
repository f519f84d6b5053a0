"""Carries out what is planned for one VolumeSnapshot. What both kinds share is in `requests`."""

import structlog

from snapshotter.controller.requests import RequestController
from snapshotter.daemon.written import Superseded
from snapshotter.model.content import Content
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import patches
from snapshotter.plan.bodies import owner
from snapshotter.plan.requests import (
    Attempt,
    attempted,
)
from snapshotter.plan.snapshot import Action, AddOwner

log = structlog.get_logger(__name__)


class SnapshotController(RequestController[VolumeSnapshot, Content, Action]):
    """The controller of VolumeSnapshots."""

    async def _act(self, request: VolumeSnapshot, action: Action) -> None:
        match action:
            case AddOwner(group):
                await self._add_owner(request, group)
            case _:
                await self._act_on_request(request, action)

    def _attempted(self, action: Action) -> Attempt:
        if isinstance(action, AddOwner):
            return Attempt(f'becoming a member of group "{action.group}"', self._sort.reasons.status_failed)
        return attempted(action, self._sort.reasons)

    async def _add_owner(self, snapshot: VolumeSnapshot, group_key: str) -> None:
        group = self._cluster.groups.group(group_key)
        if group is None:
            raise Superseded
        await self._sort.requests.apply(snapshot, patches.add_owner(snapshot, owner(group)))
        log.info("snapshot became a member of its group", group=group_key)
