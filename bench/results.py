"""What is measured, and what came out: values that are kept as JSON and shown by `bench.report`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

OURS, PEER, LIMIT = "ours", "peer", "limit"

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number about a program."""

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    target: float | None = None
    """At least, or at most."""
    digits: int = 1

    def reached(self, value: float) -> bool | None:
        """None: nothing is aimed at."""
        if self.target is None:
            return None
        # What is shown is what counts: a figure is as good as its digits.
        shown = round(value, self.digits)
        return shown >= self.target if self.better == "higher" else shown <= self.target

    def ratio(self, value: float, other: float) -> float | None:
        """How many times as good a value is as another; None where one of them is nothing."""
        if not value or not other:
            return None
        return value / other if self.better == "higher" else other / value


class Curve(msgspec.Struct, frozen=True):
    """Points to be drawn."""

    title: str
    x: str
    y: str
    lines: dict[str, Points]


class Results(msgspec.Struct):
    """One run of the measurements."""

    machine: str
    """Its size, and nothing else."""
    server: str
    rounds: int
    load_before: float
    """The system's load when it began: above a half other things were going on."""
    values: dict[str, dict[str, list[float]]] = {}
    """By figure and by who was measured: one value for each round."""
    curves: dict[str, Curve] = {}
    failures: list[str] = []
    """Measurements that did not come to an end, and why."""

    def add(self, who: str, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self.values.setdefault(key, {}).setdefault(who, []).append(value)

    def draw(self, key: str, title: str, axes: tuple[str, str], lines: Mapping[str, Points]) -> None:
        """Draw lines, in place of those of the same name from an earlier round."""
        known = self.curves[key].lines if key in self.curves else {}
        self.curves[key] = Curve(title, *axes, {**known, **lines})

    def median(self, key: str, who: str) -> float | None:
        values = self.values.get(key, {}).get(who)
        return statistics.median(values) if values else None


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def bucket_quantile(counts: Mapping[float, float], part: float) -> float:
    """The same of a histogram, given by its bounds: how many values are no larger. Linear within a bucket.

    Gives the largest finite bound if the value lies beyond it.
    """
    wanted = part * max(counts.values())
    lower, below = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= wanted and count > below:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower
