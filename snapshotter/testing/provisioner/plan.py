"""What is to be done for a claim or a volume, as data: pure functions of what the API server holds.

The checks of a restore are those that external-provisioner makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from snapshotter import names
from snapshotter.plan.quantities import quantity
from snapshotter.testing.client import Json
from snapshotter.testing.quantities import size_bytes

RESERVED_PREFIX: Final = names.RESERVED_PREFIX
ALLOW_MODE_CHANGE: Final = "snapshot.storage.kubernetes.io/allow-volume-mode-change"
"""Annotation of a content: a volume of another mode may be made of the snapshot if it is `true`."""
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
VOLUME_FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps a volume's object until its bytes are gone."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API server holds: objects by namespace and name (`default/data`), or by name."""

    claims: Mapping[str, Json] = field(default_factory=dict)
    volumes: Mapping[str, Json] = field(default_factory=dict)
    storage_classes: Mapping[str, Json] = field(default_factory=dict)
    snapshots: Mapping[str, Json] = field(default_factory=dict)
    contents: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provision:
    """Have the driver make a volume for a claim, and tell the API server of it."""

    name: str
    """Of the volume: the same for each attempt, so the driver makes one."""
    size_bytes: int
    volume_mode: str
    access_modes: tuple[str, ...]
    storage_class: str
    reclaim_policy: str
    parameters: Mapping[str, str]
    snapshot_handle: str | None
    """What the volume begins with; None: it is empty."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Join a claim and the volume that is meant for it."""

    volume: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing can be made of the claim as things are; whoever made it is told why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """The volume has lost its claim."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Have the driver delete the volume, and then the API server."""

    handle: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """Somebody deletes the object of a volume that is to be kept: only our finalizer is in the way."""


ClaimStep = Provision | Bind | Refuse
VolumeStep = Release | Delete | LetGo


def claim_step(claim: Json, seen: Seen, driver: str) -> ClaimStep | None:
    """What a claim needs; None: nothing from us."""
    if "deletionTimestamp" in claim["metadata"] or claim.get("status", {}).get("phase") == "Bound":
        return None
    if (volume := _volume_of(claim, seen)) is not None:
        return Bind(volume)
    # A claim that names its volume waits for that one.
    storage_class = seen.storage_classes.get(claim["spec"].get("storageClassName") or "")
    if claim["spec"].get("volumeName") or storage_class is None or storage_class["provisioner"] != driver:
        return None
    try:
        return _provision(claim, storage_class, seen, driver)
    except _Refused as refusal:
        return Refuse(str(refusal))


def volume_step(volume: Json, seen: Seen, driver: str) -> VolumeStep | None:
    """What a volume needs whose claim has gone; None: nothing from us."""
    ref = volume["spec"].get("claimRef")
    if ref is None or not ref.get("uid"):
        return None
    claim = seen.claims.get(_key(ref))
    if claim is not None and claim["metadata"]["uid"] == ref["uid"]:
        return None
    if volume.get("status", {}).get("phase") != "Released":
        return Release()
    csi = volume["spec"].get("csi", {})
    if volume["metadata"].get("annotations", {}).get(PROVISIONED_BY) != driver or csi.get("driver") != driver:
        return None
    if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return Delete(csi["volumeHandle"])
    held = VOLUME_FINALIZER in volume["metadata"].get("finalizers", ())
    return LetGo() if held and "deletionTimestamp" in volume["metadata"] else None


def volume_object(step: Provision, claim: Json, driver: str, handle: str, capacity_bytes: int) -> Json:
    """The object that tells of a volume which has been made for a claim."""
    spec: dict[str, Any] = {
        "capacity": {"storage": quantity(capacity_bytes)},
        "accessModes": list(step.access_modes),
        "volumeMode": step.volume_mode,
        "persistentVolumeReclaimPolicy": step.reclaim_policy,
        "storageClassName": step.storage_class,
        "csi": {"driver": driver, "volumeHandle": handle},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: claim["metadata"][key] for key in ("namespace", "name", "uid")},
        },
    }
    metadata: Json = {"name": step.name, "annotations": {PROVISIONED_BY: driver}}
    if step.reclaim_policy == "Delete":
        metadata["finalizers"] = [VOLUME_FINALIZER]
    return {"kind": "PersistentVolume", "metadata": metadata, "spec": spec}


class _Refused(Exception):
    """The text says why."""


def _volume_of(claim: Json, seen: Seen) -> str | None:
    """The volume that says it is for the claim, or that the claim names and nobody else has."""
    named = claim["spec"].get("volumeName")
    for name, volume in seen.volumes.items():
        ref = volume["spec"].get("claimRef")
        if ref is None:
            if name == named:
                return name
        elif _key(ref) == _key(claim["metadata"]) and ref.get("uid", "") in ("", claim["metadata"]["uid"]):
            return name
    return None


def _provision(claim: Json, storage_class: Json, seen: Seen, driver: str) -> Provision:
    spec = claim["spec"]
    try:
        size = size_bytes(spec["resources"]["requests"]["storage"])
    except ValueError as error:
        raise _Refused(f"what it asks for is {error}") from error
    parameters: Mapping[str, str] = storage_class.get("parameters") or {}
    return Provision(
        name=f"pvc-{claim['metadata']['uid']}",
        size_bytes=size,
        volume_mode=spec.get("volumeMode", "Filesystem"),
        access_modes=tuple(spec["accessModes"]),
        storage_class=storage_class["metadata"]["name"],
        reclaim_policy=storage_class.get("reclaimPolicy", "Delete"),
        parameters={key: value for key, value in parameters.items() if not key.startswith(RESERVED_PREFIX)},
        snapshot_handle=_snapshot_handle(claim, size, seen, driver),
    )


def _snapshot_handle(claim: Json, size: int, seen: Seen, driver: str) -> str | None:
    """The handle of the snapshot that the claim is to be filled from."""
    source = claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource")
    if source is None:
        return None
    kind = source.get("kind", "")
    if (source.get("apiGroup"), kind) != (names.SNAPSHOT_GROUP, "VolumeSnapshot"):
        raise _Refused(f"its data source is a {kind}; volumes are made from VolumeSnapshots alone")
    namespace = claim["metadata"]["namespace"]
    if source.get("namespace") not in (None, "", namespace):
        raise _Refused(f'its VolumeSnapshot is in another namespace, "{source["namespace"]}"')
    name = source.get("name", "")
    snapshot = seen.snapshots.get(f"{namespace}/{name}")
    if snapshot is None:
        raise _Refused(f'there is no VolumeSnapshot "{name}"')
    if "deletionTimestamp" in snapshot["metadata"]:
        raise _Refused(f'the VolumeSnapshot "{name}" is being deleted')
    status = snapshot.get("status", {})
    if not status.get("readyToUse"):
        raise _Refused(f'the VolumeSnapshot "{name}" is not ready to use')
    if size < size_bytes(status.get("restoreSize", 0)):
        raise _Refused(f'it asks for less than the size of the VolumeSnapshot "{name}", {status["restoreSize"]}')
    return _content_handle(claim, snapshot, seen, driver)


def _content_handle(claim: Json, snapshot: Json, seen: Seen, driver: str) -> str:
    name = snapshot["metadata"]["name"]
    bound = snapshot["status"].get("boundVolumeSnapshotContentName", "")
    content = seen.contents.get(bound)
    if content is None:
        raise _Refused(f'the VolumeSnapshot "{name}" is bound to no content')
    ref = content["spec"]["volumeSnapshotRef"]
    if (_key(ref), ref.get("uid")) != (_key(snapshot["metadata"]), snapshot["metadata"]["uid"]):
        raise _Refused(f'the content "{bound}" is not bound to the VolumeSnapshot "{name}"')
    if content["spec"]["driver"] != driver:
        raise _Refused(f'the VolumeSnapshot "{name}" is of another driver, {content["spec"]["driver"]}')
    mode = content["spec"].get("sourceVolumeMode")
    wanted = claim["spec"].get("volumeMode", "Filesystem")
    allowed = content["metadata"].get("annotations", {}).get(ALLOW_MODE_CHANGE) == "true"
    if mode not in (None, wanted) and not allowed:
        raise _Refused(
            f'it is of mode {wanted} and the VolumeSnapshot "{name}" of a volume of mode {mode}; the content "{bound}" '
            f"has no annotation {ALLOW_MODE_CHANGE}"
        )
    handle = content.get("status", {}).get("snapshotHandle")
    if not handle:
        raise _Refused(f'the content "{bound}" has no handle')
    return str(handle)


def _key(metadata: Mapping[str, Any]) -> str:
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
