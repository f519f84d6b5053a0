"""What happens when: rules for single calls first, and chance for the rest."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from snapshotter.testing.proxy.troubles import Trouble

T = TypeVar("T", bound=Trouble)
T_co = TypeVar("T_co", bound=Trouble, covariant=True)


class Source(Protocol[T_co]):
    """Where the troubles of calls come from that no rule is about."""

    def trouble_of(self, call: str) -> T_co | None:
        """None: the call is passed on as it is."""
        ...


@dataclass(slots=True)
class _Rule(Generic[T]):
    pattern: re.Pattern[str]
    trouble: T
    skip: int
    times: int | None
    seen: int = 0

    def holds(self, call: str) -> bool:
        if not self.pattern.search(call):
            return False
        self.seen += 1
        return self.seen > self.skip and (self.times is None or self.seen <= self.skip + self.times)


class Script(Generic[T]):
    """The rules in force, and the chance beside them. It may be changed while calls come in.

    A request is named `PATCH /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/a/status`, bytes on a stream
    `there` or `back`, and a new connection to a stream `connect`.
    """

    def __init__(self) -> None:
        self.chance: Source[T] | None = None
        """None: what no rule is about goes well."""
        self.happened: Counter[str] = Counter()
        """How often each sort of trouble has been made, by the name of its class."""
        self._rules: list[_Rule[T]] = []

    def set(self, match: str, trouble: T, *, skip: int = 0, times: int | None = 1) -> None:
        """Trouble those calls in whose name this pattern is found: after the first `skip`, so many; None: all.

        Of several rules that hold for a call, the first set counts. Raises `re.error` for a bad pattern.
        """
        self._rules.append(_Rule(re.compile(match), trouble, skip, times))

    def clear(self) -> None:
        """Make no more trouble. What has begun, such as a silent watch, goes on."""
        self._rules.clear()
        self.chance = None

    def trouble_of(self, call: str) -> T | None:
        """What happens to this call, counting it; None: nothing."""
        holding = [rule.trouble for rule in self._rules if rule.holds(call)]
        found = holding[0] if holding else None
        if found is None and self.chance is not None:
            found = self.chance.trouble_of(call)
        if found is not None:
            self.happened[type(found).__name__] += 1
        return found
