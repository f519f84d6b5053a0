"""How long the tests of bad input go on, and from which seed."""

import os
from typing import Final

SEED: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_SEED", "1"))
OBJECTS: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_OBJECTS", "10000"))
"""Odd objects that the plans decide about."""
SHOWN: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_SHOWN", "10000"))
"""Odd objects that are stored while the programs are at work."""
ANSWERS: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_ANSWERS", "75"))
"""Lives of contents, of either kind, about which a driver says something odd at each step."""
