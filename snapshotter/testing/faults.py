"""Scripted faults: what a stand-in does to the calls that match.

Both stand-ins (API server and CSI driver) keep a `Faults` and ask it about every call. A fault is plain
data, so that it can be set in process or posted as JSON to a stand-in's admin address by a test or a user.
"""

import asyncio
import itertools
import re
from typing import Literal

import msgspec

Moment = Literal["before", "after"]


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule. Of several faults that match a call, the first set holds.

    `match` is a regular expression, searched in the call's name. An API request is named
    `PATCH /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/a/status`, an RPC `CreateSnapshot vol-1`.
    """

    match: str
    skip: int = 0
    """So many matching calls pass first."""
    times: int | None = None
    """So many calls are affected; None: all."""
    delay_seconds: float = 0.0
    """The call waits so long before it has its effect."""
    hold: Moment | None = None
    """The call waits, before or after it has had its effect, until the fault is lifted."""
    error: int | str | None = None
    """The call fails: an HTTP status (409) or a gRPC code's name ("UNAVAILABLE")."""
    error_when: Moment = "before"
    """Whether it fails instead of having its effect, or afterwards."""
    message: str = "a scripted fault"
    """The error's text; `{n}` is replaced by the number of the affected call, from 1."""
    headers: dict[str, str] = {}
    """HTTP only: headers of the error answer, such as Retry-After."""
    cut: Moment | None = None
    """The connection is closed without an answer, before or after the effect."""
    answer: dict[str, object] = {}
    """RPC only: fields of the answer that are overwritten, by their names in csi.proto; nonsense is welcome."""


class Active:
    """A fault that applies to one call."""

    def __init__(self, fault: Fault, call: str, number: int, lifted: asyncio.Event) -> None:
        self.fault = fault
        self.call = call
        self.number = number
        self.lifted = lifted

    @property
    def message(self) -> str:
        return self.fault.message.replace("{n}", str(self.number))


class _Entry:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.pattern = re.compile(fault.match)
        self.seen = 0
        self.affected = 0
        self.lifted = asyncio.Event()


class Faults:
    """The faults in force, by id, and who is held by them."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._ids = itertools.count(1)
        self._held: dict[int, str] = {}
        self._changed = asyncio.Condition()

    def set(self, fault: Fault) -> int:
        """Put a fault in force; the id lifts it again. Raises `re.error` for a bad pattern."""
        number = next(self._ids)
        self._entries[number] = _Entry(fault)
        return number

    def lift(self, number: int) -> None:
        """End a fault; calls that it holds go on. Unknown ids are ignored."""
        if entry := self._entries.pop(number, None):
            entry.lifted.set()

    def clear(self) -> None:
        for number in list(self._entries):
            self.lift(number)

    def in_force(self) -> dict[int, Fault]:
        """The faults by id, in the order in which they were set."""
        return {number: entry.fault for number, entry in self._entries.items()}

    def affected(self, number: int) -> int:
        """How many calls a fault that is in force has been about."""
        return self._entries[number].affected

    def held(self) -> list[str]:
        """The names of the calls that wait at this moment because of a `hold`."""
        return list(self._held.values())

    async def wait_for_held(self, count: int = 1) -> None:
        """Return once so many calls are held."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._held) >= count)

    def match(self, call: str) -> Active | None:
        """The fault for this call, counting it; None when the call is to be served as usual."""
        for entry in self._entries.values():
            if not entry.pattern.search(call):
                continue
            entry.seen += 1
            if entry.seen <= entry.fault.skip:
                continue
            if entry.fault.times is not None and entry.affected >= entry.fault.times:
                continue
            entry.affected += 1
            return Active(entry.fault, call, entry.affected, entry.lifted)
        return None

    async def pause(self, active: Active | None, moment: Moment) -> None:
        """Delay and hold a call as its fault asks, at this moment of it."""
        if active is None:
            return
        if moment == "before" and active.fault.delay_seconds:
            await asyncio.sleep(active.fault.delay_seconds)
        if active.fault.hold != moment:
            return
        async with self._changed:
            self._held[id(active)] = active.call
            self._changed.notify_all()
        try:
            await active.lifted.wait()
        finally:
            del self._held[id(active)]
