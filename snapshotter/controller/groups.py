"""Carries out what is planned for one VolumeGroupSnapshot. What both kinds share is in `requests`."""

import asyncio

import structlog

from snapshotter.controller.requests import NotDone, RequestController, Sort, Surroundings
from snapshotter.daemon.written import Superseded, Written
from snapshotter.kube.errors import NotFound
from snapshotter.model.content import Content
from snapshotter.model.group_content import GroupContent
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import patches
from snapshotter.plan.bodies import (
    member_body,
    member_content_body,
    member_content_name,
    member_name,
    member_status,
)
from snapshotter.plan.group_snapshot import Action, DeleteMembers, MakeMembers, Member
from snapshotter.plan.requests import (
    Attempt,
    BindContent,
    attempted,
)
from snapshotter.runtime.store import Store

log = structlog.get_logger(__name__)

MEMBER_DELETE_FAILED = "SnapshotDeleteError"
"""The reason of an event about a member that the API server does not let us delete."""
MEMBERS_AT_A_TIME = 10


class GroupController(RequestController[VolumeGroupSnapshot, GroupContent, Action]):
    """The controller of VolumeGroupSnapshots."""

    def __init__(
        self,
        sort: Sort[VolumeGroupSnapshot, GroupContent, Action],
        surroundings: Surroundings,
        *,
        snapshots: Store[VolumeSnapshot],
        written_snapshots: Written[VolumeSnapshot],
        written_contents: Written[Content],
    ) -> None:
        super().__init__(sort, surroundings)
        self._snapshots = snapshots
        self._written_snapshots = written_snapshots
        self._written_contents = written_contents

    async def _act(self, request: VolumeGroupSnapshot, action: Action) -> None:
        match action:
            case MakeMembers(name, members):
                await self._make_members(request, self._content(name), members)
            case DeleteMembers(keys):
                for key in keys:
                    await self._delete_member(key)
            case _:
                await self._act_on_request(request, action)

    def _attempted(self, action: Action) -> Attempt:
        match action:
            case MakeMembers():
                failed = self._sort.reasons.creation_failed
                return Attempt("making the member snapshots", failed, failed)
            case DeleteMembers():
                return Attempt("deleting the member snapshots", MEMBER_DELETE_FAILED)
            case _:
                return attempted(action, self._sort.reasons)

    async def _make_members(
        self, group: VolumeGroupSnapshot, content: GroupContent, members: tuple[Member, ...]
    ) -> None:
        """Raises the first failure when all that could be done is done."""
        places = asyncio.Semaphore(MEMBERS_AT_A_TIME)

        async def make(member: Member) -> None:
            async with places:
                await self._make_member(group, content, member)

        outcomes = await asyncio.gather(*(make(member) for member in members), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        log.info("members made", members=len(members))

    async def _make_member(self, group: VolumeGroupSnapshot, content: GroupContent, member: Member) -> None:
        """The member's snapshot, then its content, which names it, then what the content tells."""
        snapshot = member.snapshot
        if snapshot is None:
            body = member_body(group, member.volume_handle, member.claim_name, content.spec.deletion_policy)
            name = member_name(group.uid, member.volume_handle)
            snapshot = await self._written_snapshots.create(group.namespace, name, body)
        made = member.content
        if made is None:
            body = member_content_body(group, content, member.volume_handle, snapshot.uid, member.volume_mode)
            name = member_content_name(group.uid, member.volume_handle)
            made = await self._written_contents.create("", name, body)
        elif not made.ref.uid:
            made = await self._written_contents.apply(
                made, patches.bind_content(made, BindContent(made.name, snapshot.uid))
            )
        if (change := member_status(made, content.handle or "", member.info)) is not None:
            await self._written_contents.apply(made, patches.status_patch(made, change), subresource="status")

    async def _delete_member(self, key: str) -> None:
        member = self._snapshots.get(key)
        if member is None:
            raise Superseded
        try:
            await self._written_snapshots.delete(member, member.uid)
        except NotFound:
            raise NotDone(f'member "{key}" is gone, which the watch has not told yet') from None
