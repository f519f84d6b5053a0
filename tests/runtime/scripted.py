"""A far side for informers that follows a script: what each list and each watch gives, in turn."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from snapshotter.runtime.informer import Knows, Page, SourceError, WatchEvent
from tests.runtime.things import Thing
from tests.runtime.virtual import now


@dataclass(frozen=True)
class Silence:
    """So many seconds in which nothing comes."""

    seconds: float


FOR_EVER = Silence(float("inf"))

Step = WatchEvent[Thing] | Silence | SourceError


class Runaway(BaseException):
    """The informer asks and asks: no test goes on for ever."""


Pages = Sequence[Page[Thing] | Silence | SourceError]
"""A list that is long."""
Answer = Page[Thing] | SourceError | Pages


class Scripted:
    """Lists and watches are used up in order; of the last one there is no end.

    A watch gives its events and ends quietly after the last, if that is not an error or silence for ever.
    """

    def __init__(self, lists: Iterable[Answer], watches: Iterable[Sequence[Step]] = ((FOR_EVER,),)) -> None:
        self._lists = list(lists)
        self._watches = list(watches)
        self.listed_at: list[float] = []
        self.watched_from: list[str] = []
        self.watched_at: list[float] = []

    def recover(self, answer: Answer, *watches: Sequence[Step]) -> None:
        """From now on another script holds."""
        self._lists = [answer]
        self._watches = list(watches)

    async def list_pages(self) -> AsyncGenerator[Page[Thing], None]:
        self.listed_at.append(now())
        self._count()
        answer = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        for step in answer if isinstance(answer, Sequence) else (answer,):
            match step:
                case SourceError():
                    raise step
                case Silence(seconds):
                    await asyncio.sleep(seconds)
                case page:
                    yield page

    @asynccontextmanager
    async def watch(self, version: str, _knows: Knows) -> AsyncIterator[AsyncIterator[WatchEvent[Thing]]]:
        self.watched_from.append(version)
        self.watched_at.append(now())
        self._count()
        yield self._play(self._watches.pop(0) if len(self._watches) > 1 else self._watches[0])

    async def _play(self, steps: Sequence[Step]) -> AsyncIterator[WatchEvent[Thing]]:
        for step in steps:
            match step:
                case Silence(seconds) if seconds == float("inf"):
                    await asyncio.Event().wait()
                case Silence(seconds):
                    await asyncio.sleep(seconds)
                case SourceError():
                    raise step
                case event:
                    yield event

    def _count(self) -> None:
        if len(self.listed_at) + len(self.watched_at) > 1000:
            raise Runaway
