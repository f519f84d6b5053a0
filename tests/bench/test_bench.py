"""The measurements, in short and on the stand-in: that they can be taken and shown. Nothing is said of speed."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest

from bench import report
from bench.results import LIMIT, OURS, PEER, Curve, Figure, Results, bucket_quantile, quantile
from bench.scene import SHORT, Sizes
from bench.table import all_rows

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "csi-snapshotter"

USUAL = ("backlog", "groups", "deletions", "relist", "driver")
"""The measurements of the short form; `SNAPSHOTTER_ALL_MEASUREMENTS=1` takes all."""
ROWS = tuple(row.name for row in all_rows(SHORT)) if os.environ.get("SNAPSHOTTER_ALL_MEASUREMENTS") else USUAL


@pytest.mark.timeout(600 if ROWS is not USUAL else 120)
async def test_each_measurement_gives_all_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--short", "--rounds", "1", "--results", file, "--peer", COMMAND),
        *(word for name in ROWS for word in ("--only", name)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    results = msgspec.json.decode(file.read_bytes(), type=Results)
    assert results.failures == []
    for row in all_rows(SHORT):
        if row.name in ROWS:
            measured = {who for figure in row.figures for who in results.values[figure.key]}
            wanted = {LIMIT} if row.limit else set()
            wanted |= {OURS, PEER} if row.measure and row.for_peers else {OURS} if row.measure else set()
            assert measured == wanted
    # What is counted and not timed is the same on every machine.
    for key, expected in {
        "backlog.requests": 3.0,
        "backlog.calls": 1.0,
        "ready.calls": 0.0,
        "ready.requests": 0.0,
    }.items():
        assert results.median(key, OURS) == expected
    assert "not measured" not in said.decode()


def results() -> Results:
    made = Results(machine="2 cores, 24 GiB", server="kube-apiserver", rounds=3, load_before=0.1)
    for rate in (100.0, 300.0, 250.0):
        made.add(OURS, {"backlog.rate": rate})
    made.add(PEER, {"backlog.rate": 125.0, "backlog.cpu": 3.0})
    made.add(LIMIT, {"backlog.rate": 500.0})
    made.add(OURS, {"backlog.cpu": 1.5})
    made.draw("backlog", "A backlog", ("seconds", "contents"), {"ours": [(0.0, 0.0), (1.0, 2.0)]})
    return made


def test_a_line_shows_the_median_with_its_aim_its_share_and_its_ratio() -> None:
    rate, cpu = report.lines_of(results(), Sizes())
    assert rate[1:] == ("250/s", "≥ 200", "yes", "50 % of 500/s", "125/s", "2")
    assert cpu[1:] == ("1.50 ms", "≤ 2", "yes", "", "3.00 ms", "2")


VERDICTS = [
    (250.0, 500.0, "yes"),
    (150.0, 500.0, "**no**"),
    (150.0, 170.0, "**no**, nor is it by the limit"),
    (150.0, None, "**no**"),
]


@pytest.mark.parametrize(("ours", "limit", "expected"), VERDICTS)
def test_it_is_said_whether_the_limit_alone_keeps_an_aim_from_being_reached(
    ours: float, limit: float | None, expected: str
) -> None:
    made = Results(machine="", server="", rounds=1, load_before=0.0)
    made.add(OURS, {"backlog.rate": ours})
    if limit is not None:
        made.add(LIMIT, {"backlog.rate": limit})
    ((*_, verdict, _share, _peer, _times),) = report.lines_of(made, Sizes())
    assert verdict == expected


CASES = {
    "at least the aim": (Figure("rate", "", "/s", "higher", 200, 0), 199.7, True),
    "less than the aim": (Figure("rate", "", "/s", "higher", 200, 0), 199.4, False),
    "at most the aim": (Figure("cpu", "", "ms", "lower", 2.0, 2), 2.004, True),
    "more than the aim": (Figure("cpu", "", "ms", "lower", 2.0, 2), 2.01, False),
    "no aim": (Figure("cpu", "", "ms", "lower"), 2.01, None),
}


@pytest.mark.parametrize(("figure", "value", "expected"), CASES.values(), ids=CASES.keys())
def test_a_figure_is_as_good_as_it_is_shown(figure: Figure, value: float, expected: bool | None) -> None:
    assert figure.reached(value) is expected


def test_a_ratio_of_nothing_is_not_shown() -> None:
    assert Figure("calls", "", "", "lower").ratio(0.0, 1.0) is None


def test_a_new_round_draws_its_lines_in_place_of_the_earlier_ones() -> None:
    made = results()
    made.draw("backlog", "A backlog", ("seconds", "contents"), {"peer": [(1.0, 1.0)], "ours": [(2.0, 2.0)]})
    assert made.curves == {
        "backlog": Curve("A backlog", "seconds", "contents", {"ours": [(2.0, 2.0)], "peer": [(1.0, 1.0)]})
    }


def test_of_a_hundred_values_the_99th_part_is_the_last() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([7.0], 0.99)) == (51.0, 100.0, 7.0)


INFINITE = float("inf")
HISTOGRAMS: list[tuple[dict[float, float], float, float]] = [
    ({1.0: 10, 2.0: 20, INFINITE: 20}, 0.5, 1.0),
    ({1.0: 10, 2.0: 20, INFINITE: 20}, 0.75, 1.5),
    ({1.0: 0, 2.0: 0, 4.0: 8, INFINITE: 8}, 0.25, 2.5),
    ({1.0: 1, 2.0: 1, INFINITE: 100}, 0.99, 2.0),
    ({1.0: 0, INFINITE: 0}, 0.99, INFINITE),
]


@pytest.mark.parametrize(("counts", "part", "expected"), HISTOGRAMS)
def test_quantiles_of_a_histogram_are_between_its_bounds(
    counts: dict[float, float], part: float, expected: float
) -> None:
    assert bucket_quantile(counts, part) == expected


def test_the_page_has_the_results_of_the_last_run_and_keeps_its_words(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, plots = tmp_path / "performance.md", tmp_path / "performance"
    page.write_text(f"before\n{report.BEGIN}\nan earlier run\n{report.END}\nafter\n")
    for _ in range(2):
        report.write(results(), page, plots)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "earlier" not in text
    assert text.count("| 250/s | ≥ 200 | yes | 50 % of 500/s | 125/s | 2 |") == 1
    assert "![A backlog](performance/backlog.svg)" in text
    assert "<svg" in (plots / "backlog.svg").read_text()


def test_the_page_of_the_project_has_a_place_for_results() -> None:
    text = report.PAGE.read_text()
    assert text.index(report.BEGIN) < text.index(report.END)
