"""What the API server holds of the kinds that provisioning is about, kept up to date by watches."""

import asyncio
import contextlib
from typing import Final

from snapshotter.testing.client import EVERYWHERE, ApiFailure, Json, KubeClient
from snapshotter.testing.provisioner.plan import Seen

AGAIN_SECONDS: Final = 0.5
"""The time until an API server that does not answer is asked again."""

KINDS: Final = {
    "claims": "PersistentVolumeClaim",
    "volumes": "PersistentVolume",
    "storage_classes": "StorageClass",
    "snapshots": "VolumeSnapshot",
    "contents": "VolumeSnapshotContent",
}
"""The fields of `Seen`, each with its kind."""


class Cluster:
    """`follow` it as a task; `changed` is set with each change, and `complete` once everything has been read."""

    def __init__(self, api: KubeClient) -> None:
        self._api = api
        self._stores: dict[str, dict[str, Json]] = {field: {} for field in KINDS}
        self._unread = set(KINDS)
        self.seen = Seen(**self._stores)
        self.changed = asyncio.Event()

    @property
    def complete(self) -> bool:
        return not self._unread

    async def follow(self) -> None:
        """Keep up to date, for ever, whatever becomes of the API server."""
        async with asyncio.TaskGroup() as tasks:
            for field, kind in KINDS.items():
                tasks.create_task(self._follow(field, kind), name=f"watch of {kind}")

    async def _follow(self, field: str, kind: str) -> None:
        while True:
            with contextlib.suppress(ApiFailure):
                await self._follow_once(field, kind)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow_once(self, field: str, kind: str) -> None:
        store = self._stores[field]
        listing = await self._api.list(kind, namespace=EVERYWHERE)
        store.clear()
        store.update((_key(item), item) for item in listing.items)
        self._unread.discard(field)
        self.changed.set()
        watch = self._api.watch(kind, listing.version, namespace=EVERYWHERE)
        async with contextlib.aclosing(watch) as changes:
            async for change in changes:
                if change.type == "DELETED":
                    store.pop(_key(change.object), None)
                else:
                    store[_key(change.object)] = change.object
                self.changed.set()


def _key(item: Json) -> str:
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])
