"""The judgement of costs at the end of a session sees what it is for, and excuses what is planned.

What is judged here is the log of a content that the sidecar has just made, and the same with other requests in it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from snapshotter.testing.proxy.api import IN_TROUBLE
from tests.kubernetes import costs
from tests.kubernetes.server import Kube
from tests.world import KINDS, make_world

Json = dict[str, Any]
Log = list[Json]

ANSWER_SECONDS: Final = 20.0


def changed(line: Json, **changes: Any) -> Json:
    return line | changes


def refused(line: Json) -> Json:
    return changed(line, responseStatus={"code": 409})


def not_ready(line: Json) -> Json:
    """A status of the same content that is not ready yet."""
    uid, *_ = line["requestObject"]
    return changed(line, requestObject=[uid, {"op": "replace", "path": "/status/readyToUse", "value": False}])


def question(line: Json) -> Json:
    """What a process asks when it begins."""
    return changed(line, verb="create", objectRef={"resource": "selfsubjectaccessreviews"})


def by_somebody(line: Json) -> Json:
    return changed(line, user={"username": "somebody"})


PLANTED: Final[dict[str, tuple[Callable[[Log], Log], bool]]] = {
    "three writes": (lambda log: log, False),
    "a fourth write": (lambda log: [*log, log[-1]], True),
    "a second mark": (lambda log: [log[0], *log], True),
    "a read": (lambda log: [*log, changed(log[-1], verb="get", requestObject=None)], True),
    "a status that is written twice": (lambda log: [*log[:2], *log[1:]], True),
    "a status that is not ready first": (lambda log: [log[0], not_ready(log[1]), *log[1:]], False),
    "a fourth write behind such a status": (lambda log: [log[0], not_ready(log[1]), *log[1:], log[-1]], True),
    "a conflict": (lambda log: [refused(log[0]), *log], False),
    "a request in trouble": (lambda log: [changed(log[0], userAgent=f"a{IN_TROUBLE}"), *log], False),
    "a process that begins amid": (lambda log: [log[0], question(log[0]), *log], False),
    "another one's fourth write": (lambda log: [*log, by_somebody(log[-1])], False),
    "a mark that is put back": (lambda log: [log[0], by_somebody(log[0]), *log], False),
    "a fourth write behind another one's": (lambda log: [*log, by_somebody(log[-1]), log[-1]], True),
}
"""What is done to the log of a content, and whether that is complained of."""


async def test_a_fourth_write_and_a_read_are_complained_of_and_what_is_planned_is_not(
    tmp_path: Path, kube: Kube | None
) -> None:
    if kube is None:
        pytest.skip("the stand-in has no audit log")
    before = len(list(kube.audited()))

    def own() -> dict[str, Log]:
        """What the sidecar asked about each content."""
        found: dict[str, Log] = {"one": [], "two": []}
        for line in list(kube.audited())[before:]:
            about = line.get("objectRef", {})
            if about.get("resource") in costs.CONTENTS and about.get("name") in found and line["verb"] == "patch":
                found[about["name"]].append(line)
        return found

    async with make_world(tmp_path, kube=kube) as single:
        worlds = dict(zip(("one", "two"), (single.of(kind) for kind in KINDS), strict=True))
        for world in worlds.values():
            await world.make_class()
        async with single.sidecar(), asyncio.timeout(ANSWER_SECONDS):
            for name, world in worlds.items():
                await world.make_content(name)
            for name, world in worlds.items():
                await world.until(lambda: world.settled(name))  # noqa: B023
        logs = own()
    for log in logs.values():
        assert [life.is_simple for life in costs.lives(log)] == [True]
        found = {what: bool(costs.complaints(plant(log))) for what, (plant, _) in PLANTED.items()}
        assert found == {what: complained for what, (_, complained) in PLANTED.items()}
