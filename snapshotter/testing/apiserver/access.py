"""The gate before every request: who asks, and whether he may."""

from collections.abc import Mapping

from snapshotter.testing.apiserver.authorization import (
    Access,
    AlwaysAllow,
    Authorizer,
    PathAccess,
    Rbac,
    ResourceAccess,
)
from snapshotter.testing.apiserver.requests import Place
from snapshotter.testing.apiserver.selectors import parse_fields
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.users import ADMIN, User

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "LIST": "list",
    "WATCH": "watch",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class Gate:
    """Lets requests in. Without RBAC everybody is the administrator, and nobody has to say who he is."""

    def __init__(self, store: Store, tokens: Tokens, *, rbac: bool) -> None:
        self.is_open = not rbac
        self.authorizer: Authorizer = Rbac(store) if rbac else AlwaysAllow()
        self._tokens = tokens

    def user_of(self, authorization: str) -> User:
        """Raises `ApiError` 401."""
        return ADMIN if self.is_open else self._tokens.user_of(authorization)

    def check(self, user: User, access: Access) -> None:
        """Raises `ApiError` 403."""
        if self.is_open:
            return
        verdict = self.authorizer.verdict(user, access)
        if not verdict.allowed:
            raise access.refused(user, verdict.reason)


def access_of(place: Place | None, path: str, verb: str, query: Mapping[str, str]) -> Access:
    """What a request has to be allowed."""
    if place is None:
        return PathAccess(verb.lower(), path)
    wanted = _VERBS.get(verb, verb.lower())
    if wanted == "delete" and not place.name:
        wanted = "deletecollection"
    return ResourceAccess(
        verb=wanted,
        group=place.group,
        resource=f"{place.plural}/{place.subresource}" if place.subresource else place.plural,
        namespace=_namespace_of(place),
        name=place.name or (_single_name(query) if wanted in ("list", "watch") else ""),
    )


def _namespace_of(place: Place) -> str:
    """A namespace is taken to live in itself."""
    is_namespace = (place.group, place.plural) == ("", "namespaces")
    return place.name if is_namespace else place.namespace


def _single_name(query: Mapping[str, str]) -> str:
    """The name that a list or a watch is narrowed to by its field selector. Raises `ApiError` 400."""
    for requirement in parse_fields(query.get("fieldSelector", "")).requirements:
        if requirement.key == "metadata.name" and requirement.among and requirement.values:
            return next(iter(requirement.values))
    return ""
