"""The promises of the sidecar as laws, checked against what API server and driver have seen.

Each write is judged when it is made, each call and each event soon after, and what should come to rest when it has.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from snapshotter import names
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.apiserver.store import Change, Resource
from snapshotter.testing.driver import Call, Driver
from tests.histories import FIRST_RETRY, LONGEST_RETRY
from tests.sidecar.lives import Author, Content, Life, Version
from tests.world import GROUP, KINDS, SINGLE, Kind, Object

LATELY = 5.0
"""Seconds within which the sidecar must have heard of a change, and have done with what it had begun before."""
AT_ONCE = 1.0
"""Seconds between two steps of the sidecar that follow on each other, on a slow machine."""
ON_THE_WAY = 0.3
"""Seconds that a watch event takes on a slow machine."""
JITTER = 0.1
"""The part that chance may take off from a retry."""

OUT_OF_TIME = "Deadline Exceeded"
"""What gRPC says of a driver that is slow, be it only that the machine is."""
OUTCOME_OPEN = ("Canceled", "DeadlineExceeded", "Unavailable", "ResourceExhausted", "Aborted")
"""The codes after which nobody knows what the driver has done, as messages spell them."""
DENIALS = frozenset(
    {
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)
"""The codes that say that nothing was made, whatever is true."""
ROGUE_ERROR = "a rogue was here"
"""What a rogue writes into a status as an error."""
REASONS = {
    SINGLE: {names.CREATION_FAILED, names.CHECK_FAILED, names.DELETE_FAILED, names.DELETE_PENDING},
    GROUP: {names.GROUP_CREATION_FAILED, names.GROUP_CHECK_FAILED, names.GROUP_DELETE_FAILED, names.DELETE_PENDING},
}
YEAR_2020_NS = 1_577_836_800_000_000_000

_EVENTS: Resource = ("", "events")


@dataclass(frozen=True, slots=True)
class Nonsense:
    """Calls that were answered with what cannot be, by a pattern as of `Fault.match`, from one moment on."""

    pattern: re.Pattern[str]
    since: float
    until: list[float] = field(default_factory=list)

    def met(self, call: Call) -> bool:
        over = bool(self.until) and call.started_monotonic > self.until[0]
        return call.started_monotonic >= self.since and not over and self.pattern.search(call.name) is not None


class Chronicle:
    """What has happened to each content, and what of it should not have."""

    def __init__(self, server: ApiServer, driver: Driver, secret_value: str) -> None:
        self.lives: dict[str, Life] = {}
        self.broken: list[str] = []
        self.disturbances: list[float] = []
        """When something happened that concerns every content: classes, secrets, the driver, the sidecar."""
        self.late_since: dict[Kind, float] = {}
        """Since when, before the next rest, the sidecar may hear of changes late, or begin anew at any time."""
        self.nonsense: list[Nonsense] = []
        self._troubles: list[tuple[str, Callable[[Content], bool]]] = []
        self._server = server
        self._driver = driver
        self._secret_value = secret_value
        self._author: Author | None = None
        self._kinds: dict[Resource, Kind] = {(kind.api.split("/")[2], kind.plural): kind for kind in KINDS}
        self._told: list[Object] = []
        self._warned: Counter[tuple[str, str]] = Counter()
        self._released: list[tuple[Life, str]] = []
        self._seen = 0
        self._running: list[tuple[Call, Life]] = []
        self._since_rest: dict[str, list[Call]] = {}
        self._group_members: set[str] = set()
        server._store.listen(self._changed)

    @contextmanager
    def written_by(self, author: Author) -> Iterator[None]:
        """What is written within is written by somebody else than the sidecar. Nothing may wait within."""
        self._author = author
        try:
            yield
        finally:
            self._author = None

    def alive(self, kind: Kind) -> list[Life]:
        """The contents that there are, the oldest first."""
        return [life for life in self.lives.values() if life.kind is kind and not life.gone]

    def trouble(self, what: str, concerns: Callable[[Content], bool] = lambda _: True) -> None:
        """Until the next rest the contents that it concerns may be spoken of with a warning."""
        self.disturb()
        self._troubles.append((what, concerns))
        for life in self.lives.values():
            if not life.gone and concerns(life.last):
                life.troubles.append(what)

    def sidecar_ends(self) -> None:
        """The next sidecar knows nothing of the calls of this one that the driver is still at."""
        for life in self.lives.values():
            if (life.kind.create, life.last.cut_name) in self._driver._gate._under_way and life.last.handle is not None:
                life.deceived.append("the sidecar ended amid a call")

    def disturb(self) -> None:
        self.disturbances.append(time.monotonic())

    def hears_late(self, kind: Kind) -> None:
        self.late_since.setdefault(kind, time.monotonic())

    def may_hold(self, content: Content) -> bool:
        """Whether the driver has, or is about to have, what this content was cut to."""
        records = self._driver._store.snapshots if content.kind is SINGLE else self._driver._store.groups
        return content.cut_name in records.by_name or (content.kind.create, content.cut_name) in (
            self._driver._gate._under_way
        )

    def holds(self, kind: Kind, handle: str) -> bool:
        return handle in (self._driver.snapshots if kind is SINGLE else self._driver.groups)

    def is_warned_of(self, life: Life, reason: str | None = None) -> bool:
        return any(uid == life.uid and reason in (None, told) for uid, told in self._warned)

    @property
    def can_look_up(self) -> bool:
        """Whether the driver can be asked for a single snapshot."""
        return self._driver.options.get_snapshot or self._driver.options.list_snapshots

    def class_of(self, content: Content) -> Object | None:
        """The class that it names, if there is one."""
        return self._server.get(f"{content.kind.snapshot_class.lower()}es", content.class_name or "")

    def parameters_of(self, content: Content) -> dict[str, str]:
        """What the driver is told with a cut."""
        parameters = (self.class_of(content) or {}).get("parameters") or {}
        return {key: value for key, value in parameters.items() if not key.startswith(names.RESERVED_PREFIX)}

    def size_of(self, handle: str) -> int | None:
        """What the driver says of a snapshot's size."""
        snapshot = self._driver.snapshots.get(handle)
        return None if snapshot is None or self._driver.options.omit_size else snapshot.size_bytes

    # Writes.

    def _changed(self, resource: Resource, change: Change) -> None:
        if resource == _EVENTS and change.type != "DELETED":
            self._told.append(change.new.fresh())
        if (kind := self._kinds.get(resource)) is None:
            return
        author = self._author or ("cluster" if _in_housekeeping() else "sidecar")
        new = Content(kind, change.new.fresh())
        life = self._life_of(new)
        version = Version(time.monotonic(), author, None if change.type == "DELETED" else new)
        if author == "sidecar" and change.old is not None:
            old = Content(kind, change.old.fresh())
            self._judge(life, old, version.content)
        life.versions.append(version)
        if new.handle is not None:
            life.handles.add(new.handle)

    def _life_of(self, content: Content) -> Life:
        uid = content.metadata["uid"]
        if uid not in self.lives:
            troubles = [what for what, concerns in self._troubles if concerns(content)]
            self.lives[uid] = Life(content.kind, content.name, uid, troubles=troubles)
        return self.lives[uid]

    def _judge(self, life: Life, old: Content, new: Content | None) -> None:
        for law in LAWS_OF_WRITES:
            for complaint in law(self, life, old, new):
                self._complain(f"{life}: {complaint}")
        if old.protected and (new is None or not new.protected) and (forgotten := _forgotten(self, life, old)):
            # Judged when the calls before it are known.
            self._released.append((life, forgotten))

    def _complain(self, complaint: str) -> None:
        self.broken.append(complaint)

    # Calls and events.

    def look(self) -> None:
        """Judge what has happened since the last look."""
        for group in self._driver.groups.values():
            self._group_members.update(group.snapshot_ids)
        calls = self._driver.log.calls
        new, self._seen = calls[self._seen :], len(calls)
        for call in new:
            self._judge_call(call)
        still = []
        for call, life in self._running:
            if call.code is None:
                still.append((call, life))
            else:
                self._note_end(call, life)
        self._running = still
        for life, complaint in self._released:
            if not life.deceived:
                self._complain(f"{life}: {complaint}")
        self._released.clear()
        told, self._told = self._told, []
        for event in told:
            self._judge_event(event)

    def _judge_call(self, call: Call) -> None:
        kind = next((kind for kind in KINDS if call.method in (kind.create, kind.look_up, kind.delete)), None)
        if call.method == "ListSnapshots":
            kind = SINGLE
        if kind is None:
            return
        lives = self._asked_for_by(kind, call)
        if not lives:
            self._complain(f"{call.name} {call.request}: nobody asks for this")
        if call.method == kind.delete and not any(_deletable(life, call) for life in lives):
            self._complain(f"{call.name}: not to be deleted by {[str(life) for life in lives]}")
        if call.method == SINGLE.delete and call.subject in self._group_members:
            self._complain(f"{call.name}: a member of a group is deleted alone")
        for life in lives if len(lives) == 1 else ():
            self._since_rest.setdefault(life.uid, []).append(call)
            self._running.append((call, life))
            for complaint in _misplaced(life, kind, call):
                self._complain(f"{life}: {call.name}: {complaint}")

    def _asked_for_by(self, kind: Kind, call: Call) -> list[Life]:
        """The contents that a call can be for."""
        lives = [life for life in self.lives.values() if life.kind is kind]
        if call.method == kind.create:
            return [life for life in lives if life.last.cut_name == call.request.get("name")]
        handle = call.request.get("snapshot_id" if kind is SINGLE else "group_snapshot_id")
        return [life for life in lives if handle in life.handles or life.last.imported == handle]

    def _note_end(self, call: Call, life: Life) -> None:
        if call.code != "OK":
            life.troubles.append(f"{call.method} {call.code}")
        if any(nonsense.met(call) for nonsense in self.nonsense):
            life.troubles.append(f"{call.method} answered with nonsense")
        if call.method == life.kind.create and call.code in DENIALS and self.may_hold(life.last):
            life.deceived.append(f"{call.code} though it holds {life.last.cut_name}")

    def _judge_event(self, event: Object) -> None:
        message, reason = event["message"], event["reason"]
        life = self.lives.get(event["involvedObject"]["uid"])
        if life is None:
            self._complain(f"an event about nobody: {event}")
            return
        for complaint in self._wrong_about(event, life):
            self._complain(f"{life}: event {reason} ({message}): {complaint}")
        self._warned[life.uid, reason] += 1

    def _wrong_about(self, event: Object, life: Life) -> Iterator[str]:
        message = event["message"]
        if event["reason"] not in REASONS[life.kind] or event["type"] != "Warning":
            yield f"unknown {event['type']} event"
        if not life.troubles and OUT_OF_TIME not in message:
            yield "but it has met no trouble"
        if self._secret_value in message:
            yield "holds a secret"
        if "\n" in message or len(message) > 1024:
            yield "is not one line"
        passing = any(f" failed: {code}: " in message for code in OUTCOME_OPEN)
        if passing and "(attempt 1," in message and not life.tampered and not _error_before(life, message):
            yield "a first passing failure is told"
        if not life.last.ours:
            yield "is about a content of another driver"

    # Rest.

    def rest(self) -> None:
        """Judge the calls that are over now: none overlapped another one, none came too soon."""
        for uid, calls in self._since_rest.items():
            life = self.lives[uid]
            for complaint in (*_overlaps(calls), *self._hurries(life, calls)):
                self._complain(f"{life}: {complaint}")
        self._since_rest.clear()
        self.late_since.clear()
        self._troubles.clear()
        for life in self.lives.values():
            if life.now is not None and life.now.settled and not life.tampered:
                life.troubles.clear()

    def left_behind(self) -> list[str]:
        """What the driver has of contents that are gone, and should not have."""
        return [
            f"{life}: {life.last.cut_name}"
            for life in self.lives.values()
            if life.gone and life.last.ours and life.last.is_to_be_cut and not life.tampered and not life.deceived
            if not any(version.content and version.content.policy == "Retain" for version in life.versions)
            if self.may_hold(life.last)
        ]

    def _hurries(self, life: Life, calls: list[Call]) -> Iterator[str]:
        """The same call again, though nobody has changed anything and the clocks are not over."""
        failures = 0
        for before, after in pairwise(calls):
            ended = before.ended_monotonic
            stirred = self._may_hear_something(life, before.started_monotonic, after.started_monotonic)
            if ended is None or before.method != after.method or before.code == "CANCELLED" or stirred:
                failures = 0
                continue
            failures = failures + 1 if before.code != "OK" else 0
            retry = min(FIRST_RETRY * 2.0 ** (failures - 1), LONGEST_RETRY) if failures else FIRST_RETRY
            if (gap := after.started_monotonic - ended) < retry * (1 - JITTER) - 0.005:
                yield f"{after.name} comes {gap:.3f}s after {before.code}, the failure {failures} in a row"

    def _may_hear_something(self, life: Life, begin: float, end: float) -> bool:
        """Whether news that change what is to be done may have come to the sidecar between."""
        said = begin - ON_THE_WAY
        return (
            end >= self.late_since.get(life.kind, end + 1)
            or life.touched_between(said, end)
            or any(said <= at <= end for at in self.disturbances)
        )


def _in_housekeeping() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == "housekeeping"


def _error_before(life: Life, message: str) -> bool:
    """Whether its status told of an error before this one."""
    errors = [version.content.error for version in life.versions if version.content and version.content.error]
    return bool(errors) and errors[0] != message


# What the sidecar may write.


def only_what_is_ours(_: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if not old.ours:
        yield "the sidecar writes to a content of another driver"
    if new is None:
        if held := [name for name in old.finalizers if name != life.kind.finalizer]:
            yield f"it is let go though {held} hold it"
        return
    if new.spec != old.spec:
        yield f"the spec is changed: {old.spec} to {new.spec}"
    if new.labels != old.labels:
        yield f"labels are changed: {old.labels} to {new.labels}"
    mark = life.kind.being_created
    if _without(new.annotations, mark) != _without(old.annotations, mark):
        yield f"foreign annotations are changed: {old.annotations} to {new.annotations}"
    foreign_before, foreign_after = (
        [name for name in content.finalizers if name != life.kind.finalizer] for content in (old, new)
    )
    if foreign_before != foreign_after:
        yield f"foreign finalizers are changed: {foreign_before} to {foreign_after}"


def the_finalizer_comes_with_the_mark(_: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if new is not None and new.protected and not old.protected and (old.deleting or not new.being_created):
        yield "the finalizer is added without need"


def nothing_goes_that_should_stay(_: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if not old.protected or (new is not None and new.protected):
        return
    now = time.monotonic()
    if not old.deleting:
        yield "the finalizer is dropped though nobody has deleted the content"
    elif not life.was(lambda content: content.may_go, at=now, within=LATELY):
        yield "the finalizer is dropped before the controller has marked the content"


def identity_is_told_once(_: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if new is None:
        return
    for key in {life.kind.handle, "creationTime", "volumeGroupSnapshotHandle"}:
        before, after = old.status.get(key), new.status.get(key)
        if before and after and before != after:
            yield f"{key} changes from {before} to {after}"
    known = {member.get("volumeHandle"): member for member in old.members}
    for member in new.members:
        before = known.get(member.get("volumeHandle"), member)
        for key in ("snapshotHandle", "creationTime"):
            if not life.tampered and before.get(key) != member.get(key):
                yield f"{key} of a member changes: {before} to {member}"


def a_handle_is_forgotten_when_the_snapshot_is_deleted(
    far: Chronicle, life: Life, old: Content, new: Content | None
) -> Iterator[str]:
    if new is None or old.handle is None or new.handle is not None:
        return
    if far.holds(life.kind, old.handle):
        yield f"the handle {old.handle} is cleared, and the driver has it still"
    if not life.was(lambda content: content.may_go, at=time.monotonic(), within=LATELY):
        yield f"the handle {old.handle} is cleared, though the content is not to go"


def what_becomes_ready_is_ready(far: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if new is None or new.status.get("readyToUse") is not True or old.status.get("readyToUse") is True:
        return
    if new.handle is None:
        yield "ready without a handle"
    # What a rogue has just written the sidecar may not have seen yet; it is cleared later.
    if new.error is not None and not (old.error == new.error == ROGUE_ERROR):
        yield f"ready with an error: {new.error}"
    yield from _untrue(far, new)


def _untrue(far: Chronicle, content: Content) -> Iterator[str]:
    """What a ready content says that the driver does not."""
    if content.kind is SINGLE:
        entries = [content.status | {"readyToUse": True}]
        group_time = None
    else:
        entries = content.members
        group_time = content.status.get("creationTime", "")
        if content.volumes and sorted(content.volumes) != sorted(entry.get("volumeHandle", "") for entry in entries):
            yield f"ready with other members than its volumes: {entries}"
        if not entries:
            yield "ready without members"
    for entry in entries:
        handle = entry.get("snapshotHandle", "")
        if entry.get("readyToUse") is not True:
            yield f"ready with a member that is not: {entry}"
        if (entry.get("creationTime") or 0) < YEAR_2020_NS:
            yield f"created in another time: {entry}"
        # An imported snapshot that cannot be looked up is trusted, and its size is not known.
        known = content.kind is GROUP or content.imported is None or far.can_look_up
        if known and handle in far._driver.snapshots and entry.get("restoreSize") != far.size_of(handle):
            yield f"another size than the driver's {far.size_of(handle)}: {entry}"
    if group_time is not None and not group_time > "2020":
        yield f"created in another time: {group_time}"


def a_failure_is_told_well(far: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if new is None or new.error is None or new.error == old.error:
        return
    if "\n" in new.error or len(new.error) > 1024:
        yield f"the error is not one line: {new.error}"
    if far._secret_value in new.error:
        yield f"the error holds a secret: {new.error}"
    if old.ready and not new.ready:
        yield f"a ready snapshot is not ready any more because of {new.error}"
    if not life.troubles and OUT_OF_TIME not in new.error and not _explained(far, life):
        yield f"an error, but it has met no trouble: {new.error}"


def _explained(far: Chronicle, life: Life) -> bool:
    """Whether a call has failed of which the log is not read yet."""
    calls = far._driver.log.calls[far._seen :]
    return any(life in far._asked_for_by(life.kind, call) for call in calls) or any(
        running is life for _, running in far._running
    )


def what_is_settled_is_left_alone(_: Chronicle, life: Life, old: Content, new: Content | None) -> Iterator[str]:
    if old.settled and not life.tampered:
        yield f"a settled content is written to: {None if new is None else new.raw}"


LawOfWrites = Callable[[Chronicle, Life, Content, Content | None], Iterator[str]]

LAWS_OF_WRITES: tuple[LawOfWrites, ...] = (
    only_what_is_ours,
    the_finalizer_comes_with_the_mark,
    nothing_goes_that_should_stay,
    identity_is_told_once,
    a_handle_is_forgotten_when_the_snapshot_is_deleted,
    what_becomes_ready_is_ready,
    a_failure_is_told_well,
    what_is_settled_is_left_alone,
)


def _forgotten(far: Chronicle, life: Life, old: Content) -> str | None:
    """What a content that is released leaves behind with the driver; None: nothing that it should not."""
    if life.tampered:
        return None
    if old.cut_is_open:
        return "released while a cut has no answer"
    if old.never_bound or life.was(lambda content: content.policy == "Retain", at=time.monotonic(), within=LATELY):
        return None
    if old.is_to_be_cut and far.may_hold(old):
        return f"released, and the driver has {old.cut_name} still"
    left = [handle for handle in life.handles if far.holds(life.kind, handle)]
    if left and not old.is_of_group:
        return f"released, and the driver has {left} still"
    return None


# What the driver may be asked.


def _deletable(life: Life, call: Call) -> bool:
    return life.was(
        lambda content: content.policy == "Delete" and content.marked and content.deleting and not content.is_of_group,
        at=call.started_monotonic,
        within=LATELY,
    )


def _misplaced(life: Life, kind: Kind, call: Call) -> Iterator[str]:
    """What is wrong with a call that is for this content alone."""
    at = call.started_monotonic
    if not life.last.ours:
        yield "for a content of another driver"
    if bool(call.request.get("secrets")) != bool(life.last.secret) and call.method in (kind.create, kind.delete):
        yield f"with the secrets {call.request.get('secrets')}"
    if life.tampered:
        return
    if life.was(lambda content: not content.settled, at=at, within=0.5) is False and not life.gone:
        yield "though nothing is left to do"
    if call.method != kind.create:
        return
    volumes = call.request.get("source_volume_ids") or [call.request.get("source_volume_id")]
    if tuple(volumes) != life.last.volumes:
        yield f"of other volumes than {life.last.volumes}"
    if life.last.is_member:
        yield "of a member of a group"
    if not life.was(lambda content: content.being_created or content.handle is not None, at=at, within=AT_ONCE):
        yield "without the being-created mark"
    if not life.was(lambda content: content.protected, at=at, within=AT_ONCE):
        yield "without the finalizer"


def _overlaps(calls: list[Call]) -> Iterator[str]:
    for one, other in combinations(calls, 2):
        if not one.overlaps(other):
            continue
        # A client that goes away is noticed a moment later.
        noticed = one.ended_monotonic is not None and one.ended_monotonic - other.started_monotonic < LATELY
        if not (one.code == "CANCELLED" and noticed):
            yield f"{one.name} ({one.code}) and {other.name} ({other.code}) overlap"


def _without(entries: Mapping[str, str], key: str) -> dict[str, str]:
    return {name: value for name, value in entries.items() if name != key}


# What holds at rest.


def unrest(far: Chronicle, life: Life) -> str | None:
    """Why a content is not at rest yet although everything works; None when it is."""
    content = life.now
    if content is None or not content.ours or (life.tampered and not content.may_go):
        return None
    problems = _problems(far, content)
    told = content.error is not None and any(problem in content.error for problem in problems)
    told = told and far.is_warned_of(life)
    if content.may_go:
        return None if told or not content.protected else f"is not released; {problems}"
    if content.deleting and not far.is_warned_of(life, names.DELETE_PENDING):
        return "is deleted, and nobody is told what it waits for"
    if content.ready:
        return _unsettled(far, content)
    if _waits_rightly(far, content) or told:
        return None
    return f"is neither ready nor tells why not; {problems or 'nothing is wrong'}"


def _unsettled(far: Chronicle, content: Content) -> str | None:
    if content.error is not None:
        return "is ready, with an error"
    if content.being_created:
        return "is ready, with the being-created mark"
    return next(_untrue(far, content), None)


def _waits_rightly(far: Chronicle, content: Content) -> bool:
    """Whether it is for others to do something."""
    if content.is_member:
        recorded = content.handle is not None and "volumeGroupSnapshotHandle" in content.status
        return not recorded or not far.can_look_up
    return content.is_to_be_cut and content.deleting and not content.protected and not content.being_created


def _problems(far: Chronicle, content: Content) -> list[str]:
    """What keeps a content from being made, looked up or deleted, as its error should say."""
    found = []
    if content.secret == "":
        found.append("must both be set")
    elif content.secret is not None and far._server.get("secrets", content.secret, "default") is None:
        found.append(f"Secret default/{content.secret} are unavailable")
    class_needed = content.is_to_be_cut or (content.imported is not None and content.class_name is not None)
    if class_needed and not (content.may_go and content.handle):
        found.extend(_problems_of_class(far, content))
    if content.is_to_be_cut and content.handle is None:
        if not content.ref_uid:
            found.append("uid is empty")
        found.extend(f"no volume {volume!r}" for volume in content.volumes if volume not in far._driver.volumes)
    if content.is_to_be_cut and not (content.may_go and content.handle) and _made_otherwise(far, content):
        found.append("AlreadyExists")
    known = content.handle or content.imported
    if (content.imported is not None or content.is_member) and known and not far.holds(content.kind, known):
        found.append("NotFound")
    return found


def _made_otherwise(far: Chronicle, content: Content) -> bool:
    """Whether it was cut with other parameters than its class has now; a driver of groups does not mix them up."""
    group = far._driver._store.groups.by_name.get(content.cut_name)
    return content.kind is GROUP and group is not None and group.parameters != far.parameters_of(content)


def _problems_of_class(far: Chronicle, content: Content) -> Iterator[str]:
    if content.class_name is None:
        yield "is not set"
        return
    known = far.class_of(content)
    if known is None:
        yield "does not exist"
    elif known["driver"] != content.spec["driver"]:
        yield "is for driver"
    elif content.imported is not None:
        secret = known.get("parameters", {}).get(names.LIST_SECRET_NAME)
        if secret is not None and far._server.get("secrets", secret, "default") is None:
            yield f"Secret default/{secret} are unavailable"
