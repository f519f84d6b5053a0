"""All series that the programs expose, on a registry that is passed in.

Names, labels and buckets that upstream's dashboards know are kept; the others begin with `snapshotter_`.
"""

import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

OPERATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
CONTROLLER_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600)
DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 2))

UNKNOWN_DRIVER = "unknown-driver"
"""The driver's label for calls made before the driver has told its name."""

REVIEW_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REVIEW_OUTCOMES = {
    "conversion": ("success", "failure", "rejected"),
    "admission": ("success", "denied", "failure", "rejected"),
}
"""The kinds of reviews that the webhook answers, and what can come of them."""

CONTENT_STATES = ("ready", "not_ready", "failing", "deleting")


Values = Callable[[], Mapping[str, float]]


class _Computed(Collector):
    """Gauges whose values are asked for when the page is read."""

    def __init__(self) -> None:
        self._gauges: dict[tuple[str, tuple[str, ...]], tuple[str, dict[str, str], str, Values]] = {}

    def add(self, name: str, text: str, labels: dict[str, str], by: str, values: Values) -> Callable[[], None]:
        """Gauges with the same name and labels take the place of earlier ones. What is returned takes these away."""
        key, gauges = (name, tuple(labels.values())), (text, labels, by, values)
        self._gauges[key] = gauges

        def remove() -> None:
            if self._gauges.get(key) is gauges:
                del self._gauges[key]

        return remove

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for (name, _), (text, labels, by, values) in self._gauges.items():
            names = [*labels, by] if by else list(labels)
            family = families.setdefault(name, GaugeMetricFamily(name, text, labels=names))
            for key, value in values().items():
                family.add_metric([*labels.values(), key] if by else list(labels.values()), value)
        return list(families.values())


class _ProcessRest(Collector):
    """The `process_*` series that Go programs have and prometheus_client does not."""

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        yield GaugeMetricFamily(
            "process_virtual_memory_max_bytes",
            "Virtual memory that the process may have at most, in bytes; 2^64-1 when there is no limit.",
            2**64 - 1 if limit == resource.RLIM_INFINITY else limit,
        )
        for name, counted, what in (("receive", "InOctets", "came in"), ("transmit", "OutOctets", "went out")):
            if (octets := _network_octets().get(counted)) is not None:
                yield CounterMetricFamily(
                    f"process_network_{name}_bytes",
                    f"Bytes that {what} over the network of the process's namespace.",
                    octets,
                )


def _network_octets() -> dict[str, float]:
    """The kernel's counters of IP for our network namespace, by their names; none where there is no such file."""
    try:
        text = Path("/proc/self/net/netstat").read_text()
    except OSError:
        return {}
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("IpExt:"))
    return dict(zip(names, map(float, values), strict=True))


class QueueMetrics:
    """The `workqueue_*` series of one queue; a `snapshotter.runtime.workqueue.QueueObserver`."""

    def __init__(self, metrics: "WorkMetrics", name: str) -> None:
        self._adds = metrics.queue_adds.labels(name)
        self._waits = metrics.queue_waits.labels(name)
        self._works = metrics.queue_works.labels(name)
        self._retries = metrics.queue_retries.labels(name)

    def added(self) -> None:
        self._adds.inc()

    def taken(self, waited: float) -> None:
        self._waits.observe(waited)

    def done(self, worked: float) -> None:
        self._works.observe(worked)

    def retried(self) -> None:
        self._retries.inc()


class ElectionMetrics:
    """The series of one lease; a `snapshotter.runtime.leader.Observer`."""

    def __init__(self, metrics: "WorkMetrics", lease: str) -> None:
        self._master = metrics.election_master.labels(lease)
        self._slow_paths = metrics.election_slow_paths.labels(lease)
        self._master.set(0)

    def leads(self, leading: bool, /) -> None:
        self._master.set(leading)

    def slow_path(self) -> None:
        self._slow_paths.inc()


class LoopMetrics:
    """The series of the event loop; a `snapshotter.runtime.lag.LoopObserver`."""

    def __init__(self, metrics: "DaemonMetrics") -> None:
        self._delays = metrics.loop_delays
        self._lag = metrics.loop_lag
        self._tasks = metrics.loop_tasks

    def delayed(self, seconds: float, /) -> None:
        self._delays.observe(seconds)

    def lasted(self, longest_delay: float, tasks: int, /) -> None:
        self._lag.set(longest_delay)
        self._tasks.set(tasks)


class DaemonMetrics:
    """The series that every program has."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Nobody knows the `_created` series, and they would double the number of counters.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        ProcessCollector(registry=registry)
        registry.register(_ProcessRest())
        self.malformed_objects = Counter(
            "snapshotter_malformed_objects",
            "Objects from the API server that could not be understood and were passed over.",
            ("resource",),
            registry=registry,
        )
        self.api_requests = Counter(
            "snapshotter_api_requests",
            "Requests to the API server by HTTP method and status; status 0: there was no answer.",
            ("method", "status"),
            registry=registry,
        )
        self.loop_lag = Gauge(
            "snapshotter_event_loop_lag_seconds",
            "By how many seconds a task that slept got its turn too late; the longest within the last second.",
            registry=registry,
        )
        self.loop_delays = Histogram(
            "snapshotter_event_loop_delay_seconds",
            "By how many seconds a task that slept got its turn too late; measured ten times a second.",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self.loop_tasks = Gauge(
            "snapshotter_event_loop_tasks",
            "Tasks that have not ended; measured once a second. At rest it does not grow.",
            registry=registry,
        )
        self.permission_missing = Gauge(
            "snapshotter_permission_missing",
            "1 while a permission that a feature needs is missing, 0 while it is there; absent where it is not known.",
            ("verb", "group", "resource", "needed_for"),
            registry=registry,
        )
        self._computed = _Computed()
        registry.register(self._computed)

    def watch_gauge(self, name: str, text: str, value: Callable[[], float], /, **labels: str) -> Callable[[], None]:
        """Expose a gauge that is computed when the page is read, until what is returned is called."""
        return self._computed.add(name, text, labels, "", lambda: {"": value()})

    def watch_gauges(self, name: str, text: str, by: str, values: Values, /, **labels: str) -> Callable[[], None]:
        """The same for gauges that are computed together; the label `by` tells them apart."""
        return self._computed.add(name, text, labels, by, values)


class WorkMetrics(DaemonMetrics):
    """The series of the programs that work on objects: queues, and the election."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.queue_adds = Counter(
            "workqueue_adds",
            "Objects that were added to the queue; one that waits already is not added again.",
            ("name",),
            registry=registry,
        )
        self.queue_waits = Histogram(
            "workqueue_queue_duration_seconds",
            "How long objects waited in the queue for a worker, in seconds.",
            ("name",),
            buckets=QUEUE_BUCKETS,
            registry=registry,
        )
        self.queue_works = Histogram(
            "workqueue_work_duration_seconds",
            "How long a worker was at an object, in seconds.",
            ("name",),
            buckets=QUEUE_BUCKETS,
            registry=registry,
        )
        self.queue_retries = Counter(
            "workqueue_retries",
            "Tries that failed, so that the object comes back after a wait.",
            ("name",),
            registry=registry,
        )
        self.election_master = Gauge(
            "leader_election_master_status",
            "1 while we hold the lease, 0 while we stand by.",
            ("name",),
            registry=registry,
        )
        self.election_slow_paths = Counter(
            "leader_election_slowpath",
            "Renewals of the lease that needed more than one request.",
            ("name",),
            registry=registry,
        )


class Metrics(WorkMetrics):
    """The series of `csi-snapshotter`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.operations = Histogram(
            "csi_sidecar_operations_seconds",
            "How long calls to the CSI driver took, in seconds, by method and gRPC status code.",
            ("driver_name", "method_name", "grpc_status_code"),
            buckets=OPERATION_BUCKETS,
            registry=registry,
        )
        self.calls_in_flight = Gauge(
            "snapshotter_csi_calls_in_flight",
            "Calls to the CSI driver that have no answer yet.",
            ("method_name",),
            registry=registry,
        )
        self.driver_connected = Gauge(
            "snapshotter_driver_connected",
            "1 while the CSI driver's socket is connected and the driver has identified itself.",
            registry=registry,
        )
        self._driver_info = Gauge(
            "snapshotter_driver_info",
            "Always 1; tells the CSI driver that this process works for, as it was last met.",
            ("driver_name", "version"),
            registry=registry,
        )

    def driver_met(self, name: str, version: str) -> None:
        """The driver has said who it is and can be called."""
        self._driver_info.clear()
        self._driver_info.labels(name, version).set(1)
        self.driver_connected.set(1)


class ControllerMetrics(WorkMetrics):
    """The series of `snapshot-controller`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.operations = Histogram(
            "snapshot_controller_operation_total_seconds",
            "How long operations on snapshots and groups took, in seconds, from the wish to its fulfilment.",
            ("driver_name", "operation_name", "snapshot_type", "operation_status"),
            buckets=CONTROLLER_BUCKETS,
            registry=registry,
        )


class WebhookMetrics(DaemonMetrics):
    """The series of the webhook. Their labels take no other values than those in this module."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.reviews = Counter(
            "snapshotter_webhook_reviews",
            "Reviews that were answered. Of conversions: success, failure (an object could not be converted), rejected "
            "(not a review). Of admissions: success (allowed), denied, failure (could not be judged), rejected.",
            ("review", "outcome"),
            registry=registry,
        )
        for review, outcomes in REVIEW_OUTCOMES.items():
            for outcome in outcomes:
                self.reviews.labels(review, outcome)
        self.review_durations = Histogram(
            "snapshotter_webhook_review_duration_seconds",
            "How long it took to answer a review, from its first byte to the last of the answer.",
            ("review",),
            buckets=REVIEW_BUCKETS,
            registry=registry,
        )
        self.converted_objects = Counter(
            "snapshotter_webhook_objects",
            "Objects that were converted, by their version before and after.",
            ("from", "to"),
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "snapshotter_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is served expires, in seconds since the epoch.",
            registry=registry,
        )
        self.certificate_reloads = Counter(
            "snapshotter_webhook_certificate_reloads",
            "Attempts to use a changed pair of certificate and key: success, or failure, which keeps the old one.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("success", "failure"):
            self.certificate_reloads.labels(outcome)
