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

import snapshotter
from snapshotter import names
from snapshotter.testing.admin import PREFIX, AdminError
from snapshotter.testing.client import ApiFailure
from snapshotter.testing.playground import interruption
from snapshotter.testing.playground.pieces import PieceFailed
from snapshotter.testing.playground.running import DirectoryInUse, Pieces, playground

REQUIRED_OF_DRIVER: Final = ("--socket=socket", "--state=state")
OURS: Final = ("socket", "state", "name", "admin", "admin_file")
"""The driver's options that join it to the other pieces."""


MEMBER_COLUMNS: Final = (
    "NAME:.metadata.name,GROUP:.metadata.ownerReferences[*].name,CLAIM:.spec.source.persistentVolumeClaimName"
)


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
    except DirectoryInUse as error:
        sys.stderr.write(f"snapshotter: {error}; --directory chooses another\n")
        return 1
    except (PieceFailed, ApiFailure, AdminError, aiohttp.ClientError) as error:
        sys.stderr.write(f"snapshotter: {error}\n")
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"snapshotter: {error.filename or directory}: {error.strerror or error}\n")
        return 1


async def _local(directory: Path, driver_arguments: Sequence[str]) -> int:
    async with playground(directory, driver_arguments=driver_arguments, missed=_tell) as pieces:
        shutil.copytree(_shipped_examples(), pieces.directory / "examples", dirs_exist_ok=True)
        sys.stdout.write(_instructions(pieces))
        sys.stdout.flush()
        await asyncio.Event().wait()
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _shipped_examples() -> Path:
    """Those of an installed package lie in it; in a working copy they are beside it."""
    package = Path(snapshotter.__file__).parent
    installed = package / "manifests" / "examples"
    return installed if installed.is_dir() else package.parent / "manifests" / "examples"


def _instructions(pieces: Pieces) -> str:
    kubectl = (
        ""
        if shutil.which("kubectl")
        else "\n  (kubectl is not on the PATH of this machine; any HTTP client does as well.)"
    )
    ready = "--for=jsonpath={.status.readyToUse}=true --timeout=30s"
    return f"""\
An API server, a CSI driver, its provisioner and sidecar, the snapshot-controller and the webhook are running. Ctrl-C
stops them.

In another terminal:{kubectl}
  export KUBECONFIG={shlex.quote(str(pieces.kubeconfig))}
  cd {shlex.quote(str(pieces.directory / "examples"))}

A volume, a snapshot of it, and a new volume from the snapshot:
  kubectl apply -f storageclass.yaml -f pvc.yaml -f snapshotclass-v1.yaml -f snapshot-v1.yaml
  kubectl wait volumesnapshot/new-snapshot-demo-v1 {ready}
  kubectl apply -f restore.yaml
  kubectl get pvc,volumesnapshots,volumesnapshotcontents

Two volumes, cut at one instant:
  sed 's/hpvc/hpvc-2/' pvc.yaml | kubectl apply -f -
  kubectl apply -f groupsnapshotclass-v1.yaml -f groupsnapshot-v1.yaml
  kubectl wait volumegroupsnapshot/new-groupsnapshot-demo {ready}
  kubectl get volumesnapshots -o custom-columns={MEMBER_COLUMNS}
  kubectl get volumegroupsnapshotcontents.v1beta1.{names.GROUP_SNAPSHOT_GROUP} -o yaml

To delete it all, snapshots and volumes:
  kubectl delete volumegroupsnapshots --all
  kubectl delete volumesnapshots --all
  kubectl delete pvc --all

No pod runs here. The bytes of a volume are a file that you may write to, named as its handle:
  kubectl get pv -o custom-columns=CLAIM:.spec.claimRef.name,FILE:.spec.csi.volumeHandle
  ls {shlex.quote(str(pieces.directory / "driver" / "volumes"))}
  curl -s {pieces.driver_admin_url}{PREFIX}/state

A program that dies is started again, as in a cluster; not the API server, since all objects die with it. To kill the
sidecar:
  kill -9 {pieces.sidecar.pid}

  API server  {pieces.api_url}
  metrics     {pieces.metrics_url}
  controller  {pieces.controller_metrics_url}
  driver      unix:{pieces.socket}, files in {pieces.directory / "driver"}
  logs        {pieces.directory / "logs"}
"""
