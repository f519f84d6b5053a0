"""Structural schemas and their rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.rules import RuleError, compile_rule, escaped
from snapshotter.testing.apiserver.schema import ABSENT, Node, compile_schema, fill, is_date_time, prune, validate
from snapshotter.testing.apiserver.status import Cause, Json


def an_object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NAMED_ITEMS: Json = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": an_object(
        name=TEXT, size=WHOLE | {"x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "grows"}]}
    ),
}


PRUNED: dict[str, tuple[Json, Any, Any, list[str]]] = {
    "known members stay": (an_object(a=TEXT), {"a": "1"}, {"a": "1"}, []),
    "unknown members go": (an_object(a=TEXT), {"a": "1", "b": 2}, {"a": "1"}, ["b"]),
    "unknown members go at any depth": (an_object(a=an_object()), {"a": {"b": {"c": 1}}}, {"a": {}}, ["a.b"]),
    "items of lists are pruned": (
        an_object(a={"type": "array", "items": an_object(b=TEXT)}),
        {"a": [{"b": "1"}, {"c": 2}]},
        {"a": [{"b": "1"}, {}]},
        ["a[1].c"],
    ),
    "maps keep their keys and prune their values": (
        an_object(a={"type": "object", "additionalProperties": an_object(b=TEXT)}),
        {"a": {"x": {"b": "1", "c": 2}}},
        {"a": {"x": {"b": "1"}}},
        ["a.x.c"],
    ),
    "unknown members stay where the schema says so": (
        an_object(a=an_object(b=an_object()) | {"x-kubernetes-preserve-unknown-fields": True}),
        {"a": {"b": {"c": 1}, "d": 2}},
        {"a": {"b": {}, "d": 2}},
        ["a.b.c"],
    ),
}


@pytest.mark.parametrize(("schema", "before", "after", "dropped"), PRUNED.values(), ids=PRUNED.keys())
def test_prune(schema: Json, before: Any, after: Any, dropped: list[str]) -> None:
    assert prune(before, compile_schema(schema)) == dropped
    assert before == after


FILLED: dict[str, tuple[Json, Any, Any]] = {
    "defaults are filled in": (an_object(a=TEXT | {"default": "x"}), {}, {"a": "x"}),
    "defaults leave what is there": (an_object(a=TEXT | {"default": "x"}), {"a": "y"}, {"a": "y"}),
    "defaults are not filled into an absent parent": (an_object(a=an_object(b=TEXT | {"default": "x"})), {}, {}),
    "the default of a parent gets the defaults below it": (
        an_object(a=an_object(b=TEXT | {"default": "x"}) | {"default": {}}),
        {},
        {"a": {"b": "x"}},
    ),
    "items get their defaults": (
        an_object(a={"type": "array", "items": an_object(b=TEXT | {"default": "x"})}),
        {"a": [{}]},
        {"a": [{"b": "x"}]},
    ),
    "a null is dropped": (an_object(a=TEXT), {"a": None}, {}),
    "a null becomes the default": (an_object(a=TEXT | {"default": "x"}), {"a": None}, {"a": "x"}),
    "a null stays where it is allowed": (an_object(a=TEXT | {"nullable": True}), {"a": None}, {"a": None}),
    "the null of a required field stays, to be refused": (
        an_object(a=TEXT) | {"required": ["a"]},
        {"a": None},
        {"a": None},
    ),
}


@pytest.mark.parametrize(("schema", "before", "after"), FILLED.values(), ids=FILLED.keys())
def test_fill(schema: Json, before: Any, after: Any) -> None:
    fill(before, compile_schema(schema))
    assert before == after


def test_defaults_are_not_shared_between_objects() -> None:
    node = compile_schema(an_object(a={"type": "array", "items": TEXT, "default": ["x"]}))
    one: Json = {}
    other: Json = {}
    fill(one, node)
    fill(other, node)
    one["a"].append("y")
    assert other == {"a": ["x"]}


VALUES: dict[str, tuple[Json, Any, str]] = {
    "a string is a string": (TEXT, "a", ""),
    "a number is no string": (TEXT, 1, "FieldValueTypeInvalid"),
    "a boolean is no integer": (WHOLE, True, "FieldValueTypeInvalid"),
    "a whole number with a point is an integer": (WHOLE, 1.0, ""),
    "a fraction is no integer": (WHOLE, 1.5, "FieldValueTypeInvalid"),
    "what does not fit into 64 bits is no integer": (WHOLE, 2**63, "FieldValueTypeInvalid"),
    "what does not fit into 32 bits is refused where they are asked for": (
        WHOLE | {"format": "int32"},
        2**31,
        "FieldValueInvalid",
    ),
    "an integer is a number": ({"type": "number"}, 1, ""),
    "null is nothing": (TEXT, None, "FieldValueTypeInvalid"),
    "null is fine where it is allowed": (TEXT | {"nullable": True}, None, ""),
    "an integer is an int-or-string": ({"x-kubernetes-int-or-string": True}, 1, ""),
    "a string is an int-or-string": ({"x-kubernetes-int-or-string": True}, "1Gi", ""),
    "a fraction is no int-or-string": ({"x-kubernetes-int-or-string": True}, 1.5, "FieldValueTypeInvalid"),
    "a boolean is no int-or-string": ({"x-kubernetes-int-or-string": True}, True, "FieldValueTypeInvalid"),
    "the minimum is allowed": (WHOLE | {"minimum": 0}, 0, ""),
    "less than the minimum is refused": (WHOLE | {"minimum": 0}, -1, "FieldValueInvalid"),
    "an exclusive minimum is refused": (WHOLE | {"minimum": 0, "exclusiveMinimum": True}, 0, "FieldValueInvalid"),
    "more than the maximum is refused": (WHOLE | {"maximum": 9}, 10, "FieldValueInvalid"),
    "an exclusive maximum is refused": (WHOLE | {"maximum": 9, "exclusiveMaximum": True}, 9, "FieldValueInvalid"),
    "a multiple is asked for": (WHOLE | {"multipleOf": 5}, 7, "FieldValueInvalid"),
    "a pattern may match anywhere": (TEXT | {"pattern": "b"}, "abc", ""),
    "a pattern that does not match is refused": (TEXT | {"pattern": "^b"}, "abc", "FieldValueInvalid"),
    "a text may be too short": (TEXT | {"minLength": 2}, "a", "FieldValueInvalid"),
    "a text may be too long": (TEXT | {"maxLength": 2}, "abc", "FieldValueTooLong"),
    "a value that is not offered is refused": (TEXT | {"enum": ["a", "b"]}, "c", "FieldValueNotSupported"),
    "a time is a time": (TEXT | {"format": "date-time"}, "2024-02-29T10:00:00.5+01:00", ""),
    "a date alone is no time": (TEXT | {"format": "date-time"}, "2024-02-29", "FieldValueTypeInvalid"),
    "bytes are base64": (TEXT | {"format": "byte"}, "YQ==", ""),
    "other text is no bytes": (TEXT | {"format": "byte"}, "%", "FieldValueTypeInvalid"),
    "a list may be too long": ({"type": "array", "maxItems": 1}, [1, 2], "FieldValueTooMany"),
    "a set has each item once": ({"type": "array", "x-kubernetes-list-type": "set"}, [1, 2, 1], "FieldValueDuplicate"),
    "a list by name has each name once": (NAMED_ITEMS, [{"name": "a"}, {"name": "a"}], "FieldValueDuplicate"),
    "a map may have too few members": ({"type": "object", "minProperties": 1}, {}, "FieldValueInvalid"),
    "a required member is asked for": (
        an_object(a=TEXT) | {"required": ["a"]},
        {},
        "FieldValueRequired",
    ),
    "a required member is not null": (
        an_object(a=TEXT) | {"required": ["a"]},
        {"a": None},
        "FieldValueRequired",
    ),
    "all of several": ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 3, "FieldValueInvalid"),
    "any of several": ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, True, "FieldValueInvalid"),
    "one of several": ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "FieldValueInvalid"),
    "none": ({"not": {"enum": ["a"]}}, "a", "FieldValueInvalid"),
}


@pytest.mark.parametrize(("schema", "value", "reason"), VALUES.values(), ids=VALUES.keys())
def test_validate(schema: Json, value: Any, reason: str) -> None:
    assert [cause.reason for cause in validate(value, compile_schema(schema), path="spec.x")] == [reason] * bool(reason)


def test_a_cause_names_the_place_and_what_is_wrong() -> None:
    schema = an_object(spec=an_object(list={"type": "array", "items": an_object(policy=TEXT | {"enum": ["A", "B"]})}))
    causes = validate({"spec": {"list": [{"policy": "A"}, {"policy": "a"}]}}, compile_schema(schema))
    assert [(cause.field, cause.message) for cause in causes] == [
        ("spec.list[1].policy", 'Unsupported value: "a": supported values: "A", "B"')
    ]


def test_what_did_not_change_is_not_refused_again() -> None:
    node = compile_schema(an_object(old=WHOLE | {"minimum": 0}, new=WHOLE | {"minimum": 0}))
    assert [cause.field for cause in validate({"old": -1, "new": -1}, node, {"old": -1, "new": 0})] == ["new"]


def test_true_is_not_the_one_that_was_there() -> None:
    node = compile_schema(an_object(a=WHOLE))
    assert [cause.field for cause in validate({"a": True}, node, {"a": 1})] == ["a"]


RULED: Json = an_object(
    spec=an_object(
        a=TEXT | {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "a is immutable"}]},
        b=TEXT,
        ref=an_object(name=TEXT, namespace=TEXT)
        | {
            "x-kubernetes-validations": [
                {"rule": "has(self.name) && has(self.__namespace__)", "message": "both must be set"}
            ]
        },
        parts=NAMED_ITEMS,
        when=TEXT | {"format": "date-time"},
    )
    | {
        "x-kubernetes-validations": [
            {"rule": "has(self.a) != has(self.b)", "message": "exactly one of a and b"},
            {"rule": "!has(oldSelf.a) || has(self.a)", "message": "a is required once set"},
            {"rule": "!has(self.when) || self.when < timestamp('2030-01-01T00:00:00Z')", "message": "too late"},
        ]
    }
)

RULES: dict[str, tuple[Any, Any, list[tuple[str, str]]]] = {
    "a rule that holds is silent": ({"a": "1"}, ABSENT, []),
    "a rule is reported where it stands": ({}, ABSENT, [("spec", "exactly one of a and b")]),
    "presence counts, not the value": ({"a": "", "b": ""}, ABSENT, [("spec", "exactly one of a and b")]),
    "a field may stay as it is": ({"a": "1"}, {"a": "1"}, []),
    "a field may be fixed": ({"a": "2"}, {"a": "1"}, [("spec.a", "a is immutable")]),
    "a field may have to stay": ({"b": "1"}, {"a": "1"}, [("spec", "a is required once set")]),
    "a fixed field may come": ({"a": "1"}, {"b": "1"}, []),
    "namespace is reached by its escaped name": ({"a": "", "ref": {"name": "", "namespace": ""}}, ABSENT, []),
    "an escaped name may be absent": ({"a": "", "ref": {"name": ""}}, ABSENT, [("spec.ref", "both must be set")]),
    "items are compared with their earlier selves": (
        {"a": "", "parts": [{"name": "y", "size": 5}, {"name": "x", "size": 1}]},
        {"a": "", "parts": [{"name": "x", "size": 2}, {"name": "y", "size": 4}]},
        [("spec.parts[1].size", "grows")],
    ),
    "new items have no earlier selves": (
        {"a": "", "parts": [{"name": "z", "size": 0}]},
        {"a": "", "parts": [{"name": "x", "size": 2}]},
        [],
    ),
    "times are compared as times": ({"a": "", "when": "2029-12-31T23:00:00-05:00"}, ABSENT, [("spec", "too late")]),
}


@pytest.mark.parametrize(("new", "old", "causes"), RULES.values(), ids=RULES.keys())
def test_rules(new: Any, old: Any, causes: list[tuple[str, str]]) -> None:
    node = compile_schema(RULED)
    earlier = old if old is ABSENT else {"spec": old}
    found = validate({"spec": new}, node, earlier)
    assert [(cause.field, cause.detail) for cause in found] == causes


def test_rules_wait_until_the_structure_is_right() -> None:
    fields = [cause.field for cause in validate({"spec": {"a": 1, "b": "x"}}, compile_schema(RULED))]
    assert fields == ["spec.a", "<nil>"]


def test_rules_do_not_wait_for_limits() -> None:
    schema = an_object(a=WHOLE | {"minimum": 0}) | {"x-kubernetes-validations": [{"rule": "false", "message": "no"}]}
    assert [cause.detail for cause in validate({"a": -1}, compile_schema(schema))] == [
        "a in body should be greater than or equal to 0",
        "no",
    ]


def test_a_rule_that_fails_to_evaluate_refuses() -> None:
    schema = an_object(a=TEXT) | {"x-kubernetes-validations": [{"rule": "self.a == 'x'"}]}
    (cause,) = validate({}, compile_schema(schema))
    assert "self.a == 'x'" in cause.detail


def test_a_message_may_be_computed() -> None:
    rule = {"rule": "self.a < 3", "message": "too much", "messageExpression": "'too much: ' + string(self.a)"}
    schema = an_object(a=WHOLE) | {"x-kubernetes-validations": [rule]}
    assert [cause.detail for cause in validate({"a": 5}, compile_schema(schema))] == ["too much: 5"]


def test_a_rule_may_name_its_reason_and_field() -> None:
    rule = {"rule": "false", "message": "no", "reason": "FieldValueForbidden", "fieldPath": ".a"}
    schema = an_object(a=WHOLE) | {"x-kubernetes-validations": [rule]}
    assert validate({"a": 5}, compile_schema(schema), path="spec") == [
        Cause("spec.a", "FieldValueForbidden", "no", value={"a": 5})
    ]


def test_a_rule_that_does_not_compile_is_refused() -> None:
    with pytest.raises(RuleError):
        compile_rule({"rule": "self.("})


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("name", "name"),
        ("namespace", "__namespace__"),
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
    ],
)
def test_escaped(name: str, seen: str) -> None:
    assert escaped(name) == seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00Z", True),
        ("2024-01-01t00:00:00z", True),
        ("2024-02-30T00:00:00Z", False),
        ("2024-01-01 00:00:00Z", False),
        ("2024-01-01T00:00:00", False),
        ("now", False),
    ],
)
def test_is_date_time(text: str, expected: bool) -> None:
    assert is_date_time(text) is expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
SOME_NODE: Node = compile_schema(
    an_object(
        a=TEXT | {"default": "x"},
        b=an_object(c=WHOLE, d=TEXT | {"nullable": True}),
        c={"type": "array", "items": an_object(a=WHOLE)},
    )
)


@given(st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4))
def test_pruning_and_filling_again_changes_nothing(value: Json) -> None:
    prune(value, SOME_NODE)
    fill(value, SOME_NODE)
    again = {**value}
    assert prune(again, SOME_NODE) == []
    fill(again, SOME_NODE)
    assert again == value


@given(st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4))
def test_what_is_the_same_as_before_is_never_refused(value: Json) -> None:
    assert validate(value, SOME_NODE, value) == []
