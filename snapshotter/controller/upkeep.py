"""What contents of either kind need from the snapshot-controller by themselves: the finalizer that protects them, and
somebody to see to their end when their request was snatched away.
"""

from collections import OrderedDict
from contextlib import suppress
from typing import Final, Generic, TypeVar, assert_never

import structlog

from snapshotter.daemon.troubles import Troubles
from snapshotter.daemon.written import Superseded, Written
from snapshotter.kube.errors import NotFound
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import Kind
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.plan import patches
from snapshotter.plan.upkeep import Complain, Delete, Mark, Protect, Step, next_step
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import Requeue
from snapshotter.runtime.workqueue import Retry

C = TypeVar("C", bound=AnyContent)

log = structlog.get_logger(__name__)

MOST_SNATCHED: Final = 1000
"""Requests that were snatched away are remembered. A content may come when one has gone already: its creation is
repeated while no answer comes.
"""


class Upkeep(Generic[C]):
    """Looks after the contents of one kind."""

    def __init__(self, kind: Kind[C], store: Store[C], written: Written[C], events: Events) -> None:
        self._kind = kind
        self._store = store
        self._written = written
        self._events = events
        self._troubles = Troubles(kind, store, events)
        self._complained: set[str] = set()
        """The uids of contents whose users were told that something is wrong with them."""
        self._snatched: OrderedDict[str, str] = OrderedDict()
        """The uids of requests that were snatched away, by the names of their contents, be these made or not."""

    def worth_a_look(self, name: str) -> bool:
        content = self._store.get(name)
        return self._troubles.untold(name) if content is None else self._next_step(content) is not None

    def forget(self, content: C) -> None:
        """The content is gone."""
        self._complained.discard(content.metadata.uid)

    def snatched(self, request: UserSnapshot) -> None:
        """A request was snatched away; its content may be made, or be in the making."""
        self._snatched[request.made_name] = request.uid
        if len(self._snatched) > MOST_SNATCHED:
            self._snatched.popitem(last=False)

    def set_aside(self, name: str) -> None:
        """A content cannot be read, or is not one any more that cannot be."""
        self._troubles.forget(name)

    async def reconcile(self, name: str, _retry: Retry) -> Requeue | None:
        """Give a content its finalizer, say what is wrong with it, or let it go after its request."""
        content = self._store.get(name)
        if content is None:
            self._troubles.tell(name)
            return None
        try:
            return await self._take(self._next_step(content), content)
        except Superseded:
            return Requeue.NOW

    def _next_step(self, content: C) -> Step | None:
        return next_step(content, snatched=self._snatched.get(content.name) == content.ref.uid)

    async def _take(self, step: Step | None, content: C) -> Requeue | None:
        match step:
            case Protect():
                await self._written.apply(content, patches.with_finalizers(content.metadata, (content.keys.finalizer,)))
                log.info("content protected")
            case Complain(reason, problem):
                if content.metadata.uid not in self._complained:
                    self._complained.add(content.metadata.uid)
                    self._events.tell(self._kind, content.metadata, "Warning", reason, problem)
            case Mark():
                log.info("content goes after its request, which was deleted past its finalizers")
                await self._written.merge(content, patches.mark_being_deleted(content))
                return Requeue.NOW
            case Delete():
                # That it is gone already is for the watch to tell.
                with suppress(NotFound):
                    await self._written.delete(content, content.metadata.uid)
            case None:
                pass
            case _:
                assert_never(step)
        return None
