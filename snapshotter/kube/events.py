"""Events about our objects: one per object and reason, counted up rather than repeated, sent in the background."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import structlog

from snapshotter.kube.connection import MERGE_PATCH, Connection
from snapshotter.kube.errors import ApiError, Conflict, Forbidden, NamespaceEnding, NotFound
from snapshotter.kube.kinds import Kind
from snapshotter.kube.patience import persistently
from snapshotter.model.meta import NamespacedMeta
from snapshotter.plan.failure import one_line
from snapshotter.plan.permissions import EVENT_NAMESPACE, Access
from snapshotter.plan.status import rfc3339

log = structlog.get_logger(__name__)

LONGEST_MESSAGE = 1024
"""Characters of an event's message that the API server accepts."""
LONGEST_NAME = 253
"""Characters of an object's name."""
MOST_REMEMBERED = 4096
"""Events that can be counted up; older ones are begun anew."""
MOST_WAITING = 10_000
"""Events that wait to be sent. When the API server is away, others are dropped, with a line in the log."""

SENDERS = 8
"""Events that are sent at a time. One by one they would come minutes late when the API server takes its time."""

EventType = Literal["Normal", "Warning"]


class _HasMeta(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Event:
    involved: dict[str, str]
    type: EventType
    reason: str
    message: str
    at: str
    since: str
    """When it was told for the first time since it was last sent."""
    times: int = 1
    """How often it was told since then."""
    otherwise: Callable[[], None] | None = None
    """Is called when there can be no events in its namespace, which is being deleted."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same event when it is told again. An odd object may have no uid, or another's."""
        about = self.involved
        return f"{about['kind']} {self.namespace}/{about['name']} {about['uid']}", self.reason

    @property
    def namespace(self) -> str:
        return self.involved.get("namespace", EVENT_NAMESPACE)


@dataclass(slots=True)
class _Sent:
    name: str
    count: int


def new_event(
    name: str,
    namespace: str,
    involved: Mapping[str, str],
    event_type: EventType,
    reason: str,
    message: str,
    *,
    component: str,
    at: str,
    since: str | None = None,
    count: int = 1,
) -> dict[str, object]:
    """The body of an event that is told for the first time."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "type": event_type,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "reportingComponent": component,
        "count": count,
        "firstTimestamp": since or at,
        "lastTimestamp": at,
    }


class Events:
    """Tells users about objects. `tell` never waits and never fails; `run` does the sending."""

    def __init__(self, connection: Connection, component: str) -> None:
        self._connection = connection
        self._component = component
        self._due: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MOST_WAITING)
        self._waiting: dict[tuple[str, str], _Event] = {}
        """What is to be sent for the keys that are due: told again meanwhile, it is sent once."""
        self._sending: set[tuple[str, str]] = set()
        """The keys that a sender has in hand: told again, it sends them again, so that no event is begun twice."""
        self._sent: OrderedDict[tuple[str, str], _Sent] = OrderedDict()
        self._refusals: set[str] = set()
        """The verbs that we were refused; told of once, since every event would meet the same."""

    def tell(
        self,
        kind: Kind[Any],
        meta: _HasMeta,
        event_type: EventType,
        reason: str,
        message: str,
        *,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Say something about an object; said before with this reason, the same event is counted up.

        `otherwise` is called when the object's namespace is being deleted, and so takes no events.
        """
        namespace = meta.namespace if isinstance(meta, NamespacedMeta) else ""
        involved = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            **({"namespace": namespace} if namespace else {}),
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        now = rfc3339(datetime.now(UTC))
        event = _Event(
            involved, event_type, reason, one_line(message, LONGEST_MESSAGE), now, since=now, otherwise=otherwise
        )
        if (earlier := self._waiting.get(event.key)) is not None:
            self._waiting[event.key] = replace(event, since=earlier.since, times=earlier.times + 1)
            return
        if event.key in self._sending:
            self._waiting[event.key] = event
            return
        try:
            self._due.put_nowait(event.key)
        except asyncio.QueueFull:
            log.warning("event dropped", reason=reason, message=message)
        else:
            self._waiting[event.key] = event

    async def run(self) -> None:
        """Send what was told, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(SENDERS):
                tasks.create_task(self._keep_sending(), name=f"sender of events {number}")

    async def _keep_sending(self) -> None:
        while True:
            key = await self._due.get()
            self._sending.add(key)
            try:
                while (event := self._waiting.pop(key, None)) is not None:
                    await self._try_to_send(event)
            finally:
                self._sending.discard(key)
                self._due.task_done()

    async def _try_to_send(self, event: _Event) -> None:
        try:
            await self._send(event)
        except NamespaceEnding as error:
            log.debug("event not sent", reason=event.reason, message=event.message, error=str(error))
            if event.otherwise is not None:
                event.otherwise()
        except ApiError as error:
            if isinstance(error, Forbidden) and error.missing is not None:
                self._tell_refusal(error, error.missing)
            else:
                log.warning("event not sent", reason=event.reason, message=event.message, error=str(error))

    def _tell_refusal(self, error: Forbidden, missing: Access) -> None:
        tell = log.debug if missing.verb in self._refusals else log.warning
        tell("events are refused", reason=str(error))
        self._refusals.add(missing.verb)

    async def drain(self) -> None:
        """Return when everything that was told has been sent."""
        await self._due.join()

    async def _send(self, event: _Event) -> None:
        if (sent := self._sent.get(event.key)) is not None:
            self._sent.move_to_end(event.key)
            try:
                await self._count_up(sent, event)
            except NotFound:
                # Events are short-lived; this one has expired.
                self._sent.pop(event.key, None)
            else:
                return
        self._sent[event.key] = _Sent(await self._begin(event), event.times)
        if len(self._sent) > MOST_REMEMBERED:
            self._sent.popitem(last=False)

    async def _count_up(self, sent: _Sent, event: _Event) -> None:
        patch = {"count": sent.count + event.times, "lastTimestamp": event.at, "message": event.message}
        path = f"/api/v1/namespaces/{event.namespace}/events/{sent.name}"
        await persistently(lambda: self._connection.request("PATCH", path, body=patch, content_type=MERGE_PATCH))
        sent.count += event.times

    async def _begin(self, event: _Event) -> str:
        suffix = f".{time.time_ns():x}"
        name = event.involved["name"][: LONGEST_NAME - len(suffix)] + suffix
        body = new_event(
            name,
            event.namespace,
            event.involved,
            event.type,
            event.reason,
            event.message,
            component=self._component,
            at=event.at,
            since=event.since,
            count=event.times,
        )
        path = f"/api/v1/namespaces/{event.namespace}/events"
        try:
            await persistently(lambda: self._connection.request("POST", path, body=body))
        except Conflict:
            log.debug("event had been sent", name=name)  # by a request that was not answered
        return name
