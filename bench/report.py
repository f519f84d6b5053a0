"""`python -m bench.report`: writes the results of a run into docs/performance.md, with its plots (needs matplotlib)."""

import argparse
import re
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.results import LIMIT, OURS, PEER, Curve, Figure, Results
from bench.scene import Sizes
from bench.table import all_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
BEGIN, END = "<!-- results: written by `python -m bench.report` -->", "<!-- end of results -->"

HEADINGS = ("", "ours", "aim", "", "share of the limit", "peer", "ours : peer")


def lines_of(results: Results, sizes: Sizes) -> list[tuple[str, ...]]:
    """The table: one line for each figure that was measured."""
    return [_line(results, figure) for row in all_rows(sizes) for figure in row.figures if figure.key in results.values]


def _line(results: Results, figure: Figure) -> tuple[str, ...]:
    ours, peer, limit = (results.median(figure.key, who) for who in (OURS, PEER, LIMIT))
    share = None if ours is None or limit is None else figure.ratio(ours, limit)
    times = None if ours is None or peer is None else figure.ratio(ours, peer)
    shown = limit if ours is None else ours
    return (
        figure.title,
        _value(figure, shown),
        "" if figure.target is None else f"{'≥' if figure.better == 'higher' else '≤'} {figure.target:g}",
        _verdict(figure, ours, limit),
        "" if share is None else f"{100 * share:.0f} % of {_value(figure, limit)}",
        _value(figure, peer),
        "" if times is None else f"{times:.2g}",
    )


def _verdict(figure: Figure, ours: float | None, limit: float | None) -> str:
    reached = None if ours is None else figure.reached(ours)
    if reached is None:
        return ""
    if reached:
        return "yes"
    return "**no**" if limit is None or figure.reached(limit) else "**no**, nor is it by the limit"


def _value(figure: Figure, value: float | None) -> str:
    if value is None:
        return ""
    space = "" if figure.unit in ("", "/s") else " "
    return f"{value:.{figure.digits}f}{space}{figure.unit}"


def show(results: Results, sizes: Sizes) -> None:
    """Print the table."""
    table = Table(title=f"{results.machine}, {results.server}, load before {results.load_before}")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for line in lines_of(results, sizes):
        table.add_row(*line)
    # Lines that are too long for a terminal are for a file.
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for failure in results.failures:
        console.print(f"not measured: {failure}", markup=False)


def markdown(results: Results, sizes: Sizes) -> str:
    """The part of the page that a run makes."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *lines_of(results, sizes)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    plots = "\n".join(f"![{curve.title}](performance/{name}.svg)" for name, curve in results.curves.items())
    taken = (
        f"Taken on {results.machine}, with the API server ({results.server}), the driver and the load on it as well; "
        f"medians of {results.rounds} rounds where a measurement is repeated; "
        f"the system's load before it was {results.load_before}."
    )
    failures = "".join(f"\n- not measured: {failure}" for failure in results.failures)
    return f"{BEGIN}\n\n{taken}\n\n{table}\n{failures}\n{plots}\n\n{END}"


def write(results: Results, page: Path, plots: Path) -> None:
    """Put the results into the page, in place of those of an earlier run, and draw their curves."""
    text = page.read_text()
    made = markdown(results, Sizes())
    page.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: made, text, flags=re.DOTALL))
    plots.mkdir(parents=True, exist_ok=True)
    for name, curve in results.curves.items():
        draw(curve, plots / f"{name}.svg")


def draw(curve: Curve, path: Path) -> None:
    """Draw the lines of a curve into a file."""
    import matplotlib as mpl  # noqa: PLC0415 - only here, and not among what the tests need
    from matplotlib.figure import Figure as Plot  # noqa: PLC0415

    # The same curve gives the same file.
    mpl.rcParams["svg.hashsalt"] = curve.title
    plot = Plot(figsize=(7, 4), layout="constrained")
    axes = plot.subplots()
    for name, points in curve.lines.items():
        axes.plot(*zip(*points, strict=True), label=name, marker="o" if len(points) < 10 else None)
    axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    plot.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plots", type=Path, default=PLOTS)
    arguments = parser.parse_args()
    write(msgspec.json.decode(arguments.results.read_bytes(), type=Results), arguments.page, arguments.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
