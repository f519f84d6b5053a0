"""Conversion between the versions of group objects: upstream's vectors, harder ones, and the laws."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.plan.conversion import EXTRAS, INFO_LIST, LONGEST_KEPT, PAIR_LIST, Unconvertible, canonical, convert

Json = dict[str, Any]

GROUP = "groupsnapshot.storage.k8s.io"
BETA1, BETA2, V1 = (f"{GROUP}/{version}" for version in ("v1beta1", "v1beta2", "v1"))
LATER = (BETA2, V1)
KEPT = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list"
BIG_TIME = 1755612345123456789


def converted(given: object, desired: str) -> Json:
    """An object in another version. Fails if more than JSON comes back, or the version is not what was asked for."""
    answer = convert(msgspec.Raw(json.dumps(given).encode()), desired)
    found: Json = json.loads(bytes(answer.object))
    assert found["apiVersion"] == desired
    assert isinstance(given, dict)
    assert answer.version == given["apiVersion"]
    return found


def content(version: str, *, annotations: Any = ..., **fields: Any) -> Json:
    """A group content. `annotations`: none unless given."""
    metadata = {"name": "content"} if annotations is ... else {"name": "content", "annotations": annotations}
    return {
        "apiVersion": version,
        "kind": "VolumeGroupSnapshotContent",
        "metadata": metadata,
        "spec": {},
        **fields,
    }


def pair(number: int) -> Json:
    return {"volumeHandle": f"volume-{number}", "snapshotHandle": f"snapshot-{number}"}


def full(number: int, **fields: Any) -> Json:
    return pair(number) | {"creationTime": 23, "readyToUse": True, "restoreSize": 12} | fields


PAIRS, FULL = [pair(1), pair(2)], [full(1), full(2)]
COMPACT = (
    '[{"creationTime":23,"readyToUse":true,"restoreSize":12,"snapshotHandle":"snapshot-1","volumeHandle":"volume-1"},'
    '{"creationTime":23,"readyToUse":true,"restoreSize":12,"snapshotHandle":"snapshot-2","volumeHandle":"volume-2"}]'
)
OTHERS = {"readyToUse": True, "volumeGroupSnapshotHandle": "group"}

# What is given in the old version, and what it is in each of the later ones.
UP = {
    "T1 without an annotation and a status nothing happens": ({}, {}),
    "T2 pairs become infos": (
        {"status": OTHERS | {PAIR_LIST: PAIRS}},
        {"status": OTHERS | {INFO_LIST: PAIRS}},
    ),
    "T3 the annotation alone becomes the infos": (
        {"annotations": {KEPT: json.dumps(FULL, indent=4) + "\n"}},
        {"annotations": {}, "status": {INFO_LIST: FULL}},
    ),
    "T4 the annotation adds to the pairs": (
        {"annotations": {KEPT: json.dumps(FULL, indent=4) + "\n"}, "status": OTHERS | {PAIR_LIST: PAIRS}},
        {"annotations": {}, "status": OTHERS | {INFO_LIST: FULL}},
    ),
    "E2 an empty list in the annotation is one in the status": (
        {"annotations": {KEPT: "[]"}},
        {"annotations": {}, "status": {INFO_LIST: []}},
    ),
    "E4 a time is exact": (
        {"annotations": {KEPT: f'[{{"creationTime":{BIG_TIME}}}]'}},
        {"annotations": {}, "status": {INFO_LIST: [{"creationTime": BIG_TIME}]}},
    ),
    "E7 a pair that was removed stays away": (
        {"annotations": {KEPT: COMPACT}, "status": {PAIR_LIST: [pair(2)]}},
        {"annotations": {}, "status": {INFO_LIST: [full(2)]}},
    ),
    "E7 a pair that was added has nothing but its handles": (
        {"annotations": {KEPT: COMPACT}, "status": {PAIR_LIST: [pair(3), *PAIRS]}},
        {"annotations": {}, "status": {INFO_LIST: [pair(3), *FULL]}},
    ),
    "E7 a pair of which one handle was changed is another pair": (
        {"annotations": {KEPT: COMPACT}, "status": {PAIR_LIST: [pair(1) | {"snapshotHandle": "snapshot-2"}]}},
        {"annotations": {}, "status": {INFO_LIST: [pair(1) | {"snapshotHandle": "snapshot-2"}]}},
    ),
    "E7 a list that was emptied is empty": (
        {"annotations": {KEPT: COMPACT}, "status": {PAIR_LIST: []}},
        {"annotations": {}, "status": {INFO_LIST: []}},
    ),
    "equal pairs get what was kept of them in order": (
        {
            "annotations": {KEPT: canonical([full(1), full(1, restoreSize=13)]).decode()},
            "status": {PAIR_LIST: [pair(1), pair(1), pair(1)]},
        },
        {"annotations": {}, "status": {INFO_LIST: [full(1), full(1, restoreSize=13), pair(1)]}},
    ),
    "E9 pairs win over infos that should not be there": (
        {"status": {INFO_LIST: [full(9)], PAIR_LIST: PAIRS}},
        {"status": {INFO_LIST: PAIRS}},
    ),
    "E10 a null status without an annotation stays": ({"status": None}, {"status": None}),
    "E11 a null status is none": (
        {"annotations": {KEPT: COMPACT}, "status": None},
        {"annotations": {}, "status": {INFO_LIST: FULL}},
    ),
    "E22 whole numbers are integers however they are written": (
        {"annotations": {KEPT: '[{"creationTime":1e3,"restoreSize":-0.0},{"restoreSize":1755612345123456789.0}]'}},
        {
            "annotations": {},
            "status": {INFO_LIST: [{"creationTime": 1000, "restoreSize": 0}, {"restoreSize": BIG_TIME}]},
        },
    ),
    "E24 other annotations stay": (
        {"annotations": {"a": "b", KEPT: "[]", "c": ""}},
        {"annotations": {"a": "b", "c": ""}, "status": {INFO_LIST: []}},
    ),
    "null annotations are none": ({"annotations": None}, {"annotations": None}),
    "null in the annotation is nothing": (
        {"annotations": {KEPT: '[{"volumeHandle":null,"restoreSize":null,"readyToUse":false}]'}},
        {"annotations": {}, "status": {INFO_LIST: [{"readyToUse": False}]}},
    ),
    "unknown fields of an entry are kept": (
        {"annotations": {KEPT: '[{"new":{"a":[1,"b",2.5]}}]'}},
        {"annotations": {}, "status": {INFO_LIST: [{"new": {"a": [1, "b", 2.5]}}]}},
    ),
    "integers of 64 bits fit": (
        {"annotations": {KEPT: f'[{{"creationTime":{-(2**63)},"restoreSize":{2**63 - 1}}}]'}},
        {"annotations": {}, "status": {INFO_LIST: [{"creationTime": -(2**63), "restoreSize": 2**63 - 1}]}},
    ),
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize(("given", "expected"), UP.values(), ids=UP.keys())
def test_e14_up_from_the_old_version_to_each_later_one(given: Json, expected: Json, later: str) -> None:
    assert converted(content(BETA1, **given), later) == content(later, **expected)


# What is given in a later version, and what it is in the old one.
DOWN = {
    "T5 without a status nothing happens": ({}, {}),
    "T6 infos become pairs, and the annotation keeps them": (
        {"annotations": {}, "status": OTHERS | {INFO_LIST: FULL}},
        {"annotations": {KEPT: COMPACT}, "status": OTHERS | {PAIR_LIST: PAIRS}},
    ),
    "E1 an empty list is one in both places": (
        {"status": {INFO_LIST: []}},
        {"annotations": {KEPT: "[]"}, "status": {PAIR_LIST: []}},
    ),
    "E3 unknown fields of an entry are in both places": (
        {"status": {INFO_LIST: [pair(1) | {"a": {"b": 1.5}}]}},
        {
            "annotations": {KEPT: '[{"a":{"b":1.5},"snapshotHandle":"snapshot-1","volumeHandle":"volume-1"}]'},
            "status": {PAIR_LIST: [pair(1) | {"a": {"b": 1.5}}]},
        },
    ),
    "E4 a time is exact": (
        {"status": {INFO_LIST: [{"creationTime": BIG_TIME}]}},
        {"annotations": {KEPT: f'[{{"creationTime":{BIG_TIME}}}]'}, "status": {PAIR_LIST: [{}]}},
    ),
    "E8 an annotation from earlier goes where there is no status": ({"annotations": {KEPT: "[]"}}, {"annotations": {}}),
    "E8 an annotation from earlier goes where there are no infos": (
        {"annotations": {KEPT: COMPACT, "a": "b"}, "status": {"readyToUse": True}},
        {"annotations": {"a": "b"}, "status": {"readyToUse": True}},
    ),
    "an annotation from earlier is replaced": (
        {"annotations": {KEPT: "nonsense"}, "status": {INFO_LIST: FULL}},
        {"annotations": {KEPT: COMPACT}, "status": {PAIR_LIST: PAIRS}},
    ),
    "E10 a null status stays": ({"status": None}, {"status": None}),
    "E23 null annotations are none": (
        {"annotations": None, "status": {INFO_LIST: []}},
        {"annotations": {KEPT: "[]"}, "status": {PAIR_LIST: []}},
    ),
    "E24 other annotations stay": (
        {"annotations": {"a": "b"}, "status": {INFO_LIST: []}},
        {"annotations": {"a": "b", KEPT: "[]"}, "status": {PAIR_LIST: []}},
    ),
    "pairs that should not be there are replaced": (
        {"status": {INFO_LIST: [full(1)], PAIR_LIST: PAIRS}},
        {"annotations": {KEPT: canonical([full(1)]).decode()}, "status": {PAIR_LIST: [pair(1)]}},
    ),
    "what has no metadata gets them": (
        {"metadata": None, "status": {INFO_LIST: []}},
        {"metadata": {"annotations": {KEPT: "[]"}}, "status": {PAIR_LIST: []}},
    ),
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize(("given", "expected"), DOWN.values(), ids=DOWN.keys())
def test_e14_down_to_the_old_version_from_each_later_one(given: Json, expected: Json, later: str) -> None:
    assert converted(content(later, **given), BETA1) == content(BETA1, **expected)


# JSON text of an info list, and the annotation that Go's encoding/json makes of it.
CANONICAL = {
    "keys are sorted by their bytes": (
        '[{"b":1,"a":2,"Z":3,"é":4,"\\ud83d\\ude00":5,"\\uffff":6}]',
        '[{"Z":3,"a":2,"b":1,"é":4,"\uffff":6,"\U0001f600":5}]',
    ),
    "E21 what is special in HTML and JavaScript is escaped": (
        '[{"a":"<&>\\u2028\\u2029"}]',
        r'[{"a":"\u003c\u0026\u003e\u2028\u2029"}]',
    ),
    "E21 keys are escaped like values": ('[{"<":1}]', r'[{"\u003c":1}]'),
    "E21 quotes, backslashes and control characters": (
        '[{"a":"\\"\\\\\\b\\f\\n\\r\\t\\u0001\\/"}]',
        r'[{"a":"\"\\\b\f\n\r\t\u0001/"}]',
    ),
    "E21 other characters are literal": (
        '[{"a":"\\u00e9\\ud83d\\ude00\\u007f"}]',
        '[{"a":"é\U0001f600\x7f"}]',
    ),
    "E22 whole numbers": ('[{"a":1.0,"b":1e3,"c":-2.50e1,"d":0.0,"e":-0}]', '[{"a":1,"b":1000,"c":-25,"d":0,"e":0}]'),
    "fractions": ('[{"a":1.5,"b":0.000001,"c":-2.75}]', '[{"a":1.5,"b":0.000001,"c":-2.75}]'),
    "very small and very large numbers": (
        '[{"a":1e-7,"b":1.5e300,"c":1e20,"d":1.5e-300,"e":1e-400}]',
        '[{"a":1e-7,"b":1.5e+300,"c":100000000000000000000,"d":1.5e-300,"e":0}]',
    ),
    "constants and what is empty": (
        '[ { "a" : true , "b" : null , "c" : { } , "d" : [ ] } , { } ]',
        '[{"a":true,"b":null,"c":{},"d":[]},{}]',
    ),
}


@pytest.mark.parametrize(("infos", "annotation"), CANONICAL.values(), ids=CANONICAL.keys())
def test_the_annotation_is_what_upstream_writes(infos: str, annotation: str) -> None:
    given = json.dumps(content(V1)).replace('"spec": {}', f'"status": {{"{INFO_LIST}": {infos}}}')
    found = json.loads(bytes(convert(msgspec.Raw(given.encode()), BETA1).object))
    assert found["metadata"]["annotations"][KEPT] == annotation


def kept(text: object) -> Json:
    return {"annotations": {KEPT: text}}


REFUSED_UP = {
    "E5 an annotation that is an object": (kept("{}"), f'metadata.annotations["{KEPT}"] is not a list'),
    "E5 an annotation that is null": (kept("null"), f'metadata.annotations["{KEPT}"] is not a list'),
    "E5 an annotation that is a string": (kept('"x"'), f'metadata.annotations["{KEPT}"] is not a list'),
    "E5 an annotation that is a number": (kept("3"), f'metadata.annotations["{KEPT}"] is not a list'),
    "E6 an annotation of numbers": (kept("[{},2]"), f'metadata.annotations["{KEPT}"][1] is not an object'),
    "an annotation that is empty": (kept(""), f'metadata.annotations["{KEPT}"] is not valid JSON'),
    "an annotation that is no JSON": (kept("[{]"), f'metadata.annotations["{KEPT}"] is not valid JSON'),
    "half a character": (kept('["\\ud800"]'), f'metadata.annotations["{KEPT}"] is not valid JSON'),
    "a number beyond all bounds": (kept('[{"a":1e400}]'), f'metadata.annotations["{KEPT}"] is not valid JSON'),
    "a number of many digits": (kept(f'[{{"a":{"1" * 5000}}}]'), f'metadata.annotations["{KEPT}"] is not valid JSON'),
    "an annotation that is no string": (kept(3), f'metadata.annotations["{KEPT}"] is not a string'),
    "an annotation that is too long": (
        kept("[" + " " * LONGEST_KEPT + "]"),
        f'metadata.annotations["{KEPT}"] is longer than {LONGEST_KEPT} bytes',
    ),
    "an annotation that is nested too deeply": (kept("[" * 100_000), "the object is nested too deeply"),
    "E20 a size beyond 64 bits": (
        kept(f'[{{}},{{"restoreSize":{2**63}}}]'),
        f'metadata.annotations["{KEPT}"][1] has an integer that does not fit into 64 bits',
    ),
    "E20 a time beyond 64 bits, with an exponent": (
        kept('[{"creationTime":1e30}]'),
        f'metadata.annotations["{KEPT}"][0].creationTime is not a 64-bit integer',
    ),
    "E20 an integer beyond 64 bits, deep inside": (
        kept(f'[{{"a":[{{"b":{-(2**63) - 1}}}]}}]'),
        f'metadata.annotations["{KEPT}"][0] has an integer that does not fit into 64 bits',
    ),
    "a size that is no integer": (
        kept('[{"restoreSize":1.5}]'),
        f'metadata.annotations["{KEPT}"][0].restoreSize is not a 64-bit integer',
    ),
    "a size that is a boolean": (
        kept('[{"restoreSize":true}]'),
        f'metadata.annotations["{KEPT}"][0].restoreSize is not a 64-bit integer',
    ),
    "a readiness that is a word": (
        kept('[{"readyToUse":"true"}]'),
        f'metadata.annotations["{KEPT}"][0].readyToUse is not a boolean',
    ),
    "a handle that is a list": (
        kept('[{"volumeHandle":[]}]'),
        f'metadata.annotations["{KEPT}"][0].volumeHandle is not a string',
    ),
    "pairs that are no list": ({"status": {PAIR_LIST: {}}}, f"status.{PAIR_LIST} is not a list"),
    "pairs that are null": ({"status": {PAIR_LIST: None}}, f"status.{PAIR_LIST} is not a list"),
    "a pair that is no object": ({"status": {PAIR_LIST: [{}, []]}}, f"status.{PAIR_LIST}[1] is not an object"),
    "a pair with a strange handle": (
        {"status": {PAIR_LIST: [{"snapshotHandle": {}}]}},
        f"status.{PAIR_LIST}[0].snapshotHandle is not a string",
    ),
    "a status that is no object": ({"status": "fine"}, "status is not a JSON object"),
    "annotations that are no object": ({"annotations": []}, "metadata.annotations is not a JSON object"),
    "metadata that are no object": ({"metadata": []}, "metadata is not a JSON object"),
}


@pytest.mark.parametrize(("given", "reason"), REFUSED_UP.values(), ids=REFUSED_UP.keys())
def test_what_cannot_be_converted_up(given: Json, reason: str) -> None:
    with pytest.raises(Unconvertible) as refusal:
        converted(content(BETA1, **given), V1)
    assert str(refusal.value) == reason


REFUSED_DOWN = {
    "infos that are no list": ({"status": {INFO_LIST: {}}}, f"status.{INFO_LIST} is not a list"),
    "infos that are null": ({"status": {INFO_LIST: None}}, f"status.{INFO_LIST} is not a list"),
    "an info that is no object": ({"status": {INFO_LIST: [{}, 3]}}, f"status.{INFO_LIST}[1] is not an object"),
    "an integer beyond 64 bits": (
        {"status": {INFO_LIST: [{"restoreSize": 2**63}]}},
        f"status.{INFO_LIST}[0] has an integer that does not fit into 64 bits",
    ),
    "a status that is no object": ({"status": []}, "status is not a JSON object"),
    "annotations that are no object": ({"annotations": ""}, "metadata.annotations is not a JSON object"),
}


@pytest.mark.parametrize(("given", "reason"), REFUSED_DOWN.values(), ids=REFUSED_DOWN.keys())
def test_what_cannot_be_converted_down(given: Json, reason: str) -> None:
    with pytest.raises(Unconvertible) as refusal:
        converted(content(V1, **given), BETA1)
    assert str(refusal.value) == reason


# What the object is, and the version that is asked for.
NO_SUCH_CONVERSION = {
    "E15 to itself": (content(V1), V1, f'conversion to itself: the object is in "{V1}" already'),
    "E16 to an unknown version": (
        content(V1),
        f"{GROUP}/v2",
        f'there is no conversion from "{V1}" to "{GROUP}/v2"',
    ),
    "E16 from an unknown version": (
        content(f"{GROUP}/v1alpha1"),
        V1,
        f'there is no conversion from "{GROUP}/v1alpha1" to "{V1}"',
    ),
    "E16 to another group": (content(V1), "snapshot.storage.k8s.io/v1", 'to "snapshot.storage.k8s.io/v1"'),
    "E25 from another group": (
        content("example.com/v1"),
        V1,
        f'there is no conversion from "example.com/v1" to "{V1}"',
    ),
    "E25 from no version": (
        {"kind": "VolumeGroupSnapshotContent"},
        V1,
        f'there is no conversion from "" to "{V1}"',
    ),
    "an unknown kind": (
        content(BETA1) | {"kind": "VolumeGroupSnapshotContentList"},
        V1,
        'objects of the kind "VolumeGroupSnapshotContentList" are not converted',
    ),
    "a kind on several lines": (
        content(BETA1) | {"kind": "a\nb"},
        V1,
        r'objects of the kind "a\nb" are not converted',
    ),
    "no kind": ({"apiVersion": V1}, BETA1, "what is to be converted has no kind"),
    "a kind that is no string": ({"kind": 1}, BETA1, "kind is not a string"),
    "a version that is no string": (
        {"kind": "VolumeGroupSnapshot", "apiVersion": []},
        V1,
        "apiVersion is not a string",
    ),
    "a list": ([], V1, "what is to be converted is not a JSON object"),
    "null": (None, V1, "what is to be converted is not a JSON object"),
}


@pytest.mark.parametrize(("given", "desired", "reason"), NO_SUCH_CONVERSION.values(), ids=NO_SUCH_CONVERSION.keys())
def test_what_there_is_no_conversion_for(given: object, desired: str, reason: str) -> None:
    with pytest.raises(Unconvertible) as refusal:
        convert(msgspec.Raw(json.dumps(given).encode()), desired)
    assert reason in str(refusal.value)


def test_bad_characters_are_refused() -> None:
    given = json.dumps(content(V1, status={INFO_LIST: [pair(1)]})).replace("volume-1", "\udcff")
    with pytest.raises(Unconvertible, match=f"status.{INFO_LIST} is not valid JSON"):
        convert(msgspec.Raw(given.encode(errors="surrogateescape")), BETA1)


@pytest.mark.parametrize("desired", [BETA2, V1, BETA1])
@pytest.mark.parametrize("given", [BETA2, V1, BETA1])
@pytest.mark.parametrize("kind", ["VolumeGroupSnapshot", "VolumeGroupSnapshotClass"])
def test_e17_the_other_kinds_are_the_same_in_all_versions(kind: str, given: str, desired: str) -> None:
    fields = {"kind": kind, "metadata": {"annotations": kept("x")["annotations"]}, "status": {PAIR_LIST: 1}, "new": [1]}
    if given != desired:
        assert converted(fields | {"apiVersion": given}, desired) == fields | {"apiVersion": desired}


@pytest.mark.parametrize(("given", "desired"), [(BETA2, V1), (V1, BETA2)])
def test_e13_the_later_versions_differ_in_their_name_alone(given: str, desired: str) -> None:
    fields: Json = {"annotations": {KEPT: "left"}, "status": {INFO_LIST: 3}}
    assert converted(content(given, **fields), desired) == content(desired, **fields)


def test_what_is_not_concerned_passes_byte_for_byte() -> None:
    text = (
        '{"kind":"VolumeGroupSnapshotContent","apiVersion":"%s","spec": {"a" : 1.0, "b":1e999,"c":"\\u003c"},"x":[ ]}'
    )
    answer = convert(msgspec.Raw((text % BETA1).encode()), V1)
    assert b'"spec":{"a" : 1.0, "b":1e999,"c":"\\u003c"},"x":[ ]' in bytes(answer.object)


INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
HANDLES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["a", "b", "<&>\u2028"])
PAIR = st.fixed_dictionaries({"volumeHandle": HANDLES, "snapshotHandle": HANDLES})
INFO = st.fixed_dictionaries(
    {},
    optional={
        "volumeHandle": HANDLES,
        "snapshotHandle": HANDLES,
        "creationTime": INT64,
        "readyToUse": st.booleans(),
        "restoreSize": INT64,
    },
)
ANNOTATIONS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
STATUS = {
    "volumeGroupSnapshotHandle": HANDLES,
    "readyToUse": st.booleans(),
    "creationTime": st.just("2026-01-01T00:00:00Z"),
    "error": st.fixed_dictionaries({}, optional={"message": st.text(max_size=3)}),
}
SPEC = st.fixed_dictionaries(
    {"driver": st.text(max_size=3), "deletionPolicy": st.sampled_from(["Delete", "Retain"])},
    optional={"source": st.fixed_dictionaries({"volumeHandles": st.lists(HANDLES, max_size=2)})},
)


@st.composite
def contents(draw: st.DrawFn, version: str, list_name: str, entries: st.SearchStrategy[Json]) -> Json:
    """Any content that is valid in a version, without an annotation of ours."""
    made = content(version, annotations=draw(ANNOTATIONS)) if draw(st.booleans()) else content(version)
    made["spec"] = draw(SPEC)
    if draw(st.booleans()):
        made["status"] = draw(st.fixed_dictionaries({}, optional=STATUS | {list_name: st.lists(entries, max_size=4)}))
    return made


def without_empty_annotations(given: Json) -> Json:
    found = copy.deepcopy(given)
    if not found["metadata"].get("annotations", True):
        del found["metadata"]["annotations"]
    return found


@pytest.mark.parametrize("later", LATER)
@given(st.data())
def test_down_and_up_again_gives_the_object_back(later: str, data: st.DataObject) -> None:
    made = data.draw(contents(later, INFO_LIST, INFO))
    there = converted(made, BETA1)
    assert INFO_LIST not in there.get("status", {})
    back = converted(there, later)
    assert without_empty_annotations(back) == without_empty_annotations(made)


@pytest.mark.parametrize("later", LATER)
@given(st.data())
def test_up_and_down_again_gives_the_object_back_but_for_the_annotation(later: str, data: st.DataObject) -> None:
    made = data.draw(contents(BETA1, PAIR_LIST, PAIR))
    if PAIR_LIST in made.get("status", {}) and data.draw(st.booleans()):
        made["metadata"].setdefault("annotations", {})[KEPT] = json.dumps(data.draw(st.lists(INFO, max_size=4)))
    back = converted(converted(made, later), BETA1)
    for each in (made, back):
        each["metadata"].get("annotations", {}).pop(KEPT, None)
    assert without_empty_annotations(back) == without_empty_annotations(made)


@given(st.data())
def test_the_later_versions_agree(data: st.DataObject) -> None:
    old = data.draw(contents(BETA1, PAIR_LIST, PAIR))
    assert converted(old, V1) == converted(old, BETA2) | {"apiVersion": V1}
    new = data.draw(contents(V1, INFO_LIST, INFO))
    assert converted(new, BETA1) == converted(new | {"apiVersion": BETA2}, BETA1)
    assert converted(new, BETA2) == new | {"apiVersion": BETA2}


@given(st.data())
def test_editing_the_pairs_says_which_snapshots_there_are(data: st.DataObject) -> None:
    old = converted(data.draw(contents(V1, INFO_LIST, INFO)), BETA1)
    edited: list[Json] = data.draw(st.lists(PAIR, max_size=4))
    old.setdefault("status", {})[PAIR_LIST] = edited
    infos = converted(old, V1)["status"][INFO_LIST]
    assert [{key: value for key, value in info.items() if key not in EXTRAS} for info in infos] == edited


KEYS = st.sampled_from(["apiVersion", "kind", "metadata", "annotations", "status", KEPT, INFO_LIST, PAIR_LIST, "a"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(ANYTHING, st.sampled_from([BETA1, V1]))
def test_whatever_is_in_an_object_it_is_converted_or_refused(value: Any, desired: str) -> None:
    given = {"kind": "VolumeGroupSnapshotContent", "apiVersion": V1 if desired == BETA1 else BETA1}
    text = json.dumps(value | given if isinstance(value, dict) else given | {"status": value})
    try:
        answer: object = json.loads(bytes(convert(msgspec.Raw(text.encode()), desired).object))
    except Unconvertible as refusal:
        answer = {"refused": str(refusal)}
    assert isinstance(answer, dict)
