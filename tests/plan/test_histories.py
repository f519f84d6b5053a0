"""Laws of the snapshot-controller's plans, over random histories of users, administrators, crashes and storage faults.

Whatever has happened: nothing is planned that must not be (`SmallWorld` judges each action), everything comes to rest,
nothing waits for what never comes, and when all requests are deleted nothing is left behind.

`SNAPSHOTTER_HISTORY_EXAMPLES=2000` makes so many histories, and other ones each time.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from snapshotter import names
from snapshotter.plan.requests import Refuse, Settle, Wait
from tests.factories import DRIVER
from tests.plan.small_world import CONTENTS, HANDLE, REQUESTS, Kind, SmallWorld, class_body, is_deleting, is_marked
from tests.plan.wire import Json
from tests.requests import NAMESPACE

EXAMPLES = int(os.environ.get("SNAPSHOTTER_HISTORY_EXAMPLES", "0"))
USUAL_EXAMPLES = 60
CLAIMS = ("data", "log", "web")
claims = st.sampled_from(CLAIMS)
snapshots = st.sampled_from(("one", "two"))
groups = st.just("pair")
policies = st.sampled_from(("Delete", "Retain"))
kinds = st.sampled_from(REQUESTS)
places = st.integers(0, 7)
BROKEN: dict[str, Any] = {"phase": "Lost"}


class Histories(RuleBasedStateMachine):
    """What may happen to a cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.world = SmallWorld()
        self.imports = 0

    @initialize()
    def a_cluster(self) -> None:
        for name in CLAIMS:
            self.make_claim(name)
        self.make_classes()

    @rule()
    def mend_everything(self) -> None:
        for name in CLAIMS:
            self.make_claim(name)
        self.make_classes()
        self.end_the_restore()
        self.world.storage.fails = False

    def make_claim(self, name: str) -> None:
        labels = {} if name == "web" else {"app": "db"}
        spec = {"volumeName": f"pv-{name}"}
        body = {"metadata": {"labels": labels}, "spec": spec, "status": {"phase": "Bound"}}
        self.world.make("claim", name, body, namespace=NAMESPACE)
        volume = {
            "csi": {"driver": DRIVER, "volumeHandle": f"vol-{name}"},
            "claimRef": {"name": name, "namespace": NAMESPACE},
        }
        self.world.make("volume", f"pv-{name}", {"spec": volume})

    def make_classes(self) -> None:
        for kind, group in (("class", False), ("group class", True)):
            self.world.make(kind, "deleting", class_body("Delete", default=True, group=group))  # type: ignore[arg-type]
            self.world.make(kind, "retaining", class_body("Retain", default=False, group=group))  # type: ignore[arg-type]

    @rule(kind=st.sampled_from(("class", "group class")))
    def lose_the_default_class(self, kind: Kind) -> None:
        self.world.delete(kind, "deleting")

    @rule(name=claims)
    def delete_a_claim(self, name: str) -> None:
        self.world.delete("claim", f"{NAMESPACE}/{name}")

    @rule(name=claims, phase=st.sampled_from(("Bound", "Lost")))
    def change_a_claim(self, name: str, phase: str) -> None:
        self.edit("claim", f"{NAMESPACE}/{name}", status={"phase": phase})

    @rule(name=claims, labels=st.sampled_from(({}, {"app": "db"})))
    def label_a_claim(self, name: str, labels: dict[str, str]) -> None:
        self.edit("claim", f"{NAMESPACE}/{name}", metadata={"labels": labels})

    @rule(name=snapshots, claim=claims, class_name=st.sampled_from((None, "deleting", "retaining")))
    def make_a_snapshot(self, name: str, claim: str, class_name: str | None) -> None:
        spec: Json = {"source": {"persistentVolumeClaimName": claim}}
        if class_name is not None:
            spec["volumeSnapshotClassName"] = class_name
        self.world.make("snapshot", name, {"spec": spec}, namespace=NAMESPACE)

    @rule(name=groups, class_name=st.sampled_from((None, "deleting", "retaining")))
    def make_a_group(self, name: str, class_name: str | None) -> None:
        spec: Json = {"source": {"selector": {"matchLabels": {"app": "db"}}}}
        if class_name is not None:
            spec["volumeGroupSnapshotClassName"] = class_name
        self.world.make("group", name, {"spec": spec}, namespace=NAMESPACE)

    @rule(name=snapshots, policy=policies)
    def import_a_snapshot(self, name: str, policy: str) -> None:
        if f"imported-{name}" in self.world.objects["content"]:
            return
        self.imports += 1
        handle = self.world.storage.cut(f"import-{self.imports}")
        self._import("snapshot", name, {"snapshotHandle": handle}, policy)

    @rule(name=groups, policy=policies)
    def import_a_group(self, name: str, policy: str) -> None:
        if f"imported-{name}" in self.world.objects["group content"]:
            return
        self.imports += 1
        handle = self.world.storage.cut_group(f"import-{self.imports}", ["vol-x", "vol-y"])
        members = list(self.world.storage.groups[handle].values())
        source = {"volumeGroupSnapshotHandle": handle, "volumeSnapshotHandles": members}
        self._import("group", name, {"groupSnapshotHandles": source}, policy)
        for number, member in enumerate(members):
            self._import("snapshot", f"{name}-{number}", {"snapshotHandle": member}, policy)
            self.world.keep(member)

    def _import(self, kind: Kind, name: str, source: Json, policy: str) -> None:
        content = f"imported-{name}"
        ref, asked = (
            ("volumeSnapshotRef", "volumeSnapshotContentName")
            if kind == "snapshot"
            else ("volumeGroupSnapshotRef", "volumeGroupSnapshotContentName")
        )
        spec = {
            "driver": DRIVER,
            "deletionPolicy": policy,
            "source": source,
            ref: {"name": name, "namespace": NAMESPACE},
        }
        self.world.make(CONTENTS[kind], content, {"spec": spec})
        self.world.make(kind, name, {"spec": {"source": {asked: content}}}, namespace=NAMESPACE)

    @rule(kind=kinds, place=places)
    def delete_a_request(self, kind: Kind, place: int) -> None:
        if (key := self.pick(kind, place)) is not None:
            self.world.delete(kind, key)

    @rule(kind=kinds, place=places)
    def delete_a_content(self, kind: Kind, place: int) -> None:
        if (key := self.pick(CONTENTS[kind], place)) is not None:
            content = self.world.objects[CONTENTS[kind]][key]
            if not self.ref(content).get("uid"):
                self.world.keep(self.imported(content))
            self.world.delete(CONTENTS[kind], key)

    @rule(kind=kinds, place=places)
    def tear_a_content_away(self, kind: Kind, place: int) -> None:
        """Somebody takes its finalizers off and deletes it."""
        if (key := self.pick(CONTENTS[kind], place)) is not None:
            content = self.world.objects[CONTENTS[kind]][key]
            self.world.keep(content.get("status", {}).get(HANDLE[CONTENTS[kind]]) or self.imported(content))
            self.edit(CONTENTS[kind], key, metadata={"finalizers": []})
            self.world.delete(CONTENTS[kind], key)

    @rule(place=places, policy=policies)
    def change_a_policy(self, place: int, policy: str) -> None:
        key = self.pick("content", place)
        if key is None or names.MEMBER_OF_GROUP in self.annotations("content", key):
            return
        uids = {each["metadata"]["uid"] for each in self.world.objects["snapshot"].values()}
        # Whoever asks for the deletion of what was retained deletes the content as well.
        if self.ref(self.world.objects["content"][key]).get("uid", "") in {"", *uids}:
            self.edit("content", key, spec={"deletionPolicy": policy})

    @rule(place=places)
    def take_owners_away(self, place: int) -> None:
        """As the garbage collector does when a group is deleted and its members are to be orphans."""
        if (key := self.pick("snapshot", place)) is not None:
            self.edit("snapshot", key, metadata={"ownerReferences": []})

    @rule(place=places)
    def restore_a_snapshot(self, place: int) -> None:
        if (key := self.pick("snapshot", place)) is not None:
            source = {"apiGroup": names.SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": key.partition("/")[2]}
            body = {"spec": {"dataSource": source}, "status": {"phase": "Pending"}}
            self.world.make("claim", "restored", body, namespace=NAMESPACE)

    def end_the_restore(self) -> None:
        self.world.delete("claim", f"{NAMESPACE}/restored")

    @rule()
    def fail_at_the_storage(self) -> None:
        self.world.storage.fails = True

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.go_on()

    @rule(kind=kinds, place=places, steps=st.integers(1, 6), writes=st.integers(0, 5))
    def serve(self, kind: Kind, place: int, steps: int, writes: int) -> None:
        """The controller comes so far, and is killed."""
        key = self.pick(kind, place)
        for step in range(steps):
            if key is not None and key in self.world.objects[kind]:
                self.world.serve(kind, key, writes=writes if step == steps - 1 else 100)

    @rule(kind=kinds, place=places, steps=st.integers(1, 3))
    def tend(self, kind: Kind, place: int, steps: int) -> None:
        key = self.pick(CONTENTS[kind], place)
        for _ in range(steps):
            if key is not None and key in self.world.objects[CONTENTS[kind]]:
                self.world.tend(CONTENTS[kind], key)

    @precondition(lambda self: not self.world.storage.fails)
    @rule()
    def come_to_rest(self) -> None:
        self.world.rest()
        self.nothing_waits_in_vain()

    def pick(self, kind: Kind, place: int) -> str | None:
        keys = sorted(self.world.objects[kind])
        return keys[place % len(keys)] if keys else None

    def annotations(self, kind: Kind, key: str) -> Json:
        found: Json = self.world.objects[kind][key]["metadata"].get("annotations", {})
        return found

    def edit(self, kind: Kind, key: str, **parts: Json) -> None:
        if (found := self.world.objects[kind].get(key)) is not None:
            self.world.change(kind, key, found | {part: found.get(part, {}) | given for part, given in parts.items()})

    def nothing_waits_in_vain(self) -> None:
        """Where the storage works, a request that is not being deleted is served, or its user is told why not."""
        for kind in REQUESTS:
            for key, request in self.world.objects[kind].items():
                action = self.world.planned(kind, key)
                if isinstance(action, Wait) and not is_deleting(request):
                    assert self.waits_for_its_group(request), f"{kind} {key} waits for nothing: {request}"
                if isinstance(action, Refuse):
                    assert request["status"]["error"]["message"] == action.problem
                if isinstance(action, Settle) and not is_deleting(request):
                    assert request["status"]["readyToUse"] is True
                    assert "error" not in request["status"]

    def waits_for_its_group(self, request: Json) -> bool:
        """Whether a group that this is a member of is not served itself, or is going."""
        owners = {reference["uid"] for reference in request["metadata"].get("ownerReferences", [])}
        return any(
            isinstance(self.world.planned("group", key), Refuse) or is_deleting(group)
            for key, group in self.world.objects["group"].items()
            if group["metadata"]["uid"] in owners
        )

    def teardown(self) -> None:
        """In the end all is mended, and all requests are deleted."""
        self.world.storage.fails = False
        self.end_the_restore()
        self.world.rest()
        self.nothing_waits_in_vain()
        for kind in REQUESTS:
            for key in list(self.world.objects[kind]):
                self.world.delete(kind, key)
        self.world.rest()
        for kind in REQUESTS:
            assert not self.world.objects[kind]
        for key, claim in self.world.objects["claim"].items():
            assert not claim["metadata"].get("finalizers"), f"{key} is held for nothing"
        for kind in CONTENTS.values():
            for key, content in self.world.objects[kind].items():
                kept = content["spec"]["deletionPolicy"] == "Retain" and is_marked(kind, content)
                assert kept or not self.ref(content).get("uid"), f"{kind} {key} is left behind"
                self.world.keep(content.get("status", {}).get(HANDLE[kind]) or self.imported(content))
        assert set(self.world.storage.handles) <= self.world.let_go, "something is left on the storage"

    @staticmethod
    def ref(content: Json) -> Json:
        found: Json = content["spec"].get("volumeSnapshotRef") or content["spec"]["volumeGroupSnapshotRef"]
        return found

    @staticmethod
    def imported(content: Json) -> str:
        source = content["spec"]["source"]
        known = source.get("groupSnapshotHandles", {}).get("volumeGroupSnapshotHandle")
        found: str = source.get("snapshotHandle") or known or ""
        return found


@pytest.mark.timeout(max(300, 2 * EXAMPLES))
def test_whatever_happens_nothing_is_lost_and_nothing_left_behind() -> None:
    """Cases 29, 97, 98, 106, 108, 111, 112, 129, 170, 172; W2, W10, W11, W12, W17, W18, W20, W25."""
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=EXAMPLES or USUAL_EXAMPLES,
            derandomize=not EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
