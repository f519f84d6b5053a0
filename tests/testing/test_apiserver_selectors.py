"""Label and field selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.selection import field_of
from snapshotter.testing.apiserver.selectors import parse_fields, parse_labels
from snapshotter.testing.apiserver.status import ApiError, Json

LABELS = {"app": "web", "tier": "front", "example.com/x": "", "n": "5"}

SELECTORS: dict[str, bool] = {
    "": True,
    "app=web": True,
    "app==web": True,
    "app = web": True,
    "app=db": False,
    "app!=db": True,
    "app!=web": False,
    "absent!=web": True,
    "app": True,
    "absent": False,
    "!absent": True,
    "!app": False,
    "app in (web,db)": True,
    "app in (db)": False,
    "app in ( db , web )": True,
    "app notin (db)": True,
    "app notin (web)": False,
    "absent notin (web)": True,
    "absent in (web)": False,
    "app=web,tier=front": True,
    "app=web,tier=back": False,
    "app in (web,db),tier notin (a,b),!absent": True,
    "example.com/x=": True,
    "example.com/x": True,
    "example.com/x=y": False,
}


@pytest.mark.parametrize(("text", "expected"), SELECTORS.items(), ids=[text or "empty" for text in SELECTORS])
def test_labels(text: str, expected: bool) -> None:
    assert parse_labels(text).matches_labels(LABELS) is expected


@pytest.mark.parametrize("text", ["===", "a b", "=x", "a in", "a,,b", "-a=b", "a in (b", "!"])
def test_a_label_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert caught.value.code == 400


OBJECT: Json = {
    "metadata": {"name": "one", "namespace": "ns"},
    "spec": {"driver": "a,b=c", "count": 3, "on": True},
    "source": {"component": "kubelet"},
}

FIELDS: dict[str, bool] = {
    "": True,
    "metadata.name=one": True,
    "metadata.name!=one": False,
    "metadata.name==one,metadata.namespace=ns": True,
    r"spec.driver=a\,b\=c": True,
    "spec.count=3": True,
    "spec.on=true": True,
    "spec.absent=": True,
    "spec.absent!=": False,
    "source=kubelet": True,
}


@pytest.mark.parametrize(("text", "expected"), FIELDS.items(), ids=[text or "empty" for text in FIELDS])
def test_fields(text: str, expected: bool) -> None:
    assert parse_fields(text).matches(lambda name: field_of(OBJECT, name)) is expected


@pytest.mark.parametrize("text", ["metadata.name", "=x", "a=b=c"])
def test_a_field_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(text)
    assert caught.value.code == 400


keys = st.sampled_from(["a", "b", "c"])
labels = st.dictionaries(keys, st.sampled_from(["1", "2"]))


@given(labels, keys, st.sets(st.sampled_from(["1", "2", "3"]), min_size=1))
def test_in_and_notin_are_opposites(given_labels: dict[str, str], key: str, values: set[str]) -> None:
    listed = ",".join(values)
    inside = parse_labels(f"{key} in ({listed})").matches_labels(given_labels)
    outside = parse_labels(f"{key} notin ({listed})").matches_labels(given_labels)
    assert inside is (given_labels.get(key) in values)
    assert outside is not inside
