"""Merge patch, JSON patch, strategic merge patch and server-side apply, on trees."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.apply import applied
from snapshotter.testing.apiserver.kinds import with_object_members
from snapshotter.testing.apiserver.patching import PatchError, json_patch, merge, strategic
from snapshotter.testing.apiserver.schema import Node, compile_schema
from snapshotter.testing.apiserver.status import ApiError, Json, Subject

MERGES: dict[str, tuple[Any, Any, Any]] = {
    "a key is added": ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    "a key is replaced": ({"a": 1}, {"a": 2}, {"a": 2}),
    "null removes a key": ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    "null removes nothing where nothing is": ({"a": 1}, {"b": None}, {"a": 1}),
    "maps are merged": ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
    "a map is made where none is, without its nulls": ({}, {"a": {"b": 1, "c": None}}, {"a": {"b": 1}}),
    "a map takes the place of a value": ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    "lists are replaced": ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
}


@pytest.mark.parametrize(("target", "patch", "result"), MERGES.values(), ids=MERGES.keys())
def test_merge(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert merge(target, patch) == result
    assert target == before


STEPS: dict[str, tuple[Any, list[Any], Any]] = {
    "add to a map": ({}, [{"op": "add", "path": "/a", "value": 1}], {"a": 1}),
    "add replaces": ({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}),
    "add into a list": ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    "add at the end of a list": ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
    "add at the index after the last": ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
    "replace": ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
    "replace creates what is absent": ({}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
    "replace an item": ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 3}], {"a": [3, 2]}),
    "remove": ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    "remove an item": ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
    "escapes": ({"a/b": {"~": 1}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}], {"a/b": {"~": 2}}),
    "test that holds": ({"a": [1]}, [{"op": "test", "path": "/a", "value": [1]}], {"a": [1]}),
    "test for null of what is absent": ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    "move": ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
    "copy": ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    "a copy is on its own": (
        {"a": [1]},
        [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/a/-", "value": 2}],
        {"a": [1, 2], "b": [1]},
    ),
}


@pytest.mark.parametrize(("document", "steps", "result"), STEPS.values(), ids=STEPS.keys())
def test_json_patch(document: Any, steps: list[Any], result: Any) -> None:
    assert json_patch(copy.deepcopy(document), steps) == result


REFUSED_STEPS: dict[str, tuple[Any, Any]] = {
    "test that fails": ({"a": 1}, {"op": "test", "path": "/a", "value": 2}),
    "test of what is absent": ({}, {"op": "test", "path": "/a", "value": 2}),
    "test for null of what is there": ({"a": 1}, {"op": "test", "path": "/a", "value": None}),
    "add below what is absent": ({}, {"op": "add", "path": "/a/b", "value": 1}),
    "add below a value": ({"a": "x"}, {"op": "add", "path": "/a/b", "value": 1}),
    "add beyond the end of a list": ({"a": [1]}, {"op": "add", "path": "/a/3", "value": 2}),
    "remove what is absent": ({}, {"op": "remove", "path": "/a"}),
    "remove beyond the end of a list": ({"a": []}, {"op": "remove", "path": "/a/0"}),
    "replace below what is absent": ({}, {"op": "replace", "path": "/a/b", "value": 1}),
    "no index": ({"a": [1]}, {"op": "replace", "path": "/a/x", "value": 1}),
    "an unknown op": ({}, {"op": "frob", "path": "/a"}),
    "no value": ({}, {"op": "add", "path": "/a"}),
    "no path": ({}, {"op": "remove"}),
    "no source": ({}, {"op": "move", "path": "/a"}),
    "no step": ({}, "add"),
    "removing everything": ({}, {"op": "replace", "path": "", "value": 1}),
}


@pytest.mark.parametrize(("document", "step"), REFUSED_STEPS.values(), ids=REFUSED_STEPS.keys())
def test_json_patch_is_refused(document: Any, step: Any) -> None:
    with pytest.raises(PatchError):
        json_patch(document, [step])


trees = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 3) | st.text("xy", max_size=1),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def difference(old: Json, new: Json) -> Json:
    """The merge patch that leads from one tree to the other."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old or not (isinstance(value, dict) and isinstance(old[key], dict)):
            patch[key] = value
        else:
            patch[key] = difference(old[key], value)
    return patch


@given(trees, trees)
def test_a_merge_patch_leads_from_one_tree_to_the_other(old: Json, new: Json) -> None:
    assert merge(old, difference(old, new)) == new


@given(trees, trees)
def test_merging_again_changes_nothing(old: Json, patch: Json) -> None:
    assert merge(merge(old, patch), patch) == merge(old, patch)


@given(trees, trees)
def test_a_strategic_patch_without_lists_by_key_is_a_merge_patch(old: Json, new: Json) -> None:
    assert strategic(old, difference(old, new), None) == merge(old, difference(old, new))


KEYED: Node = compile_schema(
    with_object_members(
        {
            "type": "object",
            "properties": {
                "data": {"type": "object", "additionalProperties": {"type": "string"}},
                "ref": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "plain": {"type": "array", "items": {"type": "string"}},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "a": {"type": "string"}, "b": {"type": "string"}},
                    },
                },
            },
        }
    )
)

STRATEGIC: dict[str, tuple[Any, Any, Any]] = {
    "plain lists are replaced": ({"plain": ["a"]}, {"plain": ["b"]}, {"plain": ["b"]}),
    "sets are joined": ({"tags": ["a", "b"]}, {"tags": ["b", "c"]}, {"tags": ["a", "b", "c"]}),
    "items are removed from a set": (
        {"tags": ["a", "b"]},
        {"$deleteFromPrimitiveList/tags": ["a"], "$setElementOrder/tags": ["b"]},
        {"tags": ["b"]},
    ),
    "items are merged by their key": (
        {"parts": [{"name": "x", "a": "1"}, {"name": "y"}]},
        {"parts": [{"name": "x", "b": "2"}, {"name": "z"}]},
        {"parts": [{"name": "x", "a": "1", "b": "2"}, {"name": "y"}, {"name": "z"}]},
    ),
    "an item is deleted by its key": (
        {"parts": [{"name": "x"}, {"name": "y"}]},
        {"parts": [{"name": "x", "$patch": "delete"}]},
        {"parts": [{"name": "y"}]},
    ),
    "an absent item is deleted silently": (
        {"parts": []},
        {"parts": [{"name": "x", "$patch": "delete"}]},
        {"parts": []},
    ),
    "a list is replaced on demand": (
        {"parts": [{"name": "x"}]},
        {"parts": [{"$patch": "replace"}, {"name": "y"}]},
        {"parts": [{"name": "y"}]},
    ),
    "a map is replaced on demand": (
        {"data": {"a": "1"}},
        {"data": {"$patch": "replace", "b": "2"}},
        {"data": {"b": "2"}},
    ),
    "a map keeps only what it should": (
        {"data": {"a": "1", "b": "2"}},
        {"data": {"$retainKeys": ["a"]}},
        {"data": {"a": "1"}},
    ),
    "owners are merged by uid": (
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "b"}]}},
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]}},
    ),
}


@pytest.mark.parametrize(("target", "patch", "result"), STRATEGIC.values(), ids=STRATEGIC.keys())
def test_strategic(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert strategic(target, patch, KEYED) == result
    assert target == before


SUBJECT = Subject("", "things", "Thing", "t")


def apply(current: Json, wanted: Json, manager: str = "me", *, force: bool = False) -> Json:
    body = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, **wanted}
    return applied(current, body, KEYED, SUBJECT, manager, 0.0, force=force)


def content_of(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}


def test_what_is_applied_is_added() -> None:
    assert content_of(apply({"metadata": {}, "data": {"a": "1"}}, {"data": {"b": "2"}})) == {
        "data": {"a": "1", "b": "2"}
    }


def test_what_is_no_longer_applied_goes() -> None:
    first = apply(
        {"metadata": {}}, {"data": {"a": "1", "b": "2"}, "tags": ["x", "y"], "parts": [{"name": "p", "a": "1"}]}
    )
    second = apply(first, {"data": {"b": "2"}, "tags": ["y"]})
    assert content_of(second) == {"data": {"b": "2"}, "tags": ["y"]}


def test_what_others_have_set_stays() -> None:
    first = apply({"metadata": {}, "data": {"theirs": "1"}}, {"data": {"a": "1"}})
    assert content_of(apply(first, {"data": {"b": "1"}})) == {"data": {"theirs": "1", "b": "1"}}


def test_what_another_applies_too_stays() -> None:
    first = apply({"metadata": {}}, {"data": {"a": "1"}})
    second = apply(first, {"data": {"a": "1"}}, "you")
    assert content_of(apply(second, {"data": {"b": "1"}})) == {"data": {"a": "1", "b": "1"}}


def test_appliers_that_disagree_conflict() -> None:
    first = apply({"metadata": {}}, {"data": {"a": "1"}})
    with pytest.raises(ApiError) as caught:
        apply(first, {"data": {"a": "2"}}, "you")
    assert caught.value.code == 409
    assert caught.value.body()["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": ".data.a"}
    ]


def test_an_applier_may_insist() -> None:
    first = apply({"metadata": {}}, {"data": {"a": "1"}})
    second = apply(first, {"data": {"a": "2"}}, "you", force=True)
    assert content_of(apply(second, {"data": {"b": "1"}})) == {"data": {"a": "2", "b": "1"}}


def test_atomic_values_are_replaced_as_a_whole() -> None:
    first = apply({"metadata": {}}, {"ref": {"a": "1"}, "plain": ["a"]})
    assert content_of(apply(first, {"ref": {"b": "1"}, "plain": ["b"]})) == {"ref": {"b": "1"}, "plain": ["b"]}


def test_applying_again_changes_nothing() -> None:
    wanted: Json = {"data": {"a": "1"}, "tags": ["x"], "parts": [{"name": "p", "a": "1"}], "plain": ["a"]}
    once = apply({"metadata": {}}, wanted)
    assert apply(once, wanted) == once


def test_true_and_one_are_not_the_same() -> None:
    with pytest.raises(PatchError):
        json_patch({"a": True}, [{"op": "test", "path": "/a", "value": 1}])
