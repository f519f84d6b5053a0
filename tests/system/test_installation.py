"""A cluster that gets its parts one after the other, as the README of the manifests says, and who may do what in it.

The tests are in the order in which the parts come: first there is no driver, then one, then groups, then another
driver. With `--kube` all of it is on a real API server.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from snapshotter.testing.client import EVERYWHERE, ApiFailure, Json
from snapshotter.testing.playground.driver_pod import DriverPod
from snapshotter.testing.playground.pieces import Piece
from snapshotter.testing.playground.running import DRIVER
from tests.manifests.rendering import Workload, rendered, workloads
from tests.manifests.test_certificates import SCRIPTS
from tests.system.cluster import CERTS, Cluster, bare_cluster
from tests.system.person import Person, Refused, group_on_storage, is_bound

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.kubectl,
    pytest.mark.kustomize,
    pytest.mark.kube,
]

SINGLE: Final = "VolumeSnapshot"
GROUP: Final = "VolumeGroupSnapshot"
GROUP_API: Final = "groupsnapshot.storage.k8s.io"
SECOND: Final = "overlays/csi-snapshotter-second-driver"

NAMESPACES = itertools.count(1)


def definitions(*, of_groups: bool) -> list[Json]:
    return [each for each in rendered("crds") if (each["spec"]["group"] == GROUP_API) == of_groups]


def workload(directory: str) -> Workload:
    (found,) = workloads(rendered(directory))
    return found


@dataclass(frozen=True, slots=True)
class Programs:
    """What works in the cluster before the definitions of groups come."""

    controller: Piece
    pod: DriverPod

    @property
    def processes(self) -> tuple[int | None, int | None]:
        return self.controller.pid, self.pod.sidecar.pid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with bare_cluster(tmp_path_factory.mktemp("cluster"), on_kube=request.config.getoption("--kube")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def controller(cluster: Cluster) -> AsyncIterator[Piece]:
    """The definitions of single snapshots, the controller, and the rights of users."""
    await cluster.apply(*definitions(of_groups=False))
    await cluster.apply(*rendered("snapshot-controller"), *rendered("user-roles"))
    await make_roles_of_namespaces(cluster)
    async with cluster.program(workload("snapshot-controller")) as piece:
        yield piece


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def early(cluster: Cluster, controller: Piece) -> AsyncIterator[Person]:
    """A user who asked for a snapshot before there was a driver."""
    async with namespace_with(cluster, "edit") as person:
        for name in ("storageclass.yaml", "snapshotclass-v1.yaml"):
            await administrator(cluster, person).apply(name)
        await person.apply("pvc.yaml")
        await person.apply("snapshot-v1.yaml")
        yield person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def programs(cluster: Cluster, controller: Piece, early: Person) -> AsyncIterator[Programs]:
    """A driver has come, with its sidecar."""
    await cluster.apply(*rendered("csi-snapshotter"))
    async with cluster.driver(DRIVER, workload("csi-snapshotter")) as pod:
        await pod.start()
        yield Programs(controller, pod)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before_groups(cluster: Cluster, programs: Programs) -> AsyncIterator[tuple[int | None, int | None]]:
    """The definitions of groups have come, and the webhook; gives the processes that were there before them."""
    before = programs.processes
    await cluster.apply(*definitions(of_groups=True))
    await cluster.run_script(SCRIPTS / "create-cert.sh")
    certs = await cluster.mount_certificate()
    await cluster.apply(*rendered("webhook"))
    places = ((CERTS, str(certs)), ("--port=8443", f"--port={cluster.webhook_port}"))
    async with cluster.program(workload("webhook"), *places):
        await cluster.run_script(SCRIPTS / "patch-ca-bundle.sh")
        await cluster.lead_service_here()
        yield before


async def make_roles_of_namespaces(cluster: Cluster) -> None:
    """The roles that every cluster has for its users; a controller of the cluster gathers rules for them by a label."""
    roles = (await cluster.api.list("ClusterRole")).items
    for name, verbs in (("view", ["get", "list", "watch"]), ("edit", ["*"])):
        label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
        gathered = [
            rule
            for role in roles
            if role["metadata"].get("labels", {}).get(label) == "true"
            for rule in role["rules"] or ()
        ]
        own = {"apiGroups": [""], "resources": ["persistentvolumeclaims", "events"], "verbs": verbs}
        rules = {"rules": [own, *gathered]}
        if any(role["metadata"]["name"] == name for role in roles):
            await cluster.api.merge_patch("ClusterRole", name, rules)
        else:
            await cluster.api.create({"kind": "ClusterRole", "metadata": {"name": name}, **rules})


@asynccontextmanager
async def namespace_with(cluster: Cluster, role: str, pod: DriverPod | None = None) -> AsyncIterator[Person]:
    """A user who has this role in a new namespace."""
    namespace = f"shop-{next(NAMESPACES)}"
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    await give_role(cluster, namespace, role)
    async with cluster.account(namespace, role) as seen:
        yield Person(seen, namespace, pod)


async def give_role(cluster: Cluster, namespace: str, role: str) -> None:
    """Make a service account of the role's name that has the role in the namespace."""
    metadata = {"name": role, "namespace": namespace}
    await cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [{"kind": "ServiceAccount", **metadata}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        },
    )


def administrator(cluster: Cluster, person: Person, pod: DriverPod | None = None) -> Person:
    """The administrator at work in somebody's namespace."""
    return Person(cluster, person.namespace, pod)


async def deployments(cluster: Cluster) -> list[str]:
    found = (await cluster.api.list("Deployment", namespace=EVERYWHERE)).items
    return sorted(each["metadata"]["name"] for each in found)


async def test_definitions_and_controller_need_no_driver(cluster: Cluster, early: Person) -> None:
    """S7."""
    assert await deployments(cluster) == ["snapshot-controller"]
    message = await early.until_failing(SINGLE, "new-snapshot-demo-v1")
    assert f'PersistentVolumeClaim "{early.namespace}/hpvc" is not bound to a volume' in message


async def test_single_snapshots_work_without_the_definitions_of_groups(
    cluster: Cluster, early: Person, programs: Programs
) -> None:
    """S7, S49."""
    assert await deployments(cluster) == ["csi-snapshotter", "snapshot-controller"]
    await early.until_ready(SINGLE, "new-snapshot-demo-v1")
    with pytest.raises(Refused, match='no matches for kind "VolumeGroupSnapshot"'):
        await early.apply("groupsnapshot-v1.yaml")
    await early.delete(SINGLE, "new-snapshot-demo-v1")
    await early.until_gone(SINGLE, "new-snapshot-demo-v1")
    assert (await programs.pod.storage.held()).snapshots == {}


async def test_groups_begin_when_their_definitions_come(
    cluster: Cluster, programs: Programs, before_groups: tuple[int | None, int | None]
) -> None:
    """S37, S49: without a restart, and with the webhook for older clients."""
    async with namespace_with(cluster, "edit", programs.pod) as user:
        await cut_group(cluster, user)
        assert programs.processes == before_groups
        status = (await user.get(GROUP, "new-groupsnapshot-demo"))["status"]
        old, new = [
            (await cluster.api.get(kind, status["boundVolumeGroupSnapshotContentName"]))["status"]
            for kind in (f"{GROUP}Content.v1beta1", f"{GROUP}Content")
        ]
        assert old["volumeSnapshotHandlePairList"] == [
            {key: info[key] for key in ("volumeHandle", "snapshotHandle")} for info in new["volumeSnapshotInfoList"]
        ]


async def cut_group(cluster: Cluster, user: Person) -> None:
    """The group of the examples, by the classes of an administrator."""
    for name in ("storageclass.yaml", "groupsnapshotclass-v1.yaml"):
        await administrator(cluster, user, user.pod).apply(name)
    for name in ("hpvc", "hpvc-2"):
        await user.apply("pvc.yaml", ("hpvc", name))
        await user.until("PersistentVolumeClaim", name, is_bound)
    await user.apply("groupsnapshot-v1.yaml")
    await user.until_ready(GROUP, "new-groupsnapshot-demo")


async def test_another_driver_comes_with_its_sidecar_alone_and_the_first_is_as_it_was(
    cluster: Cluster, programs: Programs, before_groups: tuple[int | None, int | None]
) -> None:
    """S37."""
    await cluster.apply(*rendered(SECOND))
    async with cluster.driver("second.example.com", workload(SECOND)) as second:
        await second.start()
        for pod in (second, programs.pod):
            async with namespace_with(cluster, "edit", pod) as user:
                await cut_group(cluster, user)
                await user.delete(GROUP, "new-groupsnapshot-demo")
                await user.until_gone(GROUP, "new-groupsnapshot-demo")
    assert programs.processes == before_groups
    assert await deployments(cluster) == [
        "csi-snapshotter",
        "csi-snapshotter-second",
        "snapshot-controller",
        "snapshot-conversion-webhook-deployment",
    ]
    leases = (await cluster.api.list("Lease", namespace=EVERYWHERE)).items
    held = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in leases}
    assert {each for each in held if not each[1].startswith("apiserver-")} == {
        ("kube-system", "snapshot-controller-leader"),
        ("default", "external-snapshotter-leader-hostpath-csi-k8s-io"),
        ("second-driver", "external-snapshotter-leader-second-example-com"),
    }


async def test_administrators_import_groups_and_users_of_namespaces_cannot(
    cluster: Cluster, programs: Programs, before_groups: tuple[int | None, int | None]
) -> None:
    """S30."""
    async with namespace_with(cluster, "edit", programs.pod) as user:
        admin = administrator(cluster, user, programs.pod)
        group, members = await admin.leave_group_on_storage()
        changes = group_on_storage(group, members)
        with pytest.raises(Refused, match="Forbidden") as refused:
            await user.apply("import-group.yaml", *changes)
        for kind, name in (
            ("VolumeGroupSnapshotContent", "imported-group-content-demo"),
            ("VolumeSnapshotContent", "imported-group-first-content"),
        ):
            assert f'"{name}" is forbidden' in str(refused.value)
            for right, ask in {
                "create": user.api.create({"kind": kind, "metadata": {"name": name}}),
                "list": user.api.list(kind),
                "delete": user.api.delete(kind, name),
            }.items():
                with pytest.raises(ApiFailure, match=rf"403 Forbidden: .* cannot {right} resource"):
                    await ask
        # What a user may make of the example waits for the rest, and says so.
        told = await user.until_failing(GROUP, "imported-group-demo")
        assert 'VolumeGroupSnapshotContent "imported-group-content-demo"' in told
        await admin.apply("import-group.yaml", *changes)
        await user.until_ready(GROUP, "imported-group-demo")
        for name in ("imported-group-first", "imported-group-second"):
            await user.until_ready(SINGLE, name)
        await check_who_may_only_view(cluster, user)


async def check_who_may_only_view(cluster: Cluster, user: Person) -> None:
    """They see the snapshots and groups of the user, and classes; they make and delete nothing."""
    await give_role(cluster, user.namespace, "view")
    async with cluster.account(user.namespace, "view") as seen:
        viewer = Person(seen, user.namespace, user.pod)
        assert len(await viewer.all(SINGLE)) == 2
        assert len(await viewer.all(GROUP)) == 1
        assert (await viewer.api.list("VolumeGroupSnapshotClass")).items
        for example in ("snapshot-v1.yaml", "groupsnapshot-v1.yaml"):
            with pytest.raises(Refused, match="forbidden"):
                await viewer.apply(example)
        with pytest.raises(ApiFailure, match=r"403 Forbidden: .* cannot delete resource"):
            await viewer.delete(GROUP, "imported-group-demo")
