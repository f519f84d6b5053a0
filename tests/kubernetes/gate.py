"""The way of the programs to the real API server, with the faults of the stand-in.

Tests script faults as they do with the stand-in; a proxy on the way holds, refuses, delays or cuts the requests.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from snapshotter.testing.faults import Active, Fault, Faults
from snapshotter.testing.proxy import ApiProxy, Cut, ErrorFrame, Hold, Late, Refusal, Trouble
from tests.kubernetes.server import Kube

RETRY_AFTER = "Retry-After"


class OneAtATime(Faults):
    """Faults of one sort each, as the proxy makes them."""

    def set(self, fault: Fault) -> int:
        sorts = (fault.delay_seconds, fault.hold, fault.error, fault.cut)
        if sum(bool(each) for each in sorts) > 1 or not fault.headers.get(RETRY_AFTER, "1").isdigit():
            pytest.skip("only the stand-in does this to order: two faults of one request")
        return super().set(fault)


@dataclass(frozen=True, slots=True)
class Gate:
    """Where programs reach the API server."""

    proxy: ApiProxy
    faults: Faults

    def trouble_of(self, call: str) -> Trouble | None:
        active = self.faults.match(call)
        return None if active is None else _trouble(self.faults, active)


def _trouble(faults: Faults, active: Active) -> Trouble:
    fault = active.fault
    if fault.hold is not None:
        return Hold(partial(faults.pause, active, fault.hold), fault.hold)
    if fault.cut is not None:
        return Cut(fault.cut)
    if fault.error is None:
        return Late(fault.delay_seconds)
    code = fault.error if isinstance(fault.error, int) else 500
    if active.call.startswith("WATCH ") and fault.error_when == "after":
        return ErrorFrame(0.0, code)
    after = fault.headers.get(RETRY_AFTER)
    retry_after = None if after is None else int(after)
    return Refusal(code, retry_after=retry_after, moment=fault.error_when, message=active.message)


@contextlib.asynccontextmanager
async def gate_to(kube: Kube) -> AsyncIterator[Gate]:
    """A way that is clear until a fault is set."""
    async with ApiProxy.serve(kube.url, authority=kube.authority.read_text()) as proxy:
        made = Gate(proxy, OneAtATime())
        proxy.script.chance = made
        try:
            yield made
        finally:
            made.faults.clear()
