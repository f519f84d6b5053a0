"""Lists: pages, the versions that they show, and their rendering."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from snapshotter.testing.apiserver.requests import whole_number
from snapshotter.testing.apiserver.selection import Selection
from snapshotter.testing.apiserver.status import (
    ApiError,
    Cause,
    Json,
    Subject,
    bad_request,
    expired,
    invalid,
    too_new,
)
from snapshotter.testing.apiserver.store import Expired, Key, Resource, Store, Stored

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


class Token(msgspec.Struct, frozen=True):
    """Where a paged list goes on: after `namespace` and `name`, as things were at `version`."""

    version: int
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Token":
        """Raises `ApiError` 400."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (binascii.Error, msgspec.DecodeError, ValueError) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error


@dataclass(frozen=True, slots=True)
class Page:
    items: Sequence[Stored]
    version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Json:
        metadata: Json = {"continue": self.token, "resourceVersion": str(self.version)}
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def page(store: Store, resource: Resource, selection: Selection, query: Mapping[str, str]) -> Page:
    """The objects that a query asks for. Raises `ApiError` 400, 410 and 504."""
    whole_number(query, "timeoutSeconds")
    _check_match(query)
    limit = whole_number(query, "limit") or 0
    if query.get("resourceVersion") == "0":
        limit = 0  # where any version will do, the server answers from its cache, whole
    wanted = whole_number(query, "resourceVersion") or 0
    if wanted > store.version:
        raise too_new(wanted, store.version)
    after: Key | None = None
    if query.get("continue"):
        token = Token.decode(query["continue"])
        after, version = token.key, token.version
    else:
        is_exact = query.get("resourceVersionMatch") == "Exact"
        version = wanted if is_exact else store.version
    try:
        everything = store.all_at(resource, version, selection.namespace)
    except Expired as error:
        if after is None:
            raise expired(f"The resourceVersion for the provided list is too old: {version}") from error
        anew = Token(store.version, *after).encode()
        raise expired(_TOO_OLD, {"continue": anew}) from error
    items = [item for item in everything if (after is None or item.key > after) and selection.matches(item)]
    if not limit or len(items) <= limit:
        return Page(items, version)
    shown = items[:limit]
    token_text = Token(version, *shown[-1].key).encode()
    return Page(shown, version, token_text, None if selection.is_filtered else len(items) - limit)


def _check_match(query: Mapping[str, str]) -> None:
    match = query.get("resourceVersionMatch", "")
    if match and not query.get("resourceVersion"):
        detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _bad_option(Cause("resourceVersionMatch", "FieldValueForbidden", detail))
    if match not in ("", "Exact", "NotOlderThan"):
        detail = 'supported values: "Exact", "NotOlderThan"'
        raise _bad_option(Cause("resourceVersionMatch", "FieldValueNotSupported", detail, value=match))


def _bad_option(cause: Cause) -> ApiError:
    return invalid(Subject("meta.k8s.io", "", "ListOptions"), [cause])


def encoded_list(api_version: str, kind: str, items: Sequence[bytes], metadata: Json) -> bytes:
    """The JSON of a list, put together from that of its items."""
    head = msgspec.json.encode({"apiVersion": api_version, "kind": kind, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(items) + b"]}"
