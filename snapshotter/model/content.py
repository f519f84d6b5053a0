"""VolumeSnapshotContent and VolumeSnapshotClass as the sidecar reads them."""

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


class ContentAnnotations(Marks, frozen=True, kw_only=True):
    being_created: str | None = msgspec.field(name=names.BEING_CREATED, default=None)
    being_deleted: str | None = msgspec.field(name=names.BEING_DELETED, default=None)
    secret_name: str | None = msgspec.field(name=names.DELETION_SECRET_NAME, default=None)
    secret_namespace: str | None = msgspec.field(name=names.DELETION_SECRET_NAMESPACE, default=None)
    group_handle: str | None = msgspec.field(name=names.MEMBER_OF_GROUP, default=None)


class ContentMeta(MarkedMeta, frozen=True, kw_only=True):
    annotations: ContentAnnotations = ContentAnnotations()


class ContentSource(ApiObject, frozen=True, kw_only=True):
    volume_handle: str | None = None
    snapshot_handle: str | None = None


class ContentSpec(AnySpec, frozen=True, kw_only=True):
    source: ContentSource
    volume_snapshot_ref: ObjectReference = ObjectReference()
    volume_snapshot_class_name: str | None = None


class ContentStatus(AnyStatus, frozen=True, kw_only=True):
    snapshot_handle: str | None = None
    creation_time: Int64 | None = None
    """Nanoseconds since the epoch."""
    restore_size: Int64 | None = None
    """Bytes."""
    volume_group_snapshot_handle: str | None = None


_NO_STATUS = ContentStatus()


class Content(AnyContent, frozen=True, kw_only=True):
    """One VolumeSnapshotContent."""

    keys: ClassVar[Keys] = Keys(
        being_created=names.BEING_CREATED,
        being_deleted=names.BEING_DELETED,
        secret_name=names.DELETION_SECRET_NAME,
        secret_namespace=names.DELETION_SECRET_NAMESPACE,
        finalizer=names.CONTENT_FINALIZER,
        snapshot="VolumeSnapshot",
        snapshot_class="VolumeSnapshotClass",
        ref="volumeSnapshotRef",
        class_name="volumeSnapshotClassName",
        metadata_name=names.METADATA_SNAPSHOT_NAME,
        metadata_namespace=names.METADATA_SNAPSHOT_NAMESPACE,
        metadata_content=names.METADATA_CONTENT_NAME,
    )

    metadata: ContentMeta
    spec: ContentSpec
    written_status: ContentStatus | None = msgspec.field(name="status", default=None)

    @property
    def status(self) -> ContentStatus:
        return self.written_status or _NO_STATUS

    @property
    def has_status(self) -> bool:
        return self.written_status is not None

    @property
    def handle(self) -> str | None:
        return self.status.snapshot_handle or None

    @property
    def set_once(self) -> Mapping[str, object]:
        return {"snapshotHandle": self.status.snapshot_handle, "creationTime": self.status.creation_time}

    @property
    def volume(self) -> str | None:
        """The volume to cut; set for a dynamic content."""
        return self.spec.source.volume_handle or None

    @property
    def imported_handle(self) -> str | None:
        return self.spec.source.snapshot_handle or None

    @property
    def has_source(self) -> bool:
        return self.volume is not None or self.imported_handle is not None

    @property
    def ours_to_cut(self) -> bool:
        return self.volume is not None and not self.is_group_member

    @property
    def class_name(self) -> str | None:
        return self.spec.volume_snapshot_class_name or None

    @property
    def ref(self) -> ObjectReference:
        return self.spec.volume_snapshot_ref

    @property
    def is_group_member(self) -> bool:
        """Cut together with others; the group's content owns its life on the storage."""
        return self.metadata.annotations.group_handle is not None

    @property
    def has_group_handle(self) -> bool:
        return bool(self.status.volume_group_snapshot_handle)


class SnapshotClassAnnotations(ClassAnnotations, frozen=True, kw_only=True):
    is_default: str | None = msgspec.field(name=names.DEFAULT_CLASS, default=None)


class SnapshotClassMeta(ClassMeta, frozen=True, kw_only=True):
    annotations: SnapshotClassAnnotations = SnapshotClassAnnotations()


class SnapshotClass(AnyClass, frozen=True, kw_only=True):
    """One VolumeSnapshotClass."""

    metadata: SnapshotClassMeta
