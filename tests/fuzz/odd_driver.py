"""A driver that does what it is asked to and then says something odd: a go-between on the socket of the real one.

What it says is bytes, so that it can say what no library would: half a message, text that is no UTF-8, wrong types.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from csi_proto import csi_pb2


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error in the place of an answer."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, str | bytes], ...] = ()


Spoil = Callable[[bytes], bytes] | Refusal
"""What becomes of an honest answer."""
Script = Callable[[str, Message], Spoil | None]
"""What becomes of the answer to a call of this method; None: nothing."""


def _messages() -> dict[str, tuple[type[Message], type[Message]]]:
    services = csi_pb2.DESCRIPTOR.services_by_name.values()
    return {
        method.name: (getattr(csi_pb2, method.input_type.name), getattr(csi_pb2, method.output_type.name))
        for service in services
        for method in service.methods
    }


MESSAGES = _messages()
"""Requests and answers by method."""


class OddDriver(grpc.GenericRpcHandler):
    """Answers as the real driver, spoiled by a script."""

    def __init__(self, real: grpc.aio.Channel) -> None:
        self._real = real
        self.script: Script = lambda _method, _request: None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        full_name = handler_call_details.method
        method = full_name.rpartition("/")[2]
        forward: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._real.unary_unary(full_name)

        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            spoil = self.script(method, MESSAGES[method][0].FromString(request))
            try:
                honest = await forward(request)
            except grpc.aio.AioRpcError as error:
                if spoil is None:
                    await context.abort(error.code(), error.details() or "")
                honest = b""
            if isinstance(spoil, Refusal):
                await context.abort(spoil.code, spoil.text, spoil.trailers)
            return honest if spoil is None else spoil(honest)

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def between(socket: Path, real: Path) -> AsyncIterator[OddDriver]:
    """The go-between, on a socket of its own."""
    options = (("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 24))
    async with grpc.aio.insecure_channel(f"unix:{real}", [("grpc.default_authority", "localhost")]) as channel:
        driver = OddDriver(channel)
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((driver,))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        try:
            yield driver
        finally:
            await server.stop(grace=None)
