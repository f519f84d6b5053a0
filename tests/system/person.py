"""Somebody at work in a playground with the examples among the manifests: with kubectl where there is one."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, Self

import yaml

from snapshotter.testing.client import ApiFailure, Json, KubeClient
from snapshotter.testing.playground.driver_pod import DriverPod
from snapshotter.testing.playground.running import DRIVER
from tests.manifests.rendering import MANIFESTS, objects_in

EXAMPLES: Final = MANIFESTS / "examples"
SOON_SECONDS: Final = 40.0

Condition = Callable[[Json | None], bool]


class Refused(Exception):
    """The API server does not take it; the text says why."""


class Place(Protocol):
    """Where somebody works: a playground is one."""

    @property
    def directory(self) -> Path: ...
    @property
    def kubeconfig(self) -> Path: ...
    @property
    def api(self) -> KubeClient: ...


class Person:
    """A user with a namespace and a driver, who may do what the kubeconfig of the place allows.

    With another driver than that of the examples, these are applied with its name in the place of theirs, and their
    classes are named after it as well.
    """

    def __init__(self, place: Place, namespace: str, pod: DriverPod | None = None) -> None:
        """Without a pod there is no driver yet, and nothing of its storage can be seen."""
        self.place = place
        self.api = place.api
        self.namespace = namespace
        self._pod = pod

    @property
    def pod(self) -> DriverPod:
        assert self._pod is not None
        return self._pod

    def with_driver(self, pod: DriverPod) -> Self:
        """The same user at work with another driver."""
        return type(self)(self.place, self.namespace, pod)

    async def apply(self, name: str, *replacements: tuple[str, str]) -> None:
        """Apply an example; each pair of texts is replaced before, as the documents do with `sed`.

        Raises `Refused`.
        """
        text = (EXAMPLES / name).read_text()
        for old, new in (*replacements, *self._of_driver(), ("namespace: default", f"namespace: {self.namespace}")):
            text = text.replace(old, new)
        await self.give(*objects_in(text))

    def _of_driver(self) -> tuple[tuple[str, str], ...]:
        if self._pod is None or self._pod.name == DRIVER:
            return ()
        return (("csi-hostpath", self._pod.name.replace(".", "-")), (DRIVER, self._pod.name))

    async def give(self, *objects: Json) -> None:
        """Apply objects. Raises `Refused`."""
        if shutil.which("kubectl"):
            await self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))
            return
        for given in objects:
            try:
                await self.api.create(given, namespace=given["metadata"].get("namespace", self.namespace))
            except ApiFailure as failure:
                if failure.reason != "AlreadyExists":
                    raise Refused(str(failure)) from failure

    async def delete(self, kind: str, name: str) -> None:
        """Ask for the deletion, without waiting for it."""
        await self.api.delete(kind, name, namespace=self.namespace)

    async def delete_all(self, kind: str, names: Iterable[str]) -> None:
        """Ask for the deletion of those that there are."""
        for name in names:
            with contextlib.suppress(ApiFailure):
                await self.delete(kind, name)

    async def label(self, kind: str, name: str, key: str, value: str) -> None:
        if shutil.which("kubectl"):
            await self.kubectl("label", kind, name, f"{key}={value}")
            return
        await self.api.merge_patch(kind, name, {"metadata": {"labels": {key: value}}}, namespace=self.namespace)

    async def get(self, kind: str, name: str) -> Json:
        return await self.api.get(kind, name, namespace=self.namespace)

    async def all(self, kind: str) -> list[Json]:
        """All of the kind in our namespace; or of the cluster, what refers to it."""
        items = (await self.api.list(kind, namespace=self.namespace)).items
        return [item for item in items if self._is_ours(item)]

    def _is_ours(self, item: Json) -> bool:
        refs = ("volumeSnapshotRef", "volumeGroupSnapshotRef", "claimRef")
        places = [item["metadata"], *(item.get("spec", {}).get(ref, {}) for ref in refs)]
        return any(place.get("namespace") == self.namespace for place in places)

    async def until(self, kind: str, name: str, condition: Condition) -> Json:
        """The object once it is so."""
        found = await self.api.wait_for(kind, name, condition, namespace=self.namespace, timeout=SOON_SECONDS)
        return found or {}

    async def until_ready(self, kind: str, name: str) -> Json:
        return await self.until(kind, name, is_ready)

    async def until_gone(self, kind: str, name: str) -> None:
        await self.until(kind, name, lambda found: found is None)

    async def until_failing(self, kind: str, name: str) -> str:
        """The message of its error."""
        found = await self.until(kind, name, lambda found: bool(found and found.get("status", {}).get("error")))
        return str(found["status"]["error"]["message"])

    async def until_told(self, name: str, reason_or_text: str) -> Json:
        """The Warning about an object whose reason or message has this."""
        async with asyncio.timeout(SOON_SECONDS):
            async for change in self.api.follow(
                "Event", namespace=self.namespace, fieldSelector=f"involvedObject.name={name}"
            ):
                event = change.object
                if event["type"] == "Warning" and reason_or_text in event["reason"] + event["message"]:
                    return event
        raise EOFError

    async def make_claim(self, name: str = "hpvc", *replacements: tuple[str, str]) -> str:
        """The claim of the examples under a name, bound; gives the handle of its volume."""
        await self.apply("storageclass.yaml")
        await self.apply("pvc.yaml", ("hpvc", name), *replacements)
        return await self.volume_of(name)

    async def volume_of(self, claim: str) -> str:
        """The handle of its volume, once it is bound."""
        found = await self.until("PersistentVolumeClaim", claim, is_bound)
        volume = await self.api.get("PersistentVolume", found["spec"]["volumeName"])
        return str(volume["spec"]["csi"]["volumeHandle"])

    async def content_of(self, kind: str, name: str) -> Json:
        """The content that a snapshot or group is bound to."""
        status = (await self.get(kind, name))["status"]
        field = "boundVolumeSnapshotContentName" if kind == "VolumeSnapshot" else "boundVolumeGroupSnapshotContentName"
        return await self.api.get(f"{kind}Content", status[field])

    async def members(self, group: str) -> dict[str, Json]:
        """The snapshots that a group owns, by the claims that they are of."""
        return {
            each["spec"]["source"]["persistentVolumeClaimName"]: each
            for each in await self.all("VolumeSnapshot")
            for owner in each["metadata"].get("ownerReferences", ())
            if (owner["kind"], owner["name"]) == ("VolumeGroupSnapshot", group)
        }

    async def retain_group(self) -> tuple[str, list[str]]:
        """Have the group of the examples cut, and kept when it is deleted; gives its handle and its members'."""
        await self.apply("groupsnapshotclass-v1.yaml", *retained("csi-hostpath-group-retain"))
        for name in ("hpvc", "hpvc-2"):
            await self.make_claim(name)
        await self.apply("groupsnapshot-v1.yaml", *retained("csi-hostpath-group-retain"))
        await self.until_ready("VolumeGroupSnapshot", "new-groupsnapshot-demo")
        status = (await self.content_of("VolumeGroupSnapshot", "new-groupsnapshot-demo"))["status"]
        snapshots = await self.members("new-groupsnapshot-demo")
        await self.delete("VolumeGroupSnapshot", "new-groupsnapshot-demo")
        await self.until_gone("VolumeGroupSnapshot", "new-groupsnapshot-demo")
        for snapshot in snapshots.values():
            await self.until_gone("VolumeSnapshot", snapshot["metadata"]["name"])
        members = [info["snapshotHandle"] for info in status["volumeSnapshotInfoList"]]
        return status["volumeGroupSnapshotHandle"], members

    async def leave_group_on_storage(self) -> tuple[str, list[str]]:
        """The same, and its contents are deleted as well."""
        left = await self.retain_group()
        for kind in ("VolumeSnapshotContent", "VolumeGroupSnapshotContent"):
            names = [content["metadata"]["name"] for content in await self.all(kind)]
            await self.delete_all(kind, names)
            for name in names:
                await self.until_gone(kind, name)
        return left

    async def write(self, volume: str, content: bytes) -> None:
        """Overwrite the beginning of a volume."""
        await self.pod.storage.write_volume(volume, content)

    def read(self, volume: str, count: int) -> bytes:
        """The beginning of a volume: it is large, and nearly all of it a hole."""
        with self._file(volume).open("rb") as file:
            return file.read(count)

    def _file(self, volume: str) -> Path:
        return self.pod.directory / "volumes" / volume

    async def calls(self, method: str, **fields: object) -> list[Json]:
        """The calls of a method that the driver has got, with these fields."""
        return [
            call
            for call in await self.pod.admin.calls()
            if call["method"] == method and fields.items() <= call["request"].items()
        ]

    async def kubectl(self, *arguments: str, text: str = "") -> str:
        """What kubectl says. Raises `Refused`."""
        cache = self.place.directory / "cache"
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "--namespace", self.namespace, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"KUBECONFIG": str(self.place.kubeconfig), "KUBECACHEDIR": str(cache)},
        )
        async with asyncio.timeout(SOON_SECONDS):
            out, _ = await process.communicate(text.encode())
        if process.returncode:
            raise Refused(out.decode())
        return out.decode()


def retained(name: str) -> tuple[tuple[str, str], ...]:
    """What makes another class of one of the examples, under this name, that keeps what is on the storage."""
    return (
        ("csi-hostpath-snapclass-v1", name),
        ("csi-hostpath-groupsnapclass", name),
        ("deletionPolicy: Delete", "deletionPolicy: Retain"),
    )


def group_on_storage(group: str, members: list[str]) -> tuple[tuple[str, str], ...]:
    """What has the example of an import bring in this group of two."""
    first, second = members
    return (
        ("group-on-the-storage", group),
        ("first-of-the-group", first),
        ("second-of-the-group", second),
    )


def is_ready(found: Json | None) -> bool:
    return found is not None and found.get("status", {}).get("readyToUse") is True


def is_bound(found: Json | None) -> bool:
    return found is not None and found["status"]["phase"] == "Bound"
