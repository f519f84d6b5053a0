"""Deletions that something stands in the way of: each goes a step on, or says what it waits for; healed, each ends.

All are planted in one world, each for a request with volumes, claims and a class of its own. The programs retry after
the times that they have by default, so what is told in time here is told in time to users.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from snapshotter import names
from snapshotter.settings import ElectionSettings, KubeSettings, WorkSettings
from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import GROUPS, NAMESPACE, SINGLES, Shop, Sort
from tests.controller.test_permissions import CONTROLLER_ACCOUNT, grant
from tests.roles import UPSTREAM_CONTROLLER, UPSTREAM_SECRETS, UPSTREAM_SIDECAR, collection, role
from tests.world import ACCOUNT, MERGE, SINGLE, World, make_world

log = structlog.get_logger(__name__)

SOON: Final = 30.0
"""Seconds until there is a word or a step: a fraction of it on a quiet machine, and this on a noisy one."""
PATIENCE: Final = 60.0
"""Seconds until a deletion that nothing stands in the way of any more is through: it waits for a backoff."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request with all that it needs to itself; `name` is that of the request and of its class."""

    shop: Shop
    name: str
    faults: list[int] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.shop.world

    @property
    def sort(self) -> Sort:
        return self.shop.sort

    @property
    def claims(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{number}" for number in range(1 if self.sort is SINGLES else 2))

    @property
    def secret(self) -> str:
        return f"login-of-{self.name}"

    @property
    def content(self) -> str:
        """The name of its content. Fails the test when there is none."""
        request = self.shop.request(self.name)
        assert request is not None
        return self.sort.content_prefix + str(request["metadata"]["uid"])

    @property
    def stored(self) -> set[str]:
        """What the driver holds of its volumes."""
        held = self.world.driver.snapshots
        return {identifier for identifier, each in held.items() if each.volume_id in self.claims}

    @property
    def words(self) -> list[str]:
        """What a user sees at the request: the error of its status, and events that a deletion has."""
        told = [
            event["message"]
            for event in self.world.events(self.name)
            if event["involvedObject"]["kind"] == self.sort.kind.snapshot
        ]
        return [*told, self.shop.error(self.name) or ""]

    @property
    def at_rest(self) -> bool:
        return self.shop.ready(self.name) and not any(map(self.shop.protected, self.claims))

    async def prepare(self) -> None:
        """Its volumes, with the claims."""
        for claim in self.claims:
            await self.world.driver.make_volume(claim, b"bytes")
            await self.shop.make_volume(claim, claim)
            await self.shop.make_claim(claim, {"app": self.name})

    async def ask(self, parameters: Mapping[str, str] | None = None) -> None:
        """Make its class, and the request."""
        await self.world.make_class(self.name, dict(parameters or {}))
        await self.shop.make(self.name, claim=self.claims[0], labels={"app": self.name}, class_name=self.name)

    def meet(self, **fault: Any) -> None:
        """A fault in the way of the driver's call that deletes."""
        handle = (self.world.content(self.content) or {})["status"][self.sort.kind.handle]
        self._set(Fault(match=f"^{self.sort.kind.delete} {handle}$", **fault))

    async def meet_while_cut(self, **fault: Any) -> None:
        """Make the request, with a fault in the way of the driver's call that cuts: it waits for its class."""
        await self.shop.make(self.name, claim=self.claims[0], labels={"app": self.name}, class_name=self.name)
        uid = self.content.removeprefix(self.sort.content_prefix)
        self._set(Fault(match=f"^{self.sort.kind.create} {self.sort.kind.subject(self.claims[0], uid)}$", **fault))
        await self.world.make_class(self.name)

    def _set(self, fault: Fault) -> None:
        self.faults.append(self.world.driver.faults.set(fault))

    def called(self, method: str) -> bool:
        """Whether the driver has been asked to cut its volumes."""
        return any(
            set(self.claims) & {call.request.get("source_volume_id"), *call.request.get("source_volume_ids", ())}
            for call in self.world.driver.log.of(method)
        )


Act = Callable[[Request], Awaitable[object]]


async def nothing(_request: Request) -> None:
    """There is nothing to do."""


# What stands in the way, and what takes it away.


async def ready(request: Request) -> None:
    await request.ask()
    await request.world.until(lambda: request.at_rest, seconds=PATIENCE)


async def ready_with_secret(request: Request) -> None:
    await secret_comes(request)
    name = request.sort.kind.secret_parameter
    await request.ask({name: request.secret, name.replace("-name", "-namespace"): NAMESPACE})
    await request.world.until(lambda: request.at_rest, seconds=PATIENCE)


async def secret_goes(request: Request) -> None:
    await request.world.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/{request.secret}")


async def secret_comes(request: Request) -> None:
    await request.world.make_secret(request.secret, user="admin")


async def content_names_another_secret(request: Request) -> None:
    annotations = request.sort.kind.secret(request.secret)
    await request.world.patch(request.content, {"metadata": {"annotations": annotations}})


async def class_goes(request: Request) -> None:
    await request.world.request("DELETE", f"{request.sort.kind.class_path}/{request.name}")


async def claims_go(request: Request) -> None:
    for claim in request.claims:
        await request.shop.delete_claim(claim)


async def content_becomes_unready(request: Request) -> None:
    path = f"{request.sort.kind.path}/{request.content}/status"
    await request.world.request("PATCH", path, {"status": {"readyToUse": False}}, MERGE)


async def create_times_out(request: Request) -> None:
    await request.meet_while_cut(error="DEADLINE_EXCEEDED", error_when="after", message="too slow")
    await request.world.until(lambda: request.called(request.sort.kind.create))


async def create_times_out_and_class_goes(request: Request) -> None:
    await create_times_out(request)
    await class_goes(request)


async def create_hangs(request: Request) -> None:
    await request.meet_while_cut(hold="after")
    await request.world.until(lambda: request.called(request.sort.kind.create))


async def create_is_refused(request: Request) -> None:
    await request.meet_while_cut(error="INVALID_ARGUMENT", message="no such volume")
    await request.world.until(lambda: "no such volume" in (request.shop.error(request.name) or ""))


async def driver_recovers(request: Request) -> None:
    for number in request.faults:
        request.world.driver.faults.lift(number)


async def content_goes(request: Request) -> None:
    path = f"{request.sort.kind.path}/{request.content}"
    # Deleted first: whoever is not being deleted gets the finalizer back.
    await request.world.request("DELETE", path)
    await request.world.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    await request.world.until(lambda: "is gone" in (request.shop.error(request.name) or ""))


async def policy_becomes_retain(request: Request) -> None:
    await request.world.patch(request.content, {"spec": {"deletionPolicy": "Retain"}})
    for member in request.shop.members(request.name):
        path = f"{SINGLE.path}/{member['status'][SINGLES.bound]}"
        await request.world.request("PATCH", path, {"spec": {"deletionPolicy": "Retain"}}, MERGE)


async def driver_refuses(request: Request) -> None:
    request.meet(error="FAILED_PRECONDITION", message="it has clones")


async def driver_does_not_answer_in_time(request: Request) -> None:
    request.meet(error="DEADLINE_EXCEEDED", message="took too long")


async def driver_is_away(request: Request) -> None:
    request.meet(error="UNAVAILABLE", message="array is rebooting")


async def delete_hangs(request: Request) -> None:
    request.meet(hold="before")


async def server_refuses(request: Request) -> None:
    match = f"^DELETE {request.sort.kind.path}/{request.content}$"
    request.faults.append(request.world.server.faults.set(Fault(match=match, error=403, message="admission says no")))


async def server_gives_in(request: Request) -> None:
    for number in request.faults:
        request.world.server.faults.lift(number)


async def others_keep_the_content(request: Request) -> None:
    finalizers = [request.sort.kind.finalizer, "example.com/backup"]
    await request.world.patch(request.content, {"metadata": {"finalizers": finalizers}})


async def others_let_the_content_go(request: Request) -> None:
    await request.world.patch(request.content, {"metadata": {"finalizers": None}})


async def restore_begins(request: Request) -> None:
    members = request.shop.members(request.name)
    snapshot = members[0]["metadata"]["name"] if members else request.name
    source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot}
    await request.shop.make_claim(f"{request.name}-restored", source=source, bound=False)


async def restore_ends(request: Request) -> None:
    await request.shop.make_volume(f"{request.name}-restored", f"{request.name}-restored")
    await request.shop.bind(f"{request.name}-restored")


async def restore_is_given_up(request: Request) -> None:
    await request.shop.delete_claim(f"{request.name}-restored")


@dataclass(frozen=True, slots=True)
class Blocker:
    """`named`: what the words at the request must have in them, `{name}` being its own; None: it goes all the same."""

    plant: Act
    named: str | None
    heal: Act = nothing
    before: Act = ready
    """With the programs at work, before the blocker is planted."""
    at_work: bool = False
    """Whether it is planted while the programs are at work; else they begin anew after it."""
    content_kept: bool = False
    stored_kept: bool = False
    stored_goes: bool = False
    """Whether the snapshot is deleted on the storage in spite of the blocker."""
    quiet: bool = False
    """Whether there must be no Warning."""


NO_SECRET: Final = f"Secret {NAMESPACE}/login-of-{{name}} are unavailable"

BLOCKERS: Final = {
    "the secret is gone": Blocker(secret_goes, NO_SECRET, secret_comes, before=ready_with_secret),
    "the secret is another, which is not there": Blocker(
        content_names_another_secret, NO_SECRET, secret_comes, at_work=True
    ),
    "the class is gone": Blocker(class_goes, None, quiet=True),
    "the class goes": Blocker(class_goes, None, at_work=True, quiet=True),
    "the claims go": Blocker(claims_go, None, at_work=True, quiet=True),
    "the content is not ready any more": Blocker(content_becomes_unready, None, at_work=True, quiet=True),
    "the class is gone before the cut has an answer": Blocker(
        create_times_out_and_class_goes, "does not exist", driver_recovers, before=nothing, at_work=True
    ),
    "the create has timed out": Blocker(
        create_times_out, "the deletion waits for it", driver_recovers, before=nothing, at_work=True
    ),
    "the create hangs": Blocker(
        create_hangs, "has not answered yet whether the snapshot of", driver_recovers, before=nothing, at_work=True
    ),
    "the content is missing": Blocker(content_goes, None, at_work=True, stored_kept=True),
    "the policy is Retain": Blocker(policy_becomes_retain, None, content_kept=True, stored_kept=True),
    "there is no handle": Blocker(create_is_refused, None, before=nothing, at_work=True),
    "the driver refuses": Blocker(driver_refuses, "it has clones", driver_recovers),
    "the driver begins to refuse": Blocker(driver_refuses, "it has clones", driver_recovers, at_work=True),
    "the driver does not answer in time": Blocker(
        driver_does_not_answer_in_time, "took too long", driver_recovers, at_work=True
    ),
    "the driver is away": Blocker(driver_is_away, "array is rebooting", driver_recovers),
    "the delete hangs": Blocker(delete_hangs, "has not finished the deletion of", driver_recovers),
    "the API server refuses": Blocker(server_refuses, "admission says no", server_gives_in, at_work=True),
    "others keep the content": Blocker(
        others_keep_the_content, "example.com/backup", others_let_the_content_go, stored_goes=True
    ),
    "a restore is in progress": Blocker(restore_begins, f'"{NAMESPACE}/{{name}}-restored"', restore_ends),
    "a restore begins": Blocker(restore_begins, f'"{NAMESPACE}/{{name}}-restored"', restore_is_given_up, at_work=True),
}


async def a_word_or_a_step(request: Request, named: str | None) -> None:
    """Return when the request is gone, or says what it waits for; in how many seconds is logged."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    if named is None:
        await request.world.until(lambda: request.shop.request(request.name) is None, seconds=SOON)
    else:
        text = named.replace("{name}", request.name)
        await request.world.until(lambda: any(text in each for each in request.words), seconds=SOON)
        assert request.shop.request(request.name) is not None
    log.info("a word or a step", named=named, seconds=round(loop.time() - start, 1))


async def see_it_end(request: Request, blocker: Blocker) -> None:
    """Delete the request; it goes, or says why not, and goes once it is healed."""
    held, content = request.stored, request.content
    await request.shop.delete(request.name)
    await a_word_or_a_step(request, blocker.named)
    if blocker.named is not None and not blocker.stored_goes:
        assert request.stored >= held
    await blocker.heal(request)
    await request.world.until(lambda: request.shop.request(request.name) is None, seconds=PATIENCE)
    if blocker.stored_kept:
        assert request.stored == held
    else:
        await request.world.until(lambda: not request.stored, seconds=PATIENCE)
    if blocker.content_kept:
        found = request.world.content(content)
        assert found is not None
        assert request.sort.kind.being_deleted in found["metadata"]["annotations"]
    else:
        await request.world.until(lambda: request.world.content(content) is None, seconds=PATIENCE)
    if blocker.quiet:
        assert request.world.warnings(request.name) == []


async def for_each(requests: Mapping[str, Request], act: Callable[[Request, Blocker], Awaitable[object]]) -> None:
    """Do it for all at once. Fails the test with the names of those for which it failed."""
    done = await asyncio.gather(
        *(act(request, BLOCKERS[name]) for name, request in requests.items()), return_exceptions=True
    )
    failed = {
        name: (repr(outcome), request.words)
        for (name, request), outcome in zip(requests.items(), done, strict=True)
        if isinstance(outcome, BaseException)
    }
    assert failed == {}


@asynccontextmanager
async def both_programs(shop: Shop) -> AsyncIterator[None]:
    async with shop.world.sidecar(work=WorkSettings()), shop.controller(WorkSettings()):
        yield


@each_sort
async def test_a_deletion_ends_or_says_why(tmp_path: Path, sort: Sort) -> None:
    """Cases 73, 74, 98, W26."""
    async with make_world(tmp_path) as world:
        shop = Shop(world, sort)
        requests = {name: Request(shop, f"request-{number}") for number, name in enumerate(BLOCKERS)}
        earlier = {name: request for name, request in requests.items() if not BLOCKERS[name].at_work}
        later = {name: request for name, request in requests.items() if BLOCKERS[name].at_work}
        for request in requests.values():
            await request.prepare()
        async with both_programs(shop):
            await for_each(earlier, lambda request, blocker: blocker.before(request))
        await for_each(earlier, lambda request, blocker: blocker.plant(request))
        async with both_programs(shop):
            await for_each(later, lambda request, blocker: blocker.before(request))
            await for_each(later, lambda request, blocker: blocker.plant(request))
            await for_each(requests, see_it_end)
            kept = {name for name, blocker in BLOCKERS.items() if blocker.content_kept}
            assert len(world.server.list(sort.kind.plural)) == len(kept)
            await world.until(lambda: not world.server.list("volumesnapshots"), seconds=PATIENCE)


async def test_a_deletion_says_that_the_driver_is_gone_and_ends_when_it_is_back(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        requests = [Request(Shop(world, sort), f"request-{number}") for number, sort in enumerate((SINGLES, GROUPS))]
        for request in requests:
            await request.prepare()
        async with both_programs(requests[0].shop):
            await asyncio.gather(*map(ready, requests))
            await world.driver.stop_serving()
            for request in requests:
                await request.shop.delete(request.name)
            await asyncio.gather(*(a_word_or_a_step(request, "driver") for request in requests))
            assert all(request.stored for request in requests)
            await world.driver.start_serving()
            await world.until(requests[0].shop.nothing_left, seconds=PATIENCE)


async def test_the_deletion_of_a_member_of_a_living_group_says_why(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        group = Request(Shop(world, GROUPS), "one")
        await group.prepare()
        async with both_programs(group.shop):
            await ready(group)
            member = Request(group.shop.of(SINGLES), group.shop.members("one")[0]["metadata"]["name"])
            await member.shop.delete(member.name)
            await a_word_or_a_step(member, f'VolumeGroupSnapshot "{NAMESPACE}/one"')
            await group.shop.delete("one")
            await world.until(group.shop.nothing_left, seconds=PATIENCE)


def without(rules: tuple[dict[str, Any], ...], resources: set[str], verb: str) -> list[dict[str, Any]]:
    """The rules, but for one verb of these resources."""
    return [
        {**row, "verbs": [each for each in row["verbs"] if each != verb]} if set(row["resources"]) & resources else row
        for row in rules
    ]


@dataclass(frozen=True, slots=True)
class Lack:
    """A permission that a program does not have; `{contents}` and `{requests}` stand for the plurals of the kind."""

    account: str
    resource: str
    verb: str
    named: str
    at_content: str | None = None
    """What an event at the content must have in it, where the words at the request refer to it."""


LACKS: Final = {
    "the controller must not delete contents": Lack(CONTROLLER_ACCOUNT, "{contents}", "delete", "delete {contents}"),
    "the controller must not mark contents": Lack(CONTROLLER_ACCOUNT, "{contents}", "patch", "patch {contents}"),
    "the controller must not let go": Lack(CONTROLLER_ACCOUNT, "{requests}", "patch", "patch {requests}"),
    "the sidecar must not let go": Lack(ACCOUNT, "{contents}", "patch", "patch {contents}"),
    "the sidecar must not read secrets": Lack(ACCOUNT, "secrets", "get", "get secrets"),
    "the sidecar must not write statuses": Lack(
        ACCOUNT, "{contents}/status", "patch", "has not finished the deletion", "patch {contents}/status"
    ),
}


@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS.keys())
async def test_a_deletion_without_a_permission_says_which(tmp_path: Path, lack: Lack) -> None:
    def of(sort: Sort, text: str) -> str:
        return text.replace("{contents}", sort.kind.plural).replace("{requests}", sort.plural)

    async with make_world(tmp_path, rbac=True) as world, AsyncExitStack() as programs:
        requests = [Request(Shop(world, sort), f"request-{number}") for number, sort in enumerate((SINGLES, GROUPS))]
        for request in requests:
            await request.prepare()
        shop = requests[0].shop
        rules = {ACCOUNT: (*UPSTREAM_SIDECAR, UPSTREAM_SECRETS), CONTROLLER_ACCOUNT: UPSTREAM_CONTROLLER}
        for account, given in rules.items():
            await grant(world, account, [role(account, "", given)])
        kubeconfig = tmp_path / "controller.kubeconfig"
        kubeconfig.write_text(world.server.kubeconfig(world.server.token_for("default", CONTROLLER_ACCOUNT)))

        async def begin() -> None:
            await programs.enter_async_context(world.sidecar(work=WorkSettings()))
            kube = KubeSettings(kubeconfig=str(kubeconfig))
            election = ElectionSettings(enabled=False)
            await programs.enter_async_context(shop.controller(WorkSettings(), kube=kube, election=election))

        async def change(given: object) -> None:
            path = collection(role(lack.account, "", ()))
            await world.request("PATCH", f"{path}/{lack.account}", {"rules": given}, MERGE)

        await begin()
        await asyncio.gather(*map(ready_with_secret, requests))
        await programs.aclose()
        await change(without(rules[lack.account], {of(sort, lack.resource) for sort in (SINGLES, GROUPS)}, lack.verb))
        await begin()
        for request in requests:
            await request.shop.delete(request.name)
        await asyncio.gather(*(a_word_or_a_step(request, of(request.sort, lack.named)) for request in requests))
        if lack.at_content is not None:
            for request in requests:
                warned = world.warnings(request.content)
                assert any(of(request.sort, lack.at_content) in event["message"] for event in warned)
        await change(rules[lack.account])
        await world.until(shop.nothing_left, seconds=PATIENCE)
