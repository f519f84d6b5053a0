"""The settings of the programs: frozen values by topic. Each field's flag, default and help stand in one place.

`snapshotter.cli` makes them from a command line; nothing below it reads flags or the environment.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Parse = Callable[[str], Any]


class BadValue(ValueError):
    """A flag's value is not of the flag's form; the text says what is."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field is set from the command line."""

    name: str
    help: str
    parse: Parse
    shown_default: str
    note: str = ""
    """A warning to give when the flag is used."""


def string(text: str) -> str:
    return text


def integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadValue(f'"{text}" is not a whole number')
    return int(text)


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadValue(f'"{text}" is not a number') from None
    if not math.isfinite(value):
        raise BadValue(f'"{text}" is no amount; 0 means no limit')
    return value


_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def boolean(text: str) -> bool:
    """As Go's flags read it."""
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise BadValue(f'"{text}" is neither true nor false') from None


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"


def duration(text: str) -> float:
    """Seconds, from Go's notation: `1m30s`, `500ms`, `-1s`, `0`."""
    unsigned = text[1:] if text.startswith(("-", "+")) else text
    if unsigned == "0":
        return 0.0
    if not re.fullmatch(f"(?:{_PART})+", unsigned):
        raise BadValue(f'"{text}" is not a duration such as 5s or 1m30s')
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(_PART, unsigned))
    return -seconds if text.startswith("-") else seconds


def _flag(name: str, parse: Parse, default: object, text: str, *, shown: str | None = None, note: str = "") -> Any:
    """A dataclass field that is set by `--name`. `shown`: the default as users write it."""
    written = shown if shown is not None else _written(default)
    return field(default=default, metadata={"flag": Flag(name, text, parse, written, note)})


def _written(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """The CSI driver beside us."""

    csi_address: str = _flag("csi-address", string, "/run/csi/socket", "Path of the CSI driver's Unix socket.")
    timeout: float = _flag("timeout", duration, 60.0, "Time that one operation of the driver may take.", shown="1m0s")


@dataclass(frozen=True, slots=True)
class KubeSettings:
    """The API server."""

    kubeconfig: str = _flag("kubeconfig", string, "", "Path of a kubeconfig. Empty: we run inside the cluster.")
    qps: float = _flag(
        "kube-api-qps",
        number,
        0.0,
        "Requests a second to the API server. 0 or less: no limit on our side, the server's own fairness holds.",
        shown="no limit",
    )
    burst: int = _flag("kube-api-burst", integer, 10, "Requests that may exceed --kube-api-qps for a moment.")
    resync_period: float = _flag(
        "resync-period",
        duration,
        900.0,
        "Time after which contents that are not at rest are looked at again without a reason.",
        shown="15m0s",
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """What is asked of the driver."""

    name_prefix: str = _flag("snapshot-name-prefix", string, "snapshot", "First part of a snapshot's name.")
    name_uuid_length: int = _flag(
        "snapshot-name-uuid-length",
        integer,
        -1,
        "Characters of the VolumeSnapshot's UID, without dashes, that follow the prefix. -1: the UID as it is.",
    )
    extra_create_metadata: bool = _flag(
        "extra-create-metadata",
        boolean,
        default=False,
        text="Tell the driver the names of the objects that a snapshot is made for, as parameters.",
    )


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How much at a time, and when again."""

    worker_threads: int = _flag(
        "worker-threads",
        integer,
        10,
        "Contents of one sort (to be created, checked, deleted, written) that are worked at at a time.",
    )
    retry_start: float = _flag(
        "retry-interval-start",
        duration,
        1.0,
        "Time before the first retry of what failed; it doubles with each further failure.",
        shown="1s",
    )
    retry_max: float = _flag("retry-interval-max", duration, 300.0, "Longest time between two retries.", shown="5m0s")
    shutdown_grace: float = _flag(
        "shutdown-grace-period",
        duration,
        20.0,
        "Time that operations under way are given to end after SIGTERM or SIGINT.",
        shown="20s",
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP endpoint for metrics and health."""

    http_endpoint: str = _flag(
        "http-endpoint",
        string,
        "",
        "Address (host:port) to serve metrics and health at. Empty: none.",
    )
    metrics_address: str = _flag(
        "metrics-address",
        string,
        "",
        "Deprecated: use --http-endpoint.",
        note="--metrics-address is deprecated, use --http-endpoint",
    )
    metrics_path: str = _flag("metrics-path", string, "/metrics", "Path of the metrics.")

    @property
    def address(self) -> str:
        return self.http_endpoint or self.metrics_address


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log, on standard error."""

    log_format: str = _flag("logging-format", string, "text", "Form of the log: text or json.")
    verbosity: int = _flag(
        "v", integer, 0, "Verbosity of the log. From 4: each step; from 5: the driver's messages, without secrets."
    )


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Everything that `csi-snapshotter` can be told."""

    driver: DriverSettings = DriverSettings()
    kube: KubeSettings = KubeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    work: WorkSettings = WorkSettings()
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()

    def mistakes(self) -> list[str]:
        """What cannot be meant, all of it; empty when the settings make sense."""
        rules = (
            (self.driver.timeout > 0, "--timeout must be more than zero"),
            (
                self.kube.qps <= 0 or self.kube.burst > 0,
                "--kube-api-burst must be more than zero when --kube-api-qps is given",
            ),
            (self.kube.resync_period > 0, "--resync-period must be more than zero"),
            (bool(self.snapshots.name_prefix), "--snapshot-name-prefix must not be empty"),
            (
                self.snapshots.name_uuid_length == -1 or self.snapshots.name_uuid_length > 0,
                "--snapshot-name-uuid-length must be -1 or more than zero",
            ),
            (self.work.worker_threads > 0, "--worker-threads must be more than zero"),
            (
                0 < self.work.retry_start <= self.work.retry_max,
                "--retry-interval-start must be more than zero and at most --retry-interval-max",
            ),
            (self.work.shutdown_grace >= 0, "--shutdown-grace-period must not be negative"),
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
                and self.web.metrics_path not in ("/healthz", "/readyz"),
                "--metrics-path must be a plain path, and not one of the paths for health",
            ),
            (
                self.logs.log_format in ("text", "json"),
                f'--logging-format must be text or json, not "{self.logs.log_format}"',
            ),
        )
        return [text for holds, text in rules if not holds]


def _is_address(text: str) -> bool:
    _, colon, port = text.rpartition(":")
    return bool(colon) and port.isdecimal() and int(port) < 65536


def host_and_port(address: str) -> tuple[str | None, int]:
    """The parts of `host:port`; no host means all addresses."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or None, int(port)
