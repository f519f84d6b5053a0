"""The CSI driver beside us: who it is, what it can do, and its snapshots. Survives the driver's restarts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc.aio
import structlog

from csi_proto import csi_pb2, csi_pb2_grpc
from snapshotter.csi.answers import capabilities_from, entry_of, group_from, has_groups, snapshot_from
from snapshotter.csi.channel import Budget, Channel, Request, Response, open_channel
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import (
    BadAnswer,
    Capabilities,
    Code,
    CsiError,
    DriverAway,
    GroupSnapshot,
    Snapshot,
    Stalled,
)

log = structlog.get_logger(__name__)

PROBE_PERIOD = 1.0
"""Seconds between two probes of a driver that is not ready."""
GROUP_QUESTIONS = 3
"""How often a driver is asked whether it can do groups while its answer is that it cannot say now."""
MOST_PAGES = 100
"""Pages of ListSnapshots that are read in search of one snapshot."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a driver says of itself."""

    name: str
    version: str
    capabilities: Capabilities


class Driver:
    """Calls to the driver. Each raises `CsiError`; `DriverAway` when the call was not even sent."""

    def __init__(
        self, channel: Channel, metrics: Metrics, *, timeout: float, want_groups: bool, permit: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._metrics = metrics
        self._timeout = timeout
        self._identity_stub = csi_pb2_grpc.IdentityStub(channel.grpc)
        self._controller = csi_pb2_grpc.ControllerStub(channel.grpc)
        self._groups = csi_pb2_grpc.GroupControllerStub(channel.grpc)
        self._want_groups = want_groups
        self._permit = permit
        self._known: Identity | None = None
        self._away: str | None = "the driver has not been reached yet"
        self._losses = 0
        self._stalled = asyncio.Event()
        metrics.driver_connected.set(0)

    @property
    def identity(self) -> Identity:
        """The driver as it was last known. Only to be asked after `meet`."""
        if self._known is None:
            raise DriverAway("the driver has not been reached yet")
        return self._known

    def require(self) -> None:
        """Raise `DriverAway` if a call could not be sent now, and what the permit raises if none may be."""
        self._permit()
        if self._away is not None:
            raise DriverAway(self._away)

    @property
    def trouble(self) -> str | None:
        """Why no call can be sent, or None."""
        return self._away

    async def wait_until_connected(self, seconds: float) -> None:
        """Wait for the socket. Raises `DriverAway` when it takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._channel.wait_until_up()
        except TimeoutError:
            why = f": {refusal}" if (refusal := self._channel.refusal()) else ""
            raise DriverAway(f"no connection to the driver's socket within {seconds:.0f}s{why}") from None

    async def _plugin_info(self) -> csi_pb2.GetPluginInfoResponse:
        """Who the driver is. Raises `CsiError`, `BadAnswer` for an empty name."""
        answer = await self._channel.call(
            self._identity_stub.GetPluginInfo,
            "/csi.v1.Identity/GetPluginInfo",
            csi_pb2.GetPluginInfoRequest(),
            timeout=self._timeout,
        )
        if not answer.name:
            raise BadAnswer("the driver answered GetPluginInfo with an empty name")
        self._channel.driver_name = answer.name
        return answer

    async def wait_until_ready(self) -> None:
        """Probe once a second until the driver is ready. Raises `CsiError` for any other failure than time."""
        while not await self._probe():
            log.info("driver is not ready")
            await asyncio.sleep(PROBE_PERIOD)

    async def _probe(self) -> bool:
        try:
            answer = await self._channel.call(
                self._identity_stub.Probe,
                "/csi.v1.Identity/Probe",
                csi_pb2.ProbeRequest(),
                timeout=self._timeout,
            )
        except CsiError as error:
            if error.code is Code.DEADLINE_EXCEEDED:
                return False
            raise
        # A driver that does not say is ready (CSI specification, "Probe").
        return not answer.HasField("ready") or answer.ready.value

    async def capabilities(self) -> Capabilities:
        answer = await self._channel.call(
            self._controller.ControllerGetCapabilities,
            "/csi.v1.Controller/ControllerGetCapabilities",
            csi_pb2.ControllerGetCapabilitiesRequest(),
            timeout=self._timeout,
        )
        found = capabilities_from(answer)
        return replace(found, groups=await self._can_do_groups()) if self._want_groups else found

    async def _can_do_groups(self) -> bool:
        """Ask the group controller. Trouble that may pass is waited for; a driver that refuses has none.

        Raises `CsiError` when the driver is lost meanwhile: nothing is known of it then.
        """
        for _ in range(GROUP_QUESTIONS):
            try:
                return await self._announces_groups()
            except CsiError as error:
                log.info("driver does not say whether it can do groups", reason=str(error))
                if not self._channel.is_up:
                    raise
                if error.final:
                    break
            await asyncio.sleep(PROBE_PERIOD)
        return False

    async def _announces_groups(self) -> bool:
        answer = await self._channel.call(
            self._groups.GroupControllerGetCapabilities,
            "/csi.v1.GroupController/GroupControllerGetCapabilities",
            csi_pb2.GroupControllerGetCapabilitiesRequest(),
            timeout=self._timeout,
        )
        return has_groups(answer)

    async def meet(self) -> Identity:
        """Ask who the driver is, wait until it is ready, ask what it can do; then calls may be sent.

        Raises `CsiError`; `DriverAway` if it is another driver than before.
        """
        info = await self._plugin_info()
        if self._known is not None and info.name != self._known.name:
            raise DriverAway(f'driver "{info.name}" answers in the place of "{self._known.name}"')
        await self.wait_until_ready()
        self._known = Identity(info.name, info.vendor_version, await self.capabilities())
        self._away = None
        self._metrics.driver_met(info.name, info.vendor_version)
        return self._known

    async def keep_in_touch(self, on_return: Callable[[], None], on_loss: Callable[[], None] = lambda: None) -> None:
        """Notice for ever when the driver goes or stops reading, and meet it again when it comes back.

        `on_loss` and then `on_return` are called each time; once it is back its capabilities may be others.
        """
        while True:
            await self._until_lost()
            log.warning("driver is gone", reason=self._away)
            on_loss()
            identity = await self.meet_at_last()
            log.info("driver is back", driver=identity.name, version=identity.version)
            on_return()

    async def _until_lost(self) -> None:
        """Return when the connection is lost, or is of no use any more."""
        down = asyncio.create_task(self._channel.wait_until_down(), name="connection to the driver")
        stalled = asyncio.create_task(self._stalled.wait(), name="stalled call to the driver")
        try:
            await asyncio.wait((down, stalled), return_when=asyncio.FIRST_COMPLETED)
            if down.done():
                self._lose("the connection to the driver's socket is lost")
        finally:
            down.cancel()
            stalled.cancel()
            self._stalled.clear()

    async def meet_at_last(self) -> Identity:
        """Meet the driver whenever it comes, however long that takes."""
        while True:
            await self._channel.wait_until_up()
            try:
                return await self.meet()
            except CsiError as error:
                self._lose(str(error))
                log.warning("driver does not introduce itself", reason=str(error))
                await asyncio.sleep(PROBE_PERIOD)

    def _lose(self, why: str) -> None:
        self._losses += 1
        self._away = why
        self._metrics.driver_connected.set(0)

    async def _ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        full_name: str,
        request: Request,
        *,
        timeout: float,
        secrets: Mapping[str, str],
    ) -> Response:
        """A call to the driver that we have met, and to no other one.

        While a loss has not been noticed yet, gRPC may send a call over a new connection, to whoever listens there by
        now. What comes back then says nothing for certain.
        """
        self.require()
        losses = self._losses
        try:
            answer = await self._channel.call(method, full_name, request, timeout=timeout, secrets=secrets)
        except Stalled as error:
            # Each further call would wait as long, and keep its memory until the driver reads again.
            self._lose(error.text)
            self._stalled.set()
            raise
        except CsiError as error:
            if error.final and await self._has_lost_touch(losses):
                raise CsiError(error.code, error.text, final=False) from error
            raise
        if await self._has_lost_touch(losses):
            raise CsiError(Code.UNAVAILABLE, "the connection to the driver was lost during the call")
        return answer

    async def _has_lost_touch(self, losses_before: int) -> bool:
        # The news of a loss may be waiting for its turn on the loop.
        await asyncio.sleep(0)
        return self._losses != losses_before

    async def create_snapshot(
        self, name: str, volume: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> Snapshot:
        """Cut a volume. The same name and volume give the same snapshot again, ready or not."""
        answer = await self._ask(
            self._controller.CreateSnapshot,
            "/csi.v1.Controller/CreateSnapshot",
            csi_pb2.CreateSnapshotRequest(source_volume_id=volume, name=name, secrets=secrets, parameters=parameters),
            timeout=self._timeout,
            secrets=secrets,
        )
        if not answer.HasField("snapshot"):
            raise BadAnswer("the driver answered CreateSnapshot without a snapshot")
        return snapshot_from(answer.snapshot, call="CreateSnapshot", volume=volume)

    async def delete_snapshot(self, handle: str, secrets: Mapping[str, str]) -> None:
        """Delete a snapshot; one that does not exist is deleted."""
        try:
            await self._ask(
                self._controller.DeleteSnapshot,
                "/csi.v1.Controller/DeleteSnapshot",
                csi_pb2.DeleteSnapshotRequest(snapshot_id=handle, secrets=secrets),
                timeout=self._timeout,
                secrets=secrets,
            )
        except CsiError as error:
            # Drivers should answer OK (CSI specification, "DeleteSnapshot"); those that do not mean the same.
            if error.code is not Code.NOT_FOUND or not error.final:
                raise

    async def find_snapshot(self, handle: str, secrets: Mapping[str, str]) -> Snapshot:
        """Look up a snapshot, with GetSnapshot or else ListSnapshots.

        Raises `CsiError` with `NotFound` when the driver does not know it.
        """
        look_up = self._get if self.identity.capabilities.get_snapshot else self._list
        found = await look_up(handle, secrets)
        if found is None or found.handle != handle:
            raise CsiError(Code.NOT_FOUND, f'the driver does not find snapshot "{handle}"')
        return found

    async def _get(self, handle: str, secrets: Mapping[str, str]) -> Snapshot | None:
        answer = await self._ask(
            self._controller.GetSnapshot,
            "/csi.v1.Controller/GetSnapshot",
            csi_pb2.GetSnapshotRequest(snapshot_id=handle, secrets=secrets),
            timeout=self._timeout,
            secrets=secrets,
        )
        if not answer.HasField("snapshot"):
            raise BadAnswer("the driver answered GetSnapshot without a snapshot")
        return snapshot_from(answer.snapshot, call="GetSnapshot")

    async def _list(self, handle: str, secrets: Mapping[str, str]) -> Snapshot | None:
        budget = Budget(self._timeout)
        token = ""
        for _ in range(MOST_PAGES):
            answer = await self._ask(
                self._controller.ListSnapshots,
                "/csi.v1.Controller/ListSnapshots",
                csi_pb2.ListSnapshotsRequest(snapshot_id=handle, starting_token=token, secrets=secrets),
                timeout=budget.left(),
                secrets=secrets,
            )
            if (found := entry_of(answer.entries, handle)) is not None:
                return found
            if not answer.next_token or answer.next_token == token:
                return None
            token = answer.next_token
        raise BadAnswer(f"the driver's ListSnapshots did not come to an end within {MOST_PAGES} pages")

    async def create_group_snapshot(
        self, name: str, volumes: Sequence[str], parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> GroupSnapshot:
        """Cut volumes at one instant. The same name and volumes give the same group again, ready or not."""
        answer = await self._ask(
            self._groups.CreateVolumeGroupSnapshot,
            "/csi.v1.GroupController/CreateVolumeGroupSnapshot",
            csi_pb2.CreateVolumeGroupSnapshotRequest(
                name=name, source_volume_ids=volumes, secrets=secrets, parameters=parameters
            ),
            timeout=self._timeout,
            secrets=secrets,
        )
        if not answer.HasField("group_snapshot"):
            raise BadAnswer("the driver answered CreateVolumeGroupSnapshot without a group")
        return group_from(answer.group_snapshot, call="CreateVolumeGroupSnapshot", volumes=volumes)

    async def delete_group_snapshot(self, handle: str, members: Sequence[str], secrets: Mapping[str, str]) -> None:
        """Delete a group with its members; one that does not exist is deleted."""
        try:
            await self._ask(
                self._groups.DeleteVolumeGroupSnapshot,
                "/csi.v1.GroupController/DeleteVolumeGroupSnapshot",
                csi_pb2.DeleteVolumeGroupSnapshotRequest(
                    group_snapshot_id=handle, snapshot_ids=members, secrets=secrets
                ),
                timeout=self._timeout,
                secrets=secrets,
            )
        except CsiError as error:
            if error.code is not Code.NOT_FOUND or not error.final:
                raise

    async def find_group_snapshot(
        self, handle: str, members: Sequence[str], secrets: Mapping[str, str]
    ) -> GroupSnapshot:
        """Look up a group with these members."""
        answer = await self._ask(
            self._groups.GetVolumeGroupSnapshot,
            "/csi.v1.GroupController/GetVolumeGroupSnapshot",
            csi_pb2.GetVolumeGroupSnapshotRequest(group_snapshot_id=handle, snapshot_ids=members, secrets=secrets),
            timeout=self._timeout,
            secrets=secrets,
        )
        if not answer.HasField("group_snapshot"):
            raise BadAnswer("the driver answered GetVolumeGroupSnapshot without a group")
        found = group_from(answer.group_snapshot, call="GetVolumeGroupSnapshot", members=members)
        if found.handle != handle:
            raise BadAnswer(
                f'the driver answered GetVolumeGroupSnapshot with group "{found.handle}" instead of "{handle}"'
            )
        return found


@asynccontextmanager
async def open_driver(
    address: str,
    metrics: Metrics,
    *,
    timeout: float,
    log_payloads: bool,
    want_groups: bool = False,
    permit: Callable[[], None] = lambda: None,
) -> AsyncIterator[Driver]:
    """The driver behind `--csi-address`. Raises `BadAddress`.

    `want_groups`: ask it about groups as well. `permit` is asked before each call that is about snapshots.
    """
    async with open_channel(address, metrics, log_payloads=log_payloads) as channel:
        yield Driver(channel, metrics, timeout=timeout, want_groups=want_groups, permit=permit)
