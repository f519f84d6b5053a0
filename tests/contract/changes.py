"""Changes of custom objects, for the tables of what is refused and what is accepted."""

from dataclasses import dataclass, replace
from typing import Any

from tests.contract.client import Client, Json
from tests.contract.objects import another, collection_of, in_version, path_of

REQUIRED = "Required value"


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of an object, or of its status."""

    given: Json
    patch: Json
    field: str = ""
    words: tuple[str, ...] = ()
    before: tuple[Json, ...] = ()
    """Patches that come before; they are accepted."""

    @property
    def path(self) -> str:
        return self._place(self.patch)

    def of_another(self, version: str) -> "Change":
        """The same change, in some version, of an object under a name of its own."""
        return replace(self, given=in_version(another(self.given), version))

    def _place(self, patch: Json) -> str:
        return path_of(self.given) + ("/status" if "status" in patch else "")

    async def prepare(self, api: Client) -> Json:
        """Create the object and bring it to where the change begins; how it is then."""
        found = (await api.create(collection_of(self.given), self.given)).ok()
        for patch in self.before:
            found = (await api.merge(self._place(patch), patch)).ok()
        return found


def spec(**fields: Any) -> Json:
    return {"spec": fields}


def status(**fields: Any) -> Json:
    return {"status": fields}
