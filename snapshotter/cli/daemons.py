"""Runs a daemon: flags in, one clear line and an exit code out.

A program is loaded when its flags are in order, so that `--help` and a mistake are answered at once. Each loads what it
needs alone: the webhook neither gRPC nor the API server's client.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import structlog
import uvloop

from snapshotter.cli.flags import parse
from snapshotter.daemon.running import CannotRun
from snapshotter.settings import ControllerSettings, SidecarSettings, WebhookSettings

log = structlog.get_logger(__name__)

S = TypeVar("S", SidecarSettings, ControllerSettings, WebhookSettings)
Run = Callable[[S], Coroutine[Any, Any, None]]
"""A program that has been loaded."""


def csi_snapshotter(arguments: Sequence[str]) -> int:
    """Run the sidecar; gives its exit code."""

    def load() -> Run[SidecarSettings]:
        from snapshotter.sidecar import app  # noqa: PLC0415

        return app.run

    return _run("csi-snapshotter", SidecarSettings, arguments, load)


def snapshot_controller(arguments: Sequence[str]) -> int:
    """Run the controller; gives its exit code."""

    def load() -> Run[ControllerSettings]:
        from snapshotter.controller import app  # noqa: PLC0415

        return app.run

    return _run("snapshot-controller", ControllerSettings, arguments, load)


def snapshot_conversion_webhook(arguments: Sequence[str]) -> int:
    """Run the webhook; gives its exit code."""

    def load() -> Run[WebhookSettings]:
        from snapshotter.webhook import app  # noqa: PLC0415

        return app.run

    return _run("snapshot-conversion-webhook", WebhookSettings, arguments, load)


def _run(program: str, form: type[S], arguments: Sequence[str], load: Callable[[], Run[S]]) -> int:
    settings = parse(program, form, arguments, os.environ)
    mistakes = settings.mistakes()
    if mistakes:
        _complain(program, "; ".join(mistake.text for mistake in mistakes))
        return mistakes[0].exit_code
    # What gRPC has to say below an error is about its own doings.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(load()(settings))
    except CannotRun as error:
        _complain(program, str(error))
        return error.exit_code
    except Exception as error:  # the top of a program: nobody else would tell
        log.exception("unexpected end")
        _complain(program, f"unexpected end: {error}")
        return 1
    return 0


def _complain(program: str, text: str) -> None:
    print(f"{program}: {text}", file=sys.stderr)  # noqa: T201 (a line for the person who started us)
