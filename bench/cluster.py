"""The API server of a measurement: the real one, or in the short form the stand-in."""

import asyncio
import base64
import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bench.client import MERGE_PATCH, Address, Refused, Wire, in_parallel, wired
from bench.driver import NAME
from bench.objects import KINDS, Json, Kind, content, snapshot_class, status
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.apiserver.requests import place_of
from tests.kubernetes.server import Kube

PUTS_AT_ONCE = 100
"""Objects that one transaction of etcd takes; it takes 128 operations at most."""

COUNTED = {"events", "secrets", *(kind.plural for kind in KINDS)}
"""The resources that a program asks about for a content."""
VERBS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True)
class Form:
    """What contents are like that are there before a program begins."""

    kind: Kind
    driver: str = NAME
    ready: bool = False
    deleted: bool = False
    """Somebody has asked for the deletion, and it may be carried out."""


class Cluster(Protocol):
    """An API server that has the snapshot kinds."""

    address: Address

    async def requests(self) -> Counter[str]:
        """Requests so far for objects that contents need, by verb: no lists, no watches."""
        ...

    async def fill(self, form: Form, names: Sequence[str]) -> None:
        """Have contents of these names."""
        ...

    async def empty(self) -> None:
        """Remove all contents, and what programs leave behind."""
        ...


async def make(wire: Wire, form: Form, name: str) -> None:
    """Make one content as clients do."""
    kind, path = form.kind, f"{form.kind.path}/{name}"
    await wire.ask("POST", kind.path, content(kind, name, form.driver))
    if form.ready:
        await wire.ask("PATCH", f"{path}/status", {"status": status(name)}, MERGE_PATCH)
    if form.deleted:
        mark = {"metadata": {"annotations": {kind.being_deleted: "yes"}}}
        await wire.ask("PATCH", path, mark, MERGE_PATCH)
        await wire.ask("DELETE", path)


async def make_classes(address: Address) -> None:
    async with wired(address) as wire:
        for kind in KINDS:
            await wire.ask("POST", kind.class_path, snapshot_class(kind))


class RealCluster:
    """A kube-apiserver with its etcd, in which objects are put and removed past the API: in seconds, not minutes."""

    def __init__(self, kube: Kube) -> None:
        url = urlsplit(kube.url)
        authority = kube.authority.read_text()
        self._kube = kube
        self.address = Address(url.hostname or "", url.port or 443, kube.token, authority, kube.kubeconfig())

    async def requests(self) -> Counter[str]:
        async with self._kube.session() as session, session.get("/metrics", raise_for_status=True) as answer:
            text = await answer.text()
        counts: Counter[str] = Counter()
        for labels, value in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
            fields = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if fields["resource"] in COUNTED and fields["verb"] in VERBS:
                counts[fields["verb"]] += int(float(value))
        return counts

    async def fill(self, form: Form, names: Sequence[str]) -> None:
        first, path = names[0], f"{form.kind.path}/{names[0]}"
        async with wired(self.address) as wire:
            await make(wire, form, first)
            template = msgspec.json.decode(await wire.ask("GET", path), type=Json)
        objects = _like(template, names[1:])
        async with aiohttp.ClientSession(self._kube.etcd_url) as etcd:
            while batch := list(islice(objects, PUTS_AT_ONCE)):
                puts = [
                    {"requestPut": {"key": _encoded(_key(form.kind, name)), "value": _encoded(value)}}
                    for name, value in batch
                ]
                await _ask(etcd, "/v3/kv/txn", {"success": puts})

    async def empty(self) -> None:
        async with aiohttp.ClientSession(self._kube.etcd_url) as etcd:
            for prefix in (*(_key(kind, "") for kind in KINDS), b"/registry/events/", b"/registry/leases/default/"):
                beyond = prefix[:-1] + b"0"  # the character after the slash: behind all that begins with the prefix
                await _ask(etcd, "/v3/kv/deleterange", {"key": _encoded(prefix), "range_end": _encoded(beyond)})
        # The API server learns of it by and by.
        async with wired(self.address) as wire:
            for kind in KINDS:
                while await _has_some(wire, kind):  # noqa: ASYNC110 - it does not tell, it has to be asked
                    await asyncio.sleep(0.2)


class StandIn:
    """The stand-in, in this process: for the short form, which shows that the measurements can be taken."""

    def __init__(self, server: ApiServer) -> None:
        url = urlsplit(server.url)
        self._server = server
        self.address = Address(url.hostname or "", url.port or 80, "", "", server.kubeconfig())

    async def requests(self) -> Counter[str]:
        places = ((record.verb.upper(), place_of(record.path)) for record in self._server.requests)
        return Counter(verb for verb, place in places if place and place.plural in COUNTED and verb in VERBS)

    async def fill(self, form: Form, names: Sequence[str]) -> None:
        await in_parallel(self.address, len(names), 4, lambda wire, number: make(wire, form, names[number]))

    async def empty(self) -> None:
        for kind in KINDS:
            for item in self._server.list(kind.plural):
                await self._remove(kind, item["metadata"]["name"])

    async def _remove(self, kind: Kind, name: str) -> None:
        path = f"{kind.path}/{name}"
        async with wired(self.address) as wire:
            await wire.ask("PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
            with contextlib.suppress(Refused):  # it went with its last finalizer
                await wire.ask("DELETE", path)


def _like(template: Json, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Contents like one that the API server has made, as they are stored."""
    name = template["metadata"]["name"]
    metadata = {key: value for key, value in template["metadata"].items() if key != "resourceVersion"}
    for number, other in enumerate(names):
        own = metadata | {"uid": f"00000000-0000-4000-9000-{number:012d}"}
        yield other, msgspec.json.encode(template | {"metadata": own}).replace(name.encode(), other.encode())


def _key(kind: Kind, name: str) -> bytes:
    return f"/registry/{kind.group}/{kind.plural}/{name}".encode()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _ask(etcd: aiohttp.ClientSession, path: str, body: Json) -> None:
    async with etcd.post(path, json=body, raise_for_status=True) as answer:
        await answer.read()


async def _has_some(wire: Wire, kind: Kind) -> bool:
    listing = msgspec.json.decode(await wire.ask("GET", f"{kind.path}?resourceVersion=0&limit=1"), type=Json)
    return bool(listing["items"])
