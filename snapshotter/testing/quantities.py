"""Sizes as Kubernetes writes them, read as numbers of bytes."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([KMGTPE]i)|([mkMGTPE])|[eE]([+-]?[0-9]+))?")
_THOUSANDS: Final = {"m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def size_bytes(written: str | int) -> int:
    """The number of bytes of `1Gi`, `1.5G`, `1e9` or `1024`, rounded up. Raises ValueError."""
    found = _QUANTITY.fullmatch(str(written))
    if found is None:
        raise ValueError(f"not a size: {written!r}")
    number, binary, decimal, exponent = found.groups()
    size = Decimal(number)
    if binary:
        size *= 1024 ** ("KMGTPE".index(binary[0]) + 1)
    elif decimal:
        size *= Decimal(1000) ** _THOUSANDS[decimal]
    elif exponent:
        size *= Decimal(10) ** int(exponent)
    return int(size.to_integral_value(ROUND_CEILING))
