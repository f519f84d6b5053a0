"""Logs as they come out of a process: on standard error, one line for an event, no secrets in tracebacks."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import asyncio, logging, sys
import structlog
from snapshotter.logs import set_up

log = structlog.get_logger("early")
set_up(sys.argv[1], int(sys.argv[2]))

long = "long" in sys.argv

def fail(password):
    raise ValueError("no")

def log_everything():
    log.debug("step taken")
    log.info("snapshot cut", handle="snap-1", size_bytes=5)
    with structlog.contextvars.bound_contextvars(key="content-1"):
        log.warning("snapshot not created", code="Internal", name="x" * 5000 if long else "x")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble with %s", "it")
    try:
        fail("hunter" + "2")
    except ValueError:
        log.exception("reconciling failed unexpectedly")
        logging.getLogger("library").exception("library failed")

log_everything()
"""


def logged(log_format: str, verbosity: int, *more: str) -> str:
    """What the program writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, str(verbosity), *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_for_each_event_those_of_libraries_included() -> None:
    entries = json_lines(logged("json", 0))
    assert [(entry["level"], entry["msg"]) for entry in entries] == [
        ("info", "snapshot cut"),
        ("warning", "snapshot not created"),
        ("warning", "trouble with it"),
        ("error", "reconciling failed unexpectedly"),
        ("error", "library failed"),
    ]
    assert (entries[0]["handle"], entries[0]["size_bytes"]) == ("snap-1", 5)
    assert entries[1]["key"] == "content-1"
    assert "key" not in entries[0]
    assert all(entry["timestamp"].endswith("Z") for entry in entries)
    assert not any("exc_info" in entry for entry in entries)


def test_text_is_a_line_for_people() -> None:
    lines = logged("text", 0).splitlines()
    [cut] = [line for line in lines if "snapshot cut" in line]
    assert "info" in cut
    assert "handle=snap-1" in cut
    [refused] = [line for line in lines if "snapshot not created" in line]
    assert "key=content-1" in refused
    assert [line for line in lines if "trouble with it" in line]
    assert not [line for line in lines if "\x1b" in line], "no colours in a log file"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_where_but_no_values(log_format: str) -> None:
    """Promise 15."""
    text = logged(log_format, 5)
    assert text.count("ValueError: no") == 2
    assert text.count("in log_everything") == 2
    assert "hunter2" not in text


@pytest.mark.parametrize(("verbosity", "shown"), [(0, False), (3, False), (4, True), (5, True)])
def test_each_step_is_logged_from_verbosity_4_on(verbosity: int, shown: bool) -> None:
    text = logged("text", verbosity)
    assert ("step taken" in text) is shown
    assert "chatter" not in text, "libraries tell of their troubles alone"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_line_stays_readable_whatever_an_object_is_called(log_format: str) -> None:
    [line] = [line for line in logged(log_format, 0, "long").splitlines() if "snapshot not created" in line]
    assert len(line) < 1500
    assert "xxx... (5,000 characters)" in line
    assert "Internal" in line
