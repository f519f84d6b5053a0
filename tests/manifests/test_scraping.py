"""Prometheus finds the programs: what the monitors select is what the other manifests make."""

from typing import Any

import pytest

from tests.manifests.programs import CONTROLLER, SIDECAR, WEBHOOK
from tests.manifests.rendering import (
    MANIFESTS,
    Container,
    Workload,
    objects_in,
    of_kind,
    one,
    rendered,
    workloads,
    written,
)

BASES = {SIDECAR: "csi-snapshotter", CONTROLLER: "snapshot-controller", WEBHOOK: "webhook"}
"""Where the pods of each program are made."""
each_program = pytest.mark.parametrize("program", BASES)

Json = dict[str, Any]


def pod_monitor(program: str) -> Json:
    found = objects_in((MANIFESTS / "monitoring" / "pod-monitors.yaml").read_text())
    return one(found, "PodMonitor", program)


def workload(program: str) -> Workload:
    (found,) = workloads(written(BASES[program]))
    return found


def container(program: str) -> Container:
    return next(each for each in workload(program).containers if each.program == program)


def namespace(program: str) -> str:
    return str(workload(program).object["metadata"]["namespace"])


def is_selected(labels: dict[str, str], selector: Json) -> bool:
    assert selector.keys() == {"matchLabels"}
    wanted: dict[str, str] = selector["matchLabels"]
    return wanted.items() <= labels.items()


def scraped_as(endpoint: Json) -> str:
    """The job that the rules and the dashboard know it by."""
    (job,) = [each["replacement"] for each in endpoint["relabelings"] if each.get("targetLabel") == "job"]
    return str(job)


@each_program
def test_a_pod_monitor_finds_the_pods_of_its_program(program: str) -> None:
    monitor = pod_monitor(program)["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert is_selected(workload(program).labels, monitor["selector"])
    assert monitor["namespaceSelector"] == {"any": True}
    assert endpoint["port"] in container(program).ports
    assert scraped_as(endpoint) == program


@each_program
def test_a_monitor_selects_no_other_program(program: str) -> None:
    selector = pod_monitor(program)["spec"]["selector"]
    assert [other for other in BASES if is_selected(workload(other).labels, selector)] == [program]


def test_of_a_driver_only_the_sidecar_is_read() -> None:
    (endpoint,) = pod_monitor(SIDECAR)["spec"]["podMetricsEndpoints"]
    keep = endpoint["relabelings"][0]
    assert keep["action"] == "keep"
    assert keep["sourceLabels"] == ["__meta_kubernetes_pod_container_name"]
    assert keep["regex"] == container(SIDECAR).name


@each_program
def test_the_port_is_the_one_that_the_program_serves_metrics_at(program: str) -> None:
    (flag,) = [each for each in container(program).arguments if each.startswith("--http-endpoint=")]
    assert container(program).ports["http"] == int(flag.rpartition(":")[2])
    assert not any("--metrics-path" in each for each in container(program).arguments)


@each_program
def test_a_service_monitor_finds_the_pods_by_a_service(program: str) -> None:
    objects = written("monitoring/service-monitors")
    monitor = one(objects, "ServiceMonitor", program)["spec"]
    service = one(objects, "Service", f"{program}-metrics")
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    assert is_selected(service["metadata"]["labels"], monitor["selector"])
    assert service["metadata"]["namespace"] == namespace(program)
    assert is_selected(workload(program).labels, {"matchLabels": service["spec"]["selector"]})
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] == container(program).ports["http"]
    assert scraped_as(endpoint) == program


@pytest.mark.kustomize
def test_services_take_the_place_of_pod_monitors() -> None:
    by_pods, by_services = rendered("monitoring"), rendered("overlays/monitoring-service-monitors")
    assert len(of_kind(by_pods, "PodMonitor")) == len(BASES)
    assert of_kind(by_services, "PodMonitor") == []
    assert len(of_kind(by_services, "ServiceMonitor")) == len(of_kind(by_services, "Service")) == len(BASES)
    for kind in ("PrometheusRule", "ConfigMap"):
        assert of_kind(by_pods, kind) == of_kind(by_services, kind)
        assert len(of_kind(by_pods, kind)) == 1
