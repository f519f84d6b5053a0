"""Merge patches and JSON patches: what they change, and what they may rely on."""

import asyncio

import pytest

from tests.contract.client import MERGE, STRATEGIC, Client, Json
from tests.contract.objects import CONTENTS, content, path_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOMEBODY_ELSE = "00000000-0000-0000-0000-000000000000"


async def created(api: Client, given: Json) -> Json:
    return (await api.create(CONTENTS, given)).ok()


def annotated(**annotations: str) -> Json:
    return content(metadata={"annotations": annotations, "labels": {"team": "a"}, "finalizers": ["a/b"]})


# The object's annotations, the patch's, and those that result.
ANNOTATIONS: dict[str, tuple[Json, object, Json]] = {
    "an annotation is added, the others stay": ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
    "an annotation is changed, the others stay": ({"a": "1", "b": "2"}, {"b": "3"}, {"a": "1", "b": "3"}),
    "null removes one annotation": ({"a": "1", "b": "2"}, {"b": None}, {"a": "1"}),
    "null removes nothing that is not there": ({"a": "1"}, {"c": None}, {"a": "1"}),
    "null removes all annotations": ({"a": "1"}, None, {}),
    "nothing changes nothing": ({"a": "1"}, {}, {"a": "1"}),
}


class TestMergePatch:
    @pytest.mark.parametrize(("before", "patch", "after"), ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
    async def test_annotations(self, api: Client, before: Json, patch: object, after: Json) -> None:
        given = annotated(**before)
        await created(api, given)
        found = (await api.merge(path_of(given), {"metadata": {"annotations": patch}})).ok()
        assert found["metadata"].get("annotations", {}) == after
        assert found["metadata"]["labels"] == {"team": "a"}
        assert found["metadata"]["finalizers"] == ["a/b"]

    async def test_creates_annotations_where_there_are_none(self, api: Client) -> None:
        given = content()
        await created(api, given)
        found = (await api.merge(path_of(given), {"metadata": {"annotations": {"a": "1", "b": None}}})).ok()
        assert found["metadata"]["annotations"] == {"a": "1"}

    async def test_replaces_lists_whole(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b", "c/d"]})
        await created(api, given)
        found = (await api.merge(path_of(given), {"metadata": {"finalizers": ["e/f"]}})).ok()
        assert found["metadata"]["finalizers"] == ["e/f"]

    async def test_creates_a_status(self, api: Client) -> None:
        given = content()
        await created(api, given)
        found = (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": False}})).ok()
        assert found["status"] == {"readyToUse": False}

    async def test_of_the_status_changes_single_fields(self, api: Client) -> None:
        given = content()
        await created(api, given)
        path = f"{path_of(given)}/status"
        error = {"time": "2024-01-01T00:00:00Z", "message": "it broke"}
        await api.merge(path, {"status": {"readyToUse": False, "error": error, "restoreSize": 5}})
        found = (await api.merge(path, {"status": {"readyToUse": True, "error": None}})).ok()
        assert found["status"] == {"readyToUse": True, "restoreSize": 5}

    async def test_stores_a_whole_number_as_an_integer_however_it_is_written(self, api: Client) -> None:
        given = content()
        await created(api, given)
        found = (await api.merge(f"{path_of(given)}/status", {"status": {"restoreSize": 1000.0}})).ok()
        assert isinstance(found["status"]["restoreSize"], int)

    async def test_of_the_status_leaves_metadata_and_spec_alone(self, api: Client) -> None:
        given = annotated(a="1")
        before = await created(api, given)
        patch = {
            "metadata": {"annotations": {"b": "2"}, "labels": None, "finalizers": []},
            "spec": {"driver": "new"},
            "status": {"readyToUse": True},
        }
        after = (await api.merge(f"{path_of(given)}/status", patch)).ok()
        for field in ("annotations", "labels", "finalizers"):
            assert after["metadata"][field] == before["metadata"][field]
        assert after["spec"] == before["spec"]

    async def test_of_the_object_leaves_the_status_alone(self, api: Client) -> None:
        given = content()
        await created(api, given)
        await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})
        found = (await api.merge(path_of(given), {"spec": {"driver": "new"}, "status": {"readyToUse": False}})).ok()
        assert found["spec"]["driver"] == "new"
        assert found["status"] == {"readyToUse": True}

    @pytest.mark.parametrize("part", ["", "/status"])
    async def test_that_changes_nothing_makes_no_new_version(self, api: Client, part: str) -> None:
        given = annotated(a="1")
        await created(api, given)
        await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})
        before = (await api.get(path_of(given))).ok()
        patch = {"metadata": {"annotations": {"a": "1"}}, "status": {"readyToUse": True}}
        assert (await api.merge(path_of(given) + part, patch)).ok() == before

    @pytest.mark.parametrize("part", ["", "/status"])
    async def test_with_the_current_version_succeeds(self, api: Client, part: str) -> None:
        given = content()
        version = (await created(api, given))["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "annotations": {"a": "1"}}, "status": {"restoreSize": 1}}
        assert (await api.merge(path_of(given) + part, patch)).status == 200

    @pytest.mark.parametrize("part", ["", "/status"])
    async def test_with_a_stale_version_is_a_conflict(self, api: Client, part: str) -> None:
        given = content()
        version = (await created(api, given))["metadata"]["resourceVersion"]
        current = (await api.merge(path_of(given), {"spec": {"driver": "new"}})).ok()
        patch = {"metadata": {"resourceVersion": version, "annotations": {"a": "1"}}, "status": {"restoreSize": 1}}
        answer = await api.merge(path_of(given) + part, patch)
        assert (answer.status, answer.reason) == (409, "Conflict")
        assert "the object has been modified" in answer.message
        assert answer.body["details"] == {
            "name": given["metadata"]["name"],
            "group": "snapshot.storage.k8s.io",
            "kind": "volumesnapshotcontents",
        }
        assert (await api.get(path_of(given))).ok() == current

    async def test_with_the_right_uid_succeeds(self, api: Client) -> None:
        given = content()
        uid = (await created(api, given))["metadata"]["uid"]
        patch = {"metadata": {"uid": uid, "annotations": {"a": "1"}}}
        assert (await api.merge(path_of(given), patch)).status == 200

    async def test_with_another_uid_is_invalid(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        answer = await api.merge(path_of(given), {"metadata": {"uid": SOMEBODY_ELSE, "annotations": {"a": "1"}}})
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.causes == {"metadata.uid": f'Invalid value: "{SOMEBODY_ELSE}": field is immutable'}
        assert (await api.get(path_of(given))).ok() == before

    async def test_of_the_status_with_another_uid_is_written_all_the_same(self, api: Client) -> None:
        given = content()
        await created(api, given)
        patch = {"metadata": {"uid": SOMEBODY_ELSE}, "status": {"readyToUse": True}}
        after = (await api.merge(f"{path_of(given)}/status", patch)).ok()
        assert after["status"] == {"readyToUse": True}
        assert after["metadata"]["uid"] != SOMEBODY_ELSE

    async def test_of_the_status_of_a_recreated_object_with_the_old_version_is_a_conflict(self, api: Client) -> None:
        given = content()
        version = (await created(api, given))["metadata"]["resourceVersion"]
        (await api.delete(path_of(given))).ok()
        await created(api, given)
        patch = {"metadata": {"resourceVersion": version}, "status": {"readyToUse": True}}
        answer = await api.merge(f"{path_of(given)}/status", patch)
        assert (answer.status, answer.reason) == (409, "Conflict")

    @pytest.mark.parametrize("version", [None, "", "0"], ids=["null", "empty", "zero"])
    @pytest.mark.parametrize("part", ["", "/status"])
    async def test_that_takes_the_version_away_is_refused(self, api: Client, part: str, version: object) -> None:
        given = content()
        await created(api, given)
        patch = {"metadata": {"resourceVersion": version}, "spec": {"driver": "new"}, "status": {"restoreSize": 1}}
        answer = await api.merge(path_of(given) + part, patch)
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.causes == {"metadata.resourceVersion": "Invalid value: 0: must be specified for an update"}

    @pytest.mark.parametrize("uid", [None, ""], ids=["null", "empty"])
    async def test_that_takes_the_uid_away_leaves_it(self, api: Client, uid: object) -> None:
        given = content()
        before = await created(api, given)
        after = (await api.merge(path_of(given), {"metadata": {"uid": uid}, "spec": {"driver": "new"}})).ok()
        assert after["metadata"]["uid"] == before["metadata"]["uid"]

    async def test_of_the_creation_time_is_ignored(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        patch = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7, "selfLink": "x"}}
        assert (await api.merge(path_of(given), patch)).ok() == before

    @pytest.mark.parametrize("metadata", [None, {"name": None}], ids=["metadata", "name"])
    async def test_that_takes_the_name_away_is_refused(self, api: Client, metadata: object) -> None:
        given = content()
        await created(api, given)
        answer = await api.merge(path_of(given), {"metadata": metadata})
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_that_changes_the_name_is_refused(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.merge(path_of(given), {"metadata": {"name": "other"}})
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_that_is_no_object_is_refused(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.merge(path_of(given), [1])
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_as_a_dry_run_writes_nothing(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        answer = await api.merge(path_of(given), {"spec": {"driver": "new"}}, dryRun="All")
        assert answer.ok()["spec"]["driver"] == "new"
        assert (await api.get(path_of(given))).ok() == before


@pytest.mark.parametrize("kind", ["application/json", STRATEGIC])
async def test_a_custom_resource_takes_no_other_kind_of_patch(api: Client, kind: str) -> None:
    given = content()
    await created(api, given)
    answer = await api.request("PATCH", path_of(given), {}, kind)
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
    assert MERGE in answer.message


def step(op: str, path: str, *value: object) -> Json:
    return {"op": op, "path": path} | ({"value": value[0]} if value else {})


FINALIZERS = "/metadata/finalizers"

# The finalizers before, the steps of the patch, and the finalizers after.
FINALIZER_PATCHES: dict[str, tuple[list[str], list[Json], list[str]]] = {
    "a list that is as expected is replaced": (
        ["a/b", "c/d"],
        [step("test", FINALIZERS, ["a/b", "c/d"]), step("replace", FINALIZERS, ["c/d"])],
        ["c/d"],
    ),
    "an absent list tests as null": ([], [step("test", FINALIZERS, None), step("add", FINALIZERS, ["a/b"])], ["a/b"]),
    "an absent list is added": ([], [step("add", FINALIZERS, ["a/b"])], ["a/b"]),
    "an absent list is added by replace as well": ([], [step("replace", FINALIZERS, ["a/b"])], ["a/b"]),
    "an existing list is replaced by add": (["a/b"], [step("add", FINALIZERS, ["c/d"])], ["c/d"]),
    "an item is appended": (["a/b"], [step("add", f"{FINALIZERS}/-", "c/d")], ["a/b", "c/d"]),
    "an item is inserted": (["a/b"], [step("add", f"{FINALIZERS}/0", "c/d")], ["c/d", "a/b"]),
    "an item is removed by its place": (["a/b", "c/d"], [step("remove", f"{FINALIZERS}/0")], ["c/d"]),
    "an item is tested and removed by its place": (
        ["a/b", "c/d"],
        [step("test", f"{FINALIZERS}/1", "c/d"), step("remove", f"{FINALIZERS}/1")],
        ["a/b"],
    ),
    "a list is removed": (["a/b"], [step("remove", FINALIZERS)], []),
    "no steps change nothing": (["a/b"], [], ["a/b"]),
}

# Steps that cannot be applied to an object with an annotation and one finalizer.
INAPPLICABLE: dict[str, list[Json]] = {
    "a test of another list": [step("test", FINALIZERS, ["a/b", "c/d"])],
    "a test of the list in another order or length": [step("test", FINALIZERS, [])],
    "a test of null where something is": [step("test", FINALIZERS, None)],
    "a test of an absent field": [step("test", "/metadata/labels", {"a": "b"})],
    "a test of another uid": [step("test", "/metadata/uid", SOMEBODY_ELSE)],
    "a test of another version": [step("test", "/metadata/resourceVersion", "1")],
    "a test that fails after a step that worked": [
        step("add", "/metadata/annotations/b", "2"),
        step("test", "/metadata/annotations/a", "3"),
    ],
    "the removal of an absent field": [step("remove", "/metadata/labels")],
    "the removal of an absent item": [step("remove", f"{FINALIZERS}/5")],
    "an addition below an absent field": [step("add", "/metadata/labels/a", "b")],
    "an unknown step": [step("invent", "/metadata/labels", {})],
}


class TestJsonPatch:
    @pytest.mark.parametrize(("before", "steps", "after"), FINALIZER_PATCHES.values(), ids=FINALIZER_PATCHES.keys())
    async def test_finalizers(self, api: Client, before: list[str], steps: list[Json], after: list[str]) -> None:
        given = content(metadata={"finalizers": before})
        await created(api, given)
        found = (await api.json_patch(path_of(given), *steps)).ok()
        assert found["metadata"].get("finalizers", []) == after

    @pytest.mark.parametrize("steps", INAPPLICABLE.values(), ids=INAPPLICABLE.keys())
    async def test_is_refused_as_a_whole_and_without_causes(self, api: Client, steps: list[Json]) -> None:
        given = content(metadata={"annotations": {"a": "1"}, "finalizers": ["a/b"]})
        before = await created(api, given)
        answer = await api.json_patch(path_of(given), step("add", "/spec/driver", "new"), *steps)
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.message == "the server rejected our request due to an error in our request"
        assert answer.body["details"] == {}
        assert (await api.get(path_of(given))).ok() == before

    async def test_of_the_status_tests_the_uid(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        path = f"{path_of(given)}/status"
        add = step("add", "/status", {"readyToUse": True})
        refused = await api.json_patch(path, step("test", "/metadata/uid", SOMEBODY_ELSE), add)
        assert (refused.status, refused.reason, refused.causes) == (422, "Invalid", {})
        accepted = await api.json_patch(path, step("test", "/metadata/uid", before["metadata"]["uid"]), add)
        assert accepted.ok()["status"] == {"readyToUse": True}

    async def test_of_a_recreated_object_is_refused_by_a_test_of_the_uid(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        old = await created(api, given)
        await api.delete(path_of(given))
        await api.json_patch(path_of(given), step("remove", FINALIZERS))
        new = await created(api, given)
        steps = step("test", "/metadata/uid", old["metadata"]["uid"]), step("remove", FINALIZERS)
        assert (await api.json_patch(path_of(given), *steps)).status == 422
        assert (await api.get(path_of(given))).ok() == new

    async def test_reaches_keys_with_slashes_and_tildes(self, api: Client) -> None:
        given = content(metadata={"annotations": {"a/b": "1"}})
        await created(api, given)
        found = (await api.json_patch(path_of(given), step("replace", "/metadata/annotations/a~1b", "2"))).ok()
        assert found["metadata"]["annotations"] == {"a/b": "2"}

    async def test_moves_and_copies(self, api: Client) -> None:
        given = content(metadata={"annotations": {"a": "1"}})
        await created(api, given)
        steps = (
            {"op": "copy", "from": "/metadata/annotations", "path": "/metadata/labels"},
            {"op": "move", "from": "/metadata/annotations/a", "path": "/metadata/annotations/b"},
        )
        found = (await api.json_patch(path_of(given), *steps)).ok()
        assert (found["metadata"]["labels"], found["metadata"]["annotations"]) == ({"a": "1"}, {"b": "1"})

    async def test_that_is_no_list_is_refused(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.request("PATCH", path_of(given), {}, "application/json-patch+json")
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_may_not_change_the_uid(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.json_patch(path_of(given), step("replace", "/metadata/uid", SOMEBODY_ELSE))
        assert (answer.status, set(answer.causes)) == (422, {"metadata.uid"})

    async def test_obeys_the_rules_of_the_kind_and_says_what_is_wrong(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.json_patch(path_of(given), step("replace", "/spec/source/volumeHandle", "vol-2"))
        assert (answer.status, set(answer.causes)) == (422, {"spec.source.volumeHandle"})


class TestConcurrentPatchesWithoutVersion:
    """The server itself tries again on the version that came in between."""

    async def test_of_different_annotations_all_succeed(self, api: Client) -> None:
        given = content()
        await created(api, given)
        wanted = {f"key-{number}": str(number) for number in range(20)}
        answers = await asyncio.gather(
            *(api.merge(path_of(given), {"metadata": {"annotations": {k: v}}}) for k, v in wanted.items())
        )
        assert {each.status for each in answers} == {200}
        assert (await api.get(path_of(given))).ok()["metadata"]["annotations"] == wanted

    async def test_that_append_to_a_list_all_succeed(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        wanted = [f"a/{number}" for number in range(8)]
        answers = await asyncio.gather(
            *(api.json_patch(path_of(given), step("add", f"{FINALIZERS}/-", each)) for each in wanted)
        )
        assert {each.status for each in answers} == {200}
        found = (await api.get(path_of(given))).ok()["metadata"]["finalizers"]
        assert sorted(found) == sorted(["a/b", *wanted])

    async def test_that_test_the_same_list_let_one_win(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        answers = await asyncio.gather(
            *(
                api.json_patch(
                    path_of(given),
                    step("test", FINALIZERS, ["a/b"]),
                    step("replace", FINALIZERS, ["a/b", f"a/{number}"]),
                )
                for number in range(8)
            )
        )
        assert sorted(each.status for each in answers) == [200] + [422] * 7
