"""What the audit log of the real API server says about our programs, held against what their plan names.

The plan is `snapshotter.plan.permissions`, which docs/permissions.md shows. Only the service accounts of the manifests
are judged; tests that take permissions away use accounts of their own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from snapshotter.plan import permissions

Json = dict[str, Any]

SIDECAR: Final = "system:serviceaccount:default:csi-snapshotter"
CONTROLLER: Final = "system:serviceaccount:kube-system:snapshot-controller"
WEBHOOK: Final = "system:serviceaccount:default:snapshot-conversion-webhook"

Need = tuple[str, str, str]
"""A verb, an API group, and a resource as roles name it."""


def _needs(table: Iterable[permissions.Permission]) -> frozenset[Need]:
    return frozenset((each.verb, each.group, each.full_resource) for each in table)


PLANNED: Final = {
    SIDECAR: _needs(permissions.sidecar()),
    CONTROLLER: _needs(permissions.controller(distributed_snapshotting=True)),
    WEBHOOK: _needs(permissions.webhook()),
}
FOR_EVERYBODY: Final[Need] = ("create", "authorization.k8s.io", "selfsubjectaccessreviews")


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the log."""

    user: str
    verb: str
    group: str
    resource: str
    """As roles name it; empty for what is no object, such as discovery."""
    namespace: str
    name: str
    path: str
    status: int
    message: str
    """What the server says of a failure."""

    @property
    def need(self) -> Need:
        return self.verb, self.group, self.resource

    def __str__(self) -> str:
        return f"{self.user.rpartition(':')[2]} {self.verb} {self.path}: {self.status}"


def requests(log: Iterable[Json], *users: str) -> Iterator[Request]:
    """What these users have asked for. Watches count from their beginning: the log tells of their end as well."""
    for line in log:
        if line["user"]["username"] not in users or is_end_of_watch(line):
            continue
        about = line.get("objectRef", {})
        resource, subresource = about.get("resource", ""), about.get("subresource", "")
        yield Request(
            user=line["user"]["username"],
            verb=line["verb"],
            group=about.get("apiGroup", ""),
            resource=f"{resource}/{subresource}" if subresource else resource,
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            path=line["requestURI"].partition("?")[0],
            status=line.get("responseStatus", {}).get("code", 0),
            message=line.get("responseStatus", {}).get("message", ""),
        )


def is_end_of_watch(line: Json) -> bool:
    return bool(
        line["verb"] == "watch" and line["stage"] == "ResponseComplete" and line["responseStatus"]["code"] == 200
    )


def complaints(log: Iterable[Json]) -> list[str]:
    """Each sort of request that was refused, or that the program's plan does not name, with how often it came."""
    found = Counter(
        f"{request.user.rpartition(':')[2]} {' '.join(request.need)}: {wrong}"
        for request in requests(log, *PLANNED)
        if (wrong := _what_is_wrong(request))
    )
    return [f"{each} ({count} times)" for each, count in found.items()]


def _what_is_wrong(request: Request) -> str:
    # A namespace that is being deleted takes nothing new, whoever asks.
    if request.status == 403 and "it is being terminated" not in request.message:
        return "is refused"
    if not request.resource:
        return "" if request.verb == "get" and request.path.startswith(("/api", "/version")) else "is no discovery"
    if request.need == FOR_EVERYBODY or request.need in PLANNED[request.user]:
        return ""
    return "is not planned"
