"""What the examples ask of the snapshot-controller: it works in this process beside the sidecar, on the stand-ins.

A provisioner has no part in it: claims are bound by hand, each to a volume of the examples' driver. With one, and with
the installed commands, `tests/system/test_scenarios.py` does it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snapshotter.controller import app as controller
from snapshotter.settings import ControllerSettings, ElectionSettings, KubeSettings, WorkSettings
from snapshotter.testing.faults import Fault
from tests.contract.client import Client
from tests.manifests.rendering import Json, objects_in, of_kind, written
from tests.manifests.test_examples import DIRECTORY, DRIVER, EXAMPLES, SIZE_BYTES, collection_of, world_of_examples
from tests.manifests.test_programs import granted
from tests.manifests.test_rights import ROLES, SETTLED_SECONDS, asked_by
from tests.world import World

SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


@dataclass(frozen=True, slots=True)
class Walk:
    """A person at work with the examples."""

    world: World
    api: Client

    async def apply(self, name: str, *replacements: tuple[str, str]) -> list[Json]:
        """Apply an example; each pair of texts is replaced before, as the documents do with `sed`."""
        text = (DIRECTORY / name).read_text()
        for old, new in replacements:
            text = text.replace(old, new)
        return [(await self.api.create(await collection_of(self.api, each), each)).ok() for each in objects_in(text)]

    async def bind(self, claim: str) -> str:
        """Do for a claim what a provisioner does; gives the volume's handle."""
        found = (await self.api.get(f"{CLAIMS}/{claim}")).ok()
        handle = await self.world.driver.make_volume(f"vol-of-{claim}", b"bytes", SIZE_BYTES)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"pv-of-{claim}"},
            "spec": {
                **{key: found["spec"][key] for key in ("accessModes", "storageClassName")},
                "volumeMode": found["spec"].get("volumeMode", "Filesystem"),
                "capacity": found["spec"]["resources"]["requests"],
                "csi": {"driver": DRIVER, "volumeHandle": handle},
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    **{key: found["metadata"][key] for key in ("name", "namespace", "uid")},
                },
            },
        }
        (await self.api.create("/api/v1/persistentvolumes", volume)).ok()
        (await self.api.merge(f"{CLAIMS}/{claim}", {"spec": {"volumeName": f"pv-of-{claim}"}})).ok()
        (await self.api.merge(f"{CLAIMS}/{claim}/status", {"status": {"phase": "Bound"}})).ok()
        return handle

    def snapshot(self, name: str, namespace: str = "default") -> Json:
        return self.world.server.get("volumesnapshots", name, namespace) or {}

    def group(self, name: str) -> Json:
        return self.world.server.get("volumegroupsnapshots", name, "default") or {}

    def members(self, group: str) -> dict[str, Json]:
        """The snapshots that the group owns, by the claims that they are of."""
        return {
            each["spec"]["source"]["persistentVolumeClaimName"]: each
            for each in self.world.server.list("volumesnapshots")
            for owner in each["metadata"].get("ownerReferences", [])
            if (owner["kind"], owner["name"]) == ("VolumeGroupSnapshot", group)
        }

    async def until(self, condition: Callable[[], object]) -> None:
        await self.world.until(condition, seconds=SETTLED_SECONDS)

    async def until_ready(self, snapshot: str) -> Json:
        await self.until(lambda: is_ready(self.snapshot(snapshot)))
        return self.snapshot(snapshot)

    async def until_member_of(self, snapshot: str, group: str) -> None:
        await self.until(lambda: self.snapshot(snapshot)["status"].get("volumeGroupSnapshotName") == group)

    async def until_group_is_ready(self, group: str) -> Json:
        await self.until(lambda: is_ready(self.group(group)))
        return self.group(group)


def is_ready(found: Json) -> bool:
    return found.get("status", {}).get("readyToUse") is True


@asynccontextmanager
async def walk(directory: Path, *roles: Json, **changes: Any) -> AsyncIterator[Walk]:
    """Somebody at work in a world of the examples. With roles the controller works as its service account."""
    async with world_of_examples(directory, roles=roles) as (world, api):
        kubeconfig = directory / "kubeconfig-of-the-controller"
        token = world.server.token_for("kube-system", "snapshot-controller") if roles else ""
        kubeconfig.write_text(world.server.kubeconfig(token))
        settings = ControllerSettings(
            **changes,
            kube=KubeSettings(kubeconfig=str(kubeconfig)),
            work=WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=2.0),
        )
        async with controller.started(settings) as program:
            end = asyncio.Event()

            async def ended() -> None:
                await end.wait()

            work = asyncio.create_task(program.work(ended), name="controller under test")
            try:
                yield Walk(world, api)
            finally:
                end.set()
                await work


async def test_a_claim_is_cut_and_its_snapshot_deleted(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        for name in ("storageclass.yaml", "pvc.yaml", "snapshotclass-v1.yaml", "snapshot-v1.yaml"):
            await person.apply(name)
        volume = await person.bind("hpvc")
        found = await person.until_ready("new-snapshot-demo-v1")
        content = found["status"]["boundVolumeSnapshotContentName"]
        handle = person.world.handle(content)
        assert person.world.driver.snapshots[handle].volume_id == volume
        assert found["status"]["restoreSize"] == "1Mi"
        assert found["status"]["creationTime"]
        (await person.api.delete(f"{SNAPSHOTS}/new-snapshot-demo-v1")).ok()
        await person.until(lambda: not person.snapshot("new-snapshot-demo-v1"))
        await person.until(lambda: person.world.content(content) is None)
        assert handle not in person.world.driver.snapshots


async def test_a_snapshot_without_class_gets_the_default_class_and_an_error_if_there_are_two(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        for name in ("pvc.yaml", "snapshotclass-default.yaml", "snapshot-of-default-class.yaml"):
            await person.apply(name)
        await person.bind("hpvc")
        found = await person.until_ready("default-class-snapshot-demo")
        assert found["spec"]["volumeSnapshotClassName"] == "csi-hostpath-default"
        await person.apply("snapshotclass-default.yaml", ("csi-hostpath-default", "another-default"))
        # The controller may hear of a snapshot before it hears of the class.
        for number in range(20):
            name = f"snapshot-{number}"
            await person.apply("snapshot-of-default-class.yaml", ("default-class-snapshot-demo", name))
            await person.until(lambda: is_ready(person.snapshot(name)) or error_of(person.snapshot(name)))  # noqa: B023 - awaited at once
            if error_of(person.snapshot(name)):
                break
        assert "default" in error_of(person.snapshot(name))
        assert "volumeSnapshotClassName" not in person.snapshot(name)["spec"]


def error_of(found: Json) -> str:
    return str(found.get("status", {}).get("error", {}).get("message", ""))


@pytest.mark.parametrize(
    "files",
    [
        ("groupsnapshotclass-v1.yaml", "groupsnapshot-v1.yaml"),
        ("groupsnapshotclass-v1beta1.yaml", "groupsnapshot-v1beta1.yaml"),
    ],
    ids=["v1", "v1beta1"],
)
async def test_claims_with_a_label_are_cut_together(files: tuple[str, ...], tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        await person.apply("storageclass.yaml")
        await person.apply("pvc.yaml")
        await person.apply("pvc.yaml", ("hpvc", "hpvc-2"))
        volumes = {claim: await person.bind(claim) for claim in ("hpvc", "hpvc-2")}
        there_before = set(person.world.driver.groups)
        for file in files:
            await person.apply(file)
        await person.until_group_is_ready("new-groupsnapshot-demo")
        members = person.members("new-groupsnapshot-demo")
        assert members.keys() == {"hpvc", "hpvc-2"}
        for claim, member in members.items():
            ready = await person.until_ready(member["metadata"]["name"])
            assert ready["status"]["volumeGroupSnapshotName"] == "new-groupsnapshot-demo"
            handle = person.world.handle(ready["status"]["boundVolumeSnapshotContentName"])
            assert person.world.driver.snapshots[handle].volume_id == volumes[claim]
        (cut,) = set(person.world.driver.groups) - there_before
        assert len(person.world.driver.groups[cut].snapshot_ids) == 2
        # A member is restored as any snapshot is: by its name in the claim.
        member = members["hpvc-2"]["metadata"]["name"]
        (restored,) = await person.apply("restore.yaml", ("new-snapshot-demo-v1", member))
        assert restored["spec"]["dataSource"]["name"] == member
        # Until it is restored, the group stays.
        await person.bind("hpvc-restore")
        await delete_group(person, "new-groupsnapshot-demo")
        await person.until(lambda: not person.members("new-groupsnapshot-demo"))
        await person.until(lambda: set(person.world.driver.groups) == there_before)


async def delete_group(person: Walk, name: str) -> None:
    found = person.group(name)
    (await person.api.delete(f"{await collection_of(person.api, found)}/{name}")).ok()
    await person.until(lambda: not person.group(name))


async def test_expressions_leave_claims_out_of_a_group(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        await person.apply("pvc.yaml")
        await person.apply("pvc.yaml", ("hpvc", "cache"), ("  labels:\n", "  labels:\n    tier: cache\n"))
        for claim in ("hpvc", "cache"):
            await person.bind(claim)
        await person.apply("groupsnapshotclass-v1.yaml")
        await person.apply("groupsnapshot-by-expression.yaml")
        await person.until_group_is_ready("groupsnapshot-by-expression")
        assert person.members("groupsnapshot-by-expression").keys() == {"hpvc"}


async def test_a_group_without_class_gets_the_default_class_of_groups(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        await person.apply("pvc.yaml")
        await person.bind("hpvc")
        for name in ("snapshotclass-default.yaml", "groupsnapshotclass-default.yaml"):
            await person.apply(name)
        line = "  volumeGroupSnapshotClassName: csi-hostpath-groupsnapclass\n"
        assert line in (DIRECTORY / "groupsnapshot-v1.yaml").read_text()
        await person.apply("groupsnapshot-v1.yaml", (line, ""))
        found = await person.until_group_is_ready("new-groupsnapshot-demo")
        assert found["spec"]["volumeGroupSnapshotClassName"] == "csi-hostpath-group-default"


IMPORTS = {
    "import-snapshot.yaml": (["imported-snapshot-demo"], None),
    "import-group.yaml": (["imported-group-first", "imported-group-second"], "imported-group-demo"),
    "kubernetes-docs/new-snapshot-content-test.yaml": (["new-snapshot-test"], None),
    "kubernetes-docs/test-snapshot.yaml": (["test-snapshot"], None),
}


@pytest.mark.parametrize(("name", "imported"), IMPORTS.items(), ids=IMPORTS.keys())
async def test_what_is_on_the_storage_is_brought_in(
    name: str, imported: tuple[list[str], str | None], tmp_path: Path
) -> None:
    snapshots, group = imported
    async with walk(tmp_path) as person:
        await person.apply(name)
        for snapshot in snapshots:
            found = await person.until_ready(snapshot)
            assert found["status"]["restoreSize"] == "1Mi"
            if group is not None:
                await person.until_member_of(snapshot, group)
        if group is not None:
            await person.until_group_is_ready(group)


async def test_each_namespace_has_its_own_credentials(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        (await person.api.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})).ok()
        await person.apply("snapshotclass-with-secret-per-namespace.yaml")
        in_shop = ("metadata:\n", "metadata:\n  namespace: shop\n")
        await person.apply("pvc.yaml", in_shop)
        class_name = ("csi-hostpath-snapclass-v1", "csi-hostpath-with-secret-per-namespace")
        await person.apply("snapshot-v1.yaml", in_shop, class_name)
        await bind_in_shop(person)
        await person.until(lambda: person.world.server.list("volumesnapshotcontents"))
        (content,) = person.world.server.list("volumesnapshotcontents")
        named = {key.rpartition("/")[2]: value for key, value in content["metadata"]["annotations"].items()}
        assert (named["deletion-secret-namespace"], named["deletion-secret-name"]) == ("shop", "snapshot-credentials")


async def bind_in_shop(person: Walk) -> None:
    path = CLAIMS.replace("/default/", "/shop/")
    claim = (await person.api.get(f"{path}/hpvc")).ok()
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "csi": {"driver": DRIVER, "volumeHandle": "vol"},
            "claimRef": {key: claim["metadata"][key] for key in ("name", "namespace", "uid")},
        },
    }
    (await person.api.create("/api/v1/persistentvolumes", volume)).ok()
    (await person.api.merge(f"{path}/hpvc", {"spec": {"volumeName": "pv"}})).ok()
    (await person.api.merge(f"{path}/hpvc/status", {"status": {"phase": "Bound"}})).ok()


async def test_the_mode_of_a_block_volume_is_recorded(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        await person.apply("snapshotclass-v1.yaml")
        await person.apply("block-volume.yaml")
        await person.bind("block-pvc")
        found = await person.until_ready("block-snapshot-demo")
        content = person.world.content(found["status"]["boundVolumeSnapshotContentName"])
        assert content is not None
        assert content["spec"]["sourceVolumeMode"] == "Block"


async def test_the_examples_of_the_documents_work(tmp_path: Path) -> None:
    async with walk(tmp_path) as person:
        await person.apply("pvc.yaml", ("hpvc", "pvc-test"))
        await person.bind("pvc-test")
        for name in (
            "kubernetes-docs/csi-hostpath-snapclass.yaml",
            "kubernetes-docs/new-snapshot-test.yaml",
            "kubernetes-docs/group-claims.yaml",
            "kubernetes-docs/csi-groupsnapclass.yaml",
        ):
            await person.apply(name)
        await person.until_ready("new-snapshot-test")
        for claim in ("pvc-0", "pvc-1"):
            await person.bind(claim)
        await person.apply("kubernetes-docs/new-group-snapshot-demo.yaml")
        await person.until_group_is_ready("new-group-snapshot-demo")
        assert person.members("new-group-snapshot-demo").keys() == {"pvc-0", "pvc-1"}


async def test_the_controller_works_by_its_role_and_uses_every_part_of_it(tmp_path: Path) -> None:
    objects = written("snapshot-controller")
    roles = of_kind((*objects, *written("csi-snapshotter")), *ROLES)
    election = ElectionSettings(
        enabled=True, namespace="kube-system", lease_duration=3.0, renew_deadline=2.0, retry_period=0.2
    )
    async with walk(tmp_path, *roles, election=election) as person:
        server = person.world.server
        # The first write of each sort meets another's: a status, and the reference in an import.
        for path in (
            "volumesnapshots/.*/status",
            "volumegroupsnapshots/.*/status",
            "volumesnapshotcontents/imported-content-demo$",
            "volumegroupsnapshotcontents/imported-group-content-demo$",
        ):
            server.faults.set(Fault(match=f"PATCH .*/{path}", error=409, times=1))
        for name in (
            "snapshotclass-v1.yaml",
            "groupsnapshotclass-v1.yaml",
            "import-snapshot.yaml",
            "import-group.yaml",
        ):
            await person.apply(name)
        # A claim that is missing and one that is not bound are told of by the same event.
        await person.apply("snapshot-v1.yaml")
        await person.until(lambda: person.world.events("new-snapshot-demo-v1"))
        await person.apply("pvc.yaml")
        await person.until(lambda: ("patch", "", "events") in dict(asked_by("snapshot-controller", server)))
        await person.bind("hpvc")
        await person.apply("groupsnapshot-v1.yaml")
        for snapshot in ("new-snapshot-demo-v1", "imported-snapshot-demo", "imported-group-first"):
            await person.until_ready(snapshot)
        await person.until_group_is_ready("new-groupsnapshot-demo")
        await delete_group(person, "new-groupsnapshot-demo")
        (await person.api.delete(f"{SNAPSHOTS}/new-snapshot-demo-v1")).ok()
        await person.until(lambda: not person.snapshot("new-snapshot-demo-v1"))
    # At its end it gives the lease away.
    asked = asked_by("snapshot-controller", server)
    assert [what for what, status in asked if status == 403] == []
    assert {what for what, _ in asked} == granted(objects)


def test_what_the_controller_does_for_each_example_is_shown_here() -> None:
    text = Path(__file__).read_text()
    assert [name for name, each in EXAMPLES.items() if each.controlled and f'"{name}"' not in text] == []
