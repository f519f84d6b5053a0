"""What became of each request and each content in a history, and what of it should not have.

Each write is judged when it is made, calls and events soon after; `unrest` tells what has not come to rest. None of
the product's decisions is used here, so that it is not judged by itself.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from snapshotter import names
from snapshotter.testing.apiserver.requests import Record, place_of
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
    source: Object
    group: str | None = None
    """The uid of the group that it is a member of."""
    told: str | None = None
    """The creation time that its users were told of."""
    troubled: bool = False
    """Whether its users may be warned: it met a fault, or a mistake was made with it."""
    spoiled: bool = False
    """Whether its content, or a member's, was deleted or taken away by hand."""
    error: str | None = None
    """What its status tells of."""
    deleting: bool = False
    gone: bool = False


Concerns = Callable[[Request], bool]
"""Whom some trouble concerns."""


@dataclass
class Life:
    """A content from its birth on, by its uid."""

    sort: Sort
    name: str
    uid: str
    ref_uid: str = ""
    to_cut: frozenset[str] = frozenset()
    """The handles of the volumes that it is made from."""
    imported: str | None = None
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
        self.blocked: set[str] = set()
        """The uids of objects whose users were told what a deletion waits for."""
        self.changes: list[str] = []
        """What became of the objects, each with its time, for people."""
        self._world = world
        self._troubles: list[Concerns] = []
        self._alarms: list[tuple[str, str]] = []
        """What users were alarmed with, and the uid of what it was about; not judged yet."""
        self._by_user = False
        self._seen = 0
        self._open: list[Call] = []
        self._abandoned: set[str] = set()
        """The names of cuts that the driver was at when the sidecar ended: a deletion may have overtaken them."""
        self._groups_of: dict[str, str] = {}
        """The handles of groups in the driver, by their members' handles."""
        self.groups_come_and_go = False
        """Whether groups were not served at some time since the last rest."""
        self._answered = 0
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

    def trouble(self, concerns: Concerns = lambda _: True) -> None:
        """Until the next rest users of the requests that it concerns may be warned."""
        self._troubles.append(concerns)
        for request in list(self.requests.values()):
            if not request.gone and concerns(request):
                self.trouble_with(request.uid)

    def trouble_with(self, uid: str) -> None:
        """Users of a request, or of others in its group, may be warned."""
        for each in self._family(uid):
            each.troubled = True

    def _family(self, uid: str) -> Iterator[Request]:
        """A request, and all that are in one group with it."""
        request = self.requests.get(uid)
        if request is not None:
            group = request.group or uid
            yield from (each for each in self.requests.values() if group in (each.uid, each.group))

    def spoil(self, content: Object) -> None:
        """A content is deleted or taken away; a group lives by its members, and they by it."""
        for request in list(self.requests.values()):
            imported = request.source.get(
                "volumeSnapshotContentName", request.source.get("volumeGroupSnapshotContentName")
            )
            kind = request.sort.kind
            if kind.content == content["kind"] and (
                imported == content["metadata"]["name"] or content["spec"][kind.ref].get("uid") == request.uid
            ):
                self.spoil_with(request.uid)

    def spoil_with(self, uid: str) -> None:
        for each in self._family(uid):
            each.spoiled = each.troubled = True

    def sidecar_ends(self) -> None:
        """The next sidecar knows nothing of the calls of this one that the driver is still at."""
        self._abandoned.update(name for _, name in self._world.driver._gate._under_way)

    def rest(self) -> None:
        """Everything is at rest, and the trouble over."""
        self._troubles.clear()
        self.groups_come_and_go = False
        for sort in SORTS:
            for raw in self._world.server.list(sort.plural):
                request = self.requests[raw["metadata"]["uid"]]
                if is_ready(raw) and not is_deleting(raw) and not request.spoiled:
                    request.troubled = False

    # Writes.

    def _changed(self, resource: Resource, change: Change) -> None:
        new = change.new.fresh()
        old = None if change.old is None else change.old.fresh()
        if resource == ("", "events"):
            if change.type != "DELETED":
                self._told(new)
            return
        by_program = not self._by_user and not _in_housekeeping()
        self.changes.append(
            f"{time.monotonic():.3f}   {'program' if by_program else 'others'}: {line_of(change.type, new)}"
        )
        if (sort := self._requests.get(resource)) is not None:
            self._request_changed(sort, new, gone=change.type == "DELETED")
            request = self.requests[new["metadata"]["uid"]]
            if by_program and request.gone:
                self._judge_end(request)
            elif by_program and is_ready(new) and not (old is not None and is_ready(old)):
                self._judge_readiness(request, new)
        elif (sort := self._contents.get(resource)) is not None:
            self._content_changed(sort, new, made=old is None and by_program, gone=change.type == "DELETED")
            if by_program and old is not None and is_deleting(new) and not is_deleting(old):
                self._judge_deletion(new["metadata"]["uid"])
        elif resource != ("", "persistentvolumeclaims"):
            return
        elif by_program and old is not None and is_protected(old) and not is_protected(new):
            self._judge_letting_go(new["metadata"]["name"])
        if old is not None and change.type != "DELETED" and by_program:
            lost = foreign(old) - foreign(new)
            if lost:
                self.broken.append(f"{new['kind']} {new['metadata']['name']}: others' {sorted(lost)} are lost")

    def _request_changed(self, sort: Sort, raw: Object, *, gone: bool) -> None:
        metadata = raw["metadata"]
        uid = metadata["uid"]
        if uid not in self.requests:
            request = self.requests[uid] = Request(sort, metadata["name"], uid, raw["spec"]["source"])
            request.troubled = any(concerns(request) for concerns in self._troubles)
        request = self.requests[uid]
        request.gone = gone
        request.deleting = "deletionTimestamp" in metadata
        if request.group is None and owners_of(raw):
            request.group = owners_of(raw)[0]
            family = list(self._family(uid))
            request.troubled = request.troubled or any(each.troubled for each in family)
            request.spoiled = request.spoiled or any(each.spoiled for each in family)
        error = raw.get("status", {}).get("error", {}).get("message")
        if error is not None and error != request.error:
            self._alarms.append((uid, f"status: {error}"))
        request.error = error
        told = raw.get("status", {}).get("creationTime")
        if request.told is not None and told != request.told:
            self.broken.append(f"{sort.id} {request.name}: was told {request.told} and then {told}")
        request.told = told

    def _content_changed(self, sort: Sort, raw: Object, *, made: bool, gone: bool) -> None:
        metadata, spec = raw["metadata"], raw["spec"]
        life = self.contents.setdefault(metadata["uid"], Life(sort, metadata["name"], metadata["uid"]))
        life.ref_uid = spec[sort.kind.ref].get("uid", "")
        source = spec["source"]
        life.to_cut = frozenset(each for each in source.get("volumeHandles") or [source.get("volumeHandle")] if each)
        life.imported = imported_handle(sort, raw)
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

    def _judge_end(self, request: Request) -> None:
        """A request stays until its content is gone, if that goes with it; a member stays until its group is gone."""
        group = self.requests.get(request.group or "")
        if group is not None and not (group.gone or request.spoiled or self.groups_come_and_go):
            self.broken.append(f"{request.sort.id} {request.name}: goes before its group {group.name}")
        for life in self.contents.values():
            if life.ref_uid == request.uid and "Retain" not in life.policies and not (life.gone or request.spoiled):
                self.broken.append(f"{request.sort.id} {request.name}: goes before {life}")

    def _judge_readiness(self, request: Request, raw: Object) -> None:
        """A group is ready when all of its members are."""
        if request.sort is SINGLES or request.spoiled or "selector" not in request.source:
            return
        members = [each for each in self._world.server.list("volumesnapshots") if request.uid in owners_of(each)]
        content = self._world.server.get(GROUPS.kind.plural, raw["status"][GROUPS.bound])
        volumes = [] if content is None else content["spec"]["source"]["volumeHandles"]
        if len(members) != len(volumes) or not all(is_ready(member) for member in members):
            self.broken.append(f"group {request.name}: is ready before all of its members are")

    def _judge_deletion(self, uid: str) -> None:
        """A content whose policy says that all is to be kept stays, for somebody else to take care of."""
        life = self.contents[uid]
        if "Delete" not in life.policies:
            self.broken.append(f"{life}: is deleted, and its policy is Retain")

    def _judge_letting_go(self, claim: str) -> None:
        """A claim stays protected while it is being cut, for a group as long as there are groups."""
        for life in self.contents.values():
            if life.sort is GROUPS and self.groups_come_and_go:
                continue
            request = self.requests.get(life.ref_uid)
            if VOLUME + claim not in life.to_cut or life.handles or life.gone or life.deleting:
                continue
            if request is not None and not (request.gone or request.deleting or request.spoiled):
                self.broken.append(f"the claim {claim} is let go while {life} is being cut from it")

    # Events.

    def _told(self, event: Object) -> None:
        uid = event["involvedObject"]["uid"]
        if event["reason"] == names.DELETE_PENDING:
            self.blocked.add(uid)
        if event["type"] == "Warning":
            self._alarms.append((uid, f"{event['reason']}: {event['message']}"))

    def _judge_alarm(self, uid: str, text: str) -> None:
        life = self.contents.get(uid)
        request = self.requests.get(uid if life is None else life.ref_uid)
        if request is None or request.troubled or OUT_OF_TIME in text:
            return
        # Whoever imports a member of a group that goes is told so.
        if life is not None and self._is_of_lost_group(life):
            return
        # While its group goes a member may be found missing before it goes itself.
        if "does not find" in text and any(each.sort is GROUPS and each.deleting for each in self._family(request.uid)):
            return
        self.broken.append(f"{request.sort.id} {request.name}: met no trouble, and users were alarmed: {text}")

    # Calls.

    def look(self) -> None:
        """Judge what the programs have asked and told since the last look."""
        for group in self._world.driver.groups.values():
            self._groups_of |= dict.fromkeys(group.snapshot_ids, group.id)
        self._look_at_calls()
        records = self._world.server.requests
        for record in records[self._answered :]:
            if record.scripted:
                self._note_fault(record)
        self._answered = len(records)
        alarms, self._alarms = self._alarms, []
        for uid, text in alarms:
            self._judge_alarm(uid, text)

    def _note_fault(self, record: Record) -> None:
        """Those whom a request was about that met a fault may hear of it."""
        place = place_of(record.path)
        if place is None or record.verb in ("LIST", "WATCH"):
            return
        resource = (place.group, place.plural)
        metadata = {} if record.body is None or record.verb == "PATCH" else record.body.get("metadata", {})
        name = place.name or metadata.get("name", "")
        if (sort := self._requests.get(resource)) is not None:
            about = [each.uid for each in self.requests.values() if each.sort is sort and each.name == name]
            about += owners_of({"metadata": metadata})
        elif (sort := self._contents.get(resource)) is not None:
            about = [life.ref_uid for life in self.contents.values() if life.sort is sort and life.name == name]
            if record.verb == "POST":
                about.append(record.body["spec"][sort.kind.ref]["uid"])
        else:
            about = [each.uid for each in self.requests.values() if is_of_claim(each, name)]
        for uid in about:
            self.trouble_with(uid)

    def _look_at_calls(self) -> None:
        calls = self._world.driver.calls
        for call in calls[self._seen :]:
            for sort in SORTS:
                if call.method == sort.kind.create:
                    self._judge_create(sort, call)
                elif call.method == sort.kind.delete:
                    self._judge_delete(sort, call)
        self._open += calls[self._seen :]
        self._seen = len(calls)
        for call in self._open:
            if call.code not in (None, "OK"):
                self._note_failure(call)
        self._open = [call for call in self._open if call.code is None]

    def _note_failure(self, call: Call) -> None:
        """Those for whom a call was made that failed may hear of it."""
        name, handle = call.request.get("name"), call.request.get("snapshot_id", call.request.get("group_snapshot_id"))
        for life in list(self.contents.values()):
            if (life.ref_uid and name == cut_name(life.sort, life.ref_uid)) or handle in (life.imported, *life.handles):
                self.trouble_with(life.ref_uid)

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
        if handle in self._groups_of:
            self.broken.append(f"{call.method} of {handle}, a member of {self._groups_of[handle]}")

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
        return "error" in raw.get("status", {}) or (is_deleting(raw) and request.uid in self.blocked)

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
        life = self.contents[content["metadata"]["uid"]]
        if life.imported is not None and self._is_of_lost_group(life):
            return None
        if handle not in (self._world.driver.snapshots if sort is SINGLES else self._world.driver.groups):
            return f"is ready, and the driver has no {handle}"
        if sort is GROUPS and imported_handle(sort, content) is None:
            members = [each for each in server.list("volumesnapshots") if request.uid in owners_of(each)]
            told = [each["spec"]["source"]["persistentVolumeClaimName"] for each in members]
            wanted = [each.removeprefix(VOLUME) for each in content["spec"]["source"]["volumeHandles"]]
            if sorted(told) != sorted(wanted):
                return f"is ready with the members {told} and not {wanted}"
        if sort is SINGLES and (group := self._group_with(content)) not in (None, *owners_of(raw)):
            return f"is ready, and does not name its group {group} as its owner"
        return None

    def _is_of_lost_group(self, life: Life) -> bool:
        """Whether it stands for a member of a group that the driver does not have any more."""
        group = self._groups_of.get(life.imported or "")
        return group is not None and group not in self._world.driver.groups

    def _group_with(self, member_content: Object) -> str | None:
        """The uid of the request for the group whose member a content is, if that is to stay."""
        handle = member_content.get("status", {}).get("volumeGroupSnapshotHandle")
        for content in self._world.server.list(GROUPS.kind.plural) if handle else ():
            uid: str = content["spec"][GROUPS.kind.ref].get("uid", "")
            request = self.requests.get(uid)
            if content.get("status", {}).get(GROUPS.kind.handle) != handle or request is None:
                continue
            if not (request.gone or request.deleting or request.spoiled):
                return uid
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
        elif name not in self._abandoned and all(
            life.gone and not life.lost and "Retain" not in life.policies and life.ref_uid for life in lives
        ):
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


def line_of(change: str, raw: Object) -> str:
    """An object after a change, on one line."""
    metadata, status = raw["metadata"], dict(raw.get("status", {}))
    status.pop("volumeSnapshotInfoList", None)
    marks = [key.rpartition("/")[2] for key in metadata.get("annotations", {}) if not key.startswith(FOREIGN)]
    finalizers = [each.rpartition("/")[2] for each in metadata.get("finalizers", [])]
    going = "deleting" if is_deleting(raw) else ""
    return f"{change} {raw['kind']} {metadata['name']} {going} {marks} {finalizers} {status}"


def is_of_claim(request: Request, claim: str) -> bool:
    """Whether a request is, or may be, for this claim."""
    return request.source.get("persistentVolumeClaimName") == claim or "selector" in request.source


def is_protected(claim: Object) -> bool:
    return names.CLAIM_FINALIZER in claim["metadata"].get("finalizers", [])


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
