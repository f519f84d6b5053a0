"""VolumeSnapshot as the snapshot-controller reads it."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from snapshotter import names
from snapshotter.model.meta import ApiObject
from snapshotter.model.user_snapshot import OwnerReference, RequestKeys, RequestStatus, UserSnapshot


class VolumeSnapshotSource(ApiObject, frozen=True, kw_only=True):
    persistent_volume_claim_name: str | None = None
    volume_snapshot_content_name: str | None = None


class VolumeSnapshotSpec(ApiObject, frozen=True, kw_only=True):
    source: VolumeSnapshotSource
    volume_snapshot_class_name: str | None = None


class VolumeSnapshotStatus(RequestStatus, frozen=True, kw_only=True):
    bound_volume_snapshot_content_name: str | None = None
    restore_size: str | int | None = None
    """A quantity; the API server stores numbers as they are written."""
    volume_group_snapshot_name: str | None = None


_NO_STATUS = VolumeSnapshotStatus()


class VolumeSnapshot(UserSnapshot, frozen=True, kw_only=True):
    """One VolumeSnapshot."""

    keys: ClassVar[RequestKeys] = RequestKeys(
        kind="VolumeSnapshot",
        content_kind="VolumeSnapshotContent",
        class_kind="VolumeSnapshotClass",
        default_class=names.DEFAULT_CLASS,
        content_prefix="snapcontent-",
        own_finalizers=(names.SOURCE_FINALIZER, names.BOUND_FINALIZER, names.IN_GROUP_FINALIZER),
        content_ref="volumeSnapshotRef",
        class_name="volumeSnapshotClassName",
        bound_name="boundVolumeSnapshotContentName",
    )

    spec: VolumeSnapshotSpec
    written_status: VolumeSnapshotStatus | None = msgspec.field(name="status", default=None)

    @property
    def status(self) -> VolumeSnapshotStatus:
        return self.written_status or _NO_STATUS

    @property
    def has_status(self) -> bool:
        return self.written_status is not None

    @property
    def set_once(self) -> Mapping[str, object]:
        status = self.status
        return {
            self.keys.bound_name: status.bound_volume_snapshot_content_name,
            "creationTime": status.creation_time,
        }

    @property
    def bound_name(self) -> str | None:
        return self.status.bound_volume_snapshot_content_name or None

    @property
    def imported_name(self) -> str | None:
        return self.spec.source.volume_snapshot_content_name

    @property
    def class_name(self) -> str | None:
        return self.spec.volume_snapshot_class_name or None

    @property
    def claim_name(self) -> str | None:
        """The claim to cut; a member of a group whose volume is not known has an empty one."""
        return self.spec.source.persistent_volume_claim_name

    @property
    def claim_key(self) -> str | None:
        """The key of the claim to cut."""
        return f"{self.namespace}/{self.claim_name}" if self.claim_name else None

    @property
    def group(self) -> OwnerReference | None:
        """The VolumeGroupSnapshot that this is a member of, whatever version its reference is written in."""
        return next(
            (
                owner
                for owner in self.metadata.owner_references
                if owner.kind == "VolumeGroupSnapshot"
                and owner.api_version.partition("/")[0] == names.GROUP_SNAPSHOT_GROUP
                and owner.name
            ),
            None,
        )
