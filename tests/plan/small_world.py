"""A cluster in memory that is too simple to be wrong: objects as JSON, what the plans decide carried out on them, a
sidecar and a storage that do as they are told, and Kubernetes' garbage collection.

While it does what is planned it looks at each action, and refuses what must never be planned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from snapshotter import names
from snapshotter.controller.stores import Stores
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.storage import Claim, Volume
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import group_snapshot, patches, snapshot
from snapshotter.plan.bodies import (
    member_body,
    member_content_body,
    member_content_name,
    member_name,
    member_status,
    owner,
)
from snapshotter.plan.group_snapshot import DeleteMembers, MakeMembers, Member
from snapshotter.plan.requests import (
    BindContent,
    Blocked,
    CreateContent,
    DeleteContent,
    MarkContent,
    Prepare,
    ProtectClaims,
    Refuse,
    Release,
    ReleaseClaims,
    Report,
    Settle,
    Terms,
    Wait,
)
from snapshotter.plan.snapshot import AddOwner
from snapshotter.plan.upkeep import Protect, next_step
from tests.factories import DRIVER
from tests.plan.wire import Json, json_patched, merge_patched
from tests.requests import CREATED_AT_NS, DELETED_AT, NAMESPACE

Kind = Literal["claim", "volume", "class", "group class", "snapshot", "content", "group", "group content"]
TYPES: dict[Kind, Any] = {
    "claim": Claim,
    "volume": Volume,
    "class": SnapshotClass,
    "group class": GroupSnapshotClass,
    "snapshot": VolumeSnapshot,
    "content": Content,
    "group": VolumeGroupSnapshot,
    "group content": GroupContent,
}
REQUESTS: tuple[Kind, ...] = ("snapshot", "group")
CONTENTS: dict[Kind, Kind] = {"snapshot": "content", "group": "group content"}
REF = {"content": "volumeSnapshotRef", "group content": "volumeGroupSnapshotRef"}
HANDLE = {"content": "snapshotHandle", "group content": "volumeGroupSnapshotHandle"}
BEING_DELETED = {"content": names.BEING_DELETED, "group content": names.GROUP_BEING_DELETED}
FINALIZER = {"content": names.CONTENT_FINALIZER, "group content": names.GROUP_CONTENT_FINALIZER}
Action = snapshot.Action | group_snapshot.Action
MOST_ROUNDS = 60


@dataclass
class Storage:
    """The snapshots that there are. Making one is idempotent by its name."""

    handles: dict[str, str] = field(default_factory=dict)
    """Names by handle. The members of a group have the group's name."""
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Members' handles by volume, by group handle."""
    times: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    """Names of what was deleted."""
    fails: bool = False

    def cut(self, name: str) -> str:
        assert name not in self.deleted, f"{name} is cut a second time"
        handle = f"handle-of-{name}"
        self.handles[handle] = name
        self.times.setdefault(handle, CREATED_AT_NS + len(self.times) * 1_000_000_000)
        return handle

    def cut_group(self, name: str, volumes: list[str]) -> str:
        handle = self.cut(name)
        self.groups.setdefault(handle, {volume: f"{handle}/{volume}" for volume in volumes})
        self.handles |= dict.fromkeys(self.groups[handle].values(), name)
        return handle

    def delete(self, handle: str) -> None:
        members = self.groups.pop(handle, {})
        for each in (handle, *members.values()):
            if (name := self.handles.pop(each, None)) is not None:
                self.deleted.add(name)

    def group_of(self, handle: str) -> str | None:
        return next((group for group, members in self.groups.items() if handle in members.values()), None)


class SmallWorld:
    """Objects by kind and key, and everybody who is at them."""

    def __init__(self) -> None:
        self.objects: dict[Kind, dict[str, Json]] = {kind: {} for kind in TYPES}
        self.storage = Storage()
        self.version = 0
        self._seen: tuple[int, Stores] = (-1, Stores(groups=True))
        self.told: set[str] = set()
        """The uids of requests whose users were told of something on the storage."""
        self.let_go: set[str] = set()
        """The handles of what stays on the storage by somebody's wish."""

    # The API server.

    def make(self, kind: Kind, name: str, body: Json, *, namespace: str | None = None) -> Json:
        """Make an object, unless there is one of that name; what there is then."""
        key = name if namespace is None else f"{namespace}/{name}"
        if key in self.objects[kind]:
            return self.objects[kind][key]
        uid = f"uid-{self.version}"
        place = {} if namespace is None else {"namespace": namespace}
        self._put(kind, key, body | {"metadata": {"uid": uid, **place, **body.get("metadata", {}), "name": name}})
        return self.objects[kind][key]

    def change(self, kind: Kind, key: str, changed: Json) -> None:
        """Replace an object; one that is being deleted goes when nothing holds it any more."""
        if changed != self.objects[kind][key]:
            self._put(kind, key, changed)

    def delete(self, kind: Kind, key: str) -> None:
        if (found := self.objects[kind].get(key)) is not None and not is_deleting(found):
            self._put(kind, key, found | {"metadata": found["metadata"] | {"deletionTimestamp": DELETED_AT}})

    def merge(self, kind: Kind, key: str, patch: Json) -> None:
        self.change(kind, key, merge_patched(self.objects[kind][key], patch))

    def patch(self, kind: Kind, key: str, patch: list[dict[str, object]]) -> None:
        self.change(kind, key, json_patched(self.objects[kind][key], patch))

    def collect_garbage(self) -> None:
        """Objects whose owners are all gone go."""
        uids = {each["metadata"]["uid"] for each in self.objects["group"].values()}
        for key, each in list(self.objects["snapshot"].items()):
            owners = each["metadata"].get("ownerReferences", [])
            if owners and not any(reference["uid"] in uids for reference in owners):
                self.delete("snapshot", key)

    def _put(self, kind: Kind, key: str, body: Json) -> None:
        self.version += 1
        # API servers do not keep empty lists here.
        metadata = {key: value for key, value in body["metadata"].items() if value != []}
        body = body | {"metadata": metadata}
        if is_deleting(body) and not body["metadata"].get("finalizers"):
            self.objects[kind].pop(key, None)
        else:
            self.objects[kind][key] = body | {"metadata": metadata | {"resourceVersion": str(self.version)}}

    # The snapshot-controller.

    def cluster(self) -> Stores:
        """What the snapshot-controller knows."""
        if self._seen[0] != self.version:
            stores = Stores(groups=True)
            stores.groups.known = True
            places: dict[Kind, Any] = {
                "claim": stores.storage.claims,
                "volume": stores.storage.volumes,
                "class": stores.singles.classes,
                "group class": stores.groups.classes,
                "snapshot": stores.singles.snapshots,
                "content": stores.singles.contents,
                "group": stores.groups.groups,
                "group content": stores.groups.contents,
            }
            for kind, place in places.items():
                for each in self.objects[kind].values():
                    place.put(msgspec.convert(each, TYPES[kind]))
            self._seen = (self.version, stores)
        return self._seen[1]

    def planned(self, kind: Kind, key: str) -> Action:
        known = self.cluster()
        if kind == "snapshot":
            return snapshot.next_action(known.singles.snapshots.get(key), known, Terms())  # type: ignore[arg-type]
        return group_snapshot.next_action(known.groups.groups.get(key), known, Terms())  # type: ignore[arg-type]

    def serve(self, kind: Kind, key: str, *, writes: int = 100) -> Action:
        """Do what is planned next for a request; of several writes only so many, as if there were a crash then."""
        action = self.planned(kind, key)
        self._judge(kind, key, action)
        store: Any = self.cluster().singles.snapshots if kind == "snapshot" else self.cluster().groups.groups
        self._act(kind, store.get(key), action, writes)
        return action

    def _act(self, kind: Kind, request: Any, action: Action, writes: int) -> None:
        contents = CONTENTS[kind]
        match action:
            case Prepare():
                self.patch(kind, request.key, patches.prepare(request, action))
            case ProtectClaims(keys):
                for key in keys[:writes]:
                    self._protect(key)
            case ReleaseClaims(keys):
                for key in keys[:writes]:
                    self._without("claim", key, names.CLAIM_FINALIZER)
            case CreateContent():
                self.make(contents, action.name, dict(action.body))
            case BindContent(name):
                self.patch(contents, name, patches.bind_content(self._content(contents, name), action))
            case Report(change):
                self._report(kind, request, dict(change))
            case MarkContent(name):
                self.merge(contents, name, patches.mark_being_deleted(self._content(contents, name)))
            case DeleteContent(name):
                self.delete(contents, name)
            case Release(finalizers):
                self.patch(kind, request.key, patches.without_finalizers(request.metadata, finalizers))
            case Refuse():
                self._refuse(kind, request, action)
            case AddOwner(group):
                reference = owner(self.cluster().groups.group(group))  # type: ignore[arg-type]
                self.patch(kind, request.key, patches.add_owner(request, reference))
            case MakeMembers(name, members):
                for write in list(self._member_writes(request, name, members))[:writes]:
                    self._make_member(request, name, *write)
            case DeleteMembers(keys):
                for key in keys[:writes]:
                    self.delete("snapshot", key)
            case Blocked() | Wait() | Settle():
                pass

    def _content(self, kind: Kind, name: str) -> Any:
        return msgspec.convert(self.objects[kind][name], TYPES[kind])

    def _protect(self, key: str) -> None:
        claim = self.objects["claim"][key]
        if not is_deleting(claim):
            finalizers = [*claim["metadata"].get("finalizers", []), names.CLAIM_FINALIZER]
            self.change("claim", key, claim | {"metadata": claim["metadata"] | {"finalizers": finalizers}})

    def _without(self, kind: Kind, key: str, finalizer: str) -> None:
        found = self.objects[kind][key]
        kept = [each for each in found["metadata"].get("finalizers", []) if each != finalizer]
        self.change(kind, key, found | {"metadata": found["metadata"] | {"finalizers": kept}})

    def _report(self, kind: Kind, request: Any, change: dict[str, object]) -> None:
        if "creationTime" in change or change.get("readyToUse") is True:
            self.told.add(request.uid)
        self.patch(kind, request.key, patches.status_patch(request, change))

    def _refuse(self, kind: Kind, request: Any, refusal: Refuse) -> None:
        change: dict[str, object] = {}
        if request.status.error is None or request.status.error.message != refusal.problem:
            change["error"] = {"message": refusal.problem, "time": DELETED_AT}
        if refusal.ready is not None and request.status.ready_to_use is not refusal.ready:
            change["readyToUse"] = refusal.ready
        if change:
            self._report(kind, request, change)

    @staticmethod
    def _member_writes(
        group: VolumeGroupSnapshot, name: str, members: tuple[Member, ...]
    ) -> Iterator[tuple[str, Member]]:
        for member in members:
            for step in ("snapshot", "content", "status"):
                yield step, member

    def _make_member(self, group: VolumeGroupSnapshot, name: str, step: str, member: Member) -> None:
        content = self._content("group content", name)
        handle = member.volume_handle
        snapshot_name, content_name = member_name(group.uid, handle), member_content_name(group.uid, handle)
        key = f"{NAMESPACE}/{snapshot_name}"
        if step == "snapshot":
            body = member_body(group, handle, member.claim_name, content.spec.deletion_policy)
            self.make("snapshot", snapshot_name, body, namespace=NAMESPACE)
        elif step == "content":
            uid = self.objects["snapshot"][key]["metadata"]["uid"]
            body = member_content_body(group, content, handle, uid, member.volume_mode)
            self.make("content", content_name, body)
        else:
            made = self._content("content", content_name)
            change = member_status(made, content.handle or "", member.info)
            if change is not None:
                self.patch("content", content_name, patches.status_patch(made, dict(change)))

    # What must never be planned.

    def _judge(self, kind: Kind, key: str, action: Action) -> None:
        request = self.objects[kind][key]
        uid = request["metadata"]["uid"]
        match action:
            case CreateContent():
                assert not is_deleting(request), "a content is made for a request that is going"
                assert uid not in self.told, "what users were told of is cut again"
                assert request["metadata"]["finalizers"], "nothing holds the request"
                for claim in action.claims:
                    assert names.CLAIM_FINALIZER in self.objects["claim"][claim]["metadata"]["finalizers"]
            case BindContent(name):
                assert self.objects[CONTENTS[kind]][name]["spec"][REF[CONTENTS[kind]]].get("uid", "") in ("", uid)
                assert request["metadata"]["finalizers"], "nothing holds the request"
            case MarkContent(name) | DeleteContent(name):
                content = self.objects[CONTENTS[kind]][name]
                assert is_deleting(request), "a content goes before its request"
                assert content["spec"][REF[CONTENTS[kind]]]["uid"] == uid, "another's content goes"
                if isinstance(action, DeleteContent):
                    assert content["spec"]["deletionPolicy"] == "Delete"
                    assert is_marked(CONTENTS[kind], content)
            case ReleaseClaims(keys):
                for claim in keys:
                    assert not self._is_being_cut(claim), f"{claim} is let go while it is being cut"
            case Release():
                self._judge_release(kind, uid, request)
            case DeleteMembers(keys):
                assert is_deleting(request)
                for member in keys:
                    owners = self.objects["snapshot"][member]["metadata"]["ownerReferences"]
                    assert uid in {reference["uid"] for reference in owners}
            case _:
                pass

    def _judge_release(self, kind: Kind, uid: str, request: Json) -> None:
        assert is_deleting(request)
        for content in self.contents_for(CONTENTS[kind], uid):
            assert content["spec"]["deletionPolicy"] == "Retain", "a request goes before what goes with it"
            assert is_marked(CONTENTS[kind], content)
        groups = {each["metadata"]["uid"] for each in self.objects["group"].values()}
        owners = {reference["uid"] for reference in request["metadata"].get("ownerReferences", [])}
        assert not owners & groups, "a member goes before its group"

    def contents_for(self, kind: Kind, uid: str) -> list[Json]:
        return [each for each in self.objects[kind].values() if each["spec"][REF[kind]].get("uid") == uid]

    def _is_being_cut(self, claim_key: str) -> bool:
        volume = self.objects["claim"][claim_key]["spec"]["volumeName"]
        handle = self.objects["volume"][volume]["spec"]["csi"]["volumeHandle"]
        # Whoever goes lets its claim go as well, though what it retains may not be cut yet: nobody would do it later.
        staying = [each for kind in REQUESTS for each in self.objects[kind].values() if not is_deleting(each)]
        uids = {each["metadata"]["uid"] for each in staying}
        contents = [*self.objects["content"].values(), *self.objects["group content"].values()]
        return any(
            handle
            in (content["spec"]["source"].get("volumeHandle"), *content["spec"]["source"].get("volumeHandles", ()))
            and not content.get("status", {}).get("snapshotHandle")
            and not content.get("status", {}).get("volumeGroupSnapshotHandle")
            and not is_deleting(content)
            and (content["spec"].get("volumeSnapshotRef") or content["spec"]["volumeGroupSnapshotRef"]).get("uid")
            in uids
            for content in contents
        )

    # The sidecar.

    def tend(self, kind: Kind, name: str) -> None:
        """What both programs do for a content: the finalizer, the storage's work, the status, the end."""
        content = self.objects[kind][name]
        if isinstance(next_step(self._content(kind, name)), Protect):
            finalizers = [*content["metadata"].get("finalizers", []), FINALIZER[kind]]
            self.change(kind, name, content | {"metadata": content["metadata"] | {"finalizers": finalizers}})
            content = self.objects[kind][name]
        status = content.get("status", {})
        handle = status.get(HANDLE[kind])
        imported = self._imported(kind, content)
        unbound = imported is not None and not content["spec"][REF[kind]].get("uid")
        if is_deleting(content) and (unbound or is_marked(kind, content)):
            self._let_go(kind, content, handle)
            self._without(kind, name, FINALIZER[kind])
        elif status.get("readyToUse"):
            pass
        elif self.storage.fails:
            self._tell(kind, name, {"error": {"message": "the storage fails", "time": DELETED_AT}})
        elif imported is not None:
            self._tell(kind, name, self._found(kind, imported) | {"readyToUse": True, "error": None})
        elif handle is not None:
            infos = [info | {"readyToUse": True} for info in status.get("volumeSnapshotInfoList", [])]
            known = {"volumeSnapshotInfoList": infos} if infos else {}
            self._tell(kind, name, {"readyToUse": True, "error": None, **known})
        elif names.MEMBER_OF_GROUP not in content["metadata"].get("annotations", {}):
            cut = f"snapshot-{content['spec'][REF[kind]]['uid']}"
            source = content["spec"]["source"]
            if kind == "content":
                handle = self.storage.cut(cut)
            else:
                handle = self.storage.cut_group(f"group{cut}", source["volumeHandles"])
            self._tell(kind, name, self._found(kind, handle) | {"readyToUse": False, "error": None})

    def _imported(self, kind: Kind, content: Json) -> str | None:
        source = content["spec"]["source"]
        found: str | None = source.get("snapshotHandle")
        if kind == "group content":
            found = source.get("groupSnapshotHandles", {}).get("volumeGroupSnapshotHandle")
        return found

    def _found(self, kind: Kind, handle: str) -> Json:
        """What the storage says of a snapshot."""
        group = self.storage.group_of(handle)
        time = self.storage.times.get(group or handle, CREATED_AT_NS)
        if kind == "content":
            known = {"snapshotHandle": handle, "creationTime": time, "restoreSize": 5}
            return known if group is None else known | {"volumeGroupSnapshotHandle": group}
        members = self.storage.groups.get(handle, {})
        infos = [
            {
                "volumeHandle": volume,
                "snapshotHandle": member,
                "creationTime": time,
                "readyToUse": False,
                "restoreSize": 5,
            }
            for volume, member in members.items()
        ]
        seconds = (time - CREATED_AT_NS) // 1_000_000_000
        told = f"2023-11-14T22:{13 + seconds // 60:02}:{seconds % 60:02}Z"
        return {HANDLE[kind]: handle, "creationTime": told, "volumeSnapshotInfoList": infos}

    def _let_go(self, kind: Kind, content: Json, handle: str | None) -> None:
        member = names.MEMBER_OF_GROUP in content["metadata"].get("annotations", {})
        member = member or (kind == "content" and "volumeGroupSnapshotHandle" in content.get("status", {}))
        if handle is None or member:
            # What was imported, and never looked at, stays.
            self.keep(self._imported(kind, content) or "")
            return
        if content["spec"]["deletionPolicy"] == "Delete" and is_marked(kind, content):
            self.storage.delete(handle)
        else:
            self.keep(handle)

    def keep(self, handle: str) -> None:
        """It stays on the storage by somebody's wish."""
        self.let_go |= {handle, *self.storage.groups.get(handle, {}).values()}

    def _tell(self, kind: Kind, name: str, change: Json) -> None:
        content = self.objects[kind][name]
        status = {key: value for key, value in (content.get("status", {}) | change).items() if value is not None}
        self.change(kind, name, content | {"status": status})

    # Everybody.

    def rest(self) -> None:
        """Let everybody work until nobody has anything to do."""
        for _ in range(MOST_ROUNDS):
            before = self.version
            self.go_on()
            if self.version == before:
                return
        raise AssertionError("they never come to rest")

    def go_on(self) -> None:
        """Everybody does the next thing, for each object once."""
        for kind in REQUESTS:
            for key in list(self.objects[kind]):
                if key in self.objects[kind]:
                    self.serve(kind, key)
        for kind in CONTENTS.values():
            for key in list(self.objects[kind]):
                if key in self.objects[kind]:
                    self.tend(kind, key)
        self.collect_garbage()


def is_deleting(document: Json) -> bool:
    return "deletionTimestamp" in document["metadata"]


def is_marked(kind: Kind, content: Json) -> bool:
    return BEING_DELETED[kind] in content["metadata"].get("annotations", {})


def class_body(policy: str, *, default: bool, group: bool) -> Json:
    annotation = names.DEFAULT_GROUP_CLASS if group else names.DEFAULT_CLASS
    annotations = {annotation: "true"} if default else {}
    return {"metadata": {"annotations": annotations}, "driver": DRIVER, "deletionPolicy": policy}
