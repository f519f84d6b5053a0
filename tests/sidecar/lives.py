"""Contents as users see them, version by version: what the laws in `chronicle` speak about.

Nothing of the product reads the objects here, so that it is not judged by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from snapshotter import names
from tests.world import DRIVER, SINGLE, Kind, Object

Author = Literal["user", "cluster", "sidecar"]


class Content:
    """A content of either kind at one version."""

    def __init__(self, kind: Kind, raw: Object) -> None:
        self.kind = kind
        self.raw = raw
        self.metadata: Object = raw["metadata"]
        self.spec: Object = raw["spec"]
        self.status: Object = raw.get("status") or {}
        self.annotations: dict[str, str] = self.metadata.get("annotations") or {}
        self.labels: dict[str, str] = self.metadata.get("labels") or {}
        self.finalizers: list[str] = self.metadata.get("finalizers") or []

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        return str(self.metadata["resourceVersion"])

    @property
    def ours(self) -> bool:
        """Whether it is for the driver whose sidecar is tried here."""
        return bool(self.spec["driver"] == DRIVER)

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def marked(self) -> bool:
        """Whether the snapshot-controller has said that it may go."""
        return self.kind.being_deleted in self.annotations

    @property
    def being_created(self) -> bool:
        return self.kind.being_created in self.annotations

    @property
    def protected(self) -> bool:
        return self.kind.finalizer in self.finalizers

    @property
    def policy(self) -> str:
        return str(self.spec["deletionPolicy"])

    @property
    def handle(self) -> str | None:
        return self.status.get(self.kind.handle) or None

    @property
    def ready(self) -> bool:
        return self.status.get("readyToUse") is True and self.handle is not None

    @property
    def error(self) -> str | None:
        return (self.status.get("error") or {}).get("message")

    @property
    def ref_uid(self) -> str:
        return str(self.spec[self.kind.ref].get("uid") or "")

    @property
    def class_name(self) -> str | None:
        return self.spec.get(self.kind.class_name)

    @property
    def volumes(self) -> tuple[str, ...]:
        """What is to be cut."""
        source = self.spec["source"]
        volumes = source.get("volumeHandles") or [source.get("volumeHandle")]
        return tuple(volume for volume in volumes if volume)

    @property
    def imported(self) -> str | None:
        """The handle of what somebody else has made."""
        source = self.spec["source"]
        handle: str | None = source.get("snapshotHandle")
        return handle or source.get("groupSnapshotHandles", {}).get(self.kind.handle)

    @property
    def is_member(self) -> bool:
        return self.kind is SINGLE and names.MEMBER_OF_GROUP in self.annotations

    @property
    def is_of_group(self) -> bool:
        """Whether its life on the storage is that of a group."""
        return self.is_member or (self.kind is SINGLE and bool(self.status.get("volumeGroupSnapshotHandle")))

    @property
    def is_to_be_cut(self) -> bool:
        return bool(self.volumes) and not self.is_member

    @property
    def cut_name(self) -> str:
        """The name under which the driver makes it."""
        return f"{self.kind.snapshot.removeprefix('Volume').lower()}-{self.ref_uid}"

    @property
    def secret(self) -> str | None:
        """The Secret that its annotations name, empty if they name none properly."""
        name, namespace = (self.annotations.get(key) for key in (self.kind.secret_name, self.kind.secret_namespace))
        if name is None and namespace is None:
            return None
        return name if name and namespace else ""

    @property
    def never_bound(self) -> bool:
        return self.imported is not None and not self.ref_uid

    @property
    def may_go(self) -> bool:
        return self.deleting and (self.marked or self.never_bound)

    @property
    def cut_is_open(self) -> bool:
        """Whether a cut may have made what nobody could name."""
        return self.being_created and self.handle is None and self.is_to_be_cut

    @property
    def settled(self) -> bool:
        """Whether all is as it should be, and nothing is left to do."""
        return self.ready and self.error is None and not self.being_created and not self.deleting

    @cached_property
    def members(self) -> list[dict[str, Any]]:
        return self.status.get("volumeSnapshotInfoList") or []


@dataclass(frozen=True, slots=True)
class Version:
    """A content from one moment on, until the next version. Times are of the monotonic clock."""

    since: float
    author: Author
    content: Content | None
    """None: it is gone."""


@dataclass
class Life:
    """A content from its birth, by its uid."""

    kind: Kind
    name: str
    uid: str
    versions: list[Version] = field(default_factory=list)
    handles: set[str] = field(default_factory=set)
    """All handles that its status has told."""
    troubles: list[str] = field(default_factory=list)
    """What users may be told about with a warning: faults that it met, mistakes that were made with it."""
    tampered: list[str] = field(default_factory=list)
    """What others have done to what only the sidecar writes. Of such a content less can be promised."""
    deceived: list[str] = field(default_factory=list)
    """Where the driver has denied what it holds."""

    @property
    def now(self) -> Content | None:
        return self.versions[-1].content

    @property
    def last(self) -> Content:
        """As it is, or was at the end."""
        return next(version.content for version in reversed(self.versions) if version.content is not None)

    @property
    def gone(self) -> bool:
        return self.now is None

    def between(self, begin: float, end: float) -> Iterator[Content]:
        """The versions that were the present one at some time between."""
        ends = [version.since for version in self.versions[1:]] + [end]
        for version, until in zip(self.versions, ends, strict=True):
            if version.content is not None and version.since <= end and until >= begin:
                yield version.content

    def was(self, how: Callable[[Content], bool], *, at: float, within: float) -> bool:
        """Whether it was so at this time, or at most so many seconds before."""
        return any(how(content) for content in self.between(at - within, at))

    def touched_between(self, begin: float, end: float) -> bool:
        """Whether others than the sidecar have changed it."""
        return any(begin <= version.since <= end and version.author != "sidecar" for version in self.versions)

    def __str__(self) -> str:
        return f"{self.kind.id} {self.name} ({self.uid[:8]})"
