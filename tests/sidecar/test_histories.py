"""All promises at once: random histories of users, a controller, a rogue, drivers and API servers in trouble.

A history is a few dozen steps, of singles and groups side by side, each followed by next to no time. What must hold at
each moment is judged with each write, call and event (`chronicle`). Now and then all trouble is over: then everything
has to come to rest, as the objects ask for it. At the end all is deleted, and nothing may be left.

`tests.histories` has what these share with those of both programs.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from prometheus_client import generate_latest

from snapshotter import names
from snapshotter.daemon.running import CannotRun
from snapshotter.settings import DriverSettings, KubeSettings, LogSettings, WorkSettings
from snapshotter.sidecar import app
from snapshotter.sidecar.part import Part
from snapshotter.sidecar.sidecar import Sidecar
from snapshotter.testing.faults import Fault
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
from tests.sidecar.chronicle import OUT_OF_TIME, ROGUE_ERROR, Chronicle, Nonsense, unrest
from tests.sidecar.lives import Content, Life
from tests.sidecar.people import LIST_SECRET, OTHER_DRIVER, People, import_of, secret_annotations, source_of
from tests.world import GROUP, KINDS, SINGLE, Kind

USUAL_EXAMPLES = 46
STEPS = 60
"""The most in one history."""
FEWEST_STEPS = 2000

SECRET_VALUE = "hush-hush-hush"  # noqa: S105
FEWEST_OF_A_KIND = 3
MOST_OF_A_KIND = 6

FINAL = ("INTERNAL", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED", "OUT_OF_RANGE")
OPEN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "RESOURCE_EXHAUSTED")
DRIVER_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    *({"error": code, "times": times} for code in FINAL for times in (1, 4)),
    *({"error": code, "error_when": "before", "times": 2} for code in OPEN),
    *({"error": code, "error_when": "after", "times": times} for code in OPEN for times in (2, 8)),
    {"error": "UNAVAILABLE"},
    {"error": "INTERNAL"},
    {"hold": "before"},
    {"hold": "after"},
    {"hold": "before", "times": 1},
    {"hold": "after", "times": 1},
    {"delay_seconds": 0.1, "times": 3},
)
NONSENSE: Final[Mapping[Kind, tuple[Mapping[str, object], ...]]] = {
    SINGLE: (
        {"snapshot": None},
        {"snapshot.snapshot_id": ""},
        {"snapshot.source_volume_id": "elsewhere"},
    ),
    GROUP: (
        {"group_snapshot": None},
        {"group_snapshot.group_snapshot_id": ""},
        {"group_snapshot.group_snapshot_id": "another"},
        {"group_snapshot.snapshots": [0]},
        {"group_snapshot.snapshots": [0, 0, 1]},
        {"group_snapshot.snapshots": [0, 1, {"snapshot_id": "x", "source_volume_id": "elsewhere"}]},
        {"group_snapshot.snapshots.1.snapshot_id": ""},
    ),
}
PASSING_API_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"error": 429, "headers": {"Retry-After": "0.1"}},
    {"error": 500},
    {"error": 503},
    {"error": 500, "error_when": "after"},
    {"cut": "before"},
    {"cut": "after"},
    {"hold": "before"},
    {"hold": "after"},
)
API_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    *PASSING_API_FAULTS,
    *({"error": status} for status in (401, 403, 404, 409, 409, 409)),
)
WATCH_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    *PASSING_API_FAULTS,
    {"error": 410},
    {"error": 410, "error_when": "after"},
    {"error": 401},
)

kinds = st.sampled_from(KINDS)


class Histories(History):
    """One history."""

    def __init__(self) -> None:
        super().__init__()
        self.driver_is_shaky = False
        """The driver was away since the last rest."""

    @property
    def sidecar(self) -> Sidecar | None:
        """The sidecar, while it is at work."""
        at_work: Sidecar | None = self.program.at_work
        return at_work

    # The beginning and the end.

    @initialize(
        look_ups=st.sampled_from([(True, True), (False, True), (False, False)]),
        omits=st.booleans(),
        ready_after=st.sampled_from([0.0, 0.0, 0.15, float("inf")]),
    )
    def begin(self, look_ups: tuple[bool, bool], omits: bool, ready_after: float) -> None:
        get, list_ = look_ups
        options = {
            "get_snapshot": get,
            "list_snapshots": list_,
            "omit_size": omits,
            "omit_creation_time": omits,
            "ready_after_seconds": ready_after,
            "member_ready_spread_seconds": 0.1 if ready_after else 0.0,
        }
        self._begin(options)

    async def prepare(self) -> None:
        await self.world.driver.make_volume("secured", b"s" * 40)
        self.chronicle = Chronicle(self.world.server, self.world.driver, SECRET_VALUE)
        self.people = People(self.world.server, self.world.driver, self.chronicle)
        for kind in KINDS:
            self.people.set_class(kind, "class", parameters={"tier": "1"} | (LIST_SECRET if kind is SINGLE else {}))
        self.people.set_secret("credentials", user=SECRET_VALUE, password="1")  # noqa: S106
        for kind in (*KINDS, *KINDS):
            self._make(kind, 0)
        self.program = Program("the sidecar", self.world, self._started, self._may_fail)
        self.programs = (self.program,)

    def _started(self, way: Way) -> AbstractAsyncContextManager[Sidecar]:
        settings = replace(
            self.world.settings(),
            kube=KubeSettings(kubeconfig=str(way.kubeconfig)),
            driver=DriverSettings(csi_address=str(way.socket), timeout=0.5),
            work=WorkSettings(retry_start=FIRST_RETRY, retry_max=LONGEST_RETRY, shutdown_grace=0.3),
            logs=LogSettings(verbosity=5),
        )
        return app.started(settings)

    def _may_fail(self, error: CannotRun) -> bool:
        """Whether the driver was lost or slow in the middle of the start."""
        return self.driver_is_shaky or OUT_OF_TIME in str(error)

    async def finish(self) -> None:
        self._repair("1")
        for kind in KINDS:
            for life in self.chronicle.alive(kind):
                self.people.set_finalizer(life, "example.com/foreign", there=False)
                self.people.mark(life)
                self.people.delete_content(life)
        await self._rest()
        # What was cut by another class has waited for it.
        self._repair("2")
        await self._rest()
        left = [str(life) for kind in KINDS for life in self.chronicle.alive(kind) if life.last.ours]
        assert not left
        self.tally.contents += len(self.chronicle.lives)

    def _repair(self, tier: str) -> None:
        """Users see to what the errors have told them."""
        self.chronicle.trouble("repairs")
        for kind in KINDS:
            for name in ("class", "missing"):
                self.people.set_class(kind, name, parameters={"tier": tier})
            for life in self.chronicle.alive(kind):
                if life.last.secret == "":
                    self.people.annotate(life, kind.secret_name, "credentials")
        for secret in ("credentials", "missing"):
            self.people.set_secret(secret, user=SECRET_VALUE, password="1")  # noqa: S106

    # What holds always, and what at rest.

    def broken(self) -> list[str]:
        self.chronicle.look()
        return self.chronicle.broken

    async def repair(self) -> None:
        for nonsense in self.chronicle.nonsense:
            nonsense.until.append(time.monotonic())
        self.chronicle.disturb()
        self._serve_groups(*SERVED[0])
        await self._driver_serves()

    def rested(self) -> None:
        self.chronicle.rest()
        assert not self.chronicle.broken, "\n".join(self.chronicle.broken)
        assert not self.chronicle.left_behind()
        self._no_secret_got_out()
        self.driver_is_shaky = False

    def restless(self) -> Iterator[str]:
        self.chronicle.look()
        sidecar = self.program.at_work
        if sidecar._driver.trouble is not None:
            yield sidecar._driver.trouble
            return
        yield from (f"{life}: {why}" for life in self.chronicle.lives.values() if (why := unrest(self.chronicle, life)))
        groups = None if sidecar._groups is None else sidecar._groups.part
        parts: dict[Kind, Part[Any, Any, Any] | None] = {SINGLE: sidecar._singles, GROUP: groups}
        for kind, part in parts.items():
            yield from self._restless_part(kind, part)

    def _restless_part(self, kind: Kind, part: Part[Any, Any, Any] | None) -> Iterator[str]:
        if part is None:
            yield f"nobody works at {kind.plural}"
            return
        known = {content.name: content.metadata.resource_version for content in part._controller._store}
        there = {life.name: life.last.version for life in self.chronicle.alive(kind) if life.last.ours}
        if known != there:
            yield f"the store of {kind.plural} has {known}, the server {there}"
        queue = part._queue
        if queue.depth() or queue.longest_running():
            yield f"{kind.plural} are being worked at"

    def _no_secret_got_out(self) -> None:
        for line in self.log:
            assert SECRET_VALUE not in repr(line)
        if self.sidecar is not None:
            assert SECRET_VALUE not in generate_latest(self.sidecar.registry).decode()

    # Contents come.

    @rule(
        kind=kinds,
        pick=picks,
        policy=st.sampled_from(["Delete", "Delete", "Delete", "Retain"]),
        class_name=st.sampled_from(["class"] * 6 + ["missing", None]),
        secret=st.sampled_from([None] * 5 + ["credentials", "credentials", "missing", ""]),
        protected=st.sampled_from([True, True, False]),
        driver=st.sampled_from([True] * 7 + [False]),
        volume=st.sampled_from(["vol"] * 7 + ["nowhere"]),
        moment=moments,
    )
    def a_content_is_made(
        self,
        kind: Kind,
        pick: int,
        policy: str,
        class_name: str | None,
        secret: str | None,
        protected: bool,
        driver: bool,
        volume: str,
        moment: float,
    ) -> None:
        self._step(
            f"make a {kind.id} {policy} {class_name=} {secret=} {protected=} {driver=} {volume}",
            lambda: self._make(kind, pick, policy, class_name, secret, protected, driver, volume),
            moment,
        )

    def _make(
        self,
        kind: Kind,
        pick: int,
        policy: str = "Delete",
        class_name: str | None = "class",
        secret: str | None = None,
        protected: bool = True,
        driver: bool = True,
        volume: str = "vol",
    ) -> Life | None:
        """Make a content to be cut; where there are enough of them, one is deleted instead."""
        name = self._free_name(kind)
        if name is None:
            self._end_life(kind, pick, marked=True)
            return None
        annotations = secret_annotations(kind, secret) | {"example.com/note": "keep me"}
        life = self.people.make_content(
            kind,
            name,
            source_of(kind, volume if secret is None else "secured"),
            policy=policy,
            class_name=class_name,
            annotations=annotations,
            finalizers=(kind.finalizer,) if protected else (),
            **({} if driver else {"driver": OTHER_DRIVER}),  # type: ignore[arg-type]
        )
        if class_name != "class" or self._class_is_wrong(kind):
            life.troubles.append("its class")
        if secret is not None and not (secret == "credentials" and self._secret_is_there()):  # noqa: S105
            life.troubles.append("its Secret")
        if volume == "nowhere":
            life.troubles.append("its volume")
        return life

    def _free_name(self, kind: Kind) -> str | None:
        taken = {life.name for life in self.chronicle.alive(kind)}
        return next((name for i in range(MOST_OF_A_KIND) if (name := f"{kind.id}-{i}") not in taken), None)

    def _class_is_wrong(self, kind: Kind) -> bool:
        found = self.world.server.get(f"{kind.snapshot_class.lower()}es", "class")
        return found is None or found["driver"] == OTHER_DRIVER

    def _secret_is_there(self) -> bool:
        return self.world.server.get("secrets", "credentials", "default") is not None

    @rule(
        kind=kinds,
        pick=picks,
        there=st.sampled_from([True, True, False]),
        policy=st.sampled_from(["Delete", "Retain"]),
        class_name=st.sampled_from([None, None, "class", "missing"]),
        bound=st.sampled_from([True, True, False]),
        moment=moments,
    )
    def something_is_imported(
        self, kind: Kind, pick: int, there: bool, policy: str, class_name: str | None, bound: bool, moment: float
    ) -> None:
        def act() -> None:
            name = self._free_name(kind)
            if name is None:
                self._end_life(kind, pick, marked=True)
                return
            handle, members = self.people.store_by_hand(kind) if there else (f"gone-{pick}", ())
            life = self.people.make_content(
                kind,
                name,
                import_of(kind, handle, members),
                policy=policy,
                class_name=class_name,
                finalizers=(kind.finalizer,),
                bound=bound,
            )
            if not there or class_name == "missing" or (class_name == "class" and self._import_may_fail(kind)):
                life.troubles.append("nothing to import")

        self._step(f"import a {kind.id} {there=} {policy} {class_name=} {bound=}", act, moment)

    def _import_may_fail(self, kind: Kind) -> bool:
        # Its class names a Secret for lists.
        return self._class_is_wrong(kind) or kind is SINGLE

    @rule(pick=picks, place=st.integers(0, 1), recorded=st.booleans(), moment=moments)
    def a_member_of_a_group_gets_a_content(self, pick: int, place: int, recorded: bool, moment: float) -> None:
        def act() -> None:
            groups = list(self.world.driver.groups.values())
            name = self._free_name(SINGLE)
            if not groups or name is None:
                self._make(GROUP, pick)
                return
            group = groups[pick % len(groups)]
            life = self.people.make_content(
                SINGLE,
                name,
                source_of(SINGLE, group.volume_ids[place]),
                class_name=None,
                annotations={names.MEMBER_OF_GROUP: group.id},
                finalizers=(SINGLE.finalizer,),
            )
            life.troubles.append("its group may go")
            if recorded:
                self.people.record_member(life)

        self._step(f"a member {recorded=}", act, moment)

    @rule(pick=picks, moment=moments)
    def a_member_is_recorded(self, pick: int, moment: float) -> None:
        def act() -> None:
            members = [life for life in self.chronicle.alive(SINGLE) if life.last.is_member]
            if members:
                self.people.record_member(members[pick % len(members)])
            else:
                self._make(GROUP, pick)

        self._step("a member is recorded", act, moment)

    # Contents are changed, and go.

    def _with_one(self, kind: Kind, pick: int, act: Callable[[Life], object]) -> None:
        """Do it to one of the contents, of which there are always some."""
        if len(self.chronicle.alive(kind)) < FEWEST_OF_A_KIND:
            self._make(kind, pick)
        lives = self.chronicle.alive(kind)
        life = lives[pick % len(lives)]
        self._tell(f"  … {life}")
        act(life)

    def _end_life(self, kind: Kind, pick: int, *, marked: bool) -> None:
        def act(life: Life) -> None:
            if marked:
                self.people.mark(life)
            if not life.last.marked:
                life.troubles.append("deleted without the mark")
            self.people.delete_content(life)

        self._with_one(kind, pick, act)

    @rule(kind=kinds, pick=picks, marked=st.sampled_from([True, True, True, False]), moment=moments)
    def a_content_is_deleted(self, kind: Kind, pick: int, marked: bool, moment: float) -> None:
        self._step(f"delete a {kind.id} {marked=}", lambda: self._end_life(kind, pick, marked=marked), moment)

    @rule(kind=kinds, pick=picks, moment=moments)
    def a_content_is_marked_as_being_deleted(self, kind: Kind, pick: int, moment: float) -> None:
        self._step(f"mark a {kind.id}", lambda: self._with_one(kind, pick, self.people.mark), moment)

    @rule(kind=kinds, pick=picks, there=st.booleans(), moment=moments)
    def others_add_or_remove_what_is_theirs(self, kind: Kind, pick: int, there: bool, moment: float) -> None:
        def act(life: Life) -> None:
            self.people.set_finalizer(life, "example.com/foreign", there=there and not life.last.deleting)
            if not life.gone:
                value = f"{pick}" if there else None
                self.people.annotate(life, "example.com/other", value)
                self.people.edit(life, {"metadata": {"labels": {"example.com/label": value}}})

        self._step(f"others edit a {kind.id} {there=}", lambda: self._with_one(kind, pick, act), moment)

    @rule(kind=kinds, pick=picks, policy=st.sampled_from(["Delete", "Retain"]), moment=moments)
    def the_policy_is_changed(self, kind: Kind, pick: int, policy: str, moment: float) -> None:
        def act(life: Life) -> None:
            self.people.edit(life, {"spec": {"deletionPolicy": policy}})

        self._step(f"policy of a {kind.id} is {policy}", lambda: self._with_one(kind, pick, act), moment)

    @rule(kind=kinds, pick=picks, moment=moments)
    def an_import_is_bound(self, kind: Kind, pick: int, moment: float) -> None:
        def act() -> None:
            unbound = [life for life in self.chronicle.alive(kind) if life.last.never_bound]
            if unbound:
                life = unbound[pick % len(unbound)]
                life.troubles.append("bound while it goes")
                self.people.bind(life)
            else:
                self._make(kind, pick)

        self._step(f"a {kind.id} is bound", act, moment)

    @rule(
        kind=kinds,
        pick=picks,
        what=st.sampled_from(["error", "ready", "not ready", "no mark", "no finalizer", "no status"]),
        moment=moments,
    )
    def a_rogue_writes_what_is_not_his(self, kind: Kind, pick: int, what: str, moment: float) -> None:
        def act(life: Life) -> None:
            if not life.last.ours:
                return
            life.tampered.append(what)
            life.troubles.append(what)
            match what:
                case "error":
                    self.people.edit_status(life, {"error": {"message": ROGUE_ERROR}})
                case "ready":
                    self.people.edit_status(life, {"readyToUse": True})
                case "not ready":
                    self.people.edit_status(life, {"readyToUse": False})
                case "no mark":
                    self.people.annotate(life, kind.being_created, None)
                case "no finalizer":
                    self.people.set_finalizer(life, kind.finalizer, there=False)
                case _:
                    self.people.edit_status(life, {"error": None, "creationTime": None})

        self._step(f"a rogue: {what} of a {kind.id}", lambda: self._with_one(kind, pick, act), moment)

    # Classes and Secrets.

    @rule(kind=kinds, what=st.sampled_from(["gone", "there", "there", "other driver", "other tier"]), moment=moments)
    def a_class_is_changed(self, kind: Kind, what: str, moment: float) -> None:
        self._step(f"the class of {kind.id}s: {what}", lambda: self._change_class(kind, what), moment)

    def _change_class(self, kind: Kind, what: str) -> None:
        self.chronicle.trouble("its class", lambda content: content.kind is kind and content.class_name is not None)
        if what == "gone":
            self.people.remove_class(kind, "class")
        elif what == "other driver":
            self.people.set_class(kind, "class", OTHER_DRIVER)
        else:
            self.people.set_class(kind, "class", parameters={"tier": "2" if what == "other tier" else "1"})

    @rule(what=st.sampled_from(["gone", "there", "other password"]), moment=moments)
    def a_secret_is_changed(self, what: str, moment: float) -> None:
        def act() -> None:
            self.chronicle.trouble("its Secret", needs_secret)
            if what == "gone":
                self.people.remove_secret("credentials")
            else:
                password = "2" if what == "other password" else "1"
                self.people.set_secret("credentials", user=SECRET_VALUE, password=password)

        self._step(f"the Secret: {what}", act, moment)

    # The driver.

    @rule(
        kind=kinds,
        method=st.sampled_from(["create", "create", "delete", "look_up"]),
        fault=st.sampled_from(DRIVER_FAULTS),
        moment=moments,
    )
    def the_driver_fails(self, kind: Kind, method: str, fault: Mapping[str, Any], moment: float) -> None:
        match = getattr(kind, method) if (kind, method) != (SINGLE, "look_up") else "(Get|List)Snapshots?"
        fault = {"message": "the {n}th time", **fault}
        self._step(
            f"{kind.id} {method}: {fault}",
            lambda: self.world.driver.faults.set(Fault(match=f"^{match} ", **fault)),
            moment,
        )

    @rule(kind=kinds, code=st.sampled_from(OPEN), class_changes=st.booleans(), moment=moments)
    def a_content_is_deleted_while_its_cut_has_no_answer(
        self, kind: Kind, code: str, class_changes: bool, moment: float
    ) -> None:
        async def act() -> None:
            fault = Fault(match=f"^{kind.create} ", error=code, error_when="after", times=3)
            self.world.driver.faults.set(fault)
            life = self._make(kind, 0)
            await asyncio.sleep(FIRST_RETRY / 2)
            if class_changes:
                self._change_class(kind, "other tier")
            if life is not None and not life.gone:
                self.people.mark(life)
                self.people.delete_content(life)

        self._step(f"a {kind.id} whose cut has no answer is deleted: {code} {class_changes=}", act, moment)

    @rule(kind=kinds, place=st.integers(0, 6), times=st.integers(1, 3), moment=moments)
    def the_driver_talks_nonsense(self, kind: Kind, place: int, times: int, moment: float) -> None:
        answer = dict(NONSENSE[kind][place % len(NONSENSE[kind])])
        match = f"^{kind.create} "

        def act() -> None:
            self.chronicle.nonsense.append(Nonsense(re.compile(match), time.monotonic()))
            self.world.driver.faults.set(Fault(match=match, answer=answer, times=times))

        self._step(f"{kind.id} nonsense {answer}", act, moment)

    @rule(kind=kinds, pick=picks, moment=moments)
    def the_driver_repeats_a_secret(self, kind: Kind, pick: int, moment: float) -> None:
        def act() -> None:
            lives = [life for life in self.chronicle.alive(kind) if life.last.secret == "credentials"]  # noqa: S105
            if not lives:
                self._make(kind, pick, secret="credentials")  # noqa: S106
                return
            life = lives[pick % len(lives)]
            about = [kind.subject("secured", life.last.ref_uid), *life.handles]
            match = f"^({kind.create}|{kind.delete}) ({'|'.join(about)})$"
            message = f"no {SECRET_VALUE} here"
            self.world.driver.faults.set(Fault(match=match, error="INTERNAL", message=message, times=3))

        self._step(f"the driver repeats the secret of a {kind.id}", act, moment)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1]), moment=moments)
    def the_driver_restarts(self, seconds: float, moment: float) -> None:
        async def act() -> None:
            self._shake_the_driver()
            await self.world.driver.stop_serving()
            await asyncio.sleep(seconds)
            await self._driver_serves()

        self._step(f"the driver restarts within {seconds}s", act, moment)

    @rule(moment=moments)
    def the_driver_stops_or_starts(self, moment: float) -> None:
        async def act() -> None:
            if self.world.driver._server is None:
                await self._driver_serves()
            else:
                self._shake_the_driver()
                await self.world.driver.stop_serving()

        self._step("the driver stops or starts", act, moment)

    def _shake_the_driver(self) -> None:
        self.driver_is_shaky = True
        self.chronicle.trouble("the driver goes")

    async def _driver_serves(self) -> None:
        if self.world.driver._server is None:
            self.chronicle.trouble("the driver starts")
            await self.world.driver.start_serving()

    # The API server.

    @rule(
        kind=kinds,
        place=st.sampled_from(["PATCH {}/[^/]+$", "PATCH {}/[^/]+/status$", "PATCH {}", "GET {}/[^/]+$", "LIST {}$"]),
        fault=st.sampled_from(API_FAULTS),
        times=st.integers(1, 3),
        moment=moments,
    )
    def the_api_server_fails(self, kind: Kind, place: str, fault: Mapping[str, Any], times: int, moment: float) -> None:
        match = place.format(kind.path)

        def act() -> None:
            if "LIST" in match:
                self.chronicle.hears_late(kind)
            if fault.get("error") == 403:
                self.chronicle.trouble("the role", lambda content: content.kind is kind)
            self.world.server.faults.set(Fault(match=match, times=times, **fault))

        self._step(f"{match}: {fault}", act, moment)

    @rule(
        match=st.sampled_from(["^POST .*/events$", "^PATCH .*/events/", "^GET .*/secrets/"]),
        fault=st.sampled_from(PASSING_API_FAULTS),
        times=st.integers(1, 3),
        moment=moments,
    )
    def the_api_server_fails_beside_contents(
        self, match: str, fault: Mapping[str, Any], times: int, moment: float
    ) -> None:
        def act() -> None:
            faults = self.world.server.faults
            # Two at a time are more than an event survives.
            for number, other in faults.in_force().items():
                if other.match == match:
                    faults.lift(number)
            faults.set(Fault(match=match, times=times, **fault))
            if "secrets" in match:
                self.chronicle.trouble("its Secret", needs_secret)

        self._step(f"{match}: {fault}", act, moment)

    @rule(
        kind=kinds,
        of_classes=st.booleans(),
        fault=st.sampled_from([None, None, *WATCH_FAULTS]),
        times=st.integers(1, 2),
        forgets=st.booleans(),
        silent=st.booleans(),
        moment=moments,
    )
    def watches_break(
        self,
        kind: Kind,
        of_classes: bool,
        fault: Mapping[str, Any] | None,
        times: int,
        forgets: bool,
        silent: bool,
        moment: float,
    ) -> None:
        def act() -> None:
            server = self.world.server
            for each in KINDS:
                self.chronicle.hears_late(each)
            if fault is not None:
                path = kind.class_path if of_classes else kind.path
                server.faults.set(Fault(match=f"^WATCH {path}", times=times, **fault))
            if silent and fault is None:
                server.mute_watches()
                return
            if forgets:
                server.compact()
            server.cut_watches()

        self._step(f"watches of {kind.id}s break: {fault} {forgets=} {silent=}", act, moment)

    @rule(versions=st.sampled_from(SERVED), moment=moments)
    def groups_are_served_or_not(self, versions: tuple[str, ...], moment: float) -> None:
        def act() -> None:
            self.chronicle.hears_late(GROUP)
            self._serve_groups(*versions)

        self._step(f"groups are served in {versions}", act, moment)

    # The sidecar, and time.

    @rule(gently=st.booleans(), down=moments, moment=moments)
    def the_sidecar_restarts(self, gently: bool, down: float, moment: float) -> None:
        async def act() -> None:
            self.chronicle.disturb()
            self.chronicle.sidecar_ends()
            await self.program.stop(gently=gently)
            await asyncio.sleep(0)
            assert not list(_tasks_of_the_sidecar())
            self.chronicle.disturb()
            await asyncio.sleep(down)
            await self.program.start()

        self._step(f"the sidecar restarts {gently=}", act, moment)


def _tasks_of_the_sidecar() -> Iterator[str]:
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        file = "" if code is None else code.co_filename
        if "/snapshotter/" in file and "/testing/" not in file:
            yield f"{task.get_name()}: {task.get_coro()}"


def needs_secret(content: Content) -> bool:
    """Whether a Secret is read for it: one of its own, or that of its class."""
    return content.secret is not None or (content.imported is not None and content.class_name is not None)


@pytest.mark.timeout(max(900, 30 * EXAMPLES))
def test_whatever_happens_the_promises_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = make_histories(Histories, monkeypatch, usual=USUAL_EXAMPLES, steps=STEPS)
    assert tally.steps >= (FEWEST_STEPS if EXAMPLES == 0 else EXAMPLES)
