"""Custom resource definitions that come, change and go while the server runs, and what a schema may say.

Our own definitions use a part of this.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import SOON_SECONDS, Client, Json
from tests.contract.objects import new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SIZE_COLUMN = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
UNCHANGED = [{"rule": "self == oldSelf", "message": "must not change"}]
STRINGS = {"type": "array", "items": {"type": "string"}}

SPEC: Json = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 3},
        "ratio": {"type": "number"},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "code": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
        "maybe": {"type": "string", "nullable": True},
        "when": {"type": "string", "format": "date-time"},
        "tags": STRINGS | {"maxItems": 3, "minItems": 1},
        "fixed": STRINGS | {"x-kubernetes-validations": UNCHANGED},
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "port": {"x-kubernetes-int-or-string": True},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
            },
        },
        "pair": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high", "message": "low is above high"},
                {"rule": "!has(oldSelf.low) || (has(self.low) && self.low == oldSelf.low)", "message": "low stays"},
            ],
            "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
        },
    },
}


def definition(group: str, plural: str = "widgets") -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}}
    common = {"schema": schema, "served": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                common | {"name": "v1", "storage": True},
                common | {"name": "v1beta1", "storage": False, "deprecated": True},
                common | {"name": "v1alpha1", "storage": False, "served": False},
            ],
        },
    }


async def install(api: Client, given: Json) -> str:
    """Create a definition and wait until its objects are served; their path."""
    (await api.create(DEFINITIONS, given)).ok()
    path = f"/apis/{given['spec']['group']}/v1/{given['spec']['names']['plural']}"
    await wait_for_status(api, path, 200)
    return path


async def wait_for_status(api: Client, path: str, status: int) -> None:
    """Return once the path answers so. What is served follows a definition with some delay."""
    async with asyncio.timeout(SOON_SECONDS):
        while (await api.get(path)).status != status:  # noqa: ASYNC110 - over HTTP one can only ask
            await asyncio.sleep(0.05)


def stored_in(given: Json, version: str) -> Json:
    """The definition with another version that is stored."""
    versions = [each | {"storage": each["name"] == version} for each in given["spec"]["versions"]]
    return given | {"spec": given["spec"] | {"versions": versions}}


def widget(group: str, version: str = "v1", **spec: Any) -> Json:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "Widget",
        "metadata": {"name": new_name("widget")},
        "spec": spec,
    }


GROUP = "example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def widgets(api: Client) -> AsyncIterator[str]:
    """Where widgets are found. They are there for the tests of this module."""
    given = definition(GROUP)
    yield await install(api, given)
    await api.delete(f"{DEFINITIONS}/{given['metadata']['name']}")


ACCEPTED: dict[str, tuple[Json, Json]] = {
    "defaults fill what is absent": ({}, {"size": 3, "mode": "a"}),
    "defaults leave what is there": ({"size": 5, "mode": "b"}, {"size": 5, "mode": "b"}),
    "defaults replace a null": ({"size": None}, {"size": 3, "mode": "a"}),
    "defaults fill the items of a list": (
        {"parts": [{"name": "x"}, {"name": "y", "count": 2}]},
        {"size": 3, "mode": "a", "parts": [{"name": "x", "count": 1}, {"name": "y", "count": 2}]},
    ),
    "a nullable field keeps its null": ({"maybe": None}, {"size": 3, "mode": "a", "maybe": None}),
    "another null is dropped": ({"ratio": None}, {"size": 3, "mode": "a"}),
    "a whole number is a number": ({"ratio": 2}, {"size": 3, "mode": "a", "ratio": 2}),
    "a number has a fraction": ({"ratio": 2.5}, {"size": 3, "mode": "a", "ratio": 2.5}),
    "unknown fields are dropped from the items of a list": (
        {"parts": [{"name": "x", "count": 1, "colour": "red"}]},
        {"size": 3, "mode": "a", "parts": [{"name": "x", "count": 1}]},
    ),
    "unknown fields are kept where the schema says so": (
        {"anything": {"a": {"b": [1, None]}}},
        {"size": 3, "mode": "a", "anything": {"a": {"b": [1, None]}}},
    ),
    "a map has any keys": ({"limits": {"a/b": 1}}, {"size": 3, "mode": "a", "limits": {"a/b": 1}}),
    "a number or a string is a number": ({"port": 80}, {"size": 3, "mode": "a", "port": 80}),
    "a number or a string is a string": ({"port": "http"}, {"size": 3, "mode": "a", "port": "http"}),
}


@pytest.mark.parametrize(("spec", "stored"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_stored(api: Client, widgets: str, spec: Json, stored: Json) -> None:
    answer = await api.create(widgets, widget(GROUP, **spec))
    assert answer.ok()["spec"] == stored


REFUSED: dict[str, tuple[Json, str, str, str]] = {
    "a number below the minimum": ({"size": 0}, "spec.size", "FieldValueInvalid", "greater than or equal to 1"),
    "a number above the maximum": ({"size": 11}, "spec.size", "FieldValueInvalid", "less than or equal to 10"),
    "a string too short": ({"code": "a"}, "spec.code", "FieldValueInvalid", "at least 2 chars long"),
    "a string too long": ({"code": "abcde"}, "spec.code", "FieldValueTooLong", "more than 4"),
    "a string of another pattern": ({"code": "AB"}, "spec.code", "FieldValueInvalid", "should match '^[a-z]+$'"),
    "a value that is not offered": ({"mode": "c"}, "spec.mode", "FieldValueNotSupported", 'supported values: "a", "b"'),
    "a date that is none": ({"when": "now"}, "spec.when", "FieldValueTypeInvalid", "must be of type date-time"),
    "a list too short": ({"tags": []}, "spec.tags", "FieldValueInvalid", "at least 1 items"),
    "a list too long": ({"tags": list("abcd")}, "spec.tags", "FieldValueTooMany", "at most 3"),
    "an item of another type": ({"tags": [1]}, "spec.tags[0]", "FieldValueTypeInvalid", "must be of type string"),
    "an item without a required field": ({"parts": [{}]}, "spec.parts[0].name", "FieldValueRequired", "Required value"),
    "a map with a wrong value": ({"limits": {"a": "b"}}, "spec.limits.a", "FieldValueTypeInvalid", "type integer"),
    "a list for an object": ({"pair": []}, "spec.pair", "FieldValueTypeInvalid", "must be of type object"),
    "an object for a list": ({"tags": {}}, "spec.tags", "FieldValueTypeInvalid", "must be of type array"),
    "a broken rule": ({"pair": {"low": 2, "high": 1}}, "spec.pair", "FieldValueInvalid", "low is above high"),
    "neither number nor string": ({"port": True}, "spec.port", "FieldValueTypeInvalid", "must be of type"),
}


@pytest.mark.parametrize(("spec", "field", "reason", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(api: Client, widgets: str, spec: Json, field: str, reason: str, words: str) -> None:
    answer = await api.create(widgets, widget(GROUP, **spec))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.reasons().get(field) == reason, answer
    assert words in answer.causes[field]


# The spec before, the merge patch of it, and what is to blame.
CHANGES: dict[str, tuple[Json, Json, set[str]]] = {
    "a list that may not change is the same": ({"fixed": ["a", "b"]}, {"fixed": ["a", "b"]}, set()),
    "a list that may not change changes": ({"fixed": ["a", "b"]}, {"fixed": ["b", "a"]}, {"spec.fixed"}),
    "a list that may not change goes": ({"fixed": ["a"]}, {"fixed": None}, set()),
    "a list that may not change comes": ({}, {"fixed": ["a"]}, set()),
    "a field that stays is changed": ({"pair": {"low": 1}}, {"pair": {"low": 2}}, {"spec.pair"}),
    "a field that stays is removed": ({"pair": {"low": 1}}, {"pair": {"low": None}}, {"spec.pair"}),
    "a field that stays goes with its parent": ({"pair": {"low": 1}}, {"pair": None}, set()),
    "a field beside one that stays is changed": ({"pair": {"low": 1}}, {"pair": {"high": 2}}, set()),
}


@pytest.mark.parametrize(("before", "patch", "blamed"), CHANGES.values(), ids=CHANGES.keys())
async def test_changed(api: Client, widgets: str, before: Json, patch: Json, blamed: set[str]) -> None:
    given = widget(GROUP, **before)
    (await api.create(widgets, given)).ok()
    answer = await api.merge(f"{widgets}/{given['metadata']['name']}", {"spec": patch})
    assert (answer.status, set(answer.causes)) == (422 if blamed else 200, blamed)


async def test_a_deprecated_version_is_served_with_a_warning(api: Client, widgets: str) -> None:
    given = widget(GROUP)
    (await api.create(widgets, given)).ok()
    answer = await api.get(f"{widgets.replace('/v1/', '/v1beta1/')}/{given['metadata']['name']}")
    assert answer.ok()["apiVersion"] == f"{GROUP}/v1beta1"
    assert answer.body["spec"] == {"size": 3, "mode": "a"}
    assert answer.warnings == (f'299 - "{GROUP}/v1beta1 Widget is deprecated; use {GROUP}/v1 Widget"',)


async def test_a_version_that_is_not_served_is_not_found(api: Client, widgets: str) -> None:
    assert (await api.get(widgets.replace("/v1/", "/v1alpha1/"))).status == 404


async def test_stable_versions_are_preferred(api: Client, widgets: str) -> None:
    group = (await api.get(f"/apis/{GROUP}")).ok()
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    assert group["preferredVersion"]["version"] == "v1"


async def test_an_object_written_in_one_version_is_watched_in_the_other(api: Client, widgets: str) -> None:
    other = widgets.replace("/v1/", "/v1beta1/")
    given = widget(GROUP)
    version = (await api.get(other)).ok()["metadata"]["resourceVersion"]
    async with api.watch(other, resourceVersion=version) as watch:
        (await api.create(widgets, given)).ok()
        told = await watch.expect("ADDED", given["metadata"]["name"])
        assert told["apiVersion"] == f"{GROUP}/v1beta1"


async def test_a_definition_goes_with_its_objects_and_ends_their_watches(api: Client) -> None:
    given = definition("passing.example.com")
    path = await install(api, given)
    (await api.create(path, widget("passing.example.com"))).ok()
    version = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=version) as watch:
        assert (await api.delete(f"{DEFINITIONS}/{given['metadata']['name']}")).status == 200
        events = await watch.rest()
    assert {each["type"] for each in events} <= {"DELETED"}
    await wait_for_status(api, path, 404)
    await wait_for_status(api, "/apis/passing.example.com", 404)
    again = await install(api, given)
    assert (await api.get(again)).ok()["items"] == []


async def test_watches_end_when_the_definition_changes_what_is_served(api: Client) -> None:
    given = definition("changing.example.com")
    path = await install(api, given)
    since = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=since) as watch:
        versions = [each | {"additionalPrinterColumns": [SIZE_COLUMN]} for each in given["spec"]["versions"]]
        (await api.merge(f"{DEFINITIONS}/{given['metadata']['name']}", {"spec": {"versions": versions}})).ok()
        assert await watch.rest() == []
    await api.delete(f"{DEFINITIONS}/{given['metadata']['name']}")


async def test_watches_go_on_when_the_definition_is_labelled(api: Client) -> None:
    given = definition("labelled.example.com")
    path = await install(api, given)
    since = (await api.get(path)).ok()["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=since) as watch:
        label = {"metadata": {"labels": {"a": "b"}}}
        (await api.merge(f"{DEFINITIONS}/{given['metadata']['name']}", label)).ok()
        made = widget("labelled.example.com")
        (await api.create(path, made)).ok()
        await watch.expect("ADDED", made["metadata"]["name"])
    await api.delete(f"{DEFINITIONS}/{given['metadata']['name']}")


async def test_an_object_stays_as_it_is_stored_until_it_is_written_again(api: Client) -> None:
    group = "moving.example.com"
    given = definition(group)
    place = f"{DEFINITIONS}/{given['metadata']['name']}"
    made = widget(group, size=5)
    path = f"{await install(api, stored_in(given, 'v1beta1'))}/{made['metadata']['name']}"
    before = (await api.create(path.rpartition("/")[0], made)).ok()
    changed = (await api.merge(place, {"spec": stored_in(given, "v1")["spec"]})).ok()
    assert changed["status"]["storedVersions"] == ["v1beta1", "v1"]
    assert (await api.get(path)).ok() == before

    async with asyncio.timeout(SOON_SECONDS):
        while (moved := (await api.merge(path, {})).ok()) == before:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    assert moved["metadata"].pop("resourceVersion") != before["metadata"].pop("resourceVersion")
    assert moved == before
    again = [(await api.merge(path, {})).ok()["metadata"]["resourceVersion"] for _ in range(2)]
    assert again[0] == again[1]
    await api.delete(place)


BAD_DEFINITIONS: dict[str, tuple[Json, str]] = {
    "a name that is not made of plural and group": ({"metadata": {"name": "other.bad.example.com"}}, "metadata.name"),
    "no version that is stored": (
        {"spec": {"versions": [{"name": "v1", "served": True, "storage": False, "schema": {}}]}},
        "spec.versions",
    ),
    "no schema": (
        {"spec": {"versions": [{"name": "v1", "served": True, "storage": True}]}},
        "spec.versions[0].schema.openAPIV3Schema",
    ),
}


@pytest.mark.parametrize(("change", "field"), BAD_DEFINITIONS.values(), ids=BAD_DEFINITIONS.keys())
async def test_a_definition_is_refused_with(api: Client, change: Json, field: str) -> None:
    given = definition("bad.example.com")
    given = given | change | {"spec": given["spec"] | change.get("spec", {})}
    answer = await api.create(DEFINITIONS, given)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert field in answer.causes, answer
