"""Definitions whose versions are converted by a webhook: what it is asked, what is demanded of it, what users see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import SOON_SECONDS, Answer, Client, Json
from tests.contract.objects import new_name
from tests.contract.webhooks import Reply, Webhook, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def converted(given: Json, wanted: str) -> Json:
    """A gadget has a `size` in v1, and an `oldSize` in v1beta1."""
    old, new = ("size", "oldSize") if wanted.endswith("/v1beta1") else ("oldSize", "size")
    spec = {new if name == old else name: value for name, value in given.get("spec", {}).items()}
    return {**given, "apiVersion": wanted, "spec": spec}


def answer_to(review: Json, *objects: Json, **response: Any) -> Json:
    """A review with this answer."""
    result = {"uid": review["request"]["uid"], "convertedObjects": list(objects), "result": {"status": "Success"}}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": result | response}


def convert(review: Json) -> Reply:
    """The right answer."""
    request = review["request"]
    return answer_to(review, *(converted(each, request["desiredAPIVersion"]) for each in request["objects"]))


def but(change: Callable[[Json], object]) -> Callable[[Json], Reply]:
    """The right answer, with a change to the object in it."""

    def answer(review: Json) -> Reply:
        request = review["request"]
        (given,) = request["objects"]
        changed = converted(given, request["desiredAPIVersion"])
        changed["metadata"] = dict(changed["metadata"])
        change(changed)
        return answer_to(review, changed)

    return answer


def schema(*integers: str) -> Json:
    sizes = {name: {"type": "integer", "minimum": 1} for name in integers}
    spec = {"type": "object", "properties": {**sizes, "mode": {"type": "string"}}}
    status = {"type": "object", "properties": {"state": {"type": "string"}}}
    return {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}


def definition(group: str, conversion: Json | None = None) -> Json:
    common = {"served": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
            "versions": [
                common | {"name": "v1", "storage": True, "schema": schema("size")},
                common | {"name": "v1beta1", "storage": False, "schema": schema("oldSize")},
            ],
            **({} if conversion is None else {"conversion": conversion}),
        },
    }


def by_webhook(config: Json) -> Json:
    return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": config}}


@dataclass
class Gadgets:
    """A kind that the webhook converts. The webhook answers as `webhook.answer` says."""

    api: Client
    webhook: Webhook
    group: str

    def path(self, version: str, name: str = "") -> str:
        return "/".join(part for part in ("/apis", self.group, version, "gadgets", name) if part)

    def made(self, version: str, name: str = "", **spec: Any) -> Json:
        return {
            "apiVersion": f"{self.group}/{version}",
            "kind": "Gadget",
            "metadata": {"name": name or new_name("gadget")},
            "spec": spec,
        }

    async def create(self, size: int) -> str:
        """Create one at the stored version; its name."""
        made = (await self.api.create(self.path("v1"), self.made("v1", size=size))).ok()
        return str(made["metadata"]["name"])

    async def wait_until_served(self) -> None:
        async with asyncio.timeout(SOON_SECONDS):
            for version in ("v1", "v1beta1"):
                while (await self.api.get(self.path(version))).status != 200:  # noqa: ASYNC110 - one can only ask
                    await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def gadgets_of(api: Client, webhook: Webhook) -> AsyncIterator[Gadgets]:
    group = f"{new_name('gadgets')}.example.com"
    given = definition(group, by_webhook(webhook.client_config))
    (await api.create(DEFINITIONS, given)).ok()
    found = Gadgets(api, webhook, group)
    await found.wait_until_served()
    yield found
    webhook.answer = convert
    await api.delete(f"{DEFINITIONS}/{given['metadata']['name']}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(api: Client) -> AsyncIterator[Gadgets]:
    async with serving(Webhook(convert)) as webhook, gadgets_of(api, webhook) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def gadgets(shared: Gadgets) -> AsyncIterator[Gadgets]:
    """Gadgets, with a webhook that answers rightly until the test says otherwise."""
    shared.webhook.answer = convert
    yield shared
    shared.webhook.answer = convert


async def test_an_object_is_seen_in_each_version(gadgets: Gadgets) -> None:
    given = gadgets.made("v1beta1", oldSize=3, mode="a")
    name = given["metadata"]["name"]
    made = (await gadgets.api.create(gadgets.path("v1beta1"), given)).ok()
    assert (made["apiVersion"], made["spec"]) == (given["apiVersion"], given["spec"])
    new, old = [(await gadgets.api.get(gadgets.path(each, name))).ok() for each in ("v1", "v1beta1")]
    assert (new["apiVersion"], new["spec"]) == (f"{gadgets.group}/v1", {"size": 3, "mode": "a"})
    assert old == made
    assert without_managers(new["metadata"]) == without_managers(old["metadata"])


def without_managers(metadata: Json) -> Json:
    return {key: value for key, value in metadata.items() if key != "managedFields"}


async def test_an_object_is_changed_in_each_version(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    old, new = gadgets.path("v1beta1", name), gadgets.path("v1", name)
    merged = (await gadgets.api.merge(old, {"spec": {"oldSize": 2}})).ok()
    assert (merged["spec"], merged["metadata"]["generation"]) == ({"oldSize": 2}, 2)
    again = (await gadgets.api.merge(old, {"spec": {"oldSize": 2}})).ok()
    assert again["metadata"]["resourceVersion"] == merged["metadata"]["resourceVersion"]
    step = {"op": "replace", "path": "/spec/oldSize", "value": 3}
    assert (await gadgets.api.json_patch(old, step)).ok()["spec"] == {"oldSize": 3}
    assert (await gadgets.api.merge(f"{old}/status", {"status": {"state": "x"}})).ok()["status"] == {"state": "x"}
    assert (await gadgets.api.merge(new, {"spec": {"size": 4}})).ok()["spec"] == {"size": 4}
    found = (await gadgets.api.get(old)).ok()
    replaced = (await gadgets.api.replace(old, found | {"spec": {"oldSize": 5}})).ok()
    assert (replaced["spec"], replaced["status"]) == ({"oldSize": 5}, {"state": "x"})
    stale = await gadgets.api.replace(old, found)
    assert (stale.status, stale.reason) == (409, "Conflict")
    wanted = gadgets.made("v1beta1", name, oldSize=6)
    options = {"fieldManager": "me", "force": "true"}
    applied = await gadgets.api.request("PATCH", old, wanted, "application/apply-patch+yaml", **options)
    assert applied.ok()["spec"] == {"oldSize": 6}
    assert (await gadgets.api.get(new)).ok()["spec"] == {"size": 6}


async def test_what_is_absent_may_be_applied(gadgets: Gadgets) -> None:
    wanted = gadgets.made("v1beta1", oldSize=6)
    path = gadgets.path("v1beta1", wanted["metadata"]["name"])
    answer = await gadgets.api.request("PATCH", path, wanted, "application/apply-patch+yaml", fieldManager="me")
    assert (answer.status, answer.body["spec"]) == (201, {"oldSize": 6})


async def test_the_version_of_the_request_decides_what_is_valid(gadgets: Gadgets) -> None:
    refused = await gadgets.api.create(gadgets.path("v1beta1"), gadgets.made("v1beta1", oldSize=0))
    assert (refused.status, set(refused.causes)) == (422, {"spec.oldSize"})
    made = (await gadgets.api.create(gadgets.path("v1beta1"), gadgets.made("v1beta1", size=7))).ok()
    assert made["spec"] == {}


async def test_lists_and_watches_are_in_the_version_that_is_asked_for(gadgets: Gadgets) -> None:
    old = gadgets.path("v1beta1")
    before = await gadgets.create(1)
    since = (await gadgets.api.get(old)).ok()["metadata"]["resourceVersion"]
    async with gadgets.api.watch(old, resourceVersion=since) as watch:
        name = await gadgets.create(2)
        assert (await watch.expect("ADDED", name))["spec"] == {"oldSize": 2}
        (await gadgets.api.merge(gadgets.path("v1", name), {"spec": {"size": 3}})).ok()
        assert (await watch.expect("MODIFIED", name))["spec"] == {"oldSize": 3}
        (await gadgets.api.delete(gadgets.path("v1beta1", name))).ok()
        gone = await watch.expect("DELETED", name)
        assert (gone["apiVersion"], gone["spec"]) == (f"{gadgets.group}/v1beta1", {"oldSize": 3})
    listed = (await gadgets.api.get(old)).ok()
    assert (listed["apiVersion"], listed["kind"]) == (f"{gadgets.group}/v1beta1", "GadgetList")
    assert {each["apiVersion"] for each in listed["items"]} == {f"{gadgets.group}/v1beta1"}
    specs = {each["metadata"]["name"]: each["spec"] for each in listed["items"]}
    assert specs[before] == {"oldSize": 1}
    async with gadgets.api.watch(old, fieldSelector=f"metadata.name={before}") as watch:
        assert (await watch.expect("ADDED", before))["spec"] == {"oldSize": 1}


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"


async def test_tables_and_metadata_are_of_the_version_that_is_asked_for(gadgets: Gadgets) -> None:
    name = await gadgets.create(4)
    old = gadgets.path("v1beta1")
    one = (await gadgets.api.get(f"{old}/{name}", accept=TABLE, includeObject="Object")).ok()
    assert [row["object"]["spec"] for row in one["rows"]] == [{"oldSize": 4}]
    many = (await gadgets.api.get(old, accept=TABLE, includeObject="Object")).ok()
    assert {"oldSize": 4} in [row["object"]["spec"] for row in many["rows"]]
    for path, form in ((f"{old}/{name}", PARTIAL.format("")), (old, PARTIAL.format("List"))):
        found = (await gadgets.api.get(path, accept=form)).ok()
        assert all("spec" not in each for each in (found, *found.get("items", [])))
        assert name in str(found)


async def test_one_that_waits_for_its_finalizers_is_deleted_in_the_other_version(gadgets: Gadgets) -> None:
    given = gadgets.made("v1", size=2)
    given["metadata"]["finalizers"] = ["example.com/wait"]
    (await gadgets.api.create(gadgets.path("v1"), given)).ok()
    old = gadgets.path("v1beta1", given["metadata"]["name"])
    marked = (await gadgets.api.delete(old)).ok()
    assert marked["spec"] == {"oldSize": 2}
    assert "deletionTimestamp" in marked["metadata"]
    (await gadgets.api.merge(old, {"metadata": {"finalizers": None}})).ok()
    assert (await gadgets.api.get(old)).status == 404


async def test_many_are_deleted_in_the_other_version(api: Client) -> None:
    async with serving(Webhook(convert)) as webhook, gadgets_of(api, webhook) as few:
        names = {await few.create(size) for size in (1, 2)}
        gone = (await api.delete(few.path("v1beta1"))).ok()
        assert {each["metadata"]["name"] for each in gone["items"]} == names
        assert (await api.get(few.path("v1"))).ok()["items"] == []


async def test_a_dry_run_stores_nothing(gadgets: Gadgets) -> None:
    given = gadgets.made("v1beta1", oldSize=3)
    made = (await gadgets.api.create(gadgets.path("v1beta1"), given, dryRun="All")).ok()
    assert made["spec"] == {"oldSize": 3}
    assert (await gadgets.api.get(gadgets.path("v1", given["metadata"]["name"]))).status == 404


async def test_the_webhook_is_asked_with_a_review(gadgets: Gadgets) -> None:
    given = gadgets.made("v1beta1", oldSize=3)
    since = len(gadgets.webhook.asked)
    made = (await gadgets.api.create(gadgets.path("v1beta1"), given)).ok()
    review, request = gadgets.webhook.asked[since], gadgets.webhook.requests[since]
    assert (review["apiVersion"], review["kind"]) == ("apiextensions.k8s.io/v1", "ConversionReview")
    asked = review["request"]
    assert asked["uid"]
    assert asked["desiredAPIVersion"] == f"{gadgets.group}/v1"
    (sent,) = asked["objects"]
    assert (sent["apiVersion"], sent["kind"], sent["spec"]) == (given["apiVersion"], "Gadget", {"oldSize": 3})
    assert sent["metadata"]["uid"] == made["metadata"]["uid"]
    assert (request.method, request.path, dict(request.query)) == ("POST", "/hook", {"timeout": "30s"})
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json, */*"
    assert request.headers["User-Agent"] == "kube-apiserver-admission"
    (other, *_) = [each["request"] for each in gadgets.webhook.asked[since + 1 :]]
    assert other["desiredAPIVersion"] == f"{gadgets.group}/v1beta1"
    assert other["uid"] != asked["uid"]


async def test_nobody_is_asked_about_the_stored_version(gadgets: Gadgets) -> None:
    gadgets.webhook.answer = lambda _: 500
    name = await gadgets.create(1)
    path = gadgets.path("v1", name)
    assert (await gadgets.api.get(path)).status == 200
    assert (await gadgets.api.merge(path, {"spec": {"size": 2}})).status == 200
    assert (await gadgets.api.get(gadgets.path("v1"))).status == 200
    assert (await gadgets.api.delete(path)).status == 200


async def test_lists_ask_nobody_once_they_are_known(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    old = gadgets.path("v1beta1")
    assert name in {each["metadata"]["name"] for each in (await gadgets.api.get(old)).ok()["items"]}
    gadgets.webhook.answer = lambda _: 500
    assert (await gadgets.api.get(old)).status == 200
    assert (await gadgets.api.get(f"{old}/{name}")).status == 500


# What the webhook answers, and the end of the message that users get.
FAILURES: dict[str, tuple[Callable[[Json], Reply], str]] = {
    "it fails with a message": (
        lambda review: answer_to(review, result={"status": "Failure", "message": "no way"}),
        " failed: no way",
    ),
    "it fails without a message": (
        lambda review: answer_to(review, result={"status": "Failure"}),
        " failed: response.result.status was 'Failure', not 'Success'",
    ),
    "it gives no result": (
        lambda review: answer_to(review, result=None),
        " failed: response.result.status was '', not 'Success'",
    ),
    "it answers another question": (lambda review: answer_to(review, uid="other"), ', got "other"'),
    "it gives too few objects": (answer_to, " returned 0 objects, expected 1"),
    "it gives another version": (
        but(lambda made: made.update(apiVersion="other.example.com/v9")),
        ", received other.example.com/v9)",
    ),
    "it gives another kind": (
        but(lambda made: made.update(kind="Other")),
        " returned invalid object at index 0: invalid kind (expected Gadget, received Other)",
    ),
    "it changes the name": (
        but(lambda made: made["metadata"].update(name="other")),
        " != other",
    ),
    "it changes the namespace": (
        but(lambda made: made["metadata"].update(namespace="other")),
        " returned invalid object: must have the same namespace:  != other",
    ),
    "it changes the uid": (but(lambda made: made["metadata"].update(uid="other")), " != other"),
    "it gives no answer": (
        lambda review: {name: review[name] for name in ("apiVersion", "kind")},
        " failed: no response provided",
    ),
    "it drops the metadata": (but(lambda made: made.pop("metadata")), " != "),
    "it sets a label that is no string": (
        but(lambda made: made["metadata"].update(labels={"a": 3})),
        " returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
    ),
    "it answers no review": (
        lambda _: {},
        " failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
    ),
    "it answers no JSON": (lambda _: b"garbage", ""),
    "it breaks": (
        lambda _: 500,
        ' failed: an error on the server ("no review") has prevented the request from succeeding',
    ),
    "it is not ready": (lambda _: 503, " failed: the server is currently unable to handle the request"),
    "it does not know the path": (lambda _: 404, " failed: the server could not find the requested resource"),
    "it hangs up": (lambda _: None, ": EOF"),
}


def check_failure(answer: Answer, gadgets: Gadgets, end: str) -> None:
    assert (answer.status, answer.reason) == (500, ""), answer
    assert answer.message.startswith(f"conversion webhook for {gadgets.group}/v1"), answer
    assert ", Kind=Gadget " in answer.message
    assert answer.message.endswith(end), answer


@pytest.mark.parametrize(("answer", "end"), FAILURES.values(), ids=FAILURES.keys())
async def test_users_are_told_when(gadgets: Gadgets, answer: Callable[[Json], Reply], end: str) -> None:
    name = await gadgets.create(1)
    gadgets.webhook.answer = answer
    check_failure(await gadgets.api.get(gadgets.path("v1beta1", name)), gadgets, end)
    given = gadgets.made("v1beta1", oldSize=1)
    check_failure(await gadgets.api.create(gadgets.path("v1beta1"), given), gadgets, end)
    gadgets.webhook.answer = convert
    assert (await gadgets.api.get(gadgets.path("v1", given["metadata"]["name"]))).status == 404


async def test_an_answer_that_is_no_object_is_an_error(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    gadgets.webhook.answer = lambda review: answer_to(review, convertedObjects=["x"])
    answer = await gadgets.api.get(gadgets.path("v1beta1", name))
    assert (answer.status, "cannot unmarshal string" in answer.message) == (500, True)


async def test_nothing_works_in_the_other_version_without_the_webhook(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    path = gadgets.path("v1beta1", name)
    found = (await gadgets.api.get(path)).ok()
    gadgets.webhook.answer = lambda review: answer_to(review, result={"status": "Failure", "message": "no way"})
    for answer in (
        await gadgets.api.merge(path, {"spec": {"oldSize": 2}}),
        await gadgets.api.replace(path, found),
        await gadgets.api.delete(path),
    ):
        check_failure(answer, gadgets, " failed: no way")
    assert (await gadgets.api.delete(gadgets.path("v1beta1", "absent"))).status == 404
    # What has changed meanwhile cannot be listed there.
    (await gadgets.api.merge(gadgets.path("v1", name), {"spec": {"size": 3}})).ok()
    assert (await gadgets.api.get(gadgets.path("v1beta1"))).status in (429, 500)
    gadgets.webhook.answer = convert
    assert (await gadgets.api.get(path)).ok()["spec"] == {"oldSize": 3}
    async with asyncio.timeout(SOON_SECONDS):
        while (listed := await gadgets.api.get(gadgets.path("v1beta1"))).status != 200:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    assert name in {each["metadata"]["name"] for each in listed.body["items"]}


async def test_of_the_metadata_only_labels_and_annotations_can_be_changed(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    before = (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    gadgets.webhook.answer = but(
        lambda made: made["metadata"].update(
            labels={"l": "x"},
            annotations={"a": "x"},
            finalizers=["example.com/f"],
            generation=77,
            ownerReferences=[owner],
            resourceVersion="1",
            creationTimestamp="2000-01-01T00:00:00Z",
        )
    )
    after = (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()["metadata"]
    assert after == before | {"labels": {"l": "x"}, "annotations": {"a": "x"}}


async def test_what_the_version_does_not_know_is_dropped_from_the_answer(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)
    gadgets.webhook.answer = but(lambda made: made["spec"].update(nonsense=1))
    assert (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()["spec"] == {"oldSize": 1}


async def test_a_certificate_of_somebody_else_is_not_trusted(api: Client) -> None:
    async with (
        serving(Webhook(convert)) as webhook,
        serving(Webhook(convert)) as other,
        gadgets_of(api, webhook) as few,
    ):
        name = await few.create(1)
        config = {"url": webhook.url, "caBundle": other.bundle}
        patch = {"spec": {"conversion": by_webhook(config)}}
        (await api.merge(f"{DEFINITIONS}/gadgets.{few.group}", patch)).ok()
        async with asyncio.timeout(SOON_SECONDS):
            while (answer := await api.get(few.path("v1beta1", name))).status == 200:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        check_failure(answer, few, "")
        assert f'Post "{webhook.url}?timeout=30s": ' in answer.message
        assert "certificate" in answer.message


async def test_concurrent_writers_in_several_versions_lose_nothing(gadgets: Gadgets) -> None:
    name = await gadgets.create(1)

    async def label(number: int) -> None:
        path = gadgets.path("v1" if number % 2 else "v1beta1", name)
        patch = {"metadata": {"labels": {f"l{number}": "x"}}}
        async with asyncio.timeout(SOON_SECONDS):
            # A real server gives up on a patch that was overtaken several times.
            while (answer := await gadgets.api.merge(path, patch)).status == 409:
                continue
        answer.ok()

    await asyncio.gather(*map(label, range(6)))
    found = (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()
    assert found["metadata"]["labels"] == {f"l{number}": "x" for number in range(6)}
    assert found["spec"] == {"oldSize": 1}


CONFIG = {"url": "https://webhook.example.com/convert"}
SERVICE = {"name": "webhook", "namespace": "default"}
PLACE = "spec.conversion.webhookClientConfig"
VERSIONS = "spec.conversion.conversionReviewVersions"


def of_versions(*versions: str) -> Json:
    return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": list(versions), "clientConfig": CONFIG}}


REFUSED: dict[str, tuple[Json, set[str]]] = {
    "no strategy": ({}, {"spec.conversion.strategy"}),
    "an unknown strategy": ({"strategy": "Magic"}, {"spec.conversion.strategy"}),
    "a webhook without the strategy": (
        {"strategy": "None", "webhook": {"clientConfig": {"caBundle": "YQ=="}}},
        {PLACE},
    ),
    "review versions without the strategy": (
        {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}},
        {VERSIONS},
    ),
    "the strategy without a webhook": ({"strategy": "Webhook"}, {PLACE, VERSIONS}),
    "the strategy without a place": ({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}, {PLACE}),
    "neither URL nor service": (by_webhook({"caBundle": "YQ=="}), {PLACE}),
    "both URL and service": (by_webhook(CONFIG | {"service": SERVICE}), {PLACE}),
    "a URL without TLS": (by_webhook({"url": "http://a.example.com/x"}), {f"{PLACE}.url"}),
    "a URL without a host": (by_webhook({"url": "https:///x"}), {f"{PLACE}.url"}),
    "a URL with a user": (by_webhook({"url": "https://a:b@a.example.com/x"}), {f"{PLACE}.url"}),
    "a URL with a query": (by_webhook({"url": "https://a.example.com/x?y=z"}), {f"{PLACE}.url"}),
    "a URL with a fragment": (by_webhook({"url": "https://a.example.com/x#y"}), {f"{PLACE}.url"}),
    "a service without names": (
        by_webhook({"service": {"name": "", "namespace": ""}}),
        {f"{PLACE}.service.name", f"{PLACE}.service.namespace"},
    ),
    "a service with a port that is none": (by_webhook({"service": SERVICE | {"port": 0}}), {f"{PLACE}.service.port"}),
    "a service with half a path": (by_webhook({"service": SERVICE | {"path": "convert"}}), {f"{PLACE}.service.path"}),
    "a service with a hole in its path": (
        by_webhook({"service": SERVICE | {"path": "/a//b"}}),
        {f"{PLACE}.service.path"},
    ),
    "a service with an odd path": (by_webhook({"service": SERVICE | {"path": "/A"}}), {f"{PLACE}.service.path"}),
    "no review versions": ({"strategy": "Webhook", "webhook": {"clientConfig": CONFIG}}, {VERSIONS}),
    "unknown review versions": (of_versions("v2"), {VERSIONS}),
    "a review version twice": (of_versions("v1", "v1"), {f"{VERSIONS}[1]"}),
}


@pytest.mark.parametrize(("conversion", "fields"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_definition_is_refused_with(api: Client, conversion: Json, fields: set[str]) -> None:
    answer = await api.create(DEFINITIONS, definition("refused.example.com", conversion))
    assert (answer.status, set(answer.causes)) == (422, fields), answer


async def test_a_bundle_is_written_in_base64(api: Client) -> None:
    answer = await api.create(DEFINITIONS, definition("refused.example.com", by_webhook(CONFIG | {"caBundle": "%%%"})))
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_a_service_has_a_port(api: Client) -> None:
    given = definition("dry.example.com", by_webhook({"service": SERVICE}))
    made = (await api.create(DEFINITIONS, given, dryRun="All")).ok()
    assert made["spec"]["conversion"] == by_webhook({"service": SERVICE | {"port": 443}})
