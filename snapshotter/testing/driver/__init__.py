"""A CSI driver that keeps real bytes in a directory, for tests, the demo and the playground.

`Driver.serve` runs it in this process; `python -m snapshotter.testing.driver` runs it as one of its own.
`gate.py` is where calls are logged and meet their faults, `state.py` where the bytes are.
"""

from snapshotter.testing.driver.calls import Call, CallLog
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.records import Group, Snapshot, Volume
from snapshotter.testing.driver.server import Driver
from snapshotter.testing.driver.state import StateInUse

__all__ = ["Call", "CallLog", "Driver", "DriverOptions", "Group", "Snapshot", "StateInUse", "Volume"]
