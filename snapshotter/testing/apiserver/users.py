"""Who sends a request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MASTERS = "system:masters"
"""The group whose members may do everything, whatever the roles say."""
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
_ACCOUNT = re.compile("system:serviceaccount:(?P<namespace>[^:]+):(?P<name>[^:]+)")


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


ADMIN = User("admin", (MASTERS, AUTHENTICATED))
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


def service_account(namespace: str, name: str) -> User:
    """As whom the programs run that work under a ServiceAccount."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(service_account_name(namespace, name), groups)


def known_as(name: str, groups: Sequence[str] = ()) -> User:
    """The user of a name, as somebody may act in his stead: with these groups, or those that he has of himself."""
    account = service_account_of(name)
    if account is not None and not groups:
        return service_account(*account)
    if name == ANONYMOUS.name and not groups:
        return ANONYMOUS
    return User(name, (*groups, *(() if AUTHENTICATED in groups else (AUTHENTICATED,))))


def service_account_of(name: str) -> tuple[str, str] | None:
    """The namespace and the name of the account that a user is; None when he is none."""
    found = _ACCOUNT.fullmatch(name)
    return None if found is None else (found["namespace"], found["name"])


def service_account_name(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"
