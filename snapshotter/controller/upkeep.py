"""What contents of either kind need from the snapshot-controller by themselves: the finalizer that protects them."""

from typing import Generic, TypeVar

import structlog

from snapshotter.daemon.troubles import Troubles
from snapshotter.daemon.written import Superseded, Written
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import Kind
from snapshotter.model.lifecycle import AnyContent
from snapshotter.plan import patches
from snapshotter.plan.upkeep import Complain, Protect, next_step
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import Requeue
from snapshotter.runtime.workqueue import Retry

C = TypeVar("C", bound=AnyContent)

log = structlog.get_logger(__name__)


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

    def worth_a_look(self, name: str) -> bool:
        content = self._store.get(name)
        return self._troubles.untold(name) if content is None else next_step(content) is not None

    def forget(self, content: C) -> None:
        """The content is gone."""
        self._complained.discard(content.metadata.uid)

    def set_aside(self, name: str) -> None:
        """A content cannot be read, or is not one any more that cannot be."""
        self._troubles.forget(name)

    async def reconcile(self, name: str, _retry: Retry) -> Requeue | None:
        """Give a content its finalizer, or say what is wrong with it."""
        content = self._store.get(name)
        if content is None:
            self._troubles.tell(name)
            return None
        match next_step(content):
            case Protect():
                try:
                    await self._written.apply(
                        content, patches.with_finalizers(content.metadata, (content.keys.finalizer,))
                    )
                except Superseded:
                    return Requeue.NOW
                log.info("content protected")
            case Complain(reason, problem):
                if content.metadata.uid not in self._complained:
                    self._complained.add(content.metadata.uid)
                    self._events.tell(self._kind, content.metadata, "Warning", reason, problem)
            case None:
                pass
        return None
