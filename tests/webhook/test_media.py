"""In which form reviews come and go."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshotter.webhook.media import (
    JSON,
    LONGEST_YAML,
    MOST_BRACKETS,
    MOST_VALUES,
    YAML,
    NotUnderstood,
    given_form,
    in_form,
    json_from,
    wanted_form,
)

GIVEN = {
    "application/json": JSON,
    "application/yaml": YAML,
    "application/json; charset=utf-8": JSON,
    "Application/JSON ;charset=utf-8": JSON,
    "application/yaml;x=y": YAML,
}


@pytest.mark.parametrize(("header", "form"), GIVEN.items(), ids=GIVEN.keys())
def test_parameters_of_the_content_type_do_not_matter(header: str, form: str) -> None:
    assert given_form(header) == form


@pytest.mark.parametrize("header", ["", "text/plain", "application/jsonx", "json", "*/*", "a" * 1000, 'a"\nb'])
def test_other_content_types_are_named(header: str) -> None:
    with pytest.raises(NotUnderstood) as refusal:
        given_form(header)
    assert json.dumps(header[:100]) in str(refusal.value)


WANTED = {
    "": JSON,
    "application/json": JSON,
    "application/yaml": YAML,
    "application/json, */*": JSON,
    "*/*": JSON,
    "application/*": JSON,
    "application/yaml, application/json": YAML,
    "application/yaml;q=0.5, application/json": JSON,
    "text/html, application/yaml;q=0.9, */*;q=0.1": YAML,
    "text/html, */*;q=0.1": JSON,
    "application/json;q=0, application/yaml;q=0.1": YAML,
    "APPLICATION/YAML": YAML,
    "application/json;q=nonsense, application/yaml;q=0.001": YAML,
}


@pytest.mark.parametrize(("header", "form"), WANTED.items(), ids=WANTED.keys())
def test_the_answer_has_the_form_that_is_liked_best(header: str, form: str) -> None:
    assert wanted_form(header) == form


@pytest.mark.parametrize("header", ["text/html", "application/xml, text/*", "application/json;q=0", ",", ";;"])
def test_a_client_that_takes_neither_is_told(header: str) -> None:
    with pytest.raises(NotUnderstood, match="Accept must allow application/json or application/yaml"):
        wanted_form(header)


def test_json_is_not_touched() -> None:
    assert json_from(b'{"a": 1.0 }', JSON) == b'{"a": 1.0 }'


@pytest.mark.parametrize("form", [JSON, YAML])
def test_bad_characters_are_refused(form: str) -> None:
    with pytest.raises(NotUnderstood, match="the body is not UTF-8"):
        json_from(b'"\xff"', form)


def test_a_body_of_too_many_values_is_refused_before_it_takes_memory() -> None:
    assert json_from(b"[" + b"{}," * (MOST_VALUES // 2 - 1) + b"0]", JSON)
    with pytest.raises(NotUnderstood, match="the body holds more than 1000000 values"):
        json_from(b"[" + b"{}," * (MOST_VALUES // 2) + b"0]", JSON)


SCALARS = {
    "a text": ("plain text", "plain text"),
    "a quoted number": ('"1"', "1"),
    "a block": ("|\n a\n b\n", "a\nb\n"),
    "an integer": ("-12", -12),
    "a large integer": ("1755612345123456789", 1755612345123456789),
    "a fraction": ("1.5e3", 1500.0),
    "true": ("true", True),
    "false": ("False", False),
    "null": ("~", None),
    "nothing": ("", None),
    "a word that older YAML took for true": ("on", "on"),
    "a time": ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    "a number of base sixty": ("1:30", "1:30"),
    "a number of base sixteen": ("0x10", "0x10"),
    "a number with an underscore": ("1_000", "1_000"),
    "what is no number in JSON": (".inf", ".inf"),
    "a list": ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
    "a type of YAML's": ("!!binary aGk=", "aGk="),
    "a type of Python's": ("!!python/object:os.system x", "x"),
    "a merge": ("{<<: {b: c}}", {"<<": {"b": "c"}}),
}


@pytest.mark.parametrize(("text", "value"), SCALARS.values(), ids=SCALARS.keys())
def test_yaml_has_the_values_of_json(text: str, value: object) -> None:
    assert json.loads(json_from(f"a: {text}".encode(), YAML)) == {"a": value}


REFUSED = {
    "nothing": ("", "is not one document of YAML"),
    "two documents": ("a\n---\nb", "is not one document of YAML"),
    "an alias": ("[&a b, *a]", "uses aliases of YAML"),
    "a key that is a list": ("? [a]\n: b", "has a key that is not a text"),
    "a key that is a number": ("1: b", "has a key that is not a text"),
    "what is no YAML": ("a: b: c", "is not YAML"),
    "a control character": ("\x00", "is not YAML"),
    "too much nesting of blocks": ("- " * 20_000, "is nested too deeply"),
    "too much nesting of brackets": ("[" * 2000, "is not YAML"),
    "too many brackets": ("{" * (MOST_BRACKETS + 1), "must not have more than"),
    "too much": (" " * (LONGEST_YAML + 1), "must not be longer than"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_yaml_that_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        json_from(text.encode(), YAML)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(VALUES)
def test_an_answer_in_yaml_says_the_same(value: object) -> None:
    answer = in_form(json.dumps(value, ensure_ascii=False).encode(), YAML)
    assert json.loads(json_from(answer, YAML)) == value
    assert in_form(answer, JSON) == answer


@settings(deadline=None)
@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda raw: raw.decode(errors="replace")))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        found = json_from(text.encode(errors="replace"), YAML)
    except NotUnderstood:
        return
    json.loads(found)


def test_yaml_that_other_writers_make_is_read() -> None:
    value = {"kind": "A", "list": [{"a": "1"}, {"b": "on"}], "text": "a\nb\u2028c", "none": None}
    assert json.loads(json_from(yaml.safe_dump(value).encode(), YAML)) == value
