"""When the API server is asked about permissions, and what is told of its answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from snapshotter.daemon.permissions import EACH, EACH_UNSETTLED, MOST_SECRETS, SECOND_LOOK, Permissions
from snapshotter.kube.access import Answers
from snapshotter.kube.errors import NotFound
from snapshotter.metrics import DaemonMetrics
from snapshotter.names import GROUP_SNAPSHOT_GROUP
from snapshotter.plan.permissions import Access, Permission, Where, sidecar
from snapshotter.plan.secrets import SecretRef

pytestmark = pytest.mark.looptime

LIST = Permission("list", "example.com", "things", "things", "there are none", required=True)
STATUS = Permission("patch", "example.com", "things", "status of things", "it stays", subresource="status")
SECRETS = Permission("get", "", "secrets", "credentials", "no calls", Where.SECRETS)
LEASE = Permission("update", "coordination.k8s.io", "leases", "election", "nobody leads", Where.LEASE, required=True)
TABLE = (LIST, STATUS, SECRETS, LEASE)

TO_LIST = Access("list", "example.com", "things")
TO_PATCH = Access("patch", "example.com", "things", "status")
TO_LEAD = Access("update", "coordination.k8s.io", "leases", namespace="ns", name="leader")


def to_read(name: str) -> Access:
    return Access("get", "", "secrets", namespace="ns", name=name)


class Role:
    """What is missing, and when somebody asked for what."""

    def __init__(self, *missing: Access) -> None:
        self.missing = set(missing)
        self.trouble: NotFound | None = None
        self.unserved: set[str] = set()
        self.asked: list[tuple[float, frozenset[Access]]] = []

    async def ask(self, accesses: Iterable[Access]) -> Answers:
        accesses = frozenset(accesses)
        self.asked.append((asyncio.get_running_loop().time(), accesses))
        if self.trouble is not None:
            return Answers(trouble=self.trouble)
        return Answers({access: access not in self.missing for access in accesses})

    async def serves(self, group: str) -> bool:
        return group not in self.unserved

    def times(self) -> list[float]:
        return [round(time) for time, _ in self.asked]


class Checked:
    """The check of a role at work, with what it has told."""

    def __init__(self, role: Role, log: list[Any]) -> None:
        self.role = role
        self.metrics = DaemonMetrics(CollectorRegistry())
        self.permissions = Permissions(TABLE, self.metrics)
        self.log = log

    def lines(self, event: str) -> list[dict[str, str]]:
        """The key-values of the lines so far, without those that go without saying."""
        without_saying = ("event", "log_level")
        return [
            {key: value for key, value in line.items() if key not in without_saying}
            for line in self.log
            if line["event"] == event
        ]

    def metric(self) -> dict[tuple[str, ...], float]:
        """Values by verb, group, resource and feature."""
        (family,) = self.metrics.permission_missing.collect()
        labels = ("verb", "group", "resource", "needed_for")
        return {tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples}


@asynccontextmanager
async def checked(*missing: Access) -> AsyncIterator[Checked]:
    with structlog.testing.capture_logs() as log:
        made = Checked(Role(*missing), log)
        task = asyncio.create_task(made.permissions.run(made.role))
        await asyncio.sleep(0.01)
        try:
            yield made
            assert not task.done(), "the check goes on for ever"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_role_that_gives_everything_is_not_talked_about() -> None:
    async with checked() as made:
        await asyncio.sleep(10 * EACH)
        assert made.log == []
        assert made.permissions.trouble() == []
        assert made.metric() == {
            ("list", "example.com", "things", "things"): 0,
            ("patch", "example.com", "things/status", "status of things"): 0,
        }


async def test_everything_is_asked_at_once_soon_again_and_then_now_and_then() -> None:
    async with checked() as made:
        await asyncio.sleep(3 * EACH)
        assert made.role.times() == [0, SECOND_LOOK, SECOND_LOOK + EACH, SECOND_LOOK + 2 * EACH]
        assert {accesses for _, accesses in made.role.asked} == {frozenset({TO_LIST, TO_PATCH})}


async def test_what_is_missing_is_named_once_by_log_and_metric_and_again_when_it_is_given() -> None:
    async with checked(TO_PATCH) as made:
        named = {
            "verb": "patch",
            "resource": "things/status",
            "group": "example.com",
            "needed_for": "status of things",
        }
        labels = ("patch", "example.com", "things/status", "status of things")
        await asyncio.sleep(2 * EACH)
        assert made.lines("permission is missing") == [named | {"without_it": "it stays"}]
        assert made.metric()[labels] == 1
        made.role.missing.clear()
        await asyncio.sleep(EACH_UNSETTLED + 1)
        assert made.lines("permission is given") == [named]
        assert made.metric()[labels] == 0
        assert len(made.log) == 2


async def test_only_what_is_required_keeps_the_program_from_being_ready() -> None:
    async with checked(TO_PATCH, TO_LIST) as made:
        assert made.permissions.trouble() == ['permission is missing: list things in API group "example.com"']
        levels = {line["resource"]: line["log_level"] for line in made.log}
        assert levels == {"things": "error", "things/status": "warning"}
        made.role.missing.clear()
        await asyncio.sleep(EACH_UNSETTLED + 1)
        assert made.permissions.trouble() == []


async def test_what_is_missing_alone_is_asked_often() -> None:
    async with checked(TO_PATCH) as made:
        await asyncio.sleep(EACH)
        in_between = made.role.asked[2:]
        assert {accesses for _, accesses in in_between} == {frozenset({TO_PATCH})}
        assert len(in_between) == pytest.approx(EACH / EACH_UNSETTLED, abs=2)


async def test_a_refusal_in_work_is_asked_about_soon() -> None:
    async with checked() as made:
        await asyncio.sleep(100)
        made.role.missing.add(TO_PATCH)
        made.permissions.refused(Access("patch", "example.com", "things", "status", name="one"))
        await asyncio.sleep(3)
        assert made.role.asked[-1][1] == {TO_PATCH}
        assert len(made.lines("permission is missing")) == 1


async def test_refusals_of_what_is_known_to_be_missing_are_no_news() -> None:
    async with checked(TO_PATCH) as made:
        await asyncio.sleep(100)
        before = len(made.role.asked)
        for number in range(1000):
            made.permissions.refused(Access("patch", "example.com", "things", "status", name=f"thing-{number}"))
            await asyncio.sleep(0.01)
        assert len(made.role.asked) - before <= 1


async def test_however_much_is_refused_for_other_reasons_few_questions_are_asked() -> None:
    async with checked() as made:
        await asyncio.sleep(100)
        before = len(made.role.asked)
        for number in range(1000):
            made.permissions.refused(Access("patch", "example.com", "things", "status", name=f"thing-{number}"))
            await asyncio.sleep(0.01)
        assert len(made.role.asked) - before <= 11


async def test_the_lease_is_asked_about_when_its_name_is_known() -> None:
    async with checked(TO_LEAD) as made:
        made.permissions.expect_lease("ns", "leader")
        await asyncio.sleep(2)
        assert made.role.asked[-1][1] == {TO_LEAD}
        assert made.permissions.trouble() == [f"permission is missing: {TO_LEAD}"]
        (line,) = made.lines("permission is missing")
        assert (line["namespace"], line["name"]) == ("ns", "leader")


async def test_secrets_are_asked_about_by_name_and_share_a_series() -> None:
    async with checked(to_read("two")) as made:
        labels = ("get", "", "secrets", "credentials")
        made.permissions.expect_secrets(
            lambda: [SecretRef("ns", "one"), SecretRef("ns", "two"), SecretRef("ns", "one")]
        )
        assert labels not in made.metric()
        await asyncio.sleep(SECOND_LOOK + 1)
        assert {to_read("one"), to_read("two")} < made.role.asked[-1][1]
        (line,) = made.lines("permission is missing")
        assert line["name"] == "two"
        assert made.metric()[labels] == 1
        # A Secret that nobody names any more is not missed.
        made.permissions.expect_secrets(lambda: [SecretRef("ns", "one")])
        await asyncio.sleep(EACH_UNSETTLED + 1)
        assert made.metric()[labels] == 0
        assert made.lines("permission is given") == []


async def test_of_many_secrets_some_are_asked_about() -> None:
    async with checked() as made:
        made.permissions.expect_secrets(lambda: [SecretRef("ns", f"secret-{number:04}") for number in range(1000)])
        await asyncio.sleep(EACH)
        asked = made.role.asked[-1][1] - {TO_LIST, TO_PATCH}
        assert asked == {to_read(f"secret-{number:04}") for number in range(MOST_SECRETS)}


async def test_a_secret_that_was_refused_is_asked_about_soon() -> None:
    async with checked(to_read("new")) as made:
        await asyncio.sleep(100)
        made.permissions.expect_secrets(lambda: [SecretRef("ns", "new")])
        made.permissions.refused(to_read("new"))
        await asyncio.sleep(3)
        assert [line["name"] for line in made.lines("permission is missing")] == ["new"]


async def test_a_server_that_does_not_answer_is_told_of_once_and_asked_again() -> None:
    async with checked() as made:
        made.role.trouble = NotFound("no reviews")
        await asyncio.sleep(100)
        made.permissions.refused(TO_PATCH)
        await asyncio.sleep(400)
        assert made.lines("permissions could not be looked up") == [{"reason": "no reviews"}]
        # What was known stays known.
        assert made.metric()["list", "example.com", "things", "things"] == 0
        pauses = [later - earlier for earlier, later in zip(made.role.times(), made.role.times()[1:], strict=False)]
        assert min(pauses[1:]) >= 10
        made.role.trouble = None
        made.role.missing.add(TO_LIST)
        await asyncio.sleep(EACH)
        assert made.permissions.trouble() != []


async def test_nothing_is_said_of_what_was_never_answered() -> None:
    with structlog.testing.capture_logs() as log:
        made = Checked(Role(), log)
        made.role.trouble = NotFound("no reviews")
        task = asyncio.create_task(made.permissions.run(made.role))
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert made.metric() == {}
    assert made.permissions.trouble() == []
    assert [line["event"] for line in log] == ["permissions could not be looked up"]


async def test_what_is_not_served_is_not_missed_until_it_comes() -> None:
    listing = Access("list", GROUP_SNAPSHOT_GROUP, "volumegroupsnapshotcontents")
    role = Role(listing)
    role.unserved.add(GROUP_SNAPSHOT_GROUP)
    permissions = Permissions(sidecar(), DaemonMetrics(CollectorRegistry()))
    with structlog.testing.capture_logs() as log:
        task = asyncio.create_task(permissions.run(role))
        await asyncio.sleep(100)
        assert log == []
        assert not any(access.group == GROUP_SNAPSHOT_GROUP for _, asked in role.asked for access in asked)
        # The definitions are installed, and the first request of them is refused.
        role.unserved.clear()
        permissions.refused(listing)
        await asyncio.sleep(3)
        assert [line["resource"] for line in log] == [listing.resource]
        # They go again, and nothing is missed any more.
        role.unserved.add(GROUP_SNAPSHOT_GROUP)
        await asyncio.sleep(EACH_UNSETTLED + 1)
        assert len(role.asked[-1][1]) > 0
        before = len(role.asked)
        await asyncio.sleep(100)
        assert len(role.asked) == before
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_question_that_is_about_two_features_names_both() -> None:
    creating = Access("create", "", "events", namespace="default")
    metrics = DaemonMetrics(CollectorRegistry())
    permissions = Permissions(sidecar(), metrics)
    permissions.expect_lease("default", "leader")
    with structlog.testing.capture_logs() as log:
        task = asyncio.create_task(permissions.run(Role(creating)))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    missing = [line["needed_for"] for line in log if line["event"] == "permission is missing"]
    assert missing == ["events", "events about the leader"]
