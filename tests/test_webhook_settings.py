"""What the webhook can be told, and what of it cannot be meant."""

from dataclasses import replace

import pytest

from snapshotter.cli.flags import parse
from snapshotter.settings import (
    AdmissionSettings,
    EndSettings,
    IgnoredSettings,
    LogSettings,
    TlsSettings,
    WebhookSettings,
    WebSettings,
)

TLS = TlsSettings("tls.crt", "tls.key")
DEFAULTS = WebhookSettings(tls=TLS)


def test_upstreams_command_line_is_taken_in_gos_forms() -> None:
    arguments = [
        "-tls-cert-file=tls.crt", "--tls-private-key-file", "tls.key", "--port=8443", "-automaxprocs", "--v=5",
        "--vmodule=a=1", "--log-flush-frequency=1m", "--logging-format=text", "--log-text-split-stream=false",
        "--log-text-info-buffer-size=0",
    ]  # fmt: skip
    found = parse("snapshot-conversion-webhook", WebhookSettings, arguments, {})
    ignored = IgnoredSettings(automaxprocs=True, vmodule="a=1", log_flush_frequency=60.0)
    assert found == WebhookSettings(
        tls=replace(TLS, port=8443), logs=LogSettings(verbosity=5, log_format="text"), ignored=ignored
    )
    assert found.mistakes() == []


def test_what_upstream_has_not() -> None:
    arguments = [
        "--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key", "--http-endpoint=:8080", "--metrics-path=/m",
        "--enable-default-class-admission", "--kubeconfig=config", "--shutdown-delay=0", "--shutdown-grace-period=1m",
    ]  # fmt: skip
    found = parse("snapshot-conversion-webhook", WebhookSettings, arguments, {})
    assert found == WebhookSettings(
        tls=TLS,
        admission=AdmissionSettings(enabled=True, kubeconfig="config"),
        end=EndSettings(delay=0.0, grace=60.0),
        web=WebSettings(":8080", "/m"),
    )
    assert found.mistakes() == []


def test_the_defaults_ask_for_the_port_and_nothing_of_the_api_server() -> None:
    assert (DEFAULTS.tls.port, DEFAULTS.admission.enabled, DEFAULTS.web.address) == (443, False, "")
    assert DEFAULTS.mistakes() == []


MISTAKES: dict[str, tuple[WebhookSettings, str, int]] = {
    "no certificate": (WebhookSettings(tls=TlsSettings("", "tls.key")), "--tls-cert-file is required", 255),
    "no key": (WebhookSettings(tls=TlsSettings("tls.crt", "")), "--tls-private-key-file is required", 255),
    "a port that is none": (replace(DEFAULTS, tls=replace(TLS, port=65536)), "--port must be from 0 to 65535", 1),
    "a negative port": (replace(DEFAULTS, tls=replace(TLS, port=-1)), "--port must be from 0 to 65535", 1),
    "a negative delay": (replace(DEFAULTS, end=EndSettings(delay=-1.0)), "--shutdown-delay must not", 1),
    "a negative grace": (replace(DEFAULTS, end=EndSettings(grace=-1.0)), "--shutdown-grace-period must not", 1),
    "a log of another form": (
        replace(DEFAULTS, logs=LogSettings(log_format="xml")),
        '--logging-format must be text or json, not "xml"',
        1,
    ),
    "a log on two streams": (
        replace(DEFAULTS, ignored=IgnoredSettings(text_split_stream=True)),
        "--log-text-split-stream is not available",
        1,
    ),
    "no address": (replace(DEFAULTS, web=WebSettings("8080")), '"8080" is not an address of the form host:port', 1),
}


@pytest.mark.parametrize(("given", "text", "code"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_meant_is_said(given: WebhookSettings, text: str, code: int) -> None:
    [mistake] = given.mistakes()
    assert text in mistake.text
    assert mistake.exit_code == code
