"""`python -m bench.daemon`: `csi-snapshotter` with what the image has, beside which the playground may be installed."""

import sys
from typing import Any

modules: dict[str, Any] = sys.modules
# structlog loads them where it finds them, for colours that a daemon does not have: six megabytes.
modules["rich"] = modules["colorama"] = None

from snapshotter.cli import csi_snapshotter  # noqa: E402 - after what it is not to find

csi_snapshotter()
