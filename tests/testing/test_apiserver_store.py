"""The store, its history, and lists in pages."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.testing.apiserver.lists import Token, page
from snapshotter.testing.apiserver.selection import Selection
from snapshotter.testing.apiserver.selectors import parse_labels
from snapshotter.testing.apiserver.status import ApiError, Json
from snapshotter.testing.apiserver.store import Change, Expired, Resource, Store, Stored

THINGS: Resource = ("", "things")
OTHERS: Resource = ("", "others")


def thing(name: str, **labels: str) -> Json:
    return {"kind": "Thing", "metadata": {"name": name, "uid": name, "labels": labels}}


def put(store: Store, name: str, namespace: str = "", **labels: str) -> Stored:
    return store.put(THINGS, (namespace, name), thing(name, **labels))


def names(found: list[Stored]) -> list[str]:
    return [stored.key[1] for stored in found]


def test_versions_count_all_writes() -> None:
    store = Store()
    versions = [put(store, "a").version, store.put(OTHERS, ("", "b"), thing("b")).version, put(store, "a").version]
    assert versions == [1, 2, 3]
    assert store.remove(THINGS, ("", "a")).version == 4
    assert store.version == 4


def test_the_version_stands_in_the_object() -> None:
    store = Store()
    put(store, "a")
    gone = store.remove(THINGS, ("", "a"))
    assert gone.object["metadata"]["resourceVersion"] == "2"
    assert b'"resourceVersion":"2"' in gone.encoded


def test_a_fresh_copy_changes_nothing() -> None:
    store = Store()
    stored = put(store, "a")
    stored.fresh()["metadata"]["name"] = "b"
    assert stored.object["metadata"]["name"] == "a"


def test_objects_are_listed_by_namespace_and_name() -> None:
    store = Store()
    for namespace, name in (("y", "a"), ("x", "b"), ("x", "a")):
        put(store, name, namespace)
    assert [stored.key for stored in store.all(THINGS)] == [("x", "a"), ("x", "b"), ("y", "a")]
    assert names(store.all(THINGS, "x")) == ["a", "b"]


def test_the_history_tells_what_happened_since() -> None:
    store = Store()
    put(store, "a")
    put(store, "b")
    put(store, "a")
    store.remove(THINGS, ("", "b"))
    assert [(change.type, change.new.key[1]) for change in store.changes_since(THINGS, 1)] == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "b"),
    ]
    assert store.changes_since(THINGS, 4) == []


def test_listeners_hear_of_each_write() -> None:
    store = Store()
    heard: list[tuple[Resource, Change]] = []
    store.listen(lambda resource, change: heard.append((resource, change)))
    put(store, "a")
    store.remove(THINGS, ("", "a"))
    assert [(resource, change.type, change.version) for resource, change in heard] == [
        (THINGS, "ADDED", 1),
        (THINGS, "DELETED", 2),
    ]


def test_a_compacted_history_is_expired() -> None:
    store = Store()
    put(store, "a")
    store.compact()
    put(store, "b")
    with pytest.raises(Expired):
        store.changes_since(THINGS, 0)
    assert [change.new.key[1] for change in store.changes_since(THINGS, 1)] == ["b"]


def test_a_long_history_forgets_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshotter.testing.apiserver.store._HISTORY_LENGTH", 10)
    store = Store()
    for _ in range(30):
        put(store, "a")
    assert 0 < store.compacted < 30
    assert len(store.changes_since(THINGS, store.compacted)) == 30 - store.compacted
    with pytest.raises(Expired):
        store.changes_since(THINGS, store.compacted - 1)


writes = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=25)


@given(writes)
def test_the_past_can_be_listed_as_it_was(steps: list[tuple[str, bool]]) -> None:
    store = Store()
    past = {0: store.all(THINGS)}
    for name, present in steps:
        if present:
            put(store, name)
        elif store.get(THINGS, ("", name)):
            store.remove(THINGS, ("", name))
        past[store.version] = store.all(THINGS)
    for version, expected in past.items():
        assert store.all_at(THINGS, version) == expected


@given(writes, writes, st.integers(1, 5))
def test_pages_together_are_the_list_as_it_was_at_the_first(
    before: list[tuple[str, bool]], meanwhile: list[tuple[str, bool]], limit: int
) -> None:
    store = Store()
    for name, _ in before:
        put(store, name)
    expected = store.all(THINGS)
    changes = itertools.cycle([*meanwhile, ("a", True)])
    found: list[Stored] = []
    query = {"limit": str(limit)}
    while True:
        got = page(store, THINGS, Selection(), query)
        found += got.items
        if not got.token:
            break
        assert got.remaining == len(expected) - len(found)
        query = {"limit": str(limit), "continue": got.token}
        name, present = next(changes)
        if present:
            put(store, name)
        elif store.get(THINGS, ("", name)):
            store.remove(THINGS, ("", name))
    assert found == expected


def test_a_filtered_page_does_not_say_how_many_remain() -> None:
    store = Store()
    for name in "abcd":
        put(store, name, odd=str(name in "ac"))
    got = page(store, THINGS, Selection(labels=parse_labels("odd=True")), {"limit": "1"})
    assert (names([*got.items]), got.remaining, bool(got.token)) == (["a"], None, True)


def test_an_expired_page_offers_to_go_on_from_now() -> None:
    store = Store()
    for name in "abc":
        put(store, name)
    token = page(store, THINGS, Selection(), {"limit": "1"}).token
    put(store, "d")
    store.compact()
    with pytest.raises(ApiError) as caught:
        page(store, THINGS, Selection(), {"limit": "1", "continue": token})
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    anew = caught.value.body()["metadata"]["continue"]
    assert names([*page(store, THINGS, Selection(), {"continue": anew}).items]) == ["b", "c", "d"]


def test_a_list_at_an_exact_version_is_the_past() -> None:
    store = Store()
    put(store, "a")
    put(store, "b")
    got = page(store, THINGS, Selection(), {"resourceVersion": "1", "resourceVersionMatch": "Exact"})
    assert (names([*got.items]), got.version) == (["a"], 1)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"continue": "nonsense"}, 400),
        ({"limit": "many"}, 400),
        ({"resourceVersion": "x"}, 400),
        ({"resourceVersion": "99"}, 504),
        ({"resourceVersion": "1", "resourceVersionMatch": "Exact"}, 410),
    ],
)
def test_what_cannot_be_listed_is_refused(query: dict[str, str], code: int) -> None:
    store = Store()
    put(store, "a")
    put(store, "b")
    store.compact()
    with pytest.raises(ApiError) as caught:
        page(store, THINGS, Selection(), query)
    assert caught.value.code == code


@given(st.integers(0), st.text(), st.text())
def test_a_token_is_read_as_it_was_written(version: int, namespace: str, name: str) -> None:
    token = Token(version, namespace, name)
    assert Token.decode(token.encode()) == token


EDGE = {
    "what comes in is added": (None, {"a": "1"}, "ADDED"),
    "what stays in is modified": ({"a": "1"}, {"a": "1", "b": "2"}, "MODIFIED"),
    "what enters is added": ({}, {"a": "1"}, "ADDED"),
    "what leaves is deleted": ({"a": "1"}, {}, "DELETED"),
    "what stays out is not seen": ({}, {"b": "1"}, None),
    "what goes is deleted": ({"a": "1"}, None, "DELETED"),
    "what goes outside is not seen": ({}, None, None),
}


@pytest.mark.parametrize(("before", "after", "seen"), EDGE.values(), ids=EDGE.keys())
def test_a_change_at_the_edge_of_a_selection(
    before: dict[str, str] | None, after: dict[str, str] | None, seen: str | None
) -> None:
    store = Store()
    if before is not None:
        put(store, "x", **before)
    start = store.version
    if after is None:
        store.remove(THINGS, ("", "x"))
    else:
        put(store, "x", **after)
    (change,) = store.changes_since(THINGS, start)
    event = Selection(labels=parse_labels("a=1")).event(change)
    assert (event and event[0]) == seen
    if event is not None:
        assert event[1].object["metadata"]["resourceVersion"] == str(store.version)


def test_what_leaves_a_selection_is_shown_as_it_was_inside() -> None:
    store = Store()
    put(store, "x", a="1")
    put(store, "x")
    event = Selection(labels=parse_labels("a=1")).event(store.changes_since(THINGS, 1)[0])
    assert event is not None
    assert event[1].object["metadata"]["labels"] == {"a": "1"}
