"""The objects of one kind on the API server: listed, watched, read and patched."""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from snapshotter.kube.connection import JSON_PATCH, MERGE_PATCH, Connection
from snapshotter.kube.errors import ApiError, BadRequest, Forbidden, Gone, Malformed, TooManyRequests, api_error
from snapshotter.kube.kinds import Kind
from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.metrics import DaemonMetrics
from snapshotter.model.meta import NamespacedObject, key_of
from snapshotter.runtime.informer import (
    Bookmark,
    Changed,
    Known,
    Knows,
    Page,
    Refused,
    Removed,
    SourceError,
    VersionExpired,
    WatchEvent,
)
from snapshotter.runtime.store import SetAside, Versioned

T = TypeVar("T", bound=Versioned)

log = structlog.get_logger(__name__)

PAGE_SIZE = 500
"""Objects that are listed with one request."""
WATCH_SECONDS = (30, 40)
"""A watch is asked for so long. A connection that has gone dumb is found out when the time is up, at the latest."""
WATCH_GRACE = 5.0
"""Seconds after which a watch that should have ended is cut."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _WatchLine(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _NamedMeta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: Any = ""
    """A text, if it is as it should be; the name is enough to speak of an object."""

    @property
    def key(self) -> str:
        return key_of(self.namespace, self.name)


class _Named(msgspec.Struct, frozen=True):
    metadata: _NamedMeta = _NamedMeta()


class _Head(msgspec.Struct):
    """The part of an event that says whether there is more to read."""

    type: str
    object: _Named = _Named()


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Typed(msgspec.Struct, frozen=True):
    kind: str = ""


class Objects(Generic[T]):
    """One kind's door. A `snapshotter.runtime.informer.Source`."""

    def __init__(
        self,
        connection: Connection,
        kind: Kind[T],
        metrics: DaemonMetrics,
        *,
        wanted: Callable[[T], bool] = lambda _: True,
        concerns_us: Callable[[msgspec.Raw], bool] = lambda _: True,
        field_selector: str | None = None,
        label_selector: str | None = None,
    ) -> None:
        """`wanted` is asked about each object, also where the server understands the selectors; `concerns_us` about
        one that cannot be understood.
        """
        self._connection = connection
        self._kind = kind
        self._wanted = wanted
        self._concerns_us = concerns_us
        self._slashes = 1 if issubclass(kind.type, NamespacedObject) else 0
        self._field_selector = field_selector
        self._label_selector = label_selector
        self._malformed = metrics.malformed_objects.labels(kind.plural)
        self._objects = Reader(kind.type)
        self._lists = Reader(_List)
        self._heads = Reader(_Head)
        self._lines = Reader(_WatchLine)
        self._named = Reader(_Named)
        self._statuses = Reader(_Status)
        self._kinds = Reader(_Typed)
        self._trees = Reader(dict[str, Any])

    async def list_all(self) -> Page[T]:
        """All objects of the selection. Raises `SourceError`."""
        async with aclosing(self.list_pages()) as pages:
            found = [page async for page in pages]
        objects = tuple(item for page in found for item in page.objects)
        return Page(objects, found[0].version, tuple(odd for page in found for odd in page.set_aside))

    async def list_pages(self) -> AsyncGenerator[Page[T], None]:
        """All objects of the selection as they were at one version. Raises `SourceError`."""
        try:
            async with aclosing(self._pages()) as pages:
                async for page in pages:
                    yield page
        except Gone as error:
            raise VersionExpired(str(error)) from error
        except Forbidden as error:
            raise Refused(str(error)) from error
        except ApiError as error:
            raise _trouble(error) from error

    async def _pages(self) -> AsyncGenerator[Page[T], None]:
        part = await self._first_part()
        yield self._page_of(part)
        while token := part.metadata.continue_:
            part = await self._part(token)
            yield self._page_of(part)

    async def _first_part(self) -> _List:
        try:
            return await self._part()
        except BadRequest as error:
            if self._field_selector is None:
                raise
            # CRDs that were installed by others may not declare the field as selectable.
            log.info("objects are not selected by the server", resource=self._kind.plural, reason=str(error))
            self._field_selector = None
            return await self._part()

    async def _part(self, token: str = "") -> _List:
        query = self._selectors() | {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
        body = await self._connection.request("GET", self._kind.path, query=query)
        try:
            return self._lists.read(body)
        except Unreadable as error:
            raise Malformed(f"list of {self._kind.plural}: {error}") from error

    def _page_of(self, part: _List) -> Page[T]:
        objects: list[T] = []
        set_aside: list[SetAside] = []
        for raw in part.items or ():
            try:
                item = self._object_of(raw)
            except Unreadable as error:
                set_aside += self._set_aside(raw, error)
            else:
                if self._wanted(item):
                    objects.append(item)
        about = part.metadata
        return Page(tuple(objects), about.resource_version, tuple(set_aside), more=bool(about.continue_))

    @asynccontextmanager
    async def watch(
        self, version: str, knows: Knows = lambda _key, _version: False
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        """What happens after a version, for a bounded time; what is known is not read. Raises `SourceError`."""
        seconds = random.uniform(*WATCH_SECONDS)  # noqa: S311 (spreads the load, keeps no secret)
        query = self._selectors() | {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(seconds)),
        }
        try:
            async with self._connection.stream(self._kind.path, query=query, seconds=seconds + WATCH_GRACE) as lines:
                yield self._events(lines, knows)
        except (Gone, Malformed) as error:
            # After an event that cannot be read nobody knows what it was about.
            raise VersionExpired(str(error)) from error
        except BadRequest as error:
            if self._field_selector is None:
                raise _trouble(error) from error
            # The CRDs have changed while we ran; the list finds out how to go on.
            raise VersionExpired(str(error)) from error
        except Forbidden as error:
            raise Refused(str(error)) from error
        except ApiError as error:
            raise _trouble(error) from error

    async def _events(self, lines: AsyncIterator[bytes], knows: Knows) -> AsyncIterator[WatchEvent[T]]:
        async for line in lines:
            if (event := self._event(line, knows)) is not None:
                yield event

    def _event(self, line: bytes, knows: Knows) -> WatchEvent[T] | None:
        what = f"watch of {self._kind.plural}"
        try:
            head = self._heads.read(line)
            if head.type == "ERROR":
                status = self._lines.read(line).object
                raise api_error(self._statuses.read(status).code, bytes(status), what)
        except Unreadable as error:
            raise Malformed(f"{what}: {error}") from error
        about = head.object.metadata
        if not about.resource_version:
            raise Malformed(f"{what}: an event without a version")
        match head.type:
            case "ADDED" | "MODIFIED":
                if knows(about.key, about.resource_version):
                    return Known(about.key, about.resource_version)
                return self._change(self._lines.read(line).object, about)
            case "DELETED":
                return Removed(about.key, about.resource_version)
            case "BOOKMARK":
                return Bookmark(about.resource_version)
            case _:
                return None

    def _change(self, raw: msgspec.Raw, about: _NamedMeta) -> WatchEvent[T]:
        try:
            item = self._object_of(raw)
        except Unreadable as error:
            found = self._set_aside(raw, error)
            return found[0] if found else Removed(about.key, about.resource_version)
        # An object that is not ours (any more) is as good as gone.
        return Changed(item) if self._wanted(item) else Removed(about.key, about.resource_version)

    async def get(self, key: str) -> T:
        """The object as it is now. Raises `ApiError`."""
        return self._read(await self._connection.request("GET", self._kind.path_of(key)))

    async def create(self, namespace: str, body: Mapping[str, Any]) -> T:
        """Make an object; empty: in no namespace. Raises `ApiError`, `AlreadyExists` when its name is taken."""
        typed = {"apiVersion": self._kind.api_version, "kind": self._kind.name, **body}
        return self._read(await self._connection.request("POST", self._kind.path_in(namespace), body=typed))

    async def delete(self, key: str, *, uid: str) -> T | None:
        """Ask for this very object to be deleted. Gives it as it is then, if finalizers keep it; None: it is gone.

        Raises `ApiError`, `Conflict` when it is another one by now.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        body = await self._connection.request("DELETE", self._kind.path_of(key), body=options)
        try:
            kind = self._kinds.read(body).kind
        except Unreadable as error:
            raise Malformed(f"{self._kind.name}: {error}") from error
        item = self._read(body) if kind == self._kind.name else None
        return item if item is not None and item.metadata.finalizers else None

    async def rewrite(self, key: str, change: Callable[[dict[str, Any]], None]) -> T:
        """Read an object raw, change it, put it back: for roles that may update and not patch.

        Nothing that we do not know is lost. Raises `ApiError`, `Conflict` when somebody else was faster; what
        `change` raises goes through.
        """
        path = self._kind.path_of(key)
        body = await self._connection.request("GET", path)
        try:
            # One that we do not understand is not for us to change.
            self._object_of(body)
            raw = self._trees.read(body)
        except Unreadable as error:
            raise Malformed(f"{self._kind.name}: {error}") from error
        change(raw)
        return self._read(await self._connection.request("PUT", path, body=raw))

    async def merge(self, key: str, patch: Mapping[str, Any]) -> T:
        """Apply a JSON merge patch (RFC 7396); the object as it is then. Raises `ApiError`."""
        return await self._patch(key, patch, MERGE_PATCH, None)

    async def apply(self, key: str, patch: list[dict[str, Any]], *, subresource: str | None = None) -> T:
        """Apply a JSON patch (RFC 6902). Raises `ApiError`, `Conflict` when it does not fit the object."""
        return await self._patch(key, patch, JSON_PATCH, subresource)

    async def _patch(self, key: str, patch: object, content_type: str, subresource: str | None) -> T:
        path = self._kind.path_of(key) + (f"/{subresource}" if subresource else "")
        return self._read(await self._connection.request("PATCH", path, body=patch, content_type=content_type))

    def _read(self, body: bytes) -> T:
        try:
            return self._object_of(body)
        except Unreadable as error:
            raise Malformed(f"{self._kind.name}: {error}") from error

    def _object_of(self, raw: bytes | msgspec.Raw) -> T:
        """Raises `Unreadable`, also for a name with which no request about the object could be made."""
        item = self._objects.read(raw)
        name = item.key.rpartition("/")[2]
        if item.key.count("/") != self._slashes or name in ("", ".", ".."):
            raise Unreadable("Not the name of an object - at `$.metadata.name`")
        return item

    def _set_aside(self, raw: msgspec.Raw, error: Unreadable) -> list[SetAside]:
        """What is told of an object that is not what its schema promises: others go on. Nothing if it is not ours."""
        if not self._concerns_us(raw):
            return []
        self._malformed.inc()
        try:
            about = self._named.read(raw).metadata
        except Unreadable:
            about = _NamedMeta()
        return [SetAside(about.key, about.resource_version, str(error), str(about.uid))]

    def _selectors(self) -> dict[str, str]:
        query = {}
        if self._field_selector is not None:
            query["fieldSelector"] = self._field_selector
        if self._label_selector is not None:
            query["labelSelector"] = self._label_selector
        return query


def _trouble(error: ApiError) -> SourceError:
    return SourceError(str(error), retry_after=error.retry_after if isinstance(error, TooManyRequests) else None)
