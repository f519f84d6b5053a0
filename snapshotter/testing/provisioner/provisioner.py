"""The provisioner at work: it looks at every claim and volume when something has changed, and does what they need.

Each of them is with one task at a time. What has failed is tried again by and by, and at once when the plan is
another one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

import grpc
import grpc.aio

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.testing.client import ApiFailure, Json, KubeClient
from snapshotter.testing.provisioner.cluster import Cluster
from snapshotter.testing.provisioner.events import Events
from snapshotter.testing.provisioner.plan import (
    VOLUME_FINALIZER,
    Bind,
    ClaimStep,
    Delete,
    LetGo,
    Provision,
    Refuse,
    Release,
    VolumeStep,
    claim_step,
    volume_object,
    volume_step,
)

CALL_SECONDS: Final = 30.0
HEARSAY_SECONDS: Final = 0.3
"""What one watch tells may be that much later than what another tells."""
FIRST_RETRY_SECONDS: Final = 0.25
LONGEST_RETRY_SECONDS: Final = 5.0

CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)

AccessMode = csi_pb2.VolumeCapability.AccessMode
ACCESS_MODES: Final = {
    "ReadWriteOnce": AccessMode.SINGLE_NODE_WRITER,
    "ReadWriteOncePod": AccessMode.SINGLE_NODE_SINGLE_WRITER,
    "ReadOnlyMany": AccessMode.MULTI_NODE_READER_ONLY,
    "ReadWriteMany": AccessMode.MULTI_NODE_MULTI_WRITER,
}

Step = ClaimStep | VolumeStep


@dataclass(slots=True)
class Attempt:
    """What was done last for an object."""

    step: Step
    failures: int = 0
    not_before: float = 0.0
    """The same step is not taken again before this time of the loop."""


class Provisioner:
    """Provisions for the driver behind a channel."""

    def __init__(self, api: KubeClient, channel: grpc.aio.Channel) -> None:
        self._api = api
        self._identity = csi_pb2_grpc.IdentityStub(channel)
        self._controller = csi_pb2_grpc.ControllerStub(channel)
        self._cluster = Cluster(api)
        self._driver = ""
        self._events = Events(api, "provisioner")
        self._attempts: dict[str, Attempt] = {}
        """By the object's uid."""
        self._busy: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether the driver's name is known, and everything has been read from the API server."""
        return bool(self._driver) and self._cluster.complete

    async def run(self) -> None:
        """Work for ever."""
        answer = await self._identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest(), wait_for_ready=True)
        self._driver = answer.name
        self._events = Events(self._api, self._driver)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cluster.follow(), name="watches")
            while True:
                await self._cluster.changed.wait()
                self._cluster.changed.clear()
                if self._cluster.complete:
                    self._start_what_is_due(tasks)

    def _start_what_is_due(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        known: dict[str, Attempt] = {}
        for item, step in self._steps():
            uid = item["metadata"]["uid"]
            attempt = self._attempts.get(uid)
            if attempt is None or attempt.step != step:
                attempt = Attempt(step)
                if isinstance(step, Refuse):
                    # What is missing may be there and just not have been heard of.
                    attempt.not_before = now + HEARSAY_SECONDS
                    loop.call_later(HEARSAY_SECONDS, self._cluster.changed.set)
            known[uid] = attempt
            if uid not in self._busy and attempt.not_before <= now:
                self._busy.add(uid)
                tasks.create_task(self._take(item, attempt), name=f"work on {item['metadata']['name']}")
        self._attempts = known

    def _steps(self) -> Iterator[tuple[Json, Step]]:
        seen = self._cluster.seen
        for claim in seen.claims.values():
            if (step := claim_step(claim, seen, self._driver)) is not None:
                yield claim, step
        for volume in seen.volumes.values():
            if (next_step := volume_step(volume, seen, self._driver)) is not None:
                yield volume, next_step

    async def _take(self, item: Json, attempt: Attempt) -> None:
        """Take a step, and say when it may be taken again, if it is still to be taken then."""
        loop = asyncio.get_running_loop()
        uid = item["metadata"]["uid"]
        try:
            await self._carry_out(item, attempt.step)
            # By then the watches have told of what was done.
            wait = LONGEST_RETRY_SECONDS
        except (grpc.aio.AioRpcError, ApiFailure) as error:
            wait = min(FIRST_RETRY_SECONDS * 2**attempt.failures, LONGEST_RETRY_SECONDS)
            attempt.failures += 1
            await self._tell_of_failure(item, attempt.step, error)
        finally:
            self._busy.discard(uid)
        attempt.not_before = loop.time() + wait
        self._cluster.changed.set()
        loop.call_later(wait, self._cluster.changed.set)

    async def _carry_out(self, item: Json, step: Step) -> None:
        match step:
            case Provision():
                await self._provision(item, step)
            case Bind(volume):
                await self._bind(item, volume)
            case Refuse(reason):
                await self._events.tell(
                    item, "PersistentVolumeClaim", "ProvisioningFailed", f"no volume is made: {reason}", warning=True
                )
            case Release():
                await self._patch_volume(item, {"status": {"phase": "Released"}}, "status")
            case Delete(handle):
                await self._controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=handle), timeout=CALL_SECONDS)
                await self._remove(item)
            case LetGo():
                await self._remove(item)
            case _:
                assert_never(step)

    async def _provision(self, claim: Json, step: Provision) -> None:
        answer = await self._controller.CreateVolume(_request(step), timeout=CALL_SECONDS)
        volume = answer.volume
        given = volume_object(step, claim, self._driver, volume.volume_id, volume.capacity_bytes or step.size_bytes)
        given["spec"]["csi"]["volumeAttributes"] = dict(volume.volume_context)
        with _ignored(409):  # an attempt before this one has made it
            await self._api.create(given)
        await self._events.tell(
            claim, "PersistentVolumeClaim", "ProvisioningSucceeded", f"the volume {step.name} has been made"
        )

    async def _bind(self, claim: Json, name: str) -> None:
        """First the volume, then the claim; so a volume is never taken for two claims."""
        metadata = claim["metadata"]
        volume = self._cluster.seen.volumes.get(name)
        if volume is None:
            return  # it has gone meanwhile
        ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        ref |= {key: metadata[key] for key in ("namespace", "name", "uid")}
        await self._patch_volume(volume, {"spec": {"claimRef": ref}})
        await self._patch_volume(volume, {"status": {"phase": "Bound"}}, "status")
        joined = {
            "metadata": {"uid": metadata["uid"], "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": name},
        }
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        }
        with _ignored(404):
            await self._patch_claim(metadata, joined)
            await self._patch_claim(metadata, {"status": status}, "status")

    async def _remove(self, volume: Json) -> None:
        name = volume["metadata"]["name"]
        with _ignored(404):
            await self._api.delete("PersistentVolume", name)
            left = (await self._api.get("PersistentVolume", name))["metadata"]
            kept = [finalizer for finalizer in left.get("finalizers", ()) if finalizer != VOLUME_FINALIZER]
            released = {"uid": volume["metadata"]["uid"], "resourceVersion": left["resourceVersion"]}
            await self._api.merge_patch("PersistentVolume", name, {"metadata": released | {"finalizers": kept}})

    async def _patch_claim(self, metadata: Json, patch: Json, subresource: str | None = None) -> None:
        await self._api.merge_patch(
            "PersistentVolumeClaim",
            metadata["name"],
            patch,
            namespace=metadata["namespace"],
            subresource=subresource,
        )

    async def _patch_volume(self, volume: Json, patch: Json, subresource: str | None = None) -> None:
        await self._api.merge_patch("PersistentVolume", volume["metadata"]["name"], patch, subresource=subresource)

    async def _tell_of_failure(self, item: Json, step: Step, error: grpc.aio.AioRpcError | ApiFailure) -> None:
        """Users are told of what the driver refuses; trouble with the API server passes."""
        if not isinstance(error, grpc.aio.AioRpcError):
            return
        said = f"{error.code().name}: {error.details()}"
        if isinstance(step, Delete):
            await self._events.tell(
                item, "PersistentVolume", "VolumeFailedDelete", f"DeleteVolume failed: {said}", warning=True
            )
        else:
            await self._events.tell(
                item, "PersistentVolumeClaim", "ProvisioningFailed", f"CreateVolume failed: {said}", warning=True
            )


@contextlib.asynccontextmanager
async def provisioner_for(api: KubeClient, socket: Path) -> AsyncIterator[Provisioner]:
    """A provisioner for the driver at this socket; it works while it is `run`."""
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS) as channel:
        yield Provisioner(api, channel)


@contextlib.asynccontextmanager
async def provisioning(api: KubeClient, socket: Path) -> AsyncIterator[Provisioner]:
    """A provisioner at work for the driver at this socket."""
    async with provisioner_for(api, socket) as provisioner, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(provisioner.run(), name="provisioner")
        try:
            yield provisioner
        finally:
            working.cancel()


@contextlib.contextmanager
def _ignored(status: int) -> Iterator[None]:
    """What the API server refuses with this status is as it should be."""
    try:
        yield
    except ApiFailure as failure:
        if failure.status != status:
            raise


def _request(step: Provision) -> csi_pb2.CreateVolumeRequest:
    request = csi_pb2.CreateVolumeRequest(
        name=step.name,
        capacity_range=csi_pb2.CapacityRange(required_bytes=step.size_bytes),
        parameters=step.parameters,
    )
    for mode in step.access_modes:
        capability = request.volume_capabilities.add(
            access_mode=AccessMode(mode=ACCESS_MODES.get(mode, AccessMode.UNKNOWN))
        )
        if step.volume_mode == "Block":
            capability.block.SetInParent()
        else:
            capability.mount.SetInParent()
    if step.snapshot_handle is not None:
        request.volume_content_source.snapshot.snapshot_id = step.snapshot_handle
    return request
