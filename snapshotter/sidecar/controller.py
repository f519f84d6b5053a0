"""Reconciles contents of either kind: carries out what `snapshotter.plan` decides, and tells users how it went.

What differs between the kinds is their plan and the calls to the driver, in `content` and `group_content` beside this.
`snapshotter.sidecar.contents` does the writes, `snapshotter.sidecar.wakeups` says when a content is due.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, assert_never

import structlog

from snapshotter.csi.driver import Driver
from snapshotter.daemon.troubles import Troubles
from snapshotter.daemon.written import Superseded
from snapshotter.kube.errors import ApiError, Forbidden, NotFound
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import Kind
from snapshotter.kube.secrets import NO_CREDENTIALS, Credentials, Secrets
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.model.snapshot import Code, CsiError, DriverAway, GroupSnapshot, Snapshot
from snapshotter.names import DELETE_PENDING
from snapshotter.plan import failure
from snapshotter.plan.lifecycle import (
    ClearError,
    Lane,
    Plan,
    Refuse,
    Release,
    Settle,
    Terms,
    Unmark,
    Wait,
    WithoutDriver,
    waits_for_controller,
)
from snapshotter.plan.secrets import SecretRef, named_secrets, secret_from_annotations
from snapshotter.plan.status import StatusPatch
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import ReconcileError, Requeue
from snapshotter.runtime.workqueue import Retry
from snapshotter.sidecar.contents import Contents

C = TypeVar("C", bound=AnyContent)
K = TypeVar("K", bound=AnyClass)
A = TypeVar("A")

R = TypeVar("R", Snapshot, GroupSnapshot)

log = structlog.get_logger(__name__)

REMIND_SECONDS = 600.0
"""An event about a blocked deletion is repeated after this time: events do not last, the deletion may."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What users were told, and when on the loop's clock."""

    text: str
    at: float


class NotDone(ReconcileError):
    """A step failed for reasons that users can do something about; they have been told as far as they should be."""


class Unusable(Exception):
    """As the objects are, a call cannot be made. `passing`: perhaps only just now."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every controller works with."""

    driver: Driver
    secrets: Secrets
    events: Events


class Controller(ABC, Generic[C, K, A]):
    """Everything that is done for the contents of one kind, one key at a time."""

    def __init__(
        self,
        kind: Kind[C],
        plan: Plan[C, K, A],
        terms: Terms,
        *,
        store: Store[C],
        classes: Store[K],
        contents: Contents[C],
        surroundings: Surroundings,
        classes_unknown: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`classes_unknown` tells why the API server does not tell the classes, if it does not."""
        self._kind = kind
        self._plan = plan
        self._store = store
        self._classes = classes
        self._contents = contents
        self._driver = surroundings.driver
        self._secrets = surroundings.secrets
        self._events = surroundings.events
        self._troubles = Troubles(kind, store, surroundings.events)
        self._told_blockers: dict[str, _Told] = {}
        self._missed_driver: dict[str, int] = {}
        self._terms = terms
        self._classes_unknown = classes_unknown

    @property
    def terms(self) -> Terms:
        """What holds for every content at the moment."""
        reason, troubles = self._classes_unknown(), self._classes.troubles()
        if reason is None and not troubles:
            return self._terms
        return replace(self._terms, classes_unknown=reason, class_troubles={each.key: each.reason for each in troubles})

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self._terms = terms

    @abstractmethod
    async def _act(self, content: C, action: A) -> None:
        """Carry an action out. Raises `CsiError`, `Unusable`, `Superseded`, `ApiError`."""

    async def _act_without_driver(self, content: C, action: WithoutDriver) -> None:
        """Carry out what both kinds have in common."""
        match action:
            case Release():
                await self._contents.release(content)
                log.info("content released")
            case Unmark():
                await self._contents.unmark(content)
            case ClearError():
                await self._contents.clear_error(content)
            case Refuse(_, problem):
                raise Unusable(problem, passing=False)
            case Wait() | Settle():
                pass
            case _:
                assert_never(action)

    def action(self, content: C) -> A:
        """What is to be done, as far as the stores know."""
        return self.action_given(content, self.class_of(content))

    def class_of(self, content: C) -> K | None:
        return None if content.class_name is None else self._classes.get(content.class_name)

    def action_given(self, content: C, snapshot_class: K | None) -> A:
        """What is to be done if this is the content's class."""
        return self._plan.next_action(self._contents.as_it_is(content), snapshot_class, self.terms)

    def lane_of(self, name: str) -> Lane:
        content = self._store.get(name)
        return Lane.WRITE if content is None else self._plan.lane(content, self.action(content))

    def secrets_in_use(self) -> set[SecretRef]:
        """The Secrets that have to be read, as far as is known: for classes, for what is to be done, for deletions."""
        classes = (known for known in self._classes if known.driver == self._terms.driver)
        used = {secret for known in classes for secret in named_secrets(known.parameters)}
        # Of the many contents that name the same Secret one is looked at: ten thousand take no notable time then.
        naming: dict[tuple[str | None, str | None], C] = {}
        for content in self._store:
            if not content.ready and (secret := self._plan.secret_of(self.action(content))) is not None:
                used.add(secret)
            if content.spec.deletion_policy == "Delete":
                annotations = content.metadata.annotations
                naming[annotations.secret_namespace, annotations.secret_name] = content
        for content in naming.values():
            annotated = secret_from_annotations(content)
            used |= {annotated} if isinstance(annotated, SecretRef) else set()
        return used

    def forget(self, content: C) -> None:
        """The content is gone."""
        self._contents.forget(content)
        self._told_blockers.pop(content.name, None)
        self._missed_driver.pop(content.name, None)

    def worth_telling(self, name: str) -> bool:
        """Whether users are to hear that a content cannot be read."""
        self._troubles.forget(name)
        return self._troubles.untold(name)

    def take_missed(self) -> dict[str, int]:
        """The contents whose call was not sent because the driver was away, with their failures in a row before that.

        Each is told of once.
        """
        missed, self._missed_driver = self._missed_driver, {}
        return missed

    async def reconcile(self, name: str, retry: Retry) -> Requeue | None:
        """Bring one content closer to what it should be."""
        content = self._store.get(name)
        if content is None:
            self._troubles.tell(name)
            return None
        self._tell_blocker(content)
        action = self.action(content)
        try:
            await self._act(content, action)
        except Superseded:
            return Requeue.NOW
        except CsiError as error:
            if isinstance(error, DriverAway):
                self._missed_driver.setdefault(name, retry.number - 1)
            self._forget_credentials(error, action)
            at_once = failure.is_worth_telling(self._contents.latest(content), error, retry.number)
            return await self._failed(content, action, str(error), retry, tell=at_once)
        except Unusable as error:
            return await self._failed(content, action, str(error), retry, tell=not error.passing or retry.number > 1)
        except Forbidden as error:
            # No passing trouble: somebody has to change the role, or what else has refused it.
            return await self._failed(content, action, str(error), retry, tell=True)
        except ApiError as error:
            if self._planned_otherwise(name, action):
                return Requeue.NOW
            if error.transient or isinstance(error, NotFound):
                raise
            # It will not pass by itself: the write is too large, say, or breaks a rule of somebody's.
            return await self._failed(content, action, str(error), retry, tell=retry.number > 1)
        known = self._store.get(name)
        if known is None or known.metadata.uid != content.metadata.uid:
            # It has gone with a write of ours, of which the watch tells nothing.
            self.forget(content)
        return self._what_follows(name, action)

    def worth_a_look(self, old: C | None, new: C) -> bool:
        """Whether a change by somebody else makes a content due now."""
        return self._contents.lost_its_mark(new) or self._plan.worth_a_look(old, new, self.class_of(new), self.terms)

    async def _ready_to_call(self, content: C, action: A) -> Credentials:
        """What goes with an action's call, once it can be sent and is still what is to be done."""
        self._driver.require()
        credentials = await self._credentials(self._plan.secret_of(action))
        # Time has passed since the plan was made.
        if self._planned_otherwise(content.name, action):
            raise Superseded
        return credentials

    async def _cut(
        self,
        content: C,
        call: Callable[[], Awaitable[R]],
        record: Callable[[C, R], Awaitable[None]],
        *,
        without_class: str | None,
    ) -> None:
        """Make a create call and record its answer, under the being-created mark where that is needed."""
        if content.handle is not None:
            # The handle is known, so nothing can be lost: no mark is needed to ask how far it is.
            async with self._contents.asked(content):
                answer = await call()
            await record(content, answer)
            return
        async with self._contents.marked(content) as marked:
            async with self._contents.asked(marked):
                answer = await _settling(call, without_class)
            if not answer.ready:  # else the next line says that it is, and its handle
                log.info("cut", handle=answer.handle)
            try:
                await record(marked, answer)
            except NotFound:
                # Somebody took our finalizer away by force, or the API server is starting.
                log.error("content is not found any more, its snapshot is on the storage", handle=answer.handle)  # noqa: TRY400
                raise

    async def _settle_deletion(self, content: C, change: StatusPatch | None) -> None:
        """What follows when the storage has deleted: forget the handle, let go of the object."""
        cleared = await self._contents.record(self._contents.latest(content), change)
        await self._contents.release(cleared)

    async def _credentials(self, ref: SecretRef | None) -> Credentials:
        """The values for a call. Raises `Unusable`."""
        if ref is None:
            return NO_CREDENTIALS
        try:
            return await self._secrets.read(ref.namespace, ref.name)
        except ApiError as error:
            problem = f"credentials from Secret {ref.namespace}/{ref.name} are unavailable: {error}"
            raise Unusable(problem, passing=error.transient) from error

    def _forget_credentials(self, error: CsiError, action: A) -> None:
        """Credentials that the driver does not accept are read anew for the next try."""
        refused = error.code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)
        if refused and (secret := self._plan.secret_of(action)) is not None:
            self._secrets.forget(secret.namespace, secret.name)

    def _what_follows(self, name: str, done: A) -> Requeue | None:
        """When the key is due again after a step that worked: by what is to be done now, whoever changed it."""
        content = self._store.get(name)
        if content is None:
            return None
        action = self.action(content)
        if isinstance(action, Settle):
            return None
        if self._plan.is_pending(content, action) and not isinstance(done, Unmark):
            return Requeue.POLL
        if action != done:
            return Requeue.NOW
        if isinstance(action, Wait):
            return None
        raise NotDone(f"{type(done).__name__} had no effect")

    async def _failed(self, content: C, action: A, cause: str, retry: Retry, *, tell: bool) -> Requeue:
        """Tell users, and say when the key is due again: by the backoff, or now if the plan is another by now."""
        content = self._contents.latest(content)
        attempted = self._plan.attempted(content, action)
        if tell:
            known = self._contents.as_it_is(content)
            text = failure.message(known, attempted.what, cause, attempt=retry.number, retry_in=retry.retry_in)
            await self._tell(content, text)
            self._events.tell(self._kind, content.metadata, "Warning", attempted.reason, text)
        if self._planned_otherwise(content.name, action):
            return Requeue.NOW
        raise NotDone(f"{failure.one_line(attempted.what, failure.LONGEST_ATTEMPT)}: {failure.one_line(cause)}")

    def _tell_blocker(self, content: C) -> None:
        """Say now and then what keeps a content from being deleted, also while its snapshot is being made."""
        blocker = waits_for_controller(content)
        told = self._told_blockers.get(content.name)
        now = asyncio.get_running_loop().time()
        if blocker is not None and (told is None or told.text != blocker or now - told.at > REMIND_SECONDS):
            self._told_blockers[content.name] = _Told(blocker, now)
            short = failure.one_line(blocker, failure.LONGEST_TEXT)
            log.info("deletion is blocked", blocker=short)
            text = f"the deletion waits: {short}"
            self._events.tell(self._kind, content.metadata, "Warning", DELETE_PENDING, text)

    def _planned_otherwise(self, name: str, action: A) -> bool:
        """Whether something else than this action is to be done by now."""
        content = self._store.get(name)
        return content is None or self.action(content) != action

    async def _tell(self, content: C, text: str) -> None:
        """Write a failure into the status. When that fails too there is the event, and the next attempt."""
        try:
            await self._contents.record_failure(self._contents.latest(content), text)
        except (Superseded, ApiError) as error:
            log.info("failure could not be written into the status", reason=str(error))


async def _settling(call: Callable[[], Awaitable[R]], without_class: str | None) -> R:
    """Make a create call. Made without the parameters of the class, a refusal does not tell what there is."""
    try:
        return await call()
    except CsiError as error:
        if without_class is None:
            raise
        text = f"{error.text}; the call was made without the parameters of the class, since {without_class}"
        raise CsiError(error.code, text, final=False) from error
