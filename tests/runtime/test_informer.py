"""The informer beside a far side that follows a script: the store, what is told, and how often is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from snapshotter.runtime.informer import (
    Bookmark,
    Changed,
    Informer,
    Page,
    Refused,
    Removed,
    SourceError,
    VersionExpired,
)
from snapshotter.runtime.store import SetAside, Store
from snapshotter.runtime.workqueue import Backoff
from tests.runtime.scripted import FOR_EVER, Answer, Pages, Scripted, Silence, Step
from tests.runtime.things import Thing, thing
from tests.runtime.virtual import now, settle

pytestmark = pytest.mark.looptime

Told = tuple[Thing | None, Thing | None]


class Watching:
    """An informer at work, its store, and what it has told."""

    def __init__(self, source: Scripted) -> None:
        self.source = source
        self.store: Store[Thing] = Store()
        self.told: list[Told] = []
        self.odd: list[str] = []
        self.informer = Informer(
            source,
            self.store,
            self._tell,
            what="things",
            on_set_aside=self.odd.append,
            backoff=Backoff(start=0.2, maximum=10.0, jitter=0.0),
        )

    def _tell(self, old: Thing | None, new: Thing | None) -> None:
        if new is not None:
            assert self.store.get(new.key) == new, "the store has it before it is told"
        elif old is not None:
            assert self.store.get(old.key) is None
        self.told.append((old, new))

    def objects(self) -> set[Thing]:
        return set(self.store)


@asynccontextmanager
async def watching(
    lists: Iterable[Answer], watches: Iterable[Sequence[Step]] = ((FOR_EVER,),)
) -> AsyncIterator[Watching]:
    world = Watching(Scripted(lists, watches))
    task = asyncio.create_task(world.informer.run())
    await settle()
    try:
        yield world
        assert not task.done(), "an informer works for ever"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def listing(version: int | str, *things: Thing) -> Page[Thing]:
    return Page(things, str(version))


def thing_changed(name: str, version: int) -> Changed[Thing]:
    return Changed(thing(name, version))


A1, A5, A6, A7 = (thing("a", version) for version in (1, 5, 6, 7))
B2, B6 = thing("b", 2), thing("b", 6)


async def test_the_list_fills_the_store_and_is_told() -> None:
    async with watching([listing(3, A1, B2)]) as world:
        assert world.informer.synced.is_set()
        assert world.objects() == {A1, B2}
        assert sorted(world.told, key=str) == sorted([(None, A1), (None, B2)], key=str)
        assert world.source.watched_from == ["3"]
        assert world.informer.what == "things"


async def test_nothing_is_synced_before_the_first_list() -> None:
    async with watching([SourceError("no"), SourceError("no"), listing(3)]) as world:
        assert not world.informer.synced.is_set()
        assert world.informer.seconds_since_contact() is None
        await asyncio.sleep(5)
        assert world.informer.synced.is_set()


async def test_what_happens_is_told_in_order_and_the_store_has_it() -> None:
    events: list[Step] = [Changed(A5), Changed(B6), Removed("a", "7"), FOR_EVER]
    async with watching([listing(3, A1)], [events]) as world:
        assert world.told == [(None, A1), (A1, A5), (None, B6), (A5, None)]
        assert world.objects() == {B6}


async def test_the_end_of_an_object_that_nobody_knew_is_not_told() -> None:
    async with watching([listing(3)], [[Removed("a", "5"), FOR_EVER]]) as world:
        assert world.told == []


async def test_a_watch_that_ends_in_good_time_begins_again_at_once_where_it_ended() -> None:
    watches: list[list[Step]] = [
        [Silence(30), Changed(A5)],
        [Silence(30), Bookmark("9")],
        [Silence(30), Removed("a", "11")],
        [FOR_EVER],
    ]
    async with watching([listing(3, A1)], watches) as world:
        await asyncio.sleep(100)
        assert world.source.watched_from == ["3", "5", "9", "11"]
        assert [round(time - world.source.watched_at[0], 3) for time in world.source.watched_at] == [0, 30, 60, 90]
        assert len(world.source.listed_at) == 1


async def test_our_own_write_is_not_told_when_the_watch_brings_it() -> None:
    """Promise 4."""
    events: list[Step] = [Silence(10), Changed(A5), Silence(10), Changed(A6), FOR_EVER]
    async with watching([listing(3, A1)], [events]) as world:
        world.store.record(A5)
        await asyncio.sleep(15)
        assert world.told == [(None, A1)]
        await asyncio.sleep(10)
        assert world.told == [(None, A1), (A5, A6)]


async def test_events_that_lag_behind_our_own_write_are_not_told() -> None:
    """Promise 5: somebody's write in between was seen by our own, for that answers with the whole object."""
    events: list[Step] = [Silence(10), Changed(A5), Changed(A6), Changed(A7), FOR_EVER]
    async with watching([listing(3, A1)], [events]) as world:
        world.store.record(A6)
        await asyncio.sleep(15)
        assert world.told == [(None, A1), (A6, A7)]


async def test_an_event_that_overtakes_the_answer_of_our_write_is_told_once() -> None:
    async with watching([listing(3, A1)], [[Changed(A5), FOR_EVER]]) as world:
        world.store.record(A5)
        assert world.told == [(None, A1), (A1, A5)]
        assert world.objects() == {A5}


async def test_late_events_do_not_bring_back_what_we_have_let_go() -> None:
    """Promise 4."""
    cleared, released = thing("a", 5, deleting=True), thing("a", 5, deleting=True, finalizers=())
    events: list[Step] = [Silence(10), Changed(cleared), Silence(10), Removed("a", "6"), FOR_EVER]
    async with watching([listing(3, thing("a", 3, deleting=True))], [events]) as world:
        del world.told[:]
        world.store.record(cleared)
        world.store.record(released)
        await asyncio.sleep(15)
        assert world.objects() == set()
        await asyncio.sleep(15)
        assert world.told == []


async def test_an_object_made_anew_after_we_have_let_it_go_is_told() -> None:
    """Promise 5."""
    known = thing("a", 3, deleting=True)
    events: list[Step] = [Silence(10), Changed(thing("a", 4, deleting=True)), Removed("a", "6"), Changed(A7), FOR_EVER]
    async with watching([listing(3, known)], [events]) as world:
        world.store.record(thing("a", 4, deleting=True, finalizers=()))
        await asyncio.sleep(15)
        assert world.told == [(None, known), (None, A7)]
        assert world.objects() == {A7}


async def test_what_we_have_let_go_and_the_watch_missed_may_be_made_anew() -> None:
    """Promise 5."""
    known = thing("a", 3, deleting=True)
    lists = [listing(3, known), listing(9), listing(12, thing("a", 11))]
    watches: list[list[Step]] = [
        [Silence(10), VersionExpired("gone")],
        [Silence(10), VersionExpired("gone")],
        [FOR_EVER],
    ]
    async with watching(lists, watches) as world:
        world.store.record(thing("a", 3, deleting=True, finalizers=()))
        await asyncio.sleep(30)
        assert world.objects() == {thing("a", 11)}
        assert world.told == [(None, known), (None, thing("a", 11))]


async def test_the_late_end_of_an_earlier_object_does_not_take_its_successor_along() -> None:
    """Promise 5. The successor is known already because a write of ours was answered with it."""
    successor = thing("a", 8, uid="second")
    events: list[Step] = [
        Silence(10),
        Removed("a", "6"),
        Changed(thing("a", 7, uid="second")),
        Changed(successor),
        FOR_EVER,
    ]
    async with watching([listing(3, A1)], [events]) as world:
        world.store.record(successor)
        await asyncio.sleep(15)
        assert world.objects() == {successor}
        assert world.told == [(None, A1)], "what our own write was answered with is not told again"


async def test_versions_that_are_not_numbers_are_taken_as_they_come() -> None:
    """Case 69."""
    first, second = thing("a", "aaa"), thing("a", "0x1")
    async with watching([listing("x", first)], [[Changed(second), Changed(second), FOR_EVER]]) as world:
        assert world.objects() == {second}
        assert world.told == [(None, first), (first, second)]


async def test_the_end_of_an_object_is_believed_when_versions_are_not_numbers() -> None:
    """Case 69."""
    first = thing("a", "aaa")
    async with watching([listing("x", first)], [[Removed("a", "bbb"), FOR_EVER]]) as world:
        assert world.objects() == set()
        assert world.told == [(None, first), (first, None)]


async def test_a_list_is_believed_when_versions_are_not_numbers() -> None:
    """Case 69."""
    lists = [listing("x", thing("a", "aaa"), thing("b", "bbb")), listing("y", thing("b", "ccc"))]
    async with watching(lists, [[Silence(10), VersionExpired("too old")], [FOR_EVER]]) as world:
        await asyncio.sleep(15)
        assert world.objects() == {thing("b", "ccc")}


async def test_numbers_after_what_is_not_a_number_do_not_lead_back_in_time() -> None:
    """Case 69."""
    async with watching([listing("x", A1)], [[Silence(10), Changed(A5), FOR_EVER]]) as world:
        await asyncio.sleep(15)
        assert world.objects() == {A5}
        assert len(world.source.listed_at) == 1


async def test_listing_again_finds_what_the_watch_has_missed() -> None:
    """Promise 11: 410."""
    lists = [listing(3, A1, B2), listing(9, A5, thing("c", 8))]
    async with watching(lists, [[Silence(10), VersionExpired("too old")], [FOR_EVER]]) as world:
        del world.told[:]
        await asyncio.sleep(15)
        assert world.objects() == {A5, thing("c", 8)}
        assert sorted(world.told, key=str) == sorted([(A1, A5), (B2, None), (None, thing("c", 8))], key=str)
        assert world.source.watched_from == ["3", "9"]


async def test_listing_again_tells_nothing_that_is_known() -> None:
    async with watching(
        [listing(3, A1, B2), listing(9, A5, B2)], [[Silence(10), VersionExpired("too old")], [FOR_EVER]]
    ) as world:
        world.store.record(A5)
        del world.told[:]
        await asyncio.sleep(15)
        assert world.told == []


async def test_a_list_that_is_older_than_our_own_write_does_not_undo_it() -> None:
    lists = [listing(3, A1), listing(5, A5)]
    async with watching(lists, [[Silence(10), VersionExpired("too old")], [Changed(A6), FOR_EVER]]) as world:
        world.store.record(A6)
        await asyncio.sleep(15)
        assert world.objects() == {A6}
        assert world.told == [(None, A1)]


async def test_a_server_restored_from_a_backup_is_believed() -> None:
    """Promise 11."""
    old_a, old_b = thing("a", 20), thing("b", 21)
    lists = [listing(30, old_a, old_b), listing(9, A5, thing("c", 7))]
    a10 = thing("a", 10)
    async with watching(lists, [[Silence(10), VersionExpired("in the future")], [Changed(a10), FOR_EVER]]) as world:
        await asyncio.sleep(15)
        assert world.objects() == {a10, thing("c", 7)}
        assert (old_a, A5) in world.told
        assert (old_b, None) in world.told


async def test_a_server_that_turns_out_on_a_watch_to_have_gone_back_in_time_is_listed_again() -> None:
    """Promise 11: restored from a backup, it does not know that our version lies in the future."""
    lists = [listing(30, thing("a", 20)), listing(9, A5)]
    async with watching(lists, [[Silence(10), Bookmark("9"), Silence(30)], [Silence(30)]]) as world:
        await asyncio.sleep(60)
        assert world.objects() == {A5}


def long_list(version: int, *pages: Sequence[Thing]) -> Pages:
    """A list of pages that are a second apart."""
    steps: list[Page[Thing] | Silence] = []
    for number, things in enumerate(pages, 1):
        steps += Page(tuple(things), str(version), more=number < len(pages)), Silence(1)
    return steps[:-1]


C4, C9, D9 = thing("c", 4), thing("c", 9), thing("d", 9)


async def test_what_is_new_waits_for_no_other_page_of_a_long_list() -> None:
    lists = [long_list(6, [A5], [B2], [C4])]
    async with watching(lists, [[Changed(D9), FOR_EVER], [FOR_EVER]]) as world:
        assert world.told == [(None, A5), (None, D9)]
        assert not world.informer.synced.is_set()
        await asyncio.sleep(5)
        assert world.objects() == {A5, B2, C4, D9}
        assert world.informer.synced.is_set()
        assert world.source.watched_from == ["6", "9"]


MEANWHILE: dict[str, tuple[Step, set[Thing]]] = {
    "changed before its page comes": (Changed(C9), {A5, B2, C9}),
    "changed after its page came": (Changed(thing("a", 9)), {thing("a", 9), B2, C4}),
    "gone before its page comes": (Removed("c", "9"), {A5, B2}),
    "gone after its page came": (Removed("a", "9"), {B2, C4}),
    "not to be understood any more before its page comes": (SetAside("c", "9", "odd"), {A5, B2}),
    "nothing": (Bookmark("9"), {A5, B2, C4}),
    "an error": (SourceError("reset"), {A5, B2, C4}),
    "an expired version": (VersionExpired("too old"), {A5, B2, C4}),
}


@pytest.mark.parametrize("known_before", [[], [thing("a", 1), B2, thing("c", 3), thing("x", 3)]])
@pytest.mark.parametrize(("event", "expected"), MEANWHILE.values(), ids=MEANWHILE)
async def test_what_happens_while_a_long_list_is_read_holds(
    event: Step, expected: set[Thing], known_before: list[Thing]
) -> None:
    lists: list[Answer] = [listing(3, *known_before), long_list(6, [A5], [B2], [C4])]
    watches: list[list[Step]] = [[Silence(10), VersionExpired("too old")], [event, FOR_EVER], [FOR_EVER]]
    async with watching(lists, watches) as world:
        await asyncio.sleep(20)
        assert world.objects() == expected
        told = [new for _, new in world.told if new is not None]
        assert len(told) == len(set(told)), "nothing is told twice"


async def test_without_numbers_as_versions_the_watch_beside_a_list_is_believed() -> None:
    old, new = (replace(A1, metadata=replace(A1.metadata, resource_version=version)) for version in ("x", "y"))
    pages: Pages = [Page((), "v", more=True), Silence(1), Page((old,), "v")]
    async with watching([pages], [[Changed(new), FOR_EVER], [FOR_EVER]]) as world:
        await asyncio.sleep(5)
        assert world.objects() == {new}


async def test_a_long_list_of_a_restored_server_is_read_before_it_is_watched() -> None:
    """Promise 11: events of its future are older than what we know."""
    lists: list[Answer] = [listing(30, thing("a", 20), thing("b", 21)), long_list(9, [A5], [thing("c", 7)])]
    async with watching(lists, [[Silence(10), VersionExpired("in the future")], [FOR_EVER]]) as world:
        await asyncio.sleep(10.5)
        assert world.source.watched_from == ["30"]
        await asyncio.sleep(5)
        assert world.objects() == {A5, thing("c", 7)}
        assert world.source.watched_from == ["30", "9"]


async def test_a_long_list_that_breaks_off_is_begun_again_and_takes_nothing_back() -> None:
    broken: Pages = [Page((A5,), "6", more=True), Silence(1), SourceError("reset")]
    lists: list[Answer] = [listing(3, A1, B2), broken, long_list(12, [A5], [C9])]
    watches: list[list[Step]] = [[Silence(10), VersionExpired("too old")], [Changed(C9), FOR_EVER], [FOR_EVER]]
    async with watching(lists, watches) as world:
        await asyncio.sleep(11.5)
        assert world.objects() == {A5, B2, C9}, "whether b is there nobody has told yet"
        await asyncio.sleep(5)
        assert world.objects() == {A5, C9}
        assert len(world.source.listed_at) == 3


async def test_after_an_error_the_watch_goes_on_where_it_was() -> None:
    """Promise 11: a reset connection, an error frame."""
    watches: list[list[Step]] = [[Changed(A5), SourceError("reset")], [Changed(A6), FOR_EVER]]
    async with watching([listing(3, A1)], watches) as world:
        await asyncio.sleep(1)
        assert world.source.watched_from == ["3", "5"]
        assert world.told == [(None, A1), (A1, A5), (A5, A6)]


async def test_the_first_interruption_after_a_good_time_is_mended_at_once() -> None:
    watches: list[list[Step]] = [[Silence(30), SourceError("reset")], [Silence(30), SourceError("reset")], [FOR_EVER]]
    async with watching([listing(3)], watches) as world:
        started = world.source.watched_at[0]
        await asyncio.sleep(70)
        assert [round(time - started, 1) for time in world.source.watched_at] == [0, 30, 60]


async def test_further_interruptions_are_mended_more_and_more_slowly() -> None:
    async with watching([listing(3)], [[SourceError("refused")]]) as world:
        await asyncio.sleep(60)
        waits = [round(later - earlier, 1) for earlier, later in pairwise(world.source.watched_at)]
        assert waits == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0][: len(waits)]


async def test_a_server_that_says_when_is_asked_again_then() -> None:
    """Such as one that loads what it serves (429): the backoff would go on after it is there."""
    busy: list[Step] = [SourceError("busy", retry_after=1.0)]
    async with watching([listing(3, A1)], [*[busy] * 12, [FOR_EVER]]) as world:
        await asyncio.sleep(60)
        assert len(world.source.watched_at) == 13
        assert all(1 <= later - earlier <= 1.5 for earlier, later in pairwise(world.source.watched_at))


async def test_a_quiet_watch_makes_good_for_interruptions_before_it() -> None:
    errors: list[list[Step]] = [[SourceError("refused")]] * 6
    watches: list[list[Step]] = [*errors, [Silence(30)], [Silence(30), SourceError("reset")], [FOR_EVER]]
    async with watching([listing(3)], watches) as world:
        await asyncio.sleep(120)
        waits = [round(later - earlier, 1) for earlier, later in pairwise(world.source.watched_at)]
        assert waits[-2:] == [30.0, 30.0]


BUSY: dict[str, tuple[list[Page[Thing] | SourceError], list[Step]]] = {
    "a list that fails": ([SourceError("503")], []),
    "a list that is expired before it ends": ([VersionExpired("410")], []),
    "a watch that ends as soon as it begins": ([listing(3)], []),
    "a watch that fails as soon as it begins": ([listing(3)], [SourceError("500")]),
    "a watch whose version is expired as soon as it has been listed": ([listing(3)], [VersionExpired("410")]),
    "a watch that ends after a bookmark": ([listing(3)], [Bookmark("4")]),
    "a watch that fails after a bookmark": ([listing(3)], [Bookmark("4"), SourceError("500")]),
    "a watch that is expired after a bookmark": ([listing(3)], [Bookmark("4"), VersionExpired("410")]),
    "a watch that ends after an event": ([listing(3)], [Changed(A5)]),
}


@pytest.mark.parametrize(("lists", "steps"), BUSY.values(), ids=BUSY.keys())
async def test_a_server_in_trouble_is_not_asked_all_the_time(
    lists: list[Page[Thing] | SourceError], steps: list[Step]
) -> None:
    async with watching(lists, [steps]) as world:
        await asyncio.sleep(120)
        asked = len(world.source.listed_at) + len(world.source.watched_at)
        assert 10 <= asked <= 40


@pytest.mark.parametrize(("lists", "steps"), BUSY.values(), ids=BUSY.keys())
async def test_after_trouble_of_ten_minutes_the_store_is_right_within_a_minute(
    lists: list[Page[Thing] | SourceError], steps: list[Step]
) -> None:
    """Promise 11."""
    async with watching(lists, [steps]) as world:
        await asyncio.sleep(600)
        world.source.recover(listing(50, thing("b", 44)), [VersionExpired("410")], [FOR_EVER])
        await asyncio.sleep(60)
        assert world.objects() == {thing("b", 44)}
        assert world.informer.synced.is_set()


async def test_the_time_since_the_last_word_of_the_server_is_known() -> None:
    """Promise 11: health goes by it."""
    async with watching([listing(3)], [[Silence(20), Bookmark("4"), FOR_EVER]]) as world:
        assert world.informer.seconds_since_contact() == pytest.approx(0, abs=0.01)
        await asyncio.sleep(15)
        assert world.informer.seconds_since_contact() == pytest.approx(15)
        await asyncio.sleep(10)
        assert world.informer.seconds_since_contact() == pytest.approx(5)


async def test_a_server_that_only_refuses_is_not_heard_of() -> None:
    async with watching([listing(3)], [[Silence(5), SourceError("reset")]]) as world:
        await asyncio.sleep(2)
        world.source.recover(SourceError("503"), [VersionExpired("410")])
        since = now()
        await asyncio.sleep(100)
        age = world.informer.seconds_since_contact()
        assert age is not None
        assert age == pytest.approx(now() - since, abs=10)


ODD_A6, ODD_A7 = SetAside("a", "6", "odd"), SetAside("a", "7", "odd")


async def test_what_cannot_be_understood_any_more_is_told_as_gone_and_comes_back() -> None:
    async with watching([listing(5, A5)], [(ODD_A6, thing_changed("a", 8), FOR_EVER)]) as world:
        assert world.told == [(None, A5), (A5, None), (None, thing("a", 8))]
        assert world.odd == ["a", "a"]


async def test_what_cannot_be_understood_is_logged_once_for_each_version() -> None:
    with capture_logs() as logs:
        again = Page((B6,), "7", (ODD_A6,))
        lists = [Page((B6,), "6", (ODD_A6,)), again, again]
        watches = [(VersionExpired("x"),), (VersionExpired("x"),), (ODD_A7, FOR_EVER)]
        async with watching(lists, watches) as world:
            await asyncio.sleep(20)
            assert world.store.trouble_with("a") == ODD_A7
            assert world.odd == ["a"], "the trouble is the same"
            assert world.informer.unreadable() == 1
    lines = [entry for entry in logs if entry["event"] == "object is malformed and passed over"]
    assert [(line["resource"], line["name"], line["reason"]) for line in lines] == [("things", "a", "odd")] * 2


GONE: dict[str, tuple[list[Page[Thing] | SourceError], list[Step]]] = {
    "an event tells": ([Page((), "6", (ODD_A6,))], [Removed("a", "7"), FOR_EVER]),
    "a list tells": ([Page((), "6", (ODD_A6,)), listing(7)], [VersionExpired("x")]),
    "a restored server does not have it": ([Page((), "6", (ODD_A6,)), listing(2)], [VersionExpired("x")]),
}


@pytest.mark.parametrize(("lists", "steps"), GONE.values(), ids=GONE.keys())
async def test_the_end_of_what_cannot_be_understood_is_noticed(
    lists: list[Page[Thing] | SourceError], steps: list[Step]
) -> None:
    async with watching(lists, [steps, (FOR_EVER,)]) as world:
        await asyncio.sleep(5)
        assert world.store.troubles() == ()
        assert world.informer.unreadable() == 0
        assert world.odd == ["a", "a"]
        assert world.told == []


async def test_a_restored_server_may_have_in_an_odd_form_what_was_known() -> None:
    lists = [listing(7, A7), Page((), "3", (SetAside("a", "2", "odd"),))]
    async with watching(lists, [(VersionExpired("x"),), (FOR_EVER,)]) as world:
        await asyncio.sleep(5)
        assert world.told == [(None, A7), (A7, None)]
        assert world.store.trouble_with("a") == SetAside("a", "2", "odd")


async def test_a_late_event_about_an_odd_form_does_not_undo_what_came_after() -> None:
    async with watching([listing(5, A5)], [(Silence(1.0), ODD_A6, FOR_EVER)]) as world:
        world.store.record(A7)
        await asyncio.sleep(2)
        assert world.store.get("a") == A7
        assert world.odd == []


async def test_an_informer_ends_when_it_is_cancelled() -> None:
    world = Watching(Scripted([listing(3)]))
    task = asyncio.create_task(world.informer.run())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    assert task.cancelled()


NOT_ALLOWED = Refused("list: not allowed")


def refusal(world: Watching) -> str | None:
    return world.informer.refusal


async def test_while_a_list_is_refused_nothing_is_known_and_the_refusal_is() -> None:
    async with watching([NOT_ALLOWED]) as world:
        assert world.informer.answered.is_set()
        assert not world.informer.synced.is_set()
        assert refusal(world) == "list: not allowed"
        await asyncio.sleep(300)
        # The server was heard of: a restart would not help.
        age = world.informer.seconds_since_contact()
        assert age is not None
        assert age < 10.1
        assert len(world.source.listed_at) < 60
        world.source.recover(listing(3, A1), [FOR_EVER])
        await asyncio.sleep(11)
        assert refusal(world) is None
        assert world.objects() == {A1}


async def test_where_only_the_watch_is_refused_it_is_listed_again_and_again() -> None:
    watches = [[Refused("watch: not allowed")]]
    lists = [listing(3, A1), listing(6, A1, B6), listing(7, A7)]
    async with watching(lists, watches) as world:
        assert world.informer.synced.is_set()
        assert world.informer.refusal is None
        await asyncio.sleep(30)
        assert world.told == [(None, A1), (None, B6), (A1, A7), (B6, None)]
        pauses = [later - earlier for earlier, later in pairwise(world.source.listed_at)]
        assert max(pauses) == pytest.approx(10)
        world.source.recover(listing(7, A7), [FOR_EVER])
        await asyncio.sleep(11)
        count = len(world.source.listed_at)
        await asyncio.sleep(100)
        assert len(world.source.listed_at) == count


async def test_what_was_listed_stays_known_when_the_right_to_list_goes() -> None:
    async with watching([listing(3, A1), NOT_ALLOWED], [[Silence(30), Refused("watch: not allowed")]]) as world:
        await asyncio.sleep(60)
        assert world.informer.refusal == "list: not allowed"
        assert world.informer.synced.is_set()
        assert world.objects() == {A1}
