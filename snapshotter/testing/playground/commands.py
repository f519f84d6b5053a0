"""The command line of `snapshotter`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from snapshotter import __version__
from snapshotter.testing.playground import demo, local


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; the exit code. Bad arguments end the program with 2."""
    parser = _parser()
    own, driver_arguments = _split(arguments)
    given, unknown = parser.parse_known_args(own)
    command: argparse.ArgumentParser = given.parser
    if unknown:
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    return int(given.run(command, given, driver_arguments))


def _demo(parser: argparse.ArgumentParser, given: argparse.Namespace, driver_arguments: Sequence[str]) -> int:
    if driver_arguments:
        parser.error(f"unrecognized arguments: {' '.join(driver_arguments)}")
    keep: Path | None = given.keep
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        parser.error(f"--keep: {keep} is not an empty directory")
    return demo.run(keep)


def _local(_: argparse.ArgumentParser, given: argparse.Namespace, driver_arguments: Sequence[str]) -> int:
    local.check_driver_arguments(driver_arguments)
    return local.run(given.directory, driver_arguments)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ours, and what follows the first `--`."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snapshotter",
        description="Volume snapshots for Kubernetes on one machine, without a cluster: a small API server, "
        "a CSI driver that keeps real bytes in files with its provisioner and the sidecar csi-snapshotter, the "
        "snapshot-controller, and the webhook that converts group contents.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"snapshotter {__version__}")
    commands = parser.add_subparsers(required=True, title="commands", metavar="COMMAND")
    showing = commands.add_parser(
        "demo",
        help="show in half a minute what snapshots and groups do, and check it",
        description="Cuts, restores, keeps, imports and deletes snapshots and a group of them, kills the sidecar and "
        "the controller in between, and checks all that it says. "
        "Ends with 0 when all checks held, with 1 otherwise. Shows a live table on a terminal, and plain lines "
        "elsewhere or when NO_COLOR or CI is set.",
        allow_abbrev=False,
    )
    showing.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave logs, kubeconfig and the driver's files in this directory, which must be empty or new",
    )
    showing.set_defaults(run=_demo, parser=showing)
    staying = commands.add_parser(
        "local",
        help="run the same pieces until Ctrl-C, for kubectl and for your own experiments",
        description="Runs an API server, a CSI driver with provisioner and sidecar, the controller and the webhook "
        "until Ctrl-C, and says how to use them.",
        usage="snapshotter local [-h] [--directory DIR] [-- DRIVER-ARGUMENT …]",
        epilog="Arguments after -- go to the driver, for instance: snapshotter local -- --ready-after-seconds 5. "
        "All of them: snapshotter local -- --help",
        allow_abbrev=False,
    )
    staying.add_argument(
        "--directory",
        type=Path,
        default=local.default_directory(),
        metavar="DIR",
        help="where the driver's volumes and snapshots, the kubeconfig and the logs are; "
        "the driver's are there again the next time (default: %(default)s)",
    )
    staying.set_defaults(run=_local, parser=staying)
    return parser
