"""A lease kept in memory, far away: requests take time, fail, or have an effect without an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from snapshotter.runtime.leader import LeaseConflict, LeaseMissing, LeaseRecord, LeaseTrouble


@dataclass(frozen=True)
class Way:
    """How a request fares: seconds before its effect, seconds until the answer, and what goes wrong."""

    there: float = 0.01
    back: float = 0.01
    fails: str = ""
    """`before` or `after` its effect."""


class FarLease:
    """The lease as the server has it. Each candidate gets its own `door`."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self._version = 0
        self._under_way: set[asyncio.Task[LeaseRecord]] = set()

    def put(self, record: LeaseRecord) -> LeaseRecord:
        self._version += 1
        self.record = replace(record, version=str(self._version))
        return self.record

    def door(self, way: Callable[[], Way] = Way) -> "Door":
        return Door(self, way)

    async def request(self, way: Way, effect: Callable[[], LeaseRecord]) -> LeaseRecord:
        """The effect comes also when nobody waits for the answer any more."""
        task = asyncio.create_task(self._carry_out(way, effect))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _carry_out(self, way: Way, effect: Callable[[], LeaseRecord]) -> LeaseRecord:
        await asyncio.sleep(way.there)
        if way.fails == "before":
            raise LeaseTrouble("no connection")
        answer = effect()
        await asyncio.sleep(way.back)
        if way.fails == "after":
            raise LeaseTrouble("no answer")
        return answer

    def found(self) -> LeaseRecord:
        if self.record is None:
            raise LeaseMissing
        return self.record

    def made(self, record: LeaseRecord) -> LeaseRecord:
        if self.record is not None:
            raise LeaseConflict
        return self.put(record)

    def replaced(self, record: LeaseRecord) -> LeaseRecord:
        if self.found().version != record.version:
            raise LeaseConflict
        return self.put(record)


class Door:
    """One candidate's way to the lease; a `snapshotter.runtime.leader.Leases`."""

    def __init__(self, lease: FarLease, way: Callable[[], Way]) -> None:
        self._lease = lease
        self.way = way
        self.requests: list[str] = []

    async def read(self) -> LeaseRecord:
        self.requests.append("read")
        return await self._lease.request(self.way(), self._lease.found)

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        self.requests.append("create")
        return await self._lease.request(self.way(), lambda: self._lease.made(record))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        self.requests.append("replace")
        return await self._lease.request(self.way(), lambda: self._lease.replaced(record))
