"""Leadership inside the process: what waits for it, what is refused without it, and what is seen of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from snapshotter.csi.driver import open_driver
from snapshotter.daemon.leadership import ElectedLeadership, Leadership
from snapshotter.kube.access import PATH
from snapshotter.kube.connection import Connection, Limits, connect
from snapshotter.metrics import Metrics
from snapshotter.runtime.leader import NotLeading
from snapshotter.settings import ElectionSettings
from snapshotter.sidecar import app
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.web.server import serving
from tests.world import CONTENT_PATH, DRIVER, MERGE, World, each_kind

LEASE = "external-snapshotter-leader-bytes-csi-example-com"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
ELECTION = ElectionSettings(enabled=True, namespace="default")
QUICK = replace(ELECTION, retry_period=0.1)


def no_leader() -> None:
    raise NotLeading("another may hold the lease")


@asynccontextmanager
async def connection_without_leadership(world: World) -> AsyncIterator[Connection]:
    metrics = Metrics(CollectorRegistry())
    async with connect(world.kubeconfig, Limits(), metrics, user_agent="test/1", permit=no_leader) as made:
        yield made


async def test_without_leadership_everything_is_read_and_nothing_written(world: World) -> None:
    await world.make_content("one")
    async with connection_without_leadership(world) as connection:
        await connection.request("GET", CONTENT_PATH)
        for method, path in (
            ("POST", CONTENT_PATH),
            ("PATCH", f"{CONTENT_PATH}/one"),
            ("DELETE", f"{CONTENT_PATH}/one"),
        ):
            with pytest.raises(NotLeading):
                await connection.request(method, path, body={})
    assert world.content("one") is not None
    assert not [record for record in world.server.requests if record.user_agent == "test/1" and record.verb != "LIST"]


async def test_without_leadership_the_driver_is_met_and_not_called(world: World) -> None:
    socket, metrics = str(world.driver.socket), Metrics(CollectorRegistry())
    async with open_driver(socket, metrics, timeout=5.0, log_payloads=False, permit=no_leader) as driver:
        await driver.wait_until_connected(5.0)
        assert (await driver.meet()).name == DRIVER
        for call in (
            driver.create_snapshot("name", "vol", {}, {}),
            driver.delete_snapshot("handle", {}),
            driver.find_snapshot("handle", {}),
        ):
            with pytest.raises(NotLeading):
                await call
    assert {call.method for call in world.driver.calls} == {
        "GetPluginInfo",
        "Probe",
        "ControllerGetCapabilities",
    }


async def test_a_standby_knows_the_contents_and_touches_nothing(world: World) -> None:
    await world.request(
        "POST",
        LEASES,
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE},
            "spec": {"holderIdentity": "another", "leaseDurationSeconds": 60},
        },
    )
    await world.make_content("one")
    async with world.sidecar(election=ELECTION) as sidecar:
        await world.until(lambda: not sidecar.health.ready())
        await asyncio.sleep(0.5)
    assert world.calls("CreateSnapshot") == 0
    ours = [record for record in world.server.requests if record.user_agent.startswith("csi-snapshotter/")]
    # A question about our own permissions is a POST that changes nothing.
    asked = {record.verb for record in ours if record.path != PATH}
    assert asked <= {"GET", "LIST", "WATCH"}


@each_kind
async def test_a_standby_queues_nothing_and_begins_with_all_that_is_to_be_done(world: World) -> None:
    """What waited in the queue of one that stands by would wait for ever, and look like work that is left undone."""
    held = {"holderIdentity": "another", "leaseDurationSeconds": 60}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": held}
    await world.request("POST", LEASES, lease)
    await world.make_content("before")
    world.server.plant(
        world.kind.plural, "odd", b'{"metadata":{"name":"odd"},"spec":{"driver":"%s"}}' % DRIVER.encode()
    )
    async with world.sidecar(election=QUICK) as sidecar:
        await world.until(lambda: not sidecar.health.ready())
        await world.make_content("meanwhile")
        followed = {"driver_name": DRIVER, "kind": world.kind.content, "state": "not_ready"}
        await world.until(lambda: sidecar.registry.get_sample_value("snapshotter_contents", followed) == 2)
        for queue in ("csi-snapshotter-content", "csi-snapshotter-groupsnapshotcontent"):
            assert sidecar.registry.get_sample_value("workqueue_depth", {"name": queue}) == 0
        await world.request("PATCH", f"{LEASES}/{LEASE}", {"spec": {"holderIdentity": ""}}, MERGE)
        await world.until(lambda: world.ready("before") and world.ready("meanwhile") and world.events("odd"))


async def test_a_leader_works_and_gives_the_lease_away_at_the_end(world: World) -> None:
    async with world.sidecar(election=ELECTION):
        await world.make_content("one")
        await world.until(lambda: world.ready("one"))
        lease = world.server.get("leases", LEASE, "default")
        assert lease is not None
        assert lease["spec"]["holderIdentity"]
        assert lease["spec"]["leaseDurationSeconds"] == 15
    lease = world.server.get("leases", LEASE, "default")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseDurationSeconds"] == 1


@each_kind
async def test_promise_11_the_lease_is_kept_while_the_driver_is_away(world: World) -> None:
    async with world.sidecar(election=QUICK) as sidecar:
        await world.until(lambda: not sidecar.health.ready())
        await world.driver.stop_serving()
        await world.until(sidecar.health.ready)
        before, holder = renewals(world), held_by(world)
        await world.make_content("one")
        await world.until(lambda: renewals(world) > before + 5)
        assert holder
        assert held_by(world) == holder
        await world.driver.start_serving()
        await world.until(lambda: world.ready("one"))
        assert held_by(world) == holder


@each_kind
async def test_promise_11_a_leader_whose_driver_stays_away_lets_another_lead_and_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.sidecar.sidecar.AWAY_SECONDS", 0.3)
    options = DriverOptions(name=DRIVER, state=world.directory / "other-state")
    async with Driver.serve(world.directory / "other.sock", options) as other, asyncio.TaskGroup() as replicas:
        for volume in ("vol", "vol2"):
            await other.make_volume(volume, b"bytes")
        end = asyncio.Event()
        one = world.settings(election=QUICK)
        two = world.settings(election=QUICK, driver=replace(one.driver, csi_address=str(other.socket)))
        replicas.create_task(app.serve(one, end.wait), name="one")
        await world.make_content("first")
        await world.until(lambda: world.ready("first"))
        replicas.create_task(app.serve(two, end.wait), name="two")
        await other.log.wait_until(lambda log: bool(log.of("GroupControllerGetCapabilities")))
        await world.driver.stop_serving()
        await world.make_content("second")
        await world.until(lambda: world.ready("second"))
        assert world.handle("second") in {*other.snapshots, *other.groups}
        # Now the other way round: the first one is a candidate again.
        world.driver.log.reset()
        await world.driver.start_serving()
        await world.driver.log.wait_until(lambda log: bool(log.of("GroupControllerGetCapabilities")))
        await other.stop_serving()
        await world.make_content("third")
        await world.until(lambda: world.ready("third"))
        assert world.handle("third") in world.stored
        await other.start_serving()
        end.set()


def held_by(world: World) -> object:
    lease = world.server.get("leases", LEASE, "default")
    return None if lease is None else lease["spec"].get("holderIdentity")


async def test_renewals_do_not_wait_for_the_limit_on_requests(world: World) -> None:
    """Promise 13."""
    kube = world.settings().kube
    async with world.sidecar(election=QUICK, kube=replace(kube, qps=0.5, burst=1)):
        await world.until(lambda: renewals(world) > 15, seconds=5)


def renewals(world: World) -> int:
    return sum(record.verb == "PUT" and record.path.startswith(LEASES) for record in world.server.requests)


async def test_a_stuck_leader_is_seen() -> None:
    leadership = ElectedLeadership(ELECTION, release=True)
    assert leadership.trouble() == []
    leadership.won.set()
    leadership._tenure.extend(leadership._tenure.clock() + 10)
    assert leadership.trouble() == []
    leadership._tenure.extend(leadership._tenure.clock() - 24)
    assert leadership.trouble() == []
    leadership._tenure.extend(leadership._tenure.clock() - 26)
    (problem,) = leadership.trouble()
    assert problem.startswith("internal server error")


async def test_without_an_election_we_lead_from_the_start() -> None:
    leadership = Leadership()
    leadership.require()
    await leadership.run()
    assert leadership.won.is_set()
    assert leadership.trouble() == []
    await leadership.give_up()


@pytest.mark.parametrize(("election", "status"), [(list, 200), (lambda: ["stuck"], 500), (None, 404)])
async def test_the_health_of_the_election_has_a_path_of_its_own(election: object, status: int) -> None:
    async with (
        serving(
            "127.0.0.1",
            0,
            registry=CollectorRegistry(),
            metrics_path="/metrics",
            alive=list,
            ready=list,
            election=election,  # type: ignore[arg-type]
        ) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.get("/healthz/leader-election") as response,
    ):
        assert response.status == status
