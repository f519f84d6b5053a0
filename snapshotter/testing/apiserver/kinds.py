"""The kinds that are served: built-in ones from `builtin.yaml`, custom ones from their definitions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal, cast

import msgspec
import yaml

from snapshotter.testing.apiserver.schema import Node, compile_schema
from snapshotter.testing.apiserver.status import Json, Subject

CRD_GROUP = "apiextensions.k8s.io"
CRD_PLURAL = "customresourcedefinitions"

NameForm = Literal["subdomain", "label", "path"]
"""What the names of a kind must be: a DNS subdomain, one without dots, or just fit to be a part of a path."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`. `show` names a rendering of our own, for built-in kinds."""

    name: str
    type: str
    path: str
    description: str = ""
    format: str = ""
    priority: int = 0
    show: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version of a kind. `source` is the schema as the definition has it, `node` the same compiled."""

    name: str
    served: bool
    source: Json
    node: Node
    columns: tuple[Column, ...]
    selectable_fields: frozenset[str]
    has_status: bool
    deprecation_warning: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind with its versions."""

    group: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    versions: Mapping[str, Version]
    storage_version: str
    is_custom: bool
    conversion: Json
    unconditional_update: bool = False
    """Whether an update need not state the version that it builds on."""
    returns_deleted: bool = False
    """Whether a deletion answers with the object rather than with a Status."""
    keeps_generation: bool = True
    is_stored: bool = True
    """Objects of other kinds are questions, answered at once: they can only be created."""
    names: NameForm = "subdomain"
    actions: Mapping[str, Json] = field(default_factory=dict)
    """Subresources that only take a POST, with what discovery says of each."""

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.plural

    @property
    def asks_webhook(self) -> bool:
        """Whether another program converts between the versions."""
        return bool(self.conversion["strategy"] == "Webhook")

    @property
    def storage(self) -> Version:
        return self.versions[self.storage_version]

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    def subject(self, name: str = "") -> Subject:
        return Subject(self.group, self.plural, self.kind, name)

    def served_versions(self) -> list[Version]:
        """The served versions, the preferred one first."""
        served = (version for version in self.versions.values() if version.served)
        return sorted(served, key=lambda version: version_priority(version.name), reverse=True)


class Catalogue:
    """The kinds that are served at this moment, by group and plural."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds: dict[tuple[str, str], Kind] = {}
        for kind in kinds:
            self.add(kind)

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def add(self, kind: Kind) -> None:
        """Serve a kind, in place of an earlier one of the same name."""
        self._kinds[kind.key] = kind

    def remove(self, key: tuple[str, str]) -> None:
        self._kinds.pop(key, None)

    def find(self, group: str, version: str, plural: str) -> tuple[Kind, Version] | None:
        kind = self._kinds.get((group, plural))
        if kind is None:
            return None
        found = kind.versions.get(version)
        return (kind, found) if found is not None and found.served else None

    def get(self, group: str, plural: str) -> Kind:
        """Raises `KeyError`."""
        return self._kinds[group, plural]

    def of_resource(self, key: tuple[str, str]) -> Kind | None:
        return self._kinds.get(key)

    def of_plural(self, plural: str) -> Kind:
        """The kind of that plural (`secrets`, or `leases.coordination.k8s.io`); `KeyError` when there is none."""
        name, _, group = plural.partition(".")
        for kind in self._kinds.values():
            if kind.plural == name and (not group or kind.group == group):
                return kind
        raise KeyError(plural)

    def of_kind(self, group: str, name: str) -> Kind | None:
        """The kind by its name in manifests, such as `VolumeSnapshot`."""
        return next((kind for kind in self._kinds.values() if (kind.group, kind.kind) == (group, name)), None)

    def group_versions(self) -> dict[str, list[str]]:
        """Each group with its versions, the preferred one first."""
        found: dict[str, set[str]] = {}
        for kind in self._kinds.values():
            found.setdefault(kind.group, set()).update(version.name for version in kind.served_versions())
        return {group: sorted(names, key=version_priority, reverse=True) for group, names in found.items()}


def version_priority(name: str) -> tuple[int, int, int, str]:
    """Sorts versions as the API server prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", name)
    if found is None:
        return 0, 0, 0, name
    stage = {"alpha": 1, "beta": 2, None: 3}[found[2]]
    return stage, int(found[1]), int(found[3] or 0), name


def from_definition(definition: Mapping[str, Any], *, is_custom: bool = True) -> Kind:
    """The kind that a CustomResourceDefinition describes.

    Raises `RuleError` or `re.error` for a schema that cannot be compiled, `KeyError` for a missing field.
    """
    spec = definition["spec"]
    names = spec["names"]
    return Kind(
        group=spec["group"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        list_kind=names.get("listKind") or names["kind"] + "List",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        namespaced=spec["scope"] == "Namespaced",
        versions={version["name"]: _version(spec, version) for version in spec["versions"]},
        storage_version=next(version["name"] for version in spec["versions"] if version.get("storage")),
        is_custom=is_custom,
        conversion=spec.get("conversion", {"strategy": "None"}),
    )


def _version(spec: Mapping[str, Any], version: Mapping[str, Any]) -> Version:
    source = version.get("schema", {}).get("openAPIV3Schema", {})
    return Version(
        name=version["name"],
        served=bool(version.get("served")),
        source=source,
        node=_compiled(source),
        columns=tuple(_column(column) for column in version.get("additionalPrinterColumns", ())) or (_AGE,),
        selectable_fields=frozenset(
            column["jsonPath"].removeprefix(".") for column in version.get("selectableFields", ())
        ),
        has_status="status" in (version.get("subresources") or {}),
        deprecation_warning=_deprecation(spec, version),
    )


_AGE = Column("Age", "date", ".metadata.creationTimestamp")


def _column(source: Mapping[str, Any]) -> Column:
    return Column(
        name=source["name"],
        type=source["type"],
        path=source["jsonPath"],
        description=source.get("description", ""),
        format=source.get("format", ""),
        priority=source.get("priority", 0),
        show=source.get("show", ""),
    )


def _deprecation(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str | None:
    if not version.get("deprecated"):
        return None
    this = f"{spec['group']}/{version['name']} {spec['names']['kind']}"
    better = max(
        (item["name"] for item in spec["versions"] if item.get("served") and not item.get("deprecated")),
        key=version_priority,
        default=None,
    )
    usual = f"{this} is deprecated"
    if better is not None:
        usual += f"; use {spec['group']}/{better} {spec['names']['kind']}"
    return version.get("deprecationWarning") or usual


def _compiled(source: Mapping[str, Any]) -> Node:
    return _compiled_once(msgspec.json.encode(with_object_members(source)))


@lru_cache(maxsize=256)
def _compiled_once(source: bytes) -> Node:
    """Versions share their schemas, and so do the servers that one process starts one after another."""
    return compile_schema(msgspec.json.decode(source))


def with_object_members(source: Mapping[str, Any]) -> Json:
    """The schema with the members that every object has."""
    members = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata_schema()}
    return {**source, "properties": {**source.get("properties", {}), **members}}


@cache
def _shipped() -> Json:
    text = resources.files(__package__).joinpath("builtin.yaml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded = yaml.load(text, loader)  # noqa: S506 - both are safe
    return cast("Json", loaded)


def metadata_schema() -> Json:
    """The schema of `metadata`, the same for all kinds."""
    schema: Json = _shipped()["metadata"]
    return schema


@cache
def builtin_kinds() -> tuple[Kind, ...]:
    """The kinds that are served without a definition."""
    return tuple(_builtin(source) for source in _shipped()["kinds"])


def _builtin(source: Mapping[str, Any]) -> Kind:
    plural = source["plural"]
    kind = source["kind"]
    schema = {"type": "object", "properties": source.get("properties", {})}
    version = Version(
        name=source["version"],
        served=True,
        source=schema,
        node=_compiled(schema),
        columns=tuple(_column(column) for column in source.get("columns", ())) or (_AGE,),
        selectable_fields=frozenset(source.get("selectableFields", ())),
        has_status=bool(source.get("hasStatus")),
    )
    return Kind(
        group=source.get("group", ""),
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        list_kind=kind + "List",
        short_names=tuple(source.get("shortNames", ())),
        categories=tuple(source.get("categories", ())),
        namespaced=bool(source.get("namespaced")),
        versions={version.name: version},
        storage_version=version.name,
        is_custom=False,
        conversion={"strategy": "None"},
        unconditional_update=source.get("unconditionalUpdate", True),
        returns_deleted=bool(source.get("returnsDeleted")),
        keeps_generation=bool(source.get("keepsGeneration")),
        is_stored=source.get("isStored", True),
        names=source.get("names", "subdomain"),
        actions=source.get("actions", {}),
    )
