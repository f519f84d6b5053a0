"""What holds whatever is written: shown with random patches and random histories."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.client import Client, Json
from tests.contract.objects import CONTENTS, content, new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")

A_FEW = settings(max_examples=25, deadline=None)

keys = st.sampled_from(["a", "b", "c/d"])
values = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)


def merged(before: Json, patch: Json) -> Json:
    """What a JSON merge patch makes of a flat object."""
    return {key: value for key, value in (before | patch).items() if value is not None}


@A_FEW
@given(before=st.dictionaries(keys, values), patch=st.dictionaries(keys, st.none() | values))
async def test_a_merge_patch_changes_the_named_annotations_and_no_other(api: Client, before: Json, patch: Json) -> None:
    made = content(metadata={"annotations": before})
    path = f"{CONTENTS}/{made['metadata']['name']}"
    first = (await api.create(CONTENTS, made)).ok()
    after = (await api.merge(path, {"metadata": {"annotations": patch}})).ok()
    assert after["metadata"].get("annotations", {}) == merged(before, patch)
    assert (after == first) is (merged(before, patch) == before)
    back = {key: before.get(key) for key in patch}
    again = (await api.merge(path, {"metadata": {"annotations": back}})).ok()
    assert again["metadata"].get("annotations", {}) == before


DRIVERS = 2
steps = st.tuples(st.sampled_from(["create", "move", "touch", "finalize", "release", "delete"]), st.integers(0, 2))


class History:
    """Random writes to three objects that belong to one of two drivers."""

    def __init__(self, api: Client) -> None:
        self._api = api
        self.drivers = [new_name("driver") for _ in range(DRIVERS)]
        self._names = [new_name("object") for _ in range(3)]
        self._writes = 0

    async def write(self, step: str, which: int) -> None:
        """One write. That it is refused because the object is absent or there already is fine."""
        self._writes += 1
        name = self._names[which]
        path = f"{CONTENTS}/{name}"
        match step:
            case "create":
                await self._api.create(CONTENTS, content(name=name, driver=self.drivers[0]))
            case "move":
                await self._api.merge(path, {"spec": {"driver": self.drivers[self._writes % DRIVERS]}})
            case "touch":
                await self._api.merge(f"{path}/status", {"status": {"restoreSize": self._writes}})
            case "finalize":
                await self._api.merge(path, {"metadata": {"finalizers": ["a/b"]}})
            case "release":
                await self._api.merge(path, {"metadata": {"finalizers": None}})
            case _:
                await self._api.delete(path)

    async def list(self, driver: str) -> tuple[str, dict[str, Json]]:
        """The version and the objects of a driver, by name."""
        found = (await self._api.get(CONTENTS, fieldSelector=f"spec.driver={driver}")).ok()
        return found["metadata"]["resourceVersion"], {each["metadata"]["name"]: each for each in found["items"]}


@A_FEW
@given(before=st.lists(steps, max_size=6), after=st.lists(steps, max_size=12))
async def test_the_events_since_a_list_lead_from_that_list_to_the_next(
    api: Client, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    history = History(api)
    driver = history.drivers[0]
    for step in before:
        await history.write(*step)
    version, known = await history.list(driver)
    for step in after:
        await history.write(*step)
    end = content(driver=driver)
    (await api.create(CONTENTS, end)).ok()
    async with api.watch(CONTENTS, resourceVersion=version, fieldSelector=f"spec.driver={driver}") as watch:
        while end["metadata"]["name"] not in known:
            event = await watch.next()
            assert event is not None
            name = event["object"]["metadata"]["name"]
            assert (event["type"] == "ADDED") is (name not in known)
            assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                del known[name]
            else:
                known[name] = event["object"]
    _, expected = await history.list(driver)
    assert known == expected
