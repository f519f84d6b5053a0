"""The log of calls: what clients asked of the driver, when, and how it ended."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import grpc.aio
import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from csi_proto import csi_pb2

Context = grpc.aio.ServicerContext[Any, Any]

SUBJECTS = ("snapshot_id", "group_snapshot_id", "name", "volume_id")
"""The request's field that says what a call is about: the first that the request has."""

SUBJECT_OF_METHOD = {"CreateSnapshot": "source_volume_id"}


class Call(msgspec.Struct, kw_only=True):
    """One RPC. Times are seconds, of the epoch and of this process's monotonic clock."""

    number: int
    method: str
    subject: str
    request: dict[str, Any]
    """The fields by their names in csi.proto; of secrets just the keys."""
    metadata: dict[str, str]
    timeout_seconds: float | None
    """What the client's deadline left when the call came in."""
    started_at: float
    started_monotonic: float
    ended_at: float | None = None
    ended_monotonic: float | None = None
    code: str | None = None
    """The gRPC code's name, CANCELLED when the client went away; None while the call is under way."""
    message: str = ""
    done_at: float | None = None
    """When the driver had done the work, which for a call whose client went away is after the call's end."""
    result_id: str = ""
    """The id of the snapshot, group or volume that was made or found."""

    @property
    def name(self) -> str:
        """What faults are matched against."""
        return f"{self.method} {self.subject}"

    def overlaps(self, other: "Call") -> bool:
        """Whether both were under way at some instant."""
        earlier, later = sorted((self, other), key=lambda call: call.started_monotonic)
        return earlier.ended_monotonic is None or later.started_monotonic < earlier.ended_monotonic


class CallLog:
    """All calls since the start or the last reset, in the order in which they came."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def of(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.calls if call.method == method]

    def reset(self) -> None:
        """Forget the calls; numbers go on."""
        self.calls.clear()

    async def wait_until(self, condition: Callable[["CallLog"], bool]) -> None:
        """Return once the log is so; it is looked at again after each change."""
        while not condition(self):
            await self._changed.wait()

    def begin(self, method: str, request: Message, context: Context) -> Call:
        call = Call(
            number=next(self._numbers),
            method=method,
            subject=_subject(method, request),
            request=_fields(request),
            metadata=_metadata(context),
            timeout_seconds=context.time_remaining(),
            started_at=time.time(),
            started_monotonic=time.monotonic(),
        )
        self.calls.append(call)
        self._notify()
        return call

    def done(self, call: Call, response: Message) -> None:
        """The driver has done what was asked."""
        call.done_at = time.time()
        call.result_id = _result_id(response)
        self._notify()

    def end(self, call: Call, code: str, message: str = "") -> None:
        """The client has its answer, or went away."""
        call.code = code
        call.message = message
        call.ended_at = time.time()
        call.ended_monotonic = time.monotonic()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _subject(method: str, request: Message) -> str:
    names = (SUBJECT_OF_METHOD[method],) if method in SUBJECT_OF_METHOD else SUBJECTS
    return next((getattr(request, name) for name in names if name in request.DESCRIPTOR.fields_by_name), "")


def _fields(request: Message) -> dict[str, Any]:
    fields = json_format.MessageToDict(request, preserving_proto_field_name=True)
    for field in request.DESCRIPTOR.fields:
        if field.GetOptions().Extensions[csi_pb2.csi_secret] and field.name in fields:
            fields[field.name] = sorted(fields[field.name])
    return fields


def _metadata(context: Context) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in pairs}


def _result_id(response: Message) -> str:
    match response:
        case csi_pb2.CreateSnapshotResponse() | csi_pb2.GetSnapshotResponse():
            return response.snapshot.snapshot_id
        case csi_pb2.CreateVolumeGroupSnapshotResponse() | csi_pb2.GetVolumeGroupSnapshotResponse():
            return response.group_snapshot.group_snapshot_id
        case csi_pb2.CreateVolumeResponse() | csi_pb2.ControllerGetVolumeResponse():
            return response.volume.volume_id
        case _:
            return ""
