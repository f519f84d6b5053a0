"""VolumeSnapshotContent and VolumeSnapshotClass as the sidecar reads them."""

from typing import Literal

import msgspec

from snapshotter import names
from snapshotter.model.meta import ApiObject, Meta, ObjectReference

DeletionPolicy = Literal["Delete", "Retain"]


class ContentAnnotations(ApiObject, frozen=True, kw_only=True):
    """The annotations that mean something to us; others are not kept in memory."""

    being_created: str | None = msgspec.field(name=names.BEING_CREATED, default=None)
    being_deleted: str | None = msgspec.field(name=names.BEING_DELETED, default=None)
    secret_name: str | None = msgspec.field(name=names.DELETION_SECRET_NAME, default=None)
    secret_namespace: str | None = msgspec.field(name=names.DELETION_SECRET_NAMESPACE, default=None)
    group_handle: str | None = msgspec.field(name=names.MEMBER_OF_GROUP, default=None)


class ContentMeta(Meta, frozen=True, kw_only=True):
    annotations: ContentAnnotations = ContentAnnotations()


class ContentSource(ApiObject, frozen=True, kw_only=True):
    volume_handle: str | None = None
    snapshot_handle: str | None = None


class ContentSpec(ApiObject, frozen=True, kw_only=True):
    driver: str
    deletion_policy: DeletionPolicy
    source: ContentSource
    volume_snapshot_ref: ObjectReference = ObjectReference()
    volume_snapshot_class_name: str | None = None


class StatusError(ApiObject, frozen=True, kw_only=True):
    message: str | None = None
    time: str | None = None


class ContentStatus(ApiObject, frozen=True, kw_only=True):
    snapshot_handle: str | None = None
    creation_time: int | None = None
    """Nanoseconds since the epoch."""
    restore_size: int | None = None
    """Bytes."""
    ready_to_use: bool | None = None
    error: StatusError | None = None
    volume_group_snapshot_handle: str | None = None


_NO_STATUS = ContentStatus()


class Content(ApiObject, frozen=True, kw_only=True):
    """One VolumeSnapshotContent. The properties turn empty strings into None."""

    metadata: ContentMeta
    spec: ContentSpec
    written_status: ContentStatus | None = msgspec.field(name="status", default=None)

    @property
    def status(self) -> ContentStatus:
        """The status, empty while there is none."""
        return self.written_status or _NO_STATUS

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def volume(self) -> str | None:
        """The volume to cut; set for a dynamic content."""
        return self.spec.source.volume_handle or None

    @property
    def imported_handle(self) -> str | None:
        """The snapshot that somebody else made; set for a pre-provisioned content."""
        return self.spec.source.snapshot_handle or None

    @property
    def handle(self) -> str | None:
        """The snapshot's id as far as it is recorded in status."""
        return self.status.snapshot_handle or None

    @property
    def class_name(self) -> str | None:
        return self.spec.volume_snapshot_class_name or None

    @property
    def ready(self) -> bool:
        """Whether there is a snapshot to restore from; without a handle there is none, whatever else is said."""
        return self.status.ready_to_use is True and self.handle is not None

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def marked_as_being_created(self) -> bool:
        return self.metadata.annotations.being_created is not None

    @property
    def marked_as_being_deleted(self) -> bool:
        return self.metadata.annotations.being_deleted is not None

    @property
    def is_group_member(self) -> bool:
        """Cut together with others; the group's content owns its life on the storage."""
        return self.metadata.annotations.group_handle is not None

    @property
    def has_group_handle(self) -> bool:
        return bool(self.status.volume_group_snapshot_handle)

    @property
    def protected(self) -> bool:
        """Our finalizer keeps the object until its snapshot is taken care of."""
        return names.CONTENT_FINALIZER in self.metadata.finalizers


class SnapshotClass(ApiObject, frozen=True, kw_only=True):
    """One VolumeSnapshotClass."""

    metadata: Meta
    driver: str
    parameters: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.metadata.name
