"""The commands: each reads its command line, runs one program, and ends with that program's exit code."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog
import uvloop

from snapshotter.cli.flags import parse
from snapshotter.settings import SidecarSettings
from snapshotter.sidecar import app as sidecar


def csi_snapshotter() -> NoReturn:
    """The `csi-snapshotter` command."""
    program = "csi-snapshotter"
    settings = parse(program, SidecarSettings, sys.argv[1:])
    if mistakes := settings.mistakes():
        _complain(program, "; ".join(mistakes))
        sys.exit(1)
    sys.exit(_run(program, lambda: sidecar.run(settings)))


def main() -> NoReturn:
    """The `snapshotter` command: the playground."""
    # Loaded only here: the daemons run without what the playground needs.
    from snapshotter.testing.playground import main as playground  # noqa: PLC0415

    sys.exit(playground(sys.argv[1:]))


def _run(program: str, start: Callable[[], Coroutine[Any, Any, None]]) -> int:
    # What gRPC has to say below an error is about its own doings.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(start())
    except sidecar.StartError as error:
        _complain(program, str(error))
        return error.exit_code
    except Exception as error:
        structlog.get_logger(__name__).exception("unexpected end")
        _complain(program, f"unexpected end: {error}")
        return 1
    return 0


def _complain(program: str, text: str) -> None:
    print(f"{program}: {text}", file=sys.stderr)  # noqa: T201 (a line for the person who started us)
