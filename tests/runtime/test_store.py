"""The last known state of objects: never older than what was once known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshotter.runtime.store import SetAside, Store, is_newer, is_older
from tests.runtime.things import Thing, thing

NEWER = {
    "a later number": ("2", "1", True),
    "the same number": ("1", "1", False),
    "an earlier number": ("1", "2", False),
    "numbers are compared as numbers (case 68)": ("10", "2", True),
    "an earlier number of more digits": ("2", "10", False),
    "leading zeros mean nothing": ("010", "10", False),
    "numbers beyond 64 bits": (str(2**80 + 1), str(2**80), True),
    "a number that Python refuses is taken for none": ("9" * 5000, "8" * 5000, True),
    "what is not a number, after one (case 69)": ("xxx", "1", True),
    "a number after what is not one": ("1", "xxx", True),
    "the same, not a number": ("xxx", "xxx", False),
    "another, not a number": ("yyy", "xxx", True),
    "a version where none was": ("1", "", True),
    "no version where one was": ("", "1", True),
    "a negative number is not a version": ("-1", "1", True),
}


@pytest.mark.parametrize(("new", "old", "expected"), NEWER.values(), ids=NEWER.keys())
def test_a_version_is_newer(new: str, old: str, expected: bool) -> None:
    assert is_newer(new, old) is expected


def test_numbers_that_python_refuses_are_not_told_to_be_older() -> None:
    assert is_older("1", "2")
    assert not is_older("8" * 5000, "9" * 5000)


def filled(*things: Thing) -> Store[Thing]:
    store: Store[Thing] = Store()
    for item in things:
        store.put(item)
    return store


def test_versions_are_taken_in_as_they_grow() -> None:
    """Case 68; of the snapshot-controller case 174."""
    store = filled()
    assert [store.put(thing("a", version)) for version in (1, 1, 2, 1, 10)] == [True, False, True, False, True]
    assert store.get("a") == thing("a", 10)


ENDS = {
    "after the version that is known": (5, 6, True),
    "at the version that is known": (5, 5, True),
    "before what is known from later, which is another object": (5, 4, False),
    "at a version that is not a number": (5, "xxx", True),
    "after a version that is not a number": ("xxx", 5, True),
}


@pytest.mark.parametrize(("known", "ended", "gone"), ENDS.values(), ids=ENDS.keys())
def test_an_object_ends(known: int | str, ended: int | str, gone: bool) -> None:
    store = filled(thing("a", known))
    assert store.end("a", str(ended)) == (thing("a", known) if gone else None)
    assert store.get("a") == (None if gone else thing("a", known))


@given(st.lists(st.integers(min_value=0, max_value=20), min_size=1))
def test_the_newest_version_stays_whatever_the_order(versions: list[int]) -> None:
    store = filled(*(thing("a", version) for version in versions))
    assert store.get("a") == thing("a", max(versions))


def test_objects_are_told_apart_by_name() -> None:
    store = filled(thing("a", 5), thing("b", 3))
    assert store.keys() == {"a", "b"}
    assert len(store) == 2
    assert sorted(store, key=lambda item: item.key) == [thing("a", 5), thing("b", 3)]
    assert store.get("c") is None


def test_the_store_may_change_while_it_is_walked() -> None:
    store = filled(thing("a", 1), thing("b", 1))
    for item in store:
        store.remove(item.key)
    assert len(store) == 0


def test_what_is_removed_is_given_back_once() -> None:
    """Case 70."""
    store = filled(thing("a", 1))
    assert store.remove("a") == thing("a", 1)
    assert store.remove("a") is None


RECORDED: dict[str, tuple[Thing | None, Thing, Thing | None]] = {
    "what was written takes the place of what was known": (thing("a", 1), thing("a", 2), thing("a", 2)),
    "an answer that is late does not undo what came after": (thing("a", 3), thing("a", 2), thing("a", 3)),
    "an object that is gone stays away": (None, thing("a", 2), None),
    "an object that lost its last finalizer is gone": (
        thing("a", 1, deleting=True),
        thing("a", 1, deleting=True, finalizers=()),
        None,
    ),
    "an object that has other finalizers stays": (
        thing("a", 1, deleting=True, finalizers=("f", "g")),
        thing("a", 2, deleting=True, finalizers=("g",)),
        thing("a", 2, deleting=True, finalizers=("g",)),
    ),
    "an object without finalizers that nobody deletes stays": (
        thing("a", 1),
        thing("a", 2, finalizers=()),
        thing("a", 2, finalizers=()),
    ),
}


@pytest.mark.parametrize(("known", "written", "expected"), RECORDED.values(), ids=RECORDED.keys())
def test_an_answer_to_a_write_of_ours_is_taken_in(known: Thing | None, written: Thing, expected: Thing | None) -> None:
    store = filled(*([known] if known else []))
    store.record(written)
    assert store.get("a") == expected


def test_a_late_answer_about_an_object_that_is_gone_does_not_touch_its_successor() -> None:
    store = filled(thing("a", 9, uid="second"))
    store.record(thing("a", 5, uid="first", deleting=True, finalizers=()))
    assert store.get("a") == thing("a", 9, uid="second")


def test_what_we_created_is_taken_in_before_the_watch_tells_of_it() -> None:
    store = filled(thing("a", 1))
    store.told_up_to("1")
    store.add(thing("b", 2))
    assert store.get("b") == thing("b", 2)


def test_what_we_created_stays_away_when_the_watch_has_seen_it_come_and_go() -> None:
    store = filled()
    store.told_up_to("5")
    store.add(thing("b", 2))
    assert store.get("b") is None


def test_the_answer_to_a_creation_does_not_undo_what_came_after() -> None:
    store = filled(thing("a", 3))
    store.told_up_to("3")
    store.add(thing("a", 2))
    assert store.get("a") == thing("a", 3)


def test_an_index_knows_what_was_there_before_it() -> None:
    store = filled(thing("a", 1, uid="x"), thing("b", 1, uid="y"))
    index = store.index(lambda item: [item.metadata.uid])
    assert index.of("x") == (thing("a", 1, uid="x"),)
    assert index.of("z") == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "remove", "end", "record", "add"]),
            st.sampled_from("abc"),
            st.integers(1, 9),
            st.sampled_from(["x", "y", ""]),
            st.booleans(),
        )
    )
)
def test_an_index_is_what_one_finds_by_looking_at_all(steps: list[tuple[str, str, int, str, bool]]) -> None:
    store: Store[Thing] = Store()
    index = store.index(values_of)
    for step, key, version, uid, last in steps:
        item = thing(key, version, uid=uid, deleting=last, finalizers=() if last else ("f",))
        match step:
            case "put":
                store.put(item)
            case "remove":
                store.remove(key)
            case "end":
                store.end(key, str(version))
            case "record":
                store.record(item)
            case "add":
                store.add(item)
        for value in ("x", "y", "all"):
            assert {item.key for item in index.of(value)} == {item.key for item in store if value in values_of(item)}


def values_of(item: Thing) -> list[str]:
    """Some things have several values, and some have none."""
    return [item.metadata.uid, "all"] if item.metadata.uid else []


def test_what_cannot_be_understood_is_known_and_not_there() -> None:
    store = filled(thing("a", 1))
    index = store.index(lambda item: [item.metadata.uid])
    odd = SetAside("a", "2", "odd")
    assert store.set_aside(odd)
    assert (store.get("a"), store.trouble_with("a"), store.troubles()) == (None, odd, (odd,))
    assert index.of("u") == ()
    assert store.keys() == {"a"}
    assert not store.set_aside(odd), "it is known"
    assert store.put(thing("a", 3))
    assert (store.get("a"), store.trouble_with("a")) == (thing("a", 3), None)


LATE: dict[str, tuple[str, bool]] = {"a later version": ("6", True), "an earlier one": ("4", False)}


@pytest.mark.parametrize(("version", "counts"), LATE.values(), ids=LATE.keys())
def test_what_cannot_be_understood_obeys_versions(version: str, counts: bool) -> None:
    store = filled(thing("a", 5))
    assert store.set_aside(SetAside("a", version, "odd")) is counts
    store = filled()
    store.set_aside(SetAside("a", "5", "odd"))
    assert store.put(thing("a", version)) is counts
    store = filled()
    store.set_aside(SetAside("a", "5", "odd"))
    store.end("a", version)
    assert (store.trouble_with("a") is None) is counts


def test_an_answer_does_not_bring_back_what_cannot_be_understood_any_more() -> None:
    store = filled(thing("a", 1))
    store.set_aside(SetAside("a", "5", "odd"))
    store.record(thing("a", 4))
    store.add(thing("a", 4))
    assert store.get("a") is None
    assert store.trouble_with("a") is not None
