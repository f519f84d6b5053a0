"""Settings: how values are read, and which of them cannot be meant."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.settings import (
    BadValue,
    DriverSettings,
    Flag,
    KubeSettings,
    LogSettings,
    SidecarSettings,
    SnapshotSettings,
    WebSettings,
    WorkSettings,
    boolean,
    duration,
    host_and_port,
    integer,
    number,
)

DURATIONS = {
    "0": 0.0,
    "-0": 0.0,
    "+0": 0.0,
    "0s": 0.0,
    "5s": 5.0,
    "+5s": 5.0,
    "-5s": -5.0,
    "1m30s": 90.0,
    "-1m30s": -90.0,
    "1h": 3600.0,
    "1h0m0.5s": 3600.5,
    "1.5h": 5400.0,
    ".5s": 0.5,
    "5.s": 5.0,
    "500ms": 0.5,
    "1m500ms": 60.5,
    "3us": 3e-6,
    "3µs": 3e-6,
    "3\u03bcs": 3e-6,
    "7ns": 7e-9,
    "30s1m": 90.0,
    "0005s": 5.0,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items(), ids=DURATIONS.keys())
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-", "+", ".", ".s", "-.s", "5 s", " 5s", "5s ", "5d", "5S", "1e3s", "--5s", "-+5s", "+-5s", "5s-3s",
     "\u0663s", "1_0s", "inf", "5s\n"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not a duration such as 5s or 1m30s"):
        duration(text)


@settings(deadline=None)
@given(
    st.integers(min_value=0, max_value=10**6),
    st.integers(min_value=0, max_value=59),
    st.integers(min_value=0, max_value=59_999),
    st.booleans(),
)
def test_a_duration_in_parts_is_the_sum_of_its_parts(hours: int, minutes: int, millis: int, negative: bool) -> None:
    sign = "-" if negative else ""
    expected = hours * 3600 + minutes * 60 + millis / 1000
    assert abs(duration(f"{sign}{hours}h{minutes}m{millis}ms")) == pytest.approx(expected)
    assert duration(f"{sign}{hours}h{minutes}m{millis}ms") == -duration(
        f"{'' if negative else '-'}{hours}h{minutes}m{millis}ms"
    )


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        found: float | str = duration(text)
    except BadValue as error:
        found = str(error)
    assert isinstance(found, float) or text in found


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("10", 10), ("-1", -1), ("+3", 3), ("999999999999", 999999999999)]
)
def test_whole_numbers(text: str, value: int) -> None:
    assert integer(text) == value


@pytest.mark.parametrize("text", ["", "1.5", "a", "1e3", " 5", "5 ", "1_0", "\u0663", "--1", "5\n"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not a whole number"):
        integer(text)


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("0.5", 0.5), ("-1", -1.0), ("1e3", 1000.0)])
def test_numbers(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "a", "1,5", "5qps"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not a number"):
        number(text)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_what_go_takes_for_true(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_what_go_takes_for_false(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize("text", ["", "yes", "no", "tRUE", "on", "2", " true"])
def test_what_is_neither_true_nor_false_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is neither true nor false"):
        boolean(text)


DEFAULTS = SidecarSettings()

MISTAKES: dict[str, tuple[SidecarSettings, str]] = {
    "no time for the driver": (replace(DEFAULTS, driver=DriverSettings(timeout=0.0)), "--timeout"),
    "a limit without a burst": (replace(DEFAULTS, kube=KubeSettings(qps=5.0, burst=0)), "--kube-api-burst"),
    "no time between looks": (replace(DEFAULTS, kube=KubeSettings(resync_period=0.0)), "--resync-period"),
    "no prefix (case 107)": (replace(DEFAULTS, snapshots=SnapshotSettings(name_prefix="")), "--snapshot-name-prefix"),
    "nothing of the uid": (
        replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=0)),
        "--snapshot-name-uuid-length",
    ),
    "less than nothing of the uid": (
        replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=-2)),
        "--snapshot-name-uuid-length",
    ),
    "no workers": (replace(DEFAULTS, work=WorkSettings(worker_threads=0)), "--worker-threads"),
    "no time before a retry": (replace(DEFAULTS, work=WorkSettings(retry_start=0.0)), "--retry-interval-start"),
    "a first retry later than any": (
        replace(DEFAULTS, work=WorkSettings(retry_start=10.0, retry_max=5.0)),
        "--retry-interval-max",
    ),
    "a negative grace time": (replace(DEFAULTS, work=WorkSettings(shutdown_grace=-1.0)), "--shutdown-grace-period"),
    "two addresses (case 107)": (
        replace(DEFAULTS, web=WebSettings(http_endpoint=":1", metrics_address=":2")),
        "--metrics-address and --http-endpoint cannot both be set",
    ),
    "an address without a port": (
        replace(DEFAULTS, web=WebSettings(http_endpoint="localhost")),
        '"localhost" is not an address',
    ),
    "a port that is none": (replace(DEFAULTS, web=WebSettings(http_endpoint="localhost:http")), "localhost:http"),
    "a port that is too high": (replace(DEFAULTS, web=WebSettings(metrics_address=":65536")), ":65536"),
    "a path without a slash": (replace(DEFAULTS, web=WebSettings(metrics_path="metrics")), "--metrics-path"),
    "a log of another form": (replace(DEFAULTS, logs=LogSettings(log_format="xml")), "--logging-format must be"),
}


@pytest.mark.parametrize(("given_settings", "text"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_meant_is_said(given_settings: SidecarSettings, text: str) -> None:
    [mistake] = given_settings.mistakes()
    assert text in mistake


FINE: dict[str, SidecarSettings] = {
    "the defaults": DEFAULTS,
    "no limit, with any burst": replace(DEFAULTS, kube=KubeSettings(qps=0.0, burst=0)),
    "a limit": replace(DEFAULTS, kube=KubeSettings(qps=5.0, burst=10)),
    "one character of the uid": replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=1)),
    "more characters than a uid has": replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=99)),
    "no grace time": replace(DEFAULTS, work=WorkSettings(shutdown_grace=0.0)),
    "retries at a steady pace": replace(DEFAULTS, work=WorkSettings(retry_start=5.0, retry_max=5.0)),
    "an address": replace(DEFAULTS, web=WebSettings(http_endpoint="127.0.0.1:8080")),
    "all addresses": replace(DEFAULTS, web=WebSettings(http_endpoint=":8080")),
    "the deprecated address": replace(DEFAULTS, web=WebSettings(metrics_address="[::1]:8080")),
    "a log for machines": replace(DEFAULTS, logs=LogSettings(log_format="json")),
}


@pytest.mark.parametrize("given_settings", FINE.values(), ids=FINE.keys())
def test_what_can_be_meant_is_fine(given_settings: SidecarSettings) -> None:
    assert given_settings.mistakes() == []


def test_all_mistakes_are_said_together() -> None:
    wrong = SidecarSettings(driver=DriverSettings(timeout=-1.0), work=WorkSettings(worker_threads=-1))
    assert len(wrong.mistakes()) == 2


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":8080", (None, 8080)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:80", ("::1", 80)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
    ],
)
def test_an_address_has_a_host_and_a_port(address: str, expected: tuple[str | None, int]) -> None:
    assert host_and_port(address) == expected


def test_either_address_is_the_address() -> None:
    assert WebSettings().address == ""
    assert WebSettings(http_endpoint=":1").address == ":1"
    assert WebSettings(metrics_address=":2").address == ":2"


def flags_with_defaults() -> list[tuple[Flag, Any]]:
    return [
        (field.metadata["flag"], getattr(getattr(DEFAULTS, topic.name), field.name))
        for topic in fields(DEFAULTS)
        for field in fields(getattr(DEFAULTS, topic.name))
    ]


def test_each_flag_has_a_name_of_its_own_and_a_word_of_help() -> None:
    flags = [flag for flag, _ in flags_with_defaults()]
    assert len({flag.name for flag in flags}) == len(flags)
    assert all(flag.help.endswith(".") for flag in flags)


def test_the_defaults_that_are_shown_are_the_defaults() -> None:
    for flag, default in flags_with_defaults():
        if flag.shown_default != "no limit":
            assert flag.parse(flag.shown_default) == default, flag.name


def test_no_limit_on_requests_is_the_default() -> None:
    """Promise 13."""
    assert DEFAULTS.kube.qps <= 0


UPSTREAM = {
    "csi-address": "/run/csi/socket",
    "kubeconfig": "",
    "resync-period": 900.0,
    "snapshot-name-prefix": "snapshot",
    "snapshot-name-uuid-length": -1,
    "worker-threads": 10,
    "timeout": 60.0,
    "extra-create-metadata": False,
    "retry-interval-start": 1.0,
    "retry-interval-max": 300.0,
    "kube-api-burst": 10,
    "http-endpoint": "",
    "metrics-address": "",
    "metrics-path": "/metrics",
    "logging-format": "text",
    "v": 0,
}


@pytest.mark.parametrize(("name", "default"), UPSTREAM.items(), ids=UPSTREAM.keys())
def test_flags_have_the_defaults_that_users_know(name: str, default: object) -> None:
    found = {flag.name: value for flag, value in flags_with_defaults()}
    assert found[name] == default
