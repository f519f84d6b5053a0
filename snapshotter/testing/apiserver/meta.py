"""Answers that are not about objects: discovery, health, version, OpenAPI."""

from collections.abc import Callable

from aiohttp import web

from snapshotter.testing.admin import json_response
from snapshotter.testing.apiserver import discovery, openapi
from snapshotter.testing.apiserver.kinds import Catalogue
from snapshotter.testing.apiserver.requests import PathNotFound
from snapshotter.testing.apiserver.status import Json, method_not_allowed

_HEALTH = ("/healthz", "/readyz", "/livez")

_FIXED: dict[str, Callable[[Catalogue, str], Json]] = {
    "/version": lambda _, __: discovery.SERVER_VERSION,
    "/api": lambda _, host: discovery.core_versions(host),
    "/apis": lambda catalogue, _: discovery.group_list(catalogue),
    "/openapi/v3": lambda catalogue, _: openapi.index(catalogue),
}


def meta_answer(request: web.Request, catalogue: Catalogue) -> web.Response:
    """Raises `PathNotFound`, and `ApiError` 405 for anything but a read."""
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    path = request.path.rstrip("/")
    if path.startswith(_HEALTH):
        return web.Response(text="ok")
    if path == "/openapi/v2":
        return web.Response(body=openapi.OLDER, content_type=openapi.OLDER_TYPE)
    if path in _FIXED:
        return json_response(_FIXED[path](catalogue, request.host))
    answer = _described(path.strip("/").split("/"), catalogue)
    if answer is None:
        raise PathNotFound
    return json_response(answer)


def _described(parts: list[str], catalogue: Catalogue) -> Json | None:
    match parts:
        case ["api", version]:
            return discovery.resource_list(catalogue, "", version)
        case ["apis", group]:
            return discovery.group(catalogue, group)
        case ["apis", group, version]:
            return discovery.resource_list(catalogue, group, version)
        case ["openapi", "v3", "api", version]:
            return openapi.document(catalogue, "", version)
        case ["openapi", "v3", "apis", group, version]:
            return openapi.document(catalogue, group, version)
        case _:
            return None
