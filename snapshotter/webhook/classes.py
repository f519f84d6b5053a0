"""The classes of one kind as the API server has them, followed while their CRD comes, goes or changes its version."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import structlog

from snapshotter.daemon.health import exposed_watches
from snapshotter.kube.connection import Connection
from snapshotter.kube.discovery import served_versions
from snapshotter.kube.errors import ApiError
from snapshotter.kube.kinds import Kind
from snapshotter.kube.objects import Objects
from snapshotter.metrics import DaemonMetrics
from snapshotter.model.lifecycle import AnyClass
from snapshotter.runtime.informer import Informer, SourceError
from snapshotter.runtime.store import Store

K = TypeVar("K", bound=AnyClass)

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS = 10.0
"""How often it is asked in which version the classes are served."""


class Classes(Generic[K]):
    """A store of classes that keeps itself current while `run` runs."""

    def __init__(
        self,
        connection: Connection,
        kinds: Mapping[str, Kind[K]],
        metrics: DaemonMetrics,
        on_change: Callable[[str], None],
    ) -> None:
        """`kinds`: by the versions that we can read, the preferred one first. `on_change` is told names."""
        self._connection = connection
        self._kinds = kinds
        self._metrics = metrics
        self._on_change = on_change
        self._kind: Kind[K] | None = None
        self._store: Store[K] = Store()
        self._informer: Informer[K] | None = None

    def known(self) -> tuple[K, ...] | None:
        """All classes; None as long as they are not known."""
        if self._informer is None or not self._informer.synced.is_set():
            return None
        return tuple(self._store)

    async def current(self, name: str) -> K | None:
        """A class as the API server has it at this moment. Raises `SourceError`."""
        if self._kind is None:
            raise SourceError("the classes are not served")
        # A list of one, so that no other permission is needed than the informer's.
        listing = await Objects(
            self._connection, self._kind, self._metrics, field_selector=f"metadata.name={name}"
        ).list_all()
        return next((found for found in listing.objects if found.key == name), None)

    async def run(self) -> None:
        """Follow the classes for ever."""
        async with asyncio.TaskGroup() as tasks:
            following: asyncio.Task[None] | None = None
            while True:
                kind = await self._served()
                if kind != self._kind:
                    if following is not None:
                        following.cancel()
                    self._kind, self._store, self._informer = kind, Store(), None
                    if kind is not None:
                        self._informer = self._made_informer(kind)
                        following = tasks.create_task(self._follow(self._informer), name=f"informer {kind.plural}")
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _follow(self, informer: Informer[K]) -> None:
        with exposed_watches(self._metrics, [informer]):
            await informer.run()

    def _made_informer(self, kind: Kind[K]) -> Informer[K]:
        return Informer(Objects(self._connection, kind, self._metrics), self._store, self._changed, what=kind.plural)

    def _changed(self, old: K | None, new: K | None) -> None:
        if (told := new or old) is not None:
            self._on_change(told.key)

    async def _served(self) -> Kind[K] | None:
        """The kind in the best version that is served. When the server does not say, things stay as they are."""
        group = next(iter(self._kinds.values())).group
        try:
            served = await served_versions(self._connection, group)
        except ApiError as error:
            log.warning("it is not known whether classes are served", group=group, reason=str(error))
            return self._kind
        return next((kind for version, kind in self._kinds.items() if version in served), None)
