"""Kubernetes quantities (resource.Quantity), as far as sizes need them."""

import re
from typing import Final

_SUFFIXES: Final = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_KI: Final = 1024


def quantity(size_bytes: int) -> str:
    """A number of bytes in the canonical form: the largest binary suffix that leaves a whole number.

    Below one Ki the form is a decimal one, in which a thousand is `1k`.
    """
    if size_bytes < _KI:
        return "1k" if size_bytes == 1000 else str(size_bytes)
    number, suffix = size_bytes, ""
    for next_suffix in _SUFFIXES:
        if number % _KI:
            break
        number, suffix = number // _KI, next_suffix
    return f"{number}{suffix}"


def possible(size_bytes: int | None) -> int | None:
    """A size as somebody has written it down; None where none is known, since nothing is smaller than nothing."""
    return None if size_bytes is None or size_bytes < 0 else size_bytes


def is_zero(written: str | int) -> bool:
    """Whether a quantity, as somebody has written it, is nothing."""
    return re.search("[1-9]", re.split("[a-zA-Z]", str(written))[0]) is None
