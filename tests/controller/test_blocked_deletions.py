"""Deletions that something stands in the way of: each goes a step on, or says what it waits for; healed, each ends.

The programs retry after the times that they have by default, so what is told in time here is told in time to users.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
from tests.world import ACCOUNT, GROUP, MERGE, SINGLE, make_world

log = structlog.get_logger(__name__)

SOON: Final = 15.0
"""Seconds until there is a word or a step: a third of it on a quiet machine, and this on a noisy one."""

Act = Callable[[Shop], Awaitable[object]]


async def nothing(_shop: Shop) -> None:
    """There is nothing to do."""


def words(shop: Shop, name: str = "one") -> list[str]:
    """What a user sees at the object: the error of its status, and events that a deletion has."""
    told = [
        event["message"]
        for event in shop.world.events(name)
        if event["involvedObject"]["kind"] == shop.sort.kind.snapshot
    ]
    error = shop.error(name)
    return [*told, *([error] if error else [])]


def content_name(shop: Shop) -> str:
    (found,) = shop.world.server.list(shop.sort.kind.plural)
    name: str = found["metadata"]["name"]
    return name


# What stands in the way, and what takes it away.


async def ready(shop: Shop) -> None:
    await shop.make("one")
    await shop.world.until(lambda: shop.at_rest("one"))


async def ready_with_secret(shop: Shop) -> None:
    kind = shop.sort.kind
    await shop.world.make_secret("login", user="admin")
    parameters = {
        kind.secret_parameter: "login",
        kind.secret_parameter.replace("-name", "-namespace"): NAMESPACE,
    }
    await shop.world.make_class("with-secret", parameters)
    await shop.make("one", class_name="with-secret")
    await shop.world.until(lambda: shop.at_rest("one"))


async def secret_goes(shop: Shop) -> None:
    await shop.world.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/login")


async def secret_comes(shop: Shop) -> None:
    await shop.world.make_secret("login", user="admin")


async def class_goes(shop: Shop) -> None:
    await shop.world.request("DELETE", f"{shop.sort.kind.class_path}/class")


async def create_times_out(shop: Shop) -> None:
    shop.world.driver.faults.set(
        Fault(match=f"^{shop.sort.kind.create} ", error="DEADLINE_EXCEEDED", error_when="after", message="too slow")
    )
    await shop.make("one")
    await shop.world.until(lambda: shop.world.calls(shop.sort.kind.create))


async def create_times_out_and_class_goes(shop: Shop) -> None:
    await create_times_out(shop)
    await class_goes(shop)


async def create_hangs(shop: Shop) -> None:
    shop.world.hold(f"^{shop.sort.kind.create} ", "after")
    await shop.make("one")
    await shop.world.driver.faults.wait_for_held(1)


async def driver_recovers(shop: Shop) -> None:
    shop.world.driver.faults.clear()


async def content_goes(shop: Shop) -> None:
    path = f"{shop.sort.kind.path}/{content_name(shop)}"
    await shop.world.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    await shop.world.request("DELETE", path)
    await shop.world.until(lambda: "is gone" in (shop.error("one") or ""))


async def policy_becomes_retain(shop: Shop) -> None:
    for each in shop.world.server.list(shop.sort.kind.plural):
        await shop.world.patch(each["metadata"]["name"], {"spec": {"deletionPolicy": "Retain"}})
    for each in shop.world.server.list(SINGLE.plural):
        path = f"{SINGLE.path}/{each['metadata']['name']}"
        await shop.world.request("PATCH", path, {"spec": {"deletionPolicy": "Retain"}}, MERGE)


async def create_is_refused(shop: Shop) -> None:
    shop.world.driver.faults.set(
        Fault(match=f"^{shop.sort.kind.create} ", error="INVALID_ARGUMENT", message="no such volume")
    )
    await shop.make("one")
    await shop.world.until(lambda: "no such volume" in (shop.error("one") or ""))


async def driver_refuses(shop: Shop) -> None:
    shop.world.driver.faults.set(
        Fault(match=f"^{shop.sort.kind.delete} ", error="FAILED_PRECONDITION", message="it has clones")
    )


async def driver_is_away(shop: Shop) -> None:
    shop.world.driver.faults.set(
        Fault(match=f"^{shop.sort.kind.delete} ", error="UNAVAILABLE", message="array is rebooting")
    )


async def delete_hangs(shop: Shop) -> None:
    shop.world.hold(f"^{shop.sort.kind.delete} ")


async def others_keep_the_content(shop: Shop) -> None:
    name = content_name(shop)
    await shop.world.patch(name, {"metadata": {"finalizers": [shop.sort.kind.finalizer, "example.com/backup"]}})


async def others_let_the_content_go(shop: Shop) -> None:
    await shop.world.patch(content_name(shop), {"metadata": {"finalizers": None}})


async def restore_begins(shop: Shop) -> None:
    snapshot = "one" if shop.sort is SINGLES else shop.members("one")[0]["metadata"]["name"]
    source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot}
    await shop.make_claim("restored", source=source, bound=False)


async def restore_ends(shop: Shop) -> None:
    await shop.make_volume("restored", "restored-volume")
    await shop.bind("restored")


@dataclass(frozen=True, slots=True)
class Blocker:
    """`named`: what the words at the object must have in them; None: the object goes in spite of it."""

    plant: Act
    named: str | None
    heal: Act = nothing
    before: Act = ready
    """With the programs at work, before the blocker is planted."""
    at_work: bool = False
    """Whether it is planted while the programs are at work; else they begin anew after it."""
    contents_kept: bool = False
    stored_kept: bool = False


BLOCKERS: Final = {
    "the secret is gone": Blocker(
        secret_goes, f"Secret {NAMESPACE}/login are unavailable", secret_comes, before=ready_with_secret
    ),
    "the class is gone": Blocker(class_goes, None),
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
    "the policy is Retain": Blocker(policy_becomes_retain, None, contents_kept=True, stored_kept=True),
    "there is no handle": Blocker(create_is_refused, None, before=nothing, at_work=True),
    "the driver refuses": Blocker(driver_refuses, "it has clones", driver_recovers),
    "the driver is away": Blocker(driver_is_away, "array is rebooting", driver_recovers),
    "the delete hangs": Blocker(delete_hangs, "has not finished the deletion of", driver_recovers),
    "others keep the content": Blocker(others_keep_the_content, "example.com/backup", others_let_the_content_go),
    "a restore is in progress": Blocker(restore_begins, '"default/restored"', restore_ends),
}


async def a_word_or_a_step(shop: Shop, named: str | None, name: str = "one") -> None:
    """Return when the object is gone, or says what it waits for; in how many seconds is logged."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await shop.world.until(
        lambda: shop.request(name) is None if named is None else any(named in each for each in words(shop, name)),
        seconds=SOON,
    )
    log.info("a word or a step", named=named, seconds=round(loop.time() - start, 1))


@each_sort
@pytest.mark.parametrize("blocker", BLOCKERS.values(), ids=BLOCKERS.keys())
async def test_a_deletion_ends_or_says_why(shop: Shop, sort: Sort, blocker: Blocker) -> None:
    async with AsyncExitStack() as programs:

        async def begin() -> None:
            await programs.enter_async_context(shop.world.sidecar(work=WorkSettings()))
            await programs.enter_async_context(shop.controller(WorkSettings()))

        await begin()
        await blocker.before(shop)
        if not blocker.at_work:
            await programs.aclose()
        await blocker.plant(shop)
        if not blocker.at_work:
            await begin()
        held = set(shop.world.driver.snapshots)
        await shop.delete("one")
        await a_word_or_a_step(shop, blocker.named)
        await blocker.heal(shop)
        await shop.world.until(lambda: shop.request("one") is None, seconds=40)
        if blocker.stored_kept:
            assert set(shop.world.driver.snapshots) == held
        else:
            await shop.world.until(lambda: not shop.world.driver.snapshots)
        if blocker.contents_kept:
            (content,) = shop.world.server.list(sort.kind.plural)
            assert sort.kind.being_deleted in content["metadata"]["annotations"]
        elif not blocker.stored_kept:
            await shop.world.until(shop.nothing_left)
        assert not shop.members("one")


async def test_the_deletion_of_a_member_of_a_living_group_says_why(shop: Shop) -> None:
    groups = shop.of(GROUPS)
    async with shop.world.sidecar(work=WorkSettings()), shop.controller(WorkSettings()):
        await ready(groups)
        member = groups.members("one")[0]["metadata"]["name"]
        await shop.delete(member)
        await a_word_or_a_step(shop, 'VolumeGroupSnapshot "default/one"', member)
        await groups.delete("one")
        await shop.world.until(shop.nothing_left)


def without(rules: tuple[dict[str, Any], ...], resource: str, verb: str) -> list[dict[str, Any]]:
    """The rules, but for one verb of one resource."""
    return [
        {**row, "verbs": [each for each in row["verbs"] if each != verb]} if row["resources"] == [resource] else row
        for row in rules
    ]


@dataclass(frozen=True, slots=True)
class Lack:
    """A permission that a program does not have; `{contents}` stands for the plural of the kind."""

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


@each_sort
@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS.keys())
async def test_a_deletion_without_a_permission_says_which(tmp_path: Path, sort: Sort, lack: Lack) -> None:
    def here(text: str) -> str:
        return text.replace("{contents}", sort.kind.plural).replace("{requests}", sort.plural)

    async with make_world(tmp_path, rbac=True) as world, AsyncExitStack() as programs:
        shop = Shop(world, sort)
        await world.make_class()
        await world.of(GROUP).make_class()
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await shop.make_volume(claim, handle)
            await shop.make_claim(claim, {"app": "db"})
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
        await ready_with_secret(shop)
        await programs.aclose()
        await change(without(rules[lack.account], here(lack.resource), lack.verb))
        await begin()
        await shop.delete("one")
        await a_word_or_a_step(shop, here(lack.named))
        if lack.at_content is not None:
            (content,) = world.server.list(sort.kind.plural)
            warned = world.warnings(content["metadata"]["name"])
            assert any(here(lack.at_content) in event["message"] for event in warned)
        await change(rules[lack.account])
        await world.until(shop.nothing_left, seconds=60)
