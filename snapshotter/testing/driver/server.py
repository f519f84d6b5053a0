"""The driver: its services on a Unix socket, its state, its faults and its log."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Self

import grpc.aio

from csi_proto import csi_pb2_grpc
from snapshotter.testing.driver.calls import Call, CallLog
from snapshotter.testing.driver.controller import Controller
from snapshotter.testing.driver.gate import Gate
from snapshotter.testing.driver.group_controller import GroupController
from snapshotter.testing.driver.identity import Identity
from snapshotter.testing.driver.node import Node
from snapshotter.testing.driver.options import DriverOptions
from snapshotter.testing.driver.records import Group, Snapshot, Volume
from snapshotter.testing.driver.state import Store
from snapshotter.testing.faults import Fault, Faults

LONGEST_SOCKET_PATH_BYTES = 107


class Driver:
    """A CSI driver. `serve` makes one; tests and the admin address steer it while it serves."""

    def __init__(self, socket: Path, options: DriverOptions, store: Store) -> None:
        self.socket = socket
        self.options = options
        self.faults = Faults()
        self.log = CallLog()
        self._store = store
        self._identity = Identity(options)
        self._controller = Controller(options, store)
        self._group_controller = GroupController(options, store)
        self._node = Node(options, store)
        self._gate = Gate(self.faults, self.log, options.required_secrets)
        self._server: grpc.aio.Server | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def serve(cls, socket: Path, options: DriverOptions, faults: Iterable[Fault] = ()) -> AsyncIterator[Self]:
        """A driver that serves on the socket, with these faults in force from the first call.

        At the end, what it is at is given up, as if it had died; the state is kept.

        Raises StateInUse when another driver has the state directory, OSError when the socket cannot be made.
        """
        with contextlib.closing(Store(options.state)) as store:
            driver = cls(socket, options, store)
            for fault in faults:
                driver.faults.set(fault)
            await driver.start_serving()
            try:
                yield driver
            finally:
                await driver.stop_serving()
                await driver._gate.close()

    @property
    def calls(self) -> list[Call]:
        """The calls since the start or the last reset of the log."""
        return self.log.calls

    @property
    def volumes(self) -> Mapping[str, Volume]:
        """By id, in the order in which they were made."""
        return self._store.volumes.by_id

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """By id, in the order in which they were made."""
        return self._store.snapshots.by_id

    @property
    def groups(self) -> Mapping[str, Group]:
        """By id, in the order in which they were made."""
        return self._store.groups.by_id

    async def start_serving(self) -> None:
        """Make the socket and answer calls on it; a socket that a dead driver left is replaced."""
        if len(bytes(self.socket)) > LONGEST_SOCKET_PATH_BYTES:
            raise OSError(f"longer than {LONGEST_SOCKET_PATH_BYTES} bytes, too long for a socket: {self.socket}")
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        server = grpc.aio.server(interceptors=[self._gate])
        csi_pb2_grpc.add_IdentityServicer_to_server(self._identity, server)
        csi_pb2_grpc.add_ControllerServicer_to_server(self._controller, server)
        csi_pb2_grpc.add_GroupControllerServicer_to_server(self._group_controller, server)
        csi_pb2_grpc.add_NodeServicer_to_server(self._node, server)
        try:
            server.add_insecure_port(f"unix:{self.socket}")
        except RuntimeError as error:
            raise OSError(f"no socket can be made at {self.socket}") from error
        await server.start()
        self._server = server

    async def stop_serving(self) -> None:
        """Cut off the clients and remove the socket. What was begun goes on; the state is kept."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await server.stop(grace=None)
        self.socket.unlink(missing_ok=True)

    async def make_volume(self, name: str, content: bytes = b"", size_bytes: int | None = None) -> str:
        """A volume whose id is its name. Its size: as given, else the content's, else the default.

        Raises ValueError for a name that is taken or no plain word, and for a size less than the content's.
        """
        if name in self._store.volumes.by_name or name in self.volumes:
            raise ValueError(f"there is a volume {name!r}")
        if size_bytes is None:
            size_bytes = len(content) or self.options.volume_size_bytes
        if size_bytes < len(content):
            raise ValueError(f"the content is larger than {size_bytes} bytes")
        return self._store.create_volume(name, size_bytes, content=content, identifier=name).id

    def write_volume(self, identifier: str, content: bytes, offset: int = 0) -> None:
        """Overwrite bytes of a volume. Raises KeyError when there is none, ValueError beyond its end."""
        self._store.write(self.volumes[identifier], content, offset)

    def read_volume(self, identifier: str) -> bytes:
        """All bytes of a volume. Raises KeyError when there is none."""
        return self._store.read(self.volumes[identifier])

    def read_snapshot(self, identifier: str) -> bytes:
        """All bytes of a snapshot. Raises KeyError when there is none."""
        return self._store.read(self.snapshots[identifier])

    def make_ready(self, identifier: str) -> None:
        """The snapshot, or every member of the group, is ready to use from now on. Raises KeyError for unknown ids."""
        group = self.groups.get(identifier)
        for member in group.snapshot_ids if group else [identifier]:
            self._store.make_ready(self.snapshots[member], time.time_ns())
