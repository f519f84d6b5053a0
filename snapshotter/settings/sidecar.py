"""What `csi-snapshotter` can be told, by topic, in the order in which a person would look for it."""

import re
from dataclasses import dataclass

from snapshotter.settings import gates
from snapshotter.settings.forms import (
    boolean,
    duration,
    flag,
    integer,
    number,
    pairs,
    quantity,
    string,
    switches,
    variable,
    verbosities,
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the settings that cannot be meant, and the exit code that upstream has for it."""

    text: str
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """The CSI driver beside us."""

    csi_address: str = flag("csi-address", string, "/run/csi/socket", "Path of the CSI driver's Unix socket.")
    timeout: float = flag("timeout", duration, 60.0, "Time that one operation of the driver may take.", shown="1m0s")


@dataclass(frozen=True, slots=True)
class KubeSettings:
    """The API server."""

    kubeconfig: str = flag("kubeconfig", string, "", "Path of a kubeconfig. Empty: we run inside the cluster.")
    qps: float = flag(
        "kube-api-qps",
        number,
        0.0,
        "Requests a second to the API server. 0 or less: no limit on our side, the server's own fairness holds.",
        shown="no limit",
    )
    burst: int = flag("kube-api-burst", integer, 10, "Requests that may exceed --kube-api-qps for a moment.")
    resync_period: float = flag(
        "resync-period",
        duration,
        900.0,
        "Time after which contents that are not at rest are looked at again without a reason.",
        shown="15m0s",
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """What is asked of the driver."""

    name_prefix: str = flag("snapshot-name-prefix", string, "snapshot", "First part of a snapshot's name.")
    name_uuid_length: int = flag(
        "snapshot-name-uuid-length",
        integer,
        -1,
        "Characters of the VolumeSnapshot's UID, without dashes, that follow the prefix. -1: the UID as it is.",
    )
    extra_create_metadata: bool = flag(
        "extra-create-metadata",
        boolean,
        default=False,
        text="Tell the driver the names of the objects that a snapshot is made for, as parameters.",
    )


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """What is asked of the driver for groups."""

    name_prefix: str = flag(
        "groupsnapshot-name-prefix", string, "groupsnapshot", "First part of a group snapshot's name."
    )
    name_uuid_length: int = flag(
        "groupsnapshot-name-uuid-length",
        integer,
        -1,
        "Characters of the VolumeGroupSnapshot's UID, without dashes, that follow the prefix. -1: the UID as it is.",
    )


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How much at a time, and when again."""

    worker_threads: int = flag(
        "worker-threads",
        integer,
        10,
        "Contents of one sort (to be created, checked, deleted, written) that are worked at at a time.",
    )
    retry_start: float = flag(
        "retry-interval-start",
        duration,
        1.0,
        "Time before the first retry of what failed; it doubles with each further failure.",
        shown="1s",
    )
    retry_max: float = flag("retry-interval-max", duration, 300.0, "Longest time between two retries.", shown="5m0s")
    shutdown_grace: float = flag(
        "shutdown-grace-period",
        duration,
        20.0,
        "Time that operations under way are given to end after SIGTERM or SIGINT.",
        shown="20s",
    )


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """Leader election: of several replicas one works, and the others stand by."""

    enabled: bool = flag("leader-election", boolean, default=False, text="Work only while we hold the driver's lease.")
    namespace: str = flag(
        "leader-election-namespace",
        string,
        "",
        "Namespace of the lease. Empty: that of our pod, from POD_NAMESPACE or the service account.",
    )
    lease_duration: float = flag(
        "leader-election-lease-duration",
        duration,
        15.0,
        "Time that others wait for a leader that they do not hear of.",
        shown="15s",
    )
    renew_deadline: float = flag(
        "leader-election-renew-deadline",
        duration,
        10.0,
        "Time after the last renewal that worked after which a leader stops.",
        shown="10s",
    )
    retry_period: float = flag(
        "leader-election-retry-period",
        duration,
        5.0,
        "Time between two renewals, and at least between two attempts to become the leader.",
        shown="5s",
    )
    labels: tuple[tuple[str, str], ...] = flag(
        "leader-election-labels",
        pairs,
        (),
        "Labels of the lease, as key:value,key:value. May be repeated.",
        shown="",
        accumulates=True,
    )
    pod_namespace: str = variable("POD_NAMESPACE")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Node deployment: a sidecar on each node, for the volumes of that node."""

    enabled: bool = flag(
        "node-deployment",
        boolean,
        default=False,
        text="Work only on contents that the controller has labelled for the node that NODE_NAME names.",
    )
    name: str = variable("NODE_NAME")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP endpoint for metrics and health."""

    http_endpoint: str = flag(
        "http-endpoint",
        string,
        "",
        "Address (host:port) to serve metrics and health at. Empty: none.",
    )
    metrics_address: str = flag(
        "metrics-address",
        string,
        "",
        "Deprecated: use --http-endpoint.",
        note="--metrics-address is deprecated, use --http-endpoint",
    )
    metrics_path: str = flag("metrics-path", string, "/metrics", "Path of the metrics.")

    @property
    def address(self) -> str:
        return self.http_endpoint or self.metrics_address


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log, on standard error."""

    log_format: str = flag("logging-format", string, "text", "Form of the log: text or json.")
    verbosity: int = flag(
        "v", integer, 0, "Verbosity of the log. From 4: each step; from 5: the driver's messages, without secrets."
    )


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Parts that can be turned off."""

    gates: tuple[tuple[str, bool], ...] = flag(
        "feature-gates",
        switches,
        (),
        f"Parts to turn on or off, as name=true,name=false: {gates.GROUP_SNAPSHOTS} (groups; on), "
        f"{gates.RELEASE_ON_EXIT} (give the lease away at the end; on). The gates of the API server's library are "
        "accepted without effect. May be repeated.",
        shown="",
        accumulates=True,
    )

    @property
    def group_snapshots(self) -> bool:
        return gates.is_on(self.gates, gates.GROUP_SNAPSHOTS)

    @property
    def release_on_exit(self) -> bool:
        return gates.is_on(self.gates, gates.RELEASE_ON_EXIT)


@dataclass(frozen=True, slots=True)
class IgnoredSettings:
    """Accepted, so that command lines for upstream's program work, but without effect."""

    automaxprocs: bool = flag("automaxprocs", boolean, default=False, text="No effect: there is one event loop.")
    vmodule: str = flag("vmodule", verbosities, "", "No effect: -v holds for all files.")
    log_flush_frequency: float = flag(
        "log-flush-frequency", duration, 5.0, "No effect: the log is written at once.", shown="5s"
    )
    text_split_stream: bool = flag(
        "log-text-split-stream", boolean, default=False, text="Not available: the log goes to standard error."
    )
    text_buffer_size: str = flag(
        "log-text-info-buffer-size", quantity, "0", "Not available: the log is written at once."
    )
    json_split_stream: bool = flag(
        "log-json-split-stream", boolean, default=False, text="Not available: the log goes to standard error."
    )
    json_buffer_size: str = flag(
        "log-json-info-buffer-size", quantity, "0", "Not available: the log is written at once."
    )


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Everything that `csi-snapshotter` can be told."""

    driver: DriverSettings = DriverSettings()
    kube: KubeSettings = KubeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    groups: GroupSettings = GroupSettings()
    work: WorkSettings = WorkSettings()
    election: ElectionSettings = ElectionSettings()
    node: NodeSettings = NodeSettings()
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()
    features: FeatureSettings = FeatureSettings()
    ignored: IgnoredSettings = IgnoredSettings()

    def mistakes(self) -> list[Mistake]:
        """What cannot be meant, all of it; empty when the settings make sense."""
        return [
            *self._mistakes_in_logging(),
            *(Mistake(f'"{name}" is not a feature gate', 255) for name in gates.unknown(self.features.gates)),
            *self._mistakes_in_deployment(),
            *self._mistakes_in_amounts(),
        ]

    def _mistakes_in_logging(self) -> list[Mistake]:
        ignored = self.ignored
        return _broken(
            (
                self.logs.log_format in ("text", "json"),
                f'--logging-format must be text or json, not "{self.logs.log_format}"',
            ),
            (not (ignored.vmodule and self.logs.log_format == "json"), "--vmodule is for --logging-format=text alone"),
            (not ignored.text_split_stream, "--log-text-split-stream is not available"),
            (_is_nothing(ignored.text_buffer_size), "--log-text-info-buffer-size is not available"),
            (not ignored.json_split_stream, "--log-json-split-stream is not available"),
            (_is_nothing(ignored.json_buffer_size), "--log-json-info-buffer-size is not available"),
        )

    def _mistakes_in_deployment(self) -> list[Mistake]:
        election, node = self.election, self.node
        found = _broken(
            (
                not (node.enabled and election.enabled),
                "--node-deployment and --leader-election cannot both be set: each node has one sidecar",
            ),
        )
        if node.enabled and not node.name:
            text = "--node-deployment needs the node's name in the environment variable NODE_NAME"
            found.append(Mistake(text, 255))
        return found

    def _mistakes_in_amounts(self) -> list[Mistake]:
        election = self.election
        return _broken(
            (self.driver.timeout > 0, "--timeout must be more than zero"),
            (
                self.kube.qps <= 0 or self.kube.burst > 0,
                "--kube-api-burst must be more than zero when --kube-api-qps is given",
            ),
            (self.kube.resync_period > 0, "--resync-period must be more than zero"),
            (bool(self.snapshots.name_prefix), "--snapshot-name-prefix must not be empty"),
            (_is_uuid_length(self.snapshots.name_uuid_length), f"--snapshot-name-uuid-length {_UUID_LENGTH}"),
            (
                bool(self.groups.name_prefix) or not self.features.group_snapshots,
                "--groupsnapshot-name-prefix must not be empty",
            ),
            (_is_uuid_length(self.groups.name_uuid_length), f"--groupsnapshot-name-uuid-length {_UUID_LENGTH}"),
            (self.work.worker_threads > 0, "--worker-threads must be more than zero"),
            (
                0 < self.work.retry_start <= self.work.retry_max,
                "--retry-interval-start must be more than zero and at most --retry-interval-max",
            ),
            (self.work.shutdown_grace >= 0, "--shutdown-grace-period must not be negative"),
            (
                not election.enabled
                or election.lease_duration > election.renew_deadline > LONGEST_RETRY * election.retry_period > 0,
                (
                    "--leader-election-lease-duration must be more than --leader-election-renew-deadline, "
                    f"that more than {LONGEST_RETRY} times --leader-election-retry-period, and all more than zero"
                ),
            ),
            (
                not (self.web.http_endpoint and self.web.metrics_address),
                "--metrics-address and --http-endpoint cannot both be set",
            ),
            (
                not self.web.address or _is_address(self.web.address),
                f'"{self.web.address}" is not an address of the form host:port',
            ),
            (
                re.fullmatch(r"(/[\w.~-]+)+", self.web.metrics_path) is not None
                and self.web.metrics_path not in HEALTH_PATHS,
                "--metrics-path must be a plain path, and not one of the paths for health",
            ),
        )


LONGEST_RETRY = 1.2
"""The renew deadline leaves time for more than one renewal: so many retry periods."""
HEALTH_PATHS = ("/healthz", "/readyz", "/healthz/leader-election")
_UUID_LENGTH = "must be -1 or more than zero"


def _broken(*rules: tuple[bool, str]) -> list[Mistake]:
    return [Mistake(text) for holds, text in rules if not holds]


def _is_uuid_length(length: int) -> bool:
    return length == -1 or length > 0


def _is_nothing(amount: str) -> bool:
    return not re.search("[1-9]", re.split("[a-zA-Z]", amount)[0])


def _is_address(text: str) -> bool:
    _, colon, port = text.rpartition(":")
    return bool(colon) and port.isdecimal() and int(port) < 65536


def host_and_port(address: str) -> tuple[str | None, int]:
    """The parts of `host:port`; no host means all addresses."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or None, int(port)
