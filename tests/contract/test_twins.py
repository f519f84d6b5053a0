"""Random requests are answered alike by the stand-in and by a real API server.

This is where a difference shows that nobody has thought of; it then gets a row in one of the other modules.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.client import Answer, Client, Json, Server
from tests.contract.objects import collection_of, content, group_content, in_version, new_name, path_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SOMEBODY_ELSE = "00000000-0000-0000-0000-000000000000"
# What stands in a request for the object's own uid, its version, and the version before that.
UID, VERSION, OLD = "<uid>", "<version>", "<old>"
# What stands for a driver that no other object has.
DRIVER = "<driver>"

Event = tuple[str, Json]
"""What a watch tells: the kind of event, and the object."""


@dataclass(frozen=True, slots=True)
class Request:
    """A write to one object; `body` has placeholders for what only the server knows."""

    kind: str
    body: Any = None
    version: str = "v1"
    """The version of the API that it is sent to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the two servers must agree on."""

    status: int
    reason: str
    blamed: frozenset[str]
    warnings: tuple[str, ...]
    moved: bool
    """Whether the object has another version than before."""
    found: Json | None
    """The object afterwards, without what differs from server to server."""


@dataclass(slots=True)
class Twin:
    """One of the servers, with what is known of one object on it."""

    client: Client
    make: Callable[..., Json]
    """The factory of the kind of object."""
    name: str
    uids: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=lambda: ["1", "1"])

    def path(self, version: str = "v1") -> str:
        return path_of(in_version(self.make(name=self.name), version))

    @property
    def collection(self) -> str:
        return collection_of(self.make())

    async def play(self, request: Request) -> Outcome:
        """Send the request, then look what has become of the object."""
        answer = await self._send(request, self._filled(request.body))
        after = await self.client.get(self.path())
        found = self._comparable(after.body) if after.status == 200 else None
        version = after.body["metadata"]["resourceVersion"] if after.status == 200 else "1"
        moved = version != self.versions[-1]
        if moved:
            self.versions.append(version)
        blamed = frozenset(answer.causes)
        return Outcome(answer.status, answer.reason, blamed, tuple(sorted(answer.warnings)), moved, found)

    async def _send(self, request: Request, body: Any) -> Answer:
        path = self.path(request.version)
        match request.kind:
            case "create":
                made = in_version(body | {"metadata": body["metadata"] | {"name": self.name}}, request.version)
                return await self.client.create(collection_of(made), made)
            case "merge":
                return await self.client.merge(path, body)
            case "merge the status":
                return await self.client.merge(f"{path}/status", body)
            case "JSON patch":
                return await self.client.json_patch(path, *body)
            case "JSON patch the status":
                return await self.client.json_patch(f"{path}/status", *body)
            case _:
                return await self.client.delete(path, body)

    def _filled(self, body: Any) -> Any:
        """The body with the placeholders replaced."""
        values = {
            DRIVER: self.name,
            UID: self.uids[-1] if self.uids else SOMEBODY_ELSE,
            VERSION: self.versions[-1],
            OLD: self.versions[-2],
        }
        text = json.dumps(body)
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return json.loads(text)

    async def events(self, version: str) -> list[Event]:
        """What has happened to the objects of the driver since a version: kind of event, and object."""
        last = self.make(driver=self.name)
        (await self.client.create(self.collection, last)).ok()
        told: list[Event] = []
        selector = f"spec.driver={self.name}"
        async with self.client.watch(self.collection, resourceVersion=version, fieldSelector=selector) as watch:
            while (event := await watch.next()) and event["object"]["metadata"]["name"] == self.name:
                told.append((event["type"], self._comparable(event["object"])))
        return told

    def _comparable(self, found: Json) -> Json:
        metadata = dict(found["metadata"])
        for volatile in ("resourceVersion", "managedFields", "creationTimestamp"):
            metadata.pop(volatile, None)
        if metadata["uid"] not in self.uids:
            self.uids.append(metadata["uid"])
        metadata["uid"] = self.uids.index(metadata["uid"])
        if "deletionTimestamp" in metadata:
            metadata["deletionTimestamp"] = True
        return found | {"metadata": metadata}


texts = st.sampled_from(["", "1", "2"])
keys = st.sampled_from(["x", "y/z"])
finalizers = st.lists(st.sampled_from(["a/b", "c/d", "e/f"]), max_size=3)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object that has any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


metadata = some(
    annotations=st.none() | st.dictionaries(keys, st.none() | texts, max_size=2),
    labels=st.none() | st.dictionaries(keys, st.none() | texts, max_size=2),
    finalizers=st.none() | finalizers,
    uid=st.sampled_from([UID, UID, SOMEBODY_ELSE, None]),
    resourceVersion=st.sampled_from([VERSION, VERSION, VERSION, OLD]),
)
spec = some(
    driver=st.sampled_from([DRIVER, DRIVER, "other", "", None]),
    deletionPolicy=st.sampled_from(["Delete", "Retain", "Forget", None]),
    source=some(volumeHandle=st.sampled_from(["vol-1", "vol-2", None]), snapshotHandle=st.just("snap-1")),
    sourceVolumeMode=st.sampled_from(["Block", "Filesystem", None]),
    volumeSnapshotRef=some(name=st.sampled_from(["snap", None]), uid=st.sampled_from(["1", "2", None])),
    invented=st.just(1),
)
status = some(
    readyToUse=st.sampled_from([True, False, None]),
    restoreSize=st.sampled_from([0, 5, -1, None]),
    snapshotHandle=st.none() | texts,
    creationTime=st.sampled_from([-1, 10**18, None]),
    error=st.none() | some(message=st.none() | texts, time=st.sampled_from(["2024-01-01T00:00:00Z", "soon"])),
    invented=st.just({}),
)
annotation_paths = st.sampled_from(["/metadata/annotations/x", "/metadata/annotations/y~1z"])
item_paths = st.sampled_from(["/metadata/finalizers/-", "/metadata/finalizers/0"])


def places(status: st.SearchStrategy[Json]) -> st.SearchStrategy[tuple[str, object]]:
    """Places that a JSON patch may go to, with values that fit there."""
    return st.one_of(
        st.tuples(st.just("/metadata/finalizers"), st.none() | finalizers),
        st.tuples(item_paths, st.just("a/b")),
        st.tuples(st.just("/metadata/uid"), st.sampled_from([UID, UID, SOMEBODY_ELSE])),
        st.tuples(st.just("/metadata/resourceVersion"), st.sampled_from([VERSION, VERSION, OLD])),
        st.tuples(annotation_paths, texts),
        st.tuples(st.just("/status"), status),
        st.tuples(st.just("/status/readyToUse"), st.booleans()),
        st.tuples(st.just("/spec/driver"), st.sampled_from([DRIVER, "other"])),
    )


def step(op: str, place: tuple[str, object]) -> Json:
    path, value = place
    return {"op": op, "path": path} | ({} if op == "remove" else {"value": value})


def steps(status: st.SearchStrategy[Json]) -> st.SearchStrategy[list[Json]]:
    ops = st.sampled_from(["test", "test", "add", "replace", "remove"])
    return st.lists(st.builds(step, ops, places(status)), max_size=3)


preconditions = some(uid=st.sampled_from([UID, SOMEBODY_ELSE]), resourceVersion=st.sampled_from([VERSION, OLD]))
deletion = st.none() | st.builds(lambda given: {"preconditions": given}, preconditions)

GROUP_VERSIONS = ("v1", "v1beta2", "v1beta1")
handles = st.sampled_from([["vol-1", "vol-2"], ["vol-1"], [], None])
group_spec = some(
    driver=st.sampled_from([DRIVER, DRIVER, "other", "", None]),
    deletionPolicy=st.sampled_from(["Delete", "Retain", "Forget", None]),
    source=some(
        volumeHandles=handles,
        groupSnapshotHandles=some(volumeGroupSnapshotHandle=texts, volumeSnapshotHandles=handles) | st.none(),
    ),
    volumeGroupSnapshotClassName=st.none() | texts,
    volumeGroupSnapshotRef=some(
        name=st.sampled_from(["group", "other", None]),
        uid=st.sampled_from(["1", "2", None]),
        kind=st.sampled_from(["VolumeGroupSnapshot", None]),
    ),
    invented=st.just(1),
)
member = some(
    volumeHandle=texts,
    snapshotHandle=texts,
    readyToUse=st.booleans(),
    creationTime=st.sampled_from([-1, 10**18, "soon"]),
    restoreSize=st.sampled_from([0, -1, None]),
    invented=st.just(1),
)
group_status = some(
    readyToUse=st.sampled_from([True, False, None]),
    volumeGroupSnapshotHandle=st.none() | texts,
    creationTime=st.sampled_from(["2024-01-01T00:00:00Z", "soon", None]),
    volumeSnapshotInfoList=st.none() | st.lists(member, max_size=2),
    volumeSnapshotHandlePairList=st.none() | st.lists(some(volumeHandle=texts, snapshotHandle=texts), max_size=2),
    error=st.none() | some(message=st.none() | texts),
)


def histories(
    make: Callable[..., Json], spec: st.SearchStrategy[Json], status: st.SearchStrategy[Json], *versions: str
) -> st.SearchStrategy[list[Request]]:
    """Requests about one object of a kind, to any of the versions; the first creates it."""
    version = st.sampled_from(versions)

    def creation(given_metadata: Json, given_spec: Json) -> Json:
        fields: Json = {"driver": DRIVER} | given_spec
        return make(**fields) | {"metadata": given_metadata}

    born_with = some(finalizers=finalizers, annotations=st.dictionaries(keys, texts))
    merges = some(metadata=metadata, spec=spec, status=status)
    requests = st.one_of(
        st.builds(Request, st.just("create"), st.builds(creation, born_with, spec), version),
        st.builds(Request, st.sampled_from(["merge", "merge the status"]), merges, version),
        st.builds(Request, st.sampled_from(["JSON patch", "JSON patch the status"]), steps(status), version),
        st.builds(Request, st.just("delete"), deletion, version),
    )
    first = st.builds(Request, st.just("create"), st.just(creation({}, {})), version)
    return st.builds(lambda one, more: [one, *more], first, st.lists(requests, max_size=12))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def twins(server: Server, api: Client) -> AsyncIterator[tuple[Client, Client]]:
    """A real server and the stand-in."""
    if not server.real:
        pytest.skip("there is no real API server to compare with")
    apiserver = pytest.importorskip("snapshotter.testing.apiserver")
    async with apiserver.ApiServer.serve() as standin, aiohttp.ClientSession(standin.url) as session:
        yield api, Client(session)


async def check_alike(
    twins: tuple[Client, Client],
    make: Callable[..., Json],
    history: list[Request],
    comparable: Callable[[Outcome], Outcome] = lambda outcome: outcome,
) -> tuple[list[Event], list[Event]]:
    """Send the requests to both servers and compare the outcomes; the events that each then tells."""
    name = new_name("twin")
    real, standin = (Twin(client, make, name) for client in twins)
    versions = [
        (await each.client.get(each.collection)).ok()["metadata"]["resourceVersion"] for each in (real, standin)
    ]
    for request in history:
        expected, found = await asyncio.gather(real.play(request), standin.play(request))
        assert comparable(found) == comparable(expected), request
    return await asyncio.gather(real.events(versions[0]), standin.events(versions[1]))


@MANY
@given(history=histories(content, spec, status, "v1"))
async def test_both_servers_answer_and_tell_alike(twins: tuple[Client, Client], history: list[Request]) -> None:
    expected, found = await check_alike(twins, content, history)
    assert found == expected


def worth_telling(events: list[Event]) -> list[Event]:
    """The events without those of an object that stays as it was."""
    first = events[:1]
    return first + [event for before, event in itertools.pairwise(events) if event != ("MODIFIED", before[1])]


def whether_moved_or_not(outcome: Outcome) -> Outcome:
    return replace(outcome, moved=False)


@MANY
@given(history=histories(group_content, group_spec, group_status, *GROUP_VERSIONS))
async def test_both_servers_answer_and_tell_alike_of_groups_in_all_versions(
    twins: tuple[Client, Client], history: list[Request]
) -> None:
    # Where versions mix, a real server may write only to note another manager of a field. The stand-in knows no
    # managers, so writes that do nothing else are left out.
    expected, found = await check_alike(twins, group_content, history, whether_moved_or_not)
    assert worth_telling(found) == worth_telling(expected)
