"""`python -m snapshotter.testing.driver`: the driver as a process.

Prints one line when it serves. Ends with 0 on SIGTERM or SIGINT, at once, whatever it is at; with 1 when it
cannot serve; with 2 for options that make no sense.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import msgspec

from snapshotter.testing.driver.admin import serve_admin
from snapshotter.testing.driver.options import add_arguments, from_arguments
from snapshotter.testing.driver.server import Driver
from snapshotter.testing.driver.state import StateInUse
from snapshotter.testing.faults import Fault


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m snapshotter.testing.driver",
        description="A CSI driver that keeps real bytes in a directory.",
    )
    made.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the Unix socket to serve on")
    made.add_argument(
        "--admin", type=_address, metavar="HOST:PORT", help="serve the admin address there; port 0: any free one"
    )
    made.add_argument("--admin-file", type=Path, metavar="PATH", help="write the URL of the admin address to this file")
    made.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help="a fault in force from the start; may be repeated",
    )
    add_arguments(made)
    return made


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"not HOST:PORT: {text}")
    return host, int(port)


def _fault(text: str) -> Fault:
    try:
        return msgspec.json.decode(text, type=Fault)
    except msgspec.DecodeError as error:
        raise argparse.ArgumentTypeError(f"not a fault: {error}") from error


async def run(arguments: argparse.Namespace) -> None:
    """Serve until a signal asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        options = from_arguments(arguments)
        driver = await stack.enter_async_context(Driver.serve(arguments.socket, options, arguments.fault))
        line = f"{options.name} serves on unix:{arguments.socket}"
        if arguments.admin:
            url = await stack.enter_async_context(serve_admin(driver, *arguments.admin))
            line += f", admin {url}"
            if arguments.admin_file:
                _write_whole(arguments.admin_file, url)
        print(line, flush=True)  # noqa: T201 - who starts the process waits for this line
        await stop.wait()


def _write_whole(path: Path, text: str) -> None:
    """The file appears with all of its text at once."""
    written = path.with_name(path.name + ".new")
    written.write_text(text)
    written.replace(path)


def main() -> int:
    arguments = parser().parse_args()
    try:
        asyncio.run(run(arguments))
    except (OSError, StateInUse) as error:
        sys.stderr.write(f"the driver cannot serve: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
