"""gRPC's errors as ours, by a table."""

import re
from collections.abc import Mapping

import grpc

from snapshotter.csi.payload import without_secrets
from snapshotter.model.snapshot import Code, CsiError

CODES: dict[grpc.StatusCode, Code] = {
    grpc.StatusCode.OK: Code.OK,
    grpc.StatusCode.CANCELLED: Code.CANCELED,
    grpc.StatusCode.UNKNOWN: Code.UNKNOWN,
    grpc.StatusCode.INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.DEADLINE_EXCEEDED,
    grpc.StatusCode.NOT_FOUND: Code.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: Code.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED: Code.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION: Code.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED: Code.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE: Code.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED: Code.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL: Code.INTERNAL,
    grpc.StatusCode.UNAVAILABLE: Code.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS: Code.DATA_LOSS,
    grpc.StatusCode.UNAUTHENTICATED: Code.UNAUTHENTICATED,
}


BROKEN_STREAM = ("Stream removed", "RST_STREAM")
"""What the texts hold that gRPC makes up for a stream that ended without a status."""


def csi_error(error: grpc.aio.AioRpcError, secrets: Mapping[str, str]) -> CsiError:
    """The error of a call, with the values of the call's secrets taken out of the driver's text."""
    details = error.details() or "the driver gave no reason"
    code = CODES.get(error.code(), Code.UNKNOWN)
    # A stream that breaks gets a code from gRPC itself, mostly Internal: the driver has not said a word.
    final = False if any(sign in details for sign in BROKEN_STREAM) else None
    plain = re.sub(r"^Stream removed \((.*)\)$", r"\1", details, flags=re.DOTALL)
    return CsiError(code, without_secrets(plain, secrets), final=final)
