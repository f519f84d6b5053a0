"""Troubles by chance, the same for the same seed and the same order of calls.

Nothing takes longer than a second or two, but for watches that go silent: more would only make fewer troubles.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from snapshotter.testing.proxy.troubles import (
    Cut,
    CutWatch,
    Dribble,
    EndWatch,
    ErrorFrame,
    LagWatch,
    Late,
    Refusal,
    StallWatch,
    StreamTrouble,
    Trouble,
)

T = TypeVar("T")
Make = Callable[[random.Random], T]
Table = Sequence[tuple[int, Make[T]]]
"""Troubles to choose from, each with its weight."""

_REQUESTS: Final[Table[Trouble]] = (
    (3, lambda _: Cut("before")),
    (4, lambda _: Cut("after")),
    (2, lambda _: Cut("amid")),
    (3, lambda dice: Late(dice.uniform(0.05, 1.0))),
    (3, lambda dice: Late(dice.uniform(0.05, 1.0), "after")),
    (1, lambda dice: Dribble(dice.uniform(0.1, 1.0))),
    (1, lambda _: Refusal(401)),
    (2, lambda _: Refusal(429, retry_after=1)),
    (1, lambda _: Refusal(429, "html")),
    (2, lambda _: Refusal(500)),
    (1, lambda _: Refusal(502, "html")),
    (1, lambda _: Refusal(503, retry_after=1)),
    (1, lambda _: Refusal(503, "empty")),
    (1, lambda _: Refusal(504)),
    (3, lambda _: Refusal(504, "html", moment="after")),
)
_LISTS: Final[Table[Trouble]] = (*_REQUESTS, (6, lambda _: Refusal(410)))
_WATCHES: Final[Table[Trouble]] = (
    (1, lambda _: Cut("before")),
    (1, lambda _: Refusal(401)),
    (2, lambda _: Refusal(410)),
    (1, lambda _: Refusal(429, retry_after=1)),
    (1, lambda _: Refusal(500, "empty")),
    (1, lambda _: Refusal(503, "html")),
    (3, lambda dice: EndWatch(dice.uniform(0.0, 4.0))),
    (3, lambda dice: CutWatch(dice.uniform(0.0, 4.0))),
    (2, lambda dice: CutWatch(dice.uniform(0.0, 4.0), amid=True)),
    (3, lambda dice: ErrorFrame(dice.uniform(0.0, 4.0), 410)),
    (2, lambda dice: ErrorFrame(dice.uniform(0.0, 4.0), 500)),
    (2, lambda dice: StallWatch(dice.uniform(0.0, 3.0), dice.uniform(1.0, 6.0))),
    (4, lambda dice: LagWatch(dice.uniform(0.1, 1.5))),
)
_FOR_EVER: Final[Table[Trouble]] = ((1, lambda dice: StallWatch(dice.uniform(0.0, 3.0))),)
_STREAMS: Final[Table[StreamTrouble]] = (
    (2, lambda _: Cut("before")),
    (2, lambda _: Cut("after")),
    (2, lambda _: Cut("amid")),
    (6, lambda dice: Late(dice.uniform(0.02, 0.5))),
    (3, lambda dice: Dribble(dice.uniform(0.02, 0.5))),
)


class ApiChance:
    """For requests to an API server; a `Source`.

    `requests`, `watches`: the shares that are troubled. `silent`: some of the watches go silent for good, so that their
    clients have to find out.
    """

    def __init__(self, seed: int, *, requests: float, watches: float, silent: bool = False) -> None:
        self._dice = random.Random(seed)  # noqa: S311
        self._requests = requests
        self._watches = watches
        self._watch_table = (*_WATCHES, *_FOR_EVER) if silent else _WATCHES

    def trouble_of(self, call: str) -> Trouble | None:
        verb = call.partition(" ")[0]
        if verb == "WATCH":
            return _chosen(self._dice, self._watches, self._watch_table)
        return _chosen(self._dice, self._requests, _LISTS if verb == "LIST" else _REQUESTS)


class StreamChance:
    """For bytes on a stream; a `Source`. `share`: of the pieces in which bytes come along."""

    def __init__(self, seed: int, *, share: float) -> None:
        self._dice = random.Random(seed)  # noqa: S311
        self._share = share

    def trouble_of(self, _: str) -> StreamTrouble | None:
        return _chosen(self._dice, self._share, _STREAMS)


def _chosen(dice: random.Random, share: float, table: Table[T]) -> T | None:
    if dice.random() >= share:
        return None
    (make,) = dice.choices([make for _, make in table], [weight for weight, _ in table])
    return make(dice)
