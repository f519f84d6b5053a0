"""Objects of a kind in its several versions.

An object is stored in the storage version of its kind, as that was when it was written last, and served in the
version that is asked for. With strategy `None` the versions of a kind differ in `apiVersion` alone, and in what their
schemas know; with `Webhook` another program says what an object is in another version, see `conversion_review`.
"""

import msgspec

from snapshotter.testing.apiserver.conversion_review import Conversion
from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.notes import Notes, Unanswered
from snapshotter.testing.apiserver.schema import prune
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Stored
from snapshotter.testing.apiserver.views import View


def converted(obj: Json, kind: Kind, version: Version, notes: Notes) -> Json:
    """The object in a version of its kind. May be the object itself, changed. Raises `Unanswered`."""
    wanted = kind.api_version(version.name)
    if obj["apiVersion"] == wanted:
        return obj
    if kind.asks_webhook:
        answer: Json = msgspec.json.decode(notes.answer(Conversion(kind, version, msgspec.json.encode(obj))))
        return answer
    obj["apiVersion"] = wanted
    prune(obj, version.node)
    return obj


def served(stored: Stored, kind: Kind, version: Version, notes: Notes) -> Json:
    """The stored object in a version of its kind; not to be changed. Raises `Unanswered`."""
    if stored.object["apiVersion"] == kind.api_version(version.name):
        return stored.object
    return converted(stored.fresh(), kind, version, notes)


def encoded(stored: Stored, kind: Kind, version: Version, notes: Notes) -> bytes:
    """The JSON of the stored object in a version of its kind. Raises `Unanswered`."""
    if kind.asks_webhook and stored.object["apiVersion"] != kind.api_version(version.name):
        answer: bytes = notes.answer(Conversion(kind, version, stored.encoded))
        return answer
    return viewed(stored, kind, version)


def viewed(stored: Stored, kind: Kind, version: Version) -> bytes:
    """As `encoded`, but made once for all who ask, as lists and watches want it. Raises `Unanswered`."""
    if stored.object["apiVersion"] == kind.api_version(version.name):
        return stored.encoded
    known = stored.encoded_as.get(version)
    if known is None:
        if kind.asks_webhook:
            raise Unanswered([View(stored, kind, version)])
        known = msgspec.json.encode(converted(stored.fresh(), kind, version, Notes()))
        stored.encoded_as[version] = known
    return known
