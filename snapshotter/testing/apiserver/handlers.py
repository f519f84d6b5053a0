"""Requests over HTTP: each is matched with its fault, answered, and recorded."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from snapshotter.testing.admin import json_response
from snapshotter.testing.apiserver.access import Gate, access_of
from snapshotter.testing.apiserver.calls import Call, Cut, fail
from snapshotter.testing.apiserver.lists import page
from snapshotter.testing.apiserver.meta import meta_answer
from snapshotter.testing.apiserver.notes import Notes, settled
from snapshotter.testing.apiserver.presentation import Presentation, form_of
from snapshotter.testing.apiserver.registry import Registry
from snapshotter.testing.apiserver.requests import (
    PathNotFound,
    Record,
    check_formats,
    decoded,
    delete_options,
    place_of,
    target_of,
    verb_of,
    write_options,
)
from snapshotter.testing.apiserver.reviews import answered, token_answer
from snapshotter.testing.apiserver.selection import selection_of
from snapshotter.testing.apiserver.status import (
    ApiError,
    Json,
    bad_request,
    method_not_allowed,
    unsupported_media_type,
)
from snapshotter.testing.apiserver.store import Store, Stored
from snapshotter.testing.apiserver.targets import PATCH_TYPES, Outcome, Target, WriteOptions
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.watch_requests import WatchRequests
from snapshotter.testing.apiserver.watching import Watches, abort
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls
from snapshotter.testing.faults import Active, Faults

_JSON = "application/json"

Render = Callable[[Notes], web.Response]
"""Makes the response. Raises `Unanswered` where the object has to be converted first."""

_MOST_RECORDS = 200_000
"""So many requests are kept; then the older half is forgotten."""


class Handlers:
    """Answers every request of the API."""

    def __init__(
        self,
        registry: Registry,
        faults: Faults,
        watches: Watches,
        bookmark_seconds: float,
        gate: Gate,
        tokens: Tokens,
        calls: WebhookCalls,
    ) -> None:
        self.requests: list[Record] = []
        self._registry = registry
        self._gate = gate
        self._tokens = tokens
        self._calls = calls
        self._store: Store = registry.store
        self._faults = faults
        self._watch_requests = WatchRequests(registry.store, faults, watches, bookmark_seconds, calls)
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
                scripted=call.is_scripted,
            )
        )

    async def _answer(self, call: Call) -> web.StreamResponse:
        active = self._faults.match(f"{call.verb} {call.request.path}")
        call.is_scripted = active is not None
        try:
            await self._faults.pause(active, "before")
            fail(active, "before")
            self._admit(call)
            if call.verb == "WATCH":
                return await self._watch(call, active)
            render = await settled(lambda notes: self._serve(call, notes), self._calls)
            # What is done is done: if its answer cannot be converted, only the answer is lost.
            response = await settled(render, self._calls)
            await self._faults.pause(active, "after")
            fail(active, "after")
        except ApiError as error:
            response = _refusal(error)
        except PathNotFound:
            response = web.Response(status=404, text="404 page not found\n")
        call.put_warnings(response)
        return response

    def _admit(self, call: Call) -> None:
        """Raises `ApiError` 401 and 403."""
        if self._gate.is_open:
            return
        request = call.request
        call.user = self._gate.user_of(request)
        self._gate.check(call.user, access_of(call.place, request.path, call.verb, request.query))

    def _serve(self, call: Call, notes: Notes) -> Render:
        """Do what is asked; the answer renders the response. Raises `ApiError`, `PathNotFound` and `Unanswered`."""
        call.warnings.clear()  # of an earlier run
        if call.place is None:
            response = meta_answer(call.request, self._registry.catalogue)
            return lambda _: response
        target = self._target(call)
        if not target.kind.is_stored or target.subresource in target.kind.actions:
            response = self._question(call, target, notes)
            return lambda _: response
        match call.verb, bool(target.name):
            case "GET", True:
                return self._one(call, target, self._registry.read(target))
            case "LIST", False:
                return lambda _: self._list(call, target)
            case "POST", False:
                return self._create(call, target, notes)
            case "PUT", True:
                return self._update(call, target, notes)
            case "PATCH", True:
                return self._patch(call, target, notes)
            case "DELETE", True:
                return self._delete(call, target, notes)
            case "DELETE", False:
                return self._delete_all(call, target, notes)
            case _:
                raise method_not_allowed()

    async def _watch(self, call: Call, active: Active | None) -> web.StreamResponse:
        target = self._target(call)
        presentation = self._presentation(call, target)
        return await self._watch_requests.serve(call, target, presentation, active, lambda: self._record(call, 200))

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

    def _one(self, call: Call, target: Target, stored: Stored, status: int = 200) -> Render:
        presentation = self._presentation(call, target)
        return lambda notes: web.Response(body=presentation.one(stored, notes), status=status, content_type=_JSON)

    def _list(self, call: Call, target: Target) -> web.Response:
        query = call.request.query
        selection = selection_of(target.kind, target.version, target.namespace, query)
        found = page(self._store, target.kind.key, selection, query)
        return web.Response(body=self._presentation(call, target).many(found), content_type=_JSON)

    def _create(self, call: Call, target: Target, notes: Notes) -> Render:
        body = _object(call, target)
        return self._written(call, target, self._registry.create(target, body, self._options(call, notes)))

    def _question(self, call: Call, target: Target, notes: Notes) -> web.Response:
        """Answer what is not kept: a review of access, or the request for a token of an account."""
        if call.verb != "POST":
            raise method_not_allowed()
        body = _object(call, target)
        if target.name:
            answer = token_answer(self._registry.read(target), body, self._tokens, call.arrived)
        else:
            self._registry.decode(target, body, self._options(call, notes))
            answer = answered(body, target.namespace, call.user, self._gate.authorizer)
        return json_response(answer, 201)

    def _update(self, call: Call, target: Target, notes: Notes) -> Render:
        body = _object(call, target)
        return self._written(call, target, self._registry.update(target, body, self._options(call, notes)))

    def _patch(self, call: Call, target: Target, notes: Notes) -> Render:
        patch_type = PATCH_TYPES.get(call.request.content_type)
        if patch_type is None:
            accepted = [
                name for name, known in PATCH_TYPES.items() if known != "strategic" or not target.kind.is_custom
            ]
            raise unsupported_media_type(accepted)
        patch = decoded(call.body, target.kind.kind)
        if patch_type == "apply" and self._store.get(target.kind.key, target.key) is None:
            # What an apply patch creates has to be allowed as a creation, too.
            access = access_of(call.place, call.request.path, "POST", call.request.query)
            self._gate.check(call.user, access)
        options = self._options(call, notes)
        return self._written(call, target, self._registry.patch(target, patch_type, patch, options))

    def _options(self, call: Call, notes: Notes) -> WriteOptions:
        return write_options(call.request.query, call.warnings, notes, call.user)

    def _written(self, call: Call, target: Target, outcome: Outcome) -> Render:
        return self._one(call, target, outcome.stored, 201 if outcome.created else 200)

    def _delete(self, call: Call, target: Target, notes: Notes) -> Render:
        outcome = self._registry.delete(target, delete_options(call.request.query, call.body, notes, call.user))
        if not outcome.gone or target.kind.returns_deleted:
            return self._one(call, target, outcome.stored)
        details = target.subject.details() | {"uid": outcome.stored.object["metadata"]["uid"]}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return lambda _: json_response(status)

    def _delete_all(self, call: Call, target: Target, notes: Notes) -> Render:
        query = call.request.query
        options = delete_options(query, call.body, notes, call.user)
        selection = selection_of(target.kind, target.version, target.namespace, query)
        found = page(self._store, target.kind.key, selection, query)
        body = self._presentation(call, target).many(found)
        targets = [Target(target.kind, target.version, *stored.key) for stored in found.items]
        # What is unanswered comes up in the rehearsal, before the first is deleted.
        for each in targets if target.kind.asks_webhook else ():
            self._registry.delete(each, replace(options, dry_run=True))
        for each in targets:
            self._registry.delete(each, options)
        return lambda _: web.Response(body=body, content_type=_JSON)


def _refusal(error: ApiError) -> web.Response:
    response = json_response(error.body(), error.code)
    response.headers.update(error.headers)
    return response


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
