"""Settings: how values are read, and which of them cannot be meant."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.settings import (
    DriverSettings,
    ElectionSettings,
    FeatureSettings,
    GroupSettings,
    IgnoredSettings,
    KubeSettings,
    LogSettings,
    NodeSettings,
    SidecarSettings,
    SidecarWebSettings,
    SnapshotSettings,
    WorkSettings,
    host_and_port,
)
from snapshotter.settings.forms import (
    BadValue,
    Flag,
    boolean,
    duration,
    integer,
    number,
    pairs,
    quantity,
    switches,
    verbosities,
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
        replace(DEFAULTS, web=SidecarWebSettings(http_endpoint=":1", metrics_address=":2")),
        "--metrics-address and --http-endpoint cannot both be set",
    ),
    "an address without a port": (
        replace(DEFAULTS, web=SidecarWebSettings(http_endpoint="localhost")),
        '"localhost" is not an address',
    ),
    "a port that is none": (
        replace(DEFAULTS, web=SidecarWebSettings(http_endpoint="localhost:http")),
        "localhost:http",
    ),
    "two ports": (replace(DEFAULTS, web=SidecarWebSettings(http_endpoint=":80:81")), '":80:81" is not an address'),
    "a port that is too high": (replace(DEFAULTS, web=SidecarWebSettings(metrics_address=":65536")), ":65536"),
    "a path without a slash": (replace(DEFAULTS, web=SidecarWebSettings(metrics_path="metrics")), "--metrics-path"),
    "a path of health": (
        replace(DEFAULTS, web=SidecarWebSettings(metrics_path="/healthz/leader-election")),
        "--metrics-path",
    ),
    "no prefix of groups": (replace(DEFAULTS, groups=GroupSettings(name_prefix="")), "--groupsnapshot-name-prefix"),
    "nothing of a group's uid": (
        replace(DEFAULTS, groups=GroupSettings(name_uuid_length=0)),
        "--groupsnapshot-name-uuid-length",
    ),
    "node deployment with election (case 107)": (
        replace(DEFAULTS, node=NodeSettings(enabled=True, name="n"), election=ElectionSettings(enabled=True)),
        "--node-deployment and --leader-election cannot both be set",
    ),
    "a leader that stops when others have begun": (
        replace(DEFAULTS, election=ElectionSettings(enabled=True, lease_duration=10.0)),
        "--leader-election-lease-duration must be more than",
    ),
    "no time for a second renewal": (
        replace(DEFAULTS, election=ElectionSettings(enabled=True, renew_deadline=6.0)),
        "--leader-election-lease-duration must be more than",
    ),
    "renewals without a pause": (
        replace(DEFAULTS, election=ElectionSettings(enabled=True, retry_period=0.0)),
        "--leader-election-lease-duration must be more than",
    ),
    "a log on two streams": (replace(DEFAULTS, ignored=IgnoredSettings(text_split_stream=True)), "--log-text-split"),
    "a json log on two streams": (
        replace(DEFAULTS, ignored=IgnoredSettings(json_split_stream=True)),
        "--log-json-split",
    ),
    "a log that waits": (replace(DEFAULTS, ignored=IgnoredSettings(text_buffer_size="64Ki")), "--log-text-info-buffer"),
    "a json log that waits": (
        replace(DEFAULTS, ignored=IgnoredSettings(json_buffer_size="1")),
        "--log-json-info-buffer",
    ),
    "verbosity by file for a json log": (
        replace(DEFAULTS, ignored=IgnoredSettings(vmodule="a=1"), logs=LogSettings(log_format="json")),
        "--vmodule",
    ),
    "a log of another form": (replace(DEFAULTS, logs=LogSettings(log_format="xml")), "--logging-format must be"),
}


@pytest.mark.parametrize(("given_settings", "text"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_meant_is_said(given_settings: SidecarSettings, text: str) -> None:
    [mistake] = given_settings.mistakes()
    assert text in mistake.text
    assert mistake.exit_code == 1


FATAL: dict[str, tuple[SidecarSettings, str]] = {
    "node deployment without a node (case 107)": (
        replace(DEFAULTS, node=NodeSettings(enabled=True)),
        "--node-deployment needs the node's name in the environment variable NODE_NAME",
    ),
    "an unknown feature gate": (
        replace(DEFAULTS, features=FeatureSettings(gates=(("AllAlpha", True), ("Nonsense", True)))),
        '"Nonsense" is not a feature gate',
    ),
}


@pytest.mark.parametrize(("given_settings", "text"), FATAL.values(), ids=FATAL.keys())
def test_what_upstream_ends_with_255_for(given_settings: SidecarSettings, text: str) -> None:
    [mistake] = given_settings.mistakes()
    assert mistake.text == text
    assert mistake.exit_code == 255


FINE: dict[str, SidecarSettings] = {
    "the defaults": DEFAULTS,
    "no limit, with any burst": replace(DEFAULTS, kube=KubeSettings(qps=0.0, burst=0)),
    "a limit": replace(DEFAULTS, kube=KubeSettings(qps=5.0, burst=10)),
    "one character of the uid": replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=1)),
    "more characters than a uid has": replace(DEFAULTS, snapshots=SnapshotSettings(name_uuid_length=99)),
    "no grace time": replace(DEFAULTS, work=WorkSettings(shutdown_grace=0.0)),
    "retries at a steady pace": replace(DEFAULTS, work=WorkSettings(retry_start=5.0, retry_max=5.0)),
    "an address": replace(DEFAULTS, web=SidecarWebSettings(http_endpoint="127.0.0.1:8080")),
    "all addresses": replace(DEFAULTS, web=SidecarWebSettings(http_endpoint=":8080")),
    "the deprecated address": replace(DEFAULTS, web=SidecarWebSettings(metrics_address="[::1]:8080")),
    "groups without a prefix when there are none": replace(
        DEFAULTS, groups=GroupSettings(name_prefix=""), features=FeatureSettings((("CSIVolumeGroupSnapshot", False),))
    ),
    "odd times of an election that is not held": replace(DEFAULTS, election=ElectionSettings(retry_period=0.0)),
    "an election": replace(DEFAULTS, election=ElectionSettings(enabled=True)),
    "a node": replace(DEFAULTS, node=NodeSettings(enabled=True, name="n")),
    "a node's name that is not used": replace(DEFAULTS, node=NodeSettings(name="n")),
    "a log that waits for nothing": replace(DEFAULTS, ignored=IgnoredSettings(text_buffer_size="0Ki")),
    "verbosity by file": replace(DEFAULTS, ignored=IgnoredSettings(vmodule="a=1")),
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
    assert SidecarWebSettings().address == ""
    assert SidecarWebSettings(http_endpoint=":1").address == ":1"
    assert SidecarWebSettings(metrics_address=":2").address == ":2"


def flags_with_defaults() -> list[tuple[Flag, Any]]:
    return [
        (field.metadata["flag"], getattr(getattr(DEFAULTS, topic.name), field.name))
        for topic in fields(DEFAULTS)
        for field in fields(getattr(DEFAULTS, topic.name))
        if "flag" in field.metadata
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


PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "": (),
    "a:b": (("a", "b"),),
    "a:b,c:d": (("a", "b"), ("c", "d")),
    "a:": (("a", ""),),
}


@pytest.mark.parametrize(("text", "found"), PAIRS.items(), ids=PAIRS.keys())
def test_pairs_are_separated_by_colons(text: str, found: tuple[tuple[str, str], ...]) -> None:
    assert pairs(text) == found


@pytest.mark.parametrize("text", ["a", "a=b", "a:b:c", "a:b,", ",", "a:b,c"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not of the form key:value"):
        pairs(text)


def test_switches_are_turned_on_and_off() -> None:
    assert switches("") == ()
    assert switches("A=true,B=0, C = T,") == (("A", True), ("B", False), ("C", True))


@pytest.mark.parametrize("text", ["A", "A=", "A=maybe", "A:true"])
def test_what_is_no_switch_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"is not of the form|is neither true nor false"):
        switches(text)


@pytest.mark.parametrize("text", ["0", "64Ki", "1.5M", "1e3", "100m", "-1"])
def test_amounts(text: str) -> None:
    assert quantity(text) == text


@pytest.mark.parametrize("text", ["", "Ki", "1 Ki", "1kB", "one"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not an amount"):
        quantity(text)


@pytest.mark.parametrize("text", ["", "a=1", "a*=2,b=3"])
def test_verbosity_by_file(text: str) -> None:
    assert verbosities(text) == text


@pytest.mark.parametrize("text", ["a", "=1", "a=b", "a=-1"])
def test_what_is_no_verbosity_by_file_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="is not of the form pattern=N"):
        verbosities(text)


GATES: dict[str, tuple[tuple[tuple[str, bool], ...], bool, bool]] = {
    "nothing is said": ((), True, True),
    "groups are off": ((("CSIVolumeGroupSnapshot", False),), False, True),
    "the lease is kept": ((("ReleaseLeaderElectionOnExit", False),), True, False),
    "the last word holds": ((("CSIVolumeGroupSnapshot", False), ("CSIVolumeGroupSnapshot", True)), True, True),
    "sets of gates change neither": ((("AllAlpha", False), ("AllBeta", False)), True, True),
    "gates of the library change neither": ((("WatchList", False), ("KMSv1", True)), True, True),
}


@pytest.mark.parametrize(("gates", "groups", "release"), GATES.values(), ids=GATES.keys())
def test_feature_gates(gates: tuple[tuple[str, bool], ...], groups: bool, release: bool) -> None:
    features = FeatureSettings(gates)
    assert (features.group_snapshots, features.release_on_exit) == (groups, release)
    assert replace(DEFAULTS, features=features).mistakes() == []


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
    "groupsnapshot-name-prefix": "groupsnapshot",
    "groupsnapshot-name-uuid-length": -1,
    "node-deployment": False,
    "feature-gates": (),
    "leader-election": False,
    "leader-election-namespace": "",
    "leader-election-lease-duration": 15.0,
    "leader-election-renew-deadline": 10.0,
    "leader-election-retry-period": 5.0,
    "leader-election-labels": (),
    "automaxprocs": False,
    "vmodule": "",
    "log-flush-frequency": 5.0,
    "log-text-split-stream": False,
    "log-json-split-stream": False,
    "log-text-info-buffer-size": "0",
    "log-json-info-buffer-size": "0",
}


@pytest.mark.parametrize(("name", "default"), UPSTREAM.items(), ids=UPSTREAM.keys())
def test_flags_have_the_defaults_that_users_know(name: str, default: object) -> None:
    found = {flag.name: value for flag, value in flags_with_defaults()}
    assert found[name] == default
