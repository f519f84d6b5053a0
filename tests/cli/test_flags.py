"""Command lines in Go's syntax."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.cli.flags import parse
from snapshotter.settings import SidecarSettings

DEFAULTS = SidecarSettings()


def parsed(*arguments: str) -> SidecarSettings:
    return parse("csi-snapshotter", SidecarSettings, arguments, {})


WITH_TIMEOUT = replace(DEFAULTS, driver=replace(DEFAULTS.driver, timeout=90.0))
WITH_METADATA = replace(DEFAULTS, snapshots=replace(DEFAULTS.snapshots, extra_create_metadata=True))
WITH_VERBOSITY = replace(DEFAULTS, logs=replace(DEFAULTS.logs, verbosity=5))
WITH_LENGTH = replace(DEFAULTS, snapshots=replace(DEFAULTS.snapshots, name_uuid_length=-1))
WITH_KUBECONFIG = replace(DEFAULTS, kube=replace(DEFAULTS.kube, kubeconfig="/a b"))

SYNTAX: dict[str, tuple[list[str], SidecarSettings]] = {
    "nothing is given": ([], DEFAULTS),
    "two dashes and an equals sign": (["--timeout=1m30s"], WITH_TIMEOUT),
    "two dashes and a separate value": (["--timeout", "1m30s"], WITH_TIMEOUT),
    "one dash and an equals sign": (["-timeout=1m30s"], WITH_TIMEOUT),
    "one dash and a separate value": (["-timeout", "1m30s"], WITH_TIMEOUT),
    "the last of several holds": (["--timeout=5s", "-timeout", "7s", "--timeout=1m30s"], WITH_TIMEOUT),
    "a switch is turned on": (["--extra-create-metadata"], WITH_METADATA),
    "a switch with one dash": (["-extra-create-metadata"], WITH_METADATA),
    "a switch with a value": (["--extra-create-metadata=T"], WITH_METADATA),
    "a switch is turned off": (["--extra-create-metadata=false"], DEFAULTS),
    "a switch takes no separate value, so reading stops there": (
        ["--extra-create-metadata", "false", "--timeout=5s"],
        WITH_METADATA,
    ),
    "a switch is not the end": (["--extra-create-metadata", "--extra-create-metadata=true"], WITH_METADATA),
    "reading stops at the first word that is no flag": (["-v=5", "word", "--timeout=5s", "--nonsense"], WITH_VERBOSITY),
    "reading stops at two dashes": (["-v=5", "--", "--nonsense"], WITH_VERBOSITY),
    "reading stops at one dash": (["-v=5", "-", "--nonsense"], WITH_VERBOSITY),
    "reading stops at an empty word": (["-v=5", "", "--nonsense"], WITH_VERBOSITY),
    "a short name has two dashes as well": (["--v", "5"], WITH_VERBOSITY),
    "a negative value may stand by itself": (["--snapshot-name-uuid-length", "-1"], WITH_LENGTH),
    "a value may have blanks in it": (["--kubeconfig", "/a b"], WITH_KUBECONFIG),
    "a value may be empty": (["--kubeconfig=", "--kubeconfig", ""], DEFAULTS),
    "a value may have an equals sign in it": (
        ["--kubeconfig=a=b"],
        replace(DEFAULTS, kube=replace(DEFAULTS.kube, kubeconfig="a=b")),
    ),
    "a value may look like a flag": (
        ["--kubeconfig", "--timeout=5s", "-kubeconfig", "-v"],
        replace(DEFAULTS, kube=replace(DEFAULTS.kube, kubeconfig="-v")),
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), SYNTAX.values(), ids=SYNTAX.keys())
def test_command_lines_are_read_as_go_reads_them(arguments: list[str], expected: SidecarSettings) -> None:
    assert parsed(*arguments) == expected


def test_each_topic_gets_its_flags() -> None:
    found = parsed(
        "--csi-address=/socket",
        "--kube-api-qps=2.5",
        "--kube-api-burst=7",
        "--resync-period=10m",
        "--snapshot-name-prefix=cut",
        "--snapshot-name-uuid-length=8",
        "--worker-threads=3",
        "--retry-interval-start=500ms",
        "--retry-interval-max=1m",
        "--http-endpoint=:8080",
        "--metrics-path=/m",
        "--logging-format=json",
    )
    assert (found.driver.csi_address, found.kube.qps, found.kube.burst) == ("/socket", 2.5, 7)
    assert (found.kube.resync_period, found.snapshots.name_prefix, found.snapshots.name_uuid_length) == (600, "cut", 8)
    assert (found.work.worker_threads, found.work.retry_start, found.work.retry_max) == (3, 0.5, 60)
    assert (found.web.http_endpoint, found.web.metrics_path, found.logs.log_format) == (":8080", "/m", "json")


def test_the_flags_of_groups_election_and_nodes_have_topics() -> None:
    found = parsed(
        "--groupsnapshot-name-prefix=many",
        "--groupsnapshot-name-uuid-length=7",
        "-leader-election",
        "--leader-election-namespace=kube-system",
        "--leader-election-lease-duration=30s",
        "--leader-election-renew-deadline=20s",
        "--leader-election-retry-period=4s",
        "--feature-gates=CSIVolumeGroupSnapshot=false",
        "--automaxprocs",
        "--vmodule=a=1",
        "--log-flush-frequency=1s",
    )
    assert (found.groups.name_prefix, found.groups.name_uuid_length) == ("many", 7)
    election = found.election
    assert (election.enabled, election.namespace) == (True, "kube-system")
    assert (election.lease_duration, election.renew_deadline, election.retry_period) == (30.0, 20.0, 4.0)
    assert not found.features.group_snapshots
    assert found.mistakes() == []


def test_labels_and_gates_add_up_when_repeated() -> None:
    found = parsed(
        "--leader-election-labels=a:b,c:d",
        "--leader-election-labels",
        "e:f",
        "--feature-gates=AllAlpha=true",
        "-feature-gates=CSIVolumeGroupSnapshot=false,WatchList=false",
    )
    assert found.election.labels == (("a", "b"), ("c", "d"), ("e", "f"))
    assert found.features.gates == (("AllAlpha", True), ("CSIVolumeGroupSnapshot", False), ("WatchList", False))


def test_some_settings_come_from_the_environment() -> None:
    found = parse("csi-snapshotter", SidecarSettings, ["--v=5"], {"NODE_NAME": "n", "POD_NAMESPACE": "p", "V": "9"})
    assert (found.node.name, found.election.pod_namespace, found.logs.verbosity) == ("n", "p", 5)


REFUSED = {
    "an unknown flag": (["--nonsense"], "--nonsense"),
    "an unknown flag with one dash": (["-nonsense=1"], "-nonsense"),
    "the beginning of a flag": (["--leader"], "(did you mean --leader-election?)"),
    "a flag with a slip": (["--worker-thread=3"], "(did you mean --worker-threads?)"),
    "a classic flag of other programs": (["--alsologtostderr"], "--alsologtostderr"),
    "the beginning of a name": (["--time=5s"], "--time"),
    "a name in other letters": (["--Timeout=5s"], "--Timeout"),
    "three dashes": (["---timeout=5s"], "---timeout"),
    "no name": (["--=5s"], "--=5s"),
    "no name with one dash": (["-=5s"], "-=5s"),
    "a duration without a unit": (["--timeout=5"], '"5" is not a duration such as 5s or 1m30s'),
    "a word in the place of a number": (["-v", "loud"], '"loud" is not a whole number'),
    "a fraction in the place of a whole number": (["--worker-threads=1.5"], '"1.5" is not a whole number'),
    "a word in the place of a rate": (["--kube-api-qps=fast"], '"fast" is not a number'),
    "a switch that is neither on nor off": (["--extra-create-metadata=maybe"], '"maybe" is neither true nor false'),
    "an empty switch": (["--extra-create-metadata="], '"" is neither true nor false'),
    "no value": (["--timeout"], "--timeout"),
    "a label without a value": (["--leader-election-labels=a"], '"a" is not of the form key:value'),
    "a gate that is neither on nor off": (["--feature-gates=WatchList=maybe"], '"maybe" is neither true nor false'),
    "an empty duration": (["--timeout="], '"" is not a duration'),
}


@pytest.mark.parametrize(("arguments", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_ends_with_the_usage(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: csi-snapshotter [flags]" in err
    assert text in err


def test_what_go_does_not_read_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("--leader-election", "true", "--worker-threads=3") == parsed("--leader-election")
    _, err = capsys.readouterr()
    warning = '"true" is not a flag, so this and all that follows is ignored: true --worker-threads=3'
    assert err == f"csi-snapshotter: warning: {warning}\n"
    parsed("--leader-election", "--", "anything")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argument", ["-h", "--h", "-help", "--help"])
def test_help_shows_every_flag_and_is_no_failure(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(argument)
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.index("--csi-address") < text.index("--leader-election") < text.index("--automaxprocs")
    for name in ("--csi-address", "--timeout", "--kube-api-qps", "--v ", "--metrics-path", "--version"):
        assert name in text
    assert "(default: 1m0s)" in text
    assert "(default: no limit)" in text
    assert "(default: empty)" in text


@pytest.mark.parametrize("argument", ["--version", "-version", "--version=true"])
def test_version_is_told_and_is_no_failure(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(argument)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("csi-snapshotter ")


def test_a_version_that_is_not_asked_for_is_not_told() -> None:
    assert parsed("--version=false", "-v=5") == WITH_VERBOSITY


def test_a_deprecated_flag_works_and_warns(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("--metrics-address=:8080").web.address == ":8080"
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "csi-snapshotter: warning: --metrics-address is deprecated, use --http-endpoint\n"


def test_nothing_is_said_about_what_is_not_deprecated(capsys: pytest.CaptureFixture[str]) -> None:
    parsed("--http-endpoint=:8080")
    assert capsys.readouterr() == ("", "")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=8) | st.sampled_from(["--timeout", "-v", "--v=1", "--extra-create-metadata"])))
def test_any_command_line_is_read_or_refused(arguments: list[str]) -> None:
    try:
        found: object = parsed(*arguments)
    except SystemExit as ended:
        found = ended.code
    assert isinstance(found, SidecarSettings) or found in (0, 2)


COMMANDS = {
    "a gate that is not known": (["--feature-gates=Nonsense=true"], 255, '"Nonsense" is not a feature gate'),
    "a node without a name (case 107)": (["--node-deployment"], 255, "needs the node's name"),
    "node deployment with election (case 107)": (
        ["--node-deployment", "--leader-election"],
        1,
        "--node-deployment and --leader-election cannot both be set",
    ),
    "an unknown flag": (["--nonsense"], 2, "--nonsense"),
    "settings that cannot be meant (case 107)": (
        ["--metrics-address=:1", "--http-endpoint=:2", "--worker-threads=0"],
        1,
        (
            "csi-snapshotter: --worker-threads must be more than zero; "
            "--metrics-address and --http-endpoint cannot both be set\n"
        ),
    ),
}


@pytest.mark.parametrize(("arguments", "code", "text"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_command_ends_with_a_code_and_a_plain_line(arguments: list[str], code: int, text: str) -> None:
    start = "from snapshotter.cli import csi_snapshotter; csi_snapshotter()"
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
