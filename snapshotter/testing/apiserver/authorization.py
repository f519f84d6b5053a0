"""Who may do what: the objects of `rbac.authorization.k8s.io`, read from the store at every question.

`access` asks for requests, `reviews` for those who want to know beforehand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from snapshotter.testing.apiserver.status import ApiError, Json
from snapshotter.testing.apiserver.store import Store, Stored
from snapshotter.testing.apiserver.users import AUTHENTICATED, MASTERS, UNAUTHENTICATED, User, service_account_name

RBAC_GROUP = "rbac.authorization.k8s.io"
_ROLES = {"ClusterRole": (RBAC_GROUP, "clusterroles"), "Role": (RBAC_GROUP, "roles")}
_CLUSTER_BINDINGS = (RBAC_GROUP, "clusterrolebindings")
_BINDINGS = (RBAC_GROUP, "rolebindings")


@dataclass(frozen=True, slots=True)
class ResourceAccess:
    """A verb on a resource, such as `patch` on `volumesnapshotcontents/status`."""

    verb: str
    group: str = ""
    resource: str = ""
    """The plural, with the subresource behind a slash."""
    namespace: str = ""
    """Empty: the whole cluster."""
    name: str = ""

    def refused(self, user: User, reason: str) -> ApiError:
        plural = self.resource.partition("/")[0]
        subject = f"{plural}.{self.group}" if self.group else plural
        if self.name:
            subject += f' "{self.name}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        message = (
            f'{subject} is forbidden: User "{user.name}" cannot {self.verb} resource "{self.resource}" '
            f'in API group "{self.group}" {where}'
        )
        details = {"name": self.name, "group": self.group, "kind": plural}
        present = {key: value for key, value in details.items() if value}
        return ApiError(403, "Forbidden", _with_reason(message, reason), present)

    def is_granted(self, rule: Mapping[str, Any]) -> bool:
        """Whether a rule of a role allows it."""
        names = rule.get("resourceNames")
        return (
            _has(rule, "verbs", self.verb)
            and _has(rule, "apiGroups", self.group)
            and self._is_among(rule.get("resources") or ())
            and (not names or self.name in names)
        )

    def _is_among(self, resources: Sequence[str]) -> bool:
        _, slash, subresource = self.resource.partition("/")
        return "*" in resources or self.resource in resources or (slash == "/" and f"*/{subresource}" in resources)


@dataclass(frozen=True, slots=True)
class PathAccess:
    """A verb on a path that leads to no resource, such as `get` on `/healthz`."""

    verb: str
    path: str

    def refused(self, user: User, reason: str) -> ApiError:
        message = f'forbidden: User "{user.name}" cannot {self.verb} path "{self.path}"'
        return ApiError(403, "Forbidden", _with_reason(message, reason), {})

    def is_granted(self, rule: Mapping[str, Any]) -> bool:
        urls = rule.get("nonResourceURLs") or ()
        return _has(rule, "verbs", self.verb) and any(self._is_below(url) for url in urls)

    def _is_below(self, url: str) -> bool:
        return url in ("*", self.path) or (url.endswith("*") and self.path.startswith(url.rstrip("*")))


Access = ResourceAccess | PathAccess


def _has(rule: Mapping[str, Any], member: str, value: str) -> bool:
    values = rule.get(member) or ()
    return value in values or "*" in values


def _with_reason(message: str, reason: str) -> str:
    return f"{message}: {reason}" if reason else message


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    def verdict(self, user: User, access: Access) -> Verdict: ...


class AlwaysAllow:
    """Everybody may do everything."""

    def verdict(self, _: User, __: Access) -> Verdict:
        return Verdict(allowed=True)


class Rbac:
    """What roles and bindings allow. They are looked up at each question, so that a change of them acts at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def verdict(self, user: User, access: Access) -> Verdict:
        if MASTERS in user.groups:
            return Verdict(allowed=True)
        missing: list[str] = []
        for binding, subject in self._bindings_of(user, access):
            ref = binding["roleRef"]
            rules = self._rules(ref, binding["metadata"].get("namespace", ""))
            if rules is None:
                missing.append(f'{ref["kind"].lower()}.{RBAC_GROUP} "{ref["name"]}" not found')
            elif any(access.is_granted(rule) for rule in rules):
                return Verdict(allowed=True, reason=_because(binding, subject))
        return Verdict(allowed=False, reason=_of_missing(missing))

    def _bindings_of(self, user: User, access: Access) -> Iterator[tuple[Json, Json]]:
        """The bindings that are about the user where the access is, each with the subject that says so."""
        bindings: list[Stored] = self._store.all(_CLUSTER_BINDINGS)
        if isinstance(access, ResourceAccess) and access.namespace:
            bindings = bindings + self._store.all(_BINDINGS, access.namespace)
        for stored in bindings:
            for subject in stored.object.get("subjects") or ():
                if _names(subject, user, stored.key[0]):
                    yield stored.object, subject
                    break

    def _rules(self, ref: Mapping[str, str], namespace: str) -> Sequence[Json] | None:
        """The rules of a role; None when there is no such role."""
        home = namespace if ref["kind"] == "Role" else ""
        role = self._store.get(_ROLES[ref["kind"]], (home, ref["name"]))
        return None if role is None else role.object.get("rules") or ()


def _names(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    """Whether the subject of a binding (in that namespace) is the user, or a group of his."""
    match subject["kind"]:
        case "User":
            return subject["name"] == user.name
        case "Group":
            return subject["name"] in user.groups
        case _:
            home = subject.get("namespace") or namespace
            return user.name == service_account_name(home, subject["name"])


def _because(binding: Json, subject: Mapping[str, str]) -> str:
    metadata, ref = binding["metadata"], binding["roleRef"]
    namespace = metadata.get("namespace", "")
    bound = f"{metadata['name']}/{namespace}" if namespace else metadata["name"]
    whom = subject["name"]
    if subject["kind"] == "ServiceAccount":
        whom += "/" + (subject.get("namespace") or namespace)
    return (
        f'RBAC: allowed by {binding["kind"]} "{bound}" of {ref["kind"]} "{ref["name"]}" to {subject["kind"]} "{whom}"'
    )


def _of_missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    return "RBAC: " + (missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]")


def bootstrap_objects() -> Iterator[tuple[str, Json]]:
    """What a cluster with roles has from the start, as far as clients need it, each with its plural."""
    for name, (rules, groups) in _BOOTSTRAP.items():
        metadata = {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }
        yield "clusterroles", {"metadata": metadata, "rules": rules}
        subjects = [{"kind": "Group", "apiGroup": RBAC_GROUP, "name": group} for group in groups]
        ref = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": name}
        yield "clusterrolebindings", {"metadata": metadata, "subjects": subjects, "roleRef": ref}


_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_REVIEWS = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
_EVERYTHING = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]

_BOOTSTRAP: dict[str, tuple[list[Json], tuple[str, ...]]] = {
    "cluster-admin": (_EVERYTHING, (MASTERS,)),
    "system:basic-user": (
        [
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": _REVIEWS},
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
        ],
        (AUTHENTICATED,),
    ),
    "system:discovery": (
        [
            {
                "verbs": ["get"],
                "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH],
            }
        ],
        (AUTHENTICATED,),
    ),
    "system:public-info-viewer": (
        [{"verbs": ["get"], "nonResourceURLs": _HEALTH}],
        (AUTHENTICATED, UNAUTHENTICATED),
    ),
}
