"""The part of `metadata` that every watched object has."""

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time of day with its offset (RFC 3339)."""
Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What the API calls `int64`. Nanoseconds since the epoch that do not fit are no time that Python knows."""


class ApiObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the structs that are decoded straight from the API server's JSON.

    They hold the fields that we read and no others, so an object is never written back from one.
    """


class Meta(ApiObject, frozen=True, kw_only=True):
    name: str
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    finalizers: tuple[str, ...] = ()


class ClusterObject(ApiObject, frozen=True, kw_only=True):
    """An object that belongs to no namespace. Its key, under which stores and queues know it, is its name."""

    metadata: Meta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> str:
        return self.metadata.name


class NamespacedMeta(Meta, frozen=True, kw_only=True):
    namespace: str


class NamespacedObject(ApiObject, frozen=True, kw_only=True):
    """An object in a namespace. Its key is `<namespace>/<name>`."""

    metadata: NamespacedMeta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def key(self) -> str:
        return key_of(self.metadata.namespace, self.metadata.name)


def key_of(namespace: str, name: str) -> str:
    """The key of an object; an empty namespace stands for none."""
    return f"{namespace}/{name}" if namespace else name


class ObjectReference(ApiObject, frozen=True, kw_only=True):
    """A reference to an object; empty strings stand for what is not known (yet)."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
