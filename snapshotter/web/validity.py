"""From when until when an X.509 certificate is valid. Python's ssl module tells it of a peer's certificate alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import PEM_cert_to_DER_cert
from typing import Final

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Tags of DER (X.690, 8.1.2) as far as they stand on the way to the two times (RFC 5280, 4.1).
_INTEGER: Final = 0x02
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0


class BadCertificate(ValueError):
    """What is given is not a certificate in PEM form."""


@dataclass(frozen=True, slots=True)
class Validity:
    begin: datetime
    end: datetime
    """The last moment."""


def validity(pem: bytes) -> Validity:
    """The validity of the first certificate in a file. Raises `BadCertificate`."""
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise BadCertificate("there is no certificate in it")
    try:
        return _validity(PEM_cert_to_DER_cert(found.group().decode("ascii")))
    except (ValueError, IndexError, StopIteration) as error:
        raise BadCertificate("what is in it is not a certificate") from error


def _validity(der: bytes) -> Validity:
    signed = _expect(_SEQUENCE, next(_elements(_expect(_SEQUENCE, next(_elements(der))))))
    fields = _elements(signed)
    first = next(fields)
    if first.tag == _VERSION:
        first = next(fields)
    _expect(_INTEGER, first)  # the serial number; the signature's algorithm and the issuer follow
    for _ in range(2):
        _expect(_SEQUENCE, next(fields))
    begin, end = _elements(_expect(_SEQUENCE, next(fields)))
    return Validity(_time(begin), _time(end))


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    content: bytes


def _elements(der: bytes) -> Iterator[_Element]:
    """The elements that stand one after the other."""
    position = 0
    while position < len(der):
        tag, length = der[position], der[position + 1]
        position += 2
        if length >= 0x80:
            size = length - 0x80
            length = int.from_bytes(der[position : position + size], "big")
            position += size
        yield _Element(tag, der[position : position + length])
        position += length


def _expect(tag: int, element: _Element) -> bytes:
    if element.tag != tag:
        raise ValueError("another element was expected")
    return element.content


def _time(element: _Element) -> datetime:
    """Times are in UTC and to the second; two digits of a year are of 1950 to 2049 (RFC 5280, 4.1.2.5)."""
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("a time was expected")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
