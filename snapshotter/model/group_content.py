"""VolumeGroupSnapshotContent and VolumeGroupSnapshotClass as the sidecar reads them, in v1 and v1beta2 alike."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from snapshotter import names
from snapshotter.model.lifecycle import (
    AnyClass,
    AnyContent,
    AnySpec,
    AnyStatus,
    ClassAnnotations,
    ClassMeta,
    Keys,
    MarkedMeta,
    Marks,
)
from snapshotter.model.meta import ApiObject, Int64, ObjectReference


class GroupContentAnnotations(Marks, frozen=True, kw_only=True):
    being_created: str | None = msgspec.field(name=names.GROUP_BEING_CREATED, default=None)
    being_deleted: str | None = msgspec.field(name=names.GROUP_BEING_DELETED, default=None)
    secret_name: str | None = msgspec.field(name=names.GROUP_DELETION_SECRET_NAME, default=None)
    secret_namespace: str | None = msgspec.field(name=names.GROUP_DELETION_SECRET_NAMESPACE, default=None)


class GroupContentLabels(ApiObject, frozen=True, kw_only=True):
    managed_by: str | None = msgspec.field(name=names.MANAGED_BY, default=None)


class GroupContentMeta(MarkedMeta, frozen=True, kw_only=True):
    annotations: GroupContentAnnotations = GroupContentAnnotations()
    labels: GroupContentLabels = GroupContentLabels()


class GroupHandles(ApiObject, frozen=True, kw_only=True):
    volume_group_snapshot_handle: str = ""
    volume_snapshot_handles: tuple[str, ...] = ()


class GroupContentSource(ApiObject, frozen=True, kw_only=True):
    volume_handles: tuple[str, ...] = ()
    group_snapshot_handles: GroupHandles | None = None


class GroupContentSpec(AnySpec, frozen=True, kw_only=True):
    source: GroupContentSource
    volume_group_snapshot_ref: ObjectReference = ObjectReference()
    volume_group_snapshot_class_name: str | None = None


class MemberInfo(ApiObject, frozen=True, kw_only=True):
    """One member of a group, as the status tells of it: an entry of `volumeSnapshotInfoList`."""

    volume_handle: str | None = None
    snapshot_handle: str | None = None
    creation_time: Int64 | None = None
    """Nanoseconds since the epoch."""
    ready_to_use: bool | None = None
    restore_size: Int64 | None = None
    """Bytes."""


class GroupContentStatus(AnyStatus, frozen=True, kw_only=True):
    volume_group_snapshot_handle: str | None = None
    creation_time: str | None = None
    """RFC 3339; unlike that of a single content no number."""
    volume_snapshot_info_list: tuple[MemberInfo, ...] = ()


_NO_STATUS = GroupContentStatus()


class GroupContent(AnyContent, frozen=True, kw_only=True):
    """One VolumeGroupSnapshotContent."""

    keys: ClassVar[Keys] = Keys(
        being_created=names.GROUP_BEING_CREATED,
        being_deleted=names.GROUP_BEING_DELETED,
        secret_name=names.GROUP_DELETION_SECRET_NAME,
        secret_namespace=names.GROUP_DELETION_SECRET_NAMESPACE,
        finalizer=names.GROUP_CONTENT_FINALIZER,
        snapshot="VolumeGroupSnapshot",
        snapshot_class="VolumeGroupSnapshotClass",
        ref="volumeGroupSnapshotRef",
        class_name="volumeGroupSnapshotClassName",
        metadata_name=names.METADATA_GROUP_SNAPSHOT_NAME,
        metadata_namespace=names.METADATA_GROUP_SNAPSHOT_NAMESPACE,
        metadata_content=names.METADATA_GROUP_CONTENT_NAME,
    )

    metadata: GroupContentMeta
    spec: GroupContentSpec
    written_status: GroupContentStatus | None = msgspec.field(name="status", default=None)

    @property
    def status(self) -> GroupContentStatus:
        return self.written_status or _NO_STATUS

    @property
    def has_status(self) -> bool:
        return self.written_status is not None

    @property
    def handle(self) -> str | None:
        return self.status.volume_group_snapshot_handle or None

    @property
    def set_once(self) -> Mapping[str, object]:
        status = self.status
        return {
            "volumeGroupSnapshotHandle": status.volume_group_snapshot_handle,
            "creationTime": status.creation_time,
        }

    @property
    def volumes(self) -> tuple[str, ...]:
        """The volumes to cut at one instant; set for a dynamic content."""
        return self.spec.source.volume_handles

    @property
    def imported_handle(self) -> str | None:
        handles = self.spec.source.group_snapshot_handles
        return None if handles is None else handles.volume_group_snapshot_handle or None

    @property
    def imported_members(self) -> tuple[str, ...]:
        """The members of a pre-provisioned group."""
        handles = self.spec.source.group_snapshot_handles
        return () if handles is None else handles.volume_snapshot_handles

    @property
    def members(self) -> tuple[str, ...]:
        """The handles of all members, as far as they are known."""
        recorded = tuple(info.snapshot_handle for info in self.status.volume_snapshot_info_list if info.snapshot_handle)
        return recorded or self.imported_members

    @property
    def managed_by(self) -> str | None:
        """The node whose sidecar works on it, where snapshotting is distributed."""
        return self.metadata.labels.managed_by or None

    @property
    def has_source(self) -> bool:
        return bool(self.volumes) or self.imported_handle is not None

    @property
    def ours_to_cut(self) -> bool:
        return bool(self.volumes)

    @property
    def class_name(self) -> str | None:
        return self.spec.volume_group_snapshot_class_name or None

    @property
    def ref(self) -> ObjectReference:
        return self.spec.volume_group_snapshot_ref


class GroupSnapshotClassAnnotations(ClassAnnotations, frozen=True, kw_only=True):
    is_default: str | None = msgspec.field(name=names.DEFAULT_GROUP_CLASS, default=None)


class GroupSnapshotClassMeta(ClassMeta, frozen=True, kw_only=True):
    annotations: GroupSnapshotClassAnnotations = GroupSnapshotClassAnnotations()


class GroupSnapshotClass(AnyClass, frozen=True, kw_only=True):
    """One VolumeGroupSnapshotClass."""

    metadata: GroupSnapshotClassMeta
