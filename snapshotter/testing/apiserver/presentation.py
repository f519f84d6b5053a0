"""In which form a client wants objects: whole, as a Table, or with their metadata alone."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from snapshotter.testing.apiserver.conversion import encoded, served, viewed
from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.lists import Page, encoded_list
from snapshotter.testing.apiserver.notes import Notes, Unanswered
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Stored
from snapshotter.testing.apiserver.tables import partial, table
from snapshotter.testing.apiserver.views import View, missing_view

Form = Literal["whole", "table", "partial"]


@dataclass(frozen=True, slots=True)
class Presentation:
    """Renders the objects of one kind in one version for one request."""

    kind: Kind
    version: Version
    form: Form = "whole"
    include: str = "Metadata"
    """What a row of a table carries of its object."""

    def one(self, stored: Stored, notes: Notes) -> bytes:
        """Raises `Unanswered`, as the others."""
        if self.form == "whole":
            return encoded(stored, self.kind, self.version, notes)
        obj = served(stored, self.kind, self.version, notes)
        return self._partial(obj) if self.form == "partial" else self._table(obj, headers=True)

    def _partial(self, obj: Json) -> bytes:
        return msgspec.json.encode(partial(obj))

    def _table(self, obj: Json, *, headers: bool) -> bytes:
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        made = table([obj], self.version, metadata, time.time(), self.include, headers=headers)
        return msgspec.json.encode(made)

    def events(self) -> Callable[[Stored], bytes]:
        """Renders the frames of a watch: only its first table has column definitions."""
        if self.form == "whole":
            return lambda stored: viewed(stored, self.kind, self.version)
        if self.form == "partial":
            return lambda stored: self._partial(self._object(stored))
        headers = iter((True,))
        return lambda stored: self._table(self._object(stored), headers=next(headers, False))

    def _object(self, stored: Stored) -> Json:
        if stored.object["apiVersion"] == self.kind.api_version(self.version.name):
            return stored.object
        obj: Json = msgspec.json.decode(viewed(stored, self.kind, self.version))
        return obj

    def missing(self, items: Iterable[Stored]) -> list[View]:
        """What a list or a watch has to wait for before these can be rendered."""
        if not self.kind.asks_webhook:
            return []
        views = (missing_view(stored, self.kind, self.version) for stored in items)
        return [view for view in views if view is not None]

    def many(self, page: Page) -> bytes:
        if missing := self.missing(page.items):
            raise Unanswered(missing)
        if self.form == "whole":
            items = [viewed(stored, self.kind, self.version) for stored in page.items]
            api_version = self.kind.api_version(self.version.name)
            return encoded_list(api_version, self.kind.list_kind, items, page.metadata())
        objects = [self._object(stored) for stored in page.items]
        if self.form == "table":
            made = table(objects, self.version, page.metadata(), time.time(), self.include)
            return msgspec.json.encode(made)
        return encoded_list(
            "meta.k8s.io/v1",
            "PartialObjectMetadataList",
            [msgspec.json.encode(partial(obj)) for obj in objects],
            page.metadata(),
        )

    def bookmark(self, version: int, *, ends_initial: bool = False) -> bytes:
        """An object that says nothing but up to which version the watch has come."""
        metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Json = {
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(self.version.name),
            "metadata": metadata,
        }
        if self.form == "partial":
            obj = partial(obj)
        elif self.form == "table":
            rowless: Sequence[Json] = ()
            obj = table(rowless, self.version, {"resourceVersion": str(version)}, 0, self.include, headers=False)
        return msgspec.json.encode(obj)


def form_of(accept: str) -> Form:
    """The first form of the Accept header that is served."""
    for choice in accept.split(","):
        media_type, *parameters = (part.strip() for part in choice.split(";"))
        if media_type not in ("application/json", "*/*"):
            continue
        wanted = next((part[3:] for part in parameters if part.startswith("as=")), "")
        if wanted == "":
            return "whole"
        if wanted == "Table":
            return "table"
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return "partial"
    return "whole"
