"""gRPC's errors as ours: code and text are kept, secrets are not."""

import grpc
import pytest

from snapshotter.csi.errors import CODES, csi_error
from snapshotter.model.snapshot import OUTCOME_UNKNOWN, Code
from snapshotter.names import STRIPPED


def failure(code: grpc.StatusCode, text: str | None) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


def test_every_code_has_a_name_of_ours() -> None:
    assert set(CODES) == set(grpc.StatusCode)
    assert set(CODES.values()) == set(Code)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_code_and_text_are_kept(code: grpc.StatusCode) -> None:
    """Case 113."""
    error = csi_error(failure(code, "disk on fire"), {})
    assert error.code is CODES[code]
    assert error.text == "disk on fire"
    assert error.code.replace("Canceled", "Cancelled").upper() == code.name.replace("_", "")
    assert error.final is (error.code not in OUTCOME_UNKNOWN)


def test_a_driver_that_gives_no_reason_gets_a_text_all_the_same() -> None:
    assert csi_error(failure(grpc.StatusCode.INTERNAL, None), {}).text == "the driver gave no reason"
    assert csi_error(failure(grpc.StatusCode.INTERNAL, ""), {}).text == "the driver gave no reason"


def test_no_secret_of_the_call_is_in_the_error() -> None:
    """Promise 15."""
    error = csi_error(failure(grpc.StatusCode.UNAUTHENTICATED, "hunter2 is wrong"), {"password": "hunter2"})
    assert str(error) == f"Unauthenticated: {STRIPPED} is wrong"
    assert "hunter2" not in repr(error)
