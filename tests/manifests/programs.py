"""The three programs as processes that serve their metrics, and something for them to do."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp

from tests.certificates import Pair, files_in, make_pair
from tests.world import API, DRIVER, GROUP_API, KINDS, MERGE, Kind, Object, World

SIDECAR, CONTROLLER, WEBHOOK = "csi-snapshotter", "snapshot-controller", "snapshot-conversion-webhook"
BIN = Path(sys.executable).parent
CORE = "/api/v1"
OF_A_NAMESPACE = "/namespaces/default"
PATIENCE = 60.0
"""Seconds that programs which have just been started are given, on a slow machine."""
LABELS = {"app": "database"}
"""What the claims have that a group is made of."""


@asynccontextmanager
async def program(name: str, *flags: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(BIN / name, *flags, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def sidecar(world: World, port: int) -> AbstractAsyncContextManager[None]:
    """A sidecar that elects a leader."""
    return program(
        SIDECAR,
        f"--csi-address={world.driver.socket}",
        f"--kubeconfig={world.kubeconfig}",
        f"--http-endpoint=127.0.0.1:{port}",
        "--leader-election",
        "--leader-election-namespace=default",
        "--retry-interval-start=100ms",
    )


def controller(world: World, port: int) -> AbstractAsyncContextManager[None]:
    return program(
        CONTROLLER,
        f"--kubeconfig={world.kubeconfig}",
        f"--http-endpoint=127.0.0.1:{port}",
        "--leader-election",
        "--leader-election-namespace=default",
    )


@asynccontextmanager
async def webhook(directory: Path, port: int, web_port: int) -> AsyncIterator[Pair]:
    """The webhook with a certificate for a month."""
    files, pair = files_in(directory), make_pair(end=datetime.now(UTC) + timedelta(days=30))
    files.write(pair)
    flags = (f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}", f"--port={port}")
    async with program(WEBHOOK, *flags, f"--http-endpoint=127.0.0.1:{web_port}", "--shutdown-delay=0s"):
        yield pair


async def convert_something(pair: Pair, port: int) -> None:
    """Have the webhook convert a content, once it is there."""
    old, new = (f"groupsnapshot.storage.k8s.io/{version}" for version in ("v1beta1", "v1"))
    content = {"apiVersion": old, "kind": KINDS[1].content, "metadata": {"name": "any"}, "spec": {}}
    review = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": {"uid": "1", "desiredAPIVersion": new, "objects": [content]},
    }
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.post(f"https://127.0.0.1:{port}/convert", json=review, ssl=pair.trusting()) as response:
                    answer = await response.json()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
                continue
            assert answer["response"]["result"]["status"] == "Success", answer
            return


async def make_claims(world: World) -> None:
    """Claims for the driver's volumes, bound."""
    for name in ("vol", "vol2"):
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "labels": LABELS},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
                "storageClassName": "any",
                "volumeName": f"pv-{name}",
            },
        }
        made = await world.request("POST", f"{CORE}{OF_A_NAMESPACE}/persistentvolumeclaims", claim)
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "namespace": "default"}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"pv-{name}"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Mi"},
                "storageClassName": "any",
                "csi": {"driver": DRIVER, "volumeHandle": name},
                "claimRef": reference | {"uid": made["metadata"]["uid"]},
            },
        }
        await world.request("POST", f"{CORE}/persistentvolumes", volume)
        for path in (f"{OF_A_NAMESPACE}/persistentvolumeclaims/{name}", f"/persistentvolumes/pv-{name}"):
            await world.request("PATCH", f"{CORE}{path}/status", {"status": {"phase": "Bound"}}, MERGE)


def plural(kind: Kind) -> str:
    return f"{kind.snapshot.lower()}s"


async def ask_for_snapshots(world: World, name: str) -> None:
    """Ask for a snapshot and a group of this name."""
    sources: dict[str, Object] = {
        API: {"persistentVolumeClaimName": "vol"},
        GROUP_API: {"selector": {"matchLabels": LABELS}},
    }
    for kind in KINDS:
        wish = {
            "apiVersion": kind.api_version,
            "kind": kind.snapshot,
            "metadata": {"name": name},
            "spec": {kind.class_name: "class", "source": sources[kind.api]},
        }
        await world.request("POST", f"{kind.api}{OF_A_NAMESPACE}/{plural(kind)}", wish)


async def take_snapshots(world: World, name: str) -> None:
    """Have a snapshot and a group of this name made."""
    await ask_for_snapshots(world, name)
    for kind in KINDS:
        ready = partial(is_ready, world, plural(kind), name)
        await world.until(ready, seconds=PATIENCE)


def is_ready(world: World, resource: str, name: str) -> bool:
    wish = world.server.get(resource, name, "default")
    return wish is not None and wish.get("status", {}).get("readyToUse") is True


def is_gone(world: World, resource: str, name: str) -> bool:
    return world.server.get(resource, name, "default") is None


async def delete_snapshots(world: World, name: str) -> None:
    for kind in KINDS:
        await world.request("DELETE", f"{kind.api}{OF_A_NAMESPACE}/{plural(kind)}/{name}")
    for kind in KINDS:
        gone = partial(is_gone, world, plural(kind), name)
        await world.until(gone, seconds=PATIENCE)


async def read_page(port: int) -> str:
    """The metrics, once the program has asked about its permissions, where it does."""
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
                page = await response.text()
            if "leader_election" not in page or 'needed_for="leader election"' in page:
                return page
            await asyncio.sleep(0.1)
