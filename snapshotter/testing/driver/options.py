"""How a driver behaves: one frozen value, and the same as command-line options."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _option(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriverOptions:
    """The defaults make a driver that can do everything and does it at once."""

    state: Path = dataclasses.field(metadata={"help": "directory of volumes, snapshots and their records"})
    name: str = _option("bytes.csi.example.com", "the driver's name")
    node: str = _option("node-1", "the name of the one node that can use its volumes")
    volume_size_bytes: int = _option(1 << 20, "size of a volume for which none is asked")
    capacity_bytes: int = _option(1 << 40, "size of the storage; when it is used up: RESOURCE_EXHAUSTED")
    page_size: int = _option(0, "at most so many entries in one answer to a list, whatever is asked; 0: no limit")

    snapshots: bool = _option(True, "announce and serve snapshots")
    list_snapshots: bool = _option(True, "announce and serve ListSnapshots")
    get_snapshot: bool = _option(True, "announce and serve GetSnapshot")

    groups: bool = _option(True, "announce and serve group snapshots")

    probes_not_ready: int = _option(0, "the first so many probes answer that the driver is not ready")
    create_delay_seconds: float = _option(0.0, "how long a snapshot or a group takes to cut")
    ready_after_seconds: float = _option(0.0, "how long a cut snapshot is not ready to use; inf: until it is told to")
    member_ready_spread_seconds: float = _option(
        0.0, "how much later each member of a group is ready to use than the member before it"
    )
    omit_creation_time: bool = _option(False, "answer snapshots and groups without creation_time")
    omit_size: bool = _option(False, "answer snapshots with size_bytes 0")

    required_secrets: Mapping[str, Mapping[str, str]] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "a secret without which the method answers UNAUTHENTICATED; may be repeated"},
    )
    """By method: `{"CreateSnapshot": {"user": "admin"}}`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One argument for each option."""
    for field in dataclasses.fields(DriverOptions):
        flag = "--" + field.name.replace("_", "-")
        text = field.metadata["help"]
        if field.name == "state":
            parser.add_argument(flag, type=Path, required=True, metavar="DIRECTORY", help=text)
        elif field.name == "required_secrets":
            parser.add_argument(
                "--required-secret",
                dest=field.name,
                action="append",
                type=_required_secret,
                default=[],
                metavar="METHOD:KEY=VALUE",
                help=text,
            )
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        else:
            parser.add_argument(
                flag,
                type=type(field.default),
                default=field.default,
                help=f"{text} (default: {field.default})",
            )


def from_arguments(arguments: argparse.Namespace) -> DriverOptions:
    """The options that the parsed command line says."""
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(DriverOptions)}
    secrets: dict[str, dict[str, str]] = {}
    for method, key, value in arguments.required_secrets:
        secrets.setdefault(method, {})[key] = value
    return DriverOptions(**values | {"required_secrets": secrets})


def _required_secret(text: str) -> tuple[str, str, str]:
    method, colon, secret = text.partition(":")
    key, equals, value = secret.partition("=")
    if not (method and colon and key and equals):
        raise argparse.ArgumentTypeError(f"not METHOD:KEY=VALUE: {text}")
    return method, key, value
