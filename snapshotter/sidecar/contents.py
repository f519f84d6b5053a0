"""What the sidecar writes of contents of either kind: marks, status, finalizer. The store learns of it at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Generic, TypeVar

from msgspec.structs import replace

from snapshotter.daemon.written import Written
from snapshotter.kube.objects import Objects
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.snapshot import CsiError
from snapshotter.names import MARK
from snapshotter.plan import patches, status
from snapshotter.plan.lifecycle import leaves_open, may_be_cut_anew
from snapshotter.runtime.store import Store

C = TypeVar("C", bound=AnyContent)


class Contents(Generic[C]):
    """The contents on the API server. Each write gives the object as it is then.

    Each raises `Superseded` and `ApiError`, as `Written` says.
    """

    def __init__(self, objects: Objects[C], store: Store[C]) -> None:
        self._objects = Written(objects, store)
        self._store = store
        self._open_cuts: set[str] = set()
        """The uids of contents whose last create call has left open whether there is a snapshot."""
        self._asked: set[str] = set()
        """The uids of contents whose last create call, of this process, has no answer that is certain."""

    async def mark_as_being_created(self, content: C) -> C:
        if content.marked_as_being_created:
            return content
        patch = patches.mark_being_created(content)
        return await self._objects.merge(content, patch)

    async def unmark(self, content: C) -> C:
        if not content.marked_as_being_created:
            return content
        patch = patches.unmark_being_created(content)
        return await self._objects.merge(content, patch)

    async def record(self, content: C, change: status.StatusPatch | None) -> C:
        """Change keys of the status; None changes nothing."""
        if change is None:
            return content
        patch = patches.status_patch(content, change)
        return await self._objects.apply(content, patch, subresource="status")

    async def record_failure(self, content: C, message: str) -> C:
        return await self.record(content, status.failed(content, message, datetime.now(UTC)))

    async def clear_error(self, content: C) -> C:
        return await self.record(content, status.error_cleared(content))

    async def release(self, content: C) -> C:
        """Drop our finalizer."""
        if not content.protected:
            return content
        patch = patches.without_finalizer(content)
        return await self._objects.apply(content, patch)

    @asynccontextmanager
    async def marked(self, content: C) -> AsyncIterator[C]:
        """The content with the being-created mark, which goes when it is known what the driver has done.

        It stays after a failure that leaves that open; until the handle is recorded it also keeps the content
        from being deleted, since nobody could name its snapshot.
        """
        before = self.as_it_is(self.latest(content))
        marked = await self.mark_as_being_created(self.latest(content))
        self._open_cuts.add(marked.metadata.uid)
        try:
            yield marked
        except CsiError as error:
            if leaves_open(error, was_open=before.marked_as_being_created):
                # Somebody may have removed the mark meanwhile, such as a late request of ours.
                await self.mark_as_being_created(self.latest(marked))
            else:
                self.close_cut(marked)
                await self.unmark(self.latest(marked))
            raise
        self.close_cut(marked)
        await self.unmark(self.latest(marked))

    @asynccontextmanager
    async def asked(self, content: C) -> AsyncIterator[None]:
        """Around a create call: until its answer the driver may be at work."""
        self._asked.add(content.metadata.uid)
        try:
            yield
        except CsiError as error:
            if error.final:
                self._asked.discard(content.metadata.uid)
            raise
        self._asked.discard(content.metadata.uid)

    def forget(self, content: C) -> None:
        """The content is gone."""
        self.close_cut(content)
        self._asked.discard(content.metadata.uid)

    def close_cut(self, content: C) -> None:
        """It is known, or does not matter any more, what has become of the cut."""
        self._open_cuts.discard(content.metadata.uid)

    def lost_its_mark(self, content: C) -> bool:
        """Whether a cut without an answer is not marked any more, so that only this process knows of it."""
        return content.metadata.uid in self._open_cuts and not content.marked_as_being_created and not content.handle

    def as_it_is(self, content: C) -> C:
        """The content as plans must see it.

        With its mark, though somebody has removed that from an open cut; and in doubt while a create call may still
        be at work. Of the calls of a process before this one nothing is known: perhaps its last was the deletion, after
        which asking once more would make the snapshot anew.
        """
        if content.handle is not None:
            self.close_cut(content)
            if content.metadata.uid in self._asked and may_be_cut_anew(content):
                return replace(content, cut_in_doubt=True)
        if not self.lost_its_mark(content):
            return content
        annotations = replace(content.metadata.annotations, being_created=MARK)
        return replace(content, metadata=replace(content.metadata, annotations=annotations))

    def latest(self, content: C) -> C:
        """The same object as the store knows it now."""
        known = self._store.get(content.name)
        return known if known is not None and known.metadata.uid == content.metadata.uid else content
