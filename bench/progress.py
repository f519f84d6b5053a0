"""What becomes of contents, and when: followed by a watch of the measurement's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from bench.client import Address, wired
from bench.objects import Kind

WATCH_SECONDS = 3600


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Status(msgspec.Struct, rename="camel"):
    ready_to_use: bool = False


class _Object(msgspec.Struct):
    metadata: _Meta
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    type: str
    object: _Object


class _Listing(msgspec.Struct):
    metadata: _Meta


class Progress:
    """The contents of one kind. Times are seconds on the loop's clock, which is the machine's."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.ready: dict[str, float] = {}
        self.settled: dict[str, float] = {}
        """Ready, and without the being-created mark: nothing is left to do."""
        self.gone: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def wait_for(self, seen: Callable[["Progress"], dict[str, float]], count: int, seconds: float) -> float:
        """The time at which so many contents have been seen so. Raises TimeoutError."""
        try:
            async with asyncio.timeout(seconds):
                while len(seen(self)) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"{len(seen(self))} of {count} contents after {seconds:.0f}s") from None
        return max(seen(self).values(), default=0.0)

    async def follow(self, lines: AsyncIterator[bytes]) -> None:
        events = msgspec.json.Decoder(_Event)
        loop = asyncio.get_running_loop()
        async for line in lines:
            event = events.decode(line)
            self._take(event, loop.time())
            self._changed.set()
        raise RuntimeError("the watch has ended")

    def _take(self, event: _Event, now: float) -> None:
        name = event.object.metadata.name
        if event.type == "DELETED":
            self.gone.setdefault(name, now)
        elif event.object.status.ready_to_use:
            self.ready.setdefault(name, now)
            if self.kind.being_created not in event.object.metadata.annotations:
                self.settled.setdefault(name, now)


@asynccontextmanager
async def followed(address: Address, kind: Kind) -> AsyncIterator[Progress]:
    """What becomes of contents from now on."""
    progress = Progress(kind)
    async with wired(address) as wire:
        listing = msgspec.json.decode(await wire.ask("GET", f"{kind.path}?limit=1"), type=_Listing)
        version = listing.metadata.resource_version
        path = f"{kind.path}?watch=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(progress.follow(wire.follow(path)), name="progress")
            yield progress
            following.cancel()
