"""A JSON client of a Kubernetes API server for the far side: the demo and the tests play users and controllers with it.

Objects are plain dicts. The programs themselves use `snapshotter.kube`, which is another thing on purpose: what
they write is looked at with other eyes.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
import yaml

Json = dict[str, Any]

EVERYWHERE: Final = "*"
"""In place of a namespace: lists and watches are of all of them."""

USER_AGENT: Final = "snapshotter-testing"
"""How a request log tells our requests from those of the programs."""

REQUEST_SECONDS: Final = 30.0
LONGEST_EVENT_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the objects of a kind are served."""

    api_version: str
    plural: str
    namespaced: bool = False

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of the collection, or of one object. Namespaced objects are in `default` unless told."""
        root = "/api" if self.api_version == "v1" else "/apis"
        within = ("namespaces", namespace or "default") if self.namespaced and namespace != EVERYWHERE else ()
        return "/".join(part for part in (root, self.api_version, *within, self.plural, name, subresource) if part)


KINDS: Final[Mapping[str, Kind]] = {
    "ConfigMap": Kind("v1", "configmaps", namespaced=True),
    "ClusterRole": Kind("rbac.authorization.k8s.io/v1", "clusterroles"),
    "CustomResourceDefinition": Kind("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Deployment": Kind("apps/v1", "deployments", namespaced=True),
    "Event": Kind("v1", "events", namespaced=True),
    "Lease": Kind("coordination.k8s.io/v1", "leases", namespaced=True),
    "Namespace": Kind("v1", "namespaces"),
    "Node": Kind("v1", "nodes"),
    "PersistentVolume": Kind("v1", "persistentvolumes"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims", namespaced=True),
    "Secret": Kind("v1", "secrets", namespaced=True),
    "StorageClass": Kind("storage.k8s.io/v1", "storageclasses"),
    "VolumeGroupSnapshot": Kind("groupsnapshot.storage.k8s.io/v1", "volumegroupsnapshots", namespaced=True),
    "VolumeGroupSnapshotClass": Kind("groupsnapshot.storage.k8s.io/v1", "volumegroupsnapshotclasses"),
    "VolumeGroupSnapshotContent": Kind("groupsnapshot.storage.k8s.io/v1", "volumegroupsnapshotcontents"),
    "VolumeGroupSnapshotContent.v1beta1": Kind("groupsnapshot.storage.k8s.io/v1beta1", "volumegroupsnapshotcontents"),
    "VolumeSnapshot": Kind("snapshot.storage.k8s.io/v1", "volumesnapshots", namespaced=True),
    "VolumeSnapshotClass": Kind("snapshot.storage.k8s.io/v1", "volumesnapshotclasses"),
    "VolumeSnapshotContent": Kind("snapshot.storage.k8s.io/v1", "volumesnapshotcontents"),
}


class ApiFailure(Exception):
    """The server refused a request, or did not answer it (then the status is 0 and the reason `Unreachable`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def unreachable(self) -> bool:
        return self.status == 0


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch: ADDED, MODIFIED or DELETED, and the object as it is then."""

    type: str
    object: Json


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of a collection, and the version to watch on from."""

    items: list[Json]
    version: str


class KubeClient:
    """Requests to one API server, while the context lasts. Kinds are named as in `KINDS`.

    Every method raises `ApiFailure`.
    """

    def __init__(self, url: str, token: str = "", authority: str = "") -> None:
        """`authority`: the PEM text of the certificate to trust, for HTTPS."""
        self.url = url.rstrip("/")
        self._token = token
        self._authority = authority
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """A client for the first cluster and user of a kubeconfig as our stand-in writes it."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
        return cls(cluster["server"], user.get("token", ""), authority)

    async def __aenter__(self) -> Self:
        bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": USER_AGENT, **bearer},
            timeout=aiohttp.ClientTimeout(REQUEST_SECONDS),
            connector=aiohttp.TCPConnector(ssl=self._trust()),
            read_bufsize=LONGEST_EVENT_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def create(self, given: Json, *, namespace: str | None = None) -> Json:
        """Create the object; the answer is what the server made of it."""
        kind = KINDS[given["kind"]]
        namespace = namespace or given["metadata"].get("namespace")
        return await self._ask("POST", kind.path(namespace), {"apiVersion": kind.api_version} | given)

    async def get(self, kind: str, name: str, *, namespace: str | None = None) -> Json:
        return await self._ask("GET", KINDS[kind].path(namespace, name))

    async def list(self, kind: str, *, namespace: str | None = None, **query: str) -> Listing:
        """The whole collection, or what a selector leaves of it: `fieldSelector="metadata.name=a"`."""
        answer = await self._ask("GET", KINDS[kind].path(namespace), query=query)
        return Listing(answer["items"], answer["metadata"]["resourceVersion"])

    async def merge_patch(
        self, kind: str, name: str, patch: Json, *, namespace: str | None = None, subresource: str | None = None
    ) -> Json:
        path = KINDS[kind].path(namespace, name, subresource)
        return await self._ask("PATCH", path, patch, content_type="application/merge-patch+json")

    async def delete(self, kind: str, name: str, *, namespace: str | None = None) -> None:
        """Ask for the deletion; an object with finalizers is still there afterwards."""
        await self._ask("DELETE", KINDS[kind].path(namespace, name))

    async def token_for(self, namespace: str, account: str) -> str:
        """A token by which one is this service account, for an hour."""
        path = Kind("v1", "serviceaccounts", namespaced=True).path(namespace, account, "token")
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str((await self._ask("POST", path, asked))["status"]["token"])

    async def watch(
        self, kind: str, version: str, *, namespace: str | None = None, **query: str
    ) -> AsyncGenerator[Change, None]:
        """The changes after a version, until the stream ends, be it in order or because the connection is lost."""
        path = KINDS[kind].path(namespace)
        asked = {"watch": "true", "resourceVersion": version, **query}
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._opened.get(self.url + path, params=asked, timeout=timeout) as response:
                if response.status >= 400:
                    raise _failure(response.status, await response.read())
                async for event in _events(response):
                    if event["type"] == "ERROR":
                        raise _failure(event["object"].get("code", 500), msgspec.json.encode(event["object"]))
                    if event["type"] != "BOOKMARK":
                        yield Change(event["type"], event["object"])
        except aiohttp.ClientError as error:
            raise _unreachable(error) from error

    async def follow(self, kind: str, *, namespace: str | None = None, **query: str) -> AsyncGenerator[Change, None]:
        """What there is (as ADDED), and then every change, for ever. A stream that ends is opened again."""
        listing = await self.list(kind, namespace=namespace, **query)
        for item in listing.items:
            yield Change("ADDED", item)
        async with contextlib.aclosing(self._endless_watch(kind, listing.version, namespace, query)) as changes:
            async for change in changes:
                yield change

    async def wait_for(
        self,
        kind: str,
        name: str,
        condition: Callable[[Json | None], bool],
        *,
        namespace: str | None = None,
        timeout: float = 20.0,
    ) -> Json | None:
        """The object once it is so; the condition is given None while there is none.

        Raises TimeoutError, with the object as it was last in its text.
        """
        last: Json | None = None
        query = {"fieldSelector": f"metadata.name={name}"}
        try:
            async with asyncio.timeout(timeout):
                listing = await self.list(kind, namespace=namespace, **query)
                last = next(iter(listing.items), None)
                if condition(last):
                    return last
                async with contextlib.aclosing(self._endless_watch(kind, listing.version, namespace, query)) as changes:
                    async for change in changes:
                        last = None if change.type == "DELETED" else change.object
                        if condition(last):
                            break
        except TimeoutError:
            found = msgspec.json.encode(last).decode()
            raise TimeoutError(f"{kind} {name} is not as expected after {timeout:g}s: {found}") from None
        return last

    async def _endless_watch(
        self, kind: str, version: str, namespace: str | None, query: Mapping[str, str]
    ) -> AsyncGenerator[Change, None]:
        while True:
            async with contextlib.aclosing(self.watch(kind, version, namespace=namespace, **query)) as changes:
                async for change in changes:
                    version = change.object["metadata"]["resourceVersion"]
                    yield change

    def _trust(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cadata=self._authority) if self._authority else True

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        return self._session

    async def _ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Json:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content_type}
        try:
            async with self._opened.request(
                method, self.url + path, params=query, data=data, headers=headers
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        if response.status >= 400:
            raise _failure(response.status, answer)
        return msgspec.json.decode(answer, type=Json)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    with contextlib.suppress(aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
        while line := await response.content.readline():
            yield msgspec.json.decode(line, type=Json)


def _failure(status: int, body: bytes) -> ApiFailure:
    try:
        answer = msgspec.json.decode(body, type=Json)
    except msgspec.DecodeError:
        answer = {}
    return ApiFailure(status, answer.get("reason", "Unknown"), answer.get("message", body.decode(errors="replace")))


def _unreachable(error: Exception) -> ApiFailure:
    return ApiFailure(0, "Unreachable", str(error) or type(error).__name__)
