"""Webhooks that are asked whether they have something against a request: when, with what, and what users see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import SOON_SECONDS, Answer, Client, Json, Kubectl
from tests.contract.objects import (
    CLASSES,
    CONTENTS,
    collection_of,
    content,
    group_class,
    in_version,
    name_of,
    new_name,
    path_of,
    snapshot_class,
)
from tests.contract.webhooks import Reply, Webhook, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SNAPSHOT_GROUP = "snapshot.storage.k8s.io"
NAME = "judge.example.com"
PROBE = "probe"
"""The label of the objects by which a test sees which configurations are in force."""


def answer_to(review: Json, *, allowed: bool = True, **response: Any) -> Json:
    said = {"uid": review["request"]["uid"], "allowed": allowed, **response}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": said}


def allow(review: Json) -> Reply:
    return answer_to(review)


def deny(review: Json) -> Reply:
    return answer_to(review, allowed=False, status={"message": "not today"})


def rule(resources: str, operations: str = "CREATE UPDATE", group: str = SNAPSHOT_GROUP, **more: Any) -> Json:
    """What a webhook wants to be asked about; resources and operations are separated by blanks."""
    about = {"apiGroups": [group], "apiVersions": ["v1"], "resources": resources.split()}
    return about | {"operations": operations.split()} | more


def configuration(config: Json, *rules: Json, **webhook: Any) -> Json:
    hook = {
        "name": NAME,
        "clientConfig": config,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "rules": list(rules),
        **webhook,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": new_name("configuration")},
        "webhooks": [hook],
    }


async def caught_up(api: Client) -> None:
    """Return once the server follows the configurations as they are now.

    A real one reads them a moment later, but in their order: who follows a later one has read the earlier ones.
    """
    name = new_name("probe")
    async with serving(Webhook(deny)) as webhook:
        only = {"matchLabels": {PROBE: name}}
        probe = configuration(webhook.client_config, rule("volumesnapshotclasses"), objectSelector=only)
        (await api.create(CONFIGURATIONS, probe)).ok()
        probed = snapshot_class(metadata={"labels": {PROBE: name}})
        async with asyncio.timeout(SOON_SECONDS):
            while not webhook.asked:
                await api.create(CLASSES, probed, dryRun="All")
        await api.delete(f"{CONFIGURATIONS}/{name_of(probe)}")


@contextlib.asynccontextmanager
async def in_force(api: Client, webhook: Webhook, *rules: Json, **more: Any) -> AsyncIterator[Json]:
    """The configuration of the webhook, while the server follows it. It is about no probes."""
    more.setdefault("objectSelector", {"matchExpressions": [{"key": PROBE, "operator": "DoesNotExist"}]})
    given = configuration(webhook.client_config, *rules, **more)
    made = (await api.create(CONFIGURATIONS, given)).ok()
    await caught_up(api)
    yield made
    await api.delete(f"{CONFIGURATIONS}/{name_of(given)}")
    await caught_up(api)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(api: Client) -> AsyncIterator[Webhook]:
    """A webhook that is asked about the classes of this module's tests."""
    mine = {"matchLabels": {"module": "admission"}}
    async with serving(Webhook(allow)) as webhook:
        about = rule("volumesnapshotclasses", "*")
        async with in_force(api, webhook, about, objectSelector=mine, timeoutSeconds=5):
            yield webhook


@pytest_asyncio.fixture(loop_scope="session")
async def judge(shared: Webhook) -> AsyncIterator[Webhook]:
    """The webhook, which allows everything until the test says otherwise."""
    shared.answer = allow
    shared.asked.clear()
    shared.requests.clear()
    yield shared
    shared.answer = allow


def judged(**fields: Any) -> Json:
    """A class that the webhook is asked about."""
    return snapshot_class(metadata={"labels": {"module": "admission"}}, **fields)


async def test_a_creation_is_asked_about(api: Client, judge: Webhook) -> None:
    given = judged()
    made = (await api.create(CLASSES, given, fieldManager="me")).ok()
    (review,), (request,) = judge.asked, judge.requests
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    asked = judge.last()
    kind = {"group": SNAPSHOT_GROUP, "version": "v1", "kind": "VolumeSnapshotClass"}
    resource = {"group": SNAPSHOT_GROUP, "version": "v1", "resource": "volumesnapshotclasses"}
    assert (asked["kind"], asked["requestKind"]) == (kind, kind)
    assert (asked["resource"], asked["requestResource"]) == (resource, resource)
    assert "subResource" not in asked
    assert "namespace" not in asked
    assert (asked["name"], asked["operation"], asked["dryRun"]) == (name_of(given), "CREATE", False)
    assert asked["oldObject"] is None
    assert asked["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert "resourceVersion" not in asked["object"]["metadata"]
    assert asked["object"]["driver"] == made["driver"]
    assert asked["userInfo"]["username"] == "admin"
    assert "system:masters" in asked["userInfo"]["groups"]
    assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"}
    assert (request.method, request.path, dict(request.query)) == ("POST", "/hook", {"timeout": "5s"})


async def test_an_update_is_asked_about_with_what_was_before(api: Client, judge: Webhook) -> None:
    given = judged()
    made = (await api.create(CLASSES, given)).ok()
    (await api.merge(path_of(given), {"driver": "other.example.com"})).ok()
    asked = judge.last()
    assert (asked["operation"], asked["options"]["kind"]) == ("UPDATE", "UpdateOptions")
    assert (asked["oldObject"]["driver"], asked["object"]["driver"]) == (made["driver"], "other.example.com")
    version = made["metadata"]["resourceVersion"]
    assert asked["object"]["metadata"]["resourceVersion"] == version
    assert asked["oldObject"]["metadata"]["resourceVersion"] == version


async def test_a_change_that_changes_nothing_is_asked_about_too(api: Client, judge: Webhook) -> None:
    given = judged()
    (await api.create(CLASSES, given)).ok()
    judge.answer = deny
    assert (await api.merge(path_of(given), {"driver": given["driver"]})).status == 400


async def test_a_deletion_is_asked_about_with_what_there_is(api: Client, judge: Webhook) -> None:
    given = judged()
    (await api.create(CLASSES, given)).ok()
    judge.answer = deny
    assert (await api.delete(path_of(given))).status == 400
    asked = judge.last()
    assert (asked["operation"], asked["object"]) == ("DELETE", None)
    assert asked["oldObject"]["driver"] == given["driver"]
    assert asked["options"]["kind"] == "DeleteOptions"
    assert (await api.get(path_of(given))).status == 200


async def test_a_dry_run_is_told_as_one(api: Client, judge: Webhook) -> None:
    (await api.create(CLASSES, judged(), dryRun="All")).ok()
    asked = judge.last()
    assert asked["dryRun"] is True
    assert asked["options"]["dryRun"] == ["All"]


async def test_what_is_applied_and_absent_is_created(api: Client, judge: Webhook) -> None:
    given = judged()
    options = {"content_type": "application/apply-patch+yaml", "fieldManager": "me"}
    (await api.request("PATCH", path_of(given), given, **options)).ok()
    assert judge.last()["operation"] == "CREATE"
    (await api.request("PATCH", path_of(given), given | {"driver": "other"}, **options)).ok()
    assert judge.last()["operation"] == "UPDATE"


async def test_a_name_that_the_server_made_up_is_told(api: Client, judge: Webhook) -> None:
    given = judged() | {"metadata": {"generateName": "made-up-", "labels": {"module": "admission"}}}
    made = (await api.create(CLASSES, given)).ok()
    assert judge.last()["name"] == made["metadata"]["name"]


async def test_invalid_objects_are_refused_unasked_and_existing_ones_are_not(api: Client, judge: Webhook) -> None:
    assert (await api.create(CLASSES, judged(deletionPolicy="Keep"))).status == 422
    assert judge.asked == []
    given = judged()
    (await api.create(CLASSES, given)).ok()
    judge.answer = deny
    assert (await api.create(CLASSES, given)).status == 400


def check_denied(answer: Answer, code: int, reason: str, end: str) -> None:
    assert (answer.status, answer.reason) == (code, reason), answer
    assert answer.message == f'admission webhook "{NAME}" denied the request{end}'


# What the webhook says, and which code, reason and end of the message users get.
DENIALS: dict[str, tuple[Json, int, str, str]] = {
    "nothing": ({}, 400, "", " without explanation"),
    "a message": ({"message": "not today"}, 400, "", ": not today"),
    "a message and a code": ({"message": "no", "code": 409, "reason": "Conflict"}, 409, "Conflict", ": no"),
    "a reason": ({"reason": "Whim"}, 400, "Whim", ": Whim"),
    "a code": ({"code": 418}, 418, "", " without explanation"),
}


@pytest.mark.parametrize(("status", "code", "reason", "end"), DENIALS.values(), ids=DENIALS.keys())
async def test_a_denial_says(api: Client, judge: Webhook, status: Json, code: int, reason: str, end: str) -> None:
    judge.answer = lambda review: answer_to(review, allowed=False, status=status)
    given = judged()
    check_denied(await api.create(CLASSES, given), code, reason, end)
    assert (await api.get(path_of(given))).status == 404


async def test_warnings_reach_the_user_whether_it_is_allowed_or_not(api: Client, judge: Webhook) -> None:
    judge.answer = lambda review: answer_to(review, warnings=["careful", "again"])
    made = await api.create(CLASSES, judged())
    assert (made.status, made.warnings) == (201, ('299 - "careful"', '299 - "again"'))
    judge.answer = lambda review: answer_to(review, allowed=False, warnings=["careful"])
    refused = await api.create(CLASSES, judged())
    assert (refused.status, refused.warnings) == (400, ('299 - "careful"',))


FAILURES: dict[str, tuple[Callable[[Json], Reply], str]] = {
    "another question is answered": (
        lambda review: answer_to(review) | {"response": {"uid": "other", "allowed": True}},
        ', got "other"',
    ),
    "the answer is absent": (
        lambda review: {"apiVersion": review["apiVersion"], "kind": review["kind"]},
        ": received invalid webhook response: webhook response was absent",
    ),
    "the answer has a patch": (
        lambda review: answer_to(review, patch="W10=", patchType="JSONPatch"),
        ": received invalid webhook response: validating webhook may not return response.patch",
    ),
    "the answer is no JSON": (lambda _: b"garbage", ""),
    "it breaks": (
        lambda _: 500,
        ': failed to call webhook: an error on the server ("no review") has prevented the request from succeeding',
    ),
    "it hangs up": (lambda _: None, ": EOF"),
}


@pytest.mark.parametrize(("answer", "end"), FAILURES.values(), ids=FAILURES.keys())
async def test_nothing_goes_without_the_webhook_when(
    api: Client, judge: Webhook, answer: Callable[[Json], Reply], end: str
) -> None:
    judge.answer = answer
    given = judged()
    refused = await api.create(CLASSES, given)
    assert (refused.status, refused.reason) == (500, "InternalError")
    start = f'failed calling webhook "{NAME}": '
    assert refused.message.startswith(f"Internal error occurred: {start}")
    assert refused.message.endswith(end)
    (cause,) = refused.body["details"]["causes"]
    assert f"Internal error occurred: {cause['message']}" == refused.message
    assert (await api.get(path_of(given))).status == 404


async def test_a_webhook_whose_failure_is_ignored_can_deny_but_not_fail(api: Client) -> None:
    mine = {"matchLabels": {"ignored": "yes"}}
    async with serving(Webhook(deny)) as webhook:
        more = {"failurePolicy": "Ignore", "objectSelector": mine}
        async with in_force(api, webhook, rule("volumesnapshotclasses"), **more):
            given = snapshot_class(metadata={"labels": {"ignored": "yes"}})
            check_denied(await api.create(CLASSES, given), 400, "", ": not today")
            for answer in (500, None, b"garbage"):
                webhook.answer = lambda _, answer=answer: answer  # type: ignore[misc]
                (await api.create(CLASSES, snapshot_class(metadata=given["metadata"] | {"name": new_name()}))).ok()


async def test_labels_choose_before_and_after(api: Client, judge: Webhook) -> None:
    given = snapshot_class()
    (await api.create(CLASSES, given)).ok()
    assert judge.asked == []
    for labels, is_asked in (({"module": "admission"}, True), ({"module": None}, True), ({"other": "x"}, False)):
        judge.asked.clear()
        (await api.merge(path_of(given), {"metadata": {"labels": labels}})).ok()
        assert bool(judge.asked) is is_asked


async def test_expressions_choose(api: Client) -> None:
    def expression(key: str, operator: str, *values: str) -> Json:
        return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}

    chosen = {
        "matchExpressions": [
            expression("a", "In", "1", "2"),
            expression("b", "NotIn", "1"),
            expression("c", "Exists"),
            expression("d", "DoesNotExist"),
        ]
    }
    cases = [
        ({"a": "1", "c": "x"}, True),
        ({"a": "2", "b": "2", "c": "x"}, True),
        ({"a": "3", "c": "x"}, False),
        ({"a": "1", "b": "1", "c": "x"}, False),
        ({"a": "1"}, False),
        ({"a": "1", "c": "x", "d": "x"}, False),
    ]
    async with (
        serving(Webhook(deny)) as webhook,
        in_force(api, webhook, rule("volumesnapshotclasses"), objectSelector=chosen),
    ):
        for labels, is_asked in cases:
            answer = await api.create(CLASSES, snapshot_class(metadata={"labels": labels}))
            assert answer.status == (400 if is_asked else 201), labels


async def test_namespaces_choose_what_lives_in_them_and_nothing_else(api: Client) -> None:
    only = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    maps, classes = rule("configmaps", group=""), rule("volumesnapshotclasses")
    async with serving(Webhook(deny)) as webhook, in_force(api, webhook, maps, classes, namespaceSelector=only):
        given = {"metadata": {"generateName": "admitted-"}}
        found = [
            (await api.create(f"/api/v1/namespaces/{name}/configmaps", given)).status
            for name in ("default", "kube-system")
        ]
        assert found == [201, 400]
        assert webhook.last()["namespace"] == "kube-system"
        assert (await api.create(CLASSES, snapshot_class())).status == 400


async def test_the_scope_chooses(api: Client) -> None:
    async with serving(Webhook(deny)) as webhook:
        about = [rule("*", group="", scope="Cluster"), rule("volumesnapshots", scope="Cluster")]
        async with in_force(api, webhook, *about):
            given = {"metadata": {"name": new_name("node")}}
            assert (await api.create("/api/v1/nodes", given)).status == 400
            assert (await api.create("/api/v1/namespaces/default/configmaps", given)).status == 201


async def test_a_subresource_is_asked_about_apart(api: Client) -> None:
    given = content()
    async with (
        serving(Webhook(deny)) as webhook,
        in_force(api, webhook, rule("volumesnapshotcontents/status", "*")),
    ):
        (await api.create(CONTENTS, given)).ok()
        (await api.merge(path_of(given), {"metadata": {"labels": {"a": "b"}}})).ok()
        refused = await api.merge(f"{path_of(given)}/status", {"status": {"readyToUse": True}})
        assert refused.status == 400
        asked = webhook.last()
        assert (asked["subResource"], asked["requestSubResource"]) == ("status", "status")


async def test_other_versions_are_asked_about_in_the_one_that_the_rule_names(api: Client) -> None:
    mine = {"matchLabels": {"equivalent": "yes"}}
    about = rule("volumegroupsnapshotclasses", group="groupsnapshot.storage.k8s.io", apiVersions=["v1beta2"])
    given = group_class(metadata={"labels": {"equivalent": "yes"}})
    async with serving(Webhook(deny)) as webhook:
        async with in_force(api, webhook, about, objectSelector=mine):
            assert (await api.create(collection_of(given), given)).status == 400
            asked = webhook.last()
            seen = (asked["kind"]["version"], asked["resource"]["version"], asked["object"]["apiVersion"])
            assert seen == ("v1beta2", "v1beta2", "groupsnapshot.storage.k8s.io/v1beta2")
            assert (asked["requestKind"]["version"], asked["requestResource"]["version"]) == ("v1", "v1")
        async with in_force(api, webhook, about, objectSelector=mine, matchPolicy="Exact"):
            assert (await api.create(collection_of(given), given)).status == 201
            old = in_version(group_class(metadata={"labels": {"equivalent": "yes"}}), "v1beta2")
            assert (await api.create(collection_of(old), old)).status == 400


async def test_its_own_configuration_can_be_removed_whatever_it_says(api: Client) -> None:
    everything = rule("*/*", "*", "*", apiVersions=["*"])
    mine = {"matchLabels": {"own": "configuration"}}
    async with serving(Webhook(deny)) as webhook, in_force(api, webhook, everything, objectSelector=mine) as made:
        labelled = {"metadata": {"labels": {"own": "configuration"}}}
        path = f"{CONFIGURATIONS}/{made['metadata']['name']}"
        assert (await api.merge(path, labelled)).status == 200
        assert (await api.delete(path)).status == 200


async def test_a_configuration_is_completed(api: Client) -> None:
    config = {"service": {"name": "a", "namespace": "b"}}
    made = (await api.create(CONFIGURATIONS, configuration(config, rule("pods")), dryRun="All")).ok()
    (hook,) = made["webhooks"]
    assert hook["clientConfig"] == {"service": {"name": "a", "namespace": "b", "port": 443}}
    assert hook["rules"] == [rule("pods") | {"scope": "*"}]
    expected = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
    }
    assert expected.items() <= hook.items()
    assert made["metadata"]["generation"] == 1


CONFIG = {"url": "https://webhook.example.com/admit"}
HOOK = "webhooks[0]"

REFUSED: dict[str, tuple[Json, set[str]]] = {
    "a short name": ({"name": "short"}, {f"{HOOK}.name"}),
    "an unknown failure policy": ({"failurePolicy": "Panic"}, {f"{HOOK}.failurePolicy"}),
    "an unknown match policy": ({"matchPolicy": "Similar"}, {f"{HOOK}.matchPolicy"}),
    "no word on side effects": ({"sideEffects": None}, {f"{HOOK}.sideEffects"}),
    "side effects": ({"sideEffects": "Some"}, {f"{HOOK}.sideEffects"}),
    "no time": ({"timeoutSeconds": 0}, {f"{HOOK}.timeoutSeconds"}),
    "too much time": ({"timeoutSeconds": 31}, {f"{HOOK}.timeoutSeconds"}),
    "no review versions": ({"admissionReviewVersions": []}, {f"{HOOK}.admissionReviewVersions"}),
    "unknown review versions": ({"admissionReviewVersions": ["v9"]}, {f"{HOOK}.admissionReviewVersions"}),
    "no place": ({"clientConfig": {}}, {f"{HOOK}.clientConfig"}),
    "a place without TLS": ({"clientConfig": {"url": "http://a.example.com"}}, {f"{HOOK}.clientConfig.url"}),
    "an unknown operation": ({"rules": [rule("pods", "DANCE")]}, {f"{HOOK}.rules[0].operations[0]"}),
    "a rule about nothing": (
        {"rules": [{"operations": [], "apiGroups": [], "apiVersions": [], "resources": []}]},
        {f"{HOOK}.rules[0].{each}" for each in ("operations", "apiGroups", "apiVersions", "resources")},
    ),
    "an unnamed version": ({"rules": [rule("pods", apiVersions=[""])]}, {f"{HOOK}.rules[0].apiVersions[0]"}),
    "everything and more": (
        {"rules": [rule("*/* pods", "* CREATE")]},
        {f"{HOOK}.rules[0].operations", f"{HOOK}.rules[0].resources"},
    ),
    "an unknown scope": ({"rules": [rule("pods", scope="Galaxy")]}, {f"{HOOK}.rules[0].scope"}),
}


@pytest.mark.parametrize(("change", "fields"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_configuration_is_refused_with(api: Client, change: Json, fields: set[str]) -> None:
    answer = await api.create(CONFIGURATIONS, configuration(CONFIG, **change))
    assert (answer.status, set(answer.causes)) == (422, fields), answer


async def test_two_webhooks_of_one_configuration_have_two_names(api: Client) -> None:
    given = configuration(CONFIG)
    answer = await api.create(CONFIGURATIONS, given | {"webhooks": given["webhooks"] * 2})
    assert (answer.status, answer.reasons()) == (422, {"webhooks[1].name": "FieldValueDuplicate"})


@pytest.mark.kubectl
async def test_kubectl_shows_what_a_webhook_said(kubectl: Kubectl, judge: Webhook) -> None:
    judge.answer = deny
    output = await kubectl.apply(judged())
    assert output.code == 1
    assert f'admission webhook "{NAME}" denied the request: not today' in output.err
    row = (await kubectl("get", "validatingwebhookconfigurations", "--no-headers")).ok().split()
    assert row[1] == "1"
