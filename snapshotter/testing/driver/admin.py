"""The driver's admin address: volumes, snapshots, groups, faults and calls over HTTP."""

import base64
import binascii
import contextlib
from collections.abc import AsyncIterator, Container

import msgspec
from aiohttp import web

from snapshotter.testing.admin import PREFIX, admin_routes, json_response
from snapshotter.testing.driver.server import Driver

LARGEST_BODY_BYTES = 1 << 30


class NewVolume(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST volumes`."""

    name: str
    content: str = ""
    """In base64."""
    size: int | None = None
    """In bytes; None: that of the content, or the default."""


class Writing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST volumes/{id}/write`."""

    content: str
    offset: int = 0


@contextlib.asynccontextmanager
async def serve_admin(driver: Driver, host: str, port: int) -> AsyncIterator[str]:
    """Serve the admin address; yields its URL. Raises OSError when the port is taken."""
    application = web.Application(client_max_size=LARGEST_BODY_BYTES)
    application.add_routes(admin_routes(driver.faults, lambda: driver.calls, driver.log.reset))
    application.add_routes(_routes(driver))
    # A request may wait for a call to be held; it does not keep the process from ending.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port, *_ = runner.addresses[0]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


def _routes(driver: Driver) -> list[web.RouteDef]:
    async def get_state(_: web.Request) -> web.Response:
        return json_response(
            {
                "volumes": dict(driver.volumes),
                "snapshots": dict(driver.snapshots),
                "groups": dict(driver.groups),
            }
        )

    async def post_volume(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=NewVolume)
            identifier = await driver.make_volume(asked.name, _bytes(asked.content), asked.size)
        except (msgspec.DecodeError, ValueError) as error:
            raise _refused(str(error)) from error
        return json_response({"id": identifier})

    async def write_volume(request: web.Request) -> web.Response:
        identifier = _known(request, driver.volumes)
        try:
            asked = msgspec.json.decode(await request.read(), type=Writing)
            driver.write_volume(identifier, _bytes(asked.content), asked.offset)
        except (msgspec.DecodeError, ValueError) as error:
            raise _refused(str(error)) from error
        return json_response({})

    async def read_volume(request: web.Request) -> web.Response:
        return web.Response(body=driver.read_volume(_known(request, driver.volumes)))

    async def read_snapshot(request: web.Request) -> web.Response:
        return web.Response(body=driver.read_snapshot(_known(request, driver.snapshots)))

    async def make_ready(request: web.Request) -> web.Response:
        driver.make_ready(_known(request, driver.snapshots))
        return json_response({})

    async def make_group_ready(request: web.Request) -> web.Response:
        driver.make_ready(_known(request, driver.groups))
        return json_response({})

    return [
        web.get(f"{PREFIX}/state", get_state),
        web.post(f"{PREFIX}/volumes", post_volume),
        web.post(f"{PREFIX}/volumes/{{id}}/write", write_volume),
        web.get(f"{PREFIX}/volumes/{{id}}/content", read_volume),
        web.get(f"{PREFIX}/snapshots/{{id}}/content", read_snapshot),
        web.post(f"{PREFIX}/snapshots/{{id}}/ready", make_ready),
        web.post(f"{PREFIX}/groups/{{id}}/ready", make_group_ready),
    ]


def _known(request: web.Request, records: Container[str]) -> str:
    identifier = request.match_info["id"]
    if identifier not in records:
        raise web.HTTPNotFound(
            text=msgspec.json.encode({"error": f"no {identifier}"}).decode(), content_type="application/json"
        )
    return identifier


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the content is not base64: {error}") from error


def _refused(reason: str) -> web.HTTPBadRequest:
    body = msgspec.json.encode({"error": reason})
    return web.HTTPBadRequest(text=body.decode(), content_type="application/json")
