"""Objects that a store can hold, with nothing to them but a version."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThingMeta:
    resource_version: str
    uid: str = "u"
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Thing:
    key: str
    metadata: ThingMeta

    @property
    def version(self) -> str:
        return self.metadata.resource_version


def thing(
    name: str, version: str | int, *, uid: str = "u", deleting: bool = False, finalizers: tuple[str, ...] = ("f",)
) -> Thing:
    deleted_at = "2024-05-06T07:08:09Z" if deleting else None
    return Thing(name, ThingMeta(str(version), uid, deleted_at, finalizers))
