"""The certificate of a server: exchanged in every way in which files change, and never half."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from snapshotter.metrics import WebhookMetrics
from snapshotter.web import certificate
from snapshotter.web.certificate import BadPair, ServedCertificate
from tests.certificates import DAY, EXCHANGES, Files, Pair, files_in, make_pair
from tests.handshakes import shown

Exchange = Callable[[Files, Pair], None]


@pytest.fixture
def metrics() -> WebhookMetrics:
    return WebhookMetrics(CollectorRegistry())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "certs").mkdir()
    return files_in(tmp_path / "certs")


def serving(files: Files, metrics: WebhookMetrics) -> ServedCertificate:
    return ServedCertificate(files.certificate, files.key, metrics)


def reloads(metrics: WebhookMetrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("snapshotter_webhook_certificate_reloads_total", {"outcome": outcome})


def expiry(metrics: WebhookMetrics) -> float | None:
    return metrics.registry.get_sample_value("snapshotter_webhook_certificate_expiry_timestamp_seconds")


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_each_exchange_is_seen_again_and_again(files: Files, metrics: WebhookMetrics, exchange: Exchange) -> None:
    first = make_pair()
    files.write(first)
    served = serving(files, metrics)
    assert shown(served) == first.der
    for number in range(1, 4):
        pair = make_pair(end=datetime.now(UTC).replace(microsecond=0) + number * DAY)
        exchange(files, pair)
        served.look()
        assert shown(served) == pair.der
        assert served.trouble is None
        assert reloads(metrics, "success") == number
        assert expiry(metrics) == pytest.approx(time.time() + number * 86400, abs=60)


def test_looking_at_unchanged_files_does_nothing(files: Files, metrics: WebhookMetrics) -> None:
    files.write(make_pair())
    served = serving(files, metrics)
    for _ in range(3):
        served.look()
    assert (reloads(metrics, "success"), reloads(metrics, "failure")) == (0, 0)


def test_between_the_two_files_of_a_new_pair_the_old_one_is_shown(files: Files, metrics: WebhookMetrics) -> None:
    old, new = make_pair(), make_pair()
    files.write(old)
    served = serving(files, metrics)
    files.certificate.write_bytes(new.certificate)
    served.look()
    # They may be in the middle of being written, which is nothing to tell of.
    assert (served.trouble, reloads(metrics, "failure")) == (None, 0)
    for _ in range(3):
        served.look()
        assert shown(served) == old.der
    assert served.trouble is not None
    assert "are not a certificate and its key: key values mismatch" in served.trouble
    # The same trouble is told of once in a while.
    assert reloads(metrics, "failure") == 1
    files.key.write_bytes(new.key)
    served.look()
    assert shown(served) == new.der
    assert served.trouble is None


def test_files_that_are_gone_for_long_are_missed_and_found_again(files: Files, metrics: WebhookMetrics) -> None:
    old, new = make_pair(), make_pair()
    files.write(old)
    served = serving(files, metrics)
    files.key.unlink()
    files.certificate.unlink()
    served.look()
    served.look()
    assert shown(served) == old.der
    assert served.trouble == f"{files.certificate} cannot be read"
    files.write(new)
    served.look()
    assert shown(served) == new.der


def test_the_old_pair_may_come_back(files: Files, metrics: WebhookMetrics) -> None:
    pair = make_pair()
    files.write(pair)
    served = serving(files, metrics)
    troubled = []
    for key in (b"nonsense", pair.key):
        files.key.write_bytes(key)
        served.look()
        served.look()
        troubled.append(served.trouble is not None)
    assert troubled == [True, False]
    assert shown(served) == pair.der


def test_what_cannot_be_used_is_told_of_again_after_a_while(
    files: Files, metrics: WebhookMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(make_pair())
    served = serving(files, metrics)
    files.key.write_bytes(b"nonsense")
    monkeypatch.setattr(certificate, "TELL_AGAIN_SECONDS", 0.0)
    for _ in range(3):
        served.look()
    assert reloads(metrics, "failure") == 2


PAIR, OTHER = make_pair(), make_pair()
UNUSABLE: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "no certificate": (None, PAIR.key, "tls.crt cannot be read"),
    "no key": (PAIR.certificate, None, "tls.key cannot be read"),
    "an empty certificate": (b"", PAIR.key, "tls.crt: there is no certificate in it"),
    "a certificate that is none": (
        b"-----BEGIN CERTIFICATE-----\naaaa\n-----END CERTIFICATE-----\n",
        PAIR.key,
        "tls.crt: what is in it is not a certificate",
    ),
    "an empty key": (PAIR.certificate, b"", "tls.key are not a certificate and its key"),
    "the key of another": (PAIR.certificate, OTHER.key, "tls.key are not a certificate and its key: key values"),
    "files that are mixed up": (PAIR.key, PAIR.certificate, "tls.crt: there is no certificate in it"),
    "a key that needs a password": (
        (locked := make_pair(password=b"secret")).certificate,
        locked.key,
        "tls.key are not a certificate and its key",
    ),
}


@pytest.mark.parametrize(("crt", "key", "text"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_without_a_usable_pair_there_is_no_start(
    files: Files, metrics: WebhookMetrics, crt: bytes | None, key: bytes | None, text: str
) -> None:
    for file, content in ((files.certificate, crt), (files.key, key)):
        if content is not None:
            file.write_bytes(content)
    with pytest.raises(BadPair) as refusal:
        serving(files, metrics)
    assert text in str(refusal.value)


def test_a_chain_is_shown_whole_and_its_first_certificate_counts(files: Files, metrics: WebhookMetrics) -> None:
    pair = make_pair()
    files.certificate.write_bytes(pair.certificate + OTHER.certificate)
    files.key.write_bytes(pair.key)
    assert shown(serving(files, metrics)) == pair.der


def test_a_certificate_that_is_valid_is_no_problem(files: Files, metrics: WebhookMetrics) -> None:
    files.write(make_pair())
    assert serving(files, metrics).problems() == []


def test_one_that_has_expired_is_a_problem(files: Files, metrics: WebhookMetrics) -> None:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    files.write(make_pair(begin=end - DAY, end=end))
    assert serving(files, metrics).problems() == [f"the certificate has expired at {end.isoformat()}"]


def test_one_that_is_not_valid_yet_is_a_problem(files: Files, metrics: WebhookMetrics) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    files.write(make_pair(begin=begin, end=begin + DAY))
    assert serving(files, metrics).problems() == [f"the certificate is not valid before {begin.isoformat()}"]
