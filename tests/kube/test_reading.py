"""What is read of odd JSON, and what is said of what cannot be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.kube.reading import DEEPEST, Reader, Unreadable, driver_of, mended
from snapshotter.model.content import Content

CONTENTS = Reader(Content)


def content(*, meta: str = "", spec: str = "", rest: str = "") -> bytes:
    """A content, with more in its metadata, its spec, or beside them."""
    return (
        f'{{"metadata":{{"name":"a"{meta}}},"spec":{{"driver":"d","deletionPolicy":"Delete","source":{{}}{spec}}}{rest}}}'
    ).encode()


PLAIN = CONTENTS.read(content())

READ_AS_PLAIN = {
    "a list that is nested deeply, where we do not look": content(spec=',"x":' + "[" * 9000 + "]" * 9000),
    "an object that is nested deeply, where we do not look": content(spec=',"x":' + '{"a":' * 5000 + "1" + "}" * 5000),
    "half of a surrogate pair, where we do not look": content(spec=r',"x":"\ud800"'),
    "half of a surrogate pair for a key": content(spec=r',"\udfff":1'),
    "bytes that are no UTF-8, where we do not look": content(spec=',"x":"@"').replace(b"@", b"\xff\xfe"),
    "null for annotations, finalizers and status": content(meta=',"annotations":null,"finalizers":null'),
    "null in a null": content(meta=',"annotations":null', spec=',"volumeSnapshotRef":{"uid":null}'),
    "a number that no machine holds, where we do not look": content(spec=',"x":' + "9" * 5000),
}


@pytest.mark.parametrize("raw", READ_AS_PLAIN.values(), ids=READ_AS_PLAIN.keys())
def test_what_is_odd_where_we_do_not_look_does_not_matter(raw: bytes) -> None:
    assert CONTENTS.read(raw) == PLAIN


REASONS = {
    "a wrong type": (
        content(spec=',"volumeSnapshotRef":5'),
        "Expected `object`, got `int` - at `$.spec.volumeSnapshotRef`",
    ),
    "a policy that nobody knows": (
        content().replace(b"Delete", b"Destroy"),
        "Invalid enum value 'Destroy' - at `$.spec.deletionPolicy`",
    ),
    "null for what is needed": (
        content().replace(b'"d"', b"null"),
        "Object missing required field `driver` - at `$.spec`",
    ),
    "null in a list": (
        content(meta=',"finalizers":[null]'),
        "Expected `str`, got `null` - at `$.metadata.finalizers[0]`",
    ),
    "null, and a number without bounds": (
        content(meta=',"finalizers":null', spec=',"x":1e400'),
        "Expected `array`, got `null` - at `$.metadata.finalizers`",
    ),
    "null, and a number that Python refuses": (
        content(meta=',"finalizers":null', spec=',"x":' + "9" * 5000),
        "Expected `array`, got `null` - at `$.metadata.finalizers`",
    ),
    "a time without its offset": (
        content(meta=',"creationTimestamp":"2024-01-01T00:00:00"'),
        "Expected `datetime` with a timezone component - at `$.metadata.creationTimestamp`",
    ),
    "a time in nanoseconds that does not fit": (
        content(rest=',"status":{"creationTime":9223372036854775808}'),
        "Expected `int` <= 9223372036854775807 - at `$.status.creationTime`",
    ),
    "what ends too early": (content()[:-1], "Input data was truncated"),
    "brackets that are not closed": (content(spec=',"x":' + "[" * 9000), "Input data was truncated"),
    "what is no JSON": (b"}}]", "JSON is malformed: invalid character (byte 0)"),
}


@pytest.mark.parametrize(("raw", "reason"), REASONS.values(), ids=REASONS.keys())
def test_the_reason_says_where(raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as told:
        CONTENTS.read(raw)
    assert str(told.value) == reason


def test_a_reason_is_short_and_on_one_line_and_still_says_where() -> None:
    with pytest.raises(Unreadable) as told:
        CONTENTS.read(content().replace(b"Delete", b"D\\n\\u001b[31m" + b"x" * 100_000))
    reason = str(told.value)
    assert len(reason) < 400
    assert reason.isprintable()
    assert reason.endswith("at `$.spec.deletionPolicy`")


def test_halves_of_pairs_become_what_go_makes_of_them() -> None:
    # The second is a whole pair, and the third an escaped backslash before plain letters.
    assert json.loads(mended(rb'["\ud800x", "\ud83d\udcbe", "\\ud800", "\u0041"]')) == [
        "�x",
        "\U0001f4be",
        r"\ud800",
        "A",
    ]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_sound_is_left_as_it_is(value: object) -> None:
    raw = json.dumps(value).encode()
    assert json.loads(mended(raw)) == json.loads(mended(mended(raw)))
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        assert mended(text.encode()) == text.encode()


@pytest.mark.parametrize("levels", [DEEPEST - 1, DEEPEST, DEEPEST + 1])
def test_what_is_nested_too_deeply_is_left_out(levels: int) -> None:
    raw = b'{"a":' * levels + b"1" + b"}" * levels
    kept = min(levels, DEEPEST)
    assert mended(raw) == b'{"a":' * kept + (b"1" if kept == levels else b"null") + b"}" * kept


DRIVERS = {
    "a driver": (content(spec=',"x":[1]').replace(b'"Delete"', b"5"), "d"),
    "no driver": (b'{"spec":{}}', None),
    "a driver that is no text": (b'{"spec":{"driver":5}}', None),
    "no spec": (b"{}", None),
    "a spec that is no object": (b'{"spec":[]}', None),
}


@pytest.mark.parametrize(("raw", "driver"), DRIVERS.values(), ids=DRIVERS.keys())
def test_whose_a_content_is_can_be_told_though_the_rest_is_odd(raw: bytes, driver: str | None) -> None:
    assert driver_of(raw) == driver
