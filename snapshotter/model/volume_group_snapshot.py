"""VolumeGroupSnapshot as the snapshot-controller reads it, in v1 and v1beta2 alike."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from snapshotter import names
from snapshotter.model.meta import ApiObject
from snapshotter.model.storage import Requirement
from snapshotter.model.user_snapshot import RequestKeys, RequestStatus, UserSnapshot


class LabelSelector(ApiObject, frozen=True, kw_only=True):
    """Which claims are meant; `snapshotter.plan.selectors` evaluates it."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.match_labels and not self.match_expressions


class VolumeGroupSnapshotSource(ApiObject, frozen=True, kw_only=True):
    selector: LabelSelector | None = None
    volume_group_snapshot_content_name: str | None = None


class VolumeGroupSnapshotSpec(ApiObject, frozen=True, kw_only=True):
    source: VolumeGroupSnapshotSource
    volume_group_snapshot_class_name: str | None = None


class VolumeGroupSnapshotStatus(RequestStatus, frozen=True, kw_only=True):
    bound_volume_group_snapshot_content_name: str | None = None


_NO_STATUS = VolumeGroupSnapshotStatus()


class VolumeGroupSnapshot(UserSnapshot, frozen=True, kw_only=True):
    """One VolumeGroupSnapshot."""

    keys: ClassVar[RequestKeys] = RequestKeys(
        kind="VolumeGroupSnapshot",
        content_kind="VolumeGroupSnapshotContent",
        class_kind="VolumeGroupSnapshotClass",
        default_class=names.DEFAULT_GROUP_CLASS,
        content_prefix="groupsnapcontent-",
        own_finalizers=(names.GROUP_BOUND_FINALIZER,),
        content_ref="volumeGroupSnapshotRef",
        class_name="volumeGroupSnapshotClassName",
        bound_name="boundVolumeGroupSnapshotContentName",
    )

    spec: VolumeGroupSnapshotSpec
    written_status: VolumeGroupSnapshotStatus | None = msgspec.field(name="status", default=None)

    @property
    def status(self) -> VolumeGroupSnapshotStatus:
        return self.written_status or _NO_STATUS

    @property
    def has_status(self) -> bool:
        return self.written_status is not None

    @property
    def set_once(self) -> Mapping[str, object]:
        status = self.status
        return {
            self.keys.bound_name: status.bound_volume_group_snapshot_content_name,
            "creationTime": status.creation_time,
        }

    @property
    def bound_name(self) -> str | None:
        return self.status.bound_volume_group_snapshot_content_name or None

    @property
    def imported_name(self) -> str | None:
        return self.spec.source.volume_group_snapshot_content_name

    @property
    def class_name(self) -> str | None:
        return self.spec.volume_group_snapshot_class_name or None

    @property
    def selector(self) -> LabelSelector | None:
        return self.spec.source.selector
