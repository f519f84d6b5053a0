"""What `csi-snapshotter` can be told, by topic, in the order in which a person would look for it."""

from dataclasses import dataclass

from snapshotter.settings.features import FeatureSettings
from snapshotter.settings.forms import boolean, duration, flag, integer, string, variable
from snapshotter.settings.topics import (
    ElectionSettings,
    IgnoredSettings,
    KubeSettings,
    LogSettings,
    Mistake,
    WebSettings,
    WorkSettings,
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
            *self.features.mistakes(),
            *self._mistakes_in_deployment(),
            *self._mistakes_in_amounts(),
            *self.work.mistakes(),
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
        )


_UUID_LENGTH = "must be -1 or more than zero"


def _is_uuid_length(length: int) -> bool:
    return length == -1 or length > 0
