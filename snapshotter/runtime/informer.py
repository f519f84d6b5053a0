"""The informer: keeps a store equal to what the API server holds, by a list and a watch that never end."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from snapshotter.runtime.beside import beside
from snapshotter.runtime.store import SetAside, Store, Versioned, is_older
from snapshotter.runtime.workqueue import Backoff

T = TypeVar("T", bound=Versioned)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of all objects, or all of them, and the version from which to watch what happens after."""

    objects: tuple[T, ...]
    version: str
    set_aside: tuple[SetAside, ...] = ()
    more: bool = False
    """Whether another page follows."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """An object is new or different."""

    object: T


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is gone, or does not belong to the selection any more."""

    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Known:
    """An object is as it is known to be."""

    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing happened up to this version."""

    version: str


WatchEvent = Changed[T] | Removed | SetAside | Known | Bookmark

Knows = Callable[[str, str], bool]
"""Whether this version of the object of this key is known."""


class SourceError(Exception):
    """Listing or watching did not work; it is tried again: after so many seconds, if the server asked for that."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class VersionExpired(SourceError):
    """The server does not know any more what happened since the version: list again (410 Gone)."""


class Refused(SourceError):
    """The server does not let us list, or watch; it may do so one day."""


class Source(Protocol[T]):
    """Where the objects come from."""

    def list_pages(self) -> AsyncGenerator[Page[T], None]:
        """All objects as they were at one version, which each page has; one page at least. Raises `SourceError`."""
        ...

    def watch(self, version: str, knows: Knows) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        """What happens after a version, for a while. What is known need not be read.

        The watch is established when the context is entered, and ends by itself: quietly when its time is up,
        with `SourceError` when something is wrong, `VersionExpired` and `Refused` among them. It is never silent for
        long.
        """
        ...


@dataclass(slots=True)
class _Listing:
    """A list that is being read, page by page."""

    version: str
    """As of which the pages are."""
    restored: bool
    """The server went back in time, since it was restored from a backup: what we know is worth nothing then."""
    unlisted: set[str]
    """What was known before and has not been met on a page."""
    reached: str
    """The version up to which a watch has told what happened since."""
    told: set[str] = field(default_factory=set)
    """What the watch has told of meanwhile: no page knows it better."""


SHORTEST_WATCH = 1.0
"""Seconds. A watch that ends earlier, though quietly, counts as an interruption."""

OnChange = Callable[[T | None, T | None], None]
"""Told of every change by others, with the object before and after; None: there was or is none."""


class Informer(Generic[T]):
    """Fills a store and tells of changes.

    * Changes are told after the store has them, in the order in which they happened.
    * Our own writes, which were put into the store already, are not told again.
    * An object that cannot be understood is none, but the store knows why, and that is logged once for each version.
    * Whatever happens to the connection, the store is right again after the next list or watch.
    """

    def __init__(
        self,
        source: Source[T],
        store: Store[T],
        on_change: OnChange[T],
        *,
        what: str,
        on_set_aside: Callable[[str], None] = lambda _: None,
        backoff: Backoff = Backoff(start=0.2, maximum=10.0, jitter=0.5),
    ) -> None:
        """`on_set_aside` is told the key of an object that cannot be understood, or of one that no more is such."""
        self._source = source
        self._store = store
        self._on_change = on_change
        self._on_set_aside = on_set_aside
        self._what = what
        self._backoff = backoff
        self._interruptions = 0
        self._newest: str | None = None
        self._version: str | None = None
        self._last_contact: float | None = None
        self._told_refusal = ""
        self.refusal: str | None = None
        """Why the server does not let us list the objects, as far as it does not."""
        self.synced = asyncio.Event()
        """Set once the store has been equal to the server's for the first time."""
        self.answered = asyncio.Event()
        """Set once the store is filled, or the server has refused to fill it."""

    @property
    def what(self) -> str:
        """The kind of the objects, for people."""
        return self._what

    def seconds_since_contact(self) -> float | None:
        """How old the store may be: the time since the server was last heard of. None before the first list."""
        if self._last_contact is None:
            return None
        return _now() - self._last_contact

    def unreadable(self) -> int:
        """How many objects are there at present that cannot be understood."""
        return len(self._store.troubles())

    async def run(self) -> None:
        """List and watch for ever."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except VersionExpired as error:
                log.info("listing again", what=self._what, reason=str(error))
                self._version = None
                await self._pause()
            except Refused as error:
                # If it is only the watch that is refused, listing now and then does as well.
                self._take_refusal(str(error))
                await self._pause()
            except SourceError as error:
                log.warning("watch interrupted", what=self._what, reason=str(error))
                await self._pause(error.retry_after)

    async def _pause(self, asked_for: float | None = None) -> None:
        self._interruptions += 1
        if asked_for is not None:
            # All clients of a server that starts are asked for the same time.
            await asyncio.sleep(max(asked_for, self._backoff.start) * (1 + random.random() / 4))  # noqa: S311 (keeps no secret)
        # The first interruption after a good time is mended at once.
        elif self._interruptions > 1:
            await asyncio.sleep(self._backoff.delay(self._interruptions - 1, random.random()))  # noqa: S311

    def _take_refusal(self, reason: str) -> None:
        if self._version is None:
            self.refusal = reason
            self.answered.set()
        self._version = None
        self._heard()
        if reason != self._told_refusal:
            self._told_refusal = reason
            log.warning("refused", what=self._what, reason=reason)

    async def _list(self) -> str:
        """Take in all objects; gives the version up to which we know what happened.

        A long list is followed by a watch from its first page on, so that what is new waits for no other page.
        """
        async with aclosing(self._source.list_pages()) as pages:
            first = await anext(pages)
            restored = self._newest is not None and is_older(first.version, self._newest)
            listing = _Listing(first.version, restored, self._store.keys(), first.version)
            self._take_in(first, listing)
            self.refusal = None
            # The store is ahead of a server that has gone back in time: there the list alone is believed.
            if first.more and not restored:
                async with beside(self._follow(listing), name=f"watch of {self._what} beside the list"):
                    await self._take_in_all(pages, listing)
            else:
                await self._take_in_all(pages, listing)
        for key in listing.unlisted - listing.told:
            # A write of ours may be newer than the list; after a restoration that counts for nothing.
            self._gone(key, None if restored else listing.version)
        self._newest = listing.reached
        self._store.told_up_to(listing.reached)
        if not self.synced.is_set():
            log.info("store filled", what=self._what, objects=len(self._store))
            self.synced.set()
            self.answered.set()
        return listing.reached

    async def _take_in_all(self, pages: AsyncIterator[Page[T]], listing: _Listing) -> None:
        async for page in pages:
            self._take_in(page, listing)

    def _take_in(self, page: Page[T], listing: _Listing) -> None:
        self._heard()
        for item in page.objects:
            listing.unlisted.discard(item.key)
            if listing.restored:
                self._replaced(item)
            elif item.key not in listing.told:
                self._changed(item)
        for found in page.set_aside:
            listing.unlisted.discard(found.key)
            if listing.restored:
                self._told_gone(self._store.remove(found.key))
            if found.key not in listing.told:
                self._set_aside(found)

    async def _follow(self, listing: _Listing) -> None:
        """Take in what happens since the first page. What this does not tell, the watch after the list does."""
        try:
            async with self._source.watch(listing.version, self._knows) as events:
                async for event in events:
                    self._heard()
                    listing.reached = self._advanced_to(event)
                    match event:
                        case Changed(item):
                            listing.told.add(item.key)
                        case Removed(key) | SetAside(key) | Known(key):
                            listing.told.add(key)
                        case Bookmark():
                            pass
        except SourceError as error:
            log.debug("watch beside the list ended", what=self._what, reason=str(error))

    async def _watch(self, version: str) -> None:
        started = _now()
        try:
            async with self._source.watch(version, self._knows) as events:
                self._heard()
                self._told_refusal = ""
                async for event in events:
                    self._heard()
                    self._version = self._newest = self._advanced_to(event)
                    self._store.told_up_to(self._newest)
        finally:
            lasted = _now() - started
            if lasted >= SHORTEST_WATCH:
                self._interruptions = 0
        if lasted < SHORTEST_WATCH:
            raise SourceError("the server ended the watch as soon as it began")

    def _advanced_to(self, event: WatchEvent[T]) -> str:
        """Take an event in; gives the version that it brings us to."""
        version = event.object.metadata.resource_version if isinstance(event, Changed) else event.version
        if self._newest is not None and is_older(version, self._newest):
            raise VersionExpired("the server has gone back in time")
        match event:
            case Changed(item):
                self._changed(item)
            case Removed(key, _):
                self._gone(key, version)
            case SetAside():
                self._set_aside(event)
            case Known() | Bookmark():
                pass
        return version

    def _knows(self, key: str, version: str) -> bool:
        known = self._store.get(key)
        return known is not None and known.metadata.resource_version == version

    def _heard(self) -> None:
        self._last_contact = _now()

    def _replaced(self, item: T) -> None:
        old = self._store.remove(item.key)
        self._store.put(item)
        self._on_change(old, item)

    def _changed(self, item: T) -> None:
        old = self._store.get(item.key)
        mended = self._store.trouble_with(item.key) is not None
        if self._store.put(item):
            self._on_change(old, item)
            if mended:
                self._on_set_aside(item.key)

    def _set_aside(self, found: SetAside) -> None:
        known = self._store.trouble_with(found.key)
        old = self._store.get(found.key)
        if not self._store.set_aside(found):
            return
        log.warning(
            "object is malformed and passed over", resource=self._what, name=found.key or None, reason=found.reason
        )
        self._told_gone(old)
        if known is None or known.reason != found.reason:
            self._on_set_aside(found.key)

    def _gone(self, key: str, version: str | None) -> None:
        """An object was not there any more at a version; None: whatever is known of it, it is not."""
        known = self._store.trouble_with(key)
        self._told_gone(self._store.remove(key) if version is None else self._store.end(key, version))
        if known is not None and self._store.trouble_with(key) is None:
            self._on_set_aside(key)

    def _told_gone(self, old: T | None) -> None:
        if old is not None:
            self._on_change(old, None)


def _now() -> float:
    return asyncio.get_running_loop().time()
