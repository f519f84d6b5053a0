"""Both kinds of contents, so that a law that holds for both is tested once.

With them come all contents that the decisions tell apart.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from snapshotter import names
from snapshotter.model.content import Content, ContentStatus
from snapshotter.model.group_content import GroupContent, GroupContentStatus
from snapshotter.model.lifecycle import AnyContent
from snapshotter.plan import content as singles
from snapshotter.plan import group_content as groups
from snapshotter.plan.lifecycle import Plan
from tests.factories import (
    SNAPSHOT_UID,
    content,
    group_class,
    group_content,
    member_info,
    snapshot_class,
    terms,
)

MEMBERS = (member_info(1), member_info(2))


@dataclass(frozen=True)
class Kind:
    """A kind of content, and its plan as those see it who carry it out."""

    make: Callable[..., Any]
    every: Callable[[], tuple[Any, ...]]
    plan: Plan[Any, Any, Any]
    any_class: object
    creates: type
    deletes: type
    no_source: tuple[Mapping[str, Any], ...]
    emptied: object
    """The status that is left when the storage has deleted what it stood for."""
    snapshot: str

    def action(self, given: AnyContent) -> object:
        """What is to be done for a content whose class is there and without mistakes."""
        action: object = self.plan.next_action(given, self.any_class, terms())
        return action

    def goes_alone(self, given: AnyContent) -> bool:
        """Whether the content decides about what it stands for; a member's group decides about the member."""
        return not isinstance(given, Content) or not (given.is_group_member or given.has_group_handle)


@cache
def every_content() -> tuple[Content, ...]:
    """All combinations of what the decision about a single content turns on."""
    sorts: list[dict[str, str]] = [{}, {"imported": "snap-1"}, {"member_of": "group-1"}]
    return tuple(
        content(
            **sort,  # type: ignore[arg-type]
            policy="Delete" if deletes else "Retain",
            ref_uid=SNAPSHOT_UID if bound else "",
            deleting=deleting,
            being_created=being_created,
            being_deleted=being_deleted,
            handle="snap-1" if cut else None,
            ready=ready,
            group_handle="group-1" if grouped else None,
            finalizers=(names.CONTENT_FINALIZER,) if protected else (),
        )
        for sort in sorts
        for deletes, bound, deleting, being_created, being_deleted, cut, grouped, protected in itertools.product(
            (False, True), repeat=8
        )
        for ready in (None, False, True)
    )


@cache
def every_group_content() -> tuple[GroupContent, ...]:
    """All combinations of what the decision about a group content turns on."""
    return tuple(
        group_content(
            imported=imported,
            policy="Delete" if deletes else "Retain",
            ref_uid=SNAPSHOT_UID if bound else "",
            deleting=deleting,
            being_created=being_created,
            being_deleted=being_deleted,
            handle="group-1" if cut else None,
            ready=ready,
            members=MEMBERS if listed else (),
            finalizers=(names.GROUP_CONTENT_FINALIZER,) if protected else (),
        )
        for imported in (None, "group-1")
        for deletes, bound, deleting, being_created, being_deleted, cut, listed, protected in itertools.product(
            (False, True), repeat=8
        )
        for ready in (None, False, True)
    )


SINGLE = Kind(
    make=content,
    every=every_content,
    plan=singles.PLAN,
    any_class=snapshot_class(),
    creates=singles.CreateSnapshot,
    deletes=singles.DeleteSnapshot,
    no_source=({"volume": ""}, {"volume": "", "imported": ""}),
    emptied=ContentStatus(),
    snapshot="VolumeSnapshot ns/snap",
)
GROUP = Kind(
    make=group_content,
    every=every_group_content,
    plan=groups.PLAN,
    any_class=group_class(),
    creates=groups.CreateGroupSnapshot,
    deletes=groups.DeleteGroupSnapshot,
    no_source=({"volumes": ()}, {"imported": ""}),
    emptied=GroupContentStatus(volume_snapshot_info_list=MEMBERS),
    snapshot="VolumeGroupSnapshot ns/group",
)

of_both_kinds = pytest.mark.parametrize("kind", [SINGLE, GROUP], ids=["single", "group"])
