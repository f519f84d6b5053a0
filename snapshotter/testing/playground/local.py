"""`snapshotter local`: the playground, left running, for kubectl and for experiments."""

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
import yaml

from snapshotter import names
from snapshotter.testing.admin import AdminError
from snapshotter.testing.client import ApiFailure, Json
from snapshotter.testing.playground import interruption, objects
from snapshotter.testing.playground.pieces import PieceFailed
from snapshotter.testing.playground.running import DirectoryInUse, Pieces, playground

VOLUME: Final = "data"
SECOND_VOLUME: Final = "log"
"""The volumes that are there from the start."""
VOLUME_CONTENT: Final = {
    VOLUME: b"bytes of the playground's first volume\n",
    SECOND_VOLUME: b"bytes of the playground's second volume\n",
}
VOLUME_BYTES: Final = 1 << 20

EXAMPLE: Final = "example"

REQUIRED_OF_DRIVER: Final = ("--socket=socket", "--state=state")
OURS: Final = ("socket", "state", "name", "admin", "admin_file")
"""The driver's options that join it to the other pieces."""


def default_directory() -> Path:
    """Where programs keep their state by convention; for a user without a home, where files do not last."""
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "snapshotter"
    try:
        return Path.home() / ".local" / "state" / "snapshotter"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "snapshotter"


def check_driver_arguments(arguments: Sequence[str]) -> None:
    """End the program with 2 and the driver's usage when it would not take these; with 0 after its help."""
    if not arguments:
        return
    # Loaded only here: the driver brings gRPC, and it runs elsewhere.
    from snapshotter.testing.driver.__main__ import parser  # noqa: PLC0415

    taking = parser()
    taking.prog = "snapshotter local --"
    ours = taking.parse_args(REQUIRED_OF_DRIVER)
    given = taking.parse_args([*REQUIRED_OF_DRIVER, *arguments])
    if taken := [name for name in OURS if getattr(given, name) != getattr(ours, name)]:
        taking.error(f"set by the playground itself: {', '.join('--' + name.replace('_', '-') for name in taken)}")


def run(directory: Path, driver_arguments: Sequence[str]) -> int:
    """Run until SIGINT or SIGTERM, which is a good end: 0. 1 when the playground cannot run, or breaks."""
    try:
        return interruption.run(_local(directory, driver_arguments))
    except interruption.Interrupted:
        sys.stdout.write("\nStopped.\n")
        return 0
    except (PieceFailed, DirectoryInUse, ApiFailure, AdminError, aiohttp.ClientError) as error:
        sys.stderr.write(f"snapshotter: {error}\n")
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"snapshotter: {error.filename or directory}: {error.strerror or error}\n")
        return 1


async def _local(directory: Path, driver_arguments: Sequence[str]) -> int:
    async with playground(directory, driver_arguments=driver_arguments) as pieces:
        there = (await pieces.storage.held()).volumes
        for volume, content in VOLUME_CONTENT.items():
            if volume not in there:
                await pieces.storage.make_volume(volume, content, VOLUME_BYTES)
        _write_examples(pieces.directory / "examples")
        sys.stdout.write(_instructions(pieces))
        sys.stdout.flush()
        await asyncio.Event().wait()
    return 0


def _write_examples(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    _write(directory / "class.yaml", "The class: which driver cuts the snapshots.", objects.snapshot_class())
    _write(
        directory / "content.yaml",
        "A snapshot of a volume that is there from the start. On a cluster the snapshot-controller makes this\n"
        "# object for a VolumeSnapshot, with this finalizer, which keeps it until its snapshot is taken care of.",
        objects.content_of_volume(EXAMPLE, VOLUME),
    )
    _write(
        directory / "group-class.yaml", "The class of groups: which driver cuts several volumes.", objects.group_class()
    )
    _write(
        directory / "group-content.yaml",
        "Snapshots of both volumes at one instant. On a cluster the snapshot-controller makes this object for a\n"
        "# VolumeGroupSnapshot, and a VolumeSnapshotContent for each member that its status tells of.",
        objects.content_of_volumes(EXAMPLE, VOLUME, SECOND_VOLUME),
    )


def _write(path: Path, comment: str, given: Json) -> None:
    path.write_text(f"# {comment}\n{yaml.safe_dump(given, sort_keys=False)}")


def _instructions(pieces: Pieces) -> str:
    kubectl = (
        ""
        if shutil.which("kubectl")
        else "\n  (kubectl is not on the PATH of this machine; any HTTP client does as well.)"
    )
    return f"""\
An API server, a CSI driver, the sidecar and the webhook are running. Ctrl-C stops them.

In another terminal:{kubectl}
  export KUBECONFIG={shlex.quote(str(pieces.kubeconfig))}
  kubectl apply -f {shlex.quote(str(pieces.directory / "examples"))}
  kubectl get volumesnapshotcontents -w
  kubectl get volumegroupsnapshotcontents {EXAMPLE} -o yaml
  kubectl get volumegroupsnapshotcontents.v1beta1.{names.GROUP_SNAPSHOT_GROUP} {EXAMPLE} -o yaml

To delete a content and what it stands for on the storage, mark it first, as the controller would:
  kubectl annotate vsc {EXAMPLE} {names.BEING_DELETED}=yes && kubectl delete vsc {EXAMPLE}
  kubectl annotate vgsc {EXAMPLE} {names.GROUP_BEING_DELETED}=yes && kubectl delete vgsc {EXAMPLE}

The driver holds the volumes "{VOLUME}" and "{SECOND_VOLUME}". To make another, and to see all it holds:
  curl -d '{{"name": "more", "size": 1048576}}' {pieces.driver_admin_url}/_standin/volumes
  curl {pieces.driver_admin_url}/_standin/state

  API server  {pieces.api_url}
  metrics     {pieces.metrics_url}
  driver      unix:{pieces.socket}, files in {pieces.directory / "driver"}
  logs        {pieces.directory / "logs"}
"""
