"""The settings of the programs: frozen values by topic. Each field's flag, default and help stand in one place.

`snapshotter.cli` makes them from a command line and the environment; nothing below it reads either.
"""

from snapshotter.settings.controller import ControllerSettings, ControlSettings
from snapshotter.settings.features import FeatureSettings
from snapshotter.settings.sidecar import (
    DriverSettings,
    GroupSettings,
    NodeSettings,
    SidecarSettings,
    SidecarWebSettings,
    SnapshotSettings,
)
from snapshotter.settings.topics import (
    ElectionSettings,
    IgnoredSettings,
    KubeSettings,
    LogSettings,
    Mistake,
    WebSettings,
    WorkSettings,
    host_and_port,
)
from snapshotter.settings.webhook import AdmissionSettings, EndSettings, TlsSettings, WebhookSettings

__all__ = [
    "AdmissionSettings",
    "ControlSettings",
    "ControllerSettings",
    "DriverSettings",
    "ElectionSettings",
    "EndSettings",
    "FeatureSettings",
    "GroupSettings",
    "IgnoredSettings",
    "KubeSettings",
    "LogSettings",
    "Mistake",
    "NodeSettings",
    "SidecarSettings",
    "SidecarWebSettings",
    "SnapshotSettings",
    "TlsSettings",
    "WebSettings",
    "WebhookSettings",
    "WorkSettings",
    "host_and_port",
]
