"""The custom resource definitions, compared with what the API promises: names, versions, columns, fields, rules.

`tests/contract` shows that a server enforces them as meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

DIRECTORY = Path(__file__).parents[2] / "manifests" / "crds"
GROUP = "snapshot.storage.k8s.io"
Json = dict[str, Any]


def definition(plural: str) -> Json:
    found: Json = yaml.safe_load((DIRECTORY / f"{GROUP}_{plural}.yaml").read_text())
    return found


def version(plural: str, name: str) -> Json:
    found: Json = next(each for each in definition(plural)["spec"]["versions"] if each["name"] == name)
    return found


def schema(plural: str, name: str) -> Json:
    found: Json = version(plural, name)["schema"]["openAPIV3Schema"]
    return found


def nodes(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """All nodes of a schema below this one, each with its path."""
    for key, child in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        yield below, child
        yield from nodes(child, below)


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    singular: str
    short_names: list[str]
    scope: str
    approval: int
    has_status: bool


KINDS = {
    "volumesnapshots": Kind("VolumeSnapshot", "volumesnapshot", ["vs"], "Namespaced", 814, has_status=True),
    "volumesnapshotcontents": Kind(
        "VolumeSnapshotContent", "volumesnapshotcontent", ["vsc", "vscs"], "Cluster", 955, has_status=True
    ),
    "volumesnapshotclasses": Kind(
        "VolumeSnapshotClass", "volumesnapshotclass", ["vsclass", "vsclasses"], "Cluster", 814, has_status=False
    ),
}
VERSIONS = [(plural, name) for plural in KINDS for name in ("v1", "v1beta1")]


def test_the_kustomization_lists_every_definition() -> None:
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(file.name for file in DIRECTORY.glob("*_*.yaml"))
    assert {f"{GROUP}_{plural}.yaml" for plural in KINDS} <= set(listed)


@pytest.mark.parametrize(("plural", "kind"), KINDS.items(), ids=KINDS.keys())
def test_a_definition_has_the_agreed_names(plural: str, kind: Kind) -> None:
    found = definition(plural)
    assert (found["apiVersion"], found["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert found["metadata"]["name"] == f"{plural}.{GROUP}"
    assert found["metadata"]["annotations"]["api-approved.kubernetes.io"] == (
        f"https://github.com/kubernetes-csi/external-snapshotter/pull/{kind.approval}"
    )
    spec = found["spec"]
    assert spec.keys() == {"group", "names", "scope", "versions"}
    assert (spec["group"], spec["scope"]) == (GROUP, kind.scope)
    assert spec["names"] == {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": plural,
        "singular": kind.singular,
        "shortNames": kind.short_names,
    }


@pytest.mark.parametrize(("plural", "kind"), KINDS.items(), ids=KINDS.keys())
def test_v1_is_served_and_stored_and_v1beta1_is_neither(plural: str, kind: Kind) -> None:
    found = {each["name"]: each for each in definition(plural)["spec"]["versions"]}
    assert found.keys() == {"v1", "v1beta1"}
    assert [(each["served"], each["storage"]) for each in found.values()] == [(True, True), (False, False)]
    assert "deprecated" not in found["v1"]
    assert found["v1beta1"]["deprecated"]
    warning = found["v1beta1"]["deprecationWarning"]
    assert f"{GROUP}/v1beta1 {kind.name} is deprecated" in warning
    assert f"{GROUP}/v1 {kind.name}" in warning


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_the_status_is_a_resource_of_its_own_where_there_is_one(plural: str, name: str) -> None:
    kind = KINDS[plural]
    assert version(plural, name)["subresources"] == ({"status": {}} if kind.has_status else {})
    assert ("status" in schema(plural, name)["properties"]) is kind.has_status


def test_contents_are_selectable_by_driver() -> None:
    declared = {(p, n): version(p, n).get("selectableFields") for p, n in VERSIONS}
    assert declared.pop(("volumesnapshotcontents", "v1")) == [{"jsonPath": ".spec.driver"}]
    assert set(declared.values()) == {None}


COLUMNS = {
    "volumesnapshots": [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("SourcePVC", "string", ".spec.source.persistentVolumeClaimName"),
        ("SourceSnapshotContent", "string", ".spec.source.volumeSnapshotContentName"),
        ("RestoreSize", "string", ".status.restoreSize"),
        ("SnapshotClass", "string", ".spec.volumeSnapshotClassName"),
        ("SnapshotContent", "string", ".status.boundVolumeSnapshotContentName"),
        ("CreationTime", "date", ".status.creationTime"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ],
    "volumesnapshotcontents": [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("RestoreSize", "integer", ".status.restoreSize"),
        ("DeletionPolicy", "string", ".spec.deletionPolicy"),
        ("Driver", "string", ".spec.driver"),
        ("VolumeSnapshotClass", "string", ".spec.volumeSnapshotClassName"),
        ("VolumeSnapshot", "string", ".spec.volumeSnapshotRef.name"),
        ("VolumeSnapshotNamespace", "string", ".spec.volumeSnapshotRef.namespace"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ],
    "volumesnapshotclasses": [
        ("Driver", "string", ".driver"),
        ("DeletionPolicy", "string", ".deletionPolicy"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ],
}
UNDESCRIBED = {
    "volumesnapshots": {"Age"},
    "volumesnapshotcontents": {"Age"},
    "volumesnapshotclasses": {"Age", "Driver"},
}


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_columns_are_printed_in_the_agreed_order(plural: str, name: str) -> None:
    columns = version(plural, name)["additionalPrinterColumns"]
    assert [(each["name"], each["type"], each["jsonPath"]) for each in columns] == COLUMNS[plural]
    assert {each["name"] for each in columns if "description" not in each} == UNDESCRIBED[plural]
    assert not any("priority" in each for each in columns)


# The type of each field, with its format; an exclamation mark says that it is required.
OF_EVERY_OBJECT = {"apiVersion": "string", "kind": "string", "metadata": "object"}
ERROR = {
    "status.error": "object",
    "status.error.message": "string",
    "status.error.time": "string date-time",
}
SNAPSHOT = OF_EVERY_OBJECT | {
    "spec": "object!",
    "spec.source": "object!",
    "spec.source.persistentVolumeClaimName": "string",
    "spec.source.volumeSnapshotContentName": "string",
    "spec.volumeSnapshotClassName": "string",
    "status": "object",
    "status.boundVolumeSnapshotContentName": "string",
    "status.creationTime": "string date-time",
    **ERROR,
    "status.readyToUse": "boolean",
    "status.restoreSize": "string",
    "status.volumeGroupSnapshotName": "string",
}
CONTENT = OF_EVERY_OBJECT | {
    "spec": "object!",
    "spec.deletionPolicy": "string!",
    "spec.driver": "string!",
    "spec.source": "object!",
    "spec.source.snapshotHandle": "string",
    "spec.source.volumeHandle": "string",
    "spec.sourceVolumeMode": "string",
    "spec.volumeSnapshotClassName": "string",
    "spec.volumeSnapshotRef": "object!",
    **{
        f"spec.volumeSnapshotRef.{field}": "string"
        for field in ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
    },
    "status": "object",
    "status.creationTime": "integer int64",
    **ERROR,
    "status.readyToUse": "boolean",
    "status.restoreSize": "integer int64",
    "status.snapshotHandle": "string",
    "status.volumeGroupSnapshotHandle": "string",
}
CLASS = OF_EVERY_OBJECT | {"deletionPolicy": "string!", "driver": "string!", "parameters": "object"}


def leave_out(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: kind for name, kind in fields.items() if name not in names}


FIELDS = {
    ("volumesnapshots", "v1"): SNAPSHOT,
    ("volumesnapshots", "v1beta1"): leave_out(SNAPSHOT, "metadata", "status.volumeGroupSnapshotName"),
    ("volumesnapshotcontents", "v1"): CONTENT,
    ("volumesnapshotcontents", "v1beta1"): leave_out(
        CONTENT, "metadata", "spec.sourceVolumeMode", "status.volumeGroupSnapshotHandle"
    ),
    ("volumesnapshotclasses", "v1"): CLASS,
    ("volumesnapshotclasses", "v1beta1"): leave_out(CLASS, "metadata"),
}


def types(node: Json, path: str = "") -> dict[str, str]:
    found = {}
    required = node.get("required", [])
    for key, child in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        form = f"{child['type']} {child.get('format', '')}".strip()
        found[below] = form + ("!" if key in required else "")
        found |= types(child, below)
    return found


@pytest.mark.parametrize(("which", "fields"), FIELDS.items(), ids=map("-".join, FIELDS))
def test_a_version_has_the_agreed_fields(which: tuple[str, str], fields: dict[str, str]) -> None:
    assert types(schema(*which)) == fields


QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
ALLOWED_WORDS = {"type", "format", "description", "properties", "required", "x-kubernetes-validations"}


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_fields_are_limited_as_agreed_and_not_otherwise(plural: str, name: str) -> None:
    special = {}
    for path, node in nodes(schema(plural, name)):
        if extra := {word: value for word, value in node.items() if word not in ALLOWED_WORDS}:
            special[path] = extra
    policy = {"enum": ["Delete", "Retain"]}
    atomic = {"x-kubernetes-map-type": "atomic"}
    expected = {
        "volumesnapshots": {
            "status.restoreSize": {"pattern": QUANTITY_PATTERN, "x-kubernetes-int-or-string": True},
        },
        "volumesnapshotcontents": {
            "spec.deletionPolicy": policy,
            "status.restoreSize": {"minimum": 0},
        }
        | ({"spec.volumeSnapshotRef": atomic} if name == "v1" else {}),
        "volumesnapshotclasses": {
            "deletionPolicy": policy,
            "parameters": {"additionalProperties": {"type": "string"}},
        },
    }
    assert special == expected[plural]


UNCHANGED = "self == oldSelf"


def stays(field: str) -> str:
    return f"!has(oldSelf.{field}) || has(self.{field})"


# Path, rule, and the words of its message that people look for.
RULES: dict[str, list[tuple[str, str, list[str]]]] = {
    "volumesnapshots": [
        (
            "spec.source",
            "has(self.volumeSnapshotContentName) != has(self.persistentVolumeClaimName)",
            ["exactly one of", "volumeSnapshotContentName", "persistentVolumeClaimName", "must be set"],
        ),
        ("spec.source", stays("persistentVolumeClaimName"), ["persistentVolumeClaimName is required once set"]),
        ("spec.source", stays("volumeSnapshotContentName"), ["volumeSnapshotContentName is required once set"]),
        ("spec.source.persistentVolumeClaimName", UNCHANGED, ["persistentVolumeClaimName is immutable"]),
        ("spec.source.volumeSnapshotContentName", UNCHANGED, ["volumeSnapshotContentName is immutable"]),
        ("spec.volumeSnapshotClassName", "size(self) > 0", ["volumeSnapshotClassName", "empty string"]),
    ],
    "volumesnapshotcontents": [
        ("spec", stays("sourceVolumeMode"), ["sourceVolumeMode is required once set"]),
        (
            "spec.source",
            "has(self.volumeHandle) != has(self.snapshotHandle)",
            ["exactly one of", "volumeHandle", "snapshotHandle", "must be set"],
        ),
        ("spec.source", stays("volumeHandle"), ["volumeHandle is required once set"]),
        ("spec.source", stays("snapshotHandle"), ["snapshotHandle is required once set"]),
        ("spec.source.snapshotHandle", UNCHANGED, ["snapshotHandle is immutable"]),
        ("spec.source.volumeHandle", UNCHANGED, ["volumeHandle is immutable"]),
        ("spec.sourceVolumeMode", UNCHANGED, ["sourceVolumeMode is immutable"]),
        (
            "spec.volumeSnapshotRef",
            "has(self.name) && has(self.__namespace__)",
            ["spec.volumeSnapshotRef.name", "spec.volumeSnapshotRef.namespace", "must be set"],
        ),
    ],
    "volumesnapshotclasses": [],
}


@pytest.mark.parametrize(("plural", "expected"), RULES.items(), ids=RULES.keys())
def test_v1_has_the_agreed_rules(plural: str, expected: list[tuple[str, str, list[str]]]) -> None:
    found = [
        (path, each["rule"], each["message"])
        for path, node in nodes(schema(plural, "v1"))
        for each in node.get("x-kubernetes-validations", [])
    ]
    assert sorted(rule[:2] for rule in found) == sorted(rule[:2] for rule in expected)
    messages = {rule[:2]: rule[2] for rule in found}
    for path, rule, words in expected:
        for word in words:
            assert word in messages[path, rule]


@pytest.mark.parametrize("plural", KINDS)
def test_v1beta1_has_no_rules(plural: str) -> None:
    assert not any("x-kubernetes-validations" in node for _, node in nodes(schema(plural, "v1beta1")))


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_every_field_is_explained(plural: str, name: str) -> None:
    unexplained = [path for path, node in nodes(schema(plural, name)) if not node.get("description")]
    assert unexplained in ([], ["metadata"])
    assert schema(plural, name)["description"]
