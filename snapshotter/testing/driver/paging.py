"""Pages of a list, in the order in which its records were made.

A token is the place of the last record that was given: records may come and go between two pages.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple

import grpc

from snapshotter.testing.driver.records import Record
from snapshotter.testing.driver.refusal import Refused, invalid


class Page(NamedTuple, Generic[Record]):
    records: list[Record]
    next_token: str
    """Empty on the last page."""


def page(records: Iterable[Record], token: str, max_entries: int, page_size: int) -> Page[Record]:
    """At most this many of the records that follow the token; 0 is no limit."""
    if max_entries < 0:
        raise invalid("max_entries is negative")
    if token and not (token.isascii() and token.isdigit()):
        raise Refused(grpc.StatusCode.ABORTED, f"not a starting_token: {token!r}")
    rest = [record for record in records if record.sequence > int(token or 0)]
    limit = min((most for most in (max_entries, page_size) if most), default=len(rest))
    if limit >= len(rest):
        return Page(rest, "")
    return Page(rest[:limit], str(rest[limit - 1].sequence))
