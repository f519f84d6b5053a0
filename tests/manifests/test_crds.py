"""The custom resource definitions, compared with what the API promises: names, versions, columns, fields, rules.

`tests/contract` shows that a server enforces them as meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

DIRECTORY = Path(__file__).parents[2] / "manifests" / "crds"
SINGLE = "snapshot.storage.k8s.io"
GROUPED = "groupsnapshot.storage.k8s.io"
Json = dict[str, Any]


@cache
def definition(plural: str) -> Json:
    found: Json = yaml.safe_load((DIRECTORY / f"{KINDS[plural].group}_{plural}.yaml").read_text())
    return found


def version(plural: str, name: str) -> Json:
    found: Json = next(each for each in definition(plural)["spec"]["versions"] if each["name"] == name)
    return found


def schema(plural: str, name: str) -> Json:
    found: Json = version(plural, name)["schema"]["openAPIV3Schema"]
    return found


def nodes(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """All nodes of a schema below this one that have a name or hold other nodes, each with its path.

    The items of a list are at `path[]`; items that are plain values are left out.
    """
    for key, child in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        yield below, child
        yield from nodes(child, below)
    if "properties" in (items := node.get("items", {})):
        yield f"{path}[]", items
        yield from nodes(items, f"{path}[]")


@dataclass(frozen=True, slots=True)
class Kind:
    group: str
    name: str
    short_names: list[str]
    scope: str
    approval: int
    has_status: bool = True

    @property
    def versions(self) -> list[str]:
        return ["v1", "v1beta1"] if self.group == SINGLE else ["v1", "v1beta2", "v1beta1"]


KINDS = {
    "volumesnapshots": Kind(SINGLE, "VolumeSnapshot", ["vs"], "Namespaced", 814),
    "volumesnapshotcontents": Kind(SINGLE, "VolumeSnapshotContent", ["vsc", "vscs"], "Cluster", 955),
    "volumesnapshotclasses": Kind(
        SINGLE, "VolumeSnapshotClass", ["vsclass", "vsclasses"], "Cluster", 814, has_status=False
    ),
    "volumegroupsnapshots": Kind(GROUPED, "VolumeGroupSnapshot", ["vgs"], "Namespaced", 1337),
    "volumegroupsnapshotcontents": Kind(GROUPED, "VolumeGroupSnapshotContent", ["vgsc", "vgscs"], "Cluster", 1337),
    "volumegroupsnapshotclasses": Kind(
        GROUPED, "VolumeGroupSnapshotClass", ["vgsclass", "vgsclasses"], "Cluster", 1337, has_status=False
    ),
}
SINGLE_KINDS = [plural for plural, kind in KINDS.items() if kind.group == SINGLE]
GROUP_KINDS = [plural for plural, kind in KINDS.items() if kind.group == GROUPED]
VERSIONS = [(plural, name) for plural, kind in KINDS.items() for name in kind.versions]


def test_the_kustomization_lists_every_definition() -> None:
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(file.name for file in DIRECTORY.glob("*_*.yaml"))
    assert {f"{kind.group}_{plural}.yaml" for plural, kind in KINDS.items()} == set(listed)


@pytest.mark.parametrize(("plural", "kind"), KINDS.items(), ids=KINDS.keys())
def test_a_definition_has_the_agreed_names(plural: str, kind: Kind) -> None:
    found = definition(plural)
    assert (found["apiVersion"], found["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert found["metadata"]["name"] == f"{plural}.{kind.group}"
    assert found["metadata"]["annotations"]["api-approved.kubernetes.io"] == (
        f"https://github.com/kubernetes-csi/external-snapshotter/pull/{kind.approval}"
    )
    spec = found["spec"]
    assert spec.keys() == {"group", "names", "scope", "versions"}
    assert (spec["group"], spec["scope"]) == (kind.group, kind.scope)
    assert spec["names"] == {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": plural,
        "singular": kind.name.lower(),
        "shortNames": kind.short_names,
    }


def by_version(plural: str) -> dict[str, Json]:
    return {each["name"]: each for each in definition(plural)["spec"]["versions"]}


@pytest.mark.parametrize("plural", SINGLE_KINDS)
def test_of_a_single_kind_v1_is_served_and_stored_and_v1beta1_is_neither(plural: str) -> None:
    found = by_version(plural)
    assert list(found) == ["v1", "v1beta1"]
    assert [(each["served"], each["storage"]) for each in found.values()] == [(True, True), (False, False)]
    assert "deprecated" not in found["v1"]
    assert found["v1beta1"]["deprecated"]
    warning, kind = found["v1beta1"]["deprecationWarning"], KINDS[plural].name
    assert f"{SINGLE}/v1beta1 {kind} is deprecated" in warning
    assert f"{SINGLE}/v1 {kind}" in warning


@pytest.mark.parametrize("plural", GROUP_KINDS)
def test_of_a_group_kind_all_versions_are_served_v1beta2_is_stored_and_v1beta1_deprecated(plural: str) -> None:
    found = by_version(plural)
    assert list(found) == ["v1", "v1beta2", "v1beta1"]
    assert all(each["served"] for each in found.values())
    assert [each["storage"] for each in found.values()] == [False, True, False]
    assert [each.get("deprecated", False) for each in found.values()] == [False, False, True]
    assert not any("deprecationWarning" in each for each in found.values())


@pytest.mark.parametrize("plural", GROUP_KINDS)
def test_v1_of_a_group_kind_is_v1beta2_under_another_name(plural: str) -> None:
    found = by_version(plural)
    assert found["v1"] == found["v1beta2"] | {"name": "v1", "storage": False}


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_the_status_is_a_resource_of_its_own_where_there_is_one(plural: str, name: str) -> None:
    kind = KINDS[plural]
    assert version(plural, name)["subresources"] == ({"status": {}} if kind.has_status else {})
    assert ("status" in schema(plural, name)["properties"]) is kind.has_status


def test_contents_are_selectable_by_driver() -> None:
    declared = {(p, n): version(p, n).get("selectableFields") for p, n in VERSIONS}
    assert {which: fields for which, fields in declared.items() if fields is not None} == {
        ("volumesnapshotcontents", "v1"): [{"jsonPath": ".spec.driver"}],
        ("volumegroupsnapshotcontents", "v1"): [{"jsonPath": ".spec.driver"}],
        ("volumegroupsnapshotcontents", "v1beta2"): [{"jsonPath": ".spec.driver"}],
    }


COLUMNS_OF_A_CLASS = [
    ("Driver", "string", ".driver"),
    ("DeletionPolicy", "string", ".deletionPolicy"),
    ("Age", "date", ".metadata.creationTimestamp"),
]
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
    "volumesnapshotclasses": COLUMNS_OF_A_CLASS,
    "volumegroupsnapshots": [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("VolumeGroupSnapshotClass", "string", ".spec.volumeGroupSnapshotClassName"),
        ("VolumeGroupSnapshotContent", "string", ".status.boundVolumeGroupSnapshotContentName"),
        ("CreationTime", "date", ".status.creationTime"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ],
    "volumegroupsnapshotcontents": [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("DeletionPolicy", "string", ".spec.deletionPolicy"),
        ("Driver", "string", ".spec.driver"),
        ("VolumeGroupSnapshotClass", "string", ".spec.volumeGroupSnapshotClassName"),
        ("VolumeGroupSnapshotNamespace", "string", ".spec.volumeGroupSnapshotRef.namespace"),
        ("VolumeGroupSnapshot", "string", ".spec.volumeGroupSnapshotRef.name"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ],
    "volumegroupsnapshotclasses": COLUMNS_OF_A_CLASS,
}


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_columns_are_printed_in_the_agreed_order(plural: str, name: str) -> None:
    columns = version(plural, name)["additionalPrinterColumns"]
    assert [(each["name"], each["type"], each["jsonPath"]) for each in columns] == COLUMNS[plural]
    undescribed = {"Age"} if KINDS[plural].has_status else {"Age", "Driver"}
    assert {each["name"] for each in columns if "description" not in each} == undescribed
    assert not any("priority" in each for each in columns)


# The type of each field, with its format; an exclamation mark says that it is required.
OF_EVERY_OBJECT = {"apiVersion": "string", "kind": "string", "metadata": "object"}
ERROR = {
    "status.error": "object",
    "status.error.message": "string",
    "status.error.time": "string date-time",
}


def ref(path: str) -> dict[str, str]:
    fields = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
    return {path: "object!"} | {f"{path}.{field}": "string" for field in fields}


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
    **ref("spec.volumeSnapshotRef"),
    "status": "object",
    "status.creationTime": "integer int64",
    **ERROR,
    "status.readyToUse": "boolean",
    "status.restoreSize": "integer int64",
    "status.snapshotHandle": "string",
    "status.volumeGroupSnapshotHandle": "string",
}
CLASS = OF_EVERY_OBJECT | {"deletionPolicy": "string!", "driver": "string!", "parameters": "object"}
EXPRESSION = "spec.source.selector.matchExpressions[]"
GROUP = OF_EVERY_OBJECT | {
    "spec": "object!",
    "spec.source": "object!",
    "spec.source.selector": "object",
    "spec.source.selector.matchLabels": "object",
    "spec.source.selector.matchExpressions": "array",
    EXPRESSION: "object",
    f"{EXPRESSION}.key": "string!",
    f"{EXPRESSION}.operator": "string!",
    f"{EXPRESSION}.values": "array of string",
    "spec.source.volumeGroupSnapshotContentName": "string",
    "spec.volumeGroupSnapshotClassName": "string",
    "status": "object",
    "status.boundVolumeGroupSnapshotContentName": "string",
    "status.creationTime": "string date-time",
    **ERROR,
    "status.readyToUse": "boolean",
}
HANDLES = "spec.source.groupSnapshotHandles"
GROUP_CONTENT = OF_EVERY_OBJECT | {
    "spec": "object!",
    "spec.deletionPolicy": "string!",
    "spec.driver": "string!",
    "spec.source": "object!",
    "spec.source.volumeHandles": "array of string",
    HANDLES: "object",
    f"{HANDLES}.volumeGroupSnapshotHandle": "string!",
    f"{HANDLES}.volumeSnapshotHandles": "array of string!",
    "spec.volumeGroupSnapshotClassName": "string",
    **ref("spec.volumeGroupSnapshotRef"),
    "status": "object",
    "status.creationTime": "string date-time",
    **ERROR,
    "status.readyToUse": "boolean",
    "status.volumeGroupSnapshotHandle": "string",
}
INFOS = {
    "status.volumeSnapshotInfoList": "array",
    "status.volumeSnapshotInfoList[]": "object",
    "status.volumeSnapshotInfoList[].creationTime": "integer int64",
    "status.volumeSnapshotInfoList[].readyToUse": "boolean",
    "status.volumeSnapshotInfoList[].restoreSize": "integer int64",
    "status.volumeSnapshotInfoList[].snapshotHandle": "string",
    "status.volumeSnapshotInfoList[].volumeHandle": "string",
}
PAIRS = {
    "status.volumeSnapshotHandlePairList": "array",
    "status.volumeSnapshotHandlePairList[]": "object",
    "status.volumeSnapshotHandlePairList[].snapshotHandle": "string!",
    "status.volumeSnapshotHandlePairList[].volumeHandle": "string!",
}


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
    **{("volumegroupsnapshots", name): GROUP for name in ("v1", "v1beta2", "v1beta1")},
    **{("volumegroupsnapshotcontents", name): GROUP_CONTENT | INFOS for name in ("v1", "v1beta2")},
    ("volumegroupsnapshotcontents", "v1beta1"): GROUP_CONTENT | PAIRS,
    **{("volumegroupsnapshotclasses", name): CLASS for name in ("v1", "v1beta2", "v1beta1")},
}


def types(node: Json, path: str = "") -> dict[str, str]:
    found = {}
    required = node.get("required", [])
    for key, child in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        found[below] = form(child) + ("!" if key in required else "")
        found |= types(child, below)
    if "properties" in (items := node.get("items", {})):
        found[f"{path}[]"] = form(items)
        found |= types(items, f"{path}[]")
    return found


def form(node: Json) -> str:
    """The type of a node, with its format; for a list of plain values, with theirs."""
    items = node.get("items", {"properties": {}})
    described = [node["type"], node.get("format", ""), "" if "properties" in items else f"of {form(items)}"]
    return " ".join(word for word in described if word)


@pytest.mark.parametrize(("which", "fields"), FIELDS.items(), ids=map("-".join, FIELDS))
def test_a_version_has_the_agreed_fields(which: tuple[str, str], fields: dict[str, str]) -> None:
    assert types(schema(*which)) == fields


QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
ALLOWED_WORDS = {"type", "format", "description", "properties", "items", "required", "x-kubernetes-validations"}
POLICY = {"enum": ["Delete", "Retain"]}
ATOMIC = {"x-kubernetes-map-type": "atomic"}
ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}
STRINGS = {"additionalProperties": {"type": "string"}}
LIMITS: dict[str, Json] = {
    "volumesnapshots": {
        "status.restoreSize": {"pattern": QUANTITY_PATTERN, "x-kubernetes-int-or-string": True},
    },
    "volumesnapshotcontents": {
        "spec.deletionPolicy": POLICY,
        "spec.volumeSnapshotRef": ATOMIC,
        "status.restoreSize": {"minimum": 0},
    },
    "volumesnapshotclasses": {"deletionPolicy": POLICY, "parameters": STRINGS},
    "volumegroupsnapshots": {
        "spec.source.selector": ATOMIC,
        "spec.source.selector.matchLabels": STRINGS,
        "spec.source.selector.matchExpressions": ATOMIC_LIST,
        f"{EXPRESSION}.values": ATOMIC_LIST,
    },
    "volumegroupsnapshotcontents": {"spec.deletionPolicy": POLICY, "spec.volumeGroupSnapshotRef": ATOMIC},
    "volumegroupsnapshotclasses": {"deletionPolicy": POLICY, "parameters": STRINGS},
}


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_fields_are_limited_as_agreed_and_not_otherwise(plural: str, name: str) -> None:
    special = {}
    for path, node in nodes(schema(plural, name)):
        if extra := {word: value for word, value in node.items() if word not in ALLOWED_WORDS}:
            special[path] = extra
    expected = dict(LIMITS[plural])
    if (plural, name) == ("volumesnapshotcontents", "v1beta1"):
        del expected["spec.volumeSnapshotRef"]
    assert special == expected


UNCHANGED = "self == oldSelf"
SAME_NAMES = (
    "!has(self.name) || !has(self.__namespace__) || "
    "(self.name == oldSelf.name && self.__namespace__ == oldSelf.__namespace__)"
)


def stays(field: str) -> str:
    return f"!has(oldSelf.{field}) || has(self.{field})"


Rules = list[tuple[str, str, list[str]]]
"""Each with its path, the rule, and the words of its message that people look for."""

RULES: dict[str, Rules] = {
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
    "volumegroupsnapshots": [
        (
            "spec.source",
            "has(self.selector) != has(self.volumeGroupSnapshotContentName)",
            ["exactly one of", "selector", "volumeGroupSnapshotContentName", "must be set"],
        ),
        ("spec.source", stays("selector"), ["selector is required once set"]),
        ("spec.source", stays("volumeGroupSnapshotContentName"), ["volumeGroupSnapshotContentName", "once set"]),
        ("spec.source.selector", UNCHANGED, ["selector is immutable"]),
        (
            "spec.source.volumeGroupSnapshotContentName",
            UNCHANGED,
            ["volumeGroupSnapshotContentName is immutable"],
        ),
        ("spec.volumeGroupSnapshotClassName", "size(self) > 0", ["volumeGroupSnapshotClassName", "empty string"]),
    ],
    "volumegroupsnapshotcontents": [
        (
            "spec.source",
            "has(self.volumeHandles) != has(self.groupSnapshotHandles)",
            ["exactly one of", "volumeHandles", "groupSnapshotHandles", "must be set"],
        ),
        ("spec.source", stays("volumeHandles"), ["volumeHandles is required once set"]),
        ("spec.source", stays("groupSnapshotHandles"), ["groupSnapshotHandles is required once set"]),
        ("spec.source.volumeHandles", UNCHANGED, ["volumeHandles is immutable"]),
        ("spec.source.groupSnapshotHandles", UNCHANGED, ["groupSnapshotHandles is immutable"]),
        (
            "spec.volumeGroupSnapshotRef",
            "has(self.name) && has(self.__namespace__)",
            ["spec.volumeGroupSnapshotRef.name", "spec.volumeGroupSnapshotRef.namespace", "must be set"],
        ),
    ],
    "volumegroupsnapshotclasses": [],
}
# What v1beta2 and v1 of the group kinds have beside those.
LATER_RULES: dict[str, Rules] = {
    "volumegroupsnapshots": [
        (
            "status.boundVolumeGroupSnapshotContentName",
            UNCHANGED,
            ["boundVolumeGroupSnapshotContentName is immutable once set"],
        ),
    ],
    "volumegroupsnapshotcontents": [
        ("spec.driver", UNCHANGED, ["driver is immutable once set"]),
        ("spec.volumeGroupSnapshotClassName", UNCHANGED, ["volumeGroupSnapshotClassName is immutable once set"]),
        (
            "spec.volumeGroupSnapshotRef",
            SAME_NAMES,
            ["spec.volumeGroupSnapshotRef.name", "spec.volumeGroupSnapshotRef.namespace", "are immutable"],
        ),
        (
            "spec.volumeGroupSnapshotRef",
            "!has(oldSelf.uid) || (has(self.uid) && self.uid == oldSelf.uid)",
            ["spec.volumeGroupSnapshotRef.uid is immutable once set"],
        ),
        ("status.volumeGroupSnapshotHandle", UNCHANGED, ["volumeGroupSnapshotHandle is immutable once set"]),
    ],
    "volumegroupsnapshotclasses": [
        ("driver", UNCHANGED, ["driver is immutable once set"]),
        ("deletionPolicy", UNCHANGED, ["deletionPolicy is immutable once set"]),
        ("parameters", UNCHANGED, ["parameters are immutable once set"]),
    ],
}


def agreed_rules(plural: str, name: str) -> Rules:
    if KINDS[plural].group == SINGLE:
        return RULES[plural] if name == "v1" else []
    return RULES[plural] + (LATER_RULES[plural] if name != "v1beta1" else [])


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_a_version_has_the_agreed_rules(plural: str, name: str) -> None:
    expected = agreed_rules(plural, name)
    found = [
        (path, each["rule"], each["message"])
        for path, node in nodes(schema(plural, name))
        for each in node.get("x-kubernetes-validations", [])
    ]
    assert sorted(rule[:2] for rule in found) == sorted(rule[:2] for rule in expected)
    messages = {rule[:2]: rule[2] for rule in found}
    for path, rule, words in expected:
        for word in words:
            assert word in messages[path, rule]


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_every_field_is_explained(plural: str, name: str) -> None:
    unexplained = [path for path, node in nodes(schema(plural, name)) if not node.get("description")]
    assert unexplained in ([], ["metadata"])
    assert schema(plural, name)["description"]


def plain_values(node: Json) -> Iterator[Json]:
    """The nodes below this one that stand for values of lists and maps and have no fields of their own."""
    for child in node.get("properties", {}).values():
        yield from plain_values(child)
    for word in ("items", "additionalProperties"):
        if word in node:
            yield from plain_values(node[word]) if "properties" in node[word] else [node[word]]


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_nothing_else_is_said_of_a_version(plural: str, name: str) -> None:
    assert version(plural, name).keys() <= {
        *("name", "served", "storage", "deprecated", "deprecationWarning"),
        *("additionalPrinterColumns", "selectableFields", "subresources", "schema"),
    }
    assert version(plural, name)["schema"].keys() == {"openAPIV3Schema"}
    root = schema(plural, name)
    assert root.keys() == {"type", "description", "required", "properties"}
    assert root["required"] == (["spec"] if KINDS[plural].has_status else ["deletionPolicy", "driver"])
    assert root["properties"].get("metadata", {"type": "object"}) == {"type": "object"}
    assert all(node == {"type": "string"} for node in plain_values(root))


@pytest.mark.parametrize("plural", KINDS)
def test_nothing_is_said_of_a_definition_but_what_it_is_and_who_approved_it(plural: str) -> None:
    found = definition(plural)
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert found["metadata"].keys() == {"name", "annotations"}
    assert found["metadata"]["annotations"].keys() == {"api-approved.kubernetes.io"}


def texts(node: Json, path: str = "") -> Iterator[tuple[str, str]]:
    for below, child in nodes(node, path):
        if "description" in child:
            yield below, child["description"]


@pytest.mark.parametrize(("plural", "name"), VERSIONS)
def test_explanations_are_whole_sentences_and_tell_apart_required_fields(plural: str, name: str) -> None:
    root = schema(plural, name)
    fields = types(root)
    for path, text in texts(root):
        assert text.endswith((".", '"')), path
        assert "\n" not in text, path
        if name != "v1beta1" or KINDS[plural].group == GROUPED:
            assert ("Required" in text) is (fields[path].endswith("!")), f"{path}: {text}"
