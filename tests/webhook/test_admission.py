"""`/validate-default-class` over TLS, with the classes on a stand-in API server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from snapshotter import names
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from snapshotter.webhook import admission, classes
from tests.webhook.reviewing import Answer, Json, Running, running

PATH = "/validate-default-class"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two kinds of classes."""

    group: str
    name: str
    plural: str
    annotation: str

    def object(self, name: str, *, default: str | None = "true", driver: str = "driver") -> Json:
        annotations = {} if default is None else {self.annotation: default}
        return {
            "apiVersion": f"{self.group}/v1",
            "kind": self.name,
            "metadata": {"name": name, "annotations": annotations},
            "driver": driver,
            "deletionPolicy": "Delete",
        }

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/v1/{self.plural}"


SINGLE = Kind(names.SNAPSHOT_GROUP, "VolumeSnapshotClass", "volumesnapshotclasses", names.DEFAULT_CLASS)
GROUPS = Kind(
    names.GROUP_SNAPSHOT_GROUP, "VolumeGroupSnapshotClass", "volumegroupsnapshotclasses", names.DEFAULT_GROUP_CLASS
)
each_kind = pytest.mark.parametrize("kind", [SINGLE, GROUPS], ids=lambda kind: kind.name)


@dataclass(frozen=True, slots=True)
class World:
    """An API server, and a webhook that judges its classes."""

    server: ApiServer
    webhook: Running
    http: aiohttp.ClientSession

    async def ask(
        self,
        kind: Kind,
        new: Json | None,
        old: Json | None = None,
        *,
        operation: str | None = None,
        path: str = PATH,
        request: Json | None = None,
    ) -> Answer:
        """A review as an API server sends it."""
        group, _, version = (new or old or kind.object(""))["apiVersion"].partition("/")
        body = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "uid-1",
                "kind": {"group": group, "version": version, "kind": kind.name},
                "operation": operation or ("CREATE" if old is None else "UPDATE"),
                "object": new,
                "oldObject": old,
                "dryRun": False,
            }
            | (request or {}),
        }
        return await self.webhook.post(path, json.dumps(body).encode())

    async def allowed(self, kind: Kind, new: Json, old: Json | None = None, *, dry_run: bool = False) -> bool:
        answer = await self.ask(kind, new, old, request={"dryRun": dry_run})
        assert answer.status == 200, answer.text
        found: bool = answer.json["response"]["allowed"]
        return found

    async def know(self) -> None:
        """Return when the classes have been listed."""
        async with asyncio.timeout(30):
            for kind in (SINGLE, GROUPS):
                while (await self.ask(kind, kind.object("probe", default=None))).status == 500:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def make(self, made: Json, kind: Kind) -> None:
        async with self.http.post(self.server.url + kind.path, json=made) as answer:
            assert answer.status == 201, await answer.text()

    async def annotate(self, kind: Kind, name: str, default: str | None) -> None:
        patch = {"metadata": {"annotations": {kind.annotation: default}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"{self.server.url}{kind.path}/{name}"
        async with self.http.patch(url, data=json.dumps(patch), headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def refuses(self, kind: Kind, new: Json) -> None:
        """Return when the webhook has heard of what stands in the way."""
        async with asyncio.timeout(30):
            while await self.allowed(kind, new, dry_run=True):  # noqa: ASYNC110 - one can only ask
                await asyncio.sleep(0.02)


@pytest.fixture
async def world(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer.serve())
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        webhook = await stack.enter_async_context(running(tmp_path, unused_tcp_port, kubeconfig=kubeconfig))
        made = World(server, webhook, http)
        await made.know()
        yield made


@each_kind
async def test_a_second_default_class_is_denied_with_the_name_of_the_first(world: World, kind: Kind) -> None:
    await world.make(kind.object("first"), kind)
    await world.refuses(kind, kind.object("second"))
    answer = await world.ask(kind, kind.object("second"))
    assert answer.json == {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "response": {
            "uid": "uid-1",
            "allowed": False,
            "status": {
                "message": (
                    f'{kind.name} "second" cannot be the default for driver "driver": {kind.name} "first" is it '
                    f"already. Remove the annotation {kind.annotation} there first."
                ),
                "code": 403,
                "reason": "Forbidden",
            },
        },
    }


@each_kind
async def test_what_makes_no_second_default_is_allowed(world: World, kind: Kind) -> None:
    await world.make(kind.object("first"), kind)
    await world.refuses(kind, kind.object("second"))
    assert await world.allowed(kind, kind.object("second", default=None))
    assert await world.allowed(kind, kind.object("second", driver="another"))
    assert await world.allowed(kind, kind.object("second"), kind.object("second"))
    assert not await world.allowed(kind, kind.object("second"), kind.object("second", default=None))
    answer = await world.ask(kind, None, kind.object("first"), operation="DELETE")
    assert answer.json["response"] == {"uid": "uid-1", "allowed": True}


async def test_the_two_kinds_have_nothing_to_do_with_each_other(world: World) -> None:
    await world.make(SINGLE.object("first"), SINGLE)
    await world.refuses(SINGLE, SINGLE.object("second"))
    assert await world.allowed(GROUPS, GROUPS.object("second"))


@each_kind
@pytest.mark.parametrize("path", ["/volumesnapshot", "/volumegroupsnapshot"])
async def test_upstreams_paths_are_served_too(world: World, kind: Kind, path: str) -> None:
    answer = await world.ask(kind, kind.object("first"), path=path)
    assert answer.json["response"] == {"uid": "uid-1", "allowed": True}


async def test_of_two_at_the_same_moment_one_is_denied(world: World) -> None:
    answers = await asyncio.gather(*(world.allowed(SINGLE, SINGLE.object(name)) for name in "abcd"))
    assert sorted(answers) == [False, False, False, True]


async def test_a_trial_leaves_no_trace(world: World) -> None:
    assert await world.allowed(SINGLE, SINGLE.object("a"), dry_run=True)
    assert await world.allowed(SINGLE, SINGLE.object("b"))


async def test_a_class_that_was_allowed_and_never_made_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "REMEMBERED_SECONDS", 0.0)
    assert await world.allowed(SINGLE, SINGLE.object("a"))
    assert await world.allowed(SINGLE, SINGLE.object("b"))


async def test_a_default_that_was_allowed_and_withdrawn_makes_room(world: World) -> None:
    assert await world.allowed(SINGLE, SINGLE.object("a"))
    assert await world.allowed(SINGLE, SINGLE.object("a", default=None), SINGLE.object("a"))
    assert await world.allowed(SINGLE, SINGLE.object("b"))


async def test_room_that_was_made_a_moment_ago_is_seen_before_the_watch_tells(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession() as http:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        server.faults.set(Fault(match=f"WATCH {SINGLE.path}", hold="before"))
        async with running(tmp_path, unused_tcp_port, kubeconfig=kubeconfig) as webhook:
            world = World(server, webhook, http)
            await world.make(SINGLE.object("first"), SINGLE)
            await world.know()
            assert not await world.allowed(SINGLE, SINGLE.object("second"))
            await world.annotate(SINGLE, "first", None)
            assert await world.allowed(SINGLE, SINGLE.object("second"))


async def test_when_it_cannot_be_looked_again_what_was_known_counts(world: World) -> None:
    await world.make(SINGLE.object("first"), SINGLE)
    await world.refuses(SINGLE, SINGLE.object("second"))
    world.server.faults.set(Fault(match=f"LIST {SINGLE.path}", error=503))
    assert not await world.allowed(SINGLE, SINGLE.object("second"))


async def test_an_answer_that_does_not_come_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.make(SINGLE.object("first"), SINGLE)
    await world.refuses(SINGLE, SINGLE.object("second"))
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.1)
    hold = world.server.faults.set(Fault(match=f"LIST {SINGLE.path}", hold="before"))
    assert not await world.allowed(SINGLE, SINGLE.object("second"))
    world.server.faults.lift(hold)


async def test_how_old_the_known_classes_may_be_is_told(world: World) -> None:
    for kind in (SINGLE, GROUPS):
        async with asyncio.timeout(30):
            while not 0 < await world.webhook.metric("snapshotter_watch_age_seconds", resource=kind.plural) < 60:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_reviews_are_counted_by_what_comes_of_them(world: World) -> None:
    before = await world.webhook.metric("snapshotter_webhook_reviews_total", review="admission", outcome="success")
    assert await world.allowed(SINGLE, SINGLE.object("a"))
    assert not await world.allowed(SINGLE, SINGLE.object("b"))
    await world.ask(SINGLE, None)
    for outcome, expected in (("success", before + 1), ("denied", 1), ("rejected", 1)):
        found = await world.webhook.metric("snapshotter_webhook_reviews_total", review="admission", outcome=outcome)
        assert found == expected


ELSE: dict[str, tuple[Json, str]] = {
    "another kind": ({"kind": {"group": "", "kind": "Pod"}}, "only classes of snapshots and group snapshots"),
    "an object that is no class": ({"object": {"metadata": {}}}, "the review's object is not a VolumeSnapshotClass"),
    "an object of another shape": ({"object": []}, "the review's object is not a VolumeSnapshotClass"),
    "no object": ({"object": None}, "the review has no object"),
    "no uid": ({"uid": None}, "the body is not an AdmissionReview of admission.k8s.io/v1"),
}


@pytest.mark.parametrize(("change", "text"), ELSE.values(), ids=ELSE.keys())
async def test_what_cannot_be_judged_is_rejected(world: World, change: Json, text: str) -> None:
    answer = await world.ask(SINGLE, SINGLE.object("a"), request=change)
    assert answer.status == 400
    assert text in answer.text


BODIES = {
    "no JSON": (b"{", "the body is not an AdmissionReview of admission.k8s.io/v1"),
    "an old review": (
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
        "the body must be an AdmissionReview of admission.k8s.io/v1",
    ),
    "no request": (
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
        "the AdmissionReview has no request",
    ),
}


@pytest.mark.parametrize(("body", "text"), BODIES.values(), ids=BODIES.keys())
async def test_what_is_no_review_is_rejected(world: World, body: bytes, text: str) -> None:
    answer = await world.webhook.post(PATH, body)
    assert (answer.status, answer.text) == (400, f"{text}\n")


async def test_before_the_classes_are_known_the_configuration_decides(tmp_path: Path, unused_tcp_port: int) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession() as http:
        server.faults.set(Fault(match="GET /apis/", error=503))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        async with running(tmp_path, unused_tcp_port, kubeconfig=kubeconfig) as webhook:
            world = World(server, webhook, http)
            answer = await world.ask(SINGLE, SINGLE.object("a"))
            assert answer.status == 500
            assert answer.text == "objects of the kind VolumeSnapshotClass have not been listed yet\n"
            counted = await webhook.metric("snapshotter_webhook_reviews_total", review="admission", outcome="failure")
            assert counted == 1
            # Conversions, and whether we are ready for them, do not depend on the API server.
            assert (await webhook.post("/readyz", b"")).status == 200


async def test_classes_that_come_later_and_go_again_are_followed(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classes, "LOOK_AGAIN_SECONDS", 0.05)
    async with ApiServer.serve() as server, aiohttp.ClientSession() as http:
        hidden = server.faults.set(Fault(match=f"GET /apis/{GROUPS.group}$", error=404))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        async with running(tmp_path, unused_tcp_port, kubeconfig=kubeconfig) as webhook:
            world = World(server, webhook, http)
            assert (await world.ask(GROUPS, GROUPS.object("a"))).status == 500
            server.faults.lift(hidden)
            await world.know()
            assert await world.allowed(GROUPS, GROUPS.object("a"))
            server.faults.set(Fault(match=f"GET /apis/{GROUPS.group}$", error=404))
            async with asyncio.timeout(30):
                while (await world.ask(GROUPS, GROUPS.object("b"))).status != 500:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert await world.allowed(SINGLE, SINGLE.object("a"))
