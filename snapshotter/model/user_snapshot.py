"""What VolumeSnapshot and VolumeGroupSnapshot have in common: a user's request, and how far it is.

The kinds themselves are in `volume_snapshot` and `volume_group_snapshot` beside this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from snapshotter.model.lifecycle import StatusError
from snapshotter.model.meta import ApiObject, NamespacedMeta, NamespacedObject


@dataclass(frozen=True, slots=True)
class RequestKeys:
    """The agreed strings of one kind of request."""

    kind: str
    content_kind: str
    class_kind: str
    default_class: str
    """The annotation, `true`, that makes a class the default of its driver."""
    content_prefix: str
    """What the name of a content that is made for a request begins with; its uid follows."""
    own_finalizers: tuple[str, ...]
    """The finalizers of ours that may keep a request."""
    content_ref: str
    """The field of the content that refers to the request."""
    class_name: str
    """The field of the spec that names the class, here and in the content."""
    bound_name: str
    """The field of the status that names the content."""


class OwnerReference(ApiObject, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class RequestMeta(NamespacedMeta, frozen=True, kw_only=True):
    owner_references: tuple[OwnerReference, ...] = ()


class RequestStatus(ApiObject, frozen=True, kw_only=True):
    creation_time: str | None = None
    """RFC 3339."""
    ready_to_use: bool | None = None
    error: StatusError | None = None


class UserSnapshot(NamespacedObject, frozen=True, kw_only=True):
    """One request of either kind. The properties turn empty strings into None."""

    keys: ClassVar[RequestKeys]

    metadata: RequestMeta

    @property
    def status(self) -> RequestStatus:
        """The status, empty while there is none."""
        raise NotImplementedError

    @property
    def has_status(self) -> bool:
        """Whether there is a status at all, be it empty."""
        raise NotImplementedError

    @property
    def set_once(self) -> Mapping[str, object]:
        """What is in the status under the keys that are never overwritten."""
        raise NotImplementedError

    @property
    def bound_name(self) -> str | None:
        """The content that the status names."""
        raise NotImplementedError

    @property
    def imported_name(self) -> str | None:
        """The content that somebody made for this request; None for one that asks for a cut."""
        raise NotImplementedError

    @property
    def class_name(self) -> str | None:
        raise NotImplementedError

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def made_name(self) -> str:
        """The name of the content that is made for this request."""
        return f"{self.keys.content_prefix}{self.metadata.uid}"

    @property
    def cut(self) -> bool:
        """Whether users were told that it exists on the storage."""
        return self.status.creation_time is not None

    @property
    def ready(self) -> bool:
        return self.status.ready_to_use is True

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def held(self) -> bool:
        """Whether a finalizer of ours keeps the object."""
        return any(name in self.metadata.finalizers for name in self.keys.own_finalizers)
