"""What the log tells of calls to the driver from `-v=5` on: two lines each, as upstream's, and nothing secret."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from snapshotter.csi.driver import Driver, open_driver
from snapshotter.metrics import Metrics
from snapshotter.model.snapshot import CsiError
from snapshotter.names import STRIPPED
from snapshotter.testing import driver as far
from snapshotter.testing.faults import Fault

Call = Callable[[Driver], Awaitable[object]]

SECRETS = {"user": "horatio"}


@dataclass(frozen=True)
class Create:
    """A create call of either kind, and how it appears in the log."""

    call: Call
    method: str
    answer: str
    """The field of the answer."""
    source: Mapping[str, Any]
    """What the request says of the volumes."""


CREATES = {
    "single": Create(
        lambda driver: driver.create_snapshot("name-1", "vol", {"color": "blue"}, SECRETS),
        "/csi.v1.Controller/CreateSnapshot",
        "snapshot",
        {"source_volume_id": "vol"},
    ),
    "group": Create(
        lambda driver: driver.create_group_snapshot("name-1", ["vol"], {"color": "blue"}, SECRETS),
        "/csi.v1.GroupController/CreateVolumeGroupSnapshot",
        "group_snapshot",
        {"source_volume_ids": ["vol"]},
    ),
}

each_kind = pytest.mark.parametrize("create", CREATES.values(), ids=CREATES.keys())


async def logged(directory: Path, create: Create, *faults: Fault, payloads: bool = True) -> list[Any]:
    """What is logged of a create, whatever becomes of it."""
    options = far.DriverOptions(name="d.example", state=directory / "state")
    metrics = Metrics(CollectorRegistry())
    async with (
        far.Driver.serve(directory / "csi.sock", options, faults) as far_driver,
        open_driver(
            str(directory / "csi.sock"), metrics, timeout=5.0, log_payloads=payloads, want_groups=True
        ) as driver,
    ):
        await far_driver.make_volume("vol", b"bytes")
        await driver.meet()
        with capture_logs() as entries, pytest.raises(CsiError) if faults else nullcontext():
            await create.call(driver)
    return [entry for entry in entries if entry.get("method") == create.method]


@each_kind
async def test_promise_15_a_call_is_logged_with_request_and_answer_and_without_its_secrets(
    tmp_path: Path, create: Create
) -> None:
    request, response = await logged(tmp_path, create)
    assert request["log_level"] == response["log_level"] == "debug"
    expected = {"name": "name-1", "parameters": {"color": "blue"}, "secrets": STRIPPED}
    assert request["request"] == expected | dict(create.source)
    assert response["response"][create.answer]["ready_to_use"] is True
    assert response["err"] is None
    assert "horatio" not in str((request, response))


@each_kind
async def test_promise_15_a_failed_call_is_logged_with_the_drivers_text_and_without_its_secrets(
    tmp_path: Path, create: Create
) -> None:
    fault = Fault(match=create.method.rpartition("/")[2], error="INTERNAL", message="no login for horatio")
    request, response = await logged(tmp_path, create, fault)
    assert request["request"].items() >= create.source.items()
    assert response["response"] == {}
    assert response["err"] == f"Internal: no login for {STRIPPED}"


@each_kind
async def test_below_that_calls_are_not_logged(tmp_path: Path, create: Create) -> None:
    assert await logged(tmp_path, create, payloads=False) == []
