"""The commands. Each loads only what it needs: the daemons run without the libraries of the playground."""

import sys
from typing import NoReturn


def csi_snapshotter() -> NoReturn:
    """The `csi-snapshotter` command."""
    from snapshotter.cli.daemons import csi_snapshotter as run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


def snapshot_controller() -> NoReturn:
    """The `snapshot-controller` command."""
    from snapshotter.cli.daemons import snapshot_controller as run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


def snapshot_conversion_webhook() -> NoReturn:
    """The `snapshot-conversion-webhook` command."""
    from snapshotter.cli.daemons import snapshot_conversion_webhook as run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


def main() -> NoReturn:
    """The `snapshotter` command: the playground."""
    from snapshotter.testing.playground import main as run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))
