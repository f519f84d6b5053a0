"""Sizes in the form of Kubernetes quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.plan.quantities import is_zero, possible, quantity

WRITTEN = {
    0: "0",
    1: "1",
    999: "999",
    1000: "1k",
    1001: "1001",
    1023: "1023",
    1024: "1Ki",
    1500: "1500",
    1536: "1536",
    1048576: "1Mi",
    1073741824: "1Gi",
    1610612736: "1536Mi",
    1 << 40: "1Ti",
    1 << 50: "1Pi",
    1 << 60: "1Ei",
    (1 << 60) * 3: "3Ei",
    1 << 62: "4Ei",
}


@pytest.mark.parametrize(("size", "written"), WRITTEN.items(), ids=WRITTEN.values())
def test_a_size_is_written_in_the_canonical_form(size: int, written: str) -> None:
    """Case 57."""
    assert quantity(size) == written


@given(st.integers(0, (1 << 63) - 1))
def test_what_is_written_is_the_size(size: int) -> None:
    suffixes = {"k": 1000, **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}}
    written = quantity(size)
    number = written.rstrip("kKMGTPEi")
    assert int(number) * suffixes.get(written[len(number) :], 1) == size


@pytest.mark.parametrize(("size", "known"), [(None, None), (-1, None), (0, 0), (5, 5)])
def test_nothing_is_smaller_than_nothing(size: int | None, known: int | None) -> None:
    assert possible(size) == known


@pytest.mark.parametrize("written", ["0", 0, "0Gi", "00", "0.0", "-0", "0e3", "0E3"])
def test_nothing_is_nothing_however_it_is_written(written: str | int) -> None:
    assert is_zero(written)


@pytest.mark.parametrize("written", ["1", 7, "0.1", "10Gi", "1e0", -1])
def test_something_is_something(written: str | int) -> None:
    assert not is_zero(written)
