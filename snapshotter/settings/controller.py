"""What `snapshot-controller` can be told, by topic, in the order in which a person would look for it."""

from dataclasses import dataclass

from snapshotter.settings.features import FeatureSettings
from snapshotter.settings.forms import boolean, duration, flag
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
class ControlSettings:
    """What contents are made like."""

    record_volume_mode: bool = flag(
        "prevent-volume-mode-conversion",
        boolean,
        default=True,
        text="Write the mode of the source volume into contents, so that a restore cannot change it unnoticed.",
    )
    distributed: bool = flag(
        "enable-distributed-snapshotting",
        boolean,
        default=False,
        text="Give each content to the csi-snapshotter on a node that can reach its volume.",
    )
    definitions_timeout: float = flag(
        "retry-crd-interval-max",
        duration,
        30.0,
        "Time that the CustomResourceDefinitions are waited for at the start.",
        shown="30s",
    )


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Everything that `snapshot-controller` can be told."""

    kube: KubeSettings = KubeSettings()
    control: ControlSettings = ControlSettings()
    work: WorkSettings = WorkSettings()
    election: ElectionSettings = ElectionSettings()
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()
    features: FeatureSettings = FeatureSettings()
    ignored: IgnoredSettings = IgnoredSettings()

    def mistakes(self) -> list[Mistake]:
        """What cannot be meant, all of it; empty when the settings make sense."""
        return [
            *self.logs.mistakes(),
            *self.ignored.mistakes(self.logs),
            *self.features.mistakes(),
            *self.work.mistakes(),
            *self.kube.mistakes(),
            *self.election.mistakes(),
            *self.web.mistakes(),
            *broken((self.control.definitions_timeout >= 0, "--retry-crd-interval-max must not be negative")),
        ]
