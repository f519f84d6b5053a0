"""Objects of our group from their creation to their deletion."""

import asyncio

import pytest

from tests.contract.client import Client, Json
from tests.contract.objects import CONTENTS, SNAPSHOTS, content, new_name, path_of, snapshot, without

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOMEBODY_ELSE = "00000000-0000-0000-0000-000000000000"


async def created(api: Client, given: Json) -> Json:
    answer = await api.create(CONTENTS, given)
    assert answer.status == 201
    return answer.body


class TestCreation:
    async def test_a_new_object_gets_uid_version_generation_and_time(self, api: Client) -> None:
        given = content()
        body = await created(api, given)
        assert without(body, "metadata") == without(given, "metadata")
        metadata = body["metadata"]
        assert len(metadata["uid"]) == 36
        assert int(metadata["resourceVersion"]) > 0
        assert metadata["generation"] == 1
        assert metadata["creationTimestamp"].endswith("Z")
        assert "namespace" not in metadata
        assert (await api.get(path_of(given))).ok() == body

    async def test_versions_grow_with_every_write(self, api: Client) -> None:
        first, second = [await created(api, content()) for _ in range(2)]
        assert int(first["metadata"]["resourceVersion"]) < int(second["metadata"]["resourceVersion"])

    async def test_a_namespaced_object_is_in_the_namespace_of_its_path(self, api: Client) -> None:
        body = (await api.create(SNAPSHOTS, snapshot())).ok()
        assert body["metadata"]["namespace"] == "default"

    async def test_an_object_of_another_namespace_than_its_path_is_refused(self, api: Client) -> None:
        answer = await api.create(SNAPSHOTS, snapshot(metadata={"namespace": "kube-system"}))
        assert (answer.status, answer.reason) == (400, "BadRequest")
        assert "does not match the namespace" in answer.message

    async def test_a_namespace_must_exist(self, api: Client) -> None:
        path = SNAPSHOTS.replace("/default/", "/nowhere/")
        answer = await api.create(path, snapshot())
        assert (answer.status, answer.reason) == (404, "NotFound")
        assert answer.message == 'namespaces "nowhere" not found'
        assert answer.body["details"] == {"name": "nowhere", "kind": "namespaces"}

    async def test_a_name_is_generated_from_a_prefix(self, api: Client) -> None:
        given = content() | {"metadata": {"generateName": "made-"}}
        names = [(await created(api, given))["metadata"]["name"] for _ in range(2)]
        assert all(name.startswith("made-") and len(name) == 10 for name in names)
        assert len(set(names)) == 2

    async def test_an_object_without_name_is_refused(self, api: Client) -> None:
        answer = await api.create(CONTENTS, content() | {"metadata": {}})
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert "name or generateName is required" in answer.message

    async def test_an_existing_name_is_refused(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.create(CONTENTS, given)
        name = given["metadata"]["name"]
        assert without(answer.body, "metadata") == {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f'volumesnapshotcontents.snapshot.storage.k8s.io "{name}" already exists',
            "reason": "AlreadyExists",
            "details": {"name": name, "group": "snapshot.storage.k8s.io", "kind": "volumesnapshotcontents"},
            "code": 409,
        }
        assert answer.status == 409

    async def test_a_version_may_not_be_given(self, api: Client) -> None:
        answer = await api.create(CONTENTS, content(metadata={"resourceVersion": "7"}))
        assert answer.status == 500
        assert "resourceVersion should not be set on objects to be created" in answer.message

    async def test_the_status_of_a_new_object_is_ignored(self, api: Client) -> None:
        body = await created(api, content() | {"status": {"readyToUse": True}})
        assert "status" not in body

    async def test_null_for_an_optional_field_is_dropped(self, api: Client) -> None:
        body = await created(api, content(sourceVolumeMode=None))
        assert "sourceVolumeMode" not in body["spec"]

    async def test_null_for_an_annotation_is_an_empty_one(self, api: Client) -> None:
        body = await created(api, content(metadata={"annotations": {"a": None}}))
        assert body["metadata"]["annotations"] == {"a": ""}

    async def test_a_finalizer_without_domain_is_accepted_with_a_warning(self, api: Client) -> None:
        answer = await api.create(CONTENTS, content(metadata={"finalizers": ["plain"]}))
        assert answer.ok()["metadata"]["finalizers"] == ["plain"]
        assert len(answer.warnings) == 1
        assert "prefer a domain-qualified finalizer name" in answer.warnings[0]

    async def test_a_finalizer_may_be_there_twice(self, api: Client) -> None:
        body = await created(api, content(metadata={"finalizers": ["a/b", "a/b"]}))
        assert body["metadata"]["finalizers"] == ["a/b", "a/b"]

    async def test_a_dry_run_leaves_nothing_behind(self, api: Client) -> None:
        given = content()
        answer = await api.create(CONTENTS, given, dryRun="All")
        assert answer.status == 201
        assert answer.body["metadata"]["name"] == given["metadata"]["name"]
        assert (await api.get(path_of(given))).status == 404


UNREADABLE: dict[str, object] = {
    "nothing": None,
    "a list": [],
    "another version": content() | {"apiVersion": "snapshot.storage.k8s.io/v2"},
    "no kind": without(content(), "kind"),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_body_that_is_no_object_of_the_kind_is_refused(api: Client, body: object) -> None:
    answer = await api.request("POST", CONTENTS, body)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_an_object_of_another_kind_is_refused(api: Client) -> None:
    answer = await api.create(CONTENTS, content() | {"kind": "VolumeSnapshot"})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.causes == {"kind": 'Invalid value: "VolumeSnapshot": must be VolumeSnapshotContent'}


async def test_an_absent_object_is_not_found(api: Client) -> None:
    answer = await api.get(f"{CONTENTS}/absent")
    assert without(answer.body, "metadata") == {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": 'volumesnapshotcontents.snapshot.storage.k8s.io "absent" not found',
        "reason": "NotFound",
        "details": {"name": "absent", "group": "snapshot.storage.k8s.io", "kind": "volumesnapshotcontents"},
        "code": 404,
    }
    assert answer.status == 404


# Verb, path, query, and the status of the refusal.
BAD_OPTIONS: dict[str, tuple[str, str, Json, int]] = {
    "a limit that is no number": ("GET", CONTENTS, {"limit": "x"}, 400),
    "a timeout that is no number": ("GET", CONTENTS, {"timeoutSeconds": "x"}, 400),
    "a match without version": ("GET", CONTENTS, {"resourceVersionMatch": "Exact"}, 422),
    "an unknown match": ("GET", CONTENTS, {"resourceVersion": "1", "resourceVersionMatch": "Odd"}, 422),
    "a streamed list without match": ("GET", CONTENTS, {"watch": "true", "sendInitialEvents": "true"}, 422),
    "an unknown field validation": ("POST", CONTENTS, {"fieldValidation": "Loud"}, 422),
    "an unknown dry run": ("POST", CONTENTS, {"dryRun": "Some"}, 422),
    "an unknown propagation": ("DELETE", f"{CONTENTS}/absent", {"propagationPolicy": "Never"}, 422),
}


@pytest.mark.parametrize(("verb", "path", "query", "status"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
async def test_bad_option_is_refused(api: Client, verb: str, path: str, query: Json, status: int) -> None:
    answer = await api.request(verb, path, content() if verb == "POST" else None, **query)
    assert answer.status == status, answer
    assert answer.body["kind"] == "Status"


async def test_a_body_in_another_format_is_refused(api: Client) -> None:
    answer = await api.request("POST", CONTENTS, content(), "text/plain")
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


async def test_an_answer_in_another_format_is_refused(api: Client) -> None:
    answer = await api.get(CONTENTS, accept="text/html")
    assert (answer.status, answer.reason) == (406, "NotAcceptable")


ON_AN_ABSENT_OBJECT: dict[str, tuple[str, str, object, str]] = {
    "delete": ("DELETE", "application/json", None, ""),
    "replace": ("PUT", "application/json", content(name="absent"), ""),
    "merge patch": ("PATCH", "application/merge-patch+json", {}, ""),
    "merge patch of the status": ("PATCH", "application/merge-patch+json", {"status": {}}, "/status"),
    "JSON patch": ("PATCH", "application/json-patch+json", [], ""),
}


@pytest.mark.parametrize(
    ("method", "content_type", "body", "part"), ON_AN_ABSENT_OBJECT.values(), ids=ON_AN_ABSENT_OBJECT.keys()
)
async def test_a_write_to_an_absent_object_is_not_found(
    api: Client, method: str, content_type: str, body: object, part: str
) -> None:
    answer = await api.request(method, f"{CONTENTS}/absent{part}", body, content_type)
    assert (answer.status, answer.reason) == (404, "NotFound")


class TestUnknownFields:
    def body(self) -> Json:
        return content(invented=1, source={"volumeHandle": "vol-1", "made": {"up": True}}) | {"extra": []}

    async def test_are_dropped_with_a_warning_each(self, api: Client) -> None:
        answer = await api.create(CONTENTS, self.body())
        assert answer.status == 201
        assert "invented" not in answer.body["spec"]
        assert answer.body["spec"]["source"] == {"volumeHandle": "vol-1"}
        assert "extra" not in answer.body
        assert set(answer.warnings) == {
            '299 - "unknown field \\"extra\\""',
            '299 - "unknown field \\"spec.invented\\""',
            '299 - "unknown field \\"spec.source.made\\""',
        }

    async def test_are_dropped_silently_when_asked(self, api: Client) -> None:
        answer = await api.create(CONTENTS, self.body(), fieldValidation="Ignore")
        assert (answer.status, answer.warnings) == (201, ())
        assert "invented" not in answer.body["spec"]

    async def test_are_refused_in_strict_validation(self, api: Client) -> None:
        answer = await api.create(CONTENTS, self.body(), fieldValidation="Strict")
        assert (answer.status, answer.reason) == (400, "BadRequest")
        assert "strict decoding error" in answer.message
        assert 'unknown field "spec.invented"' in answer.message

    async def test_of_a_patch_are_dropped_with_a_warning(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        answer = await api.merge(path_of(given), {"spec": {"invented": 1}})
        assert (answer.status, answer.warnings) == (200, ('299 - "unknown field \\"spec.invented\\""',))
        assert answer.body == before

    async def test_of_a_patch_are_refused_in_strict_validation(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.merge(path_of(given), {"spec": {"invented": 1}}, fieldValidation="Strict")
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert 'strict decoding error: unknown field "spec.invented"' in answer.message

    async def test_in_metadata_are_dropped(self, api: Client) -> None:
        answer = await api.create(CONTENTS, content(metadata={"mood": "good"}))
        assert answer.status == 201
        assert "mood" not in answer.body["metadata"]


class TestReplacement:
    async def test_with_the_current_version_replaces_everything_but_the_status(self, api: Client) -> None:
        given = content(volumeSnapshotClassName="gold")
        before = await created(api, given)
        (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})).ok()
        current = (await api.get(path_of(given))).ok()
        new = current | {"spec": without(current["spec"], "volumeSnapshotClassName"), "status": {"restoreSize": 5}}
        after = (await api.replace(path_of(given), new)).ok()
        assert "volumeSnapshotClassName" not in after["spec"]
        assert after["status"] == {"readyToUse": True}
        assert after["metadata"]["uid"] == before["metadata"]["uid"]

    async def test_with_a_stale_version_is_a_conflict(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        (await api.merge(path_of(given), {"spec": {"driver": "new"}})).ok()
        answer = await api.replace(path_of(given), before)
        assert (answer.status, answer.reason) == (409, "Conflict")
        assert answer.message == (
            "Operation cannot be fulfilled on volumesnapshotcontents.snapshot.storage.k8s.io "
            f'"{given["metadata"]["name"]}": the object has been modified; please apply your changes to the '
            "latest version and try again"
        )

    async def test_without_a_version_is_refused(self, api: Client) -> None:
        given = content()
        await created(api, given)
        answer = await api.replace(path_of(given), given)
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.causes == {"metadata.resourceVersion": "Invalid value: 0: must be specified for an update"}

    async def test_of_another_uid_is_a_conflict(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        other = before | {"metadata": before["metadata"] | {"uid": SOMEBODY_ELSE}}
        answer = await api.replace(path_of(given), other)
        assert (answer.status, answer.reason) == (409, "Conflict")

    async def test_under_another_name_is_refused(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        other = before | {"metadata": before["metadata"] | {"name": new_name()}}
        assert (await api.replace(path_of(given), other)).status == 400

    async def test_of_the_status_changes_nothing_else(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        new = before | {
            "metadata": before["metadata"] | {"annotations": {"a": "b"}, "labels": {"c": "d"}, "finalizers": ["e/f"]},
            "spec": before["spec"] | {"driver": "new"},
            "status": {"readyToUse": True},
        }
        after = (await api.replace(f"{path_of(given)}/status", new)).ok()
        assert after["status"] == {"readyToUse": True}
        assert after["spec"] == before["spec"]
        assert not {"annotations", "labels", "finalizers"} & after["metadata"].keys()
        assert after["metadata"]["generation"] == 1

    async def test_by_the_same_changes_no_version(self, api: Client) -> None:
        given = content()
        before = await created(api, given)
        assert (await api.replace(path_of(given), before)).ok() == before


COUNTED = {
    "a change of the spec counts": ({"spec": {"driver": "new"}}, "", 2),
    "a label does not count": ({"metadata": {"labels": {"a": "b"}}}, "", 1),
    "an annotation does not count": ({"metadata": {"annotations": {"a": "b"}}}, "", 1),
    "a finalizer does not count": ({"metadata": {"finalizers": ["a/b"]}}, "", 1),
    "the status does not count": ({"status": {"readyToUse": True}}, "/status", 1),
    "the same spec does not count": ({"spec": {"driver": "csi.example.com"}}, "", 1),
    "it cannot be written": ({"metadata": {"generation": 9}}, "", 1),
}


class TestGeneration:
    @pytest.mark.parametrize(("patch", "part", "generation"), COUNTED.values(), ids=COUNTED.keys())
    async def test_generation(self, api: Client, patch: Json, part: str, generation: int) -> None:
        given = content()
        await created(api, given)
        after = (await api.merge(path_of(given) + part, patch)).ok()
        assert after["metadata"]["generation"] == generation


NEW_FINALIZERS: dict[str, tuple[str, object]] = {
    "by merge patch": ("application/merge-patch+json", {"metadata": {"finalizers": ["a/b", "c/d"]}}),
    "by JSON patch": (
        "application/json-patch+json",
        [{"op": "add", "path": "/metadata/finalizers/-", "value": "c/d"}],
    ),
}


PRECONDITIONS = {
    "of another uid": ({"uid": SOMEBODY_ELSE}, "UID"),
    "of another version": ({"resourceVersion": "1"}, "ResourceVersion"),
}


class TestDeletion:
    async def test_of_an_object_without_finalizers_is_immediate(self, api: Client) -> None:
        given = content()
        uid = (await created(api, given))["metadata"]["uid"]
        answer = await api.delete(path_of(given))
        assert answer.status == 200
        assert without(answer.body, "metadata") == {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Success",
            "details": {
                "name": given["metadata"]["name"],
                "group": "snapshot.storage.k8s.io",
                "kind": "volumesnapshotcontents",
                "uid": uid,
            },
        }
        assert (await api.get(path_of(given))).status == 404

    async def test_of_an_object_with_finalizers_only_marks_it(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        before = await created(api, given)
        answer = await api.delete(path_of(given))
        assert answer.status == 200
        metadata = answer.body["metadata"]
        assert metadata["deletionTimestamp"].endswith("Z")
        assert metadata["deletionGracePeriodSeconds"] == 0
        assert metadata["generation"] == 2
        assert int(metadata["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
        assert (await api.get(path_of(given))).ok() == answer.body

    async def test_again_while_terminating_changes_nothing(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        first, second = [(await api.delete(path_of(given))).ok() for _ in range(2)]
        assert first == second

    async def test_leaves_annotations_and_status_open_to_change(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        await api.delete(path_of(given))
        after = (await api.merge(path_of(given), {"metadata": {"annotations": {"a": "b"}}})).ok()
        assert after["metadata"]["annotations"] == {"a": "b"}
        after = (await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": False}})).ok()
        assert after["status"] == {"readyToUse": False}
        assert after["metadata"]["deletionTimestamp"]

    @pytest.mark.parametrize(("kind", "patch"), NEW_FINALIZERS.values(), ids=NEW_FINALIZERS.keys())
    async def test_forbids_new_finalizers(self, api: Client, kind: str, patch: object) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        await api.delete(path_of(given))
        answer = await api.request("PATCH", path_of(given), patch, kind)
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.reasons() == {"metadata.finalizers": "FieldValueForbidden"}
        assert "no new finalizers can be added if the object is being deleted" in answer.message
        assert "c/d" in answer.message

    @pytest.mark.parametrize("last", [None, []], ids=["null", "an empty list"])
    async def test_ends_when_the_last_finalizer_goes(self, api: Client, last: object) -> None:
        given = content(metadata={"finalizers": ["a/b", "c/d"]})
        await created(api, given)
        await api.delete(path_of(given))
        one = (await api.merge(path_of(given), {"metadata": {"finalizers": ["c/d"]}})).ok()
        assert one["metadata"]["finalizers"] == ["c/d"]
        gone = (await api.merge(path_of(given), {"metadata": {"finalizers": last}})).ok()
        assert "finalizers" not in gone["metadata"]
        assert (await api.get(path_of(given))).status == 404

    async def test_answers_the_removal_of_the_last_finalizer_with_the_object_in_its_old_version(
        self, api: Client
    ) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        marked = (await api.delete(path_of(given))).ok()
        gone = (
            await api.json_patch(
                path_of(given),
                {"op": "test", "path": "/metadata/finalizers", "value": ["a/b"]},
                {"op": "remove", "path": "/metadata/finalizers"},
            )
        ).ok()
        assert gone["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
        assert gone["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]

    async def test_cannot_be_taken_back(self, api: Client) -> None:
        given = content(metadata={"finalizers": ["a/b"]})
        await created(api, given)
        await api.delete(path_of(given))
        after = (await api.merge(path_of(given), {"metadata": {"deletionTimestamp": None}})).ok()
        assert after["metadata"]["deletionTimestamp"]

    async def test_cannot_be_done_by_writing_a_deletion_time(self, api: Client) -> None:
        given = content(metadata={"deletionTimestamp": "2024-01-01T00:00:00Z", "finalizers": ["a/b"]})
        after = await created(api, given)
        assert "deletionTimestamp" not in after["metadata"]

    async def test_makes_room_for_an_object_of_the_same_name_and_another_uid(self, api: Client) -> None:
        given = content()
        first = await created(api, given)
        (await api.delete(path_of(given))).ok()
        second = await created(api, given)
        assert first["metadata"]["uid"] != second["metadata"]["uid"]

    @pytest.mark.parametrize(("preconditions", "word"), PRECONDITIONS.values(), ids=PRECONDITIONS.keys())
    async def test_is_a_conflict(self, api: Client, preconditions: Json, word: str) -> None:
        given = content()
        await created(api, given)
        answer = await api.delete(path_of(given), {"preconditions": preconditions})
        assert (answer.status, answer.reason) == (409, "Conflict")
        assert f"the {word} in the precondition" in answer.message
        assert (await api.get(path_of(given))).status == 200

    async def test_of_the_expected_uid_and_version_succeeds(self, api: Client) -> None:
        given = content()
        metadata = (await created(api, given))["metadata"]
        options = {"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}}
        assert (await api.delete(path_of(given), options)).status == 200

    async def test_as_a_dry_run_deletes_nothing(self, api: Client) -> None:
        given = content()
        await created(api, given)
        assert (await api.delete(path_of(given), dryRun="All")).status == 200
        assert (await api.delete(path_of(given), {"dryRun": ["All"]})).status == 200
        assert (await api.get(path_of(given))).status == 200

    async def test_of_a_selection_leaves_the_rest(self, api: Client) -> None:
        label = new_name("label")
        chosen, other = content(metadata={"labels": {label: "a"}}), content(metadata={"labels": {label: "b"}})
        for each in (chosen, other):
            await created(api, each)
        assert (await api.delete(CONTENTS, labelSelector=f"{label}=a")).status == 200
        assert (await api.get(path_of(chosen))).status == 404
        assert (await api.get(path_of(other))).status == 200


async def test_of_concurrent_replacements_from_one_version_one_wins(api: Client) -> None:
    given = content()
    before = await created(api, given)
    bodies = [before | {"spec": before["spec"] | {"driver": f"driver-{number}"}} for number in range(8)]
    answers = await asyncio.gather(*(api.replace(path_of(given), each) for each in bodies))
    assert sorted(each.status for each in answers) == [200] + [409] * 7


async def test_a_terminating_object_keeps_its_name(api: Client) -> None:
    given = content(metadata={"finalizers": ["a/b"]})
    await created(api, given)
    await api.delete(path_of(given))
    answer = await api.create(CONTENTS, given)
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.message.startswith("object is being deleted: ")
