"""From when until when a certificate is valid, read from its bytes."""

from base64 import encodebytes
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.web.validity import BadCertificate, Validity, validity
from tests.certificates import Pair, make_pair

TIMES = {
    "a few years": (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    "times in the form for the years after 2049": (
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
    ),
    "for ever": (datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
}


@pytest.mark.parametrize(("begin", "end"), TIMES.values(), ids=TIMES.keys())
def test_the_validity_is_what_the_certificate_says(begin: datetime, end: datetime) -> None:
    assert validity(make_pair(begin=begin, end=end).certificate) == Validity(begin, end)


def test_of_a_chain_the_first_certificate_counts() -> None:
    begin, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    server, issuer = make_pair(begin=begin, end=end), make_pair()
    text = b"about the server\n" + server.key + server.certificate + issuer.certificate
    assert validity(text) == Validity(begin, end)


def test_a_long_name_makes_a_long_certificate() -> None:
    pair = make_pair(name="a" * 63)
    assert len(pair.der) > 255
    assert validity(pair.certificate).end > validity(pair.certificate).begin


@pytest.mark.parametrize("content", [b"", b"text", make_pair().key, b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_is_told(content: bytes) -> None:
    with pytest.raises(BadCertificate, match="there is no certificate in it"):
        validity(content)


def in_pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"


def test_nothing_else_comes_of_bytes_than_a_validity_or_a_refusal() -> None:
    pair: Pair = make_pair()

    @settings(deadline=None)
    @given(
        st.binary(max_size=100)
        | st.integers(0, len(pair.der)).map(lambda length: pair.der[:length])
        | st.tuples(st.integers(0, len(pair.der) - 1), st.integers(0, 255)).map(
            lambda change: pair.der[: change[0]] + bytes([change[1]]) + pair.der[change[0] + 1 :]
        )
    )
    def check(der: bytes) -> None:
        try:
            found = validity(in_pem(der))
        except BadCertificate:
            return
        assert isinstance(found, Validity)

    check()


def test_what_is_not_base64_is_not_a_certificate() -> None:
    with pytest.raises(BadCertificate, match="what is in it is not a certificate"):
        validity("-----BEGIN CERTIFICATE-----\nnür Text\n-----END CERTIFICATE-----\n".encode())
