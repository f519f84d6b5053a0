"""The roles of the manifests are enough for what the programs do, and no part of them is unused.

The stand-in decides by these very roles what the sidecar may do, as a cluster does.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme

from snapshotter.settings import (
    AdmissionSettings,
    ElectionSettings,
    EndSettings,
    KubeSettings,
    TlsSettings,
    WebhookSettings,
)
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault
from snapshotter.webhook import app as webhook
from tests.contract.client import Client
from tests.manifests.rendering import Json, build, of_kind, overlay, written
from tests.manifests.test_programs import Rights, granted
from tests.world import DRIVER, GROUP, SINGLE, World

SETTLED_SECONDS = 60.0
"""Nothing takes so long, on however slow a machine."""
ROLES = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "LIST": "list",
    "WATCH": "watch",
}


Asked = tuple[tuple[str, str, str], int | None]
"""What a role has to give for a request, and the status of the answer."""


def give(server: ApiServer, objects: Iterable[Json]) -> None:
    for each in objects:
        plural = f"{each['kind'].lower()}s.rbac.authorization.k8s.io"
        server.create(plural, each, each["metadata"].get("namespace", ""))


@asynccontextmanager
async def world_with_roles(directory: Path, objects: tuple[Json, ...]) -> AsyncIterator[World]:
    """A world in which the service account of the sidecar may do what these objects say, and nothing else."""
    options = DriverOptions(name=DRIVER, state=directory / "state")
    async with (
        ApiServer.serve(rbac=True) as server,
        Driver.serve(directory / "csi.sock", options) as driver,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.admin_token}"}) as http,
    ):
        for volume in ("vol", "vol2"):
            await driver.make_volume(volume, b"bytes")
        give(server, of_kind(objects, *ROLES))
        yield World(server, driver, directory, http)


@asynccontextmanager
async def sidecar_with_roles(world: World, *, election: bool = True) -> AsyncIterator[None]:
    """The sidecar at work with the token of its service account."""
    kubeconfig = world.directory / "kubeconfig-of-the-sidecar"
    kubeconfig.write_text(world.server.kubeconfig(world.server.token_for("default", "csi-snapshotter")))
    async with world.sidecar(
        kube=KubeSettings(kubeconfig=str(kubeconfig)),
        election=ElectionSettings(
            enabled=election, namespace="default", lease_duration=3.0, renew_deadline=2.0, retry_period=0.2
        ),
    ):
        yield


def requested(world: World) -> list[Asked]:
    return asked_by("csi-snapshotter", world.server)


def asked_by(program: str, server: ApiServer) -> list[Asked]:
    """What a program asked for. Discovery and reviews are left out, which everybody may ask for."""
    found = []
    for record in server.requests:
        if not record.user_agent.startswith(f"{program}/") or record.path.startswith("/apis/authorization."):
            continue
        place = re.fullmatch(
            r"/api(?:s/(?P<group>[^/]+))?/v\w+/(?:namespaces/[^/]+/)?(?P<resource>[^/]+)(?:/[^/]+)?(?P<sub>/[^/]+)?",
            record.path,
        )
        if place is not None:
            resource = place["resource"] + (place["sub"] or "")
            found.append(((VERBS[record.verb], place["group"] or "", resource), record.status))
    return found


def refused(world: World) -> list[tuple[str, str, str]]:
    return [what for what, status in requested(world) if status == 403]


async def work_on_everything(world: World) -> None:
    for kind in (SINGLE, GROUP):
        await work_on(world.of(kind))


async def work_on(world: World) -> None:
    """A content of the world's kind is cut, fails for a while, meets another writer, and is deleted."""
    kind = world.kind
    await world.make_class()
    failing = world.driver.faults.set(Fault(match=kind.create, error="INTERNAL", message="not now"))
    # The first write of a status meets another's.
    world.server.faults.set(Fault(match=f"PATCH {kind.path}/{kind.id}/status", error=409, times=1))
    await world.make_content(kind.id)
    await settle(world, lambda: ("patch", "", "events") in dict(requested(world)))
    world.driver.faults.lift(failing)
    await settle(world, lambda: world.settled(kind.id))
    await world.delete_content(kind.id)
    await settle(world, lambda: world.content(kind.id) is None)


async def settle(world: World, condition: Callable[[], object]) -> None:
    await world.until(condition, seconds=SETTLED_SECONDS)


async def test_the_sidecar_does_all_its_work_by_its_roles_and_uses_every_part_of_them(tmp_path: Path) -> None:
    objects = written("csi-snapshotter")
    async with world_with_roles(tmp_path, objects) as world:
        async with sidecar_with_roles(world):
            await work_on_everything(world)
        assert refused(world) == []
        used: Rights = {what for what, _ in requested(world)}
        assert used == granted(objects)


@pytest.mark.kustomize
async def test_on_nodes_no_lease_is_needed(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path / "overlay", "csi-snapshotter", "csi-snapshotter/node-deployment"))
    async with world_with_roles(tmp_path, objects) as world:
        async with sidecar_with_roles(world, election=False):
            await work_on_everything(world)
        assert refused(world) == []


SECRET_NAMESPACE = {"csi.storage.k8s.io/snapshotter-secret-namespace": "default"}


async def test_a_secret_that_is_named_is_read_and_another_is_not(tmp_path: Path) -> None:
    objects = (*written("csi-snapshotter"), *written("csi-snapshotter/secrets-by-name"))
    async with world_with_roles(tmp_path, objects) as world:
        for name in ("csi-hostpath-credentials", "another"):
            await world.make_secret(name, user="snapshots")
            await world.make_class(name, {SINGLE.secret_parameter: name, **SECRET_NAMESPACE})
        async with sidecar_with_roles(world):
            await world.make_content(
                "may", class_name="csi-hostpath-credentials", annotations=SINGLE.secret("csi-hostpath-credentials")
            )
            await settle(world, lambda: world.settled("may"))
            await world.make_content("may-not", class_name="another", annotations=SINGLE.secret("another"))
            await settle(
                world, lambda: ("get", "", "secrets") in refused(world) and "another" in str(world.error("may-not"))
            )
        assert set(refused(world)) == {("get", "", "secrets")}


@pytest.mark.kustomize
async def test_with_the_component_for_secrets_every_secret_is_read(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path / "overlay", "csi-snapshotter", "csi-snapshotter/secrets"))
    async with world_with_roles(tmp_path, objects) as world:
        await world.make_secret("any", user="snapshots")
        await world.make_class("class")
        async with sidecar_with_roles(world):
            await world.make_content("one", annotations=SINGLE.secret("any"))
            await settle(world, lambda: world.settled("one"))
        assert refused(world) == []
        assert ("get", "", "secrets") in dict(requested(world))


@pytest.mark.kustomize
async def test_the_check_of_default_classes_does_its_work_by_its_role_and_uses_every_part_of_it(
    tmp_path: Path,
) -> None:
    objects = build(overlay(tmp_path / "overlay", "webhook", "webhook/default-class-admission"))
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    async with ApiServer.serve(rbac=True) as server:
        give(server, of_kind(objects, *ROLES))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig(server.token_for("default", "snapshot-conversion-webhook")))
        settings = WebhookSettings(
            tls=TlsSettings(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), port=0),
            admission=AdmissionSettings(enabled=True, kubeconfig=str(kubeconfig)),
            end=EndSettings(delay=0.0),
        )
        async with webhook.started(settings) as program:
            end = asyncio.Event()

            async def ended() -> None:
                await end.wait()

            work = asyncio.create_task(program.work(ended), name="webhook under test")
            asked = await requests_until(server, lambda asked: {what for what, _ in asked} == granted(objects))
            end.set()
            await work
        assert [what for what, status in asked if status == 403] == []


async def requests_until(server: ApiServer, condition: Callable[[list[Asked]], bool]) -> list[Asked]:
    """What the webhook has asked for, once something holds of it. Raises `TimeoutError`."""
    async with asyncio.timeout(SETTLED_SECONDS):
        while True:
            asked = asked_by("snapshot-conversion-webhook", server)
            if condition(asked):
                return asked
            await asyncio.sleep(0.05)


USERS: dict[str, tuple[list[str], dict[str, bool]]] = {
    "who may view sees snapshots and groups": (
        ["snapshots-view"],
        {"list volumesnapshots": True, "list volumegroupsnapshots": True, "create volumesnapshots": False},
    ),
    "who may edit makes and deletes them": (
        ["snapshots-view", "snapshots-edit"],
        {
            "list volumesnapshots": True,
            "create volumesnapshots": True,
            "delete volumegroupsnapshots": True,
            "patch volumesnapshots/status": False,
            "create volumesnapshotcontents": False,
            "create volumegroupsnapshotcontents": False,
        },
    ),
    "everybody reads classes and changes none": (
        [],
        {
            "list volumesnapshotclasses": True,
            "get volumegroupsnapshotclasses": True,
            "create volumesnapshotclasses": False,
            "list volumesnapshots": False,
        },
    ),
}


@pytest.mark.parametrize(("roles", "rights"), USERS.values(), ids=USERS.keys())
async def test_users_have_the_rights_of_their_roles(roles: list[str], rights: dict[str, bool]) -> None:
    async with ApiServer.serve(rbac=True) as server:
        give(server, written("user-roles"))
        give(server, [binding(role) for role in roles])
        headers = {"Authorization": f"Bearer {server.token_for('default', 'somebody')}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as session:
            assert {right: await is_allowed(Client(session), right) for right in rights} == rights


def binding(role: str) -> Json:
    return {
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": "default"},
        "subjects": [{"kind": "ServiceAccount", "name": "somebody", "namespace": "default"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    }


async def is_allowed(api: Client, right: str) -> bool:
    verb, _, what = right.partition(" ")
    resource, _, subresource = what.partition("/")
    group = "groupsnapshot.storage.k8s.io" if "group" in resource else "snapshot.storage.k8s.io"
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    if not resource.endswith(("classes", "contents")):
        asked["namespace"] = "default"
    review = {"spec": {"resourceAttributes": asked}}
    answer = (await api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)).ok()
    return bool(answer["status"]["allowed"])
