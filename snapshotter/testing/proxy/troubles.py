"""What a proxy can do to a request, to a watch, to bytes on a stream: plain data."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

Moment = Literal["before", "after", "amid"]
"""Before the far side gets it, after it has had its effect, or when half of the answer is there."""
Body = Literal["status", "html", "empty"]
MESSAGE: Final = "trouble made by a proxy"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is reset. `after` and `amid`: the far side has done what was asked.

    On a stream `after` means behind these bytes, and `amid` behind half of them.
    """

    moment: Moment = "before"


@dataclass(frozen=True, slots=True)
class Late:
    """So many seconds pass before the far side gets it, or with `after` before the answer comes back."""

    seconds: float
    moment: Literal["before", "after"] = "before"


@dataclass(frozen=True, slots=True)
class Hold:
    """The request waits for somebody, before the far side gets it, or with `after` before the answer comes back."""

    wait: Callable[[], Awaitable[None]]
    """Returns when it may go on."""
    moment: Literal["before", "after"] = "before"


@dataclass(frozen=True, slots=True)
class Dribble:
    """The answer, or the bytes of a stream, come in so many pieces over so many seconds."""

    seconds: float
    pieces: int = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is answered with an HTTP status by the proxy.

    `after`: the far side has done what was asked, as when a load balancer did not wait for the answer.
    """

    status: int
    body: Body = "status"
    """A Status object of Kubernetes, a page as load balancers have it, or nothing at all."""
    retry_after: int | None = None
    """Seconds, in the header."""
    moment: Literal["before", "after"] = "before"
    message: str = MESSAGE
    """What the Status says."""


@dataclass(frozen=True, slots=True)
class EndWatch:
    """So many seconds after its beginning the watch ends in good order."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CutWatch:
    """So many seconds after its beginning the watch is reset. `amid`: in the middle of the next event."""

    seconds: float
    amid: bool = False


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """So many seconds after its beginning the watch fails with an event of type ERROR."""

    seconds: float
    code: int = 410


@dataclass(frozen=True, slots=True)
class StallWatch:
    """So many seconds after its beginning the watch goes silent and stays open; for so many seconds, then it is reset.

    With no limit it is for the client to lose its patience.
    """

    seconds: float
    lasting: float | None = None


@dataclass(frozen=True, slots=True)
class LagWatch:
    """Events come so many seconds late, and together."""

    seconds: float


WatchTrouble = EndWatch | CutWatch | ErrorFrame | StallWatch | LagWatch
"""What only a watch can suffer, once it is open."""
StreamTrouble = Cut | Late | Dribble
"""What can happen to bytes whose meaning the proxy does not know."""
RequestTrouble = Cut | Late | Hold | Dribble | Refusal
Trouble = RequestTrouble | WatchTrouble
