"""How the demo shows itself: a table that lives on a terminal, or one plain line for each change."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from snapshotter.testing.playground.board import Row, State

PLAIN: Final = ("NO_COLOR", "CI")
"""Variables of the environment that ask for plain lines when they are not empty."""

STYLES: Final = {
    State.WAITING: "dim",
    State.BEING_CUT: "yellow",
    State.NOT_READY: "yellow",
    State.READY: "green",
    State.FAILING: "red",
    State.DELETING: "yellow",
    State.GONE: "dim",
}

INDENT: Final = 2
"""Columns by which a check's mark and the table stand in from the steps."""

LEAVING: Final = (State.DELETING, State.GONE)
"""Of such snapshots there is no more to say than that."""

LONGEST_NAME: Final = 18
"""Characters of a snapshot's name that are shown."""

REFRESHES_PER_SECOND: Final = 10


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at: what should be, whether it is, and what shows it."""

    text: str
    held: bool
    evidence: str = ""

    @property
    def mark(self) -> str:
        return "✓" if self.held else "✗"


class View(Protocol):
    """Where the demo tells what happens."""

    def begin(self, text: str) -> None:
        """The first word."""

    def step(self, text: str) -> None:
        """Something new begins."""

    def row(self, row: Row) -> None:
        """A snapshot has changed."""

    def picture(self) -> None:
        """The snapshots as they are now are worth keeping in sight."""

    def check(self, check: Check) -> None:
        """Something has been looked at."""

    def end(self, text: str, *, good: bool) -> None:
        """The last word."""


def size(size_bytes: int | None) -> str:
    """A size as people say it: `4 MiB`. Empty when it is not known."""
    if size_bytes is None:
        return ""
    amount, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def short(name: str) -> str:
    """A name as far as it tells something: those of members are hashes of 64 characters."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


@contextlib.contextmanager
def view() -> Iterator[View]:
    """The view that suits where standard output goes."""
    if sys.stdout.isatty() and not any(os.environ.get(name) for name in PLAIN):
        shown = TerminalView(Console())
        with shown.live:
            yield shown
    else:
        yield PlainView()


class PlainView:
    """Lines that begin with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._rows: dict[str, str] = {}

    def begin(self, text: str) -> None:
        self._line(text)

    def step(self, text: str) -> None:
        self._line(text)

    def row(self, row: Row) -> None:
        known = "" if row.state in LEAVING else facts(row)
        line = f"  {short(row.name)}: {row.state}" + (f", {known}" if known else "")
        if line != self._rows.get(row.name):
            self._rows[row.name] = line
            self._line(line)

    def picture(self) -> None:
        pass

    def check(self, check: Check) -> None:
        self._line(f"{check.mark} {check.text}" + (f" ({check.evidence})" if check.evidence else ""))

    def end(self, text: str, *, good: bool) -> None:  # noqa: ARG002 - plain lines have no colours
        self._line(text)

    def _line(self, text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._started:6.1f}s  {text}\n")
        sys.stdout.flush()


class TerminalView:
    """Steps and checks roll upwards; below them stands the table of snapshots, up to date."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self.live = Live(
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            get_renderable=self._table_and_errors,
            transient=True,
        )

    def begin(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))

    def step(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def row(self, row: Row) -> None:
        self._rows[row.name] = row

    def picture(self) -> None:
        self._console.print()
        self._console.print(self._table())
        self._console.print()

    def check(self, check: Check) -> None:
        line = Table.grid(padding=(0, 1))
        line.add_column(width=INDENT + 1, justify="right")
        line.add_column()
        text = Text(check.text)
        if check.evidence:
            text.append(f"\n{check.evidence}", style="dim")
        line.add_row(Text(check.mark, style="green" if check.held else "bold red"), text)
        self._console.print(line)

    def end(self, text: str, *, good: bool) -> None:
        self.live.stop()
        self._console.print()
        self._console.print(Text(text, style="bold green" if good else "bold red"))

    def _table_and_errors(self) -> RenderableType:
        if not self._rows:
            return Text("")
        errors = [f"{short(row.name)}: {row.error}" for row in self._rows.values() if row.error]
        told = (Padding(Text(error, style="red"), (0, 0, 0, INDENT)) for error in errors)
        return Group(Text(""), self._table(), *told)

    def _table(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        for heading in ("snapshot", "of", "state", "size", "cut at"):
            table.add_column(heading, no_wrap=True, justify="right" if heading == "size" else "left")
        for row in self._rows.values():
            state = Text(row.state, style=STYLES[row.state])
            faded = "dim" if row.state is State.GONE else ""
            table.add_row(short(row.name), row.source, state, size(row.size_bytes), _cut_at(row), style=faded)
        return Padding(table, (0, 0, 0, INDENT))


def facts(row: Row) -> str:
    cut_at = f"cut at {_cut_at(row)}" if row.created_at else ""
    return ", ".join(fact for fact in (size(row.size_bytes), cut_at, row.error) if fact)


def _cut_at(row: Row) -> str:
    """The time of day on this machine; empty when it is not known."""
    return "" if row.created_at is None else f"{row.created_at.astimezone():%H:%M:%S}"
