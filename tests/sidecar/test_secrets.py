"""Promise 15: no secret gets out."""

import logging

import pytest
from prometheus_client import generate_latest

from snapshotter import names
from snapshotter.settings import LogSettings
from snapshotter.testing.faults import Fault
from tests.world import World, each_kind

VALUE = "correct-horse-battery-staple"


def everything_that_others_can_read(world: World, text: str) -> str:
    objects = [world.server.list(world.kind.plural), world.server.list("events")]
    written = [record.body for record in world.server.requests if record.user_agent.startswith("csi-snapshotter/")]
    return f"{text}{objects}{written}"


@each_kind
async def test_promise_15_the_values_of_a_secret_appear_nowhere(
    world: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await world.make_secret("login", password=VALUE)
    # A driver that tells the password in its error text.
    world.driver.faults.set(
        Fault(match=world.kind.create, error="INTERNAL", message=f"login with {VALUE} failed", times=2)
    )
    world.driver.faults.set(Fault(match=world.kind.delete, error="INTERNAL", message=f"no {VALUE}", times=2))
    world.driver.faults.set(Fault(match=world.kind.look_up, error="INTERNAL", message=f"no {VALUE}", times=2))
    async with world.sidecar(logs=LogSettings(verbosity=9)) as sidecar:
        await world.make_content("one", annotations=world.kind.secret("login"))
        await world.until(lambda: names.STRIPPED in (world.error("one") or ""))
        await world.until(lambda: world.ready("one"))
        await world.delete_content("one")
        await world.until(lambda: world.content("one") is None)
        metrics = generate_latest(sidecar.registry).decode()
    assert world.kind.create in metrics
    assert VALUE not in metrics
    output = capfd.readouterr()
    log = output.out + output.err + caplog.text
    assert "rpc request" in log
    assert f"'secrets': '{names.STRIPPED}'" in log
    assert VALUE not in everything_that_others_can_read(world, log)


@each_kind
async def test_case_33_a_value_that_is_no_text_is_named_by_its_key(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    await world.request(
        "POST",
        "/api/v1/namespaces/default/secrets",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "data": {"key": "/+7d/A=="}},
    )
    async with world.sidecar():
        await world.make_content("one", annotations=world.kind.secret("login"))
        await world.until(lambda: 'the value of key "key" is not UTF-8 text' in (world.error("one") or ""))
        assert world.kind.being_created not in world.annotations("one")
    assert world.calls(world.kind.create) == 0
    output = capfd.readouterr()
    everything = everything_that_others_can_read(world, output.out + output.err)
    assert "\\xff" not in everything
    assert "/+7d/A==" not in everything


@each_kind
async def test_credentials_that_the_driver_refuses_are_read_anew(world: World) -> None:
    await world.make_secret("login", user="old")
    world.driver.faults.set(Fault(match=world.kind.create, error="UNAUTHENTICATED", times=1))
    async with world.sidecar():
        await world.make_content("one", annotations=world.kind.secret("login"))
        await world.until(lambda: world.ready("one"))
    reads = [
        record for record in world.server.requests if record.path.endswith("/secrets/login") and record.verb == "GET"
    ]
    assert len(reads) == 2


@each_kind
async def test_a_secret_is_not_read_for_every_call(world: World) -> None:
    await world.make_secret("login", user="old")
    async with world.sidecar():
        await world.make_content("c0", annotations=world.kind.secret("login"))
        await world.until(lambda: world.ready("c0"))
        for number in range(1, 10):
            await world.make_content(f"c{number}", annotations=world.kind.secret("login"))
        await world.until(lambda: all(world.ready(f"c{number}") for number in range(10)))
    reads = [
        record for record in world.server.requests if record.path.endswith("/secrets/login") and record.verb == "GET"
    ]
    assert len(reads) < 10


@each_kind
async def test_case_13_a_secret_without_data_gives_a_call_without_secrets(world: World) -> None:
    await world.make_secret("login")
    async with world.sidecar():
        await world.make_content("one", annotations=world.kind.secret("login"))
        await world.until(lambda: world.ready("one"))
    (call,) = world.driver.log.of(world.kind.create)
    assert not call.request.get("secrets")
