"""The real API server with the face of the stand-in, so that tests of `tests.world` can be about either.

What tests ask the stand-in without waiting (`get`, `list`, `requests`) is answered from watches and from the audit log.
Faults are made on the way of the programs to the server (`gate.py`). What else a real server does not do to order, such
as other definitions, passes the test over: only the stand-in shows it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import aiohttp
import msgspec
import pytest

from tests.contract.client import Client, Json
from tests.kubernetes import audit
from tests.kubernetes.cluster import CONTROLLER, SIDECAR, allow, token_for
from tests.kubernetes.gate import Gate, gate_to
from tests.kubernetes.server import Kube
from tests.manifests.rendering import kustomize, rendered

INSTALLED: Final = ("overlays/csi-snapshotter-secrets", "overlays/snapshot-controller-distributed")
"""The kustomizations whose accounts and roles count: those with the most rights, as the tests have every feature."""

CORE: Final = "/api/v1"
SINGLES: Final = "/apis/snapshot.storage.k8s.io/v1"
GROUPS: Final = "/apis/groupsnapshot.storage.k8s.io/v1"
KINDS: Final = {
    "volumesnapshots": SINGLES,
    "volumegroupsnapshots": GROUPS,
    "volumesnapshotcontents": SINGLES,
    "volumegroupsnapshotcontents": GROUPS,
    "volumesnapshotclasses": SINGLES,
    "volumegroupsnapshotclasses": GROUPS,
    "persistentvolumeclaims": CORE,
    "persistentvolumes": CORE,
    "events": CORE,
    "secrets": CORE,
    "nodes": CORE,
    "leases": "/apis/coordination.k8s.io/v1",
}
"""What tests make and look at, and where it is served."""
NAMESPACED: Final = {"volumesnapshots", "volumegroupsnapshots", "persistentvolumeclaims", "events", "secrets", "leases"}
VERBS: Final = {
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
}
CLEAN_SECONDS: Final = 60.0

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Record:
    """A request of one of our programs, as the stand-in would have noted it."""

    verb: str
    path: str
    query: dict[str, str]
    user_agent: str
    status: int
    body: Any


class Mirror:
    """What tests see of the real API server."""

    def __init__(self, kube: Kube, gate: Gate, tokens: dict[tuple[str, str], str]) -> None:
        self.url = kube.url
        self.admin_token = kube.token
        self.faults = gate.faults
        """Of what the programs ask for."""
        self._kube = kube
        self._gate = gate
        self._tokens = tokens
        self._objects: dict[str, dict[Key, Json]] = {plural: {} for plural in KINDS}
        self._versions: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._listeners: list[Callable[[], None]] = []
        self._records: list[Record] = []
        self._audited = kube.audit_log.stat().st_size

    def __getattr__(self, name: str) -> NoReturn:
        pytest.skip(f"only the stand-in does this to order: {name}")

    @property
    def requests(self) -> list[Record]:
        """What our programs have asked for since the last look, after what was there then.

        A request is noted before it is answered to the end, so whoever has the answer finds the request here.
        """
        with self._kube.audit_log.open("rb") as log:
            log.seek(self._audited)
            for line in log:
                self._audited += len(line)
                told = msgspec.json.decode(line)
                if not audit.is_end_of_watch(told):
                    self._records.append(_record(told))
        return self._records

    def get(self, plural: str, name: str, namespace: str = "") -> Json | None:
        found = self._objects[plural].get((namespace, name))
        return None if found is None else msgspec.json.decode(msgspec.json.encode(found))

    def list(self, plural: str, namespace: str | None = None) -> list[Json]:
        return [
            msgspec.json.decode(msgspec.json.encode(each))
            for (place, _), each in sorted(self._objects[plural].items())
            if namespace in {None, place}
        ]

    def kubeconfig_of(self, account: tuple[str, str]) -> str:
        """That of a program: it leads through the gate."""
        return self._gate.proxy.kubeconfig(self._tokens[account])

    @property
    def way(self) -> str:
        """Where the programs reach the server."""
        return self._gate.proxy.url

    def cut_watches(self) -> None:
        """Those of the programs."""
        self._gate.proxy.cut_watches()

    def mute_watches(self) -> None:
        self._gate.proxy.mute_watches()

    def listen(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    # How it comes to know.

    @staticmethod
    def check(path: str) -> None:
        """Pass the test over that would change what all tests on the server share."""
        if "customresourcedefinitions" in path:
            pytest.skip("only the stand-in has definitions for each test")

    def note(self, method: str, path: str, answer: Json) -> None:
        """Know at once what a test has just written."""
        *_, plural, name = path.removesuffix("/status").split("/")
        if method == "POST":
            plural, name = name, answer["metadata"]["name"]
        if plural not in KINDS:
            return
        if answer["kind"] == "Status":
            for key in [key for key in self._objects[plural] if key[1] == name]:
                del self._objects[plural][key]
            self._changed()
        elif _version(answer) > self._versions[plural]:
            # Else the watch has told of it already, and perhaps of the end of the object as well.
            self._put(plural, answer)

    def _put(self, plural: str, given: Json) -> None:
        key = (given["metadata"].get("namespace", ""), given["metadata"]["name"])
        known = self._objects[plural].get(key)
        if known is None or _version(known) < _version(given):
            self._objects[plural][key] = given
            self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    async def refresh(self, api: Client) -> None:
        """Know everything that there is by now."""
        for plural, place in KINDS.items():
            listed = (await api.get(f"{place}/{plural}")).ok()
            version = int(listed["metadata"]["resourceVersion"])
            if version >= self._versions[plural]:
                self._objects[plural] = {
                    (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in listed["items"]
                }
                self._versions[plural] = version
                self._changed()

    async def follow(self, session: aiohttp.ClientSession, plural: str) -> None:
        """Know of every change of a kind, from what is known on."""
        query = {"watch": "true", "resourceVersion": str(self._versions[plural])}
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(f"{KINDS[plural]}/{plural}", params=query, timeout=timeout) as stream:
            async for line in stream.content:
                event = msgspec.json.decode(line)
                changed = event["object"]
                version = int(changed["metadata"]["resourceVersion"])
                if version <= self._versions[plural]:
                    continue
                self._versions[plural] = version
                if event["type"] == "DELETED":
                    key = (changed["metadata"].get("namespace", ""), changed["metadata"]["name"])
                    self._objects[plural].pop(key, None)
                    self._changed()
                else:
                    self._put(plural, changed)


def _version(given: Json) -> int:
    return int(given["metadata"]["resourceVersion"])


def _record(line: Json) -> Record:
    path, _, query = line["requestURI"].partition("?")
    return Record(
        verb=VERBS[line["verb"]],
        path=path,
        query=dict(part.split("=", 1) for part in query.split("&") if "=" in part),
        user_agent=line.get("userAgent", ""),
        status=line.get("responseStatus", {}).get("code", 0),
        body=line.get("requestObject"),
    )


@contextlib.asynccontextmanager
async def mirrored(kube: Kube) -> AsyncIterator[Mirror]:
    """A server with nothing of what tests make, where the programs have the rights that the manifests give."""
    if kustomize() is None:
        pytest.skip("there is neither a kubectl with kustomize 5 nor kustomize on the path")
    async with kube.session() as session, gate_to(kube) as gate, asyncio.TaskGroup() as tasks:
        api = Client(session)
        for overlay in INSTALLED:
            await allow(api, rendered(overlay))
        await _clean(api)
        made = Mirror(kube, gate, {account: await token_for(api, account) for account in (SIDECAR, CONTROLLER)})
        await made.refresh(api)
        watches = [tasks.create_task(made.follow(session, plural), name=f"mirror of {plural}") for plural in KINDS]
        try:
            yield made
        finally:
            for watch in watches:
                watch.cancel()
        await _clean(api)


async def _clean(api: Client) -> None:
    """Take away all that tests make, whatever holds it."""
    async with asyncio.timeout(CLEAN_SECONDS):
        for plural, place in KINDS.items():
            while left := [each for each in (await api.get(f"{place}/{plural}")).ok()["items"] if _is_of_a_test(each)]:
                for given in left:
                    path = _path(plural, given)
                    if given["metadata"].get("finalizers"):
                        await api.merge(path, {"metadata": {"finalizers": None}})
                    await api.delete(path)


def _is_of_a_test(given: Json) -> bool:
    return not given["metadata"]["name"].startswith("apiserver-")


def _path(plural: str, given: Json) -> str:
    namespace = f"/namespaces/{given['metadata']['namespace']}" if plural in NAMESPACED else ""
    return f"{KINDS[plural]}{namespace}/{plural}/{given['metadata']['name']}"
