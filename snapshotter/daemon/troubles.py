"""Tells users of objects that cannot be read: by an event about each, once for each reason."""

from typing import Any, Generic, TypeVar

from snapshotter.kube.events import Events
from snapshotter.kube.kinds import Kind
from snapshotter.model.meta import Meta, NamespacedMeta
from snapshotter.names import MALFORMED
from snapshotter.runtime.store import SetAside, Store, Versioned

T = TypeVar("T", bound=Versioned)


class Troubles(Generic[T]):
    """The objects of one kind that their store cannot hold."""

    def __init__(self, kind: Kind[Any], store: Store[T], events: Events) -> None:
        self._kind = kind
        self._store = store
        self._events = events
        self._told: dict[str, str] = {}

    def untold(self, key: str) -> bool:
        """Whether there is something to tell about an object."""
        found = self._store.trouble_with(key)
        return found is not None and self._told.get(key) != found.reason

    def forget(self, key: str) -> None:
        """Forget what was told of an object that has been mended, or has gone."""
        if self._store.trouble_with(key) is None:
            self._told.pop(key, None)

    def tell(self, key: str) -> None:
        """Say why nothing is done for an object, if that is so and has not been said."""
        found = self._store.trouble_with(key)
        if found is None or not key or not self.untold(key):
            return
        self._told[key] = found.reason
        text = f"it cannot be read, and nothing is done for it until it is mended: {found.reason}"
        self._events.tell(self._kind, _meta(found), "Warning", MALFORMED, text)


def _meta(found: SetAside) -> Meta:
    namespace, slash, name = found.key.rpartition("/")
    if slash:
        return NamespacedMeta(name=name, namespace=namespace, uid=found.uid, resource_version=found.version)
    return Meta(name=name, uid=found.uid, resource_version=found.version)
