"""Stored objects in the versions that they are not stored in, kept for lists and watches.

A real server keeps a cache for each served version, and fills it as objects change; so does this, where a webhook
has to be asked. A list then costs no call, and is there as long as nothing changes, also while the webhook is away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from snapshotter.testing.apiserver.conversion_review import Conversion
from snapshotter.testing.apiserver.kinds import Catalogue, Kind, Version
from snapshotter.testing.apiserver.store import Change, Resource, Stored
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls


@dataclass(frozen=True, slots=True)
class View:
    """A stored object in another version of its kind. The answer is put where the object is stored."""

    stored: Stored
    kind: Kind
    version: Version

    async def ask(self, calls: WebhookCalls) -> None:
        """Raises `ApiError` 500."""
        await calls.share(self, self.fill)

    async def fill(self, calls: WebhookCalls) -> None:
        """Raises `ApiError` 500."""
        conversion = Conversion(self.kind, self.version, self.stored.encoded)
        self.stored.encoded_as[self.version] = await conversion.ask(calls)


def missing_view(stored: Stored, kind: Kind, version: Version) -> View | None:
    """What a list or a watch of that version has to wait for."""
    if not kind.asks_webhook or version in stored.encoded_as:
        return None
    is_stored_so = stored.object["apiVersion"] == kind.api_version(version.name)
    return None if is_stored_so else View(stored, kind, version)


class Views:
    """Listens to the store, and fills in the views of what is written."""

    def __init__(self, catalogue: Catalogue, calls: WebhookCalls) -> None:
        self._catalogue = catalogue
        self._calls = calls

    def follow(self, resource: Resource, change: Change) -> None:
        for view in self._missing(resource, change.new):
            self._calls.begin(view, view.fill)

    def _missing(self, resource: Resource, stored: Stored) -> Iterator[View]:
        kind = self._catalogue.of_resource(resource)
        if kind is None or not kind.asks_webhook:
            return
        for version in kind.served_versions():
            if (view := missing_view(stored, kind, version)) is not None:
                yield view
