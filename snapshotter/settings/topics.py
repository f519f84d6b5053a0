"""What several programs can be told: the API server, the election, the HTTP endpoint, the log.

Each topic knows what of it cannot be meant.
"""

import re
from dataclasses import dataclass

from snapshotter.settings.forms import (
    boolean,
    duration,
    flag,
    integer,
    number,
    pairs,
    quantity,
    string,
    variable,
    verbosities,
)

LONGEST_RETRY = 1.2
"""The renew deadline leaves time for more than one renewal: so many retry periods."""
HEALTH_PATHS = ("/healthz", "/readyz", "/healthz/leader-election")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the settings that cannot be meant, and the exit code that upstream has for it."""

    text: str
    exit_code: int = 1


def broken(*rules: tuple[bool, str]) -> list[Mistake]:
    """The texts of those rules that do not hold."""
    return [Mistake(text) for holds, text in rules if not holds]


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
        "Time after which objects that are not at rest are looked at again without a reason.",
        shown="15m0s",
    )

    def mistakes(self) -> list[Mistake]:
        return broken(
            (
                self.qps <= 0 or self.burst > 0,
                "--kube-api-burst must be more than zero when --kube-api-qps is given",
            ),
            (self.resync_period > 0, "--resync-period must be more than zero"),
        )


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How much at a time, and when again."""

    worker_threads: int = flag(
        "worker-threads",
        integer,
        10,
        "Objects of one sort that are worked at at a time.",
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

    def mistakes(self) -> list[Mistake]:
        return broken(
            (self.worker_threads > 0, "--worker-threads must be more than zero"),
            (
                0 < self.retry_start <= self.retry_max,
                "--retry-interval-start must be more than zero and at most --retry-interval-max",
            ),
            (self.shutdown_grace >= 0, "--shutdown-grace-period must not be negative"),
        )


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """Leader election: of several replicas one works, and the others stand by."""

    enabled: bool = flag("leader-election", boolean, default=False, text="Work only while we hold the lease.")
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

    def mistakes(self) -> list[Mistake]:
        return broken(
            (
                not self.enabled or self.lease_duration > self.renew_deadline > LONGEST_RETRY * self.retry_period > 0,
                (
                    "--leader-election-lease-duration must be more than --leader-election-renew-deadline, "
                    f"that more than {LONGEST_RETRY} times --leader-election-retry-period, and all more than zero"
                ),
            ),
        )


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP endpoint for metrics and health."""

    http_endpoint: str = flag(
        "http-endpoint",
        string,
        "",
        "Address (host:port) to serve metrics and health at. Empty: none.",
    )
    metrics_path: str = flag("metrics-path", string, "/metrics", "Path of the metrics.")

    @property
    def address(self) -> str:
        return self.http_endpoint

    def mistakes(self) -> list[Mistake]:
        return broken(
            (
                not self.address or _is_address(self.address),
                f'"{self.address}" is not an address of the form host:port',
            ),
            (
                re.fullmatch(r"(/[\w.~-]+)+", self.metrics_path) is not None and self.metrics_path not in HEALTH_PATHS,
                "--metrics-path must be a plain path, and not one of the paths for health",
            ),
        )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log, on standard error."""

    log_format: str = flag("logging-format", string, "text", "Form of the log: text or json.")
    verbosity: int = flag(
        "v", integer, 0, "Verbosity of the log. From 4: each step; from 5: the driver's messages, without secrets."
    )

    def mistakes(self) -> list[Mistake]:
        return broken(
            (
                self.log_format in ("text", "json"),
                f'--logging-format must be text or json, not "{self.log_format}"',
            ),
        )


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

    def mistakes(self, logs: LogSettings) -> list[Mistake]:
        return broken(
            (not (self.vmodule and logs.log_format == "json"), "--vmodule is for --logging-format=text alone"),
            (not self.text_split_stream, "--log-text-split-stream is not available"),
            (_is_nothing(self.text_buffer_size), "--log-text-info-buffer-size is not available"),
            (not self.json_split_stream, "--log-json-split-stream is not available"),
            (_is_nothing(self.json_buffer_size), "--log-json-info-buffer-size is not available"),
        )


def host_and_port(address: str) -> tuple[str | None, int]:
    """The parts of `host:port`; no host means all addresses."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or None, int(port)


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdecimal() and int(port) < 65536 and (":" not in host or host.startswith("["))


def _is_nothing(amount: str) -> bool:
    return not re.search("[1-9]", re.split("[a-zA-Z]", amount)[0])
