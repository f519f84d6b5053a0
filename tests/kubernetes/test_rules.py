"""Without each rule of the manifests' roles in turn, on the real API server: the programs say what they lack and go on.

Each program is the installed command, under an account that has all rules but one.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapshotter import names
from snapshotter.plan import permissions
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.playground.pieces import free_port
from tests.contract import objects
from tests.contract.client import Client, Json
from tests.controller.shop import GROUPS, SINGLES, Shop
from tests.kubernetes.cluster import CONTROLLER, SIDECAR, allow, token_for
from tests.kubernetes.server import Kube
from tests.manifests.rendering import of_kind, rendered
from tests.world import GROUP, SINGLE, make_world

pytestmark = [pytest.mark.kustomize, pytest.mark.timeout(300)]

START_SECONDS: Final = 60.0
"""A program that has just been started serves its page by then, on however slow a machine."""
TOLD_SECONDS: Final = 10.0
"""From then on it says within this time what it lacks: that is promised."""
WORKED_SECONDS: Final = 60.0
AT_A_TIME: Final = 3

Need = tuple[str, str, str]
"""Verb, API group, resource as roles name it."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A program's account with all of its rules but one."""

    number: int
    account: tuple[str, str]
    rule: Json
    allowed: list[Json] = field(repr=False)
    """The account, its roles and what binds them."""

    @property
    def needs(self) -> set[Need]:
        """What the rule would give."""
        return {
            (verb, group, resource)
            for group in self.rule["apiGroups"]
            for resource in self.rule["resources"]
            for verb in self.rule["verbs"]
        }

    @property
    def about(self) -> str:
        """What the rule is about; those that are of the same resource are told apart by their verbs."""
        return " ".join([*self.rule["resources"], *(self.rule["verbs"] if "leases" in self.rule["resources"] else ())])


def required(table: Iterable[permissions.Permission]) -> set[Need]:
    """What a program has to have to be ready."""
    return {(each.verb, each.group, each.full_resource) for each in table if each.required}


def lacks(overlay: str, account: tuple[str, str]) -> Iterator[Lack]:
    given = of_kind(rendered(overlay), "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding")
    rules = [
        (place, index)
        for place, each in enumerate(given)
        if each["kind"].endswith("Role")
        for index in range(len(each["rules"]))
    ]
    for number, (place, index) in enumerate(rules):
        changed = deepcopy(given)
        name = f"{account[1]}-without-{number}"
        for each in changed:
            if each["kind"] == "ServiceAccount":
                each["metadata"]["name"] = name
                continue
            each["metadata"]["name"] += f"-without-{number}"
            if each["kind"].endswith("Binding"):
                each["roleRef"]["name"] += f"-without-{number}"
                for subject in each["subjects"]:
                    subject["name"] = name
        rule = changed[place]["rules"].pop(index)
        yield Lack(number, (account[0], name), rule, changed)


class Program:
    """One of our programs as a process, and what it says of itself."""

    def __init__(
        self, process: asyncio.subprocess.Process, address: str, log: Path, http: aiohttp.ClientSession
    ) -> None:
        self._process = process
        self._address = address
        self._log = log
        self._http = http

    async def until_it_serves(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    await self._page("/metrics")
                    return
                await asyncio.sleep(0.05)

    async def until_it_lacks(self, needs: set[Need]) -> None:
        """Return once it misses just this. Raises TimeoutError if it does not in the promised time."""
        async with asyncio.timeout(TOLD_SECONDS):
            while await self._missing() != needs:  # noqa: ASYNC110 - one can only ask
                await asyncio.sleep(0.05)

    async def _missing(self) -> set[Need]:
        return {
            (sample.labels["verb"], sample.labels["group"], sample.labels["resource"])
            for family in text_string_to_metric_families(await self._page("/metrics"))
            for sample in family.samples
            if sample.name == "snapshotter_permission_missing" and sample.value == 1
        }

    async def _page(self, path: str) -> str:
        async with self._http.get(f"http://{self._address}{path}") as response:
            return await response.text()

    def logged(self) -> set[Need]:
        """What its log names as missing."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return {
            (line["verb"], line["group"], line["resource"]) for line in lines if line["msg"] == "permission is missing"
        }

    async def until_ready_is(self, expected: bool) -> None:
        async with asyncio.timeout(WORKED_SECONDS):
            while await self._says("/readyz") != expected:  # noqa: ASYNC110 - one can only ask
                await asyncio.sleep(0.1)

    async def is_well(self) -> bool:
        return await self._says("/healthz") and self._process.returncode is None

    async def _says(self, path: str) -> bool:
        async with self._http.get(f"http://{self._address}{path}") as response:
            return response.status == 200


@contextlib.asynccontextmanager
async def started(command: str, lack: Lack, kubeconfig: str, directory: Path, *flags: str) -> AsyncIterator[Program]:
    """The program under an account; it ends in order."""
    home = directory / lack.account[1]
    home.mkdir()
    (home / "kubeconfig").write_text(kubeconfig)
    address, log = f"127.0.0.1:{free_port()}", home / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name(command),
            f"--kubeconfig={home / 'kubeconfig'}",
            f"--http-endpoint={address}",
            "--leader-election",
            f"--leader-election-namespace={lack.account[0]}",
            "--leader-election-retry-period=500ms",
            "--retry-interval-start=100ms",
            "--retry-interval-max=1s",
            "--shutdown-grace-period=2s",
            "--logging-format=json",
            *flags,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession() as http:
            yield Program(process, address, log, http)
    finally:
        process.terminate()
        code = await process.wait()
    assert code == 0, log.read_text()[-2000:]


@pytest.fixture
async def api(kube: Kube) -> AsyncIterator[Client]:
    async with kube.session() as session:
        yield Client(session)


async def until_ready(api: Client, path: str) -> None:
    async with asyncio.timeout(WORKED_SECONDS):
        while not await is_ready(api, path):  # noqa: ASYNC110 - one can only ask
            await asyncio.sleep(0.1)


async def is_ready(api: Client, path: str) -> bool:
    return (await api.get(path)).ok().get("status", {}).get("readyToUse") is True


# The sidecar.

WITH_SIDECAR: Final = {
    "events": {"single", "with credentials", "group"},
    "volumesnapshotclasses": {"group"},
    "volumesnapshotcontents": {"group"},
    "volumesnapshotcontents/status": {"group"},
    "volumegroupsnapshotclasses": {"single", "with credentials"},
    "volumegroupsnapshotcontents": {"single", "with credentials"},
    "volumegroupsnapshotcontents/status": {"single", "with credentials"},
    "secrets": {"single", "group"},
    "leases get create update": set[str](),
}
"""Which contents become ready without the rule about these resources."""


def contents_of(name: str, driver: str) -> dict[str, Json]:
    """A content to be cut of each sort, for a driver and classes of its name."""

    def ref(sort: str) -> Json:
        return {"name": sort, "namespace": "default", "uid": f"uid-of-{sort}-{name}"}

    def single(sort: str, annotations: dict[str, str]) -> Json:
        return objects.content(
            name=f"{sort}-{name}",
            metadata={"finalizers": [names.CONTENT_FINALIZER], "annotations": annotations},
            driver=driver,
            source={"volumeHandle": "vol"},
            volumeSnapshotRef=ref(sort),
            volumeSnapshotClassName=name,
        )

    login = {names.DELETION_SECRET_NAME: "login", names.DELETION_SECRET_NAMESPACE: "default"}
    return {
        "single": single("single", {}),
        "with credentials": single("secretive", login),
        "group": objects.group_content(
            name=f"group-{name}",
            metadata={"finalizers": [names.GROUP_CONTENT_FINALIZER]},
            driver=driver,
            source={"volumeHandles": ["vol", "vol2"]},
            volumeGroupSnapshotRef=ref("group"),
            volumeGroupSnapshotClassName=name,
        ),
    }


async def sidecar_without(lack: Lack, kube: Kube, api: Client, directory: Path) -> None:
    await allow(api, lack.allowed)
    name = lack.account[1]
    driver_name = f"{name}.csi.example.com"
    login = {names.SNAPSHOTTER_SECRET_NAME: "login", names.SNAPSHOTTER_SECRET_NAMESPACE: "default"}
    contents = contents_of(name, driver_name)
    made = (
        objects.snapshot_class(name=name, driver=driver_name, parameters=login),
        objects.group_class(name=name, driver=driver_name),
        *contents.values(),
    )
    for each in made:
        (await api.create(objects.collection_of(each), each)).ok()
    works = WITH_SIDECAR[lack.about]
    options = DriverOptions(name=driver_name, state=directory / f"{name}-state")
    async with Driver.serve(directory / f"{lack.number}.sock", options) as driver:
        for volume in ("vol", "vol2"):
            await driver.make_volume(volume, b"bytes")
        kubeconfig = kube.kubeconfig(await token_for(api, lack.account))
        flags = (f"--csi-address={driver.socket}",)
        async with started("csi-snapshotter", lack, kubeconfig, directory, *flags) as sidecar:
            await sidecar.until_it_serves()
            await sidecar.until_it_lacks(lack.needs)
            assert sidecar.logged() == lack.needs
            for sort in works:
                await until_ready(api, objects.path_of(contents[sort]))
            await sidecar.until_ready_is(not lack.needs & required(permissions.sidecar()))
            for sort in contents.keys() - works:
                assert not await is_ready(api, objects.path_of(contents[sort])), sort
            assert await sidecar.is_well()
    for each in made:
        (await api.merge(objects.path_of(each), {"metadata": {"finalizers": None}})).ok()
        (await api.delete(objects.path_of(each))).ok()


async def test_without_each_rule_the_sidecar_names_what_it_lacks_within_ten_seconds_and_does_the_rest(
    kube: Kube, api: Client, tmp_path: Path
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"user": "me"}}
    (await api.create("/api/v1/namespaces/default/secrets", secret)).ok()
    turns = list(lacks("overlays/csi-snapshotter-secrets", SIDECAR))
    assert {lack.about for lack in turns} == WITH_SIDECAR.keys()
    places = asyncio.Semaphore(AT_A_TIME)

    async def take_turn(lack: Lack) -> None:
        async with places:
            await sidecar_without(lack, kube, api, tmp_path)

    async with asyncio.TaskGroup() as tasks:
        for lack in turns:
            tasks.create_task(take_turn(lack), name=f"without {lack.about}")
    (await api.delete("/api/v1/namespaces/default/secrets/login")).ok()


# The controller.

WITH_CONTROLLER: Final = {
    "persistentvolumes": set[str](),
    "persistentvolumeclaims": set[str](),
    "events": {"single", "group"},
    "volumesnapshotclasses": {"group"},
    "volumesnapshots": set[str](),
    "volumesnapshots/status": set[str](),
    "volumesnapshotcontents": set[str](),
    "volumesnapshotcontents/status": {"single"},
    "volumegroupsnapshotclasses": {"single"},
    "volumegroupsnapshots": {"single"},
    "volumegroupsnapshots/status": {"single"},
    "volumegroupsnapshotcontents": {"single"},
    "nodes": {"single", "group"},
    "leases create": {"single", "group"},
    "leases get update": set[str](),
}
"""Which requests become ready without the rule about these resources. The lease is there already."""


async def test_without_each_rule_the_controller_names_what_it_lacks_within_ten_seconds_and_does_the_rest(
    kube: Kube, api: Client, tmp_path: Path
) -> None:
    # At its turn the lease is there, made by those before.
    turns = sorted(
        lacks("overlays/snapshot-controller-distributed", CONTROLLER), key=lambda lack: "leases" in lack.about
    )
    assert {lack.about for lack in turns} == WITH_CONTROLLER.keys()
    async with make_world(tmp_path, kube=kube) as world, world.sidecar():
        singles, groups = Shop(world, SINGLES), Shop(world, GROUPS)
        for kind in (SINGLE, GROUP):
            await world.of(kind).make_class()
        for claim, handle in (("data", "vol"), ("log", "vol2")):
            await singles.make_volume(claim, handle)
            await singles.make_claim(claim, {"app": "db"})
        for lack in turns:
            await allow(api, lack.allowed)
            works = WITH_CONTROLLER[lack.about]
            kubeconfig = kube.kubeconfig(await token_for(api, lack.account))
            wanted = {"single": singles, "group": groups}
            name = f"turn-{lack.number}"
            flags = ("--enable-distributed-snapshotting",)
            async with started("snapshot-controller", lack, kubeconfig, tmp_path, *flags) as controller:
                for shop in wanted.values():
                    await shop.make(name)
                await controller.until_it_serves()
                await controller.until_it_lacks(lack.needs)
                assert controller.logged() == lack.needs
                for sort in works:
                    path = f"{wanted[sort].sort.path}/{name}"
                    await until_ready(api, path)
                await controller.until_ready_is(
                    not lack.needs & required(permissions.controller(distributed_snapshotting=True))
                )
                for sort in wanted.keys() - works:
                    assert not await is_ready(api, f"{wanted[sort].sort.path}/{name}"), (lack.about, sort)
                assert await controller.is_well()
