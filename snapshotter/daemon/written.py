"""Writes of ours: repeated while trouble passes, and known to the store at once.

Each raises `Superseded` when the object has changed in a way that matters to the write, and `ApiError` when the API
server does not do it. That an object is gone is for the watch to say: an API server that starts answers 404 to
everything.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import structlog

from snapshotter.kube.errors import AlreadyExists, Conflict, Forbidden
from snapshotter.kube.objects import Objects
from snapshotter.kube.patience import persistently
from snapshotter.runtime.store import Store, Versioned

T = TypeVar("T", bound=Versioned)

log = structlog.get_logger(__name__)


class Superseded(Exception):
    """The object is not as it was when the write was planned; the store has it as it is now."""


class Written(Generic[T]):
    """The objects of one kind, for writing. Every write may be repeated, and gives the object as it is then."""

    def __init__(
        self,
        objects: Objects[T],
        store: Store[T],
        told: Callable[[T | None, T | None], None] = lambda _old, _new: None,
    ) -> None:
        """`told` hears of what our own writes have changed, as an informer's listener hears of others' writes."""
        self._objects = objects
        self._store = store
        self._told = told

    async def merge(self, known: T, patch: Mapping[str, Any]) -> T:
        """Apply a JSON merge patch."""
        return await self._write(known, lambda: self._objects.merge(known.key, patch))

    async def apply(self, known: T, patch: list[dict[str, Any]], *, subresource: str | None = None) -> T:
        """Apply a JSON patch."""
        return await self._write(known, lambda: self._objects.apply(known.key, patch, subresource=subresource))

    async def rewrite(self, known: T, change: Callable[[dict[str, Any]], None]) -> T:
        """Put the object back with a change, as it is now and with what we do not know of it."""
        return await self._write(known, lambda: self._objects.rewrite(known.key, change))

    async def create(self, namespace: str, name: str, body: Mapping[str, Any]) -> T:
        """Make an object. One of this name that is there already is taken in, and the plan is to be made anew."""
        try:
            created = await persistently(lambda: self._objects.create(namespace, body))
        except AlreadyExists as error:
            await self.look_for(f"{namespace}/{name}" if namespace else name)
            raise Superseded from error
        self._take_in(created, self._store.add)
        return created

    async def delete(self, known: T, uid: str) -> None:
        """Ask for the deletion of this very object. What finalizers keep is then known to be on its way out."""
        try:
            kept = await persistently(lambda: self._objects.delete(known.key, uid=uid))
        except Conflict as error:
            await self.look_for(known.key)
            raise Superseded from error
        if kept is not None:
            self._take_in(kept, self._store.record)
        elif (gone := self._store.end(known.key, known.metadata.resource_version)) is not None:
            self._told(gone, None)

    async def look_for(self, key: str) -> T:
        """Bring the store up to date without waiting for the watch."""
        found = await persistently(lambda: self._objects.get(key))
        self._take_in(found, self._store.add)
        return found

    async def _write(self, known: T, write: Callable[[], Awaitable[T]]) -> T:
        try:
            written = await persistently(write)
        except Conflict as error:
            log.debug("object has changed", reason=str(error))
            try:
                await self._refresh(known.key)
            except Forbidden as refusal:
                # The watch tells how it is now, a little later.
                raise error from refusal
            now = self._store.get(known.key)
            if now is not None and now.metadata.resource_version == known.metadata.resource_version:
                # It has not: the API server has another reason, and asking at once again would not help.
                raise
            raise Superseded from error
        self._take_in(written, self._store.record)
        return written

    async def _refresh(self, key: str) -> None:
        self._take_in(await persistently(lambda: self._objects.get(key)), self._store.record)

    def _take_in(self, item: T, take: Callable[[T], None]) -> None:
        old = self._store.get(item.key)
        take(item)
        new = self._store.get(item.key)
        if new is not old:
            self._told(old, new)
