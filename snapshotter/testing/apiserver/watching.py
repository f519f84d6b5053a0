"""Watches: what each has still to send, and the loop that sends it.

A watch gets every change of its resource from the store and renders what its selection lets through.
"""

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from snapshotter.testing.apiserver.selection import Selection
from snapshotter.testing.apiserver.status import ApiError
from snapshotter.testing.apiserver.store import Change, Resource, Stored

_HEARTBEAT_LINES = 500
"""So many lines at most are written at once."""

Render = Callable[[Stored], bytes]
Prepare = Callable[[Iterable[Stored]], Awaitable[None]]
"""Waits until these can be rendered. Raises `ApiError`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When a watch sends bookmarks and when it ends, in seconds."""

    timeout_seconds: float
    bookmark_seconds: float = math.inf
    bookmark: Callable[[], bytes] | None = None
    """The frame of a bookmark at this moment; None: none are sent."""


class Watch:
    """One open watch."""

    def __init__(
        self,
        selection: Selection,
        render: Render,
        prepare: Prepare,
        after_version: int,
        transport: asyncio.Transport | None,
    ) -> None:
        self._selection = selection
        self._render = render
        self._prepare = prepare
        self._after_version = after_version
        self._transport = transport
        self._pending: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._muted = False
        self._ended = False

    def offer(self, change: Change) -> None:
        """Take a change, to be sent if the selection lets it through."""
        if not self._muted and change.version > self._after_version:
            self._pending.append(change)
            self._wake.set()

    @property
    def namespace(self) -> str | None:
        return self._selection.namespace

    async def lines_of(self, existing: Iterable[Stored]) -> list[bytes]:
        """The frames of the objects that there are already. Raises `ApiError`."""
        chosen = [stored for stored in existing if self._selection.matches(stored)]
        await self._prepare(chosen)
        return [line("ADDED", self._render(stored)) for stored in chosen]

    def mute(self) -> None:
        """Stay open and send nothing any more."""
        self._muted = True
        self._pending.clear()

    def end(self) -> None:
        """Finish the answer in good order."""
        self._ended = True
        self._wake.set()

    def cut(self) -> None:
        """Reset the connection."""
        self._ended = True
        abort(self._transport)
        self._wake.set()

    async def run(self, response: web.StreamResponse, initial: Iterable[bytes], pace: Pace) -> None:
        """Send the initial lines, then changes and bookmarks, until the watch ends or its time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + pace.timeout_seconds
        next_bookmark = loop.time() + pace.bookmark_seconds
        await _write_all(response, initial)
        while not self._ended:
            await _write_all(response, await self._lines())
            try:
                async with asyncio.timeout_at(min(deadline, next_bookmark)):
                    await self._wake.wait()
                    self._wake.clear()
            except TimeoutError:
                if self._muted:
                    await self._wait_for_end()
                    return
                bookmarks = [] if pace.bookmark is None else [pace.bookmark()]
                await _write_all(response, await self._lines() + bookmarks)
                next_bookmark = loop.time() + pace.bookmark_seconds
                if loop.time() >= deadline:
                    return

    async def _wait_for_end(self) -> None:
        while not self._ended:
            await self._wake.wait()
            self._wake.clear()

    async def _lines(self) -> list[bytes]:
        found = [self._selection.event(change) for change in self._pending]
        self._pending.clear()
        events = [event for event in found if event is not None]
        try:
            await self._prepare([stored for _, stored in events])
        except ApiError as error:
            self.end()
            return [error_line(error)]
        return [line(kind, self._render(stored)) for kind, stored in events]


class Watches:
    """All open watches, by resource."""

    def __init__(self) -> None:
        self._open: dict[Resource, set[Watch]] = {}

    def publish(self, resource: Resource, change: Change) -> None:
        for watch in self._open.get(resource, ()):
            watch.offer(change)

    def add(self, resource: Resource, watch: Watch) -> None:
        self._open.setdefault(resource, set()).add(watch)

    def remove(self, resource: Resource, watch: Watch) -> None:
        self._open[resource].discard(watch)

    def everyone(self, resource: Resource | None = None) -> list[Watch]:
        chosen = self._open.values() if resource is None else [self._open.get(resource, set())]
        return [watch for watches in chosen for watch in watches]


async def _write_all(response: web.StreamResponse, lines: Iterable[bytes]) -> None:
    waiting = list(lines)
    for start in range(0, len(waiting), _HEARTBEAT_LINES):
        await response.write(b"".join(waiting[start : start + _HEARTBEAT_LINES]))


def line(event_type: str, encoded: bytes) -> bytes:
    """One frame of a watch."""
    return b'{"type":"' + event_type.encode() + b'","object":' + encoded + b"}\n"


def error_line(error: ApiError) -> bytes:
    """The frame with which a watch fails."""
    return line("ERROR", msgspec.json.encode(error.body()))


def abort(transport: asyncio.Transport | None) -> None:
    """Close the connection with a reset rather than in good order, unless it is closing already."""
    if transport is None or transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Lingering for no time makes the kernel answer with RST.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
