"""Objects that cannot be read, with both programs at work: users are told, nothing is lost, and mending is enough."""

import json
from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry

from snapshotter.names import MALFORMED
from snapshotter.plan.failure import LONGEST_TEXT
from tests.controller.conftest import each_sort
from tests.controller.shop import GROUPS, NAMESPACE, Shop, Sort
from tests.controller.test_leadership import LEASE, LEASES, QUICK
from tests.world import MERGE, Object


def spoiled(found: Object, field: str) -> bytes:
    """An object with a number in the place of something in its spec."""
    body = found | {"spec": found["spec"] | {field: 5}}
    return json.dumps(body | {"metadata": found["metadata"] | {"resourceVersion": "@version@"}}).encode()


def sound(found: Object) -> bytes:
    return json.dumps(found | {"metadata": found["metadata"] | {"resourceVersion": "@version@"}}).encode()


def told(shop: Shop, name: str, reason: str) -> list[str]:
    return [event["message"] for event in shop.world.events(name) if event["reason"] == reason]


def unreadable_now(registries: Iterable[CollectorRegistry], resource: str) -> list[float | None]:
    name = "snapshotter_unreadable_objects"
    return [registry.get_sample_value(name, {"resource": resource}) for registry in registries]


@each_sort
async def test_promise_1_a_request_does_not_go_without_a_content_that_cannot_be_read(shop: Shop, sort: Sort) -> None:
    async with shop.world.sidecar() as sidecar, shop.controller() as controller:
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        # What is there now, by the page of each program.
        unreadable = partial(unreadable_now, (sidecar.registry, controller.registry), shop.world.kind.plural)
        assert unreadable() == [0, 0]
        content = shop.content("one")
        assert content is not None
        name = content["metadata"]["name"]
        stored = set(shop.world.driver.snapshots)
        shop.world.server.plant(shop.world.kind.plural, name, spoiled(content, "deletionPolicy"))
        # The sidecar tells of it, and so does the controller.
        await shop.world.until(lambda: len(told(shop, name, MALFORMED)) == 2)
        why = "Expected `str`, got `int` - at `$.spec.deletionPolicy`"
        assert all(text.endswith(why) for text in told(shop, name, MALFORMED))
        assert unreadable() == [1, 1]
        assert shop.ready("one")
        await shop.delete("one")
        await shop.world.until(lambda: told(shop, "one", "SnapshotDeletePending"))
        assert told(shop, "one", "SnapshotDeletePending") == [
            f'the deletion waits: {sort.kind.content} "{name}" cannot be read: {why}'
        ]
        assert set(shop.world.driver.snapshots) == stored
        shop.world.server.plant(shop.world.kind.plural, name, sound(content))
        await shop.world.until(shop.nothing_left)
        await shop.world.until(lambda: unreadable() == [0, 0])


@each_sort
async def test_a_request_that_cannot_be_read_is_told_of_once_and_served_when_it_is_mended(
    shop: Shop, sort: Sort
) -> None:
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        request = shop.request("one")
        assert request is not None
        for _ in range(3):
            shop.world.server.plant(sort.plural, "two", spoiled(renamed(request), "source"), NAMESPACE)
        await shop.world.until(lambda: told(shop, "two", MALFORMED))
        shop.world.server.plant(sort.plural, "two", sound(renamed(request)), NAMESPACE)
        await shop.world.until(lambda: shop.ready("two"))
        (event,) = [event for event in shop.world.events("two") if event["reason"] == MALFORMED]
        assert event["count"] == 1
        assert event["message"].endswith("Expected `object`, got `int` - at `$.spec.source`")


def renamed(request: Object) -> Object:
    """The same wish under another name, before anything was done for it."""
    metadata = {"name": "two", "namespace": NAMESPACE, "uid": "uid-of-two"}
    return {key: value for key, value in request.items() if key != "status"} | {"metadata": metadata}


async def test_a_gone_content_that_could_not_be_read_holds_nobody_any_more(shop: Shop) -> None:
    async with shop.programs():
        await shop.make("one")
        await shop.world.until(lambda: shop.at_rest("one"))
        content = shop.content("one")
        assert content is not None
        name = content["metadata"]["name"]
        shop.world.server.plant("volumesnapshotcontents", name, spoiled(content, "driver"))
        await shop.delete("one")
        await shop.world.until(lambda: told(shop, "one", "SnapshotDeletePending"))
        shop.world.server.uproot("volumesnapshotcontents", name)
        await shop.world.until(lambda: shop.request("one") is None)


async def test_a_problem_with_something_enormous_is_told_in_a_line_that_people_can_read(shop: Shop) -> None:
    """Nothing bounds the values of a selector but the size of a request."""
    groups = shop.of(GROUPS)
    async with shop.programs():
        await groups.make("one", labels={"app": "x\n" * 100_000})
        await shop.world.until(lambda: groups.error("one") and shop.world.warnings("one"))
    error = groups.error("one") or ""
    assert error.startswith('no PersistentVolumeClaim of namespace "default" has labels that fit "app=x x')
    assert len(error) == LONGEST_TEXT
    assert [event["message"] for event in shop.world.warnings("one")] == [error]


async def test_a_standby_tells_nothing_of_what_it_cannot_read_and_then_all(shop: Shop) -> None:
    odd = b'{"metadata":{"name":"odd","namespace":"default"},"spec":{"driver":"bytes.csi.example.com"}}'
    held = {"holderIdentity": "another", "leaseDurationSeconds": 60}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": held}
    await shop.world.request("POST", LEASES, lease)
    shop.world.server.plant("volumesnapshots", "odd", odd, NAMESPACE)
    async with shop.controller(election=QUICK) as standby:
        await shop.world.until(lambda: not standby.health.ready())
        shop.world.server.plant("volumesnapshotcontents", "odd", odd.replace(b',"namespace":"default"', b""))
        following = standby.stores.singles.contents
        await shop.world.until(lambda: following.trouble_with("odd") is not None)
        assert not shop.world.events("odd")
        await shop.world.request("PATCH", f"{LEASES}/{LEASE}", {"spec": {"holderIdentity": ""}}, MERGE)
        await shop.world.until(lambda: len(shop.world.events("odd")) == 2)
