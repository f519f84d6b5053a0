"""A request that is being answered, and what its fault does to it."""

from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from snapshotter.testing.apiserver.requests import Place
from snapshotter.testing.apiserver.status import ApiError, from_code
from snapshotter.testing.apiserver.users import ADMIN, User
from snapshotter.testing.faults import Active, Moment


class Cut(Exception):
    """The connection is to be reset without an answer."""


@dataclass(slots=True)
class Call:
    """A request that is being answered."""

    request: web.Request
    body: bytes
    place: Place | None
    verb: str
    number: int
    arrived: float
    user: User = ADMIN
    warnings: list[str] = field(default_factory=list)
    is_recorded: bool = False
    is_scripted: bool = False
    """Whether a fault is in force for it."""

    def put_warnings(self, response: web.StreamResponse) -> None:
        """State the warnings in the headers of the answer."""
        for text in self.warnings:
            response.headers.add("Warning", f"299 - {msgspec.json.encode(text).decode()}")


def fail(active: Active | None, moment: Moment) -> None:
    """Cut or refuse the call if its fault says so for this moment."""
    if active is None:
        return
    if active.fault.cut == moment:
        raise Cut
    if active.fault.error is not None and active.fault.error_when == moment:
        raise scripted(active)


def scripted(active: Active) -> ApiError:
    code = active.fault.error
    return from_code(code if isinstance(code, int) else 500, active.message, active.fault.headers)
