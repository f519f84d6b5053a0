"""The far side of the sidecar for tests: an API server, a driver, users; and the sidecar between them.

Everything is real but small: real HTTP, a real Unix socket, real bytes. The snapshot-controller's part (finalizer,
uid, being-deleted mark) is played by `World`.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from snapshotter import names
from snapshotter.settings import (
    DriverSettings,
    KubeSettings,
    SidecarSettings,
    WorkSettings,
)
from snapshotter.sidecar import app
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.driver import Driver, DriverOptions
from snapshotter.testing.faults import Fault

DRIVER = "bytes.csi.example.com"
CONTENTS = "volumesnapshotcontents"
API = "/apis/snapshot.storage.k8s.io/v1"
CONTENT_PATH = f"{API}/{CONTENTS}"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Object = dict[str, Any]


class World:
    """A cluster with a driver, and the people in it."""

    def __init__(self, server: ApiServer, driver: Driver, directory: Path, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.driver = driver
        self.directory = directory
        self.http = http
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        server._store.listen(lambda _resource, _change: self._changed.set())

    @property
    def kubeconfig(self) -> Path:
        path = self.directory / "kubeconfig"
        path.write_text(self.server.kubeconfig())
        return path

    def settings(self, **changes: Any) -> SidecarSettings:
        """Settings for this world, with short times; `work`, `driver` … replace a topic."""
        usual = SidecarSettings(
            driver=DriverSettings(csi_address=str(self.driver.socket), timeout=10.0),
            kube=KubeSettings(kubeconfig=str(self.kubeconfig)),
            work=WorkSettings(retry_start=0.05, retry_max=0.4, shutdown_grace=2.0),
        )
        return replace(usual, **changes)

    @asynccontextmanager
    async def sidecar(self, **changes: Any) -> AsyncIterator[Sidecar]:
        """The sidecar at work in this process; left, it stops as it would on SIGTERM."""
        async with app.started(self.settings(**changes)) as sidecar:
            end = asyncio.Event()
            work = asyncio.create_task(sidecar.work(end.wait), name="sidecar under test")
            try:
                yield sidecar
            finally:
                end.set()
                await work

    async def until(self, condition: Callable[[], object], *, seconds: float = 20.0) -> None:
        """Return once something holds of the objects or the driver. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                # The driver tells no one of changes, so it is looked at now and then as well.
                try:
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    # What users and the snapshot-controller do.

    async def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Object:
        data = None if body is None else json.dumps(body)
        async with self.http.request(
            method, self.server.url + path, data=data, headers={"Content-Type": content_type}
        ) as response:
            answer: Object = await response.json()
            assert response.status < 300, answer
            return answer

    async def make_class(
        self, name: str = "class", parameters: Mapping[str, str] | None = None, driver: str = DRIVER
    ) -> None:
        await self.request(
            "POST",
            f"{API}/volumesnapshotclasses",
            {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshotClass",
                "metadata": {"name": name},
                "driver": driver,
                "deletionPolicy": "Delete",
                "parameters": dict(parameters or {}),
            },
        )

    async def make_secret(self, name: str, namespace: str = "default", **data: str) -> None:
        await self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/secrets",
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data},
        )

    async def make_content(
        self,
        name: str,
        *,
        volume: str | None = "vol",
        snapshot: str | None = None,
        policy: str = "Delete",
        class_name: str | None = "class",
        driver: str = DRIVER,
        annotations: Mapping[str, str] | None = None,
        finalizers: tuple[str, ...] = (names.CONTENT_FINALIZER,),
        uid: str | None = None,
    ) -> Object:
        """A content as the snapshot-controller makes it."""
        number = next(self._numbers)
        source = {"volumeHandle": volume} if snapshot is None else {"snapshotHandle": snapshot}
        uid = f"00000000-0000-0000-0000-{number:012}" if uid is None else uid
        spec: Object = {
            "driver": driver,
            "deletionPolicy": policy,
            "source": source,
            "volumeSnapshotRef": {"name": name, "namespace": "default", "uid": uid},
        }
        if class_name is not None:
            spec["volumeSnapshotClassName"] = class_name
        return await self.request(
            "POST",
            CONTENT_PATH,
            {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshotContent",
                "metadata": {"name": name, "finalizers": list(finalizers), "annotations": dict(annotations or {})},
                "spec": spec,
            },
        )

    async def annotate(self, name: str, **annotations: str | None) -> None:
        await self.patch(name, {"metadata": {"annotations": annotations}})

    async def patch(self, name: str, body: object, *, status: bool = False) -> Object:
        return await self.request("PATCH", f"{CONTENT_PATH}/{name}" + ("/status" if status else ""), body, MERGE)

    async def delete_content(self, name: str, *, marked: bool = True) -> None:
        """As the snapshot-controller deletes it: the mark first, then the request."""
        if marked:
            await self.patch(name, {"metadata": {"annotations": {names.BEING_DELETED: "yes"}}})
        await self.request("DELETE", f"{CONTENT_PATH}/{name}")

    # How things are.

    def content(self, name: str) -> Object | None:
        return self.server.get(CONTENTS, name)

    def status(self, name: str) -> Object:
        content = self.content(name)
        return {} if content is None else content.get("status", {})

    def annotations(self, name: str) -> Object:
        content = self.content(name)
        return {} if content is None else content["metadata"].get("annotations", {})

    def finalizers(self, name: str) -> list[str]:
        content = self.content(name)
        found: list[str] = [] if content is None else content["metadata"].get("finalizers", [])
        return found

    def ready(self, name: str) -> bool:
        return self.status(name).get("readyToUse") is True

    def error(self, name: str) -> str | None:
        message: str | None = self.status(name).get("error", {}).get("message")
        return message

    def events(self, name: str) -> list[Object]:
        return [event for event in self.server.list("events") if event["involvedObject"]["name"] == name]

    def warnings(self, name: str) -> list[Object]:
        return [event for event in self.events(name) if event["type"] == "Warning"]

    def sidecar_requests(self, path: str = CONTENT_PATH) -> list[str]:
        """What the sidecar asked of the API server about objects under a path: `PATCH …/name/status`."""
        return [
            f"{record.verb} {record.path.removeprefix(path)}"
            for record in self.server.requests
            if record.user_agent.startswith("csi-snapshotter/") and record.path.startswith(path)
        ]

    def calls(self, method: str, subject: str | None = None) -> int:
        """How many calls of a method the driver has seen, for one volume or snapshot or all."""
        return sum(subject in (None, call.subject) for call in self.driver.log.of(method))

    def hold(self, match: str, when: str = "before", **fault: Any) -> int:
        """Hold calls to the driver."""
        return self.driver.faults.set(Fault(match=match, hold=when, **fault))  # type: ignore[arg-type]


@asynccontextmanager
async def make_world(directory: Path, **driver: Any) -> AsyncIterator[World]:
    """An API server and a driver with one volume, `vol`."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer.serve())
        options = DriverOptions(name=DRIVER, state=directory / "state", **driver)
        far_driver = await stack.enter_async_context(Driver.serve(directory / "csi.sock", options))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await far_driver.make_volume("vol", b"bytes" * 100)
        yield World(server, far_driver, directory, http)
