"""The sidecar under the roles of the server that is tested: upstream's, and one without each permission in turn."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from prometheus_client import CollectorRegistry

from snapshotter import names
from snapshotter.kube.access import AccessReviews
from snapshotter.kube.connection import Limits, connect
from snapshotter.kube.leases import lease_name
from snapshotter.metrics import DaemonMetrics
from snapshotter.plan import permissions
from snapshotter.plan.permissions import Access, Permission, Places, questions
from snapshotter.plan.secrets import SecretRef
from snapshotter.settings import DriverSettings, ElectionSettings, KubeSettings, SidecarSettings, WorkSettings
from snapshotter.sidecar import app
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.driver import Driver, DriverOptions
from tests import roles
from tests.contract import objects
from tests.contract.client import MERGE, SOON_SECONDS, Client, Json, Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEASES = "kube-system"
TABLE = permissions.sidecar()
EVENTS = "/api/v1/namespaces/default/events"
SECRETS = "/api/v1/namespaces/default/secrets"

Check = Callable[[], Awaitable[object]]


async def until(check: Check) -> None:
    """Return once something holds on the server."""
    async with asyncio.timeout(SOON_SECONDS):
        while not await check():  # noqa: ASYNC110 - one can only ask
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Tenant:
    """A sidecar's surroundings on the shared server: an account, a driver, a class of each kind, a Secret."""

    api: Client
    server: Server
    driver: Driver
    directory: Path
    name: str

    @property
    def places(self) -> Places:
        return Places(lease=(LEASES, lease_name(self.driver.options.name)), secrets=(SecretRef("default", self.name),))

    async def kubeconfig(self) -> Path:
        """The kubeconfig of the account."""
        body: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = (await self.api.create(f"/api/v1/namespaces/default/serviceaccounts/{self.name}/token", body)).ok()
        config = yaml.safe_load(self.server.kubeconfig)
        config["users"][0]["user"] = {"token": answer["status"]["token"]}
        path = self.directory / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    async def grant(self, given: Iterable[Json]) -> None:
        """Let the account have these roles."""
        for role in given:
            name, namespace = role["metadata"]["name"], role["metadata"].get("namespace", "")
            changed = await self.api.merge(f"{roles.collection(role)}/{name}", {"rules": role["rules"]})
            if changed.status == 404:
                bound = roles.binding(name, namespace, self.name)
                (await self.api.create(roles.collection(role), role)).ok()
                (await self.api.create(roles.collection(bound), bound)).ok()
            else:
                changed.ok()

    async def give(self, table: Iterable[Permission]) -> None:
        """Let the account have just these permissions, and wait until the server knows."""
        table = tuple(table)
        await self.grant(roles.roles_of(table, self.places, self.name))
        expected = questions(table, self.places).keys()
        metrics = DaemonMetrics(CollectorRegistry())
        async with connect(await self.kubeconfig(), Limits(), metrics, user_agent="test/1") as connection:
            reviews = AccessReviews(connection)

            async def is_known() -> bool:
                allowed = (await reviews.ask(questions(TABLE, self.places))).allowed
                return {access for access, given in allowed.items() if given} == expected

            await until(is_known)

    @contextlib.asynccontextmanager
    async def sidecar(self) -> AsyncIterator[Sidecar]:
        """The sidecar at work under the account."""
        settings = SidecarSettings(
            driver=DriverSettings(csi_address=str(self.driver.socket), timeout=10.0),
            kube=KubeSettings(kubeconfig=str(await self.kubeconfig())),
            work=WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=2.0),
            election=ElectionSettings(
                enabled=True, namespace=LEASES, lease_duration=90.0, renew_deadline=60.0, retry_period=0.2
            ),
        )
        async with app.started(settings) as sidecar:
            end = asyncio.Event()
            work = asyncio.create_task(sidecar.work(end.wait), name="sidecar under test")
            try:
                yield sidecar
            finally:
                end.set()
                await work

    def content(self, name: str, **spec: Any) -> Json:
        ref = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
        metadata = {"name": name, "finalizers": [names.CONTENT_FINALIZER]}
        usual: Json = {
            "driver": self.driver.options.name,
            "source": {"volumeHandle": "vol"},
            "volumeSnapshotClassName": self.name,
        }
        return objects.content(name=name, metadata=metadata, volumeSnapshotRef=ref, **usual | spec)

    def group(self, name: str) -> Json:
        ref = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
        return objects.group_content(
            name=name,
            metadata={"finalizers": [names.GROUP_CONTENT_FINALIZER]},
            driver=self.driver.options.name,
            source={"volumeHandles": ["vol", "vol2"]},
            volumeGroupSnapshotRef=ref,
            volumeGroupSnapshotClassName=self.name,
        )

    async def ready(self, given: Json) -> bool:
        found = (await self.api.get(objects.path_of(given))).ok()
        marks = found["metadata"].get("annotations", {}).keys() & {names.BEING_CREATED, names.GROUP_BEING_CREATED}
        return bool(found.get("status", {}).get("readyToUse") is True and not marks)

    async def delete(self, given: Json) -> None:
        path = objects.path_of(given)
        marks = {names.BEING_DELETED: "yes", names.GROUP_BEING_DELETED: "yes"}
        (await self.api.request("PATCH", path, {"metadata": {"annotations": marks}}, MERGE)).ok()
        (await self.api.delete(path)).ok()

        async def is_gone() -> bool:
            return (await self.api.get(path)).status == 404

        await until(is_gone)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(server: Server, api: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tenant]:
    monkeypatch.setattr("snapshotter.daemon.groups.LOOK_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("snapshotter.daemon.permissions.SECOND_LOOK", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.EACH_UNSETTLED", 0.5)
    monkeypatch.setattr("snapshotter.daemon.permissions.SHORTEST_PAUSE", 0.1)
    name = objects.new_name("tenant")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    (await api.create("/api/v1/namespaces/default/serviceaccounts", account)).ok()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"user": "me"}}
    (await api.create(SECRETS, secret)).ok()
    driver_name = f"{name}.csi.example.com"
    login = {names.SNAPSHOTTER_SECRET_NAME: name, names.SNAPSHOTTER_SECRET_NAMESPACE: "default"}
    for made in (
        objects.snapshot_class(name=name, driver=driver_name, parameters=login),
        objects.group_class(name=name, driver=driver_name),
    ):
        (await api.create(objects.collection_of(made), made)).ok()
    options = DriverOptions(name=driver_name, state=tmp_path / "state")
    async with Driver.serve(tmp_path / "csi.sock", options) as driver:
        await driver.make_volume("vol", b"bytes")
        await driver.make_volume("vol2", b"more")
        yield Tenant(api, server, driver, tmp_path, name)


def told(sidecar: Sidecar) -> dict[tuple[str, ...], float]:
    """The metric, by verb, group, resource and feature."""
    labels = ("verb", "group", "resource", "needed_for")
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in sidecar.registry.collect()
        for sample in family.samples
        if sample.name == "snapshotter_permission_missing"
    }


def expected(*missing: Permission) -> dict[tuple[str, ...], float]:
    return {(row.verb, row.group, row.full_resource, row.needed_for): float(row in missing) for row in TABLE}


async def test_under_upstreams_role_snapshots_and_groups_come_and_go(
    tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    await tenant.grant(
        [
            roles.role(tenant.name, "", [*roles.UPSTREAM_SIDECAR, roles.UPSTREAM_SECRETS]),
            roles.role(tenant.name, LEASES, roles.UPSTREAM_LEASES),
        ]
    )
    async with tenant.sidecar() as sidecar:
        for given in (tenant.content(objects.new_name("cut")), tenant.group(objects.new_name("cut"))):
            (await tenant.api.create(objects.collection_of(given), given)).ok()
            await until(lambda given=given: tenant.ready(given))  # type: ignore[misc]
            await tenant.delete(given)
        assert not tenant.driver.snapshots

        async def is_told() -> bool:
            return told(sidecar) == expected()

        await until(is_told)
        assert not sidecar.health.ready()
    assert "permission is missing" not in capfd.readouterr().out


def needs(access: Access, contents: str, classes: str) -> bool:
    """Whether a snapshot cannot be cut without it."""
    return (access.verb, access.resource, access.subresource) in {
        ("list", contents, ""),
        ("patch", contents, ""),
        ("patch", contents, "status"),
        ("list", classes, ""),
        ("get", "leases", ""),
        ("create", "leases", ""),
    }


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.verb} {row.full_resource} for {row.needed_for}")
async def test_a_missing_permission_is_named_and_stops_nothing_else(
    tenant: Tenant, capfd: pytest.CaptureFixture[str], row: Permission
) -> None:
    if not tenant.server.real and row.subresource == "":
        pytest.skip("on the stand-in tests/sidecar/test_permissions.py shows more")
    (missing,) = questions([row], tenant.places)
    login = {names.DELETION_SECRET_NAME: tenant.name, names.DELETION_SECRET_NAMESPACE: "default"}
    single, group = tenant.content(objects.new_name("cut")), tenant.group(objects.new_name("cut"))
    secretive = tenant.content(objects.new_name("secretive"))
    secretive["metadata"]["annotations"] = login
    waits_for = {
        "single": (single, needs(missing, "volumesnapshotcontents", "volumesnapshotclasses")),
        "group": (group, needs(missing, "volumegroupsnapshotcontents", "volumegroupsnapshotclasses")),
        "secretive": (
            secretive,
            needs(missing, "volumesnapshotcontents", "volumesnapshotclasses") or missing.resource == "secrets",
        ),
    }
    for given, _ in waits_for.values():
        (await tenant.api.create(objects.collection_of(given), given)).ok()
    await tenant.give(other for other in TABLE if other is not row)
    async with tenant.sidecar() as sidecar:
        for given, waits in waits_for.values():
            if not waits:
                await until(lambda given=given: tenant.ready(given))  # type: ignore[misc]

        async def is_told() -> bool:
            return told(sidecar) == expected(row)

        await until(is_told)
        output = capfd.readouterr().out
        lines = [line for line in output.splitlines() if "] permission is missing " in line]
        assert len(lines) == 1
        assert f"verb={row.verb}" in lines[0]
        assert f"resource={row.full_resource} " in lines[0]
        assert (f"permission is missing: {missing}" in sidecar.health.ready()) is row.required
        for given, waits in waits_for.values():
            assert not (waits and await tenant.ready(given))
        await tenant.give(TABLE)
        for given, _ in waits_for.values():
            await until(lambda given=given: tenant.ready(given))  # type: ignore[misc]
            await tenant.delete(given)

        async def is_well() -> bool:
            return told(sidecar) == expected() and not sidecar.health.ready()

        await until(is_well)
