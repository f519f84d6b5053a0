"""Users of snapshots in a world with a driver and both programs: claims, requests, and what becomes of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from snapshotter import names
from snapshotter.controller import app
from snapshotter.controller.controller import Controller
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.settings import ControllerSettings, KubeSettings, WorkSettings
from tests.world import DRIVER, GROUP, MERGE, SINGLE, Kind, Object, World

CORE = "/api/v1"
NAMESPACE = "default"
ACCOUNT: Final = ("kube-system", "snapshot-controller")
"""The ServiceAccount of the controller."""
NEVER = WorkSettings(retry_start=3600.0, retry_max=3600.0, shutdown_grace=2.0)
"""With this nothing that has failed is tried again by itself: only what happens brings it back."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What users ask for, single or group."""

    id: str
    kind: Kind
    plural: str
    bound: str
    content_prefix: str
    creating: str
    created: str
    became_ready: str

    @property
    def path(self) -> str:
        return f"{self.kind.api}/namespaces/{NAMESPACE}/{self.plural}"

    def path_in(self, namespace: str) -> str:
        return f"{self.kind.api}/namespaces/{namespace}/{self.plural}"


SINGLES: Final = Sort(
    id="single",
    kind=SINGLE,
    plural="volumesnapshots",
    bound=VolumeSnapshot.keys.bound_name,
    content_prefix="snapcontent-",
    creating="CreatingSnapshot",
    created="SnapshotCreated",
    became_ready="SnapshotReady",
)
GROUPS: Final = Sort(
    id="group",
    kind=GROUP,
    plural="volumegroupsnapshots",
    bound=VolumeGroupSnapshot.keys.bound_name,
    content_prefix="groupsnapcontent-",
    creating="CreatingGroupSnapshot",
    created="GroupSnapshotCreated",
    became_ready="GroupSnapshotReady",
)


class Shop:
    """A namespace in which claims `data` and `log` are bound to the volumes `vol` and `vol2`."""

    def __init__(self, world: World, sort: Sort) -> None:
        self.world = world.of(sort.kind)
        self.sort = sort

    def of(self, sort: Sort) -> "Shop":
        return Shop(self.world, sort)

    @asynccontextmanager
    async def controller(self, work: WorkSettings | None = None, **changes: Any) -> AsyncIterator[Controller]:
        """The snapshot-controller at work in this process; left, it stops as it would on SIGTERM."""
        settings = ControllerSettings(
            kube=KubeSettings(kubeconfig=str(self.world.kubeconfig_of(ACCOUNT))),
            work=work or WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=2.0),
        )
        async with app.started(replace(settings, **changes)) as controller:
            end = asyncio.Event()
            task = asyncio.create_task(controller.work(end.wait), name="controller under test")
            try:
                yield controller
            finally:
                end.set()
                await task

    @asynccontextmanager
    async def programs(self, work: WorkSettings | None = None, **changes: Any) -> AsyncIterator[Controller]:
        """Both programs at work."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.world.sidecar())
            yield await stack.enter_async_context(self.controller(work, **changes))

    # What users and administrators do.

    async def make_volume(self, claim: str, handle: str, *, namespace: str = NAMESPACE, driver: str = DRIVER) -> None:
        """The volume of a claim, as a provisioner makes it."""
        await self.world.request(
            "POST",
            f"{CORE}/persistentvolumes",
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"pv-{claim}"},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "volumeMode": "Filesystem",
                    "csi": {"driver": driver, "volumeHandle": handle},
                    "claimRef": {"namespace": namespace, "name": claim},
                },
            },
        )

    async def make_claim(
        self, name: str, labels: Mapping[str, str] | None = None, source: Object | None = None, *, bound: bool = True
    ) -> None:
        spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        if source is not None:
            spec["dataSource"] = source
        await self.world.request(
            "POST",
            f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims",
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "labels": dict(labels or {})},
                "spec": spec,
            },
        )
        if bound:
            await self.bind(name)

    async def bind(self, claim: str, phase: str = "Bound") -> None:
        """Bind a claim to the volume that was made for it."""
        path = f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}"
        await self.world.request("PATCH", path, {"spec": {"volumeName": f"pv-{claim}"}}, MERGE)
        await self.world.request("PATCH", f"{path}/status", {"status": {"phase": phase}}, MERGE)

    async def delete_claim(self, name: str) -> None:
        await self.world.request("DELETE", f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims/{name}")

    async def make(
        self,
        name: str,
        *,
        claim: str = "data",
        labels: Mapping[str, str] | None = None,
        imports: str | None = None,
        class_name: str | None = "class",
    ) -> Object:
        """A request: of a claim or of labels, or for a content that somebody has made."""
        keys = (VolumeSnapshot if self.sort is SINGLES else VolumeGroupSnapshot).keys
        source: Object
        if self.sort is SINGLES:
            source = {"persistentVolumeClaimName": claim} if imports is None else {"volumeSnapshotContentName": imports}
        elif imports is None:
            source = {"selector": {"matchLabels": dict(labels or {"app": "db"})}}
        else:
            source = {"volumeGroupSnapshotContentName": imports}
        spec: Object = {"source": source}
        if class_name is not None:
            spec[keys.class_name] = class_name
        body = {
            "apiVersion": self.sort.kind.api_version,
            "kind": keys.kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        return await self.world.request("POST", self.sort.path, body)

    async def delete(self, name: str) -> None:
        await self.world.request("DELETE", f"{self.sort.path}/{name}")

    async def patch(self, name: str, body: object, *, status: bool = False) -> Object:
        return await self.world.request(
            "PATCH", f"{self.sort.path}/{name}" + ("/status" if status else ""), body, MERGE
        )

    # How things are.

    def request(self, name: str) -> Object | None:
        return self.world.server.get(self.sort.plural, name, NAMESPACE)

    def status(self, name: str) -> Object:
        request = self.request(name)
        return {} if request is None else request.get("status", {})

    def ready(self, name: str) -> bool:
        return self.status(name).get("readyToUse") is True

    def error(self, name: str) -> str | None:
        message: str | None = self.status(name).get("error", {}).get("message")
        return message

    def content(self, name: str) -> Object | None:
        """The content that is made for a request."""
        request = self.request(name)
        return None if request is None else self.world.content(self.sort.content_prefix + request["metadata"]["uid"])

    def members(self, name: str) -> list[Object]:
        """The VolumeSnapshots that a group owns."""
        group = self.world.server.get("volumegroupsnapshots", name, NAMESPACE)
        uid = None if group is None else group["metadata"]["uid"]
        return [
            each
            for each in self.world.server.list("volumesnapshots", NAMESPACE)
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", []))
        ]

    def protected(self, claim: str) -> bool:
        found = self.world.server.get("persistentvolumeclaims", claim, NAMESPACE)
        return found is not None and names.CLAIM_FINALIZER in found["metadata"].get("finalizers", [])

    def at_rest(self, name: str) -> bool:
        """Whether a request is ready, and nothing is left to be done for it."""
        return self.ready(name) and not self.protected("data") and not self.protected("log")

    def nothing_left(self) -> bool:
        """Whether nothing of snapshots is on the API server, and nothing in the driver."""
        plurals = (
            "volumesnapshots",
            "volumesnapshotcontents",
            "volumegroupsnapshots",
            "volumegroupsnapshotcontents",
        )
        server = self.world.server
        return not any(server.list(plural) for plural in plurals) and not self.world.driver.snapshots

    def asked(self, *verbs: str) -> list[str]:
        """What the controller asked of the API server, but for events and questions about itself."""
        return [
            f"{record.verb} {record.path}"
            for record in self.world.server.requests
            if record.user_agent.startswith("snapshot-controller/")
            and (not verbs or record.verb in verbs)
            and "/events" not in record.path
            and "selfsubjectaccessreviews" not in record.path
        ]

    def told(self, name: str) -> list[str]:
        """The reasons of the events about a request, with how often each was told."""
        return sorted(f"{event['reason']} {event['count']}" for event in self.world.events(name))
