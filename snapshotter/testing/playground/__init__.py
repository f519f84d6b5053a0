"""The playground: `snapshotter demo` and `snapshotter local`.

`running.py` starts the pieces, for tests as well; `demo.py` and `local.py` are the two programs, and `acts` holds the
demo's story.
"""

import os
import signal
import sys
from typing import Final

EXTRA: Final = frozenset({"cel", "rich", "trustme"})
"""Modules that come with the extra `playground`."""


def main(arguments: list[str]) -> int:
    """The `snapshotter` command; gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a tick shows a question mark.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        from snapshotter.testing.playground import commands  # noqa: PLC0415 - may fail for want of the extra
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        sys.stderr.write(
            f"snapshotter: {error.name} is missing; the playground needs: pip install 'snapshotter[playground]'\n"
        )
        return 1
    try:
        return commands.main(arguments)
    except BrokenPipeError:
        # Who read our output has gone. What is left of it must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
