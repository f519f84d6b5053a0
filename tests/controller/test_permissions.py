"""The snapshot-controller under roles: with just what its table names, and with upstream's role."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.controller.controller import Controller
from snapshotter.kube.access import PATH
from snapshotter.kube.attributes import access_of
from snapshotter.plan import permissions
from snapshotter.plan.permissions import Access, Places, question_about, questions
from snapshotter.settings import ControlSettings, ElectionSettings, KubeSettings
from snapshotter.testing.faults import Fault
from tests.controller.conftest import each_sort
from tests.controller.shop import GROUPS, SINGLES, Shop, Sort
from tests.roles import (
    UPSTREAM_CONTROLLER,
    UPSTREAM_LEASES,
    UPSTREAM_NODES,
    UPSTREAM_SIDECAR,
    binding,
    collection,
    role,
    roles_of,
)
from tests.world import ACCOUNT, GROUP, MERGE, World, make_world

CONTROLLER_ACCOUNT: Final = "snapshot-controller"
LEASE: Final = ("kube-system", "snapshot-controller-leader")
PLACES: Final = Places(lease=LEASE)
TABLE: Final = permissions.controller(distributed_snapshotting=True)
ELECTION: Final = ElectionSettings(
    enabled=True, namespace=LEASE[0], lease_duration=90.0, renew_deadline=60.0, retry_period=0.2
)


async def grant(world: World, account: str, roles: Iterable[dict[str, Any]]) -> None:
    """Give an account these roles, which do not exist yet."""
    for given in roles:
        bound = binding(given["metadata"]["name"], given["metadata"].get("namespace", ""), account)
        for each in (given, bound):
            await world.request("POST", collection(each), each)


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """Two claims and both programs' accounts; the sidecar has upstream's role, the controller has none yet."""
    monkeypatch.setattr("snapshotter.daemon.permissions.SECOND_LOOK", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.EACH_UNSETTLED", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.SHORTEST_PAUSE", 0.1)
    async with make_world(tmp_path, rbac=True) as world:
        await world.make_class()
        await world.of(GROUP).make_class()
        await grant(world, ACCOUNT, [role("sidecar", "", UPSTREAM_SIDECAR)])
        made = Shop(world, SINGLES)
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await made.make_volume(claim, handle)
            await made.make_claim(claim, {"app": "db"})
        yield made


@asynccontextmanager
async def programs(shop: Shop) -> AsyncIterator[Controller]:
    """Both programs, each under its own account."""
    server = shop.world.server
    kubeconfig = shop.world.directory / "controller.kubeconfig"
    kubeconfig.write_text(server.kubeconfig(server.token_for("default", CONTROLLER_ACCOUNT)))
    async with shop.programs(
        kube=KubeSettings(kubeconfig=str(kubeconfig)),
        election=ELECTION,
        control=ControlSettings(distributed=True),
    ) as controller:
        yield controller


def missing(controller: Controller) -> dict[str, float]:
    """What the metric tells, by verb and resource."""
    return {
        f"{sample.labels['verb']} {sample.labels['resource']}": sample.value
        for family in text_string_to_metric_families(generate_latest(controller.registry).decode())
        for sample in family.samples
        if sample.name == "snapshotter_permission_missing"
    }


def used(world: World) -> set[Access]:
    """What the controller has needed so far, but for what everybody may do."""
    methods = {"LIST": "GET", "WATCH": "GET"}
    found = (
        access_of(methods.get(record.verb, record.verb), record.path, record.query)
        for record in world.server.requests
        if record.user_agent.startswith("snapshot-controller/") and record.path != PATH
    )
    return {access for access in found if access is not None}


async def use_everything(shop: Shop) -> None:
    """Lives of both sorts with conflicts, failures that come again, and contents that are lost."""
    world, faults = shop.world, shop.world.server.faults
    for each in (shop, shop.of(GROUPS)):
        await each.make("hopeless", class_name="late")
        await world.until(lambda each=each: each.error("hopeless"))  # type: ignore[misc]
        first = each.error("hopeless")
        await each.world.make_class("late", driver="another.example.com")
        await world.until(lambda each=each, first=first: each.error("hopeless") != first)  # type: ignore[misc]
        await world.request("DELETE", f"{each.sort.kind.class_path}/late")
        await world.until(lambda each=each, first=first: each.error("hopeless") == first)  # type: ignore[misc]
        await each.delete("hopeless")
        await world.until(lambda each=each: each.request("hopeless") is None)  # type: ignore[misc]
        # After a conflict the object is read.
        faults.set(Fault(match=f"PATCH .*/{each.sort.plural}/one/status$", error=409, times=1))
        await each.make("one")
        await each.make("lost")
        await world.until(lambda each=each: each.at_rest("one") and each.at_rest("lost"))  # type: ignore[misc]
        await each.delete("one")
        await world.until(lambda each=each: each.request("one") is None)  # type: ignore[misc]
        # Before users are alarmed about a content, it is asked for.
        lost = f"{each.sort.kind.path}/{(each.content('lost') or {})['metadata']['name']}"
        await world.request("DELETE", lost)
        await world.request("PATCH", lost, {"metadata": {"finalizers": None}}, MERGE)
        await world.until(lambda each=each: "is gone" in (each.error("lost") or ""))  # type: ignore[misc]
    await world.until(lambda: any(event["count"] > 1 for event in world.events("hopeless")))
    await world.until(lambda: world.server.list("events", LEASE[0]))


async def test_each_permission_of_the_table_is_used_and_no_other(shop: Shop) -> None:
    await grant(shop.world, CONTROLLER_ACCOUNT, roles_of(TABLE, PLACES, "controller"))
    async with programs(shop) as controller:
        await use_everything(shop)
        await shop.world.until(lambda: missing(controller) and not any(missing(controller).values()))
        assert not controller.health.ready()
    asked = questions(TABLE, PLACES)
    needed = {access: question_about(access, asked) for access in used(shop.world)}
    assert {str(access) for access, question in needed.items() if question is None} == set()
    assert {str(question) for question in asked} - {str(question) for question in needed.values()} == set()
    assert [record.path for record in shop.world.server.requests if record.status == 403] == []


async def test_under_upstreams_role_everything_works_and_nothing_is_missed(shop: Shop) -> None:
    """Ours is a change of image alone: claims may be updated and not patched, Secrets not read."""
    roles = [
        role("upstream", "", (*UPSTREAM_CONTROLLER, UPSTREAM_NODES)),
        role("upstream", LEASE[0], UPSTREAM_LEASES),
    ]
    await grant(shop.world, CONTROLLER_ACCOUNT, roles)
    async with programs(shop) as controller:
        await use_everything(shop)
        await shop.world.until(lambda: missing(controller) and not any(missing(controller).values()))
        assert not controller.health.ready()
    # Events about who leads are told where the lease is.
    assert {record.path for record in shop.world.server.requests if record.status == 403} == set()


async def test_without_a_permission_that_is_needed_it_is_not_ready_and_says_which(shop: Shop) -> None:
    lacking = [row for row in UPSTREAM_CONTROLLER if row["resources"] != ["volumesnapshots/status"]]
    await grant(shop.world, CONTROLLER_ACCOUNT, [role("upstream", "", (*lacking, UPSTREAM_NODES))])
    await grant(shop.world, CONTROLLER_ACCOUNT, [role("upstream", LEASE[0], UPSTREAM_LEASES)])
    async with programs(shop) as controller:
        await shop.make("one")
        await shop.world.until(lambda: missing(controller).get("patch volumesnapshots/status") == 1)
        (trouble,) = controller.health.ready()
        assert "patch volumesnapshots/status" in trouble
        # What it may say it says.
        await shop.world.until(lambda: shop.world.warnings("one"))
        assert "volumesnapshots/status" in shop.world.warnings("one")[0]["message"]


def without(*resources: str) -> list[dict[str, Any]]:
    """Upstream's roles for the controller, but for the rules about these."""
    rules = [row for row in (*UPSTREAM_CONTROLLER, UPSTREAM_NODES) if not set(row["resources"]) & set(resources)]
    return [role("upstream", "", rules), role("upstream", LEASE[0], UPSTREAM_LEASES)]


async def test_without_reading_nodes_snapshots_are_made_for_no_node(shop: Shop) -> None:
    await grant(shop.world, CONTROLLER_ACCOUNT, without("nodes"))
    async with programs(shop) as controller:
        for each in (shop, shop.of(GROUPS)):
            await each.make("one")
            await shop.world.until(lambda each=each: each.at_rest("one"))  # type: ignore[misc]
        await shop.world.until(lambda: missing(controller).get("list nodes") == 1)
        assert not controller.health.ready()


@each_sort
async def test_without_reading_classes_nothing_is_begun_it_says_why_and_the_rest_goes_on(
    shop: Shop, sort: Sort
) -> None:
    await grant(shop.world, CONTROLLER_ACCOUNT, without())
    mine, other = shop.of(sort), shop.of(GROUPS if sort is SINGLES else SINGLES)
    async with programs(shop):
        await mine.make("old")
        await shop.world.until(lambda: mine.at_rest("old"))
    (lacking, _) = without(f"{sort.plural.removesuffix('s')}classes")
    path = f"{collection(lacking)}/{lacking['metadata']['name']}"
    await shop.world.request("PATCH", path, {"rules": lacking["rules"]}, MERGE)
    async with programs(shop):
        await mine.make("named")
        await mine.make("of-the-default-class", class_name=None)
        for name in ("named", "of-the-default-class"):
            await shop.world.until(lambda name=name: "permission is missing" in (mine.error(name) or ""))  # type: ignore[misc]
        await other.make("one")
        await shop.world.until(lambda: other.ready("one"))
        await mine.delete("old")
        await shop.world.until(lambda: mine.request("old") is None)
        (given, _) = without()
        await shop.world.request("PATCH", path, {"rules": given["rules"]}, MERGE)
        await shop.world.until(lambda: mine.at_rest("named"))
