"""Which change of a class would give a driver a second default class."""

import pytest

from snapshotter import names
from snapshotter.model.content import SnapshotClass
from snapshotter.plan.default_class import refusal, rivals
from tests.factories import snapshot_class


def a_class(name: str, *, default: str | None = "true", driver: str = "driver") -> SnapshotClass:
    """A default class, unless the annotation is another or none."""
    return snapshot_class(name=name, default=default, driver=driver)


OTHER = a_class("other")

# The class as it will be, as it was, and whether the other default class of the driver stands in its way.
CASES = {
    "a second default class": (a_class("new"), None, True),
    "one that becomes a second default": (a_class("new"), a_class("new", default=None), True),
    "one that was a default with another word": (a_class("new"), a_class("new", default="True"), True),
    "a default that changes to the driver": (a_class("new"), a_class("new", driver="another"), True),
    "one that was a default beside the other already": (a_class("new"), a_class("new"), False),
    "one that is no default": (a_class("new", default=None), None, False),
    "one that is a default no more": (a_class("new", default=None), a_class("new"), False),
    "one with another word": (a_class("new", default="yes"), None, False),
    "a default of another driver": (a_class("new", driver="another"), None, False),
    "the other class itself": (a_class("other"), None, False),
}


@pytest.mark.parametrize(("new", "old", "refused"), CASES.values(), ids=CASES.keys())
def test_only_what_makes_a_second_default_has_a_rival(
    new: SnapshotClass, old: SnapshotClass | None, refused: bool
) -> None:
    bystanders = [a_class("a", default="false"), a_class("b", default=None), a_class("c", driver="elsewhere")]
    assert rivals(new, old, [*bystanders, OTHER]) == ([OTHER] if refused else [])


def test_the_refusal_names_the_other_class_and_the_driver_and_says_what_to_do() -> None:
    assert refusal(a_class("new"), OTHER, "VolumeSnapshotClass", names.DEFAULT_CLASS) == (
        'VolumeSnapshotClass "new" cannot be the default for driver "driver": VolumeSnapshotClass "other" is it '
        "already. Remove the annotation snapshot.storage.kubernetes.io/is-default-class there first."
    )
