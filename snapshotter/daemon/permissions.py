"""Whether the role gives what the program needs: asked at the start and now and then, told in the log and a metric."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain, repeat
from typing import Final, Protocol

import structlog

from snapshotter.kube.access import Answers
from snapshotter.metrics import DaemonMetrics
from snapshotter.plan.permissions import OPTIONAL_GROUPS, Access, Permission, Places, question_about, questions
from snapshotter.plan.secrets import SecretRef

log = structlog.get_logger(__name__)

SECOND_LOOK = 5.0
"""Seconds after the first look; by then it is known which Secrets are needed."""
EACH = 300.0
"""Seconds between two looks at everything."""
EACH_UNSETTLED = 15.0
"""Seconds between two looks at what is missing, or at what could not be found out."""
SHORTEST_PAUSE = 1.0
"""Seconds between two looks, however much is refused."""
MOST_SECRETS: Final = 20
"""Secrets that are asked about; more would be a burden on the API server."""

Questions = Mapping[Access, tuple[Permission, ...]]


class Reviews(Protocol):
    """Who is asked; a `snapshotter.kube.access.AccessReviews`."""

    async def ask(self, accesses: Iterable[Access]) -> Answers:
        """Which of these accesses we have."""
        ...

    async def serves(self, group: str) -> bool:
        """Whether there is such an API group."""
        ...


def no_secrets() -> Iterable[SecretRef]:
    """The Secrets that a program needs which reads none."""
    return ()


class Permissions:
    """What the program may do, as far as the API server has said."""

    def __init__(self, table: Iterable[Permission], metrics: DaemonMetrics) -> None:
        self._table = tuple(table)
        self._gauge = metrics.permission_missing
        self._lease: tuple[str, str] | None = None
        self._secrets: Callable[[], Iterable[SecretRef]] = no_secrets
        self._asked: Questions = {}
        self._allowed: dict[Access, bool] = {}
        self._refused: set[Access] = set()
        """The questions about what was refused in work, and not asked since."""
        self._wake = asyncio.Event()
        self._trouble = ""

    def expect_lease(self, namespace: str, name: str) -> None:
        """A lease that is to be held; its name was not known before."""
        self._lease = (namespace, name)
        self._wake.set()

    def expect_secrets(self, secrets: Callable[[], Iterable[SecretRef]]) -> None:
        """Where it is said which Secrets have to be read at the moment."""
        self._secrets = secrets

    def refused(self, access: Access) -> None:
        """A request was refused (403); if that is news, it is asked about soon."""
        question = question_about(access, self._asked) or access
        if self._allowed.get(question) is not False:
            self._refused.add(question)
            self._wake.set()

    def trouble(self) -> list[str]:
        """What is missing without which the program cannot do its work."""
        return [f"permission is missing: {access}" for access in self._missing() if _is_required(self._asked[access])]

    async def run(self, reviews: Reviews) -> None:
        """Look again and again, for ever."""
        clock = asyncio.get_running_loop().time
        pauses = chain((SECOND_LOOK,), repeat(EACH))
        everything_at = unsettled_at = clock()
        while True:
            now = clock()
            self._wake.clear()
            asked = questions(self._table, await self._places(reviews))
            due = self._news(asked)
            if now >= unsettled_at:
                unsettled_at = now + EACH_UNSETTLED
                due = {access for access in asked if not self._allowed.get(access)} | due
            if now >= everything_at:
                everything_at = now + next(pauses)
                due = set(asked)
            self._refused.clear()
            await self._look(reviews, asked, due)
            unsettled = self._trouble or self._missing()
            await self._pause(min(everything_at, unsettled_at) if unsettled else everything_at)

    async def _places(self, reviews: Reviews) -> Places:
        groups = OPTIONAL_GROUPS & {permission.group for permission in self._table}
        unserved = frozenset([group for group in groups if not await reviews.serves(group)])
        return Places(self._lease, tuple(self._secrets_in_use()), unserved)

    def _news(self, asked: Questions) -> set[Access]:
        """What need not wait: what was never asked, and what was refused. While nobody answers, nothing is urgent."""
        return set() if self._trouble else (asked.keys() - self._allowed.keys()) | (self._refused & asked.keys())

    async def _pause(self, until: float) -> None:
        await asyncio.sleep(SHORTEST_PAUSE)
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self, reviews: Reviews, asked: Questions, due: Collection[Access]) -> None:
        before, now = self._allowed, self._allowed
        if due:
            answers = await reviews.ask(due)
            self._tell_trouble("" if answers.trouble is None else str(answers.trouble))
            now = before | answers.allowed
        self._asked = asked
        self._allowed = {access: allowed for access, allowed in now.items() if access in asked}
        for access, allowed in self._allowed.items():
            if allowed != before.get(access, True):
                _tell(access, asked[access], given=allowed)
        self._show()

    def _secrets_in_use(self) -> list[SecretRef]:
        used = sorted(set(self._secrets()), key=lambda secret: (secret.namespace, secret.name))
        return used[:MOST_SECRETS]

    def _missing(self) -> list[Access]:
        return [access for access, allowed in self._allowed.items() if not allowed]

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("permissions could not be looked up", reason=trouble)
        self._trouble = trouble

    def _show(self) -> None:
        """Bring the metric up to date: a row that several questions are about is missing if one answer says so."""
        known: dict[Permission, bool] = {}
        for access, allowed in self._allowed.items():
            for permission in self._asked[access]:
                known[permission] = known.get(permission, True) and allowed
        self._gauge.clear()
        for permission, allowed in known.items():
            labels = (permission.verb, permission.group, permission.full_resource, permission.needed_for)
            self._gauge.labels(*labels).set(not allowed)


def _is_required(permissions: Iterable[Permission]) -> bool:
    return any(permission.required for permission in permissions)


def _tell(access: Access, permissions: Iterable[Permission], *, given: bool) -> None:
    for permission in permissions:
        where = {"namespace": access.namespace, "name": access.name}
        about = {
            "verb": permission.verb,
            "resource": permission.full_resource,
            "group": permission.group,
            "needed_for": permission.needed_for,
            **{key: value for key, value in where.items() if value},
        }
        if given:
            log.info("permission is given", **about)
        else:
            tell = log.error if permission.required else log.warning
            tell("permission is missing", **about, without_it=permission.without_it)
