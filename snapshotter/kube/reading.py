"""Reads JSON of the API server into our structs, whatever it holds: there is one way in which that fails.

A stored object may be odd in places that are not ours to judge, and must not keep others from being read. What Go's
encoding/json lets pass, upstream lets pass: it is let pass here.
"""

import json
import re
from typing import Any, Final, Generic, TypeVar

import msgspec

from snapshotter.plan.failure import one_line

T = TypeVar("T")

DEEPEST: Final = 100
"""How deep values may be nested before they are left out. What we read is ten deep at most."""
LONGEST_REASON: Final = 300
"""Characters of a reason. It may hold what the object has in the place of a word that we know."""


class Unreadable(Exception):
    """The JSON does not hold what we need; the text says where, on one line."""


class Reader(Generic[T]):
    """Reads JSON into values of one type."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, raw: bytes | msgspec.Raw) -> T:
        """Raises `Unreadable`."""
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            reason = _reason(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raw = mended(bytes(raw))
            try:
                return self._decoder.decode(raw)
            except msgspec.DecodeError as error:
                reason = _reason(error)
        if "got `null`" in reason:
            return self._read_without_nulls(bytes(raw), reason)
        raise Unreadable(reason)

    def _read_without_nulls(self, raw: bytes, reason: str) -> T:
        try:
            found = json.dumps(_without_nulls(json.loads(mended(raw))), allow_nan=False)
        except ValueError:
            # A number that Python does not read, or cannot write again.
            raise Unreadable(reason) from None
        try:
            return self._decoder.decode(found)
        except msgspec.DecodeError as error:
            raise Unreadable(_reason(error)) from None


def _without_nulls(value: Any) -> Any:
    """A null is as good as no field at all: so Go reads it into what is not a pointer."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


_STRINGS_AND_BRACKETS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_ESCAPES: Final = re.compile(
    rb"(?P<good>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)


def mended(raw: bytes) -> bytes:
    """The JSON without what makes decoders give up on all of it: bytes that are no UTF-8, halves of surrogate pairs,
    and what is nested deeper than `DEEPEST`. What is no JSON stays none.
    """
    text = raw.decode(errors="replace").encode()
    return _flattened(_ESCAPES.sub(lambda found: found["good"] or rb"\ufffd", text))


def _flattened(raw: bytes) -> bytes:
    """With null in the place of what is nested too deeply."""
    parts: list[bytes] = []
    depth = kept_up_to = 0
    for token in _STRINGS_AND_BRACKETS.finditer(raw):
        match token.group()[:1]:
            case b"[" | b"{":
                depth += 1
                if depth == DEEPEST + 1:
                    parts += raw[kept_up_to : token.start()], b"null"
            case b"]" | b"}":
                depth -= 1
                if depth == DEEPEST:
                    kept_up_to = token.end()
    return b"".join([*parts, raw[kept_up_to:] if depth <= DEEPEST else b""])


def _reason(error: Exception) -> str:
    text = str(error)
    if len(text) > LONGEST_REASON:
        # The end says where.
        half = LONGEST_REASON // 2
        text = f"{text[:half]}…{text[1 - half :]}"
    return one_line(text)


class _Spec(msgspec.Struct):
    driver: Any = None


class _Content(msgspec.Struct):
    spec: _Spec | None = None


_contents: Final = Reader(_Content)


def driver_of(raw: bytes | msgspec.Raw) -> str | None:
    """The driver that a content names, whatever else may be wrong with it; None: that cannot be told either."""
    try:
        spec = _contents.read(raw).spec
    except Unreadable:
        return None
    return spec.driver if spec is not None and isinstance(spec.driver, str) else None
