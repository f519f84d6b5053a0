"""Random histories of users, an administrator, both programs, a driver and an API server in trouble.

The counterpart of `tests.sidecar.test_histories`, one storey up: nobody here plays the snapshot-controller. A history
is a few dozen steps, each followed by next to no time. What must hold at each moment is judged with each write, call
and event (`annals`). Now and then all trouble is over: then everything has to come to rest. At the end all is deleted,
and nothing may be left.

`tests.histories` has what both share.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from snapshotter import names
from snapshotter.controller import app as controller_app
from snapshotter.settings import ControllerSettings, DriverSettings, KubeSettings, WorkSettings
from snapshotter.sidecar import app as sidecar_app
from snapshotter.testing.apiserver import ApiError
from snapshotter.testing.apiserver.targets import DeleteOptions, Target, WriteOptions
from snapshotter.testing.faults import Fault
from tests.controller.annals import FOREIGN, SORTS, VOLUME, Annals, is_deleting, is_of_claim, is_ready, owners_of
from tests.controller.shop import GROUPS, NAMESPACE, SINGLES, Sort
from tests.histories import (
    EXAMPLES,
    FIRST_RETRY,
    LONGEST_RETRY,
    SERVED,
    History,
    Program,
    Way,
    make_histories,
    moments,
    picks,
)
from tests.world import DRIVER, Object, World

USUAL_EXAMPLES = 16
STEPS = 50
"""The most in one history."""
FEWEST_STEPS = 600
WORK: Final = WorkSettings(retry_start=FIRST_RETRY, retry_max=LONGEST_RETRY, shutdown_grace=0.3)

DRIVER_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    *({"error": code, "times": 2} for code in ("INTERNAL", "INVALID_ARGUMENT", "FAILED_PRECONDITION")),
    *({"error": code, "times": 2} for code in ("UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED")),
    *({"error": code, "error_when": "after", "times": 3} for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")),
    {"error": "INTERNAL"},
    {"error": "UNAVAILABLE"},
    {"hold": "before"},
    {"hold": "after"},
    {"delay_seconds": 0.1, "times": 3},
)
API_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"error": 409},
    {"error": 429, "headers": {"Retry-After": "0.1"}},
    {"error": 500},
    {"error": 503},
    {"error": 500, "error_when": "after"},
    {"cut": "before"},
    {"cut": "after"},
)
WRITES: Final = (
    "^PATCH .*/volumesnapshots/[^/]+$",
    "^PATCH .*/volumesnapshots/[^/]+/status$",
    "^PATCH .*/volumegroupsnapshots/",
    "^PATCH .*/volumesnapshotcontents/",
    "^PATCH .*/volumegroupsnapshotcontents/",
    "^PUT .*/persistentvolumeclaims/",
    "^POST .*/volumesnapshotcontents$",
    "^POST .*/volumegroupsnapshotcontents$",
    "^POST .*/volumesnapshots$",
    "^DELETE ",
    "^(PATCH|POST|PUT|DELETE) .*(snapshot|claim)",
)
WATCHED: Final = ("volumesnapshots", "volumesnapshotcontents", "volumegroup", "persistentvolumeclaims", "")
CLAIMS: Final = {"c0": "db", "c1": "db", "c2": "web"}
"""The claims, with the value of the label by which groups choose them."""
DB: Final = {"app": "db"}
CLASSES: Final = {"class": "Delete", "keep": "Retain"}

sorts = st.sampled_from(SORTS)
numbers = st.integers(0, 3)
claims = st.sampled_from(sorted(CLAIMS))
labels = st.sampled_from(["db", "db", "web", "none"])
classes = st.sampled_from(["class", "class", "class", "keep", None])
policies = st.sampled_from(["Delete", "Retain"])


class Users:
    """They write past HTTP, so that it is known of each write whose it was, and no fault is theirs."""

    def __init__(self, world: World, annals: Annals) -> None:
        self._world = world
        self._annals = annals
        self._numbers = itertools.count(1)

    def create(self, plural: str, body: Object, namespace: str = "") -> Object:
        with self._annals.written_by_users():
            return self._world.server.create(plural, body, namespace)

    def edit(self, plural: str, raw: Object, patch: Object, subresource: str = "") -> None:
        """Apply a merge patch; what the API refuses is not done."""
        target = self._target(plural, raw["metadata"]["name"], raw["metadata"].get("namespace", ""), subresource)
        with self._annals.written_by_users():
            try:
                self._world.server._registry.patch(target, "merge", patch, WriteOptions())
            except ApiError:
                return

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        if self._world.server.get(plural, name, namespace) is not None:
            with self._annals.written_by_users():
                self._world.server._registry.delete(self._target(plural, name, namespace), DeleteOptions())

    def _target(self, plural: str, name: str, namespace: str, subresource: str = "") -> Target:
        kind = self._world.server._catalogue.of_plural(plural)
        return Target(kind, kind.storage, namespace, name, subresource)

    def set_finalizers(self, plural: str, raw: Object, kept: Callable[[str], bool], *more: str) -> None:
        finalizers = [each for each in raw["metadata"].get("finalizers", []) if kept(each)]
        self.edit(plural, raw, {"metadata": {"finalizers": [*finalizers, *more]}})

    def make_class(self, sort: Sort, name: str, *, default: bool) -> None:
        annotations = {default_key(sort): "true"} if default else {}
        body = {"metadata": {"name": name, "annotations": annotations}, "driver": DRIVER}
        self.create(classes_of(sort), body | {"deletionPolicy": CLASSES[name]})

    def make_volume(self, claim: str) -> None:
        csi = {"driver": DRIVER, "volumeHandle": VOLUME + claim}
        ref = {"namespace": NAMESPACE, "name": claim}
        spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi, "claimRef": ref}
        self.create("persistentvolumes", {"metadata": {"name": f"pv-{claim}"}, "spec": spec})

    def make_claim(self, name: str, label: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": name, "labels": {"app": label, f"{FOREIGN}label": "theirs"}}
        raw = self.create("persistentvolumeclaims", {"metadata": metadata, "spec": spec}, NAMESPACE)
        self.edit("persistentvolumeclaims", raw, {"spec": {"volumeName": f"pv-{name}"}})
        self.edit("persistentvolumeclaims", raw, {"status": {"phase": "Bound"}}, "status")

    def begin_restore(self, snapshot: str) -> None:
        source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSource": source}
        metadata = {"name": f"restore-{next(self._numbers)}"}
        raw = self.create("persistentvolumeclaims", {"metadata": metadata, "spec": spec}, NAMESPACE)
        self.edit("persistentvolumeclaims", raw, {"status": {"phase": "Pending"}}, "status")

    def make_request(self, sort: Sort, name: str, source: Object, class_name: str | None) -> Object:
        spec: Object = {"source": source}
        if class_name is not None:
            spec[sort.kind.class_name] = class_name
        metadata = {"name": name, "annotations": {f"{FOREIGN}note": "keep me"}}
        return self.create(sort.plural, {"metadata": metadata, "spec": spec}, NAMESPACE)

    def make_import(self, sort: Sort, request: str, handle: str, members: list[str], policy: str) -> str:
        """A content that an administrator has made for a request to come; its name."""
        name = f"import-{next(self._numbers)}"
        source: Object = {"snapshotHandle": handle}
        if sort is GROUPS:
            source = {"groupSnapshotHandles": {sort.kind.handle: handle, "volumeSnapshotHandles": members}}
        ref = {"namespace": NAMESPACE, "name": request}
        spec = {"driver": DRIVER, "deletionPolicy": policy, "source": source, sort.kind.ref: ref}
        self.create(sort.kind.plural, {"metadata": {"name": name}, "spec": spec})
        return name

    def store_by_hand(self, sort: Sort) -> tuple[str, list[str]]:
        """Cut something past the programs: its handle, and those of its members."""
        name, store, at = next(self._numbers), self._world.driver._store, 1_700_000_000_000_000_000
        volumes = store.volumes.by_id
        if sort is SINGLES:
            made = store.create_snapshot(f"by-hand-{name}", volumes["vol"], created_at_ns=at, ready_at_ns=at)
            return made.id, []
        group = store.create_group(
            f"by-hand-{name}", [(volumes[each], at) for each in ("vol", "vol2")], created_at_ns=at
        )
        return group.id, list(group.snapshot_ids)


class Histories(History):
    """One history."""

    def __init__(self) -> None:
        super().__init__()
        self.restored: set[str] = set()
        """The VolumeSnapshots that were being restored at some time since the last rest."""

    # The beginning and the end.

    @initialize(
        ready_after=st.sampled_from([0.0, 0.0, 0.15, float("inf")]),
        look_ups=st.booleans(),
        calm=st.sampled_from([True, True, False]),
    )
    def begin(self, ready_after: float, look_ups: bool, calm: bool) -> None:
        options = {
            "ready_after_seconds": ready_after,
            "get_snapshot": look_ups,
            "list_snapshots": True,
            "member_ready_spread_seconds": 0.1 if ready_after else 0.0,
        }
        self._begin(options)
        if calm:
            # Trouble is to find a group with its members, too.
            self._run(self._rest())

    async def prepare(self) -> None:
        self.annals = Annals(self.world)
        self.users = Users(self.world, self.annals)
        for sort in SORTS:
            self.users.make_class(sort, "class", default=True)
            self.users.make_class(sort, "keep", default=False)
        for claim, label in CLAIMS.items():
            await self.world.driver.make_volume(VOLUME + claim, claim.encode() * 10)
            self.users.make_volume(claim)
            self.users.make_claim(claim, label)
        self.sidecar = Program("the sidecar", self.world, self._started_sidecar)
        self.controller = Program("the controller", self.world, self._started_controller)
        for number in range(2):
            self._make(SINGLES, f"s{number}", {"persistentVolumeClaimName": "c0"}, "class")
        self._make(GROUPS, "g0", {"selector": {"matchLabels": DB}}, "class")
        self.programs = self.sidecar, self.controller

    def _started_sidecar(self, way: Way) -> AbstractAsyncContextManager[Any]:
        kube, driver = (
            KubeSettings(kubeconfig=str(way.kubeconfig)),
            DriverSettings(csi_address=str(way.socket), timeout=0.5),
        )
        return sidecar_app.started(replace(self.world.settings(), kube=kube, driver=driver, work=WORK))

    def _started_controller(self, way: Way) -> AbstractAsyncContextManager[Any]:
        kube = KubeSettings(kubeconfig=str(way.kubeconfig))
        return controller_app.started(ControllerSettings(kube=kube, work=WORK))

    async def finish(self) -> None:
        """All is repaired and deleted, and nothing is left but what somebody took away by force."""
        self.annals.trouble()
        server, users = self.world.server, self.users
        for sort in SORTS:
            for name in CLASSES:
                self._restore_class(sort, name)
            for plural in (sort.plural, sort.kind.plural):
                for raw in server.list(plural):
                    users.set_finalizers(plural, raw, lambda each: not each.startswith(FOREIGN))
        for claim in server.list("persistentvolumeclaims"):
            users.delete("persistentvolumeclaims", claim["metadata"]["name"], NAMESPACE)
        for sort in SORTS:
            for raw in server.list(sort.plural):
                users.delete(sort.plural, raw["metadata"]["name"], NAMESPACE)
        await self._until(self._requests_left)
        await self._rest()
        for sort in SORTS:
            for number, raw in enumerate(server.list(sort.kind.plural)):
                if number % 2:
                    users.edit(sort.kind.plural, raw, {"spec": {"deletionPolicy": "Delete"}})
                users.delete(sort.kind.plural, raw["metadata"]["name"])
        await self._until(self._contents_left)
        await self._rest()
        await self._until(lambda: server.list("persistentvolumeclaims"))
        self.tally.requests += len(self.annals.requests)
        self.tally.contents += len(self.annals.contents)

    def _requests_left(self) -> list[Object]:
        self._make_all_ready()
        return [raw for sort in SORTS for raw in self.world.server.list(sort.plural)]

    def _contents_left(self) -> list[Object]:
        return [raw for sort in SORTS for raw in self.world.server.list(sort.kind.plural)]

    def broken(self) -> list[str]:
        self.annals.look()
        return self.annals.broken

    async def repair(self) -> None:
        self._serve_groups(*SERVED[0])

    def changes(self) -> list[str]:
        return self.annals.changes

    def rested(self) -> None:
        self.annals.rest()
        claims = self.world.server.list("persistentvolumeclaims")
        self.restored = {claim["spec"]["dataSource"]["name"] for claim in claims if "dataSource" in claim["spec"]}

    def restless(self) -> Iterator[str]:
        sidecar, controller = (program.at_work for program in self.programs)
        if sidecar._driver.trouble is not None:
            yield sidecar._driver.trouble
        elif sidecar._groups.part is None or controller._groups.part is None:
            yield "nobody works at groups"
        else:
            yield from self._unseen(sidecar, controller)
            yield from self.annals.unrest()

    def _unseen(self, sidecar: Any, controller: Any) -> Iterator[str]:
        """What the programs have not heard of yet, or are at."""
        for sort, theirs, ours in (
            (SINGLES, sidecar._singles, controller._singles),
            (GROUPS, sidecar._groups.part, controller._groups.part),
        ):
            for plural, store in (
                (sort.kind.plural, theirs._controller._store),
                (sort.kind.plural, ours._sort.contents),
                (sort.plural, ours._sort.requests),
            ):
                known = sorted((each.name, each.metadata.resource_version) for each in store)
                listed = (each["metadata"] for each in self.world.server.list(plural))
                if known != sorted((each["name"], each["resourceVersion"]) for each in listed):
                    yield f"not all {plural} are known yet"
            for queue in (theirs._queue, ours._request_queue, ours._content_queue):
                if queue.depth() or queue.longest_running():
                    yield f"{sort.plural} are being worked at"

    # Requests.

    def _with_one(self, plural: str, pick: int, act: Callable[[Object], object]) -> None:
        """Do it to one of the objects; where there are none, a VolumeSnapshot is made."""
        found = self.world.server.list(plural)
        if not found:
            self._make(SINGLES, f"s{pick % 4}", {"persistentVolumeClaimName": "c0"}, "class")
            return
        raw = found[pick % len(found)]
        self._tell(f"  … {raw['metadata']['name']}")
        act(raw)

    def _make(self, sort: Sort, name: str, source: Object, class_name: str | None) -> None:
        """Make a request; where there is one of the name, that one is deleted instead."""
        if self.world.server.get(sort.plural, name, NAMESPACE) is not None:
            self._delete(sort, name)
            return
        raw = self.users.make_request(sort, name, source, class_name)
        if self.annals._excuse(sort, raw) is not None:
            self.annals.trouble_with(raw["metadata"]["uid"])

    def _delete(self, sort: Sort, name: str) -> None:
        raw = self.world.server.get(sort.plural, name, NAMESPACE)
        if raw is None:
            return
        uid = raw["metadata"]["uid"]
        if owners_of(raw) or name.startswith("imported-member-") or self._is_restored(uid):
            # It waits for others, of which its user is told; a member also before its group is named as its owner.
            self.annals.trouble_with(uid)
        if owners_of(raw) and self.annals.groups_come_and_go:
            # Nobody knows that it has a group.
            self.annals.spoil_with(uid)
        self.users.delete(sort.plural, name, NAMESPACE)

    def _is_restored(self, uid: str) -> bool:
        return any(each.name in self.restored for each in self.annals._family(uid))

    @rule(number=numbers, claim=claims, class_name=classes, moment=moments)
    def a_snapshot_is_asked_for(self, number: int, claim: str, class_name: str | None, moment: float) -> None:
        self._step(
            f"make s{number} of {claim} {class_name=}",
            lambda: self._make(SINGLES, f"s{number}", {"persistentVolumeClaimName": claim}, class_name),
            moment,
        )

    @rule(number=st.integers(0, 1), label=labels, class_name=classes, moment=moments)
    def a_group_is_asked_for(self, number: int, label: str, class_name: str | None, moment: float) -> None:
        source = {"selector": {"matchLabels": {"app": label}}}
        self._step(
            f"make g{number} of {label} {class_name=}",
            lambda: self._make(GROUPS, f"g{number}", source, class_name),
            moment,
        )

    @rule(
        sort=sorts,
        there=st.sampled_from([True, True, False]),
        policy=policies,
        of_members=st.sampled_from([None, "Delete", "Retain"]),
        moment=moments,
    )
    def something_is_imported(
        self, sort: Sort, there: bool, policy: str, of_members: str | None, moment: float
    ) -> None:
        """`of_members`: the policy of the members' contents, if they are imported as well."""

        def act() -> None:
            handle, members = self.users.store_by_hand(sort) if there else ("gone", ["gone"])
            self._import(sort, f"imported-{sort.id}", handle, members, policy)
            for number, member in enumerate(members if of_members is not None else ()):
                self._import(SINGLES, f"imported-member-{number}", member, [], of_members or "")

        self._step(f"import a {sort.id} {there=} {policy} {of_members=}", act, moment)

    def _import(self, sort: Sort, name: str, handle: str, members: list[str], policy: str) -> None:
        """Import something, or what a request of the name has left; one that there is is deleted instead."""
        left = [
            each for each in self.world.server.list(sort.kind.plural) if each["spec"][sort.kind.ref]["name"] == name
        ]
        if self.world.server.get(sort.plural, name, NAMESPACE) is not None:
            self._delete(sort, name)
        elif left and policy == "Retain":
            self._ask_for_import(sort, name, left[-1]["metadata"]["name"])
        else:
            self._ask_for_import(sort, name, self.users.make_import(sort, name, handle, members, policy))

    def _ask_for_import(self, sort: Sort, name: str, content: str) -> None:
        key = "volumeSnapshotContentName" if sort is SINGLES else "volumeGroupSnapshotContentName"
        self._make(sort, name, {key: content}, None)

    @rule(sort=sorts, pick=picks, moment=moments)
    def a_content_is_asked_for_again(self, sort: Sort, pick: int, moment: float) -> None:
        """By a request of the name that another one had, which has gone."""

        def act(raw: Object) -> None:
            self._ask_for_import(sort, raw["spec"][sort.kind.ref]["name"], raw["metadata"]["name"])

        self._step(f"ask for a {sort.id} again", lambda: self._with_one(sort.kind.plural, pick, act), moment)

    @rule(sort=sorts, pick=picks, moment=moments)
    def a_request_is_deleted(self, sort: Sort, pick: int, moment: float) -> None:
        def act(raw: Object) -> None:
            self._delete(sort, raw["metadata"]["name"])

        self._step(f"delete a {sort.id}", lambda: self._with_one(sort.plural, pick, act), moment)

    @rule(
        plural=st.sampled_from([plural for sort in SORTS for plural in (sort.plural, sort.kind.plural)]),
        pick=picks,
        there=st.sampled_from([True, False]),
        moment=moments,
    )
    def others_add_or_remove_what_is_theirs(self, plural: str, pick: int, there: bool, moment: float) -> None:
        def act(raw: Object) -> None:
            more = [f"{FOREIGN}theirs"] if there and not is_deleting(raw) else []
            self.users.set_finalizers(plural, raw, lambda each: not each.startswith(FOREIGN), *more)
            value = f"{pick}" if there else None
            theirs = {"annotations": {f"{FOREIGN}other": value}, "labels": {f"{FOREIGN}label": value}}
            self.users.edit(plural, raw, {"metadata": theirs})

        self._step(f"others edit one of {plural} {there=}", lambda: self._with_one(plural, pick, act), moment)

    # Claims and restores.

    @rule(claim=claims, moment=moments)
    def a_claim_is_deleted_or_made_anew(self, claim: str, moment: float) -> None:
        def act() -> None:
            self.annals.trouble(lambda request: is_of_claim(request, claim))
            if self.world.server.get("persistentvolumeclaims", claim, NAMESPACE) is None:
                self.users.make_claim(claim, CLAIMS[claim])
            else:
                self.users.delete("persistentvolumeclaims", claim, NAMESPACE)

        self._step(f"delete or make {claim}", act, moment)

    @rule(claim=claims, label=labels, moment=moments)
    def a_claim_gets_another_label(self, claim: str, label: str, moment: float) -> None:
        def act() -> None:
            self.annals.trouble(lambda request: is_of_claim(request, claim))
            raw = self.world.server.get("persistentvolumeclaims", claim, NAMESPACE)
            if raw is None:
                self.users.make_claim(claim, label)
            else:
                self.users.edit("persistentvolumeclaims", raw, {"metadata": {"labels": {"app": label}}})

        self._step(f"label {claim} {label}", act, moment)

    @rule(pick=picks, moment=moments)
    def a_restore_begins(self, pick: int, moment: float) -> None:
        def act(raw: Object) -> None:
            if is_ready(raw):
                self.annals.trouble_with(raw["metadata"]["uid"])
                self.restored.add(raw["metadata"]["name"])
                self.users.begin_restore(raw["metadata"]["name"])

        self._step("restore", lambda: self._with_one("volumesnapshots", pick, act), moment)

    @rule(bound=st.booleans(), moment=moments)
    def restores_end(self, bound: bool, moment: float) -> None:
        def act() -> None:
            for raw in self.world.server.list("persistentvolumeclaims"):
                if "dataSource" in raw["spec"]:
                    if bound:
                        self.users.edit("persistentvolumeclaims", raw, {"status": {"phase": "Bound"}}, "status")
                    self.users.delete("persistentvolumeclaims", raw["metadata"]["name"], NAMESPACE)

        self._step(f"restores end {bound=}", act, moment)

    # Contents and classes.

    @rule(sort=sorts, pick=picks, policy=policies, moment=moments)
    def the_policy_is_changed(self, sort: Sort, pick: int, policy: str, moment: float) -> None:
        def act(raw: Object) -> None:
            self.users.edit(sort.kind.plural, raw, {"spec": {"deletionPolicy": policy}})

        self._step(f"policy of a {sort.id} {policy}", lambda: self._with_one(sort.kind.plural, pick, act), moment)

    @rule(sort=sorts, pick=picks, by_force=st.sampled_from([False, False, True]), moment=moments)
    def a_content_is_deleted_by_hand(self, sort: Sort, pick: int, by_force: bool, moment: float) -> None:
        def act(raw: Object) -> None:
            self.annals.spoil(raw)
            self.users.delete(sort.kind.plural, raw["metadata"]["name"])
            if by_force:
                self.annals.contents[raw["metadata"]["uid"]].lost = True
                self.users.set_finalizers(sort.kind.plural, raw, lambda _: False)

        self._step(
            f"delete a {sort.id}'s content by hand {by_force=}",
            lambda: self._with_one(sort.kind.plural, pick, act),
            moment,
        )

    @rule(sort=sorts, name=st.sampled_from(sorted(CLASSES)), moment=moments)
    def a_class_is_deleted_or_made_anew(self, sort: Sort, name: str, moment: float) -> None:
        def act() -> None:
            self.annals.trouble(lambda request: request.sort is sort)
            if self.world.server.get(classes_of(sort), name) is None:
                self.users.make_class(sort, name, default=name == "class")
            else:
                self.users.delete(classes_of(sort), name)

        self._step(f"delete or make the {sort.id} class {name}", act, moment)

    @rule(sort=sorts, name=st.sampled_from(sorted(CLASSES)), default=st.booleans(), moment=moments)
    def a_class_is_the_default_or_not(self, sort: Sort, name: str, default: bool, moment: float) -> None:
        def act() -> None:
            self.annals.trouble(lambda request: request.sort is sort)
            self._restore_class(sort, name)
            raw = self.world.server.get(classes_of(sort), name)
            assert raw is not None
            value = "true" if default else None
            self.users.edit(classes_of(sort), raw, {"metadata": {"annotations": {default_key(sort): value}}})

        self._step(f"the {sort.id} class {name} {default=}", act, moment)

    def _restore_class(self, sort: Sort, name: str) -> None:
        if self.world.server.get(classes_of(sort), name) is None:
            self.users.make_class(sort, name, default=name == "class")

    # The driver, the API server, the programs, and time.

    @rule(
        sort=sorts,
        method=st.sampled_from(["create", "create", "delete", "look_up"]),
        fault=st.sampled_from(DRIVER_FAULTS),
        moment=moments,
    )
    def the_driver_fails(self, sort: Sort, method: str, fault: Mapping[str, Any], moment: float) -> None:
        match = getattr(sort.kind, method) if (sort, method) != (SINGLES, "look_up") else "(Get|List)Snapshots?"

        def act() -> None:
            self.world.driver.faults.set(Fault(match=f"^{match} ", **fault))

        self._step(f"{match}: {fault}", act, moment)

    @rule(
        match=st.sampled_from(WRITES),
        fault=st.sampled_from(API_FAULTS),
        skip=st.integers(0, 2),
        times=st.integers(1, 3),
        moment=moments,
    )
    def the_api_server_fails(self, match: str, fault: Mapping[str, Any], skip: int, times: int, moment: float) -> None:
        def act() -> None:
            self.world.server.faults.set(Fault(match=match, skip=skip, times=times, **fault))

        self._step(f"{match}: {fault} {skip=} {times=}", act, moment)

    @rule(sort=sorts, deleted_after=st.sampled_from([0.02, 0.1, 0.4]), moment=moments)
    def a_request_is_deleted_while_nobody_knows_of_its_content(
        self, sort: Sort, deleted_after: float, moment: float
    ) -> None:
        """The answers to the content's creation are lost, and the watches are silent."""

        async def act() -> None:
            server = self.world.server
            server.faults.set(Fault(match=f"^POST .*/{sort.kind.plural}$", times=12, cut="after"))
            source = {"persistentVolumeClaimName": "c0"} if sort is SINGLES else {"selector": {"matchLabels": DB}}
            self._make(sort, "hasty", source, "class")
            with suppress(TimeoutError):
                await self.world.until(lambda: self._is_hasty_made(sort), seconds=0.3)
            server.mute_watches()
            await asyncio.sleep(deleted_after)
            self._delete(sort, "hasty")

        self._step(f"a hasty {sort.id} {deleted_after=}", act, moment)

    def _is_hasty_made(self, sort: Sort) -> bool:
        made = self.world.server.list(sort.kind.plural)
        return any(each["spec"][sort.kind.ref]["name"] == "hasty" for each in made)

    @rule(what=st.sampled_from(WATCHED), gone=st.booleans(), forgets=st.booleans(), moment=moments)
    def watches_break(self, what: str, gone: bool, forgets: bool, moment: float) -> None:
        def act() -> None:
            server = self.world.server
            if gone:
                server.faults.set(Fault(match=f"^WATCH .*{what}", times=2, error=410))
            if forgets:
                server.compact()
            server.cut_watches()

        self._step(f"watches of {what} break {gone=} {forgets=}", act, moment)

    @rule(versions=st.sampled_from(SERVED), moment=moments)
    def groups_are_served_or_not(self, versions: tuple[str, ...], moment: float) -> None:
        def act() -> None:
            self.annals.trouble(lambda request: request.sort is GROUPS)
            self.annals.groups_come_and_go = True
            self._serve_groups(*versions)

        self._step(f"groups are served in {versions}", act, moment)

    @rule(sidecar=st.booleans(), gently=st.booleans(), down=moments, moment=moments)
    def a_program_restarts(self, sidecar: bool, gently: bool, down: float, moment: float) -> None:
        async def act() -> None:
            program = self.sidecar if sidecar else self.controller
            if sidecar:
                self.annals.sidecar_ends()
            await program.stop(gently=gently)
            await asyncio.sleep(down)
            await program.start()

        self._step(f"restart {sidecar=} {gently=}", act, moment)


def default_key(sort: Sort) -> str:
    return names.DEFAULT_CLASS if sort is SINGLES else names.DEFAULT_GROUP_CLASS


def classes_of(sort: Sort) -> str:
    return f"{sort.kind.snapshot_class.lower()}es"


@pytest.mark.timeout(max(900, 60 * EXAMPLES))
def test_whatever_happens_users_get_their_snapshots_or_are_told_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = make_histories(Histories, monkeypatch, usual=USUAL_EXAMPLES, steps=STEPS)
    assert tally.steps >= (FEWEST_STEPS if EXAMPLES == 0 else EXAMPLES)
