"""The far side of the sidecar for tests: an API server, a driver, users; and the sidecar between them.

Everything is real but small: real HTTP, a real Unix socket, real bytes. The snapshot-controller's part (finalizer,
uid, being-deleted mark) is played by `World`.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, cast

import aiohttp
import pytest

from snapshotter import names
from snapshotter.settings import (
    DriverSettings,
    KubeSettings,
    SidecarSettings,
    WorkSettings,
)
from snapshotter.sidecar import app
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault
from tests.contract.client import Client
from tests.kubernetes.mirror import Mirror, mirrored
from tests.kubernetes.server import Kube
from tests.patience import patience

DRIVER = "bytes.csi.example.com"
ACCOUNT = "csi-snapshotter"
"""The ServiceAccount of the sidecar, where roles decide who may do what."""
API = "/apis/snapshot.storage.k8s.io/v1"
CONTENT_PATH = f"{API}/volumesnapshotcontents"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

GROUP_API = "/apis/groupsnapshot.storage.k8s.io/v1"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of content as users and drivers see it, so that one test can speak of both kinds."""

    id: str
    api: str
    snapshot: str
    """The kind that a content is made for; class and content are named after it."""
    finalizer: str
    being_created: str
    being_deleted: str
    secret_name: str
    secret_namespace: str
    secret_parameter: str
    """The class's parameter that names the Secret of creates and deletes."""
    metadata_prefix: str
    """What the parameters of `--extra-create-metadata` begin with."""
    ref: str
    class_name: str
    handle: str
    """The key of the handle in the status."""
    create: str
    look_up: str
    delete: str
    answer: str
    """The field of the driver's answer to `create` and `look_up`."""
    cut: str
    """What is attempted with a create of the volumes that contents are made of by default."""
    thing: str
    """What messages call the snapshot on the storage."""
    creation_failed: str
    check_failed: str
    delete_failed: str

    @property
    def content(self) -> str:
        return f"{self.snapshot}Content"

    @property
    def plural(self) -> str:
        return f"{self.content.lower()}s"

    @property
    def path(self) -> str:
        return f"{self.api}/{self.plural}"

    @property
    def snapshot_class(self) -> str:
        return f"{self.snapshot}Class"

    @property
    def class_path(self) -> str:
        return f"{self.api}/{self.snapshot_class.lower()}es"

    @property
    def definition(self) -> str:
        """The path of the CustomResourceDefinition of the contents."""
        return f"{DEFINITIONS}/{self.plural}.{self.api.split('/')[2]}"

    @property
    def api_version(self) -> str:
        return self.api.removeprefix("/apis/")

    def secret(self, name: str, namespace: str = "default") -> dict[str, str]:
        """The annotations that name a Secret."""
        return {self.secret_name: name, self.secret_namespace: namespace}

    def subject(self, volume: str, uid: str) -> str:
        """What the driver's log and faults call a create: of this volume, for a snapshot with this uid."""
        return volume if self is SINGLE else f"groupsnapshot-{uid}"


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SINGLE: Final = Kind(
    id="single",
    api=API,
    snapshot="VolumeSnapshot",
    finalizer=names.CONTENT_FINALIZER,
    being_created=names.BEING_CREATED,
    being_deleted=names.BEING_DELETED,
    secret_name=names.DELETION_SECRET_NAME,
    secret_namespace=names.DELETION_SECRET_NAMESPACE,
    secret_parameter="csi.storage.k8s.io/snapshotter-secret-name",  # noqa: S106
    metadata_prefix="csi.storage.k8s.io/volumesnapshot",
    ref="volumeSnapshotRef",
    class_name="volumeSnapshotClassName",
    handle="snapshotHandle",
    create="CreateSnapshot",
    look_up="GetSnapshot",
    delete="DeleteSnapshot",
    answer="snapshot",
    cut='CreateSnapshot of volume "vol"',
    thing="snapshot",
    creation_failed="SnapshotCreationFailed",
    check_failed="SnapshotContentCheckandUpdateFailed",
    delete_failed="SnapshotDeleteError",
)

GROUP: Final = Kind(
    id="group",
    api=GROUP_API,
    snapshot="VolumeGroupSnapshot",
    finalizer=names.GROUP_CONTENT_FINALIZER,
    being_created=names.GROUP_BEING_CREATED,
    being_deleted=names.GROUP_BEING_DELETED,
    secret_name=names.GROUP_DELETION_SECRET_NAME,
    secret_namespace=names.GROUP_DELETION_SECRET_NAMESPACE,
    secret_parameter="csi.storage.k8s.io/group-snapshotter-secret-name",  # noqa: S106
    metadata_prefix="csi.storage.k8s.io/volumegroupsnapshot",
    ref="volumeGroupSnapshotRef",
    class_name="volumeGroupSnapshotClassName",
    handle="volumeGroupSnapshotHandle",
    create="CreateVolumeGroupSnapshot",
    look_up="GetVolumeGroupSnapshot",
    delete="DeleteVolumeGroupSnapshot",
    answer="group_snapshot",
    cut='CreateVolumeGroupSnapshot of volumes "vol", "vol2"',
    thing="group snapshot",
    creation_failed="GroupSnapshotCreationFailed",
    check_failed="GroupSnapshotContentCheckandUpdateFailed",
    delete_failed="GroupSnapshotDeleteError",
)

KINDS = (SINGLE, GROUP)

_numbers = itertools.count(1)


class World:
    """A cluster with a driver, and the people in it. What is said of contents is about contents of one kind."""

    def __init__(
        self,
        server: ApiServer,
        driver: Driver,
        directory: Path,
        http: aiohttp.ClientSession,
        kind: Kind = SINGLE,
        mirror: Mirror | None = None,
    ) -> None:
        """`mirror`: the real API server, which is `server` then."""
        self.server = server
        self.driver = driver
        self.directory = directory
        self.http = http
        self.kind = kind
        self._changed = asyncio.Event()
        self.mirror = mirror
        if mirror is not None:
            mirror.listen(self._changed.set)
        else:
            server._store.listen(lambda _resource, _change: self._changed.set())

    def of(self, kind: Kind) -> Self:
        """The same world with an eye for contents of this kind."""
        return type(self)(self.server, self.driver, self.directory, self.http, kind, self.mirror)

    @property
    def way(self) -> str:
        """Where the programs reach the API server, without TLS."""
        return self.server.url if self.mirror is None else self.mirror.way

    @property
    def kubeconfig(self) -> Path:
        """That of the sidecar. Where roles decide it is a ServiceAccount's; else everybody may do everything."""
        return self.kubeconfig_of(("default", ACCOUNT))

    def kubeconfig_of(self, account: tuple[str, str]) -> Path:
        """That of a ServiceAccount, by its namespace and name; on the stand-in without roles, of anybody."""
        path = self.directory / f"kubeconfig-{account[1]}"
        if self.mirror is not None:
            path.write_text(self.mirror.kubeconfig_of(account))
        else:
            token = self.server.token_for(*account) if self.server.admin_token else ""
            path.write_text(self.server.kubeconfig(token))
        return path

    def settings(self, **changes: Any) -> SidecarSettings:
        """Settings for this world, with short times; `work`, `driver` … replace a topic."""
        usual = SidecarSettings(
            driver=DriverSettings(csi_address=str(self.driver.socket), timeout=10.0),
            kube=KubeSettings(kubeconfig=str(self.kubeconfig)),
            work=WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=2.0),
        )
        return replace(usual, **changes)

    @asynccontextmanager
    async def sidecar(self, **changes: Any) -> AsyncIterator[Sidecar]:
        """The sidecar at work in this process; left, it stops as it would on SIGTERM."""
        async with app.started(self.settings(**changes)) as sidecar:
            end = asyncio.Event()
            work = asyncio.create_task(sidecar.work(end.wait), name="sidecar under test")
            try:
                yield sidecar
            finally:
                end.set()
                await work

    async def until(self, condition: Callable[[], object], *, seconds: float = 20.0) -> None:
        """Return once something holds of the objects or the driver. Raises `TimeoutError` when it takes longer, not
        counting the time in which we waited for a core.

        On a real server what is known of its objects then is of one moment.
        """
        async with patience(seconds):
            while not condition() or not await self._holds(condition):
                self._changed.clear()
                # The driver tells no one of changes, so it is looked at now and then as well.
                try:
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def _holds(self, condition: Callable[[], object]) -> bool:
        """Whether something that held by what was known holds by what there is."""
        if self.mirror is None:
            return True
        await self.mirror.refresh(Client(self.http))
        return bool(condition())

    # What users and the snapshot-controller do.

    async def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Object:
        if self.mirror is not None:
            self.mirror.check(path)
        data = None if body is None else json.dumps(body)
        async with self.http.request(
            method, self.server.url + path, data=data, headers={"Content-Type": content_type}
        ) as response:
            answer: Object = await response.json()
            assert response.status < 300, answer
        if self.mirror is not None:
            self.mirror.note(method, path, answer)
        return answer

    async def make_class(
        self, name: str = "class", parameters: Mapping[str, str] | None = None, driver: str = DRIVER
    ) -> None:
        await self.request(
            "POST",
            self.kind.class_path,
            {
                "apiVersion": self.kind.api_version,
                "kind": self.kind.snapshot_class,
                "metadata": {"name": name},
                "driver": driver,
                "deletionPolicy": "Delete",
                "parameters": dict(parameters or {}),
            },
        )

    async def make_secret(self, name: str, namespace: str = "default", **data: str) -> None:
        await self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/secrets",
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data},
        )

    async def make_content(
        self,
        name: str,
        *,
        volume: str | None = "vol",
        snapshot: str | None = None,
        policy: str = "Delete",
        class_name: str | None = "class",
        driver: str = DRIVER,
        annotations: Mapping[str, str] | None = None,
        finalizers: tuple[str, ...] | None = None,
        uid: str | None = None,
    ) -> Object:
        """A content as the snapshot-controller makes it. A group is of the volume and of `vol2`.

        `snapshot` imports what has this handle; `finalizers` None: the one that protects contents.
        """
        uid = f"00000000-0000-0000-0000-{next(_numbers):012}" if uid is None else uid
        finalizers = (self.kind.finalizer,) if finalizers is None else finalizers
        spec: Object = {
            "driver": driver,
            "deletionPolicy": policy,
            "source": self._source(volume, snapshot),
            self.kind.ref: {"name": name, "namespace": "default", **({"uid": uid} if uid else {})},
        }
        if class_name is not None:
            spec[self.kind.class_name] = class_name
        return await self.request(
            "POST",
            self.kind.path,
            {
                "apiVersion": self.kind.api_version,
                "kind": self.kind.content,
                "metadata": {"name": name, "finalizers": list(finalizers), "annotations": dict(annotations or {})},
                "spec": spec,
            },
        )

    def _source(self, volume: str | None, snapshot: str | None) -> Object:
        if self.kind is SINGLE:
            return {"volumeHandle": volume} if snapshot is None else {"snapshotHandle": snapshot}
        if snapshot is None:
            return {"volumeHandles": [volume, "vol2"]}
        group = self.driver.groups.get(snapshot)
        members = ["member-1", "member-2"] if group is None else group.snapshot_ids
        return {"groupSnapshotHandles": {"volumeGroupSnapshotHandle": snapshot, "volumeSnapshotHandles": list(members)}}

    async def annotate(self, name: str, **annotations: str | None) -> None:
        await self.patch(name, {"metadata": {"annotations": annotations}})

    async def patch(self, name: str, body: object, *, status: bool = False) -> Object:
        return await self.request("PATCH", f"{self.kind.path}/{name}" + ("/status" if status else ""), body, MERGE)

    async def delete_content(self, name: str, *, marked: bool = True) -> None:
        """As the snapshot-controller deletes it: the mark first, then the request."""
        if marked:
            await self.patch(name, {"metadata": {"annotations": {self.kind.being_deleted: "yes"}}})
        await self.request("DELETE", f"{self.kind.path}/{name}")

    # How things are.

    def content(self, name: str) -> Object | None:
        return self.server.get(self.kind.plural, name)

    def status(self, name: str) -> Object:
        content = self.content(name)
        return {} if content is None else content.get("status", {})

    def annotations(self, name: str) -> Object:
        content = self.content(name)
        return {} if content is None else content["metadata"].get("annotations", {})

    def finalizers(self, name: str) -> list[str]:
        content = self.content(name)
        found: list[str] = [] if content is None else content["metadata"].get("finalizers", [])
        return found

    def ready(self, name: str) -> bool:
        return self.status(name).get("readyToUse") is True

    def error(self, name: str) -> str | None:
        message: str | None = self.status(name).get("error", {}).get("message")
        return message

    def settled(self, name: str) -> bool:
        """Whether the content is ready, and all that had to be written is written."""
        return self.ready(name) and self.kind.being_created not in self.annotations(name)

    def handle(self, name: str) -> str:
        """The handle that the status tells."""
        handle: str = self.status(name)[self.kind.handle]
        return handle

    @property
    def stored(self) -> Mapping[str, object]:
        """What the driver holds of this kind, by handle."""
        return self.driver.snapshots if self.kind is SINGLE else self.driver.groups

    def events(self, name: str) -> list[Object]:
        return [event for event in self.server.list("events") if event["involvedObject"]["name"] == name]

    def warnings(self, name: str) -> list[Object]:
        return [event for event in self.events(name) if event["type"] == "Warning"]

    def sidecar_requests(self, path: str | None = None) -> list[str]:
        """What the sidecar asked of the API server about objects under a path: `PATCH …/name/status`."""
        path = self.kind.path if path is None else path
        return [
            f"{record.verb} {record.path.removeprefix(path)}"
            for record in self.server.requests
            if record.user_agent.startswith("csi-snapshotter/") and record.path.startswith(path)
        ]

    def calls(self, method: str, subject: str | None = None) -> int:
        """How many calls of a method the driver has seen, for one volume or snapshot or all."""
        return sum(subject in (None, call.subject) for call in self.driver.log.of(method))

    def hold(self, match: str, when: str = "before", **fault: Any) -> int:
        """Hold calls to the driver."""
        return self.driver.faults.set(Fault(match=match, hold=when, **fault))  # type: ignore[arg-type]


@asynccontextmanager
async def make_world(
    directory: Path, kind: Kind = SINGLE, *, rbac: bool = False, kube: Kube | None = None, **driver: Any
) -> AsyncIterator[World]:
    """An API server and a driver with the volumes `vol` and `vol2`.

    `rbac`: the sidecar works under a ServiceAccount to which nothing is granted yet. `kube`: the real API server, where
    both programs have the accounts and the rights that the manifests give.
    """
    async with AsyncExitStack() as stack:
        mirror = None
        if kube is not None:
            mirror = await stack.enter_async_context(mirrored(kube))
            server = cast("ApiServer", mirror)  # what it lacks of that passes a test over
            http = await stack.enter_async_context(kube.session())
        else:
            server = await stack.enter_async_context(ApiServer.serve(rbac=rbac))
            admin = {"Authorization": f"Bearer {server.admin_token}"} if rbac else {}
            http = await stack.enter_async_context(aiohttp.ClientSession(headers=admin))
        options = DriverOptions(name=DRIVER, state=directory / "state", **driver)
        far_driver = await stack.enter_async_context(Driver.serve(directory / "csi.sock", options))
        await far_driver.make_volume("vol", b"bytes" * 100)
        await far_driver.make_volume("vol2", b"more" * 50)
        yield World(server, far_driver, directory, http, kind, mirror)


each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
"""The test holds for single snapshots and for groups alike."""
