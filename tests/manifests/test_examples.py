"""Every example is accepted as it is written, and does what its comment says as far as the programs are there to do it.

The far side is the stand-in; the sidecar works in this process, with a driver that answers to the examples' name.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from snapshotter.settings import KubeSettings
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.driver.records import Group, Snapshot
from tests.contract.client import Answer, Client
from tests.manifests.rendering import MANIFESTS, Json, objects_in
from tests.manifests.test_rights import SETTLED_SECONDS, give
from tests.world import GROUP, SINGLE, Kind, World

DIRECTORY = MANIFESTS / "examples"
DRIVER = "hostpath.csi.k8s.io"
SINGLE_API, GROUP_API = "snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io"
SCENARIOS = Path(__file__).parents[1] / "system"


@dataclass(frozen=True, slots=True)
class Example:
    """What an example does."""

    objects: tuple[str, ...]
    """Kind and name of each."""
    controlled: bool = False
    """The snapshot-controller does what the comment says: `test_walkthroughs` shows it."""
    provisioned: bool = False
    """A provisioner is needed as well: `system/test_scenarios.py` applies it in the playground, which has one."""
    needs: str = ""
    """Who else is needed for it and is not there."""
    refused: str = ""
    """The field that makes the last object impossible."""
    deprecated: bool = False
    """The server warns, and says which version to use."""


def claim(name: str) -> str:
    return f"PersistentVolumeClaim {name}"


def single(name: str) -> str:
    return f"VolumeSnapshot {name}"


def group(name: str) -> str:
    return f"VolumeGroupSnapshot {name}"


EXAMPLES = {
    "block-volume.yaml": Example(
        (claim("block-pvc"), single("block-snapshot-demo"), claim("block-pvc-restore")),
        controlled=True,
        provisioned=True,
    ),
    "groupsnapshot-by-expression.yaml": Example((group("groupsnapshot-by-expression"),), controlled=True),
    "groupsnapshot-v1.yaml": Example((group("new-groupsnapshot-demo"),), controlled=True),
    "groupsnapshot-v1beta1.yaml": Example((group("new-groupsnapshot-demo"),), controlled=True, deprecated=True),
    "groupsnapshotclass-default.yaml": Example(
        ("VolumeGroupSnapshotClass csi-hostpath-group-default",), controlled=True
    ),
    "groupsnapshotclass-v1.yaml": Example(("VolumeGroupSnapshotClass csi-hostpath-groupsnapclass",)),
    "groupsnapshotclass-v1beta1.yaml": Example(
        ("VolumeGroupSnapshotClass csi-hostpath-groupsnapclass",), deprecated=True
    ),
    "groupsnapshotclass-with-secret.yaml": Example(("VolumeGroupSnapshotClass csi-hostpath-group-with-secret",)),
    "import-group.yaml": Example(
        (
            "VolumeGroupSnapshotContent imported-group-content-demo",
            group("imported-group-demo"),
            "VolumeSnapshotContent imported-group-first-content",
            single("imported-group-first"),
            "VolumeSnapshotContent imported-group-second-content",
            single("imported-group-second"),
        ),
    ),
    "import-snapshot.yaml": Example(
        ("VolumeSnapshotContent imported-content-demo", single("imported-snapshot-demo")),
    ),
    "invalid-snapshot-v1.yaml": Example((single("invalid-snapshot-demo-v1"),), refused="spec.source"),
    "kubernetes-docs/csi-groupsnapclass.yaml": Example(("VolumeGroupSnapshotClass csi-groupsnapclass",)),
    "kubernetes-docs/csi-hostpath-snapclass.yaml": Example(("VolumeSnapshotClass csi-hostpath-snapclass",)),
    "kubernetes-docs/group-claims.yaml": Example((claim("pvc-0"), claim("pvc-1"))),
    "kubernetes-docs/new-group-snapshot-demo.yaml": Example((group("new-group-snapshot-demo"),), controlled=True),
    "kubernetes-docs/new-snapshot-content-test.yaml": Example(
        ("VolumeSnapshotContent new-snapshot-content-test", single("new-snapshot-test")),
    ),
    "kubernetes-docs/new-snapshot-test.yaml": Example((single("new-snapshot-test"),), controlled=True),
    "kubernetes-docs/pre-existing-group-snap.yaml": Example(
        (
            "Namespace demo-namespace",
            "VolumeGroupSnapshotContent pre-existing-group-snap-content1",
            group("pre-existing-group-snap1"),
        ),
        needs="the driver of another maker",
    ),
    "kubernetes-docs/pvc0-restore.yaml": Example((claim("pvc0-restore"),), provisioned=True),
    "kubernetes-docs/snapcontent-72d9a349.yaml": Example(
        ("VolumeSnapshotContent snapcontent-72d9a349-aacd-42d2-a240-d775650d2455",),
    ),
    "kubernetes-docs/test-snapshot.yaml": Example(
        ("VolumeSnapshotContent test-content", single("test-snapshot")),
    ),
    "pvc.yaml": Example((claim("hpvc"),), provisioned=True),
    "quota.yaml": Example(("ResourceQuota snapshots",)),
    "restore.yaml": Example((claim("hpvc-restore"),), provisioned=True),
    "snapshot-of-default-class.yaml": Example((single("default-class-snapshot-demo"),), controlled=True),
    "snapshot-v1.yaml": Example((single("new-snapshot-demo-v1"),), controlled=True),
    "snapshotclass-default.yaml": Example(("VolumeSnapshotClass csi-hostpath-default",), controlled=True),
    "snapshotclass-v1.yaml": Example(("VolumeSnapshotClass csi-hostpath-snapclass-v1",)),
    "snapshotclass-with-secret-per-namespace.yaml": Example(
        ("VolumeSnapshotClass csi-hostpath-with-secret-per-namespace",), controlled=True
    ),
    "snapshotclass-with-secret.yaml": Example(
        ("Secret csi-hostpath-credentials", "VolumeSnapshotClass csi-hostpath-with-secret"),
    ),
    "storageclass.yaml": Example(("StorageClass csi-hostpath-sc",), provisioned=True),
}

# What comes of the contents and the classes that are applied, as far as the sidecar does it.
READY: dict[str, list[tuple[Kind, str, str]]] = {
    "import-snapshot.yaml": [(SINGLE, "imported-content-demo", "snapshot-on-the-storage")],
    "import-group.yaml": [
        (GROUP, "imported-group-content-demo", "group-on-the-storage"),
        (SINGLE, "imported-group-first-content", "first-of-the-group"),
        (SINGLE, "imported-group-second-content", "second-of-the-group"),
    ],
    "kubernetes-docs/new-snapshot-content-test.yaml": [
        (SINGLE, "new-snapshot-content-test", "7bdd0de3-aaeb-11e8-9aae-0242ac110002")
    ],
    "kubernetes-docs/test-snapshot.yaml": [(SINGLE, "test-content", "7bdd0de3-aaeb-11e8-9aae-0242ac110002")],
}
CLASSES = {
    "snapshotclass-v1.yaml": SINGLE,
    "snapshotclass-default.yaml": SINGLE,
    "snapshotclass-with-secret.yaml": SINGLE,
    "kubernetes-docs/csi-hostpath-snapclass.yaml": SINGLE,
    "groupsnapshotclass-v1.yaml": GROUP,
    "groupsnapshotclass-v1beta1.yaml": GROUP,
    "groupsnapshotclass-default.yaml": GROUP,
    "groupsnapshotclass-with-secret.yaml": GROUP,
    "kubernetes-docs/csi-groupsnapclass.yaml": GROUP,
}


def example(name: str) -> tuple[Json, ...]:
    return objects_in((DIRECTORY / name).read_text())


def by_itself(name: str) -> bool:
    """Whether all that the comment says is tested here."""
    return name in READY or name in CLASSES or EXAMPLES[name].controlled or bool(EXAMPLES[name].refused)


def test_every_example_is_known_here_and_tested_or_waits_for_somebody() -> None:
    assert {str(file.relative_to(DIRECTORY)) for file in DIRECTORY.rglob("*.yaml")} == EXAMPLES.keys()
    untested = {
        name for name, each in EXAMPLES.items() if not each.needs and not each.provisioned and not by_itself(name)
    }
    # Two are tested by themselves below, and the claims are there to be selected by a group.
    assert untested == {
        "kubernetes-docs/group-claims.yaml",
        "kubernetes-docs/snapcontent-72d9a349.yaml",
        "quota.yaml",
    }


@pytest.mark.parametrize("name", [name for name, each in EXAMPLES.items() if each.provisioned])
def test_what_needs_a_provisioner_is_applied_in_the_playground(name: str) -> None:
    texts = [(SCENARIOS / file).read_text() for file in ("person.py", "test_scenarios.py")]
    assert any(f'apply("{name}"' in text for text in texts)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_begins_by_saying_what_it_does_and_what_one_sees(name: str) -> None:
    comment = []
    for line in (DIRECTORY / name).read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("# "))
    assert "One sees: " in " ".join(comment)


@pytest.mark.parametrize(("name", "expected"), EXAMPLES.items(), ids=EXAMPLES.keys())
def test_an_example_makes_the_objects_that_the_documents_name(name: str, expected: Example) -> None:
    assert tuple(f"{each['kind']} {each['metadata']['name']}" for each in example(name)) == expected.objects


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_written_in_the_versions_to_use_and_for_one_driver(name: str) -> None:
    for each in example(name):
        api_group, _, version = each["apiVersion"].rpartition("/")
        if api_group in (SINGLE_API, GROUP_API):
            assert version == ("v1beta1" if EXAMPLES[name].deprecated else "v1")
        named = {each.get("driver"), each.get("provisioner"), each.get("spec", {}).get("driver")} - {None}
        assert named <= {"com.example.csi-driver" if "pre-existing-group" in name else DRIVER}


async def collection_of(api: Client, given: Json) -> str:
    """Where an object is created, by what the server tells of its resources."""
    version = given["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = (await api.get(root)).ok()["resources"]
    found = next(each for each in resources if each["kind"] == given["kind"] and "/" not in each["name"])
    if not found["namespaced"]:
        return f"{root}/{found['name']}"
    return f"{root}/namespaces/{given['metadata'].get('namespace', 'default')}/{found['name']}"


async def apply(api: Client, name: str) -> list[Answer]:
    return [await api.create(await collection_of(api, each), each, fieldValidation="Strict") for each in example(name)]


@pytest.mark.parametrize(("name", "expected"), EXAMPLES.items(), ids=EXAMPLES.keys())
async def test_an_example_is_accepted_as_it_is_written(name: str, expected: Example) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession(server.url) as session:
        answers = await apply(Client(session), name)
    if expected.refused:
        assert [answer.status for answer in answers] == [422]
        assert expected.refused in answers[0].causes
        assert "volumeSnapshotContentName and persistentVolumeClaimName" in answers[0].message
        return
    assert [answer.status for answer in answers] == [201] * len(answers), answers
    warnings = [warning for answer in answers for warning in answer.warnings]
    assert all("is deprecated; use groupsnapshot.storage.k8s.io/v1 " in warning for warning in warnings)
    assert len(warnings) == (1 if expected.deprecated else 0)


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("count/volumesnapshots.snapshot.storage.k8s.io", "snapshot-v1.yaml"),
        ("count/volumegroupsnapshots.groupsnapshot.storage.k8s.io", "groupsnapshot-v1.yaml"),
    ],
)
async def test_the_quota_limits_how_many_there_are(resource: str, name: str) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession(server.url) as session:
        api = Client(session)
        (quota,) = await apply(api, "quota.yaml")
        limit = int(quota.ok()["spec"]["hard"][resource])
        (given,) = example(name)
        collection = await collection_of(api, given)
        answers = [
            await api.create(collection, given | {"metadata": {"name": f"a-{number}"}}) for number in range(limit + 1)
        ]
        assert [answer.status for answer in answers] == [*[201] * limit, 403]
        assert "exceeded quota: snapshots" in answers[-1].message


# What lies on the storage that the examples bring in, and the volume that one of them has cut.
VOLUME = "ee0cfb94-f8d4-11e9-b2d8-0242ac110002"
SIZE_BYTES = 1 << 20


def put(driver: Driver, identifier: str, group_id: str = "") -> None:
    """A snapshot that is on the storage already."""
    store = driver._store
    record = Snapshot(
        id=identifier,
        name=identifier,
        volume_id=VOLUME,
        size_bytes=SIZE_BYTES,
        created_at_ns=time.time_ns(),
        ready_at_ns=0,
        group_id=group_id,
    )
    store.path(record).write_bytes(b"bytes")
    store.snapshots.insert([record])


def put_group(driver: Driver, identifier: str, *members: str) -> None:
    for member in members:
        put(driver, member, identifier)
    record = Group(
        id=identifier,
        name=identifier,
        volume_ids=[VOLUME] * len(members),
        snapshot_ids=list(members),
        created_at_ns=time.time_ns(),
    )
    driver._store.groups.insert([record])


CREDENTIALS = {"user": "snapshots", "password": "change-me"}
WITH_CREDENTIALS = ("CreateSnapshot", "DeleteSnapshot", "CreateVolumeGroupSnapshot", "DeleteVolumeGroupSnapshot")


@asynccontextmanager
async def world_of_examples(
    directory: Path, *, secrets: bool = False, roles: tuple[Json, ...] = ()
) -> AsyncIterator[tuple[World, Client]]:
    """A world whose driver goes by the examples' name and holds what they bring in; the sidecar is at work.

    With roles these decide who may do what; the sidecar works as its service account.
    """
    required = dict.fromkeys(WITH_CREDENTIALS, CREDENTIALS) if secrets else {}
    options = DriverOptions(name=DRIVER, state=directory / "state", required_secrets=required)
    async with (
        ApiServer.serve(rbac=bool(roles)) as server,
        Driver.serve(directory / "csi.sock", options) as driver,
        aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {server.admin_token}"}) as session,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.admin_token}"}) as http,
    ):
        give(server, roles)
        for volume in (VOLUME, "vol", "vol2"):
            await driver.make_volume(volume, b"bytes", SIZE_BYTES)
        put(driver, "snapshot-on-the-storage")
        put(driver, "7bdd0de3-aaeb-11e8-9aae-0242ac110002")
        put_group(driver, "group-on-the-storage", "first-of-the-group", "second-of-the-group")
        world = World(server, driver, directory, http)
        kubeconfig = directory / "kubeconfig-of-the-sidecar"
        kubeconfig.write_text(server.kubeconfig(server.token_for("default", "csi-snapshotter") if roles else ""))
        async with world.sidecar(kube=KubeSettings(kubeconfig=str(kubeconfig))):
            yield world, Client(session)


@pytest.mark.parametrize(("name", "contents"), READY.items(), ids=READY.keys())
async def test_contents_of_an_example_become_ready(
    name: str, contents: list[tuple[Kind, str, str]], tmp_path: Path
) -> None:
    async with world_of_examples(tmp_path) as (world, api):
        for answer in await apply(api, name):
            answer.ok()
        for kind, content, handle in contents:
            of_kind = world.of(kind)
            await of_kind.until(lambda: of_kind.ready(content), seconds=SETTLED_SECONDS)  # noqa: B023 - awaited at once
            status = of_kind.status(content)
            assert status[kind.handle] == handle
            if kind is SINGLE:
                assert status["restoreSize"] == SIZE_BYTES
            assert of_kind.warnings(content) == []
            assert "error" not in status
        if name == "import-group.yaml":
            members = world.of(GROUP).status("imported-group-content-demo")["volumeSnapshotInfoList"]
            assert {each["snapshotHandle"] for each in members} == {"first-of-the-group", "second-of-the-group"}
            assert {each["readyToUse"] for each in members} == {True}
            assert {world.status(content)["volumeGroupSnapshotHandle"] for _, content, _ in contents[1:]} == {
                "group-on-the-storage"
            }
        assert world.driver.log.of("CreateSnapshot") == []


async def test_the_content_that_the_documents_show_has_its_volume_cut(tmp_path: Path) -> None:
    async with world_of_examples(tmp_path) as (world, api):
        for name in ("kubernetes-docs/csi-hostpath-snapclass.yaml", "kubernetes-docs/snapcontent-72d9a349.yaml"):
            for answer in await apply(api, name):
                answer.ok()
        content = "snapcontent-72d9a349-aacd-42d2-a240-d775650d2455"
        await world.until(lambda: world.settled(content), seconds=SETTLED_SECONDS)
        assert world.driver.snapshots[world.handle(content)].volume_id == VOLUME
        assert world.driver.snapshots[world.handle(content)].name == "snapshot-72d9a349-aacd-42d2-a240-d775650d2455"


@pytest.mark.parametrize(("name", "kind"), CLASSES.items(), ids=CLASSES.keys())
async def test_contents_of_a_class_are_cut_and_deleted(name: str, kind: Kind, tmp_path: Path) -> None:
    secrets = "with-secret" in name
    async with world_of_examples(tmp_path, secrets=secrets) as (everything, api):
        world = everything.of(kind)
        if name == "groupsnapshotclass-with-secret.yaml":
            (await api.create("/api/v1/namespaces/default/secrets", example("snapshotclass-with-secret.yaml")[0])).ok()
        answers = await apply(api, name)
        made = answers[-1].ok()
        # The controller writes where the credentials are into the content, for its deletion.
        annotations = world.kind.secret("csi-hostpath-credentials") if secrets else {}
        await world.make_content("a", class_name=made["metadata"]["name"], driver=DRIVER, annotations=annotations)
        await world.until(lambda: world.settled("a"), seconds=SETTLED_SECONDS)
        assert world.handle("a") in world.stored
        handle = world.handle("a")
        await world.delete_content("a")
        await world.until(lambda: world.content("a") is None, seconds=SETTLED_SECONDS)
        assert handle not in world.stored
        # A driver that wants credentials had them each time.
        assert not [event for event in world.warnings("a") if "Unauthenticated" in event["message"]]


async def test_without_its_credentials_the_driver_of_the_examples_would_refuse(tmp_path: Path) -> None:
    async with world_of_examples(tmp_path, secrets=True) as (world, api):
        (answer,) = await apply(api, "snapshotclass-v1.yaml")
        await world.make_content("a", class_name=answer.ok()["metadata"]["name"], driver=DRIVER)
        await world.until(lambda: "Unauthenticated" in str(world.error("a")), seconds=SETTLED_SECONDS)
        assert "change-me" not in str(world.content("a"))
