"""How long the tests of bad input go on, and from which seed."""

import os
from typing import Final

SEED: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_SEED", "1"))
OBJECTS: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_OBJECTS", "4000"))
"""Odd objects that are shown to the programs, and the same number to their plans alone."""
ANSWERS: Final = int(os.environ.get("SNAPSHOTTER_FUZZ_ANSWERS", "75"))
"""Lives of contents, of either kind, about which a driver says something odd at each step."""
