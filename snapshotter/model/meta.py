"""The part of `metadata` that every watched object has."""

from datetime import datetime

import msgspec


class ApiObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the structs that are decoded straight from the API server's JSON.

    They hold the fields that we read and no others, so an object is never written back from one.
    """


class Meta(ApiObject, frozen=True, kw_only=True):
    name: str
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()


class ObjectReference(ApiObject, frozen=True, kw_only=True):
    """A reference to an object; empty strings stand for what is not known (yet)."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
