"""Tokens by which programs show which ServiceAccount they work under."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from snapshotter.testing.apiserver.status import ApiError
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.users import ADMIN, ANONYMOUS, User, service_account

SERVICE_ACCOUNTS = ("", "serviceaccounts")


@dataclass(frozen=True, slots=True)
class _Grant:
    namespace: str
    name: str
    uid: str
    expires_at: float


class Tokens:
    """The tokens that this server has given out. They mean nothing to anybody else, and end with the process."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.admin = secrets.token_hex(16)
        """The token of the administrator."""
        self._store = store
        self._clock = clock
        self._grants: dict[str, _Grant] = {}

    def issue(self, namespace: str, name: str, uid: str, seconds: float) -> str:
        """A token for the ServiceAccount of that uid, which lasts so many seconds."""
        token = secrets.token_urlsafe(32)
        self._grants[token] = _Grant(namespace, name, uid, self._clock() + seconds)
        return token

    def user_of(self, authorization: str) -> User:
        """Whose an `Authorization` header is. Raises `ApiError` 401 for a token that is not, or no longer, good."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return ANONYMOUS
        if secrets.compare_digest(token.encode(), self.admin.encode()):
            return ADMIN
        grant = self._grants.get(token)
        if grant is None or not self._is_good(grant):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return service_account(grant.namespace, grant.name)

    def _is_good(self, grant: _Grant) -> bool:
        """A token is as good as its account: one that was deleted takes its tokens along, also if it is made anew."""
        account = self._store.get(SERVICE_ACCOUNTS, (grant.namespace, grant.name))
        is_same = account is not None and account.object["metadata"]["uid"] == grant.uid
        return is_same and self._clock() < grant.expires_at
