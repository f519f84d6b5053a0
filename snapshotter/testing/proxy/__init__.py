"""Proxies that make trouble: one before an API server, one before a socket.

They stand between a program and its far side, whichever that is, and do to requests and bytes what networks, load
balancers and overloaded servers do. `script.py` says what and when; without a script they pass on everything.
"""

from snapshotter.testing.proxy.api import ApiProxy
from snapshotter.testing.proxy.chance import ApiChance, StreamChance
from snapshotter.testing.proxy.script import Script
from snapshotter.testing.proxy.stream import StreamProxy
from snapshotter.testing.proxy.troubles import (
    Cut,
    CutWatch,
    Dribble,
    EndWatch,
    ErrorFrame,
    Hold,
    LagWatch,
    Late,
    Refusal,
    StallWatch,
    Trouble,
)

__all__ = [
    "ApiChance",
    "ApiProxy",
    "Cut",
    "CutWatch",
    "Dribble",
    "EndWatch",
    "ErrorFrame",
    "Hold",
    "LagWatch",
    "Late",
    "Refusal",
    "Script",
    "StallWatch",
    "StreamChance",
    "StreamProxy",
    "Trouble",
]
