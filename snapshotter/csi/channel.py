"""The channel to the driver's socket: calls with deadlines, metrics and redacted logs; knows if it is up."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from snapshotter.csi.errors import CODES, csi_error
from snapshotter.csi.payload import payload
from snapshotter.metrics import UNKNOWN_DRIVER, Metrics
from snapshotter.model.snapshot import BadAnswer, Code, Stalled

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

log = structlog.get_logger(__name__)

OPTIONS = (
    # A socket that is back is found again within a second or two.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Drivers written in Go refuse the path of a socket as an authority.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    # An idle channel would look like a driver that has gone.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # What is tried again, and when, is decided above.
    ("grpc.enable_retries", 0),
)


STALL_SECONDS = 5.0
"""How long after its deadline a call is given up whose end gRPC does not tell.

gRPC ends a call only when what it has to write is written. When the far side does not read and the socket's buffer is
full, that is never; the connection stays as it is, and so would every call.
"""


class BadAddress(ValueError):
    """Not the address of a Unix socket."""


def socket_path(address: str) -> str:
    """The path of the socket for `--csi-address`: the path itself, or a `unix://` URL. Raises `BadAddress`."""
    path = address.removeprefix("unix://")
    if not path.startswith("/"):
        raise BadAddress(f'"{address}" is not the absolute path of a Unix socket')
    return path


class Channel:
    """A plain-text gRPC channel over a Unix socket."""

    def __init__(self, channel: grpc.aio.Channel, path: str, metrics: Metrics, *, log_payloads: bool) -> None:
        self.grpc = channel
        self._path = path
        self._in_flight = cache(metrics.calls_in_flight.labels)
        self._operations = cache(metrics.operations.labels)
        self._log_payloads = log_payloads
        self.driver_name = UNKNOWN_DRIVER
        """The driver's label in metrics."""

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        full_name: str,
        request: Request,
        *,
        timeout: float,
        secrets: Mapping[str, str] | None = None,
    ) -> Response:
        """Call `/csi.v1.Service/Method` within so many seconds. Raises `CsiError`, `Stalled` some seconds later."""
        if self._log_payloads:
            log.debug("rpc request", method=full_name, request=payload(request))
        started = time.monotonic()
        code = "Canceled"
        in_flight = self._in_flight(full_name)
        in_flight.inc()
        try:
            seconds = max(timeout, 0.001)
            async with asyncio.timeout(seconds + STALL_SECONDS):
                response: Response | None = await method(request, timeout=seconds)
            code = "OK"
        except TimeoutError:
            code = Code.DEADLINE_EXCEEDED
            raise Stalled from None
        except grpc.aio.AioRpcError as error:
            code = CODES[error.code()]
            ours = csi_error(error, secrets or {})
            if self._log_payloads:
                log.debug("rpc response", method=full_name, response={}, err=str(ours))
            raise ours from None  # the original would show the driver's text unredacted
        finally:
            in_flight.dec()
            self._operations(self.driver_name, full_name, code).observe(time.monotonic() - started)
        if response is None:
            # gRPC gives None for bytes that are not the message that they should be.
            raise BadAnswer(f"the driver's answer to {full_name.rpartition('/')[2]} cannot be read")
        if self._log_payloads:
            log.debug("rpc response", method=full_name, response=payload(response), err=None)
        return response

    @property
    def is_up(self) -> bool:
        return self.grpc.get_state() is grpc.ChannelConnectivity.READY

    async def wait_until_up(self) -> None:
        """Return once the socket is connected."""
        while (state := self.grpc.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            await self.grpc.wait_for_state_change(state)

    async def wait_until_down(self) -> None:
        """Return once the connection is lost, though it may be there again; at once if there is none."""
        if self.is_up:
            await self.grpc.wait_for_state_change(grpc.ChannelConnectivity.READY)

    def refusal(self) -> str:
        """What the system says when we try the socket ourselves, which gRPC does not tell; empty if it lets us in."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self._path)
            except PermissionError as error:
                return f"{error.strerror} for user {os.geteuid()}"
            except OSError as error:
                return error.strerror or str(error)
        return ""


@asynccontextmanager
async def open_channel(address: str, metrics: Metrics, *, log_payloads: bool) -> AsyncIterator[Channel]:
    """A channel to `--csi-address`, connected in the background. Raises `BadAddress`."""
    path = socket_path(address)
    async with grpc.aio.insecure_channel(f"unix://{path}", options=OPTIONS) as channel:
        yield Channel(channel, path, metrics, log_payloads=log_payloads)


class Budget:
    """The time that one operation may take, whatever number of calls it needs."""

    def __init__(self, seconds: float) -> None:
        self._ends = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds that are left; zero or less when the time is up."""
        return self._ends - asyncio.get_running_loop().time()
