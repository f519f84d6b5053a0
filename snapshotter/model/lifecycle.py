"""What VolumeSnapshotContent and VolumeGroupSnapshotContent have in common: the marks and stations of their lives.

The rules on these are in `snapshotter.plan.lifecycle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import msgspec

from snapshotter.model.meta import ApiObject, ClusterObject, Meta, ObjectReference

DeletionPolicy = Literal["Delete", "Retain"]


@dataclass(frozen=True, slots=True)
class Keys:
    """The agreed strings of one kind of content."""

    being_created: str
    being_deleted: str
    secret_name: str
    secret_namespace: str
    finalizer: str
    snapshot: str
    """The kind that a content is made for, such as VolumeSnapshot."""
    snapshot_class: str
    """The kind of its class."""
    ref: str
    """The field of the spec that refers to the snapshot."""
    class_name: str
    """The field of the spec that names the class."""
    metadata_name: str
    """The parameter that tells the driver the snapshot's name; the two below, its namespace and the content."""
    metadata_namespace: str
    metadata_content: str


class Marks(ApiObject, frozen=True, kw_only=True):
    """The annotations that mean something to us; others are not kept in memory. Each kind has keys of its own."""

    being_created: str | None = None
    being_deleted: str | None = None
    secret_name: str | None = None
    secret_namespace: str | None = None


class MarkedMeta(Meta, frozen=True, kw_only=True):
    annotations: Marks = Marks()


class AnySpec(ApiObject, frozen=True, kw_only=True):
    driver: str
    deletion_policy: DeletionPolicy


class StatusError(ApiObject, frozen=True, kw_only=True):
    message: str | None = None
    time: str | None = None


class AnyStatus(ApiObject, frozen=True, kw_only=True):
    ready_to_use: bool | None = None
    error: StatusError | None = None


class AnyContent(ClusterObject, frozen=True, kw_only=True):
    """One content of either kind. The properties turn empty strings into None."""

    keys: ClassVar[Keys]

    metadata: MarkedMeta
    spec: AnySpec
    cut_in_doubt: bool = False
    """Whether a create call for what has a handle may still be at work in the driver. No API server says this."""

    @property
    def status(self) -> AnyStatus:
        """The status, empty while there is none."""
        raise NotImplementedError

    @property
    def has_status(self) -> bool:
        """Whether there is a status at all, be it empty."""
        raise NotImplementedError

    @property
    def handle(self) -> str | None:
        """The storage's id as far as it is recorded in status."""
        raise NotImplementedError

    @property
    def set_once(self) -> Mapping[str, object]:
        """What is in the status under the keys that are never overwritten."""
        raise NotImplementedError

    @property
    def imported_handle(self) -> str | None:
        """The storage's id of what somebody else made; set for a pre-provisioned content."""
        raise NotImplementedError

    @property
    def has_source(self) -> bool:
        """Whether the content says what it is made from."""
        raise NotImplementedError

    @property
    def ours_to_cut(self) -> bool:
        """Whether the content asks for something to be cut."""
        raise NotImplementedError

    @property
    def class_name(self) -> str | None:
        raise NotImplementedError

    @property
    def ref(self) -> ObjectReference:
        """The snapshot that the content is made for."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether there is something to restore from; without a handle there is not, whatever else is said."""
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
    def protected(self) -> bool:
        """Our finalizer keeps the object until what it stands for is taken care of."""
        return self.keys.finalizer in self.metadata.finalizers


class ClassAnnotations(ApiObject, frozen=True, kw_only=True):
    """The annotation that makes a class a default one. Each kind has a key of its own."""

    is_default: str | None = None


class ClassMeta(Meta, frozen=True, kw_only=True):
    annotations: ClassAnnotations = ClassAnnotations()


class AnyClass(ClusterObject, frozen=True, kw_only=True):
    """A class of either kind."""

    metadata: ClassMeta
    driver: str
    deletion_policy: DeletionPolicy
    parameters: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether it is used for requests of its driver that name none. No value but `true` means yes."""
        return self.metadata.annotations.is_default == "true"
