"""Roles for the ServiceAccount of a program, made from rules or from the table of its permissions."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP
from snapshotter.plan.permissions import EVENT_NAMESPACE, Permission, Places, Where, questions

RBAC: Final = "rbac.authorization.k8s.io"
API_VERSION: Final = f"{RBAC}/v1"

Object = dict[str, Any]


def rule(group: str, resource: str, verbs: str, *names: str) -> Object:
    """A rule of a role; the verbs are separated by blanks, and hold for these names alone if some are given."""
    only = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": [resource], "verbs": verbs.split(), **only}


def role(name: str, namespace: str, rules: Iterable[Object]) -> Object:
    """A Role, or a ClusterRole where there is no namespace."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "rules": list(rules)}


def binding(name: str, namespace: str, account: str) -> Object:
    """What binds the role of the same name to an account of the namespace default."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": API_VERSION,
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    }


def collection(given: Object) -> str:
    """Where a role or binding is created."""
    namespace = given["metadata"].get("namespace")
    return f"/apis/{API_VERSION}" + (f"/namespaces/{namespace}" if namespace else "") + f"/{given['kind'].lower()}s"


def roles_of(table: Iterable[Permission], places: Places, name: str) -> Iterator[Object]:
    """Roles that give these permissions and nothing else, each just where it is needed."""
    rules: dict[str, list[Object]] = {}
    for permission in table:
        for access in questions([permission], places):
            names = (access.name,) if access.name and permission.where is not Where.CLUSTER else ()
            found = rule(permission.group, permission.full_resource, permission.verb, *names)
            rules.setdefault(access.namespace, []).append(found)
    for namespace in {"", EVENT_NAMESPACE, *([places.lease[0]] if places.lease else [])} | rules.keys():
        yield role(name, namespace, rules.get(namespace, []))


# Upstream's roles for the sidecar, as its manifest `rbac-csi-snapshotter.yaml` has them.

UPSTREAM_SIDECAR: Final = (
    rule("", "events", "list watch create update patch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotclasses", "get list watch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotcontents", "get list watch update patch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotcontents/status", "update patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", "get list watch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "get list watch update patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents/status", "update patch"),
)
UPSTREAM_SECRETS: Final = rule("", "secrets", "get list")
"""Commented out there, for drivers with credentials."""
UPSTREAM_LEASES: Final = (rule("coordination.k8s.io", "leases", "get watch list delete update create"),)

# Upstream's role for the snapshot-controller, as its manifest `rbac-snapshot-controller.yaml` has it.

UPSTREAM_CONTROLLER: Final = (
    rule("", "persistentvolumes", "get list watch"),
    rule("", "persistentvolumeclaims", "get list watch update"),
    rule("", "events", "list watch create update patch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotclasses", "get list watch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotcontents", "create get list watch update delete patch"),
    rule(SNAPSHOT_GROUP, "volumesnapshotcontents/status", "patch"),
    rule(SNAPSHOT_GROUP, "volumesnapshots", "create get list watch update patch delete"),
    rule(SNAPSHOT_GROUP, "volumesnapshots/status", "update patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", "get list watch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "create get list watch update delete patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents/status", "patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshots", "get list watch update patch"),
    rule(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshots/status", "update patch"),
)
UPSTREAM_NODES: Final = rule("", "nodes", "get list watch")
"""Commented out there, for distributed snapshotting."""
