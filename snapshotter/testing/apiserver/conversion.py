"""Objects of a kind in its several versions.

An object is stored in the storage version of its kind, as that was when it was written last, and served in the
version that is asked for. With strategy `None` the versions of a kind differ in `apiVersion` alone, and in what their
schemas know; a webhook would be asked here.
"""

import msgspec

from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.schema import prune
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Stored


def converted(obj: Json, kind: Kind, version: Version) -> Json:
    """The object in a version of its kind. May be the object itself, changed."""
    if obj["apiVersion"] != (wanted := kind.api_version(version.name)):
        obj["apiVersion"] = wanted
        prune(obj, version.node)
    return obj


def served(stored: Stored, kind: Kind, version: Version) -> Json:
    """The stored object in a version of its kind; not to be changed."""
    if stored.object["apiVersion"] == kind.api_version(version.name):
        return stored.object
    return converted(stored.fresh(), kind, version)


def encoded(stored: Stored, kind: Kind, version: Version) -> bytes:
    """The JSON of the stored object in a version of its kind, encoded once."""
    if stored.object["apiVersion"] == kind.api_version(version.name):
        return stored.encoded
    known = stored.encoded_as.get(version)
    if known is None:
        known = msgspec.json.encode(served(stored, kind, version))
        stored.encoded_as[version] = known
    return known
