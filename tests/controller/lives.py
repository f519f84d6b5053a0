"""The writes in the life of a request, for tests that get in their way, and how the world is to be afterwards."""

from dataclasses import dataclass
from typing import Any, Final

from snapshotter.testing.faults import Fault, Faults
from tests.controller.shop import SINGLES, Shop


@dataclass(frozen=True, slots=True)
class Step:
    """A call in the life of the request `one`, and how many that look like it are let pass."""

    call: str
    skip: int = 0
    of_driver: bool = False

    def faults(self, shop: Shop) -> Faults:
        """The faults of whom the call is made to."""
        return shop.world.driver.faults if self.of_driver else shop.world.server.faults

    def fault(self, **fault: Any) -> Fault:
        """A fault of this one call, or of so many `times`."""
        return Fault(match=self.call, skip=self.skip, **{"times": 1, **fault})


@dataclass(frozen=True, slots=True)
class Life:
    """The steps of one program for one sort of requests."""

    program: str
    making: tuple[Step, ...]
    deleting: tuple[Step, ...]


CONTROLLER_SINGLE: Final = Life(
    "snapshot-controller",
    making=(
        Step("PATCH .*/volumesnapshots/one$"),
        Step("PUT .*/persistentvolumeclaims/data$"),
        Step("POST .*/volumesnapshotcontents$"),
        Step("PATCH .*/volumesnapshots/one/status$"),
        Step("PATCH .*/volumesnapshots/one/status$", skip=1),
        Step("PUT .*/persistentvolumeclaims/data$", skip=1),
    ),
    deleting=(
        Step("PATCH .*/volumesnapshotcontents/[^/]*$"),
        Step("DELETE .*/volumesnapshotcontents/"),
        Step("PATCH .*/volumesnapshots/one$"),
    ),
)
CONTROLLER_GROUP: Final = Life(
    "snapshot-controller",
    making=(
        Step("PATCH .*/volumegroupsnapshots/one$"),
        Step("PUT .*/persistentvolumeclaims/data$"),
        Step("PUT .*/persistentvolumeclaims/log$"),
        Step("POST .*/volumegroupsnapshotcontents$"),
        Step("PATCH .*/volumegroupsnapshots/one/status$"),
        Step("POST .*/volumesnapshots$"),
        Step("POST .*/volumesnapshots$", skip=1),
        Step("POST .*/volumesnapshotcontents$"),
        Step("POST .*/volumesnapshotcontents$", skip=1),
        Step("PATCH .*/volumesnapshotcontents/[^/]*/status$"),
        Step("PATCH .*/volumesnapshotcontents/[^/]*/status$", skip=1),
        Step("PATCH .*/volumesnapshots/[^/]*/status$"),
        Step("PATCH .*/volumesnapshots/[^/]*/status$", skip=1),
        Step("PATCH .*/volumegroupsnapshots/one/status$", skip=1),
        Step("PUT .*/persistentvolumeclaims/data$", skip=1),
    ),
    deleting=(
        Step("PATCH .*/volumegroupsnapshotcontents/[^/]*$"),
        Step("DELETE .*/volumesnapshots/"),
        Step("DELETE .*/volumesnapshots/", skip=1),
        Step("DELETE .*/volumegroupsnapshotcontents/"),
        Step("PATCH .*/volumegroupsnapshots/one$"),
        Step("PATCH .*/volumesnapshotcontents/[^/]*$"),
        Step("DELETE .*/volumesnapshotcontents/"),
        Step("PATCH .*/volumesnapshots/[^/]*$"),
    ),
)


def assert_that_there_is_one_of_each(shop: Shop) -> None:
    """One content for the request, and one snapshot for each volume, each with one content."""
    server, driver = shop.world.server, shop.world.driver
    assert not shop.error("one")
    assert shop.content("one") is not None
    if shop.sort is SINGLES:
        assert len(server.list("volumesnapshotcontents")) == len(driver.snapshots) == 1
        return
    assert len(server.list("volumegroupsnapshotcontents")) == len(driver.groups) == 1
    members = shop.members("one")
    assert sorted(member["spec"]["source"]["persistentVolumeClaimName"] for member in members) == ["data", "log"]
    assert len(server.list("volumesnapshots")) == 2
    contents = server.list("volumesnapshotcontents")
    assert {content["metadata"]["name"] for content in contents} == {
        member["status"]["boundVolumeSnapshotContentName"] for member in members
    }
    assert {content["status"]["snapshotHandle"] for content in contents} == set(driver.snapshots)
    assert len(contents) == len(driver.snapshots) == 2


def assert_that_nobody_was_alarmed(shop: Shop) -> None:
    assert [event for event in shop.world.server.list("events") if event["type"] == "Warning"] == []
