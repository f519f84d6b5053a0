"""What an operation on objects is about, what is asked for beside it, and what it comes to."""

from dataclasses import dataclass, field
from typing import Literal

from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.notes import Notes
from snapshotter.testing.apiserver.status import Subject
from snapshotter.testing.apiserver.store import Key, Stored
from snapshotter.testing.apiserver.users import User

FieldValidation = Literal["Ignore", "Warn", "Strict"]
Propagation = Literal["Background", "Foreground", "Orphan"]
PatchType = Literal["json", "merge", "strategic", "apply"]

PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/apply-patch+yaml": "apply",
    "application/strategic-merge-patch+json": "strategic",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. `name` is empty for a collection."""

    kind: Kind
    version: Version
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def subject(self) -> Subject:
        return self.kind.subject(self.name)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a writer may ask for beside its object."""

    dry_run: bool = False
    validation: FieldValidation = "Warn"
    manager: str = ""
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    """Takes what the writer should know, also when the write is refused."""
    notes: Notes = field(default_factory=Notes)
    user: User | None = None
    """Who asks for it. None: the server itself, whom no webhook is asked about."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    dry_run: bool = False
    propagation: Propagation = "Background"
    uid: str | None = None
    resource_version: str | None = None
    notes: Notes = field(default_factory=Notes)
    user: User | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to: the object in its storage version."""

    stored: Stored
    created: bool = False
    gone: bool = False
