"""What became of each request and each content in a history, and what of it should not have.

Each write is judged when it is made, calls and events soon after; `unrest` tells what has not come to rest. None of
the product's decisions is used here, so that it is not judged by itself.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from snapshotter import names
from snapshotter.testing.apiserver.store import Change, Resource
from snapshotter.testing.driver import Call
from tests.controller.shop import GROUPS, NAMESPACE, SINGLES, Sort
from tests.world import Object, World

FOREIGN: Final = "example.com/"
"""What the keys and finalizers begin with that are none of the programs' business."""
SORTS: Final = (SINGLES, GROUPS)
OUT_OF_TIME: Final = "Deadline Exceeded"
"""What gRPC says of a driver that is slow, be it only that the machine is."""
VOLUME: Final = "volume-of-"
"""What the handle of a claim's volume begins with."""


@dataclass
class Request:
    """A VolumeSnapshot or VolumeGroupSnapshot from its birth on, by its uid."""

    sort: Sort
    name: str
    uid: str
    group: str | None
    """The uid of the group that it is a member of."""
    told: str | None = None
    """The creation time that its users were told of."""
    troubled: bool = False
    """Whether its users may be warned: it met a fault, or a mistake was made with it."""
    spoiled: bool = False
    """Whether its content, or a member's, was deleted or taken away by hand."""
    gone: bool = False


@dataclass
class Life:
    """A content from its birth on, by its uid."""

    sort: Sort
    name: str
    uid: str
    ref_uid: str = ""
    policies: set[str] = field(default_factory=set)
    """All that it ever had."""
    handles: set[str] = field(default_factory=set)
    deleting: bool = False
    marked: bool = False
    lost: bool = False
    """Whether it was taken away by force: nobody can know what it stood for."""
    gone: bool = False

    def stands_for(self, handle: str, name: str) -> bool:
        """Whether what the driver has under this handle and name is, or was, this content's."""
        return handle in self.handles or (bool(self.ref_uid) and name == cut_name(self.sort, self.ref_uid))

    def __str__(self) -> str:
        return f"content {self.name}"


class Annals:
    """All lives, and the promises that were broken."""

    def __init__(self, world: World) -> None:
        self.requests: dict[str, Request] = {}
        self.contents: dict[str, Life] = {}
        self.broken: list[str] = []
        self.warned: dict[str, list[str]] = {}
        """What users were warned of, by the object's uid."""
        self._world = world
        self._troubled = False
        self._by_user = False
        self._seen = 0
        self._requests = {(sort.kind.api.split("/")[2], sort.plural): sort for sort in SORTS}
        self._contents = {(sort.kind.api.split("/")[2], sort.kind.plural): sort for sort in SORTS}
        world.server._store.listen(self._changed)

    @contextmanager
    def written_by_users(self) -> Iterator[None]:
        """What is written within is not the programs' doing. Nothing may wait within."""
        self._by_user = True
        try:
            yield
        finally:
            self._by_user = False

    def trouble(self) -> None:
        """Until the next rest users may be warned of whatever there is."""
        self._troubled = True
        for request in self.requests.values():
            request.troubled = request.troubled or not request.gone

    def trouble_with(self, uid: str) -> None:
        if uid in self.requests:
            self.requests[uid].troubled = True

    def spoil(self, uid: str) -> None:
        """A request's content is deleted or taken away; a group lives by its members, and they by it."""
        request = self.requests.get(uid)
        if request is None:
            return
        group = request.group or uid
        for each in self.requests.values():
            if each is request or group in (each.uid, each.group):
                each.spoiled = each.troubled = True

    def rest(self) -> None:
        """Everything is at rest, and the trouble over."""
        self._troubled = False

    # Writes.

    def _changed(self, resource: Resource, change: Change) -> None:
        new = change.new.fresh()
        old = None if change.old is None else change.old.fresh()
        if resource == ("", "events"):
            if change.type != "DELETED" and new["type"] == "Warning":
                self._judge_warning(new)
            return
        by_program = not self._by_user and not _in_housekeeping()
        if (sort := self._requests.get(resource)) is not None:
            self._request_changed(sort, new, gone=change.type == "DELETED")
        elif (sort := self._contents.get(resource)) is not None:
            self._content_changed(sort, new, made=old is None and by_program, gone=change.type == "DELETED")
        elif resource != ("", "persistentvolumeclaims"):
            return
        if old is not None and change.type != "DELETED" and by_program:
            lost = foreign(old) - foreign(new)
            if lost:
                self.broken.append(f"{new['kind']} {new['metadata']['name']}: others' {sorted(lost)} are lost")

    def _request_changed(self, sort: Sort, raw: Object, *, gone: bool) -> None:
        metadata = raw["metadata"]
        uid = metadata["uid"]
        if uid not in self.requests:
            owners = [owner["uid"] for owner in metadata.get("ownerReferences", [])]
            group = owners[0] if owners else None
            parent = self.requests.get(group or "")
            request = Request(sort, metadata["name"], uid, group)
            request.troubled = self._troubled or (parent is not None and parent.troubled)
            request.spoiled = parent is not None and parent.spoiled
            self.requests[uid] = request
        request = self.requests[uid]
        request.gone = gone
        told = raw.get("status", {}).get("creationTime")
        if request.told is not None and told != request.told:
            self.broken.append(f"{sort.id} {request.name}: was told {request.told} and then {told}")
        request.told = told

    def _content_changed(self, sort: Sort, raw: Object, *, made: bool, gone: bool) -> None:
        metadata, spec = raw["metadata"], raw["spec"]
        life = self.contents.setdefault(metadata["uid"], Life(sort, metadata["name"], metadata["uid"]))
        life.ref_uid = spec[sort.kind.ref].get("uid", "")
        if made:
            self._judge_new(life, raw)
        life.gone = gone
        life.policies.add(spec["deletionPolicy"])
        life.deleting = "deletionTimestamp" in metadata
        life.marked = sort.kind.being_deleted in metadata.get("annotations", {})
        # What is imported counts once the status tells of it: before that nobody has seen it on the storage.
        if handle := raw.get("status", {}).get(sort.kind.handle):
            life.handles.add(handle)

    def _judge_new(self, life: Life, raw: Object) -> None:
        """A content that a program has made: for a request, the only one, and of claims that are protected."""
        request = self.requests.get(life.ref_uid)
        if request is None or request.gone:
            self.broken.append(f"{life}: was made for nobody")
            return
        if [each for each in self.contents.values() if each.ref_uid == life.ref_uid and not each.gone] != [life]:
            self.broken.append(f"{life}: is not the only one of {request.name}")
        if request.group is not None:
            return
        if life.name != life.sort.content_prefix + request.uid:
            self.broken.append(f"{life}: has not the name that {request.uid} gives it")
        if request.told is not None:
            self.broken.append(f"{life}: a second cut for {request.name}, whose users rely on {request.told}")
        source = raw["spec"]["source"]
        for handle in source.get("volumeHandles") or [source["volumeHandle"]]:
            claim = self._world.server.get("persistentvolumeclaims", handle.removeprefix(VOLUME), NAMESPACE)
            if claim is None or names.CLAIM_FINALIZER not in claim["metadata"].get("finalizers", []):
                self.broken.append(f"{life}: was made while the claim of {handle} was not protected")

    def _judge_warning(self, event: Object) -> None:
        uid = event["involvedObject"]["uid"]
        text = f"{event['reason']}: {event['message']}"
        self.warned.setdefault(uid, []).append(text)
        life = self.contents.get(uid)
        request = self.requests.get(uid if life is None else life.ref_uid)
        if request is not None and not request.troubled and OUT_OF_TIME not in text:
            self.broken.append(f"{request.sort.id} {request.name}: met no trouble, and users were warned: {text}")

    # Calls.

    def look(self) -> None:
        """Judge the calls that the driver has seen since the last look."""
        calls = self._world.driver.calls
        for call in calls[self._seen :]:
            for sort in SORTS:
                if call.method == sort.kind.create:
                    self._judge_create(sort, call)
                elif call.method == sort.kind.delete:
                    self._judge_delete(sort, call)
        self._seen = len(calls)

    def _judge_create(self, sort: Sort, call: Call) -> None:
        name = call.request["name"]
        lives = [life for life in self.contents.values() if life.ref_uid and name == cut_name(sort, life.ref_uid)]
        if not lives:
            self.broken.append(f"{call.name}: {name} is nobody's")
        elif (request := self.requests.get(lives[0].ref_uid)) is None or request.group is not None:
            self.broken.append(f"{call.name}: {name} is not to be cut by itself")

    def _judge_delete(self, sort: Sort, call: Call) -> None:
        handle = call.request["snapshot_id" if sort is SINGLES else "group_snapshot_id"]
        lives = [life for life in self.contents.values() if life.sort is sort and handle in life.handles]
        if not any(life.deleting and life.marked and "Delete" in life.policies for life in lives):
            self.broken.append(f"{call.method} of {handle}, which was to be kept: {lives}")

    # Rest.

    def unrest(self) -> list[str]:
        """What is not as it should be when all trouble is over and there was time."""
        self.look()
        return [*self._unrest_of_requests(), *self._orphans(), *self._left_in_the_driver(), *self._held_claims()]

    def _unrest_of_requests(self) -> Iterator[str]:
        for sort in SORTS:
            for raw in self._world.server.list(sort.plural):
                request = self.requests[raw["metadata"]["uid"]]
                found = self._deletion(request, raw) if is_deleting(raw) else self._life(request, raw)
                if found is not None:
                    yield f"{sort.id} {request.name}: {found}; {raw.get('status')}"

    def _tells(self, request: Request, raw: Object) -> bool:
        return "error" in raw.get("status", {}) or request.uid in self.warned

    def _deletion(self, request: Request, raw: Object) -> str | None:
        """Why a request that is to go has neither gone nor says what it waits for."""
        if all(each.startswith(FOREIGN) for each in raw["metadata"]["finalizers"]) or self._tells(request, raw):
            return None
        family = {each.uid for each in self.requests.values() if each.group == request.uid} | {request.uid}
        family |= {request.group} if request.group is not None else set()
        if any(foreign_finalizers(each) for each in self._objects_of(family)):
            return None
        parent = self.requests.get(request.group or "")
        if parent is not None and not parent.gone:
            return None
        return "is to go, and nobody is told what it waits for"

    def _objects_of(self, uids: set[str]) -> Iterator[Object]:
        server = self._world.server
        for sort in SORTS:
            yield from (each for each in server.list(sort.plural) if each["metadata"]["uid"] in uids)
            yield from (
                each for each in server.list(sort.kind.plural) if each["spec"][sort.kind.ref].get("uid") in uids
            )

    def _life(self, request: Request, raw: Object) -> str | None:
        """Why a request that is to stay is neither ready nor tells why not."""
        status = raw.get("status", {})
        if status.get("readyToUse") is True:
            if "error" in status and not request.spoiled:
                return "is ready, with an error"
            return None if request.spoiled else self._hollow(request, raw)
        excuse = "spoiled" if request.spoiled else self._excuse(request.sort, raw)
        if excuse is None:
            return "is not ready, and nothing is in its way"
        parent = self.requests.get(request.group or "")
        if self._tells(request, raw) or parent is not None:
            return None
        return f"does not tell why it is not ready: {excuse}"

    def _hollow(self, request: Request, raw: Object) -> str | None:
        """Why what is ready could not be used."""
        sort, server = request.sort, self._world.server
        content = server.get(sort.kind.plural, raw["status"].get(sort.bound, ""))
        if content is None or content["spec"][sort.kind.ref].get("uid") != request.uid:
            return "is ready without a content of its own"
        handle = content.get("status", {}).get(sort.kind.handle)
        if handle not in (self._world.driver.snapshots if sort is SINGLES else self._world.driver.groups):
            return f"is ready, and the driver has no {handle}"
        if sort is GROUPS and imported_handle(sort, content) is None:
            members = [each for each in server.list("volumesnapshots") if request.uid in owners_of(each)]
            told = [each["spec"]["source"]["persistentVolumeClaimName"] for each in members]
            wanted = [each.removeprefix(VOLUME) for each in content["spec"]["source"]["volumeHandles"]]
            if sorted(told) != sorted(wanted):
                return f"is ready with the members {told} and not {wanted}"
        return None

    def _excuse(self, sort: Sort, raw: Object) -> str | None:
        """What is in the way of a request, as the objects are."""
        server, metadata, source = self._world.server, raw["metadata"], raw["spec"]["source"]
        owners = owners_of(raw)
        if owners:
            parent = self.requests[owners[0]]
            return "its group" if parent.gone or parent.spoiled else None
        imported = source.get("volumeSnapshotContentName") or source.get("volumeGroupSnapshotContentName")
        content = server.get(sort.kind.plural, imported or sort.content_prefix + metadata["uid"])
        if imported:
            return self._import_trouble(sort, raw, content)
        # The class is needed until it is ready: whether it is, a driver is asked by cutting anew.
        return self._class_trouble(sort, raw) or (self._claims_trouble(sort, raw) if content is None else None)

    def _import_trouble(self, sort: Sort, raw: Object, content: Object | None) -> str | None:
        if content is None or is_deleting(content):
            return "there is nothing to import"
        ref = content["spec"][sort.kind.ref]
        if ref["name"] != raw["metadata"]["name"] or ref.get("uid") not in (None, "", raw["metadata"]["uid"]):
            return "what is to be imported is another's"
        held = self._world.driver.snapshots if sort is SINGLES else self._world.driver.groups
        return None if imported_handle(sort, content) in held else "the driver has nothing to import"

    def _class_trouble(self, sort: Sort, raw: Object) -> str | None:
        plural = f"{sort.kind.snapshot_class.lower()}es"
        wanted = raw["spec"].get(sort.kind.class_name)
        if wanted is not None:
            return None if self._world.server.get(plural, wanted) is not None else "its class is missing"
        key = names.DEFAULT_CLASS if sort is SINGLES else names.DEFAULT_GROUP_CLASS
        found = [
            each
            for each in self._world.server.list(plural)
            if each["metadata"].get("annotations", {}).get(key) == "true"
        ]
        return None if len(found) == 1 else "there is not one default class"

    def _claims_trouble(self, sort: Sort, raw: Object) -> str | None:
        source = raw["spec"]["source"]
        claims = {each["metadata"]["name"]: each for each in self._world.server.list("persistentvolumeclaims")}
        if sort is SINGLES:
            chosen = [claims.get(source["persistentVolumeClaimName"])]
        else:
            wanted = source["selector"]["matchLabels"].items()
            chosen = [each for each in claims.values() if wanted <= each["metadata"].get("labels", {}).items()]
        if not chosen:
            return "no claim has its labels"
        for claim in chosen:
            if claim is None or is_deleting(claim) or claim.get("status", {}).get("phase") != "Bound":
                return "its claim is not there"
        return None

    def _orphans(self) -> Iterator[str]:
        for life in self.contents.values():
            request = self.requests.get(life.ref_uid)
            if life.gone or not life.ref_uid or "Retain" in life.policies or (request and not request.gone):
                continue
            raw = self._world.server.get(life.sort.kind.plural, life.name)
            if raw is not None and not foreign_finalizers(raw):
                yield f"{life}: its request is gone; {raw.get('status')}"

    def _left_in_the_driver(self) -> Iterator[str]:
        driver = self._world.driver
        for snapshot in driver.snapshots.values():
            if not snapshot.group_id:
                yield from self._left(SINGLES, snapshot.id, snapshot.name)
        for group in driver.groups.values():
            yield from self._left(GROUPS, group.id, group.name)

    def _left(self, sort: Sort, handle: str, name: str) -> Iterator[str]:
        lives = [life for life in self.contents.values() if life.sort is sort and life.stands_for(handle, name)]
        if not lives:
            if not name.startswith("by-hand"):
                yield f"the driver has {name}, of which no content has ever known"
        elif all(life.gone and not life.lost and "Retain" not in life.policies and life.ref_uid for life in lives):
            yield f"the driver has {name} ({handle}), whose content is gone"

    def _held_claims(self) -> Iterator[str]:
        server = self._world.server
        waiting = [raw for sort in SORTS for raw in server.list(sort.plural) if not is_ready(raw)]
        for claim in server.list("persistentvolumeclaims"):
            name = claim["metadata"]["name"]
            needed = any(raw["spec"]["source"].get("persistentVolumeClaimName", name) == name for raw in waiting)
            if names.CLAIM_FINALIZER in claim["metadata"].get("finalizers", []) and not needed:
                yield f"the claim {name} is protected for nobody"


def _in_housekeeping() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == "housekeeping"


def cut_name(sort: Sort, uid: str) -> str:
    """The name under which the driver cuts for a request."""
    return f"{sort.kind.snapshot.removeprefix('Volume').lower()}-{uid}"


def imported_handle(sort: Sort, content: Object) -> str | None:
    source = content["spec"]["source"]
    handle: str | None = source.get("snapshotHandle") or source.get("groupSnapshotHandles", {}).get(sort.kind.handle)
    return handle


def owners_of(raw: Object) -> list[str]:
    return [owner["uid"] for owner in raw["metadata"].get("ownerReferences", [])]


def is_deleting(raw: Object) -> bool:
    return "deletionTimestamp" in raw["metadata"]


def is_ready(raw: Object) -> bool:
    return raw.get("status", {}).get("readyToUse") is True


def foreign_finalizers(raw: Object) -> list[str]:
    return [each for each in raw["metadata"].get("finalizers", []) if each.startswith(FOREIGN)]


def foreign(raw: Object) -> set[str]:
    """All in an object's metadata that is not the programs' to change."""
    metadata = raw["metadata"]
    found = {
        f"{what} {key}={value}"
        for what in ("annotations", "labels")
        for key, value in metadata.get(what, {}).items()
        if key.startswith(FOREIGN)
    }
    return found | {f"finalizer {each}" for each in foreign_finalizers(raw)}
