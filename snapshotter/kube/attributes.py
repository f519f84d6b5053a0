"""What a request needs permission for, read off its method and path as the API server does."""

from collections.abc import Mapping

from snapshotter.plan.permissions import Access

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def access_of(method: str, path: str, query: Mapping[str, str] | None = None) -> Access | None:
    """None for a path that does not lead to objects, such as that of discovery."""
    root, *parts = path.strip("/").split("/")
    if root == "api" and len(parts) > 1:
        group, parts = "", parts[1:]
    elif root == "apis" and len(parts) > 2:
        group, parts = parts[0], parts[2:]
    else:
        return None
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource, name, subresource = [*parts, "", ""][:3]
    return Access(_verb(method, name, query or {}), group, resource, subresource, namespace, name)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method != "GET":
        return _VERBS[method]
    if query.get("watch") == "true":
        return "watch"
    return "get" if name else "list"
