"""When a content is due: on changes by others that change the plan, when the driver returns, and now and then."""

import asyncio
from typing import Generic, TypeVar

from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.plan.lifecycle import Settle, Terms
from snapshotter.runtime.store import Store
from snapshotter.runtime.workqueue import WorkQueue
from snapshotter.sidecar.controller import Controller

C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")


class Wakeups(Generic[C, K, A]):
    """Adds keys to the queue.

    A key that is with a worker is left alone: when the worker has finished, it looks at what is to be done then,
    whoever has changed it meanwhile. So a watch event of our own write that overtakes the answer wakes nobody.

    Who stands by queues nothing: the leader does what is to be done, and its keys would wait here for ever.
    """

    def __init__(self, queue: WorkQueue[str], store: Store[C], controller: Controller[C, K, A]) -> None:
        self._queue = queue
        self._store = store
        self._controller = controller
        self._working = False

    def begin(self) -> None:
        """We may work: the contents are due for which there is something to do."""
        self._working = True
        for content in self._store:
            if self._controller.worth_a_look(None, content):
                self._wake(content.name)
        for odd in self._store.troubles():
            self._queue.add(odd.key)

    def content_changed(self, old: C | None, new: C | None) -> None:
        """An `OnChange` of the informer of contents."""
        if new is None:
            if old is not None:
                self._queue.drop(old.name)
                self._controller.forget(old)
        elif old is not None and old.metadata.uid != new.metadata.uid:
            # Made anew under the same name: nothing of the old one's counts.
            self._queue.drop(old.name)
            self._controller.forget(old)
            self._wake(new.name)
        elif self._counts(new.name) and self._controller.worth_a_look(old, new):
            self._queue.add(new.name)

    def content_set_aside(self, name: str) -> None:
        """A content cannot be read, or is not one any more that cannot be."""
        if self._controller.worth_telling(name) and self._working:
            self._queue.add(name)

    def class_changed(self, old: K | None, new: K | None) -> None:
        """An `OnChange` of the informer of classes."""
        changed = new or old
        if changed is None:
            return
        for content in self._store:
            if content.class_name == changed.name and (
                self._controller.action_given(content, old) != self._controller.action_given(content, new)
            ):
                self._wake(content.name)

    def driver_returned(self, terms: Terms) -> None:
        """The driver is back, perhaps with other capabilities.

        Whoever has waited for it need not wait longer, and not longer the next time either. Whose call it has not
        survived keeps to the backoff: perhaps the call was why.
        """
        before = {content.name: self._controller.action(content) for content in self._store}
        self._controller.terms = terms
        missed = self._controller.take_missed()
        for name, failures in missed.items():
            self._queue.forgive(name, failures)
        for content in self._store:
            if content.name in missed or self._controller.action(content) != before[content.name]:
                self._wake(content.name)

    async def resync(self, period: float) -> None:
        """Look again, every so many seconds, at contents that are not at rest and that no clock brings back."""
        while True:
            await asyncio.sleep(period)
            for content in self._store:
                if not self._queue.knows(content.name) and not isinstance(self._controller.action(content), Settle):
                    self._wake(content.name)

    def _wake(self, name: str) -> None:
        if self._counts(name):
            self._queue.add(name)

    def _counts(self, name: str) -> bool:
        """Whether it matters that a content is due. At the end of a pass its worker plans anew in any case."""
        return self._working and not self._queue.is_working(name)
