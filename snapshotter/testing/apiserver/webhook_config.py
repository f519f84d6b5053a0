"""Where a webhook is called, as it stands in the objects that name one: checks and defaults."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from snapshotter.testing.apiserver.status import Cause, Json

_FORM = "desired format: https://host[/path]"
_PORT = 443


def complete_client_config(config: Json) -> None:
    """Fill in the port of a service."""
    if isinstance(service := config.get("service"), dict):
        service.setdefault("port", _PORT)


def broken_client_config(path: str, config: Mapping[str, Any]) -> Iterator[Cause]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield Cause(path, "FieldValueRequired", "exactly one of url or service is required")
    elif url is not None:
        yield from _broken_url(f"{path}.url", url)
    else:
        yield from _broken_service(f"{path}.service", service or {})


def _broken_url(path: str, url: str) -> Iterator[Cause]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield Cause(path, "FieldValueRequired", f"url must be a valid URL: {error}; {_FORM}")
        return
    if parts.scheme != "https":
        detail = f"'https' is the only allowed URL scheme; {_FORM}"
        yield Cause(path, "FieldValueInvalid", detail, value=parts.scheme)
    if not parts.netloc:
        yield Cause(path, "FieldValueInvalid", f"host must be specified; {_FORM}", value="")
    if parts.username is not None:
        detail = "user information is not permitted in the URL"
        yield Cause(path, "FieldValueInvalid", detail, value=parts.netloc.rpartition("@")[0])
    if parts.fragment:
        yield Cause(path, "FieldValueInvalid", "fragments are not permitted in the URL", value=parts.fragment)
    if parts.query:
        yield Cause(path, "FieldValueInvalid", "query parameters are not permitted in the URL", value=parts.query)


def _broken_service(path: str, service: Mapping[str, Any]) -> Iterator[Cause]:
    for name in ("name", "namespace"):
        if not service.get(name):
            yield Cause(f"{path}.{name}", "FieldValueRequired")
    if not 1 <= (port := service.get("port", _PORT)) <= 65535:
        detail = "port is not valid: must be between 1 and 65535, inclusive"
        yield Cause(f"{path}.port", "FieldValueInvalid", detail, value=port)
    if (target := service.get("path")) is not None:
        yield from _broken_path(f"{path}.path", target)


def _broken_path(path: str, target: str) -> Iterator[Cause]:
    if not target.startswith("/"):
        yield Cause(path, "FieldValueInvalid", "must start with a '/'", value=target)
        return
    segments = target.removeprefix("/").removesuffix("/").split("/")
    for index, segment in enumerate(segments if target != "/" else ()):
        if not segment:
            yield Cause(path, "FieldValueInvalid", f"segment[{index}] may not be empty", value=target)
        elif not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", segment):
            detail = f"segment[{index}]: a lowercase RFC 1123 subdomain must consist of lower case characters"
            yield Cause(path, "FieldValueInvalid", detail, value=target)
