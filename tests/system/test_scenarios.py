"""What users of volume snapshots want to do, by the founding documents of the API, in one playground.

The programs are the installed commands; what is applied are the examples among the manifests. docs/scenarios.md lists
the scenarios with their tests. With `--kube` all of it is on the real API server, with its controllers, and each
program has a service account with the rights that the manifests give, and no others.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from snapshotter.testing.client import ApiFailure, Json
from snapshotter.testing.faults import Fault
from snapshotter.testing.playground.pieces import PieceFailed
from snapshotter.testing.playground.running import Pieces, playground
from tests.kubernetes.cluster import Cluster, at_work
from tests.kubernetes.server import Kube
from tests.system.person import Person, Refused, group_on_storage, is_ready, retained

# All tests are on one event loop, so that they can share one playground.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240), pytest.mark.controllers]

SINGLE: Final = "VolumeSnapshot"
GROUP: Final = "VolumeGroupSnapshot"
CLAIM: Final = "PersistentVolumeClaim"

NAMESPACES = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pieces(kube: Kube | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pieces | Cluster]:
    directory = tmp_path_factory.mktemp("scenarios")
    if kube is not None:
        async with at_work(kube, directory) as cluster:
            yield cluster
        return
    async with playground(directory) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def person(pieces: Pieces | Cluster) -> Person:
    """Somebody in a new namespace, with the classes of the examples."""
    namespace = f"shop-{next(NAMESPACES)}"
    await pieces.api.create({"kind": "Namespace", "metadata": {"name": namespace}})
    made = Person(pieces, namespace, pieces.pod)
    await made.apply("snapshotclass-v1.yaml")
    await made.apply("groupsnapshotclass-v1.yaml")
    return made


def volume_by_hand(name: str, claim: str, namespace: str, source: Json) -> tuple[Json, Json]:
    """A volume and the claim that is bound to it."""
    access = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": access
        | {"capacity": {"storage": "1Mi"}, "claimRef": {"namespace": namespace, "name": claim}}
        | {"persistentVolumeReclaimPolicy": "Retain"}
        | source,
    }
    request = {
        "apiVersion": "v1",
        "kind": CLAIM,
        "metadata": {"name": claim, "labels": {"app.kubernetes.io/name": "postgresql"}},
        "spec": access | {"volumeName": name, "resources": {"requests": {"storage": "1Mi"}}},
    }
    return volume, request


# Single snapshots.


async def test_the_kinds_are_served_by_definitions_alone(person: Person) -> None:
    """S1."""
    listed = (await person.api.list("CustomResourceDefinition")).items
    singles = {each["spec"]["names"]["kind"]: each for each in listed if each["spec"]["group"].startswith("snapshot.")}
    assert singles.keys() == {"VolumeSnapshot", "VolumeSnapshotContent", "VolumeSnapshotClass"}
    for each in singles.values():
        assert [version["name"] for version in each["spec"]["versions"] if version["served"]] == ["v1"]


async def test_a_volume_that_is_not_of_a_csi_driver_is_an_error(person: Person) -> None:
    """S2."""
    await person.give(*volume_by_hand("by-hand-1", "hpvc", person.namespace, {"hostPath": {"path": "/data"}}))
    await person.until(CLAIM, "hpvc", lambda found: bool(found and found["status"]["phase"] == "Bound"))
    await person.apply("snapshot-v1.yaml")
    assert "is not of a CSI driver" in await person.until_failing(SINGLE, "new-snapshot-demo-v1")
    assert await person.all("VolumeSnapshotContent") == []


async def test_each_sidecar_works_for_its_own_driver_under_one_controller(
    pieces: Pieces | Cluster, person: Person
) -> None:
    """S3."""
    volume = await person.make_claim()
    async with pieces.another_driver("second.example.com") as pod:
        await pod.start()
        second = person.with_driver(pod)
        volume_of_second = await second.make_claim("hpvc-2")
        await second.apply("snapshotclass-v1.yaml")
        await person.apply("snapshot-v1.yaml")
        await second.apply("snapshot-v1.yaml", ("new-snapshot-demo-v1", "second"), ("hpvc", "hpvc-2"))
        for name in ("new-snapshot-demo-v1", "second"):
            await person.until_ready(SINGLE, name)
        for name in ("new-snapshot-demo-v1", "second"):
            await person.delete(SINGLE, name)
            await person.until_gone(SINGLE, name)
        for own, others, cut in ((person, second, volume), (second, person, volume_of_second)):
            assert len(await own.calls("CreateSnapshot", source_volume_id=cut)) == 1
            assert await others.calls("CreateSnapshot", source_volume_id=cut) == []
        assert (await pod.storage.held()).snapshots == {}


async def test_a_driver_without_snapshots_is_told_of_and_disturbs_nobody(
    pieces: Pieces | Cluster, person: Person
) -> None:
    """S6."""
    await person.make_claim()
    async with pieces.another_driver("plain.example.com", "--no-snapshots") as pod:
        await pod.driver.start()
        await pod.provisioner.start()
        words = r'(?s)exit code 1.*"plain\.example\.com" does not support snapshots: .* CREATE_DELETE_SNAPSHOT'
        with pytest.raises(PieceFailed, match=words):
            await pod.sidecar.start()
        plain = person.with_driver(pod)
        await plain.make_claim("of-plain")
        await plain.apply("snapshotclass-v1.yaml")
        await plain.apply("snapshot-v1.yaml", ("new-snapshot-demo-v1", "waits"), ("hpvc", "of-plain"))
        await person.apply("snapshot-v1.yaml")
        await person.until_ready(SINGLE, "new-snapshot-demo-v1")
        assert not is_ready(await person.get(SINGLE, "waits"))
    async with pieces.another_driver("plain.example.com") as pod:
        # The next version of the driver can do it.
        await pod.start()
        await person.until_ready(SINGLE, "waits")
        await person.delete(SINGLE, "waits")
        await person.until_gone(SINGLE, "waits")


async def test_a_snapshot_of_a_claim_is_cut_once_and_deleted_once(person: Person) -> None:
    """S4, S5, S8, S15, S18."""
    volume = await person.make_claim()
    await person.apply("snapshot-v1.yaml")
    found = await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    assert found["status"]["creationTime"]
    assert found["status"]["restoreSize"] == "1Gi"
    [content] = await person.all("VolumeSnapshotContent")
    assert content["spec"]["source"] == {"volumeHandle": volume}
    handle = content["status"]["snapshotHandle"]
    assert (await person.pod.storage.held()).snapshots[handle].volume_id == volume
    await person.delete(SINGLE, "new-snapshot-demo-v1")
    await person.until_gone(SINGLE, "new-snapshot-demo-v1")
    await person.until_gone("VolumeSnapshotContent", content["metadata"]["name"])
    assert handle not in (await person.pod.storage.held()).snapshots
    assert len(await person.calls("CreateSnapshot", source_volume_id=volume)) == 1
    assert len(await person.calls("DeleteSnapshot", snapshot_id=handle)) == 1


async def test_what_exists_is_imported_whichever_comes_first(person: Person) -> None:
    """S9, S13, S18."""
    await person.make_claim()
    await person.apply("snapshotclass-v1.yaml", *retained("csi-hostpath-retain"))
    await person.apply("snapshot-v1.yaml", *retained("csi-hostpath-retain"))
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    handle = (await person.content_of(SINGLE, "new-snapshot-demo-v1"))["status"]["snapshotHandle"]
    await person.apply(
        "import-snapshot.yaml",
        ("snapshot-on-the-storage", handle),
        ("imported-content-demo", "imported-1"),
        ("imported-snapshot-demo", "content-first"),
    )
    await person.until_ready(SINGLE, "content-first")
    content = await person.content_of(SINGLE, "content-first")
    assert content["spec"]["source"] == {"snapshotHandle": handle}
    await person.give(
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": SINGLE,
            "metadata": {"name": "snapshot-first"},
            "spec": {"source": {"volumeSnapshotContentName": "imported-2"}},
        }
    )
    assert "imported-2" in await person.until_failing(SINGLE, "snapshot-first")
    await person.apply(
        "import-snapshot.yaml",
        ("snapshot-on-the-storage", handle),
        ("imported-content-demo", "imported-2"),
        ("imported-snapshot-demo", "snapshot-first"),
    )
    found = await person.until_ready(SINGLE, "snapshot-first")
    assert found["status"]["restoreSize"] == "1Gi"


async def test_parameters_of_a_class_reach_the_driver_and_reserved_ones_do_not(person: Person) -> None:
    """S10."""
    await person.make_claim()
    await person.apply(
        "snapshotclass-with-secret.yaml",
        ("parameters:\n", "parameters:\n  tier: gold\n"),
        ("name: csi-hostpath-with-secret", "name: csi-hostpath-gold"),
    )
    await person.apply("snapshot-v1.yaml", ("csi-hostpath-snapclass-v1", "csi-hostpath-gold"))
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    handle = (await person.content_of(SINGLE, "new-snapshot-demo-v1"))["status"]["snapshotHandle"]
    assert (await person.pod.storage.held()).snapshots[handle].parameters == {"tier": "gold"}


async def test_without_a_class_the_one_default_is_taken_and_none_or_two_are_an_error(person: Person) -> None:
    """S11, S46."""
    await person.make_claim()
    names = ("csi-hostpath-default", "another-default", "default-of-another-driver")
    others = ((names[0], names[2]), ("hostpath.csi.k8s.io", "another.example.com"))
    try:
        await person.apply("snapshotclass-default.yaml", *others)
        await person.apply("snapshot-of-default-class.yaml")
        assert "0 are marked as the default" in await person.until_failing(SINGLE, "default-class-snapshot-demo")
        await person.apply("snapshotclass-default.yaml")
        found = await person.until_ready(SINGLE, "default-class-snapshot-demo")
        assert found["spec"]["volumeSnapshotClassName"] == "csi-hostpath-default"
        await person.apply("snapshotclass-default.yaml", ("csi-hostpath-default", "another-default"))
        await person.apply("snapshot-of-default-class.yaml", ("default-class-snapshot-demo", "second"))
        message = await person.until_failing(SINGLE, "second")
        assert "2 are marked as the default" in message
        assert "another-default" in message
    finally:
        await person.delete_all("VolumeSnapshotClass", names)


async def test_a_content_is_of_one_snapshot_and_another_is_refused(person: Person) -> None:
    """S12."""
    await person.make_claim()
    await person.apply("snapshot-v1.yaml")
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    content = await person.content_of(SINGLE, "new-snapshot-demo-v1")
    ref = content["spec"]["volumeSnapshotRef"]
    found = await person.get(SINGLE, "new-snapshot-demo-v1")
    assert (ref["namespace"], ref["name"], ref["uid"]) == tuple(
        found["metadata"][key] for key in ("namespace", "name", "uid")
    )
    await person.give(
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": SINGLE,
            "metadata": {"name": "thief"},
            "spec": {"source": {"volumeSnapshotContentName": content["metadata"]["name"]}},
        }
    )
    await person.until_told("thief", content["metadata"]["name"])
    assert not (await person.get(SINGLE, "thief")).get("status", {}).get("readyToUse")
    assert (await person.content_of(SINGLE, "new-snapshot-demo-v1"))["spec"]["volumeSnapshotRef"] == ref


async def test_a_claim_stays_until_its_snapshot_is_ready_or_given_up(person: Person) -> None:
    """S14."""
    volumes = {name: await person.make_claim(name) for name in ("hpvc", "hpvc-2")}
    # The storage goes on copying what it has cut.
    fault = Fault(match=f"^CreateSnapshot ({'|'.join(volumes.values())})$", answer={"snapshot.ready_to_use": False})
    copying = await person.pod.admin.set_fault(fault)
    snapshots = {"hpvc": "to-be-ready", "hpvc-2": "to-be-given-up"}
    for claim, name in snapshots.items():
        await person.apply("snapshot-v1.yaml", ("hpvc", claim), ("new-snapshot-demo-v1", name))
        await person.until(SINGLE, name, lambda found: bool(found and found.get("status")))
        await person.until(CLAIM, claim, lambda found: "pvc-as-source-protection" in str(found))
        await person.delete(CLAIM, claim)
        assert (await person.get(CLAIM, claim))["metadata"]["deletionTimestamp"]
    await person.delete(SINGLE, "to-be-given-up")
    await person.until_gone(CLAIM, "hpvc-2")
    assert (await person.get(CLAIM, "hpvc"))["metadata"]["deletionTimestamp"]
    await person.pod.admin.lift(copying)
    await person.until_ready(SINGLE, "to-be-ready")
    await person.until_gone(CLAIM, "hpvc")


async def test_what_is_retained_stays_on_the_storage_with_its_content(person: Person) -> None:
    """S16."""
    await person.make_claim()
    await person.apply("snapshotclass-v1.yaml", *retained("csi-hostpath-retain"))
    await person.apply("snapshot-v1.yaml", *retained("csi-hostpath-retain"))
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    content = await person.content_of(SINGLE, "new-snapshot-demo-v1")
    await person.delete(SINGLE, "new-snapshot-demo-v1")
    await person.until_gone(SINGLE, "new-snapshot-demo-v1")
    assert [each["metadata"]["name"] for each in await person.all("VolumeSnapshotContent")] == [
        content["metadata"]["name"]
    ]
    assert content["status"]["snapshotHandle"] in (await person.pod.storage.held()).snapshots


async def test_a_snapshot_has_one_source(person: Person) -> None:
    """S17, S45, S47."""
    with pytest.raises(Refused, match=r"spec\.source"):
        await person.apply("invalid-snapshot-v1.yaml")
    with pytest.raises(Refused, match=r"spec\.source"):
        await person.apply(
            "snapshot-v1.yaml", ("persistentVolumeClaimName: hpvc", "{}"), ("source:\n    {}", "source: {}")
        )
    assert await person.all(SINGLE) == []


async def test_a_snapshot_is_restored_into_a_new_claim(person: Person) -> None:
    """S19."""
    volume = await person.make_claim()
    await person.write(volume, b"as it was")
    await person.apply("snapshot-v1.yaml")
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    await person.write(volume, b"later on ")
    await person.apply("restore.yaml")
    restored = await person.volume_of("hpvc-restore")
    assert restored != volume
    assert person.read(restored, 9) == b"as it was"
    assert person.read(volume, 9) == b"later on "


async def test_a_claim_that_is_there_is_not_reverted(person: Person) -> None:
    """S34."""
    volume = await person.make_claim()
    await person.write(volume, b"as it was")
    await person.apply("snapshot-v1.yaml")
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    await person.write(volume, b"later on ")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": SINGLE, "name": "new-snapshot-demo-v1"}
    with pytest.raises(ApiFailure, match=r"spec is immutable|Forbidden"):
        await person.api.merge_patch(CLAIM, "hpvc", {"spec": {"dataSource": source}}, namespace=person.namespace)
    assert person.read(volume, 9) == b"later on "


async def test_a_block_volume_is_restored_into_a_block_volume_alone(person: Person) -> None:
    """S19, for volumes without a file system."""
    await person.apply("storageclass.yaml")
    await person.apply("block-volume.yaml")
    await person.until_ready(SINGLE, "block-snapshot-demo")
    content = await person.content_of(SINGLE, "block-snapshot-demo")
    assert content["spec"]["sourceVolumeMode"] == "Block"
    await person.volume_of("block-pvc-restore")
    await person.apply("restore.yaml", ("new-snapshot-demo-v1", "block-snapshot-demo"))
    await person.until_told("hpvc-restore", "it is of mode Filesystem")
    assert (await person.get(CLAIM, "hpvc-restore"))["status"]["phase"] == "Pending"


async def test_the_snapshot_of_the_documents_works(person: Person) -> None:
    """S8, with the objects that the concept page names."""
    await person.make_claim("pvc-test")
    await person.apply("kubernetes-docs/csi-hostpath-snapclass.yaml")
    await person.apply("kubernetes-docs/new-snapshot-test.yaml")
    await person.until_ready(SINGLE, "new-snapshot-test")


# Groups.


async def make_group(person: Person) -> dict[str, str]:
    """The group of the examples, ready; gives the volumes of its claims."""
    volumes = {name: await person.make_claim(name) for name in ("hpvc", "hpvc-2")}
    await person.apply("groupsnapshot-v1.yaml")
    await person.until_ready(GROUP, "new-groupsnapshot-demo")
    return volumes


async def test_a_group_is_cut_by_one_call_has_a_member_for_each_claim_and_goes_whole(person: Person) -> None:
    """S20 to S23, S25 to S28, S31, S38, S40, S41, S43."""
    await person.make_claim("other", ("postgresql", "other"))
    volumes = await make_group(person)
    found = await person.get(GROUP, "new-groupsnapshot-demo")
    assert found["status"]["creationTime"]
    [content] = await person.all("VolumeGroupSnapshotContent")
    assert found["status"]["boundVolumeGroupSnapshotContentName"] == content["metadata"]["name"]
    assert content["spec"]["volumeGroupSnapshotRef"]["uid"] == found["metadata"]["uid"]
    group = content["status"]["volumeGroupSnapshotHandle"]
    infos = {info["volumeHandle"]: info for info in content["status"]["volumeSnapshotInfoList"]}
    assert infos.keys() == set(volumes.values())
    members = await person.members("new-groupsnapshot-demo")
    assert members.keys() == volumes.keys()
    for claim, member in members.items():
        ready = await person.until_ready(SINGLE, member["metadata"]["name"])
        assert ready["status"]["restoreSize"] == "1Gi"
        info = infos[volumes[claim]]
        assert (info["readyToUse"], info["restoreSize"]) == (True, 1 << 30)
        of_member = await person.content_of(SINGLE, member["metadata"]["name"])
        assert of_member["status"]["snapshotHandle"] == info["snapshotHandle"]
        assert of_member["status"]["creationTime"] == info["creationTime"]
        assert of_member["status"]["volumeGroupSnapshotHandle"] == group
    assert len(await person.all("VolumeSnapshotContent")) == len(volumes)
    await person.delete(GROUP, "new-groupsnapshot-demo")
    await person.until_gone(GROUP, "new-groupsnapshot-demo")
    await person.until_gone("VolumeGroupSnapshotContent", content["metadata"]["name"])
    for member in members.values():
        await person.until_gone(SINGLE, member["metadata"]["name"])
    held = await person.pod.storage.held()
    assert group not in held.groups
    assert not {info["snapshotHandle"] for info in infos.values()} & held.snapshots.keys()
    cuts = [
        call
        for call in await person.calls("CreateVolumeGroupSnapshot")
        if set(call["request"]["source_volume_ids"]) == set(volumes.values())
    ]
    assert len(cuts) == 1
    assert len(await person.calls("DeleteVolumeGroupSnapshot", group_snapshot_id=group)) == 1
    for info in infos.values():
        assert await person.calls("CreateSnapshot", source_volume_id=info["volumeHandle"]) == []
        assert await person.calls("DeleteSnapshot", snapshot_id=info["snapshotHandle"]) == []


async def test_each_member_is_restored_and_shows_the_instant_of_the_group(person: Person) -> None:
    """S26, S32: a writer goes on meanwhile, each number first into the one volume, then into the other."""
    volumes = {name: await person.make_claim(name) for name in ("hpvc", "hpvc-2")}

    async def write() -> None:
        for number in itertools.count(1):
            for volume in volumes.values():
                await person.write(volume, number.to_bytes(8))

    writing = asyncio.create_task(write(), name="writer")
    try:
        await person.apply("groupsnapshot-v1.yaml")
        await person.until_ready(GROUP, "new-groupsnapshot-demo")
    finally:
        writing.cancel()
    members = await person.members("new-groupsnapshot-demo")
    numbers = {}
    for claim, member in members.items():
        name = member["metadata"]["name"]
        await person.apply("restore.yaml", ("new-snapshot-demo-v1", name), ("hpvc-restore", f"{claim}-restore"))
        restored = await person.volume_of(f"{claim}-restore")
        numbers[claim] = int.from_bytes(person.read(restored, 8))
    assert 0 <= numbers["hpvc"] - numbers["hpvc-2"] <= 1
    assert numbers["hpvc"] > 0


async def test_a_writer_is_not_stopped_while_its_volumes_are_cut(person: Person) -> None:
    """S33: a group is what the volumes hold at one instant, and nothing is asked of those who write to them."""
    volumes = {name: await person.make_claim(name) for name in ("hpvc", "hpvc-2")}
    before = len(await person.pod.admin.calls())
    cutting = await person.pod.admin.set_fault(Fault(match="^CreateVolumeGroupSnapshot ", hold="before"))
    await person.apply("groupsnapshot-v1.yaml")
    await person.pod.admin.wait_for_held(1)
    for volume in volumes.values():
        await person.write(volume, b"written while it is cut")
    await person.pod.admin.lift(cutting)
    await person.until_ready(GROUP, "new-groupsnapshot-demo")
    methods = {call["method"] for call in await person.pod.admin.calls(before)}
    assert methods == {"CreateVolumeGroupSnapshot"}


async def test_a_group_content_is_of_one_group_and_another_is_refused(person: Person) -> None:
    """S22."""
    await make_group(person)
    content = await person.content_of(GROUP, "new-groupsnapshot-demo")
    await person.give(
        {
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": GROUP,
            "metadata": {"name": "thief"},
            "spec": {"source": {"volumeGroupSnapshotContentName": content["metadata"]["name"]}},
        }
    )
    await person.until_told("thief", content["metadata"]["name"])
    assert not is_ready(await person.get(GROUP, "thief"))
    found = await person.content_of(GROUP, "new-groupsnapshot-demo")
    assert found["spec"]["volumeGroupSnapshotRef"] == content["spec"]["volumeGroupSnapshotRef"]


async def test_a_group_without_a_class_gets_the_one_default_and_none_or_two_are_an_error(person: Person) -> None:
    """S23, S46."""
    await person.make_claim()
    classless = ("  volumeGroupSnapshotClassName: csi-hostpath-groupsnapclass\n", "")
    names = ("csi-hostpath-group-default", "another-default")
    await person.apply("groupsnapshot-v1.yaml", classless)
    assert "0 are marked as the default" in await person.until_failing(GROUP, "new-groupsnapshot-demo")
    try:
        await person.apply("groupsnapshotclass-default.yaml")
        found = await person.until_ready(GROUP, "new-groupsnapshot-demo")
        assert found["spec"]["volumeGroupSnapshotClassName"] == names[0]
        await person.apply("groupsnapshotclass-default.yaml", names)
        await person.apply("groupsnapshot-v1.yaml", classless, ("new-groupsnapshot-demo", "second"))
        message = await person.until_failing(GROUP, "second")
        assert "2 are marked as the default" in message
        assert "another-default" in message
    finally:
        await person.delete_all("VolumeGroupSnapshotClass", names)


async def test_a_group_has_one_source(person: Person) -> None:
    """S24, S45, S47."""
    text = "selector:\n      matchLabels:\n        app.kubernetes.io/name: postgresql"
    both = f"{text}\n    volumeGroupSnapshotContentName: some-content"
    for changed in (both, "{}"):
        with pytest.raises(Refused, match=r"spec\.source"):
            await person.apply("groupsnapshot-v1.yaml", (text, changed), ("source:\n    {}", "source: {}"))
    assert await person.all(GROUP) == []


async def test_expressions_leave_claims_out_of_a_group(person: Person) -> None:
    """S25."""
    volume = await person.make_claim()
    await person.make_claim("cache", ("  labels:\n", "  labels:\n    tier: cache\n"))
    await person.make_claim("other", ("postgresql", "other"))
    await person.apply("groupsnapshot-by-expression.yaml")
    await person.until_ready(GROUP, "groupsnapshot-by-expression")
    assert (await person.members("groupsnapshot-by-expression")).keys() == {"hpvc"}
    content = await person.content_of(GROUP, "groupsnapshot-by-expression")
    assert content["spec"]["source"] == {"volumeHandles": [volume]}


async def test_what_is_retained_of_a_group_stays_on_the_storage_with_its_contents(person: Person) -> None:
    """S31."""
    group, members = await person.retain_group()
    kept = {"VolumeGroupSnapshotContent": 1, "VolumeSnapshotContent": len(members), GROUP: 0, SINGLE: 0}
    assert {kind: len(await person.all(kind)) for kind in kept} == kept
    held = await person.pod.storage.held()
    assert set(held.groups[group].snapshot_ids) == set(members) <= held.snapshots.keys()


async def test_a_group_that_exists_is_imported_with_its_members(person: Person) -> None:
    """S22, S29: the group was retained when its objects went."""
    group, members = await person.leave_group_on_storage()
    await person.apply("import-group.yaml", *group_on_storage(group, members))
    await person.until_ready(GROUP, "imported-group-demo")
    for name in ("imported-group-first", "imported-group-second"):
        await person.until_ready(SINGLE, name)
        await person.until(
            SINGLE,
            name,
            lambda found: bool(found and found["status"].get("volumeGroupSnapshotName") == "imported-group-demo"),
        )


async def test_a_driver_without_groups_makes_single_snapshots_and_says_that_it_has_no_groups(
    pieces: Pieces | Cluster, person: Person
) -> None:
    """S39."""
    async with pieces.another_driver("single.example.com", "--no-groups") as pod:
        await pod.start()
        person = person.with_driver(pod)
        await person.make_claim()
        await person.apply("groupsnapshotclass-v1.yaml")
        await person.apply("groupsnapshot-v1.yaml")
        await person.apply("snapshotclass-v1.yaml")
        await person.apply("snapshot-v1.yaml")
        message = await person.until_failing(GROUP, "new-groupsnapshot-demo")
        assert 'CSI driver "single.example.com" does not support group snapshots' in message
        await person.until_ready(SINGLE, "new-snapshot-demo-v1")
        for kind, name in ((GROUP, "new-groupsnapshot-demo"), (SINGLE, "new-snapshot-demo-v1")):
            await person.delete(kind, name)
            await person.until_gone(kind, name)
        assert not [call for call in await pod.admin.calls() if "GroupSnapshot" in call["method"]]


async def test_a_driver_that_lists_no_snapshots_tells_of_its_members_when_it_cuts_them(
    pieces: Pieces | Cluster, person: Person
) -> None:
    """S42, S43."""
    async with pieces.another_driver("listless.example.com", "--no-list-snapshots", "--no-get-snapshot") as pod:
        await pod.start()
        person = person.with_driver(pod)
        await person.apply("groupsnapshotclass-v1.yaml")
        volumes = await make_group(person)
        status = (await person.content_of(GROUP, "new-groupsnapshot-demo"))["status"]
        infos = {info["volumeHandle"]: info for info in status["volumeSnapshotInfoList"]}
        assert infos.keys() == set(volumes.values())
        members = await person.members("new-groupsnapshot-demo")
        assert members.keys() == volumes.keys()
        for claim, member in members.items():
            info = infos[volumes[claim]]
            assert (info["readyToUse"], info["restoreSize"]) == (True, 1 << 30)
            assert info["creationTime"]
            ready = await person.until_ready(SINGLE, member["metadata"]["name"])
            assert ready["status"]["restoreSize"] == "1Gi"
            of_member = await person.content_of(SINGLE, member["metadata"]["name"])
            assert of_member["status"]["restoreSize"] == 1 << 30
            assert of_member["status"]["snapshotHandle"] == info["snapshotHandle"]
        assert [len(await person.calls(method)) for method in ("CreateVolumeGroupSnapshot", "ListSnapshots")] == [1, 0]
        await person.delete(GROUP, "new-groupsnapshot-demo")
        await person.until_gone(GROUP, "new-groupsnapshot-demo")


async def test_a_volume_that_is_not_of_a_csi_driver_is_an_error_for_a_group(person: Person) -> None:
    """S35."""
    await person.make_claim("hpvc-2")
    await person.give(*volume_by_hand("by-hand-2", "hpvc", person.namespace, {"hostPath": {"path": "/data"}}))
    await person.until(CLAIM, "hpvc", lambda found: bool(found and found["status"]["phase"] == "Bound"))
    await person.apply("groupsnapshot-v1.yaml")
    assert "is not of a CSI driver" in await person.until_failing(GROUP, "new-groupsnapshot-demo")
    assert await person.all("VolumeGroupSnapshotContent") == []


async def test_an_older_client_makes_a_group_and_sees_the_pairs_of_its_version(person: Person) -> None:
    """S44."""
    for name in ("hpvc", "hpvc-2"):
        await person.make_claim(name)
    await person.apply("groupsnapshotclass-v1beta1.yaml")
    await person.apply("groupsnapshot-v1beta1.yaml")
    await person.until_ready(GROUP, "new-groupsnapshot-demo")
    content = await person.content_of(GROUP, "new-groupsnapshot-demo")
    infos = content["status"]["volumeSnapshotInfoList"]
    older, name = "VolumeGroupSnapshotContent.v1beta1", content["metadata"]["name"]
    old = await person.api.get(older, name)
    assert len(infos) == 2
    assert old["status"]["volumeSnapshotHandlePairList"] == [
        {key: info[key] for key in ("volumeHandle", "snapshotHandle")} for info in infos
    ]
    # What the older version cannot say is not lost when it is written.
    await person.api.merge_patch(older, name, {"metadata": {"labels": {"a": "b"}}})
    found = await person.content_of(GROUP, "new-groupsnapshot-demo")
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["status"] == content["status"]


async def test_a_namespace_that_is_being_deleted_tells_what_its_snapshots_wait_for(person: Person) -> None:
    """No event can be made in it any more: what would be in one is in the status."""
    await make_group(person)
    await person.apply("snapshot-v1.yaml")
    await person.until_ready(SINGLE, "new-snapshot-demo-v1")
    going = ((SINGLE, "new-snapshot-demo-v1"), (GROUP, "new-groupsnapshot-demo"))
    single, group = [(await person.content_of(kind, name))["status"] for kind, name in going]
    handles = (single["snapshotHandle"], group["volumeGroupSnapshotHandle"])
    deleting = await person.pod.admin.set_fault(Fault(match=f"^Delete.* ({'|'.join(handles)})$", hold="before"))
    await person.api.delete("Namespace", person.namespace)
    for kind, name in going:
        message = await person.until_failing(kind, name)
        assert 'the deletion waits: CSI driver "hostpath.csi.k8s.io"' in message
        assert "has not finished the deletion" in message
    await person.pod.admin.lift(deleting)
    await person.until_gone("Namespace", person.namespace)


async def test_the_walk_through_of_the_documents_works(person: Person) -> None:
    """S36, S48: class, claims with a label, group, its members, and one of them restored."""
    await person.apply("storageclass.yaml")
    await person.apply("kubernetes-docs/group-claims.yaml", ("  labels:\n    group: myGroup\n", ""))
    for claim in ("pvc-0", "pvc-1"):
        await person.label(CLAIM, claim, "group", "myGroup")
    volumes = {claim: await person.volume_of(claim) for claim in ("pvc-0", "pvc-1")}
    await person.write(volumes["pvc-0"], b"as it was")
    await person.apply("kubernetes-docs/csi-groupsnapclass.yaml")
    await person.apply("kubernetes-docs/new-group-snapshot-demo.yaml")
    await person.until_ready(GROUP, "new-group-snapshot-demo")
    members = await person.members("new-group-snapshot-demo")
    assert members.keys() == volumes.keys()
    member = members["pvc-0"]["metadata"]["name"]
    printed = "snapshot-0962a745b2bf930bb385b7b50c9b08af471f1a16780726de19429dd9c94eaca0"
    await person.apply("kubernetes-docs/pvc0-restore.yaml", (printed, member))
    assert person.read(await person.volume_of("pvc0-restore"), 9) == b"as it was"
