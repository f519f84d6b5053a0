"""The gate that every RPC passes: it is logged, meets its fault, and is carried out.

What changes something is an operation of the driver's own: it goes on when the client's deadline passes, as on
real storage, and a second call for the same thing meanwhile is refused with ABORTED.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from snapshotter.testing.driver.answers import BadScript, overwrite
from snapshotter.testing.driver.calls import Call, CallLog, Context
from snapshotter.testing.driver.refusal import Refused, unimplemented
from snapshotter.testing.faults import Active, Faults, Moment

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["Handler"]]
Serve = Callable[[Any, Context], Awaitable[Message]]

OPERATIONS = {
    "CreateVolume": "name",
    "DeleteVolume": "volume_id",
    "ControllerExpandVolume": "volume_id",
    "CreateSnapshot": "name",
    "DeleteSnapshot": "snapshot_id",
    "CreateVolumeGroupSnapshot": "name",
    "DeleteVolumeGroupSnapshot": "group_snapshot_id",
}
"""The methods that are operations of the driver, with the request's field that says on what."""


class Gate(grpc.aio.ServerInterceptor):
    """Stands before all services of one driver."""

    def __init__(self, faults: Faults, log: CallLog, required_secrets: Mapping[str, Mapping[str, str]]) -> None:
        self._faults = faults
        self._log = log
        self._required_secrets = required_secrets
        self._under_way: dict[tuple[str, str], asyncio.Task[Message | Refused]] = {}

    async def close(self) -> None:
        """Give up the operations under way, as the death of the driver would."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = handler_call_details.method.rpartition("/")[2]
        serve = cast("Serve", handler.unary_unary)

        async def gated(request: Message, context: Context) -> Message:
            return await self._answer(method, serve, request, context)

        return grpc.unary_unary_rpc_method_handler(
            gated,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _answer(self, method: str, serve: Serve, request: Message, context: Context) -> Message:
        call = self._log.begin(method, request, context)
        try:
            response = await self._carry_out(call, serve, request, context)
        except Refused as refused:
            self._log.end(call, refused.code.name, refused.text)
            await context.abort(refused.code, refused.text)
        except asyncio.CancelledError:
            self._log.end(call, "CANCELLED", "the client went away")
            raise
        self._log.end(call, "OK")
        return response

    async def _carry_out(self, call: Call, serve: Serve, request: Message, context: Context) -> Message:
        key = (call.method, getattr(request, OPERATIONS.get(call.method, ""), ""))
        if key in self._under_way:
            raise Refused(grpc.StatusCode.ABORTED, f"{' '.join(key)}: an operation is under way")
        fault = self._faults.match(call.name)
        effect = self._effect(call, fault, serve, request, context)
        response = await (self._operation(key, effect) if call.method in OPERATIONS else effect)
        if isinstance(response, Refused):
            raise response
        # The effect is there; what follows is the answer's way back, and ends with the client's deadline.
        await self._faults.pause(fault, "after")
        _fail_if_scripted(fault, "after")
        if fault is not None:
            _change(response, fault)
        return response

    async def _operation(
        self, key: tuple[str, str], effect: Coroutine[Any, Any, Message | Refused]
    ) -> Message | Refused:
        task = asyncio.create_task(effect, name=" ".join(key))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return await asyncio.shield(task)

    async def _effect(
        self, call: Call, fault: Active | None, serve: Serve, request: Message, context: Context
    ) -> Message | Refused:
        """Do what is asked. A refusal is returned: when the client has gone nobody takes an exception."""
        try:
            await self._faults.pause(fault, "before")
            _fail_if_scripted(fault, "before")
            if not inspect.iscoroutinefunction(serve):  # generated code's stand-in for a missing method
                raise unimplemented(call.method)
            self._check_secrets(call.method, request)
            response = await serve(request, context)
        except Refused as refused:
            return refused
        except OSError as error:
            return Refused(grpc.StatusCode.INTERNAL, f"the state directory: {error.strerror}")
        self._log.done(call, response)
        return response

    def _check_secrets(self, method: str, request: Any) -> None:
        if required := self._required_secrets.get(method):
            given = request.secrets
            missing = sorted(key for key, value in required.items() if given.get(key) != value)
            if missing:
                raise Refused(grpc.StatusCode.UNAUTHENTICATED, f"secret missing or wrong: {', '.join(missing)}")


def _fail_if_scripted(active: Active | None, moment: Moment) -> None:
    if active is None:
        return
    fault = active.fault
    if fault.cut == moment:
        # A single call of a connection cannot be cut off from here; to its client it looks the same.
        raise Refused(grpc.StatusCode.UNAVAILABLE, "the connection was cut")
    if fault.error is not None and fault.error_when == moment:
        raise Refused(_code(fault.error), active.message)


def _code(name: int | str) -> grpc.StatusCode:
    for code in grpc.StatusCode:
        if code.name == name and code is not grpc.StatusCode.OK:
            return code
    raise Refused(grpc.StatusCode.INTERNAL, f"the fault's error is no gRPC code: {name}")


def _change(response: Message, active: Active) -> None:
    try:
        overwrite(response, active.fault.answer)
    except BadScript as error:
        raise Refused(grpc.StatusCode.INTERNAL, f"the fault's answer: {error}") from error
