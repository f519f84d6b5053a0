"""What a request asks for: its verb, its target, its options; and the record of it that is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import yaml

from snapshotter.testing.apiserver import protobuf
from snapshotter.testing.apiserver.kinds import Catalogue, Kind, Version
from snapshotter.testing.apiserver.notes import Notes
from snapshotter.testing.apiserver.status import (
    Cause,
    Subject,
    bad_request,
    invalid,
    not_acceptable,
    unknown_resource,
    unsupported_media_type,
)
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.targets import (
    DeleteOptions,
    FieldValidation,
    Propagation,
    Target,
    WriteOptions,
)
from snapshotter.testing.apiserver.users import User

_SUBRESOURCES = ("status",)
_BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_ANSWERED = (*_BODY_TYPES, "application/*", "*/*")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")


@dataclass(frozen=True, slots=True)
class Record:
    """One request that was answered. `status` is None when the connection was cut instead."""

    number: int
    time: float
    """When it arrived, in seconds since the epoch."""
    verb: str
    path: str
    query: dict[str, str]
    content_type: str
    user_agent: str
    body: Any
    """The JSON of the request, or None."""
    status: int | None
    scripted: bool = False
    """Whether a fault was in force for it."""


class PathNotFound(Exception):
    """Nothing is served at that path."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path below `/api` or `/apis`, taken apart."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def place_of(path: str) -> Place | None:
    """None when the path does not lead to objects."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in (*_SUBRESOURCES, "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = [*rest, "", "", ""][: max(3, len(rest))]
    return None if more else Place(group, version, namespace, plural, name, subresource)


def verb_of(method: str, place: Place | None, query: Mapping[str, str]) -> str:
    """GET, LIST (read of a collection), WATCH, POST, PUT, PATCH or DELETE."""
    if method != "GET" or place is None:
        return method
    if is_true(query, "watch"):
        return "WATCH"
    return "GET" if place.name else "LIST"


def target_of(place: Place, catalogue: Catalogue) -> Target:
    """What the path leads to. Raises `PathNotFound`, or `ApiError` 404 in a group that is served."""
    found = catalogue.find(place.group, place.version, place.plural)
    if found is None:
        if place.version not in catalogue.group_versions().get(place.group, ()):
            raise PathNotFound
        raise unknown_resource()
    kind, version = found
    if place.subresource and not _has_subresource(kind, version, place.subresource):
        raise unknown_resource()
    if place.name and not kind.is_stored:
        raise unknown_resource()
    if place.namespace and not kind.namespaced:
        raise unknown_resource()
    if kind.namespaced and place.name and not place.namespace:
        raise unknown_resource()
    return Target(kind, version, place.namespace, place.name, place.subresource)


def _has_subresource(kind: Kind, version: Version, name: str) -> bool:
    return name in kind.actions or (name in _SUBRESOURCES and version.has_status)


def is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in _TRUE


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Raises `ApiError` 400."""
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdigit():
        raise bad_request(f'{name}: Invalid value: "{text}": must be a number')
    return int(text)


def check_formats(accept: str, content_type: str, body: bytes) -> None:
    """Raises `ApiError` 406 when the answer, 415 when the request is in a format that is not spoken."""
    wanted = [choice.partition(";")[0].strip() for choice in accept.split(",")]
    if accept and not any(choice in _ANSWERED for choice in wanted):
        raise not_acceptable(_BODY_TYPES)
    if body and content_type not in _BODY_TYPES:
        raise unsupported_media_type(_BODY_TYPES)


def decoded(body: bytes, kind: str) -> Any:
    """The JSON, or YAML, of a body. Raises `ApiError` 400."""
    if not body:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            "json parse error: unexpected end of JSON input (<empty>)"
        )
    if body.startswith(protobuf.MAGIC):
        try:
            return protobuf.decoded(body)
        except ValueError as error:
            raise bad_request(f"error decoding the body as protobuf: {error}") from error
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        reason = str(error)
    try:
        value = yaml.safe_load(body)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict | list):
        raise bad_request(f"error decoding the body as JSON: {reason}")
    return value


def write_options(query: Mapping[str, str], warnings: list[str], notes: Notes, user: User) -> WriteOptions:
    """The options of a write, which puts its warnings into the list. Raises `ApiError` 400."""
    validation = query.get("fieldValidation") or "Warn"
    _check_option("fieldValidation", validation, ("Ignore", "Strict", "Warn"))
    return WriteOptions(
        dry_run=_dry_run(query.get("dryRun")),
        validation=cast("FieldValidation", validation),
        manager=query.get("fieldManager", ""),
        force=is_true(query, "force"),
        warnings=warnings,
        notes=notes,
        user=user,
    )


def delete_options(query: Mapping[str, str], body: bytes, notes: Notes, user: User) -> DeleteOptions:
    """Options from the body or, where it leaves them out, from the query. Raises `ApiError` 400."""
    given = decoded(body, "DeleteOptions") if body else {}
    if not isinstance(given, dict):
        raise bad_request("DeleteOptions must be an object")
    preconditions = given.get("preconditions") or {}
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
    _check_option("propagationPolicy", propagation, ("Background", "Foreground", "Orphan"))
    dry_run = given.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    return DeleteOptions(
        dry_run=any(_dry_run(item) for item in dry_run),
        propagation=cast("Propagation", propagation),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        notes=notes,
        user=user,
    )


def _dry_run(value: str | None) -> bool:
    _check_option("dryRun", value or "All", ("All",))
    return value == "All"


def _check_option(name: str, value: str, supported: Sequence[str]) -> None:
    if value not in supported:
        listed = ", ".join(f'"{item}"' for item in supported)
        cause = Cause(name, "FieldValueNotSupported", f"supported values: {listed}", value=value)
        raise invalid(Subject("meta.k8s.io", "", "Options"), [cause])


@dataclass(frozen=True, slots=True)
class Start:
    """Where a watch begins: with the changes after `version`, or with all objects that there are (`lists`)."""

    version: int
    lists: bool
    marks_end: bool
    """Whether a bookmark tells where the objects that there were end."""


def start_of(query: Mapping[str, str], store: Store) -> Start:
    """Raises `ApiError` 400 and 422."""
    version = whole_number(query, "resourceVersion") or 0
    if not is_true(query, "sendInitialEvents"):
        return (
            Start(version, lists=False, marks_end=False)
            if version
            else Start(store.version, lists=True, marks_end=False)
        )
    if query.get("resourceVersionMatch") != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        cause = Cause("resourceVersionMatch", "FieldValueForbidden", detail)
        raise invalid(Subject("meta.k8s.io", "", "ListOptions"), [cause])
    return Start(store.version, lists=True, marks_end=is_true(query, "allowWatchBookmarks"))
