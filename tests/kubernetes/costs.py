"""What contents cost the real API server, judged by its audit log for all tests of a session: promise 3.

A content that is cut and is ready at once costs the sidecar three writes (the mark, the status, the end of the mark)
and no read. Counted is what the sidecar asks about it from its first write until its deletion begins. More is planned,
and shown by tests of their own, for a content

* whose status says first that it is not ready: each such status is a write more;
* whose status has told an error, or one of whose writes was refused: it is tried again;
* that somebody else got in the way of: wrote to it before it was ready, such as who takes the mark away; or a request
  was in trouble at the gate; or a process of the sidecar began or took the lease meanwhile, as after a kill and at a
  hand-over.

The last two are not judged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from snapshotter.testing.proxy.api import IN_TROUBLE
from tests.kubernetes import audit

Json = dict[str, Any]

MOST_WRITES: Final = 3
CONTENTS: Final = ("volumesnapshotcontents", "volumegroupsnapshotcontents")


@dataclass(slots=True)
class Life:
    """The sidecar's requests about one content, until its deletion begins."""

    name: str
    began_in: int
    """Which reign of the sidecar's processes it was."""
    ended_in: int
    writes: int = 0
    reads: int = 0
    not_ready: int = 0
    """Statuses that say that it is not ready yet."""
    is_ready: bool = False
    is_disturbed: bool = False
    is_deleted: bool = False

    @property
    def is_simple(self) -> bool:
        """Whether it was cut, and nobody and nothing got in the way."""
        return self.is_ready and not self.is_disturbed and self.began_in == self.ended_in

    @property
    def is_cheap(self) -> bool:
        return self.reads == 0 and self.writes <= MOST_WRITES + self.not_ready


def complaints(log: Iterable[Json]) -> list[str]:
    """The contents that cost more than is planned."""
    return [
        f"{life.name} costs the sidecar {life.writes} writes and {life.reads} reads"
        for life in lives(log)
        if life.is_simple and not life.is_cheap
    ]


def lives(log: Iterable[Json]) -> Iterator[Life]:
    """Those of all contents that the sidecar has written to."""
    found: dict[str, Life] = {}
    by_name: dict[tuple[str, str], Life] = {}
    reign, leader = 0, ""
    for line in log:
        about, body = line.get("objectRef", {}), line.get("requestObject")
        place = about.get("resource", ""), about.get("name", "")
        if line["user"]["username"] != audit.SIDECAR:
            if line["verb"] in ("patch", "update") and place in by_name:
                by_name[place].is_disturbed |= not by_name[place].is_ready
            continue
        if place[0] == "selfsubjectaccessreviews":
            reign += 1
        elif place[0] == "leases" and (holder := _holder(body)) not in (None, leader):
            reign, leader = reign + 1, str(holder)
        if place[0] not in CONTENTS or line["verb"] in ("list", "watch"):
            continue
        if line["verb"] == "get":
            life = by_name.get(place)
        else:
            life = by_name[place] = found.setdefault(_uid(body), Life(place[1], reign, reign))
        if life is not None and not life.is_deleted:
            _take_note(life, line, reign)
    yield from found.values()


def _take_note(life: Life, line: Json, reign: int) -> None:
    body = line.get("requestObject")
    if _deletes(body):
        life.is_deleted = True
        return
    life.ended_in = reign
    if line["responseStatus"]["code"] >= 300 or line["userAgent"].endswith(IN_TROUBLE):
        life.is_disturbed = True
    if line["verb"] == "get":
        life.reads += 1
        return
    life.writes += 1
    if line["objectRef"].get("subresource") == "status":
        told = dict(_told(body))
        life.is_disturbed |= "error" in told
        is_ready = told.get("readyToUse", life.is_ready)
        life.is_ready |= is_ready is True
        life.not_ready += is_ready is not True


def _told(body: Any) -> Iterator[tuple[str, Any]]:
    """The fields of the status that a JSON patch writes."""
    for step in body:
        if step["op"] in ("add", "replace") and step["path"] == "/status":
            yield from step["value"].items()
        elif step["op"] != "test" and step["path"].startswith("/status/"):
            yield step["path"].split("/")[2], step.get("value")


def _deletes(body: Any) -> bool:
    """Whether it forgets the handle, or lets the content go."""
    return isinstance(body, list) and any(
        step["path"].startswith("/metadata/finalizers") or (step["op"] == "remove" and step["path"].endswith("Handle"))
        for step in body
        if step["op"] != "test"
    )


def _uid(body: Any) -> str:
    """Of the content; each write of the sidecar names it, so that it hits no other one of the name."""
    if isinstance(body, dict):
        return str(body["metadata"]["uid"])
    (uid,) = (step["value"] for step in body if step["op"] == "test" and step["path"] == "/metadata/uid")
    return str(uid)


def _holder(body: Any) -> str | None:
    return body.get("spec", {}).get("holderIdentity") if isinstance(body, dict) else None
