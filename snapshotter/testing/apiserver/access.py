"""The gate before every request: who asks, and whether he may."""

from collections.abc import Mapping, Sequence

from aiohttp import web

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
from snapshotter.testing.apiserver.status import bad_request
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.users import ADMIN, User, known_as, service_account_of

_AS_USER = "Impersonate-User"
_AS_GROUP = "Impersonate-Group"
_IMPERSONATE = "impersonate"

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

    def user_of(self, request: web.Request) -> User:
        """Who asks, or in whose stead he asks. Raises `ApiError` 400, 401 and 403."""
        if self.is_open:
            return ADMIN
        headers = request.headers
        user = self._tokens.user_of(headers.get("Authorization", ""))
        name, groups = headers.get(_AS_USER, ""), headers.getall(_AS_GROUP, [])
        if groups and not name:
            raise bad_request("requested a group without impersonating a user name")
        return self._impersonated(user, name, groups) if name else user

    def _impersonated(self, user: User, name: str, groups: Sequence[str]) -> User:
        account = service_account_of(name)
        if account is None:
            self.check(user, ResourceAccess(_IMPERSONATE, resource="users", name=name))
        else:
            namespace, account_name = account
            access = ResourceAccess(_IMPERSONATE, resource="serviceaccounts", namespace=namespace, name=account_name)
            self.check(user, access)
        for group in groups:
            self.check(user, ResourceAccess(_IMPERSONATE, resource="groups", name=group))
        return known_as(name, groups)

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
