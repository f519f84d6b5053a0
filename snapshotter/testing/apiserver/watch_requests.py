"""Requests for watches: where each begins, how long it lasts, and what its fault does to it."""

import asyncio
import random
from collections.abc import Callable, Iterable

from aiohttp import web

from snapshotter.testing.apiserver.calls import Call, Cut, scripted
from snapshotter.testing.apiserver.presentation import Presentation
from snapshotter.testing.apiserver.requests import Start, is_true, start_of, whole_number
from snapshotter.testing.apiserver.selection import selection_of
from snapshotter.testing.apiserver.status import expired
from snapshotter.testing.apiserver.store import Expired, Store, Stored
from snapshotter.testing.apiserver.targets import Target
from snapshotter.testing.apiserver.watching import Pace, Watch, Watches, error_line, line
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls
from snapshotter.testing.faults import Active, Faults

_USUAL_TIMEOUT = (1800.0, 3600.0)
"""Seconds after which a watch ends that states no timeout; a random time between the two."""


class WatchRequests:
    """Answers the requests for watches."""

    def __init__(
        self, store: Store, faults: Faults, watches: Watches, bookmark_seconds: float, calls: WebhookCalls
    ) -> None:
        self._store = store
        self._faults = faults
        self._watches = watches
        self._bookmark_seconds = bookmark_seconds
        self._calls = calls

    async def serve(
        self,
        call: Call,
        target: Target,
        presentation: Presentation,
        active: Active | None,
        has_begun: Callable[[], None],
    ) -> web.StreamResponse:
        """Answer until the watch ends. Raises `ApiError` before the first byte, `Cut` when the connection is reset."""
        selection = selection_of(target.kind, target.version, target.namespace, call.request.query)
        start, pace = start_of(call.request.query, self._store), self._pace(call, presentation)
        watch = Watch(
            selection,
            presentation.events(),
            lambda objects: self._prepare(presentation, objects),
            start.version,
            call.request.transport,
        )
        # Nothing waits between here and the reading of the store, so no change is missed.
        self._watches.add(target.kind.key, watch)
        try:
            initial = await self._initial(target, watch, start, presentation)
            response = await _begin(call)
            has_begun()
            await self._faults.pause(active, "after")
            if active is not None and active.fault.error is not None:
                initial = [error_line(scripted(active))]
                watch.end()
            if active is not None and active.fault.cut == "after":
                await response.write(b"".join(initial))
                raise Cut
            await watch.run(response, initial, pace)
            await response.write_eof()
        except ConnectionResetError as error:
            raise Cut from error
        finally:
            self._watches.remove(target.kind.key, watch)
        return response

    async def _prepare(self, presentation: Presentation, objects: Iterable[Stored]) -> None:
        """Have the objects converted, if a webhook has to do it. Raises `ApiError`."""
        if views := presentation.missing(objects):
            await asyncio.gather(*(view.ask(self._calls) for view in views))

    async def _initial(self, target: Target, watch: Watch, start: Start, presentation: Presentation) -> list[bytes]:
        """The frames with which a watch begins; what it has missed is offered to it."""
        if start.lists:
            mark = presentation.bookmark(start.version, ends_initial=True)
            lines = await watch.lines_of(self._store.all(target.kind.key, watch.namespace))
            return [*lines, line("BOOKMARK", mark)] if start.marks_end else lines
        try:
            missed = self._store.changes_since(target.kind.key, start.version)
        except Expired:
            watch.end()
            message = f"too old resource version: {start.version} ({self._store.compacted})"
            return [error_line(expired(message))]
        for change in missed:
            watch.offer(change)
        return []

    def _pace(self, call: Call, presentation: Presentation) -> Pace:
        query = call.request.query
        seconds = whole_number(query, "timeoutSeconds") or random.uniform(*_USUAL_TIMEOUT)  # noqa: S311
        if not is_true(query, "allowWatchBookmarks"):
            return Pace(seconds)
        return Pace(
            seconds,
            self._bookmark_seconds,
            lambda: line("BOOKMARK", presentation.bookmark(self._store.version)),
        )


async def _begin(call: Call) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    call.put_warnings(response)
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    return response
