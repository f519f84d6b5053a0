"""`python -m snapshotter.testing.apiserver`: the stand-in as a process of its own."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snapshotter.testing.apiserver import ApiServer


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        import uvloop  # noqa: PLC0415 - is not there on every platform
    except ImportError:
        return asyncio.run(_serve(options))
    return uvloop.run(_serve(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apiserver", description="A stand-in for a Kubernetes API server.")
    parser.add_argument(
        "--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--kubeconfig", type=Path, help="where to write a kubeconfig, once the server serves")
    parser.add_argument("--port-file", type=Path, help="where to write the port, once the server serves")
    parser.add_argument("--crds", type=Path, help="directory of CustomResourceDefinitions (default: the shipped ones)")
    parser.add_argument(
        "--authorization-mode",
        choices=("AlwaysAllow", "RBAC"),
        default="AlwaysAllow",
        help="RBAC: roles decide, and clients need tokens, as the kubeconfig has one (default: %(default)s)",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="serve HTTPS; without it kubectl shows no token, so --authorization-mode=RBAC wants it",
    )
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        type=_service,
        metavar="NAMESPACE/NAME=HOST:PORT",
        help="where a service is found that a webhook's configuration names; can be given several times",
    )
    return parser


def _service(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals or name.count("/") != 1 or not address.rpartition(":")[2].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME=HOST:PORT")
    return name, address


async def _serve(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    host, _, port = options.listen.rpartition(":")
    rbac = options.authorization_mode == "RBAC"
    serving = ApiServer.serve(
        options.crds,
        host or "127.0.0.1",
        int(port),
        rbac=rbac,
        tls=options.tls,
        services=dict(options.service),
    )
    async with serving as server:
        if options.kubeconfig is not None:
            _write(options.kubeconfig, server.kubeconfig())
        if options.port_file is not None:
            _write(options.port_file, server.url.rpartition(":")[2] + "\n")
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await stopped.wait()
    return 0


def _write(path: Path, text: str) -> None:
    """Readers see the whole file or none."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(name).replace(path)


if __name__ == "__main__":
    sys.exit(main())
