"""The series as Prometheus reads them."""

import socket

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.metrics import (
    OPERATION_BUCKETS,
    QUEUE_BUCKETS,
    REVIEW_OUTCOMES,
    UNKNOWN_DRIVER,
    DaemonMetrics,
    Metrics,
    QueueMetrics,
    WebhookMetrics,
)


def page(metrics: DaemonMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def samples(metrics: DaemonMetrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The values of a series by their labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page(metrics))
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def test_calls_to_the_driver_are_counted_as_dashboards_know_them(metrics: Metrics) -> None:
    labels = ("mock.csi.example.com", "/csi.v1.Controller/CreateSnapshot", "DeadlineExceeded")
    metrics.operations.labels(*labels).observe(0.3)
    metrics.operations.labels(*labels).observe(60.0)
    key = (
        ("driver_name", "mock.csi.example.com"),
        ("grpc_status_code", "DeadlineExceeded"),
        ("method_name", "/csi.v1.Controller/CreateSnapshot"),
    )
    assert samples(metrics, "csi_sidecar_operations_seconds_count") == {key: 2}
    assert samples(metrics, "csi_sidecar_operations_seconds_sum")[key] == pytest.approx(60.3)
    buckets = samples(metrics, "csi_sidecar_operations_seconds_bucket")
    by_limit = {dict(labels)["le"]: count for labels, count in buckets.items()}
    assert [float(limit) for limit in by_limit] == [*OPERATION_BUCKETS, float("inf")]
    assert (by_limit["0.25"], by_limit["0.5"], by_limit["50.0"], by_limit["120.0"]) == (0, 1, 1, 2)


def test_operations_have_upstreams_buckets() -> None:
    assert OPERATION_BUCKETS == (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
    assert pytest.approx((1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10)) == QUEUE_BUCKETS
    assert UNKNOWN_DRIVER == "unknown-driver"


def test_a_queue_tells_what_becomes_of_its_keys(metrics: Metrics) -> None:
    queue = QueueMetrics(metrics, "csi-snapshotter-content")
    other = QueueMetrics(metrics, "other")
    queue.added()
    queue.added()
    queue.taken(0.5)
    queue.done(2.0)
    queue.retried()
    other.added()
    name, other_name = (("name", "csi-snapshotter-content"),), (("name", "other"),)
    assert samples(metrics, "workqueue_adds_total") == {name: 2, other_name: 1}
    assert samples(metrics, "workqueue_retries_total") == {name: 1, other_name: 0}
    assert samples(metrics, "workqueue_queue_duration_seconds_sum")[name] == 0.5
    assert samples(metrics, "workqueue_queue_duration_seconds_count")[name] == 1
    assert samples(metrics, "workqueue_work_duration_seconds_sum")[name] == 2.0
    assert samples(metrics, "workqueue_work_duration_seconds_count")[name] == 1


def test_a_gauge_is_computed_when_the_page_is_read(metrics: Metrics) -> None:
    depth = 3.0
    metrics.watch_gauge("workqueue_depth", "Keys that wait.", lambda: depth, name="a")
    metrics.watch_gauge("workqueue_depth", "Keys that wait.", lambda: 2 * depth, name="b")
    metrics.watch_gauge("snapshotter_leader", "1 while we lead.", lambda: 1.0)
    assert samples(metrics, "workqueue_depth") == {(("name", "a"),): 3, (("name", "b"),): 6}
    depth = 5.0
    assert samples(metrics, "workqueue_depth") == {(("name", "a"),): 5, (("name", "b"),): 10}
    assert samples(metrics, "snapshotter_leader") == {(): 1}


def test_a_gauge_that_is_taken_away_leaves_its_successor_alone(metrics: Metrics) -> None:
    remove_first = metrics.watch_gauge("workqueue_depth", "Keys that wait.", lambda: 1.0, name="a")
    remove_second = metrics.watch_gauge("workqueue_depth", "Keys that wait.", lambda: 2.0, name="a")
    remove_first()
    assert samples(metrics, "workqueue_depth") == {(("name", "a"),): 2}
    remove_second()
    assert "workqueue_depth" not in page(metrics)


def test_a_driver_that_returns_with_another_version_is_told_once(metrics: Metrics) -> None:
    metrics.driver_met("mock", "1.0")
    metrics.driver_met("mock", "1.1")
    assert samples(metrics, "snapshotter_driver_info") == {(("driver_name", "mock"), ("version", "1.1")): 1}
    assert samples(metrics, "snapshotter_driver_connected") == {(): 1}


def test_each_family_is_declared_once(metrics: Metrics) -> None:
    for name in "ab":
        metrics.watch_gauge("workqueue_depth", "Keys that wait.", lambda: 0.0, name=name)
    declared = [line for line in page(metrics).splitlines() if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))


def test_our_own_series_begin_with_our_name(metrics: Metrics) -> None:
    known = ("csi_sidecar_", "workqueue_", "leader_election_", "process_")
    names = {family.name for family in text_string_to_metric_families(page(metrics))}
    assert {name for name in names if not name.startswith((*known, "snapshotter_"))} == set()
    assert {
        "snapshotter_csi_calls_in_flight",
        "snapshotter_driver_connected",
        "snapshotter_malformed_objects",
        "snapshotter_api_requests",
    } <= names


def send_over_loopback(data: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        far, _ = server.accept()
        with far:
            client.sendall(data)
            assert len(far.recv(len(data), socket.MSG_WAITALL)) == len(data)


def test_the_process_is_measured(metrics: Metrics) -> None:
    assert samples(metrics, "process_start_time_seconds")[()] > 0
    assert samples(metrics, "process_resident_memory_bytes")[()] > 0
    assert samples(metrics, "process_virtual_memory_max_bytes")[()] > 0
    received, sent = (f"process_network_{name}_bytes_total" for name in ("receive", "transmit"))
    before = samples(metrics, received)[()], samples(metrics, sent)[()]
    send_over_loopback(b"x" * 1000)
    assert samples(metrics, received)[()] >= before[0] + 1000
    assert samples(metrics, sent)[()] >= before[1] + 1000


def test_no_series_tells_only_when_another_began(metrics: Metrics) -> None:
    QueueMetrics(metrics, "a").added()
    assert "_created" not in page(metrics)


def test_two_sets_of_metrics_do_not_meet() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.driver_connected.set(1)
    assert samples(second, "snapshotter_driver_connected") == {(): 0}


def test_the_series_of_the_webhook_begin_at_zero_and_do_not_speak_of_a_driver() -> None:
    metrics = WebhookMetrics(CollectorRegistry())
    reviews = samples(metrics, "snapshotter_webhook_reviews_total")
    assert {(dict(labels)["review"], dict(labels)["outcome"]) for labels in reviews} == {
        (review, outcome) for review, outcomes in REVIEW_OUTCOMES.items() for outcome in outcomes
    }
    reloads = samples(metrics, "snapshotter_webhook_certificate_reloads_total")
    assert reloads == {(("outcome", "failure"),): 0, (("outcome", "success"),): 0}
    assert samples(metrics, "snapshotter_event_loop_lag_seconds") == {(): 0}
    assert "driver" not in page(metrics)
