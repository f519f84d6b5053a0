"""Credentials look like nothing in any text."""

from dataclasses import dataclass

import pytest

from snapshotter.kube.secrets import Credentials

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
