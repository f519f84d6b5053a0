"""Credentials look like nothing in any text."""

import base64
import json
from dataclasses import dataclass

import pytest

from snapshotter.kube.errors import ApiError, Malformed
from snapshotter.kube.secrets import Credentials, Secrets, UnusableSecret
from snapshotter.testing.apiserver import ApiServer
from tests.kube.conftest import Connect

VALUE = "correct-horse-battery-staple"
CREDENTIALS = Credentials({"password": VALUE})


@dataclass(frozen=True)
class Holder:
    credentials: Credentials


TEXTS = {
    "repr": repr(CREDENTIALS),
    "str": str(CREDENTIALS),
    "format": f"{CREDENTIALS}",
    "percent": "%r %s" % (CREDENTIALS, CREDENTIALS),  # noqa: UP031 (that form is what is tried)
    "inside of another": repr(Holder(CREDENTIALS)),
    "inside of a container": str([CREDENTIALS, {"a": CREDENTIALS}]),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_promise_15_no_text_of_credentials_shows_a_value(text: str) -> None:
    assert VALUE not in text
    assert "***stripped***" in text


def test_credentials_are_the_mapping_that_is_sent() -> None:
    assert dict(CREDENTIALS) == {"password": VALUE}
    assert len(CREDENTIALS) == 1


ENCODED = base64.b64encode(VALUE.encode()).decode()
ODD: dict[str, tuple[bytes, type[ApiError]]] = {
    "no base64": (json.dumps({"data": {"a": VALUE}}).encode(), UnusableSecret),
    "no base64, and not even ASCII": (json.dumps({"data": {"a": f"{VALUE}é"}}).encode(), UnusableSecret),
    "half of a surrogate pair": (b'{"data":{"a":"%s\\ud800"}}' % VALUE.encode(), UnusableSecret),
    "bytes that are no text": (
        json.dumps({"data": {"a": base64.b64encode(b"\xff" + VALUE.encode()).decode()}}).encode(),
        UnusableSecret,
    ),
    "the JSON is no UTF-8": (b'{"data":{"a":"%s\xff"}}' % VALUE.encode(), UnusableSecret),
    "a value that is no text": (b'{"data":{"a":["%s"]}}' % VALUE.encode(), Malformed),
    "values that are no object": (b'{"data":"%s"}' % VALUE.encode(), Malformed),
    "no JSON": (VALUE.encode(), Malformed),
    "an enormous key": (json.dumps({"data": {"k" * 1_000_000: VALUE}}).encode(), UnusableSecret),
}


@pytest.mark.parametrize(("raw", "error"), ODD.values(), ids=ODD.keys())
async def test_promise_15_an_odd_secret_is_refused_and_no_value_is_shown(
    server: ApiServer, connected: Connect, raw: bytes, error: type[ApiError]
) -> None:
    server.plant("secrets", "odd", raw, "default")
    async with connected() as connection:
        with pytest.raises(error, match="Secret default/odd") as refused:
            await Secrets(connection).read("default", "odd")
    told = str(refused.value)
    assert VALUE not in told
    assert ENCODED not in told
    assert len(told) < 1000
    assert refused.value.__cause__ is None


SOUND: dict[str, bytes] = {
    "no values": b"{}",
    "null for values": b'{"data":null}',
    "odd things beside the values": b'{"metadata":5,"data":{},"x":%s}' % (b"[" * 5000 + b"]" * 5000),
}


@pytest.mark.parametrize("raw", SOUND.values(), ids=SOUND.keys())
async def test_what_is_odd_beside_the_values_does_not_matter(server: ApiServer, connected: Connect, raw: bytes) -> None:
    server.plant("secrets", "odd", raw, "default")
    async with connected() as connection:
        assert dict(await Secrets(connection).read("default", "odd")) == {}
