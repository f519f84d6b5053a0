"""Troubles by chance: as often as asked for, of every sort, and the same again for the same seed."""

from collections import Counter

from snapshotter.testing.proxy import ApiChance, Refusal, StallWatch, StreamChance

PATCH = "PATCH /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/a/status"
WATCH = "WATCH /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
LIST = "LIST /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"


def test_the_same_seed_makes_the_same_troubles() -> None:
    calls = [PATCH, WATCH, LIST] * 200
    one, same, other = (ApiChance(seed, requests=0.3, watches=0.5) for seed in (1, 1, 2))
    troubles = [one.trouble_of(call) for call in calls]
    assert troubles == [same.trouble_of(call) for call in calls]
    assert troubles != [other.trouble_of(call) for call in calls]


def test_each_sort_of_call_has_its_share_and_its_troubles() -> None:
    chance = ApiChance(3, requests=0.2, watches=0.6)
    found = {
        call: Counter(type(chance.trouble_of(call)).__name__ for _ in range(4000)) for call in (PATCH, WATCH, LIST)
    }
    assert 0.75 < found[PATCH]["NoneType"] / 4000 < 0.85
    assert 0.35 < found[WATCH]["NoneType"] / 4000 < 0.45
    assert found[PATCH].keys() == {"NoneType", "Cut", "Late", "Dribble", "Refusal"}
    assert found[LIST].keys() == found[PATCH].keys()
    assert found[WATCH].keys() == {
        *("NoneType", "Cut", "Refusal"),
        *("EndWatch", "CutWatch", "ErrorFrame", "StallWatch", "LagWatch"),
    }


def test_history_that_is_gone_is_told_to_those_who_list_or_watch_alone() -> None:
    chance = ApiChance(4, requests=1.0, watches=1.0)
    gone = {
        call: any(isinstance(found := chance.trouble_of(call), Refusal) and found.status == 410 for _ in range(1000))
        for call in (PATCH, WATCH, LIST)
    }
    assert gone == {PATCH: False, WATCH: True, LIST: True}


def test_a_watch_is_silent_for_good_only_if_that_is_wanted() -> None:
    for silent in (False, True):
        chance = ApiChance(5, requests=1.0, watches=1.0, silent=silent)
        stalls = [found for _ in range(2000) if isinstance(found := chance.trouble_of(WATCH), StallWatch)]
        assert any(stall.lasting is None for stall in stalls) == silent
        assert any(stall.lasting is not None for stall in stalls)


def test_streams_have_their_own() -> None:
    chance = StreamChance(6, share=0.5)
    found = Counter(type(chance.trouble_of("there")).__name__ for _ in range(2000))
    assert found.keys() == {"NoneType", "Cut", "Late", "Dribble"}
    assert 900 < found["NoneType"] < 1100
