"""What manifests put into a cluster beside our own kinds: defaults and checks, as far as a manifest can get them wrong.

Nothing comes of these objects here. No pod is run, no address answers, no traffic is filtered.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from snapshotter.testing.apiserver.selectors import selector_of
from snapshotter.testing.apiserver.status import Cause, Json

FIRST_STATUS: Mapping[str, Json] = {
    "Deployment": {},
    "DaemonSet": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
    "PodDisruptionBudget": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    "Service": {"loadBalancer": {}},
    "ResourceQuota": {},
}
"""The status of a new object."""

_ROLLING: Mapping[str, tuple[str, Json]] = {
    "Deployment": ("strategy", {"maxUnavailable": "25%", "maxSurge": "25%"}),
    "DaemonSet": ("updateStrategy", {"maxUnavailable": 1, "maxSurge": 0}),
    "StatefulSet": ("updateStrategy", {"partition": 0}),
}
"""Where it is said how pods are exchanged, and what is left out there."""


def complete_workload(workload: Json) -> None:
    spec = workload.setdefault("spec", {})
    member, usual = _ROLLING[workload["kind"]]
    strategy = spec.setdefault(member, {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy["rollingUpdate"] = usual | strategy.get("rollingUpdate", {})
    pod = spec.get("template", {}).get("spec", {})
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        if image := container.get("image"):
            container.setdefault("imagePullPolicy", _pull_policy(image))


def _pull_policy(image: str) -> str:
    """What has a tag of its own, or a digest, does not change and need not be pulled again."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "IfNotPresent" if "@" in image or tag not in ("", "latest") else "Always"


def broken_workload(workload: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = workload.get("spec", {})
    selector, template = spec.get("selector"), spec.get("template", {})
    if selector is None:
        if workload["kind"] != "DaemonSet":
            yield Cause("spec.selector", "FieldValueRequired")
    elif not (selector.get("matchLabels") or selector.get("matchExpressions")):
        detail = f"empty selector is invalid for {workload['kind'].lower()}"
        yield Cause("spec.selector", "FieldValueInvalid", detail, value=selector)
    labels = template.get("metadata", {}).get("labels", {})
    if selector is None or not selector_of(selector).matches_labels(labels):
        detail = "`selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", "FieldValueInvalid", detail, value=labels)
    yield from _broken_containers(template.get("spec", {}).get("containers", ()))
    if earlier is not None and selector != earlier["spec"].get("selector"):
        yield Cause("spec.selector", "FieldValueInvalid", "field is immutable", value=selector)


def _broken_containers(containers: list[Json]) -> Iterator[Cause]:
    at = "spec.template.spec.containers"
    if not containers:
        yield Cause(at, "FieldValueRequired")
    names: set[str] = set()
    for index, container in enumerate(containers):
        name = container.get("name")
        if not name:
            yield Cause(f"{at}[{index}].name", "FieldValueRequired")
        elif name in names:
            yield Cause(f"{at}[{index}].name", "FieldValueDuplicate", value=name)
        names.add(name or "")
        if not container.get("image"):
            yield Cause(f"{at}[{index}].image", "FieldValueRequired")


def complete_service(service: Json) -> None:
    spec = service.setdefault("spec", {})
    for port in spec.get("ports", ()):
        port.setdefault("targetPort", port.get("port"))
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        # Its address belongs to it, and stays: so it is made of what does not change either.
        first, second = bytes.fromhex(service["metadata"]["uid"].replace("-", ""))[:2]
        spec["clusterIP"] = f"10.96.{first}.{second}"
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")


def broken_service(service: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = service.get("spec", {})
    ports = spec.get("ports", ())
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield Cause("spec.ports", "FieldValueRequired")
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield Cause(f"{at}.name", "FieldValueRequired")
        if not 1 <= port.get("port", 0) <= 65535:
            detail = "must be between 1 and 65535, inclusive"
            yield Cause(f"{at}.port", "FieldValueInvalid", detail, value=port.get("port", 0))


def complete_network_policy(policy: Json) -> None:
    """A policy is about what comes in, and about what goes out if it has rules for that."""
    spec = policy.setdefault("spec", {})
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
