"""What the server does to objects of built-in kinds beyond their schemas."""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from snapshotter.testing.apiserver import admission_objects, definitions, quotas, rbac_objects, workloads
from snapshotter.testing.apiserver.kinds import CRD_GROUP, CRD_PLURAL, Kind
from snapshotter.testing.apiserver.metadata import is_terminating
from snapshotter.testing.apiserver.status import Cause, Json

_FIRST_PHASE = {
    "Namespace": "Active",
    "PersistentVolumeClaim": "Pending",
    "PersistentVolume": "Pending",
    "Pod": "Pending",
}

_VOLUME_SOURCES = ("csi", "hostPath", "local", "nfs", "iscsi", "fc")

PROTECTION_FINALIZERS = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
}
"""What keeps a claim or volume while it is in use."""


def prepare_create(kind: Kind, obj: Json) -> None:
    """Complete a new object."""
    if kind.is_custom:
        return
    if (complete := _DEFAULTS.get(kind.kind)) is not None:
        complete(obj)
    if (phase := _FIRST_PHASE.get(kind.kind)) is not None:
        obj["status"] = {"phase": phase}
    elif (status := workloads.FIRST_STATUS.get(kind.kind)) is not None:
        obj["status"] = dict(status)
    if (finalizer := PROTECTION_FINALIZERS.get(kind.kind)) is not None:
        finalizers = obj["metadata"].setdefault("finalizers", [])
        finalizers += [finalizer] * (finalizer not in finalizers)
    if kind.kind == "Namespace":
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def prepare_update(kind: Kind, obj: Json, earlier: Mapping[str, Any]) -> None:
    """Complete a changed object."""
    if kind.is_custom:
        return
    if (complete := _DEFAULTS.get(kind.kind)) is not None:
        complete(obj)
    if kind.kind == "Namespace":
        # Only the namespace controller may take away what holds a namespace.
        obj["spec"] = earlier.get("spec", {})
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def prepare_delete(kind: Kind, obj: Json) -> bool:
    """Note in the object that it is being deleted; the answer is whether something must happen before it goes."""
    if kind.kind == "Namespace" and not kind.is_custom:
        obj["status"] = {"phase": "Terminating"}
        return bool(obj.get("spec", {}).get("finalizers"))
    if kind.key == (CRD_GROUP, CRD_PLURAL):
        definitions.begin_cleanup(obj)
    return False


def is_held(kind: Kind, obj: Mapping[str, Any]) -> bool:
    """Whether a terminating object has to stay."""
    if obj["metadata"].get("finalizers"):
        return True
    return not kind.is_custom and kind.kind == "Namespace" and bool(obj.get("spec", {}).get("finalizers"))


def broken(kind: Kind, obj: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterable[Cause]:
    """What a schema cannot say."""
    check = None if kind.is_custom else _CHECKS.get(kind.kind)
    return () if check is None else check(obj, earlier)


def _fold_string_data(secret: Json) -> None:
    for key, value in secret.pop("stringData", {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _broken_secret(secret: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterable[Cause]:
    if earlier is None:
        return
    if secret.get("type") != earlier.get("type"):
        yield Cause("type", "FieldValueInvalid", "field is immutable", value=secret.get("type"))
    if earlier.get("immutable") and secret.get("data") != earlier.get("data"):
        yield Cause("data", "FieldValueForbidden", "field is immutable when `immutable` is set")


def _broken_event(event: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterable[Cause]:
    involved = event.get("involvedObject", {}).get("namespace", "")
    namespace = event["metadata"].get("namespace")
    # Events about objects of the whole cluster live in the namespace "default".
    if involved != namespace and not (involved == "" and namespace == "default"):
        detail = "does not match event.namespace"
        yield Cause("involvedObject.namespace", "FieldValueInvalid", detail, value=involved)


def _broken_lease(lease: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterable[Cause]:
    duration = lease.get("spec", {}).get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield Cause("spec.leaseDurationSeconds", "FieldValueInvalid", "must be greater than 0", value=duration)
    transitions = lease.get("spec", {}).get("leaseTransitions")
    if transitions is not None and transitions < 0:
        yield Cause(
            "spec.leaseTransitions", "FieldValueInvalid", "must be greater than or equal to 0", value=transitions
        )


def _broken_claim(claim: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterable[Cause]:
    spec = claim.get("spec", {})
    if not spec.get("accessModes"):
        yield Cause("spec.accessModes", "FieldValueRequired", "at least 1 access mode is required")
    if "storage" not in spec.get("resources", {}).get("requests", {}):
        yield Cause("spec.resources[storage]", "FieldValueRequired")
    if earlier is None:
        return
    before = earlier.get("spec", {})
    free = set() if before.get("volumeName") else {"volumeName"}
    if earlier.get("status", {}).get("phase") == "Bound":
        free |= {"resources", "volumeAttributesClassName"}
    if any(spec.get(name) != before.get(name) for name in spec.keys() | before.keys() if name not in free):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield Cause("spec", "FieldValueForbidden", detail)


def _broken_volume(volume: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterable[Cause]:
    spec = volume.get("spec", {})
    if not spec.get("accessModes"):
        yield Cause("spec.accessModes", "FieldValueRequired")
    if not spec.get("capacity"):
        yield Cause("spec.capacity", "FieldValueRequired")
    if not any(isinstance(spec.get(source), dict) for source in _VOLUME_SOURCES):
        yield Cause("spec", "FieldValueRequired", "must specify a volume type")
    for member in ("driver", "volumeHandle") if "csi" in spec else ():
        if not spec["csi"].get(member):
            yield Cause(f"spec.csi.{member}", "FieldValueRequired")


def _broken_storage_class(storage_class: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterable[Cause]:
    if not storage_class.get("provisioner"):
        yield Cause("provisioner", "FieldValueRequired")
    if earlier is None:
        return
    if storage_class.get("provisioner") != earlier.get("provisioner"):
        yield Cause("provisioner", "FieldValueInvalid", "field is immutable", value=storage_class.get("provisioner"))
    for name in ("parameters", "reclaimPolicy", "volumeBindingMode"):
        if storage_class.get(name) != earlier.get(name):
            yield Cause(name, "FieldValueForbidden", f"updates to {name} are forbidden.")


def _broken_definition(definition: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterable[Cause]:
    return definitions.broken(definition, earlier) if not is_terminating(definition) else ()


_CHECKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]] = {
    "Secret": _broken_secret,
    "Event": _broken_event,
    "Lease": _broken_lease,
    "PersistentVolumeClaim": _broken_claim,
    "PersistentVolume": _broken_volume,
    "StorageClass": _broken_storage_class,
    "CustomResourceDefinition": _broken_definition,
    "ClusterRole": rbac_objects.broken_role,
    "Role": rbac_objects.broken_role,
    "ClusterRoleBinding": rbac_objects.broken_binding,
    "RoleBinding": rbac_objects.broken_binding,
    "ValidatingWebhookConfiguration": admission_objects.broken,
    "Deployment": workloads.broken_workload,
    "DaemonSet": workloads.broken_workload,
    "StatefulSet": workloads.broken_workload,
    "Service": workloads.broken_service,
    "ResourceQuota": quotas.broken_quota,
}

_DEFAULTS: dict[str, Callable[[Json], None]] = {
    "Deployment": workloads.complete_workload,
    "DaemonSet": workloads.complete_workload,
    "StatefulSet": workloads.complete_workload,
    "Service": workloads.complete_service,
    "NetworkPolicy": workloads.complete_network_policy,
    "ResourceQuota": quotas.complete_quota,
    "Secret": _fold_string_data,
    "CustomResourceDefinition": definitions.complete,
    "ClusterRoleBinding": rbac_objects.complete_binding,
    "RoleBinding": rbac_objects.complete_binding,
    "ValidatingWebhookConfiguration": admission_objects.complete,
}
