"""Which objects of a resource a list or a watch is about."""

from collections.abc import Mapping
from dataclasses import dataclass

from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.selectors import EVERYTHING, Selector, parse_fields, parse_labels
from snapshotter.testing.apiserver.status import Json, bad_request
from snapshotter.testing.apiserver.store import Change, EventType, Stored


@dataclass(frozen=True, slots=True)
class Selection:
    """`namespace` None: of all namespaces."""

    namespace: str | None = None
    labels: Selector = EVERYTHING
    fields: Selector = EVERYTHING

    @property
    def is_filtered(self) -> bool:
        return bool(self.labels) or bool(self.fields)

    def matches(self, stored: Stored) -> bool:
        if self.namespace is not None and stored.key[0] != self.namespace:
            return False
        if not self.is_filtered:
            return True
        if not self.labels.matches_labels(stored.object["metadata"].get("labels")):
            return False
        return self.fields.matches(lambda name: field_of(stored.object, name))

    def event(self, change: Change) -> tuple[EventType, Stored] | None:
        """The change as seen through the selection: what enters it is added, what leaves it is deleted."""
        before = change.old is not None and self.matches(change.old)
        after = change.type != "DELETED" and self.matches(change.new)
        if after:
            return ("MODIFIED" if before else "ADDED"), change.new
        if not before or change.old is None:
            return None
        if change.type == "DELETED":
            return "DELETED", change.new
        last = change.old.fresh()
        last["metadata"]["resourceVersion"] = str(change.version)
        return "DELETED", Stored(change.old.key, change.version, last)


def field_of(obj: Json, name: str) -> str:
    """The value of a selectable field; empty where it is absent."""
    value: object = obj
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if name == "source":
        value = obj.get("source", {}).get("component")
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def selection_of(kind: Kind, version: Version, namespace: str, query: Mapping[str, str]) -> Selection:
    """The selection that a query states. ApiError 400 for a selector that cannot be read or is not supported."""
    fields = parse_fields(query.get("fieldSelector", ""))
    for requirement in fields.requirements:
        if requirement.key == "metadata.name" or (requirement.key == "metadata.namespace" and kind.namespaced):
            continue
        if requirement.key not in version.selectable_fields:
            raise bad_request(f"field label not supported: {requirement.key}")
    return Selection(
        namespace=namespace if kind.namespaced and namespace else None,
        labels=parse_labels(query.get("labelSelector", "")),
        fields=fields,
    )
