"""Reconciles one VolumeSnapshotContent: carries out what `snapshotter.plan.content` decides.

`snapshotter.sidecar.contents` does the writes, `snapshotter.sidecar.wakeups` says when a content is due.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

import structlog

from snapshotter.csi.driver import Driver
from snapshotter.kube.errors import ApiError, NotFound
from snapshotter.kube.events import Events
from snapshotter.kube.kinds import CONTENT
from snapshotter.kube.secrets import NO_CREDENTIALS, Credentials, Secrets
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.snapshot import Code, CsiError, DriverAway, Snapshot
from snapshotter.names import DELETE_PENDING
from snapshotter.plan import failure
from snapshotter.plan.content import (
    Action,
    CheckSnapshot,
    ClearError,
    CreateSnapshot,
    DeleteSnapshot,
    Lane,
    Refuse,
    Release,
    Settle,
    Terms,
    TrustSnapshot,
    Unmark,
    Wait,
    is_pending,
    lane,
    next_action,
    waits_for_controller,
)
from snapshotter.plan.secrets import SecretRef
from snapshotter.plan.status import nanoseconds
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import ReconcileError, Requeue
from snapshotter.runtime.workqueue import Retry
from snapshotter.sidecar.contents import Contents, Superseded

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
    """The credentials for a call cannot be had. `passing`: perhaps only just now."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


class ContentController:
    """Everything that is done for contents, one key at a time."""

    def __init__(
        self,
        *,
        store: Store[Content],
        classes: Store[SnapshotClass],
        contents: Contents,
        driver: Driver,
        secrets: Secrets,
        events: Events,
        terms: Terms,
    ) -> None:
        self._store = store
        self._classes = classes
        self._contents = contents
        self._driver = driver
        self._secrets = secrets
        self._events = events
        self._told_blockers: dict[str, _Told] = {}
        self._missed_driver: set[str] = set()
        self.terms = terms

    def action(self, content: Content) -> Action:
        """What is to be done, as far as the stores know."""
        return self.action_given(content, self.class_of(content))

    def class_of(self, content: Content) -> SnapshotClass | None:
        return None if content.class_name is None else self._classes.get(content.class_name)

    def action_given(self, content: Content, snapshot_class: SnapshotClass | None) -> Action:
        """What is to be done if this is the content's class."""
        return next_action(self._contents.as_it_is(content), snapshot_class, self.terms)

    def lane_of(self, name: str) -> Lane:
        content = self._store.get(name)
        return Lane.WRITE if content is None else lane(content, self.action(content))

    def forget(self, content: Content) -> None:
        """The content is gone."""
        self._contents.close_cut(content)
        self._told_blockers.pop(content.name, None)
        self._missed_driver.discard(content.name)

    def take_missed(self) -> set[str]:
        """The contents whose call was not sent because the driver was away; each is told of once."""
        missed, self._missed_driver = self._missed_driver, set()
        return missed

    async def reconcile(self, name: str, retry: Retry) -> Requeue | None:
        """Bring one content closer to what it should be."""
        content = self._store.get(name)
        if content is None:
            return None
        self._tell_blocker(content)
        action = self.action(content)
        try:
            await self._act(content, action)
        except Superseded:
            return Requeue.NOW
        except CsiError as error:
            if isinstance(error, DriverAway):
                self._missed_driver.add(name)
            self._forget_credentials(error, action)
            at_once = failure.is_worth_telling(self._contents.latest(content), error, retry.number)
            return await self._failed(content, action, str(error), retry, tell=at_once)
        except Unusable as error:
            return await self._failed(content, action, str(error), retry, tell=not error.passing or retry.number > 1)
        except ApiError:
            if self._planned_otherwise(name, action):
                return Requeue.NOW
            raise
        return self._what_follows(name, action)

    async def _act(self, content: Content, action: Action) -> None:
        match action:
            case CreateSnapshot():
                await self._create(content, action)
            case CheckSnapshot(handle, secret):
                self._driver.require()
                credentials = await self._credentials(secret)
                self._check_plan(content, action)
                await self._record(content, await self._driver.find_snapshot(handle, credentials))
            case TrustSnapshot(handle):
                now_ns = nanoseconds(datetime.now(UTC))
                await self._record(content, Snapshot(handle, ready=True, created_at_ns=now_ns))
            case DeleteSnapshot(handle, secret):
                self._driver.require()
                credentials = await self._credentials(secret)
                self._check_plan(content, action)
                await self._driver.delete_snapshot(handle, credentials)
                log.info("snapshot deleted", handle=handle)
                cleared = await self._contents.clear(self._contents.latest(content))
                await self._contents.release(cleared)
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

    async def _create(self, content: Content, action: CreateSnapshot) -> None:
        self._driver.require()
        credentials = await self._credentials(action.secret)
        self._check_plan(content, action)
        if content.handle is not None:
            # The handle is known, so the snapshot cannot be lost: no mark is needed to ask how far it is.
            await self._record(content, await self._cut(action, credentials))
            return
        async with self._contents.marked(content) as marked:
            snapshot = await self._cut(action, credentials)
            log.info("snapshot cut", handle=snapshot.handle, volume=action.volume, ready=snapshot.ready)
            try:
                await self._record(marked, snapshot)
            except NotFound:
                # Somebody took our finalizer away by force, or the API server is starting.
                log.error("content is not found any more, its snapshot is on the storage", handle=snapshot.handle)  # noqa: TRY400
                raise

    def _check_plan(self, content: Content, action: Action) -> None:
        """Call the driver only for what is still to be done: time has passed since the plan was made."""
        if self._planned_otherwise(content.name, action):
            raise Superseded

    async def _cut(self, action: CreateSnapshot, credentials: Credentials) -> Snapshot:
        try:
            return await self._driver.create_snapshot(action.name, action.volume, action.parameters, credentials)
        except CsiError as error:
            if action.without_class is None:
                raise
            # Without the parameters of the class a refusal does not tell whether there is a snapshot.
            text = f"{error.text}; the call was made without the parameters of the class, since {action.without_class}"
            raise CsiError(error.code, text, final=False) from error

    async def _record(self, content: Content, snapshot: Snapshot) -> None:
        latest = self._contents.latest(content)
        if latest.handle not in (None, snapshot.handle):
            log.warning("driver gave another handle than before", kept=latest.handle, ignored=snapshot.handle)
        recorded = await self._contents.record(latest, snapshot)
        if recorded.ready and not latest.ready:
            log.info("snapshot is ready", handle=recorded.handle, restore_size=recorded.status.restore_size)

    async def _credentials(self, ref: SecretRef | None) -> Credentials:
        """The values for a call. Raises `Unusable`."""
        if ref is None:
            return NO_CREDENTIALS
        try:
            return await self._secrets.read(ref.namespace, ref.name)
        except ApiError as error:
            problem = f"credentials from Secret {ref.namespace}/{ref.name} are unavailable: {error}"
            raise Unusable(problem, passing=error.transient) from error

    def _forget_credentials(self, error: CsiError, action: Action) -> None:
        """Credentials that the driver does not accept are read anew for the next try."""
        refused = error.code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)
        if refused and isinstance(action, CreateSnapshot | CheckSnapshot | DeleteSnapshot) and action.secret:
            self._secrets.forget(action.secret.namespace, action.secret.name)

    def _what_follows(self, name: str, done: Action) -> Requeue | None:
        """When the key is due again after a step that worked: by what is to be done now, whoever changed it."""
        content = self._store.get(name)
        if content is None:
            return None
        action = self.action(content)
        if isinstance(action, Settle):
            return None
        if is_pending(content, action) and not isinstance(done, Unmark):
            return Requeue.POLL
        if action != done:
            return Requeue.NOW
        if isinstance(action, Wait):
            return None
        raise NotDone(f"{type(done).__name__} had no effect")

    async def _failed(self, content: Content, action: Action, cause: str, retry: Retry, *, tell: bool) -> Requeue:
        """Tell users, and say when the key is due again: by the backoff, or now if the plan is another by now."""
        content = self._contents.latest(content)
        step, subject = failure.attempted(content, action)
        if tell:
            text = failure.message(content, step, subject, cause, attempt=retry.number, retry_in=retry.retry_in)
            await self._tell(content, text)
            self._events.tell(CONTENT, content.metadata, "Warning", failure.REASONS[step], text)
        if self._planned_otherwise(content.name, action):
            return Requeue.NOW
        raise NotDone(f"{step} of {subject}: {failure.one_line(cause)}")

    def _tell_blocker(self, content: Content) -> None:
        """Say now and then what keeps a content from being deleted, also while its snapshot is being made."""
        blocker = waits_for_controller(content)
        told = self._told_blockers.get(content.name)
        now = asyncio.get_running_loop().time()
        if blocker is not None and (told is None or told.text != blocker or now - told.at > REMIND_SECONDS):
            self._told_blockers[content.name] = _Told(blocker, now)
            log.info("deletion is blocked", blocker=blocker)
            self._events.tell(CONTENT, content.metadata, "Warning", DELETE_PENDING, f"the deletion waits: {blocker}")

    def _planned_otherwise(self, name: str, action: Action) -> bool:
        """Whether something else than this action is to be done by now."""
        content = self._store.get(name)
        return content is None or self.action(content) != action

    async def _tell(self, content: Content, text: str) -> None:
        """Write a failure into the status. When that fails too there is the event, and the next attempt."""
        try:
            await self._contents.record_failure(self._contents.latest(content), text)
        except (Superseded, ApiError) as error:
            log.info("failure could not be written into the status", reason=str(error))
