"""The informer beside a server that others write to, while events, lists and the answers to our writes come late."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.runtime.informer import (
    Bookmark,
    Changed,
    Informer,
    Known,
    Knows,
    Page,
    Removed,
    SourceError,
    VersionExpired,
    WatchEvent,
)
from snapshotter.runtime.store import Store
from tests.runtime.things import Thing, thing
from tests.runtime.virtual import run_in_virtual_time, settle

LIST_SECONDS = 0.5
"""How long a page of a list is on its way to us."""


class Server:
    """Objects and their history, of which the watch has seen a part. A `Source`."""

    def __init__(self) -> None:
        self.objects: dict[str, Thing] = {}
        self._version = 1
        self._history: list[tuple[int, WatchEvent[Thing]]] = []
        self._delivered = 0
        self._trouble: SourceError | None = None
        self._changed = asyncio.Event()

    def write(self, name: str) -> Thing:
        """Make an object, or change the one that is there."""
        self._version += 1
        known = self.objects.get(name)
        if known is None:
            new = thing(name, self._version, uid=f"uid-{self._version}")
        else:
            new = replace(known, metadata=replace(known.metadata, resource_version=str(self._version)))
        self.objects[name] = new
        self._history.append((self._version, Changed(new)))
        return new

    def delete(self, name: str) -> Thing:
        """End an object; what a writer is answered who has dropped the last finalizer."""
        self._version += 1
        known = self.objects.pop(name)
        self._history.append((self._version, Removed(name, str(self._version))))
        return replace(known, metadata=replace(known.metadata, deletion_timestamp="2024", finalizers=()))

    def bookmark(self) -> None:
        self._version += 1
        self._history.append((self._version, Bookmark(str(self._version))))

    def deliver(self, count: int) -> None:
        """Let the watch see so many events more."""
        self._delivered = min(self._delivered + count, len(self._history))
        self._changed.set()

    def interrupt(self, trouble: SourceError) -> None:
        self._trouble = trouble
        self._changed.set()

    async def list_pages(self) -> AsyncGenerator[Page[Thing], None]:
        version, things = str(self._version), sorted(self.objects.values(), key=lambda thing: thing.key)
        await asyncio.sleep(LIST_SECONDS)
        yield Page(tuple(things[:1]), version, more=True)
        await asyncio.sleep(LIST_SECONDS)
        yield Page(tuple(things[1:]), version)

    @asynccontextmanager
    async def watch(self, version: str, knows: Knows) -> AsyncIterator[AsyncIterator[WatchEvent[Thing]]]:
        self._trouble = None
        yield self._events(int(version), knows)

    async def _events(self, seen: int, knows: Knows) -> AsyncIterator[WatchEvent[Thing]]:
        place = 0
        while True:
            if self._trouble is not None:
                raise self._trouble
            if place < self._delivered:
                version, event = self._history[place]
                place += 1
                if version > seen:
                    if isinstance(event, Changed) and knows(event.object.key, str(version)):
                        event = Known(event.object.key, str(version))
                    yield event
            else:
                self._changed.clear()
                await self._changed.wait()


class World:
    """The server, our informer and store, and our own writes, which may be answered late."""

    def __init__(self) -> None:
        self.server = Server()
        self.store: Store[Thing] = Store()
        self.told: list[tuple[str, str]] = []
        """Names and versions, in the order in which they were told."""
        self.known_before: set[tuple[str, str]] = set()
        """What we knew from the answers to our own requests before it was told."""
        self.told_again: list[tuple[str, str]] = []
        self._answers: list[Thing] = []
        self.informer = Informer(self.server, self.store, self._tell, what="things")

    def _tell(self, _old: Thing | None, new: Thing | None) -> None:
        if new is not None:
            self.told.append((new.key, new.version))
            if (new.key, new.version) in self.known_before:
                self.told_again.append((new.key, new.version))

    def we_write(self, name: str, *, late: bool, ends: bool = False) -> None:
        """A write of ours. It is for the very object that we know, or the server refuses it."""
        known, held = self.store.get(name), self.server.objects.get(name)
        if known is None or held is None or known.metadata.uid != held.metadata.uid:
            return
        self._answers.append(self.server.delete(name) if ends else self.server.write(name))
        if not late:
            while self._answers:
                self.answered()

    def we_read(self, name: str) -> None:
        """As after a conflict: what the server has now is taken in."""
        if name in self.server.objects and self.store.get(name) is not None:
            self._take_in(self.server.objects[name])

    def answered(self) -> None:
        if self._answers:
            self._take_in(self._answers.pop(0))

    def _take_in(self, answer: Thing) -> None:
        self.store.record(answer)
        if self.store.get(answer.key) == answer and (answer.key, answer.version) not in self.told:
            self.known_before.add((answer.key, answer.version))


names = st.sampled_from("ab")
steps = st.one_of(
    st.tuples(st.just("others write"), names),
    st.tuples(st.just("others delete"), names),
    st.tuples(st.just("we write"), names),
    st.tuples(st.just("we write, answered late"), names),
    st.tuples(st.just("we let go"), names),
    st.tuples(st.just("we let go, answered late"), names),
    st.tuples(st.just("we read"), names),
    st.tuples(
        st.sampled_from(
            ["an answer comes", "an event comes", "all events come", "bookmark", "reset", "expired", "time"]
        ),
        st.just(""),
    ),
)


async def take(world: World, step: str, name: str) -> None:
    match step:
        case "others write":
            world.server.write(name)
        case "others delete" if name in world.server.objects:
            world.server.delete(name)
        case "we write":
            world.we_write(name, late=False)
        case "we write, answered late":
            world.we_write(name, late=True)
        case "we let go":
            world.we_write(name, late=False, ends=True)
        case "we let go, answered late":
            world.we_write(name, late=True, ends=True)
        case "we read":
            world.we_read(name)
        case "an answer comes":
            world.answered()
        case "an event comes":
            world.server.deliver(1)
        case "all events come":
            world.server.deliver(1000)
        case "bookmark":
            world.server.bookmark()
        case "reset":
            world.server.interrupt(SourceError("reset"))
        case "expired":
            world.server.interrupt(VersionExpired("too old"))
        case "time":
            await asyncio.sleep(LIST_SECONDS * 0.8)
    await settle()


async def play(script: list[tuple[str, str]]) -> None:
    world = World()
    world.server.write("a")
    world.server.write("b")
    task = asyncio.create_task(world.informer.run())
    await asyncio.sleep(2)
    try:
        for step, name in script:
            await take(world, step, name)
        for _ in script:
            world.answered()
        world.server.deliver(1000)
        await asyncio.sleep(60)
        assert not task.done()
        assert {item.key: item for item in world.store} == world.server.objects
        assert world.told_again == []
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_store_ends_equal_to_the_servers_and_tells_nothing_of_ours(script: list[tuple[str, str]]) -> None:
    """Promises 4, 5 and 11, for any interleaving of writers, events, lists and answers."""
    run_in_virtual_time(play(script))
