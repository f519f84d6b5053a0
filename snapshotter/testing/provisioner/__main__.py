"""`python -m snapshotter.testing.provisioner`: the provisioner as a process.

Waits for the driver and the API server. Ends with 0 on SIGTERM or SIGINT; with 1 when it has no
kubeconfig or cannot serve at its address.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from snapshotter.testing.client import KubeClient
from snapshotter.testing.provisioner.provisioner import Provisioner, provisioner_for


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m snapshotter.testing.provisioner",
        description="Makes volumes for claims, also from snapshots, by a CSI driver.",
    )
    made.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the driver's Unix socket")
    made.add_argument("--kubeconfig", type=Path, required=True, metavar="PATH", help="how the API server is reached")
    made.add_argument(
        "--http-endpoint", type=_address, metavar="HOST:PORT", help="serve /readyz there: 200 once it works"
    )
    return made


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"not HOST:PORT: {text}")
    return host, int(port)


@contextlib.asynccontextmanager
async def _serve_readiness(provisioner: Provisioner, host: str, port: int) -> AsyncIterator[None]:
    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if provisioner.ready else 503)

    application = web.Application()
    application.add_routes([web.get("/readyz", readyz)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()


async def run(arguments: argparse.Namespace) -> None:
    """Work until a signal asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeClient.of(arguments.kubeconfig))
        provisioner = await stack.enter_async_context(provisioner_for(api, arguments.socket))
        if arguments.http_endpoint:
            await stack.enter_async_context(_serve_readiness(provisioner, *arguments.http_endpoint))
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(provisioner.run(), name="provisioner")
            await stop.wait()
            working.cancel()


def main() -> int:
    arguments = parser().parse_args()
    try:
        asyncio.run(run(arguments))
    except OSError as error:
        sys.stderr.write(f"the provisioner cannot work: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
