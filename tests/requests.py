"""Values for tests of the snapshot-controller: requests, contents, claims, volumes; and a cluster made of them.

Each factory takes as keywords only what a case is about. The rest is as it usually is: everything in namespace `shop`,
a claim `data` that is bound to volume `pv-data`, which the driver knows as `vol-data`, and the class `class-1`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from snapshotter import names
from snapshotter.controller.stores import Stores
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.storage import Claim, Node, Volume
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from tests.factories import DRIVER

NAMESPACE = "shop"
UID = "11111111-2222-3333-4444-555555555555"
GROUP_UID = "99999999-8888-7777-6666-555555555555"
CREATED_AT_NS = 1_700_000_000_123_456_789
CREATED_AT = "2023-11-14T22:13:20Z"
DELETED_AT = "2024-05-06T07:08:09Z"
SOURCE, BOUND, IN_GROUP = names.SOURCE_FINALIZER, names.BOUND_FINALIZER, names.IN_GROUP_FINALIZER
BOTH = (SOURCE, BOUND)
GROUP_BOUND = names.GROUP_BOUND_FINALIZER

Json = dict[str, Any]


def present(**given: Any) -> Json:
    """What is not None."""
    return {key: value for key, value in given.items() if value is not None}


def _error(message: str | None) -> Json | None:
    return None if message is None else {"message": message, "time": "2024-01-02T03:04:05Z"}


def _status(fields: Json, *, has_status: bool) -> Json:
    return {"status": fields} if fields or has_status else {}


def _meta(name: str, uid: str, *, deleting: bool, finalizers: tuple[str, ...], **more: Any) -> Json:
    return present(
        name=name,
        uid=uid,
        resourceVersion="10",
        creationTimestamp="2024-01-01T00:00:00Z",
        deletionTimestamp=DELETED_AT if deleting else None,
        finalizers=list(finalizers),
        **more,
    )


def owner(
    name: str = "group", *, uid: str = GROUP_UID, version: str = "v1", kind: str = "VolumeGroupSnapshot"
) -> dict[str, str]:
    return {"apiVersion": f"{names.GROUP_SNAPSHOT_GROUP}/{version}", "kind": kind, "name": name, "uid": uid}


def request(
    name: str = "nightly",
    *,
    namespace: str = NAMESPACE,
    uid: str = UID,
    claim: str | None = None,
    imports: str | None = None,
    no_source: bool = False,
    class_name: str | None = "class-1",
    finalizers: tuple[str, ...] = BOTH,
    deleting: bool = False,
    owners: tuple[Mapping[str, str], ...] = (),
    has_status: bool = False,
    bound: str | None = None,
    created: str | None = None,
    ready: bool | None = None,
    size: str | int | None = None,
    error: str | None = None,
    group_name: str | None = None,
) -> VolumeSnapshot:
    """A VolumeSnapshot of claim `data`, or of content `imports`; with a status if anything in it is given."""
    if claim is None and imports is None and not no_source:
        claim = "data"
    status = present(
        boundVolumeSnapshotContentName=bound,
        creationTime=created,
        readyToUse=ready,
        restoreSize=size,
        error=_error(error),
        volumeGroupSnapshotName=group_name,
    )
    written = {
        "metadata": _meta(
            name, uid, deleting=deleting, finalizers=finalizers, namespace=namespace, ownerReferences=list(owners)
        ),
        "spec": present(
            source=present(persistentVolumeClaimName=claim, volumeSnapshotContentName=imports),
            volumeSnapshotClassName=class_name,
        ),
        **_status(status, has_status=has_status),
    }
    return msgspec.convert(written, VolumeSnapshot)


def made_content(
    name: str = f"snapcontent-{UID}",
    *,
    volume: str | None = None,
    imported: str | None = None,
    driver: str = DRIVER,
    policy: str = "Delete",
    class_name: str | None = "class-1",
    ref_namespace: str = NAMESPACE,
    ref_name: str = "nightly",
    ref_uid: str | None = UID,
    deleting: bool = False,
    being_deleted: bool = False,
    being_created: bool = False,
    finalizers: tuple[str, ...] = (names.CONTENT_FINALIZER,),
    member_of: str | None = None,
    has_status: bool = False,
    handle: str | None = None,
    created_ns: int | None = None,
    size_bytes: int | None = None,
    ready: bool | None = None,
    error: str | None = None,
    group_handle: str | None = None,
    uid: str = "uid-of-content",
) -> Content:
    """A VolumeSnapshotContent of volume `vol-data`, or of the snapshot `imported`, for `request()`."""
    if volume is None and imported is None:
        volume = "vol-data"
    annotations = {
        names.BEING_CREATED: "yes" if being_created else None,
        names.BEING_DELETED: "yes" if being_deleted else None,
        names.MEMBER_OF_GROUP: member_of,
    }
    status = present(
        snapshotHandle=handle,
        creationTime=created_ns,
        restoreSize=size_bytes,
        readyToUse=ready,
        error=_error(error),
        volumeGroupSnapshotHandle=group_handle,
    )
    written = {
        "metadata": _meta(name, uid, deleting=deleting, finalizers=finalizers, annotations=present(**annotations)),
        "spec": present(
            driver=driver,
            deletionPolicy=policy,
            source=present(volumeHandle=volume, snapshotHandle=imported),
            volumeSnapshotRef=present(namespace=ref_namespace, name=ref_name, uid=ref_uid),
            volumeSnapshotClassName=class_name,
        ),
        **_status(status, has_status=has_status),
    }
    return msgspec.convert(written, Content)


def group_request(
    name: str = "group",
    *,
    namespace: str = NAMESPACE,
    uid: str = GROUP_UID,
    labels: Mapping[str, str] | None = None,
    expressions: tuple[Mapping[str, Any], ...] = (),
    imports: str | None = None,
    no_source: bool = False,
    both_sources: bool = False,
    class_name: str | None = "class-1",
    finalizers: tuple[str, ...] = (GROUP_BOUND,),
    deleting: bool = False,
    has_status: bool = False,
    bound: str | None = None,
    created: str | None = None,
    ready: bool | None = None,
    error: str | None = None,
) -> VolumeGroupSnapshot:
    """A VolumeGroupSnapshot of the claims with label `app=db`, or of content `imports`."""
    if labels is None and not expressions:
        labels = {"app": "db"}
    selector = None
    if both_sources or (imports is None and not no_source):
        selector = present(matchLabels=dict(labels or {}), matchExpressions=list(expressions))
    status = present(
        boundVolumeGroupSnapshotContentName=bound, creationTime=created, readyToUse=ready, error=_error(error)
    )
    written = {
        "metadata": _meta(name, uid, deleting=deleting, finalizers=finalizers, namespace=namespace),
        "spec": present(
            source=present(selector=selector, volumeGroupSnapshotContentName=imports),
            volumeGroupSnapshotClassName=class_name,
        ),
        **_status(status, has_status=has_status),
    }
    return msgspec.convert(written, VolumeGroupSnapshot)


def made_group_content(
    name: str = f"groupsnapcontent-{GROUP_UID}",
    *,
    volumes: tuple[str, ...] = ("vol-data", "vol-log"),
    imported: str | None = None,
    driver: str = DRIVER,
    policy: str = "Delete",
    class_name: str | None = "class-1",
    ref_namespace: str = NAMESPACE,
    ref_name: str = "group",
    ref_uid: str | None = GROUP_UID,
    deleting: bool = False,
    being_deleted: bool = False,
    secret: tuple[str, str] | None = None,
    node: str | None = None,
    finalizers: tuple[str, ...] = (names.GROUP_CONTENT_FINALIZER,),
    has_status: bool = False,
    handle: str | None = None,
    created: str | None = None,
    ready: bool | None = None,
    error: str | None = None,
    infos: tuple[Mapping[str, Any], ...] = (),
    uid: str = "uid-of-group-content",
) -> GroupContent:
    """A VolumeGroupSnapshotContent of volumes `vol-data` and `vol-log`, or of a group `imported`."""
    source = (
        {"volumeHandles": list(volumes)}
        if imported is None
        else {"groupSnapshotHandles": {"volumeGroupSnapshotHandle": imported, "volumeSnapshotHandles": ["a", "b"]}}
    )
    annotations = {
        names.GROUP_BEING_DELETED: "yes" if being_deleted else None,
        names.GROUP_DELETION_SECRET_NAMESPACE: None if secret is None else secret[0],
        names.GROUP_DELETION_SECRET_NAME: None if secret is None else secret[1],
    }
    status = present(
        volumeGroupSnapshotHandle=handle,
        creationTime=created,
        readyToUse=ready,
        error=_error(error),
        volumeSnapshotInfoList=list(infos) or None,
    )
    labels = {} if node is None else {names.MANAGED_BY: node}
    written = {
        "metadata": _meta(
            name, uid, deleting=deleting, finalizers=finalizers, annotations=present(**annotations), labels=labels
        ),
        "spec": present(
            driver=driver,
            deletionPolicy=policy,
            source=source,
            volumeGroupSnapshotRef=present(namespace=ref_namespace, name=ref_name, uid=ref_uid),
            volumeGroupSnapshotClassName=class_name,
        ),
        **_status(status, has_status=has_status),
    }
    return msgspec.convert(written, GroupContent)


def info(
    volume: str | None,
    *,
    snapshot: str | None = None,
    ready: bool | None = True,
    created_ns: int | None = CREATED_AT_NS,
    size_bytes: int | None = 5,
) -> Json:
    """What a group's content tells of one member."""
    return present(
        volumeHandle=volume,
        snapshotHandle=f"snap-of-{volume}" if snapshot is None else snapshot or None,
        readyToUse=ready,
        creationTime=created_ns,
        restoreSize=size_bytes,
    )


def claim(
    name: str = "data",
    *,
    namespace: str = NAMESPACE,
    uid: str | None = None,
    labels: Mapping[str, str] | None = None,
    phase: str = "Bound",
    volume: str | None = None,
    protected: bool = True,
    deleting: bool = False,
    restores: str | None = None,
    restores_ref: Mapping[str, str] | None = None,
    api_group: str | None = names.SNAPSHOT_GROUP,
    source_kind: str = "VolumeSnapshot",
) -> Claim:
    """A claim that is bound to volume `pv-<name>`, with label `app=db`, and protected by us."""
    source = None
    if restores is not None:
        source = present(apiGroup=api_group, kind=source_kind, name=restores)
    written = {
        "metadata": _meta(
            name,
            f"uid-of-claim-{name}" if uid is None else uid,
            deleting=deleting,
            finalizers=("kubernetes.io/pvc-protection", *((names.CLAIM_FINALIZER,) if protected else ())),
            namespace=namespace,
            labels=dict({"app": "db"} if labels is None else labels),
        ),
        "spec": present(
            volumeName=(f"pv-{name}" if volume is None else volume) or None,
            dataSource=source,
            dataSourceRef=None if restores_ref is None else dict(restores_ref),
        ),
        "status": {"phase": phase},
    }
    return msgspec.convert(written, Claim)


def volume(
    name: str = "pv-data",
    *,
    driver: str | None = DRIVER,
    handle: str | None = None,
    claim_name: str | None = None,
    claim_namespace: str = NAMESPACE,
    claim_uid: str | None = None,
    unclaimed: bool = False,
    mode: str | None = "Filesystem",
    affinity: Mapping[str, Any] | None = None,
) -> Volume:
    """A volume of our driver, bound to the claim that it is named after."""
    short = name.removeprefix("pv-")
    written = {
        "metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "10"},
        "spec": present(
            csi=None
            if driver is None
            else {"driver": driver, "volumeHandle": f"vol-{short}" if handle is None else handle},
            claimRef=None
            if unclaimed
            else present(
                name=claim_name or short,
                namespace=claim_namespace,
                uid=f"uid-of-claim-{short}" if claim_uid is None else claim_uid or None,
            ),
            volumeMode=mode,
            nodeAffinity=affinity,
        ),
    }
    return msgspec.convert(written, Volume)


def node(name: str, **labels: str) -> Node:
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Node)


AnyObject = (
    VolumeSnapshot
    | Content
    | SnapshotClass
    | VolumeGroupSnapshot
    | GroupContent
    | GroupSnapshotClass
    | Claim
    | Volume
    | Node
)


def cluster(*objects: AnyObject, groups: bool | None = True) -> Stores:
    """What is known of a cluster with these objects. `groups`: whether groups are worked at."""
    stores = Stores(groups=True)
    stores.groups.known = groups
    for each in objects:
        match each:
            case VolumeSnapshot():
                stores.singles.snapshots.put(each)
            case Content():
                stores.singles.contents.put(each)
            case SnapshotClass():
                stores.singles.classes.put(each)
            case VolumeGroupSnapshot():
                stores.groups.groups.put(each)
            case GroupContent():
                stores.groups.contents.put(each)
            case GroupSnapshotClass():
                stores.groups.classes.put(each)
            case Claim():
                stores.storage.claims.put(each)
            case Volume():
                stores.storage.volumes.put(each)
            case Node():
                stores.storage.all_nodes.put(each)
    return stores
