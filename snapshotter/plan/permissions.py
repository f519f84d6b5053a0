"""The permissions that each program uses: one table for the check at the start, for roles, and for people.

`snapshotter.daemon.permissions` asks the API server about them, and a test compares them with what is really requested.
Not listed is what every authenticated client may do: discovery, and asking about its own permissions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from snapshotter.names import GROUP_SNAPSHOT_GROUP, SNAPSHOT_GROUP
from snapshotter.plan.secrets import SecretRef

EVENT_NAMESPACE: Final = "default"
"""Where events about cluster-scoped objects live."""
LEASE_GROUP: Final = "coordination.k8s.io"
OPTIONAL_GROUPS: Final = frozenset({GROUP_SNAPSHOT_GROUP})
"""API groups that a cluster may do without."""


class Where(StrEnum):
    """In which part of the cluster a permission is needed."""

    CLUSTER = "the whole cluster"
    EVENTS = "namespace default"
    LEASE = "the namespace of the lease"
    SECRETS = "the Secrets that classes and contents name"


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource, the feature that needs it, and what is lost without it."""

    verb: str
    group: str
    """Empty: the core group."""
    resource: str
    needed_for: str
    """The feature. A label of a metric, so there are few of them."""
    without_it: str
    where: Where = Where.CLUSTER
    subresource: str = ""
    required: bool = False
    """Without it the program cannot do its work, so it is not ready."""

    @property
    def full_resource(self) -> str:
        """The resource as roles name it: `volumesnapshotcontents/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs: a verb on a resource, in a namespace or at large, on one object or on any."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        name = f' "{self.name}"' if self.name else ""
        group = f' in API group "{self.group}"' if self.group else ""
        namespace = f' in namespace "{self.namespace}"' if self.namespace else ""
        return f"{self.verb} {resource}{name}{group}{namespace}"


@dataclass(frozen=True, slots=True)
class Places:
    """What only a running program knows: where its lease is, which Secrets it has to read, and what is not served."""

    lease: tuple[str, str] | None = None
    """Namespace and name; None: there is no election, or the name is not known yet."""
    secrets: tuple[SecretRef, ...] = ()
    unserved: frozenset[str] = frozenset()
    """API groups that are not there: nothing is asked of them, so nothing is missing."""


def questions(table: Iterable[Permission], places: Places) -> Mapping[Access, tuple[Permission, ...]]:
    """What to ask the API server, and which permissions each question is about.

    Leases and Secrets are asked about by their names, so that a role that gives just these names suffices.
    """
    found: dict[Access, tuple[Permission, ...]] = {}
    for permission in table:
        for access in () if permission.group in places.unserved else _accesses(permission, places):
            found[access] = (*found.get(access, ()), permission)
    return found


def question_about(access: Access, asked: Iterable[Access]) -> Access | None:
    """Of what is asked, the question whose answer tells whether we have an access: by its name, or at large."""
    wider = (
        access,
        Access(access.verb, access.group, access.resource, access.subresource, access.namespace),
        Access(access.verb, access.group, access.resource, access.subresource),
    )
    known = set(asked)
    return next((question for question in wider if question in known), None)


def _accesses(permission: Permission, places: Places) -> list[Access]:
    plain = Access(permission.verb, permission.group, permission.resource, permission.subresource)
    match permission.where:
        case Where.CLUSTER:
            return [plain]
        case Where.EVENTS:
            return [_within(plain, EVENT_NAMESPACE)]
        case Where.LEASE:
            if places.lease is None:
                return []
            namespace, name = places.lease
            # The name of an object that is created is not known to the authorizer.
            return [_within(plain, namespace, "" if permission.verb == "create" else name)]
        case Where.SECRETS:
            return [_within(plain, secret.namespace, secret.name) for secret in places.secrets]
        case _:
            assert_never(permission.where)


def _within(access: Access, namespace: str, name: str = "") -> Access:
    return Access(access.verb, access.group, access.resource, access.subresource, namespace, name)


def sidecar(*, groups: bool = True, election: bool = True) -> tuple[Permission, ...]:
    """What `csi-snapshotter` uses; the same with and without `--node-deployment`."""
    return (
        *_contents(SNAPSHOT_GROUP, "volumesnapshotcontents", "single snapshots", required=True),
        *_classes(SNAPSHOT_GROUP, "volumesnapshotclasses", "single snapshots", required=True),
        *(_group_permissions() if groups else ()),
        *_EVENTS,
        _SECRETS,
        *(_LEASES if election else ()),
    )


def _group_permissions() -> tuple[Permission, ...]:
    return (
        *_contents(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents", "group snapshots", required=False),
        *_classes(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", "group snapshots", required=False),
    )


_SLOWLY: Final = "changes are seen by listing every few seconds"
_LATER: Final = "after a write that met another writer's, the next try waits for the watch"
_NO_EVENTS: Final = "failures are told in the status alone"
_NOT_COUNTED: Final = "an event that comes again is not counted up"


def _contents(group: str, contents: str, feature: str, *, required: bool) -> tuple[Permission, ...]:
    return (
        *_followed(group, contents, feature, f"there are no {feature}", required=required),
        Permission("get", group, contents, feature, _LATER),
        Permission(
            "patch",
            group,
            contents,
            feature,
            "no snapshot is begun and no deletion ends: marks and the finalizer cannot be written",
            required=required,
        ),
        Permission(
            "patch",
            group,
            contents,
            feature,
            "nothing becomes ready, and failures are told by events alone",
            subresource="status",
            required=required,
        ),
    )


def _classes(group: str, classes: str, feature: str, *, required: bool) -> tuple[Permission, ...]:
    lost = "contents with a class are neither begun nor looked up; deletions and imports without a class go on"
    return _followed(group, classes, feature, lost, required=required)


_EVENTS: Final = (
    Permission("create", "", "events", "events", _NO_EVENTS, Where.EVENTS),
    Permission("patch", "", "events", "events", _NOT_COUNTED, Where.EVENTS),
)

_SECRETS: Final = Permission(
    "get",
    "",
    "secrets",
    "credentials for the driver",
    "what is done with credentials fails, and the status says so; the rest goes on",
    Where.SECRETS,
)

_LEASES: Final = (
    Permission("get", LEASE_GROUP, "leases", "leader election", "nobody leads", Where.LEASE, required=True),
    Permission(
        "create", LEASE_GROUP, "leases", "leader election", "nobody leads until somebody makes the lease", Where.LEASE
    ),
    Permission("update", LEASE_GROUP, "leases", "leader election", "nobody leads", Where.LEASE, required=True),
    Permission("create", "", "events", "events about the leader", "who leads is told by the lease alone", Where.LEASE),
)


def webhook(*, default_class_admission: bool = True) -> tuple[Permission, ...]:
    """What `snapshot-conversion-webhook` uses: nothing, unless it admits default classes."""
    if not default_class_admission:
        return ()
    feature = "default class admission"
    unchecked = "the classes of this kind are not checked"
    return (
        *_followed(SNAPSHOT_GROUP, "volumesnapshotclasses", feature, unchecked),
        *_followed(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotclasses", feature, unchecked),
    )


def controller(
    *, groups: bool = True, election: bool = True, distributed_snapshotting: bool = False
) -> tuple[Permission, ...]:
    """What `snapshot-controller` uses; all of it is in upstream's role."""
    return (
        *_controlled(SNAPSHOT_GROUP, "volumesnapshot", "single snapshots", required=True),
        *_followed("", "persistentvolumeclaims", "single snapshots", "no snapshot is begun", required=True),
        *_rows("", "persistentvolumeclaims", "protection of claims", "a claim may go while it is cut", "get", "update"),
        *_followed("", "persistentvolumes", "single snapshots", "no snapshot is begun", required=True),
        *(_controlled_groups() if groups else ()),
        *(
            _followed("", "nodes", "distributed snapshotting", "contents are not given to nodes")
            if distributed_snapshotting
            else ()
        ),
        *_rows("", "events", "events", _NO_EVENTS, "create"),
        *_rows("", "events", "events", _NOT_COUNTED, "patch"),
        *(_LEASES if election else ()),
    )


def _controlled(group: str, snapshot: str, feature: str, *, required: bool) -> tuple[Permission, ...]:
    snapshots, contents, classes = f"{snapshot}s", f"{snapshot}contents", f"{snapshot}classes"
    return (
        *_followed(group, classes, feature, "no snapshot is begun", required=required),
        *_followed(group, contents, feature, f"there are no {feature}", required=required),
        *_rows(group, contents, feature, _LATER, "get"),
        *_rows(group, contents, feature, "no snapshot is begun", "create", required=required),
        *_rows(group, contents, feature, "no deletion ends", "patch", "delete", required=required),
        *_followed(group, snapshots, feature, f"there are no {feature}", required=required),
        *_rows(group, snapshots, feature, _LATER, "get"),
        *_rows(group, snapshots, feature, "finalizers cannot be written", "patch", required=required),
        Permission(
            "patch", group, snapshots, feature, "nothing becomes ready", subresource="status", required=required
        ),
    )


def _controlled_groups() -> tuple[Permission, ...]:
    feature = "group snapshots"
    return (
        *_controlled(GROUP_SNAPSHOT_GROUP, "volumegroupsnapshot", feature, required=False),
        *_rows(SNAPSHOT_GROUP, "volumesnapshots", feature, "groups get and lose no members", "create", "delete"),
        Permission(
            "patch",
            SNAPSHOT_GROUP,
            "volumesnapshotcontents",
            feature,
            "members do not become ready",
            subresource="status",
        ),
    )


def _followed(
    group: str, resource: str, feature: str, without_list: str, *, required: bool = False
) -> tuple[Permission, ...]:
    """What it takes to know the objects of a kind."""
    return (
        Permission("list", group, resource, feature, without_list, required=required),
        Permission("watch", group, resource, feature, _SLOWLY),
    )


def _rows(
    group: str, resource: str, feature: str, without_it: str, *verbs: str, required: bool = False
) -> tuple[Permission, ...]:
    return tuple(Permission(verb, group, resource, feature, without_it, required=required) for verb in verbs)
