"""Values for tests. Each factory takes as keywords only what a case is about; the rest is as it usually is:

our own driver, a class that is known, policy Delete, our finalizer in place, a VolumeSnapshot or VolumeGroupSnapshot
with a uid.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from snapshotter import names
from snapshotter.model.content import (
    Content,
    ContentAnnotations,
    ContentMeta,
    ContentSource,
    ContentSpec,
    ContentStatus,
    SnapshotClass,
    SnapshotClassAnnotations,
    SnapshotClassMeta,
)
from snapshotter.model.group_content import (
    GroupContent,
    GroupContentAnnotations,
    GroupContentMeta,
    GroupContentSource,
    GroupContentSpec,
    GroupContentStatus,
    GroupHandles,
    GroupSnapshotClass,
    GroupSnapshotClassAnnotations,
    GroupSnapshotClassMeta,
    MemberInfo,
)
from snapshotter.model.lifecycle import DeletionPolicy, StatusError
from snapshotter.model.meta import ObjectReference
from snapshotter.model.snapshot import Capabilities, GroupSnapshot, Snapshot
from snapshotter.plan.lifecycle import Naming, Terms

DRIVER = "mock.csi.example.com"
SNAPSHOT_UID = "11111111-2222-3333-4444-555555555555"
"""The uid of the VolumeSnapshot behind `content()`, and of the VolumeGroupSnapshot behind `group_content()`."""
CREATED_AT_NS = 1_700_000_000_123_456_000
CREATED_AT = "2023-11-14T22:13:20Z"
"""The same time, as the status of a group has it."""
DELETED_AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def content(
    *,
    name: str = "content-1",
    uid: str = "uid-of-content-1",
    version: str = "10",
    driver: str = DRIVER,
    policy: DeletionPolicy = "Delete",
    class_name: str | None = "class-1",
    volume: str | None = None,
    imported: str | None = None,
    ref_uid: str = SNAPSHOT_UID,
    created: datetime | None = None,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (names.CONTENT_FINALIZER,),
    being_created: bool = False,
    being_deleted: bool = False,
    member_of: str | None = None,
    annotations: Mapping[str, str] | None = None,
    has_status: bool = False,
    handle: str | None = None,
    ready: bool | None = None,
    created_at_ns: int | None = None,
    size_bytes: int | None = None,
    error: str | None = None,
    group_handle: str | None = None,
) -> Content:
    """A content of volume `vol-1`, or of the snapshot `imported`; with a status if anything in it is given."""
    marks = {
        names.BEING_CREATED: names.MARK if being_created else None,
        names.BEING_DELETED: names.MARK if being_deleted else None,
        names.MEMBER_OF_GROUP: member_of,
    }
    status = ContentStatus(
        snapshot_handle=handle,
        creation_time=created_at_ns,
        restore_size=size_bytes,
        ready_to_use=ready,
        error=None if error is None else StatusError(message=error, time="2024-01-02T03:04:05Z"),
        volume_group_snapshot_handle=group_handle,
    )
    return Content(
        metadata=ContentMeta(
            creation_timestamp=created,
            name=name,
            uid=uid,
            resource_version=version,
            deletion_timestamp=DELETED_AT if deleting else None,
            finalizers=finalizers,
            annotations=msgspec.convert(marks | dict(annotations or {}), ContentAnnotations),
        ),
        spec=ContentSpec(
            driver=driver,
            deletion_policy=policy,
            source=ContentSource(
                volume_handle="vol-1" if volume is None and imported is None else volume,
                snapshot_handle=imported,
            ),
            volume_snapshot_ref=ObjectReference(name="snap", namespace="ns", uid=ref_uid),
            volume_snapshot_class_name=class_name,
        ),
        written_status=status if has_status or status != ContentStatus() else None,
    )


def snapshot_class(
    *,
    name: str = "class-1",
    version: str = "1",
    driver: str = DRIVER,
    parameters: Mapping[str, str] | None = None,
    policy: DeletionPolicy = "Delete",
    default: str | None = None,
) -> SnapshotClass:
    return SnapshotClass(
        metadata=SnapshotClassMeta(
            name=name,
            uid=f"uid-of-{name}",
            resource_version=version,
            annotations=SnapshotClassAnnotations(is_default=default),
        ),
        driver=driver,
        deletion_policy=policy,
        parameters=dict(parameters or {}),
    )


def snapshot(
    *,
    handle: str = "snap-1",
    ready: bool = True,
    volume: str | None = "vol-1",
    size_bytes: int | None = 1000,
    created_at_ns: int | None = CREATED_AT_NS,
    group_handle: str | None = None,
) -> Snapshot:
    """What a driver answers about a snapshot of `vol-1`."""
    return Snapshot(
        handle=handle,
        ready=ready,
        volume=volume,
        size_bytes=size_bytes,
        created_at_ns=created_at_ns,
        group_handle=group_handle,
    )


def group_content(
    *,
    name: str = "group-content-1",
    uid: str = "uid-of-group-content-1",
    version: str = "10",
    driver: str = DRIVER,
    policy: DeletionPolicy = "Delete",
    class_name: str | None = "class-1",
    volumes: tuple[str, ...] | None = None,
    imported: str | None = None,
    imported_members: tuple[str, ...] = ("snap-1", "snap-2"),
    ref_uid: str = SNAPSHOT_UID,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (names.GROUP_CONTENT_FINALIZER,),
    being_created: bool = False,
    being_deleted: bool = False,
    annotations: Mapping[str, str] | None = None,
    has_status: bool = False,
    handle: str | None = None,
    ready: bool | None = None,
    created_at: str | None = None,
    members: tuple[MemberInfo, ...] = (),
    error: str | None = None,
) -> GroupContent:
    """A content of the group of volumes `vol-1` and `vol-2`, or of the group `imported` with its members."""
    marks = {
        names.GROUP_BEING_CREATED: names.MARK if being_created else None,
        names.GROUP_BEING_DELETED: names.MARK if being_deleted else None,
    }
    status = GroupContentStatus(
        volume_group_snapshot_handle=handle,
        creation_time=created_at,
        ready_to_use=ready,
        volume_snapshot_info_list=members,
        error=None if error is None else StatusError(message=error, time="2024-01-02T03:04:05Z"),
    )
    if volumes is None:
        volumes = ("vol-1", "vol-2") if imported is None else ()
    return GroupContent(
        metadata=GroupContentMeta(
            name=name,
            uid=uid,
            resource_version=version,
            deletion_timestamp=DELETED_AT if deleting else None,
            finalizers=finalizers,
            annotations=msgspec.convert(marks | dict(annotations or {}), GroupContentAnnotations),
        ),
        spec=GroupContentSpec(
            driver=driver,
            deletion_policy=policy,
            source=GroupContentSource(
                volume_handles=volumes,
                group_snapshot_handles=None
                if imported is None
                else GroupHandles(volume_group_snapshot_handle=imported, volume_snapshot_handles=imported_members),
            ),
            volume_group_snapshot_ref=ObjectReference(name="group", namespace="ns", uid=ref_uid),
            volume_group_snapshot_class_name=class_name,
        ),
        written_status=status if has_status or status != GroupContentStatus() else None,
    )


def member_info(
    number: int = 1,
    *,
    ready: bool | None = True,
    size_bytes: int | None = 1000,
    created_at_ns: int | None = CREATED_AT_NS,
) -> MemberInfo:
    """What the status tells of the snapshot `snap-<number>` of the volume `vol-<number>`."""
    return MemberInfo(
        volume_handle=f"vol-{number}",
        snapshot_handle=f"snap-{number}",
        creation_time=created_at_ns,
        ready_to_use=ready,
        restore_size=size_bytes,
    )


def group_class(
    *,
    name: str = "class-1",
    version: str = "1",
    driver: str = DRIVER,
    parameters: Mapping[str, str] | None = None,
    policy: DeletionPolicy = "Delete",
    default: str | None = None,
) -> GroupSnapshotClass:
    return GroupSnapshotClass(
        metadata=GroupSnapshotClassMeta(
            name=name,
            uid=f"uid-of-{name}",
            resource_version=version,
            annotations=GroupSnapshotClassAnnotations(is_default=default),
        ),
        driver=driver,
        deletion_policy=policy,
        parameters=dict(parameters or {}),
    )


def member(
    number: int = 1,
    *,
    ready: bool = True,
    size_bytes: int | None = 1000,
    created_at_ns: int | None = CREATED_AT_NS,
) -> Snapshot:
    """What a driver answers about the snapshot `snap-<number>` of the volume `vol-<number>` in a group."""
    return snapshot(
        handle=f"snap-{number}",
        ready=ready,
        volume=f"vol-{number}",
        size_bytes=size_bytes,
        created_at_ns=created_at_ns,
        group_handle="group-1",
    )


def group_snapshot(
    *,
    handle: str = "group-1",
    ready: bool = True,
    members: tuple[Snapshot, ...] | None = None,
    created_at_ns: int | None = CREATED_AT_NS,
) -> GroupSnapshot:
    """What a driver answers about a group; if no members are given, it has two that are as ready as itself."""
    return GroupSnapshot(
        handle=handle,
        ready=ready,
        members=(member(1, ready=ready), member(2, ready=ready)) if members is None else members,
        created_at_ns=created_at_ns,
    )


def terms(
    *,
    driver: str = DRIVER,
    can_list: bool = True,
    can_get: bool = False,
    groups: bool = True,
    naming: Naming | None = None,
    extra_create_metadata: bool = False,
) -> Terms:
    """Our driver, which can list snapshots and cut groups, and our flags at their defaults."""
    return Terms(
        driver=driver,
        capabilities=Capabilities(
            create_delete_snapshot=True, list_snapshots=can_list, get_snapshot=can_get, groups=groups
        ),
        naming=naming or Naming(),
        extra_create_metadata=extra_create_metadata,
    )
