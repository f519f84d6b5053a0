"""What `csi-snapshotter` can be told, by topic, in the order in which a person would look for it."""

from dataclasses import dataclass

from snapshotter.settings import gates
from snapshotter.settings.forms import boolean, duration, flag, integer, string, switches, variable
from snapshotter.settings.topics import (
    ElectionSettings,
    IgnoredSettings,
    KubeSettings,
    LogSettings,
    Mistake,
    WebSettings,
    broken,
)


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """The CSI driver beside us."""

    csi_address: str = flag("csi-address", string, "/run/csi/socket", "Path of the CSI driver's Unix socket.")
    timeout: float = flag("timeout", duration, 60.0, "Time that one operation of the driver may take.", shown="1m0s")


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
class SidecarWebSettings(WebSettings):
    """The HTTP endpoint for metrics and health."""

    metrics_address: str = flag(
        "metrics-address",
        string,
        "",
        "Deprecated: use --http-endpoint.",
        note="--metrics-address is deprecated, use --http-endpoint",
    )

    @property
    def address(self) -> str:
        return self.http_endpoint or self.metrics_address

    def mistakes(self) -> list[Mistake]:
        return [
            *broken(
                (
                    not (self.http_endpoint and self.metrics_address),
                    "--metrics-address and --http-endpoint cannot both be set",
                ),
            ),
            *WebSettings.mistakes(self),
        ]


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
class SidecarSettings:
    """Everything that `csi-snapshotter` can be told."""

    driver: DriverSettings = DriverSettings()
    kube: KubeSettings = KubeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    groups: GroupSettings = GroupSettings()
    work: WorkSettings = WorkSettings()
    election: ElectionSettings = ElectionSettings()
    node: NodeSettings = NodeSettings()
    web: SidecarWebSettings = SidecarWebSettings()
    logs: LogSettings = LogSettings()
    features: FeatureSettings = FeatureSettings()
    ignored: IgnoredSettings = IgnoredSettings()

    def mistakes(self) -> list[Mistake]:
        """What cannot be meant, all of it; empty when the settings make sense."""
        return [
            *self.logs.mistakes(),
            *self.ignored.mistakes(self.logs),
            *gates.mistakes(self.features.gates),
            *self._mistakes_in_deployment(),
            *self._mistakes_in_amounts(),
            *self.kube.mistakes(),
            *self.election.mistakes(),
            *self.web.mistakes(),
        ]

    def _mistakes_in_deployment(self) -> list[Mistake]:
        election, node = self.election, self.node
        found = broken(
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
        return broken(
            (self.driver.timeout > 0, "--timeout must be more than zero"),
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
        )


_UUID_LENGTH = "must be -1 or more than zero"


def _is_uuid_length(length: int) -> bool:
    return length == -1 or length > 0
