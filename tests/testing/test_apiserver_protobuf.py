"""Bodies in Kubernetes' protobuf encoding."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.protobuf import MAGIC, ProtobufError, decoded


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        more = value >> 7
        out.append((value & 0x7F) | (0x80 if more else 0))
        value = more
        if not value:
            return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def entry(field: int, key: str, value: bytes | str) -> bytes:
    return data(field, data(1, key) + data(2, value))


def body(api_version: str, kind: str, message: bytes) -> bytes:
    return MAGIC + data(1, data(1, api_version) + data(2, kind)) + data(2, message)


def test_a_secret() -> None:
    metadata = data(1, "s") + data(3, "ns") + entry(11, "app", "web") + data(14, "example.com/f")
    message = data(1, metadata) + entry(2, "password", b"hunter2") + data(3, "Opaque")
    assert decoded(body("v1", "Secret", message)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "ns", "labels": {"app": "web"}, "finalizers": ["example.com/f"]},
        "data": {"password": base64.b64encode(b"hunter2").decode()},
        "type": "Opaque",
    }


def test_an_event() -> None:
    time = number(1, 1704067200)
    message = (
        data(1, data(1, "e"))
        + data(2, data(1, "Pod") + data(3, "p"))
        + data(6, time)
        + number(8, 3)
        + data(10, time + number(2, 5_000))
        + data(14, "me")
    )
    assert decoded(body("v1", "Event", message)) == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "firstTimestamp": "2024-01-01T00:00:00Z",
        "count": 3,
        "eventTime": "2024-01-01T00:00:00.000005Z",
        "reportingComponent": "me",
    }


def test_what_is_empty_is_absent() -> None:
    zero_time = number(1, (1 << 64) - 62135596800)
    message = data(1, data(1, "e") + data(2, "") + data(8, b"")) + data(6, zero_time) + data(2, b"")
    assert decoded(body("v1", "Event", message)) == {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}}


def test_unknown_fields_are_skipped() -> None:
    odd = varint(99 << 3 | 5) + bytes(4) + varint(98 << 3 | 1) + bytes(8) + number(97, 1)
    assert decoded(body("v1", "ConfigMap", odd + data(1, data(1, "c"))))["metadata"] == {"name": "c"}


BROKEN = {
    "an unknown kind": body("v1", "Gadget", b""),
    "a body cut off": body("v1", "Secret", data(1, data(1, "s")))[:-1],
    "a number for a text": body("v1", "Secret", data(1, number(1, 5))),
    "an unknown wire type": MAGIC + b"\x0b",
    "nothing": MAGIC,
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtobufError):
        decoded(raw)


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), max_size=4))
def test_a_map_is_read_as_it_was_written(given_map: dict[str, str]) -> None:
    message = b"".join(entry(2, key, value) for key, value in given_map.items())
    assert decoded(body("v1", "ConfigMap", message)).get("data", {}) == given_map


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(ValueError):
        decoded(body("v1", "Secret", raw))
