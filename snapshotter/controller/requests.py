"""Reconciles requests of either kind: carries out what `snapshotter.plan` decides, and tells users how it went.

What only VolumeSnapshots or only VolumeGroupSnapshots need is in `snapshots` and `groups` beside this.
`snapshotter.controller.wakeups` says when a request is due.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, assert_never

import structlog

from snapshotter.controller.claims import Claims
from snapshotter.controller.operations import Operations
from snapshotter.daemon.troubles import Troubles
from snapshotter.daemon.written import Superseded, Written
from snapshotter.kube.errors import ApiError, Conflict, NotFound
from snapshotter.kube.events import Events, EventType
from snapshotter.kube.kinds import Kind
from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.names import DELETE_PENDING
from snapshotter.plan import patches
from snapshotter.plan.binding import points_to
from snapshotter.plan.claims import releasable
from snapshotter.plan.cluster import Cluster
from snapshotter.plan.failure import LONGEST_ATTEMPT, LONGEST_TEXT, one_line
from snapshotter.plan.requests import (
    DELETION_WAITS,
    Attempt,
    BindContent,
    Blocked,
    CreateContent,
    DeleteContent,
    MarkContent,
    Prepare,
    ProtectClaims,
    Reasons,
    Refuse,
    Release,
    ReleaseClaims,
    Report,
    RequestAction,
    Settle,
    Terms,
    Wait,
)
from snapshotter.plan.status import StatusPatch, rfc3339
from snapshotter.runtime.store import Store
from snapshotter.runtime.workers import ReconcileError, Requeue
from snapshotter.runtime.workqueue import Retry

U = TypeVar("U", bound=UserSnapshot)
C = TypeVar("C", bound=AnyContent)
A = TypeVar("A")

log = structlog.get_logger(__name__)

MOST_STEPS = 50
"""Steps of one pass. One that needs more lets others go first, and comes back."""
REMIND_SECONDS = 600.0
"""An event about a blocked deletion is repeated after this time: events do not last, the deletion may."""
SILENT_SECONDS = 2.0
"""What most likely passes may last so long before users are told: a deletion on the storage, a claim's binding."""


class NotDone(ReconcileError):
    """A request cannot be served for reasons that users can do something about; they have been told."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every controller works with."""

    cluster: Cluster
    claims: Claims
    events: Events
    terms: Terms
    operations: Operations


@dataclass(frozen=True, slots=True)
class Sort(Generic[U, C, A]):
    """One sort of requests: its kinds, its plan, its objects."""

    kind: Kind[U]
    reasons: Reasons
    next_action: Callable[[U, Cluster, Terms], A]
    store: Store[U]
    requests: Written[U]
    content_store: Store[C]
    contents: Written[C]


@dataclass(frozen=True, slots=True)
class _Told:
    """Which blocker users were told of, and when on the loop's clock."""

    blocker: str
    at: float


class RequestController(ABC, Generic[U, C, A]):
    """Everything that is done for the requests of one sort, one key at a time."""

    def __init__(self, sort: Sort[U, C, A], surroundings: Surroundings) -> None:
        self._sort = sort
        self._cluster = surroundings.cluster
        self._claims = surroundings.claims
        self._events = surroundings.events
        self._terms = surroundings.terms
        self._operations = surroundings.operations
        self._troubles = Troubles(sort.kind, sort.store, surroundings.events)
        self._told_blockers: dict[str, _Told] = {}
        self._untold: dict[str, str] = {}
        """What a deletion waits for, where its namespace takes no events any more: the status tells it instead."""
        self._waiting: dict[str, float] = {}
        """Since when on the loop's clock deletions have waited for others, without an error that says why."""
        self._passing: dict[str, float] = {}
        """Since when on the loop's clock requests have not been served for a reason that may soon be over."""
        self._refused: dict[str, object] = {}
        """Why requests were refused last, so that only something else is worth another look before the backoff."""
        self._doubtful: dict[str, str] = {}
        """Contents of which it is not known whether they were made, by the requests' keys."""

    @abstractmethod
    def _attempted(self, action: A) -> Attempt:
        """What an action attempts, for people."""

    @abstractmethod
    async def _act(self, request: U, action: A) -> None:
        """Carry out an action. Raises `Superseded`, `NotDone`, `ApiError`."""

    def action(self, request: U) -> A:
        """What is to be done, as far as the stores know."""
        return self._sort.next_action(request, self._cluster, self._terms)

    def worth_a_look(self, key: str) -> bool:
        """Whether there is something to do for a request that is not waiting for its time already."""
        request = self._sort.store.get(key)
        if request is None:
            return self._troubles.untold(key)
        action = self.action(request)
        if isinstance(action, Wait):
            return action.blocker is not None and key not in self._waiting
        return not isinstance(action, Settle) and self._refused.get(key) != action

    def at_rest(self, key: str) -> bool:
        """Whether nothing is to be done for a request, now or later."""
        request = self._sort.store.get(key)
        return request is None or isinstance(self.action(request), Settle)

    def forget(self, request: U) -> None:
        """The request is gone."""
        for known in (
            *(self._told_blockers, self._untold, self._waiting),
            *(self._passing, self._refused, self._doubtful),
        ):
            known.pop(request.key, None)
        self._operations.gone(request)

    def set_aside(self, key: str) -> None:
        """A request cannot be read, or is not one any more that cannot be."""
        self._troubles.forget(key)

    async def reconcile(self, key: str, retry: Retry) -> Requeue | None:
        """Bring one request as far as it can be brought now, a write at a time."""
        self._refused.pop(key, None)
        for _ in range(MOST_STEPS):
            request = self._sort.store.get(key)
            if request is None:
                self._troubles.tell(key)
                return None
            if (name := self._doubtful.get(key)) is not None:
                await self._settle_doubt(key, name)
                continue
            self._operations.seen(request)
            if (text := self._untold.pop(key, None)) is not None and await self._written_instead(request, text):
                continue
            action = self.action(request)
            if isinstance(action, Wait):
                return self._wait(request, action)
            if isinstance(action, Settle):
                return None
            if self._may_pass(key, action):
                return Requeue.POLL
            try:
                await self._act(request, action)
            except Superseded:
                continue
            except NotDone:
                if self._planned_otherwise(key, action):
                    continue
                self._refused[key] = action
                raise
            except ApiError as error:
                if self._planned_otherwise(key, action):
                    continue
                await self._failed(request, action, error, retry)
                if self._planned_otherwise(key, action):
                    continue
                # Only the backoff brings it back, unless something else is to be done by then.
                self._refused[key] = action
                raise
        return Requeue.NOW

    def _wait(self, request: U, wait: Wait) -> Requeue | None:
        """Leave a request alone; what a deletion waits for is told when it has waited for some time."""
        if wait.blocker is None:
            self._waiting.pop(request.key, None)
            return None
        now = asyncio.get_running_loop().time()
        if now - self._waiting.setdefault(request.key, now) >= SILENT_SECONDS:
            # Nothing has failed as far as is known: it takes its time.
            self._tell_blocker(request, wait.blocker, "Normal")
        return Requeue.POLL

    def _may_pass(self, key: str, action: A) -> bool:
        """Whether a request is refused for a reason that may be over in a moment, and has been for just that."""
        if not (isinstance(action, Refuse) and action.passing):
            self._passing.pop(key, None)
            return False
        now = asyncio.get_running_loop().time()
        return now - self._passing.setdefault(key, now) < SILENT_SECONDS

    def _planned_otherwise(self, key: str, action: A) -> bool:
        """Whether something else than this action is to be done by now."""
        request = self._sort.store.get(key)
        return request is None or self.action(request) != action

    async def _act_on_request(self, request: U, action: RequestAction) -> None:
        """Carry out what both kinds have in common."""
        match action:
            case Prepare():
                await self._sort.requests.apply(request, patches.prepare(request, action))
            case ProtectClaims(keys):
                await self._claims.protect(keys)
            case ReleaseClaims(keys):
                besides = request if request.deleting else None
                await self._claims.release(keys, lambda key: releasable(key, self._cluster, besides=besides))
            case CreateContent():
                await self._create_content(request, action)
            case BindContent():
                content = self._content(action.name)
                await self._sort.contents.apply(content, patches.bind_content(content, action))
            case Report(change, events):
                await self._report(request, change)
                for told in events:
                    self._tell(request, "Normal", told.reason, told.text)
            case MarkContent(name):
                content = self._content(name)
                await self._sort.contents.merge(content, patches.mark_being_deleted(content))
            case DeleteContent(name):
                await self._delete_content(name)
            case Release(finalizers, missing):
                await self._must_be_missing(missing)
                await self._sort.requests.apply(request, patches.without_finalizers(request.metadata, finalizers))
                log.info("request released")
            case Refuse():
                await self._refuse(request, action)
            case Blocked(blocker):
                self._tell_blocker(request, blocker)
                raise NotDone(f"the deletion waits: {one_line(blocker, LONGEST_TEXT)}")
            case Wait() | Settle():
                pass
            case _:
                assert_never(action)

    async def _create_content(self, request: U, action: CreateContent) -> None:
        async with self._claims.held(action.claims):
            # What the plan saw when the turn had not come yet may be over.
            latest = self._sort.store.get(request.key)
            if latest is None or self.action(latest) != action:
                raise Superseded
            try:
                await self._sort.contents.create("", action.name, _from_version(action.body, latest))
            except Superseded:
                found = self._sort.content_store.get(action.name)
                if found is not None and points_to(found, request):
                    # The answer to an earlier request had been lost.
                    self._content_created(request, action)
                raise
            except ApiError as error:
                if error.transient:
                    self._doubtful[request.key] = action.name
                raise
        self._content_created(request, action)

    def _content_created(self, request: U, action: CreateContent) -> None:
        log.info("content created", content=action.name)
        waits = f'waiting for CSI driver "{action.driver}" to cut {request.key}'
        self._tell(request, "Normal", self._sort.reasons.creating, waits)
        if action.warning is not None:
            self._tell(request, "Warning", self._sort.reasons.content_post_failed, action.warning)

    async def _settle_doubt(self, key: str, name: str) -> None:
        """Find out whether a content was made. Raises `ApiError` while nobody can tell."""
        try:
            await self._sort.contents.look_for(name)
        except NotFound:
            log.debug("content was not made", content=name)
        self._doubtful.pop(key, None)

    async def _must_be_missing(self, name: str | None) -> None:
        """Ask the API server itself whether a content is missing. Raises `Superseded` when it is there."""
        if name is None:
            return
        try:
            await self._sort.contents.look_for(name)
        except NotFound:
            return
        if self._sort.content_store.get(name) is not None:
            raise Superseded

    async def _delete_content(self, name: str) -> None:
        content = self._content(name)
        try:
            await self._sort.contents.delete(content, content.metadata.uid)
        except NotFound:
            # It is gone already; the watch will tell.
            raise NotDone(f'content "{name}" is gone, which the watch has not told yet') from None

    async def _report(self, request: U, change: StatusPatch) -> None:
        written = await self._sort.requests.apply(request, patches.status_patch(request, change), subresource="status")
        self._operations.reported(request, written)

    async def _refuse(self, request: U, refusal: Refuse) -> None:
        """Say in status and event why a request is not served, once."""
        status = request.status
        problem = one_line(refusal.problem, LONGEST_TEXT)
        told = status.error is not None and status.error.message == problem
        if not told or (refusal.ready is not None and status.ready_to_use is not refusal.ready):
            await self._must_be_missing(refusal.missing)
            change: dict[str, object] = {
                "error": {"message": problem, "time": rfc3339(datetime.now(UTC))},
            }
            if refusal.ready is not None and status.ready_to_use is not refusal.ready:
                change["readyToUse"] = refusal.ready
            await self._report(request, change)
            if refusal.reason is not None:
                self._tell(request, "Warning", refusal.reason, problem)
        raise NotDone(problem)

    async def _failed(self, request: U, action: A, error: ApiError, retry: Retry) -> None:
        """Tell users what the API server does not do; of trouble that may pass only when it has come twice.

        What is not found may be the request itself, of whose end the watch has not told yet.
        """
        if (error.transient or isinstance(error, Conflict | NotFound)) and retry.number == 1:
            return
        if not error.transient and await self._is_over(request.key, action):
            return
        attempt = self._attempted(action)
        text = one_line(f"{one_line(attempt.what, LONGEST_ATTEMPT)} failed: {one_line(str(error))}", LONGEST_TEXT)
        latest = self._sort.store.get(request.key)
        if latest is None or (latest.status.error is not None and latest.status.error.message == text):
            return
        if attempt.in_status != attempt.event:
            self._tell(latest, "Warning", attempt.event, text)
        if attempt.in_status is None:
            return
        try:
            await self._refuse(latest, Refuse(attempt.in_status, text, ready=False if not latest.ready else None))
        except (Superseded, NotDone, ApiError) as trouble:
            log.debug("failure told", outcome=str(trouble))

    async def _is_over(self, key: str, action: A) -> bool:
        """Whether an action was refused because its request has gone, or goes, of which the watch has not told yet."""
        try:
            await self._sort.requests.look_for(key)
        except ApiError as error:
            return isinstance(error, NotFound)
        return self._planned_otherwise(key, action)

    def _content(self, name: str) -> C:
        content = self._sort.content_store.get(name)
        if content is None:
            raise Superseded
        return content

    def _tell(self, request: U, event_type: EventType, reason: str, text: str) -> None:
        def otherwise() -> None:
            self._untold[request.key] = text if text.startswith(DELETION_WAITS) else f"{DELETION_WAITS}{text}"

        matters = event_type == "Warning" or reason == DELETE_PENDING
        self._events.tell(
            self._sort.kind,
            request.metadata,
            event_type,
            reason,
            text,
            otherwise=otherwise if request.deleting and matters else None,
        )

    async def _written_instead(self, request: U, text: str) -> bool:
        """Tell in the status of a request what its namespace takes no event about; False if it cannot be written."""
        if request.status.error is not None and request.status.error.message == text:
            return False
        try:
            await self._report(request, {"error": {"message": text, "time": rfc3339(datetime.now(UTC))}})
        except (Superseded, ApiError) as trouble:
            log.debug("blocker not told", outcome=str(trouble))
            return False
        return True

    def _tell_blocker(self, request: U, blocker: str, event_type: EventType = "Warning") -> None:
        told = self._told_blockers.get(request.key)
        now = asyncio.get_running_loop().time()
        if told is None or told.blocker != blocker or now - told.at > REMIND_SECONDS:
            self._told_blockers[request.key] = _Told(blocker, now)
            self._tell(request, event_type, DELETE_PENDING, f"{DELETION_WAITS}{blocker}")


def _from_version(body: Mapping[str, Any], request: UserSnapshot) -> dict[str, Any]:
    """A content's body, with the version of the request that it is made from in its reference, as upstream does."""
    ref = request.keys.content_ref
    reference = {**body["spec"][ref], "resourceVersion": request.metadata.resource_version}
    return {**body, "spec": {**body["spec"], ref: reference}}
