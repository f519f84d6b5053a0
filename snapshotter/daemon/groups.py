"""Group snapshots are worked at while the API server serves them: CRDs may come and go, and change their version."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import structlog

from snapshotter.kube.connection import Connection
from snapshotter.kube.discovery import served_versions
from snapshotter.kube.errors import ApiError, Forbidden, NotFound
from snapshotter.kube.kinds import Kind, group_class, group_content
from snapshotter.names import GROUP_SNAPSHOT_GROUP, GROUP_SNAPSHOT_VERSIONS

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS = 10.0
"""How often it is asked whether the CRDs have come or gone."""


class GroupPart(Protocol):
    """What a program does for groups."""

    async def run(self) -> None:
        """Work until closed, and finish what is in hand."""
        ...

    def close(self) -> None:
        """Take nothing new in hand."""
        ...


P = TypeVar("P", bound=GroupPart)


class Groups(Generic[P]):
    """Runs the part for groups in the version that is served, and none where there is none."""

    def __init__(
        self,
        connection: Connection,
        make_part: Callable[[str], P],
        kinds: Callable[[str], Iterable[Kind[Any]]] = lambda version: [group_content(version)],
        absent: Callable[[], None] = lambda: None,
    ) -> None:
        """`kinds` are those that must be there to work with, in a version. `absent` hears that there are none."""
        self._connection = connection
        self._make_part = make_part
        self._kinds = kinds
        self._absent = absent
        self._part: P | None = None
        self._closed = asyncio.Event()
        self._told = ""
        self._in_doubt = False
        """Whether the last answer left open what is served."""

    @property
    def part(self) -> P | None:
        """What works on groups at the moment."""
        return self._part

    async def run(self) -> None:
        """Follow what is served, until closed and what is in hand is finished."""
        version: str | None = None
        running: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while not self._closed.is_set():
                served = await self._version(version)
                if served != version and running is not None:
                    self._stop()
                    # It finishes what it has in hand: two of them would work at the same group.
                    await asyncio.wait([running])
                    version, running = None, None
                    continue
                if served is not None and running is None and not self._closed.is_set():
                    log.info("group snapshots are served", version=served)
                    version, self._part = served, self._make_part(served)
                    running = tasks.create_task(self._part.run(), name=f"groups {version}")
                if version is None and not self._in_doubt:
                    self._absent()
                await self._pause()

    async def _version(self, current: str | None) -> str | None:
        """The version to speak. When the server does not say, things stay as they are."""
        self._in_doubt = False
        try:
            served = await served_versions(self._connection, GROUP_SNAPSHOT_GROUP)
            version = next((version for version in GROUP_SNAPSHOT_VERSIONS if version in served), None)
            if version is not None and version != current:
                await self._try_to_list(version)
        except (Forbidden, NotFound) as error:
            # A role without groups, or CRDs that are not all there (yet). Single snapshots go on.
            if str(error) != self._told:
                self._told = str(error)
                log.warning("group snapshots are not worked at", reason=self._told)
            return None
        except ApiError as error:
            log.warning("it is not known whether group snapshots are served", reason=str(error))
            self._in_doubt = True
            return current
        return version

    async def _try_to_list(self, version: str) -> None:
        """Raise `ApiError` if what is served cannot be listed. Not everything that is done needs a class."""
        for kind in self._kinds(version):
            await self._connection.request("GET", kind.path, query={"limit": "1"})
        with suppress(Forbidden):
            await self._connection.request("GET", group_class(version).path, query={"limit": "1"})

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            pass

    def _stop(self) -> None:
        if self._part is not None:
            log.info("group snapshots are not served any more, or in another version")
            self._part.close()
            self._part = None

    def close(self) -> None:
        """Take nothing new in hand."""
        self._closed.set()
        if self._part is not None:
            self._part.close()
