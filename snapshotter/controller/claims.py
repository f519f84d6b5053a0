"""The finalizer that keeps a claim from being deleted while it is being cut.

Whoever makes a content and whoever lets the claim go take turns, claim by claim: otherwise one could rely on a
finalizer that the other is just removing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from snapshotter.daemon.written import Superseded, Written
from snapshotter.model.storage import Claim
from snapshotter.names import CLAIM_FINALIZER
from snapshotter.runtime.store import Store

log = structlog.get_logger(__name__)


class Claims:
    """Protects claims and lets them go. Roles allow claims to be updated, not patched."""

    def __init__(self, written: Written[Claim], store: Store[Claim]) -> None:
        self._written = written
        self._store = store
        self._turns: dict[str, _Turn] = {}

    async def protect(self, keys: Sequence[str]) -> None:
        """Put our finalizer on claims. Raises `Superseded` when one is gone or going, `ApiError`."""
        for key in keys:
            async with self._turn(key):
                claim = self._store.get(key)
                if claim is None:
                    raise Superseded
                if not claim.protected:
                    await self._protect(claim)
                    log.info("claim protected", claim=key)

    async def _protect(self, claim: Claim) -> None:
        try:
            await self._written.rewrite(claim, _with_finalizer)
        except Superseded:
            await self._written.look_for(claim.key)
            raise

    async def release(self, keys: Sequence[str], is_free: Callable[[str], bool]) -> None:
        """Take our finalizer off claims that are still free when their turn comes. Raises `ApiError`."""
        for key in keys:
            async with self._turn(key):
                claim = self._store.get(key)
                if claim is not None and is_free(key):
                    await self._written.rewrite(claim, _without_finalizer)
                    log.info("claim let go", claim=key)

    @asynccontextmanager
    async def held(self, keys: Sequence[str]) -> AsyncIterator[None]:
        """While the context lasts the claims keep our finalizer. Raises `Superseded` if one does not have it."""
        async with AsyncExitStack() as turns:
            for key in sorted(keys):
                await turns.enter_async_context(self._turn(key))
            for key in keys:
                claim = self._store.get(key)
                if claim is None or not claim.protected:
                    raise Superseded
            yield

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key]


class _Turn:
    """A claim's lock, and how many have it or wait for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


def _with_finalizer(raw: dict[str, Any]) -> None:
    metadata = raw["metadata"]
    if metadata.get("deletionTimestamp") is not None:
        raise Superseded
    finalizers = metadata.get("finalizers") or []
    if CLAIM_FINALIZER not in finalizers:
        metadata["finalizers"] = [*finalizers, CLAIM_FINALIZER]


def _without_finalizer(raw: dict[str, Any]) -> None:
    metadata = raw["metadata"]
    metadata["finalizers"] = [name for name in metadata.get("finalizers") or () if name != CLAIM_FINALIZER]
