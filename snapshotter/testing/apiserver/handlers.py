"""Requests over HTTP: each is matched with its fault, answered, and recorded."""

import itertools
import random
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from snapshotter.testing.admin import json_response
from snapshotter.testing.apiserver.lists import page
from snapshotter.testing.apiserver.meta import meta_answer, review_answer
from snapshotter.testing.apiserver.presentation import Presentation, form_of
from snapshotter.testing.apiserver.registry import PATCH_TYPES, Outcome, Registry, Target, WriteOptions
from snapshotter.testing.apiserver.requests import (
    PathNotFound,
    Place,
    Record,
    Start,
    check_formats,
    decoded,
    delete_options,
    is_true,
    place_of,
    start_of,
    target_of,
    verb_of,
    whole_number,
    write_options,
)
from snapshotter.testing.apiserver.selection import selection_of
from snapshotter.testing.apiserver.status import (
    ApiError,
    Json,
    bad_request,
    expired,
    from_code,
    method_not_allowed,
    unsupported_media_type,
)
from snapshotter.testing.apiserver.store import Expired, Store, Stored
from snapshotter.testing.apiserver.watching import Pace, Watch, Watches, abort, error_line, line
from snapshotter.testing.faults import Active, Faults, Moment

_JSON = "application/json"
_MOST_RECORDS = 200_000
"""So many requests are kept; then the older half is forgotten."""
_USUAL_TIMEOUT = (1800.0, 3600.0)
"""Seconds after which a watch ends that states no timeout; a random time between the two."""


class Cut(Exception):
    """The connection is to be reset without an answer."""


@dataclass(slots=True)
class Call:
    """A request that is being answered."""

    request: web.Request
    body: bytes
    place: Place | None
    verb: str
    number: int
    arrived: float
    warnings: list[str] = field(default_factory=list)
    is_recorded: bool = False


class Handlers:
    """Answers every request of the API."""

    def __init__(self, registry: Registry, faults: Faults, watches: Watches, bookmark_seconds: float) -> None:
        self.requests: list[Record] = []
        self._registry = registry
        self._store: Store = registry.store
        self._faults = faults
        self._watches = watches
        self._bookmark_seconds = bookmark_seconds
        self._numbers = itertools.count(1)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as its fault asks, and record it."""
        number, arrived = next(self._numbers), time.time()
        body = await request.read()
        place = place_of(request.path)
        call = Call(request, body, place, verb_of(request.method, place, request.query), number, arrived)
        status = None
        try:
            response = await self._answer(call)
            status = response.status
        except Cut:
            abort(request.transport)
            response = web.Response()
        finally:
            self._record(call, status)
        return response

    def _record(self, call: Call, status: int | None) -> None:
        if call.is_recorded:
            return
        call.is_recorded = True
        request = call.request
        if len(self.requests) >= _MOST_RECORDS:
            del self.requests[: _MOST_RECORDS // 2]
        self.requests.append(
            Record(
                number=call.number,
                time=call.arrived,
                verb=call.verb,
                path=request.path,
                query=dict(request.query),
                content_type=request.headers.get("Content-Type", ""),
                user_agent=request.headers.get("User-Agent", ""),
                body=_shown(call.body),
                status=status,
            )
        )

    async def _answer(self, call: Call) -> web.StreamResponse:
        active = self._faults.match(f"{call.verb} {call.request.path}")
        try:
            await self._faults.pause(active, "before")
            _fail(active, "before")
            if call.verb == "WATCH":
                return await self._watch(call, active)
            response = self._serve(call)
            await self._faults.pause(active, "after")
            _fail(active, "after")
        except ApiError as error:
            response = _refusal(error)
        except PathNotFound:
            response = web.Response(status=404, text="404 page not found\n")
        for warning in call.warnings:
            response.headers.add("Warning", _warning(warning))
        return response

    # Single answers.

    def _serve(self, call: Call) -> web.Response:
        if call.place is None:
            return meta_answer(call.request, self._registry.catalogue)
        if call.verb == "POST" and (review := review_answer(call.place, call.body)) is not None:
            return review
        target = self._target(call)
        match call.verb, bool(target.name):
            case "GET", True:
                return self._one(call, target, self._registry.read(target))
            case "LIST", False:
                return self._list(call, target)
            case "POST", False:
                return self._create(call, target)
            case "PUT", True:
                return self._update(call, target)
            case "PATCH", True:
                return self._patch(call, target)
            case "DELETE", True:
                return self._delete(call, target)
            case "DELETE", False:
                return self._delete_all(call, target)
            case _:
                raise method_not_allowed()

    def _target(self, call: Call) -> Target:
        if call.place is None:
            raise PathNotFound
        target = target_of(call.place, self._registry.catalogue)
        headers = call.request.headers
        # The format of a patch is its own matter.
        checked_body = b"" if call.verb == "PATCH" else call.body
        check_formats(headers.get("Accept", ""), call.request.content_type, checked_body)
        if target.version.deprecation_warning is not None:
            call.warnings.append(target.version.deprecation_warning)
        return target

    def _presentation(self, call: Call, target: Target) -> Presentation:
        return Presentation(
            target.kind,
            target.version,
            form_of(call.request.headers.get("Accept", "")),
            call.request.query.get("includeObject", "Metadata"),
        )

    def _one(self, call: Call, target: Target, stored: Stored, status: int = 200) -> web.Response:
        body = self._presentation(call, target).one(stored)
        return web.Response(body=body, status=status, content_type=_JSON)

    def _list(self, call: Call, target: Target) -> web.Response:
        query = call.request.query
        selection = selection_of(target.kind, target.version, target.namespace, query)
        found = page(self._store, target.kind.key, selection, query)
        return web.Response(body=self._presentation(call, target).many(found), content_type=_JSON)

    def _create(self, call: Call, target: Target) -> web.Response:
        body = _object(call, target)
        return self._written(call, target, self._registry.create(target, body, self._options(call)))

    def _update(self, call: Call, target: Target) -> web.Response:
        body = _object(call, target)
        return self._written(call, target, self._registry.update(target, body, self._options(call)))

    def _patch(self, call: Call, target: Target) -> web.Response:
        patch_type = PATCH_TYPES.get(call.request.content_type)
        if patch_type is None:
            accepted = [
                name for name, known in PATCH_TYPES.items() if known != "strategic" or not target.kind.is_custom
            ]
            raise unsupported_media_type(accepted)
        patch = decoded(call.body, target.kind.kind)
        return self._written(call, target, self._registry.patch(target, patch_type, patch, self._options(call)))

    def _options(self, call: Call) -> WriteOptions:
        user_agent = call.request.headers.get("User-Agent", "")
        return write_options(call.request.query, user_agent, call.warnings)

    def _written(self, call: Call, target: Target, outcome: Outcome) -> web.Response:
        return self._one(call, target, outcome.stored, 201 if outcome.created else 200)

    def _delete(self, call: Call, target: Target) -> web.Response:
        outcome = self._registry.delete(target, delete_options(call.request.query, call.body))
        if not outcome.gone or target.kind.returns_deleted:
            return self._one(call, target, outcome.stored)
        details = target.subject.details() | {"uid": outcome.stored.object["metadata"]["uid"]}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return json_response(status)

    def _delete_all(self, call: Call, target: Target) -> web.Response:
        query = call.request.query
        options = delete_options(query, call.body)
        selection = selection_of(target.kind, target.version, target.namespace, query)
        found = page(self._store, target.kind.key, selection, query)
        for stored in found.items:
            self._registry.delete(Target(target.kind, target.version, *stored.key), options)
        return web.Response(body=self._presentation(call, target).many(found), content_type=_JSON)

    # Watches.

    async def _watch(self, call: Call, active: Active | None) -> web.StreamResponse:
        target = self._target(call)
        selection = selection_of(target.kind, target.version, target.namespace, call.request.query)
        presentation = self._presentation(call, target)
        start = start_of(call.request.query, self._store)
        watch = Watch(selection, presentation.events(), start.version, call.request.transport)
        # Nothing waits between here and the reading of the store, so no change is missed.
        self._watches.add(target.kind.key, watch)
        try:
            initial = self._initial(target, watch, start, presentation)
            response = await self._begin(call)
            await self._faults.pause(active, "after")
            if active is not None and active.fault.error is not None:
                initial = [error_line(_scripted(active))]
                watch.end()
            if active is not None and active.fault.cut == "after":
                await response.write(b"".join(initial))
                raise Cut
            await watch.run(response, initial, self._pace(call, presentation))
            await response.write_eof()
        except ConnectionResetError as error:
            raise Cut from error
        finally:
            self._watches.remove(target.kind.key, watch)
        return response

    def _initial(self, target: Target, watch: Watch, start: Start, presentation: Presentation) -> list[bytes]:
        """The frames with which a watch begins; what it has missed is offered to it."""
        if start.lists:
            lines = watch.lines_of(self._store.all(target.kind.key, watch.namespace))
            if start.marks_end:
                mark = presentation.bookmark(self._store.version, ends_initial=True)
                lines.append(line("BOOKMARK", mark))
            return lines
        try:
            missed = self._store.changes_since(target.kind.key, start.version)
        except Expired:
            watch.end()
            message = f"too old resource version: {start.version} ({self._store.compacted})"
            return [error_line(expired(message))]
        for change in missed:
            watch.offer(change)
        return []

    async def _begin(self, call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        for warning in call.warnings:
            response.headers.add("Warning", _warning(warning))
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        self._record(call, 200)
        return response

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


def _fail(active: Active | None, moment: Moment) -> None:
    """Cut or refuse the call if its fault says so for this moment."""
    if active is None:
        return
    if active.fault.cut == moment:
        raise Cut
    if active.fault.error is not None and active.fault.error_when == moment:
        raise _scripted(active)


def _scripted(active: Active) -> ApiError:
    code = active.fault.error
    return from_code(code if isinstance(code, int) else 500, active.message, active.fault.headers)


def _refusal(error: ApiError) -> web.Response:
    response = json_response(error.body(), error.code)
    response.headers.update(error.headers)
    return response


def _warning(text: str) -> str:
    return f"299 - {msgspec.json.encode(text).decode()}"


def _object(call: Call, target: Target) -> Json:
    body = decoded(call.body, target.kind.kind)
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized: it must be a JSON object")
    return body


def _shown(body: bytes) -> Any:
    try:
        return decoded(body, "") if body else None
    except ApiError:
        return None
