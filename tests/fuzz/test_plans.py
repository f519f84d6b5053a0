"""No odd object can make a plan fail: what can be read at all is decided about, told of and counted.

An exception here would end a watch, and with it the program.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from snapshotter.controller.stores import Stores
from snapshotter.daemon.health import content_states, oldest_deleting, oldest_unready
from snapshotter.kube.kinds import (
    CLAIM,
    CONTENT,
    NODE,
    SNAPSHOT,
    SNAPSHOT_CLASS,
    VOLUME,
    Kind,
    group_class,
    group_content,
    group_snapshot,
)
from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass
from snapshotter.model.lifecycle import AnyClass, AnyContent
from snapshotter.model.snapshot import Capabilities, GroupSnapshot, Snapshot
from snapshotter.plan import content as content_plan
from snapshotter.plan import conversion, group_status, patches, propagation, snapshot
from snapshotter.plan import group_content as group_content_plan
from snapshotter.plan import group_snapshot as group_plan
from snapshotter.plan import status as single_status
from snapshotter.plan.claims import groups_concerned
from snapshotter.plan.lifecycle import Naming, Plan
from snapshotter.plan.lifecycle import Terms as SidecarTerms
from snapshotter.plan.requests import Terms
from snapshotter.plan.secrets import named_secrets, secret_from_annotations
from snapshotter.plan.upkeep import next_step
from snapshotter.runtime.store import SetAside, Store
from tests.fuzz.measure import OBJECTS, SEED
from tests.fuzz.oddities import DRIVER, FORMS, Odd, Oddities, encoded

KINDS: dict[str, Kind[Any]] = {
    kind.plural: kind
    for kind in (
        SNAPSHOT,
        CONTENT,
        SNAPSHOT_CLASS,
        group_snapshot("v1"),
        group_content("v1"),
        group_class("v1"),
        CLAIM,
        VOLUME,
        NODE,
    )
}
READERS = {plural: Reader(kind.type) for plural, kind in KINDS.items()}
NOW = datetime(2024, 5, 6, tzinfo=UTC)
SIDECAR = SidecarTerms(
    driver=DRIVER,
    capabilities=Capabilities(create_delete_snapshot=True, list_snapshots=True, get_snapshot=True, groups=True),
    naming=Naming(uuid_length=8),
    extra_create_metadata=True,
)


class Cluster:
    """Stores that hold a good object of each kind, which fit each other."""

    def __init__(self) -> None:
        self.stores = stores = Stores(groups=True)
        stores.groups.known = True
        self.of: dict[str, Store[Any]] = {
            "volumesnapshots": stores.singles.snapshots,
            "volumesnapshotcontents": stores.singles.contents,
            "volumesnapshotclasses": stores.singles.classes,
            "volumegroupsnapshots": stores.groups.groups,
            "volumegroupsnapshotcontents": stores.groups.contents,
            "volumegroupsnapshotclasses": stores.groups.classes,
            "persistentvolumeclaims": stores.storage.claims,
            "persistentvolumes": stores.storage.volumes,
            "nodes": stores.storage.all_nodes,
        }
        for form in FORMS:
            for name in ("class", "data", "snapcontent-uid", "groupsnapcontent-uid"):
                self.of[form.plural].put(READERS[form.plural].read(encoded(form.good(name, "uid"))))

    def decide(self) -> None:
        """Everything that the snapshot-controller asks its plans in a pass."""
        for distributed in (False, True):
            terms = Terms(distributed=distributed)
            for request in self.stores.singles.snapshots:
                msgspec.json.encode(repr(snapshot.next_action(request, self.stores, terms)))
            for group in self.stores.groups.groups:
                msgspec.json.encode(repr(group_plan.next_action(group, self.stores, terms)))
        for claim in self.stores.storage.claims:
            list(groups_concerned(claim, self.stores))


def judge_content(content: AnyContent, plan: Plan[Any, Any, Any], classes: list[AnyClass]) -> None:
    """Everything that the sidecar asks its plans about a content."""
    for known in (None, *classes):
        action = plan.next_action(content, known, SIDECAR)
        plan.worth_a_look(None, content, known, SIDECAR)
        plan.worth_a_look(content, content, known, SIDECAR)
        plan.lane(content, action)
        plan.attempted(content, action)
        plan.is_pending(content, action)
        plan.secret_of(action)
    secret_from_annotations(content)
    next_step(content)
    patches.mark_being_created(content)
    patches.without_finalizer(content)
    change: Any = single_status.failed(content, "text", NOW)
    msgspec.json.encode(patches.status_patch(content, change))
    answer = Snapshot("handle", True, "vol", 5, None)
    if isinstance(content, Content):
        changes = [single_status.recorded(content, answer, NOW), single_status.cleared(content)]
        propagation.time_of(content)
    else:
        assert isinstance(content, GroupContent)
        group = GroupSnapshot("handle", True, (answer,), None)
        changes = [group_status.recorded(content, group, NOW), group_status.cleared(content)]
    for each in changes:
        if each is not None:
            msgspec.json.encode(patches.status_patch(content, each))


def judge(item: Any) -> None:
    if isinstance(item, Content):
        judge_content(item, content_plan.PLAN, [])
    elif isinstance(item, GroupContent):
        judge_content(item, group_content_plan.PLAN, [])
    elif isinstance(item, AnyClass):
        named_secrets(item.parameters)
        form = FORMS[1] if isinstance(item, SnapshotClass) else FORMS[4]
        assert isinstance(item, SnapshotClass | GroupSnapshotClass)
        plan: Plan[Any, Any, Any] = content_plan.PLAN if isinstance(item, SnapshotClass) else group_content_plan.PLAN
        judge_content(READERS[form.plural].read(encoded(form.good("a", "uid"))), plan, [item])


def read_or_reason(odd: Odd) -> Any:
    try:
        return READERS[odd.plural].read(odd.raw)
    except Unreadable as error:
        return str(error)


@contextmanager
def told_of(odd: Odd) -> Iterator[None]:
    """What goes wrong tells of the object."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{odd.plural}: {odd.what}\n{odd.raw[:2000]!r}")
        raise


@pytest.mark.timeout(3600)
def test_no_odd_object_makes_a_plan_fail() -> None:
    cluster, oddities = Cluster(), Oddities(SEED)
    read = 0
    for _ in range(OBJECTS):
        odd = oddities.next()
        store = cluster.of[odd.plural]
        key = f"{odd.namespace}/{odd.name}" if odd.namespace else odd.name
        with told_of(odd):
            item = read_or_reason(odd)
            if isinstance(item, str):
                assert len(item) < 1000
                assert item.isprintable()
                store.set_aside(SetAside(key, "1", item))
            else:
                read += 1
                store.put(item)
                judge(item)
                if odd.plural.endswith(("contents", "snapshots")):
                    content_states([item])
                    oldest_unready([item], NOW)
                    oldest_deleting([item, *store], NOW)
            cluster.decide()
        store.remove(key)
        if not isinstance(item, str):
            store.remove(item.key)
    assert read > OBJECTS // 5, "most of them say nothing to the plans"


@pytest.mark.timeout(3600)
def test_no_odd_object_makes_the_conversion_fail() -> None:
    oddities = Oddities(SEED + 1)
    forms = [form for form in FORMS if "group" in form.plural]
    for number in range(OBJECTS // 5):
        odd = oddities.next(forms[number % len(forms)])
        for version in ("v1beta1", "v1beta2"):
            with told_of(odd), suppress(conversion.Unconvertible):
                conversion.convert(msgspec.Raw(odd.raw), f"groupsnapshot.storage.k8s.io/{version}")
