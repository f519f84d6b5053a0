"""`snapshotter demo`: snapshots of claims from the wish to the storage and back, with a check for each claim it makes.

`acts` holds the story, act by act.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp

from snapshotter.testing.admin import AdminError
from snapshotter.testing.client import ApiFailure
from snapshotter.testing.playground import interruption
from snapshotter.testing.playground.acts import ACTS
from snapshotter.testing.playground.acts.stage import Report, Stage
from snapshotter.testing.playground.board import Board, NotSeen
from snapshotter.testing.playground.pieces import PieceFailed
from snapshotter.testing.playground.running import DirectoryInUse, Pieces, playground
from snapshotter.testing.playground.views import View, view

INTRODUCTION: Final = (
    "Volume snapshots without a cluster: separate processes, real HTTP and a real Unix socket, bytes in files. "
    "The demo plays the users."
)

FAILED: Final = 1
"""The exit code when a check did not hold."""


def run(keep: Path | None) -> int:
    """The exit code: 0 when every check held, 1 otherwise, 128 and the signal's number when a signal ended it.

    What the demo leaves is in `keep`. Without it nothing is left, but for the logs of a demo that failed.
    """
    directory = keep or Path(tempfile.mkdtemp(prefix="snapshotter-demo-"))
    code = 0
    try:
        with view() as shown:
            code = _shown(directory, shown)
    finally:
        if keep is None and code != FAILED:
            shutil.rmtree(directory)
    return code


def _shown(directory: Path, shown: View) -> int:
    try:
        return interruption.run(_demo(directory, shown))
    except interruption.Interrupted as end:
        shown.end("Interrupted; everything is stopped.", good=False)
        return end.exit_code


async def _demo(directory: Path, shown: View) -> int:
    report = Report(shown)
    started = time.monotonic()
    try:
        shown.begin(INTRODUCTION)
        shown.step("An API server, a CSI driver, its provisioner and sidecar, the controller and the webhook start")
        async with playground(directory) as pieces:
            board = Board(shown.row)
            following = pieces.background.create_task(board.follow(pieces.api), name="board")
            try:
                _tell_of_the_start(pieces, report, time.monotonic() - started)
                stage = Stage(pieces, board, report)
                for act in ACTS:
                    await act(stage)
            finally:
                following.cancel()
    except BrokenPipeError:
        raise
    except (NotSeen, PieceFailed, ApiFailure, AdminError, aiohttp.ClientError, DirectoryInUse, OSError) as error:
        report.check("the demo got to its end", held=False, evidence=str(error))
    took = time.monotonic() - started
    if report.failed:
        shown.end(f"{report.failed} of {report.done} checks failed. Logs: {directory / 'logs'}", good=False)
        return FAILED
    shown.end(f"All {report.done} checks held, in {took:.1f} s.", good=True)
    return 0


def _tell_of_the_start(pieces: Pieces, report: Report, seconds: float) -> None:
    programs = (
        pieces.apiserver,
        pieces.driver,
        pieces.sidecar,
        pieces.controller,
        pieces.provisioner,
        pieces.webhook,
    )
    pids = [str(piece.pid) for piece in programs]
    report.check(
        "all six serve, as processes of their own",
        held=len(set(pids)) == len(programs),
        evidence=f"process ids {', '.join(pids)}; up in {seconds:.1f} s",
    )
