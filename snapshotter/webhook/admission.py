"""`/validate-default-class`: AdmissionReviews (admission.k8s.io/v1) of classes, so that a driver gets one default."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from snapshotter import names
from snapshotter.kube.connection import Connection
from snapshotter.kube.kinds import SNAPSHOT_CLASS, Kind, group_class
from snapshotter.metrics import DaemonMetrics
from snapshotter.model.lifecycle import AnyClass
from snapshotter.plan.default_class import refusal, rivals
from snapshotter.runtime.informer import SourceError
from snapshotter.webhook.classes import Classes
from snapshotter.webhook.media import NotUnderstood
from snapshotter.webhook.reviews import DENIED, SUCCESS, CannotJudge, Review, Reviewed

K = TypeVar("K", bound=AnyClass)

log = structlog.get_logger(__name__)

KIND: Final = "AdmissionReview"
API_VERSION: Final = "admission.k8s.io/v1"

REMEMBERED_SECONDS: Final = 5.0
"""So long a default class that has just been allowed counts although the watch has not told of it."""
LOOK_SECONDS: Final = 1.5
"""For looking once more before something is refused; the API server waits a few seconds for the whole answer."""


class _GroupKind(msgspec.Struct, frozen=True):
    group: str = ""
    kind: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    kind: _GroupKind
    operation: str
    object: msgspec.Raw = msgspec.Raw(b"null")
    old_object: msgspec.Raw = msgspec.Raw(b"null")
    dry_run: bool | None = None


class _Question(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


class _Status(msgspec.Struct, frozen=True):
    message: str
    code: int = 403
    reason: str = "Forbidden"


class _Response(msgspec.Struct, frozen=True, omit_defaults=True):
    uid: str
    allowed: bool
    status: _Status | None = None


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    response: _Response


_questions: Final = msgspec.json.Decoder(_Question)


class Judge(Generic[K]):
    """Judges the classes of one kind."""

    def __init__(
        self, connection: Connection, kinds: Mapping[str, Kind[K]], annotation: str, metrics: DaemonMetrics
    ) -> None:
        kind = next(iter(kinds.values()))
        self.group_kind = (kind.group, kind.name)
        self._name = kind.name
        self._annotation = annotation
        self._decoder: msgspec.json.Decoder[K | None] = msgspec.json.Decoder(kind.type | None)
        self._classes = Classes(connection, kinds, metrics, self._told)
        self._allowed: dict[str, tuple[K, float]] = {}
        """Default classes that were allowed and have not been seen, with the time until which they count."""

    async def run(self) -> None:
        """Keep up with the API server, for ever."""
        await self._classes.run()

    async def objection(self, request: _Request) -> str | None:
        """Why a class must not become what it would be. Raises `NotUnderstood` and `CannotJudge`."""
        try:
            new, old = self._decoder.decode(request.object), self._decoder.decode(request.old_object)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotUnderstood(f"the review's object is not a {self._name}") from None
        if new is None:
            raise NotUnderstood("the review has no object")
        known = self._classes.known()
        if known is None:
            raise CannotJudge(f"objects of the kind {self._name} have not been listed yet")
        for rival in rivals(new, old, known):
            if await self._is_rival(rival, new, old):
                return refusal(new, rival, self._name, self._annotation)
        # From here on nothing waits: of two that come at the same moment, the second sees the first.
        for rival in rivals(new, old, self._just_allowed()):
            return refusal(new, rival, self._name, self._annotation)
        if not request.dry_run:
            self._allowed.pop(new.key, None)
            if new.is_default:
                self._allowed[new.key] = (new, _now() + REMEMBERED_SECONDS)
        return None

    async def _is_rival(self, rival: K, new: K, old: K | None) -> bool:
        """Look again: the other class may have been changed a moment ago, to make room for this one."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                current = await self._classes.current(rival.key)
        except (SourceError, TimeoutError) as error:
            log.info("a class is judged by what was last known", name=rival.key, reason=str(error) or "no answer")
            return True
        return current is not None and bool(rivals(new, old, [current]))

    def _just_allowed(self) -> Iterator[K]:
        for name, (allowed, until) in list(self._allowed.items()):
            if until > _now():
                yield allowed
            else:
                del self._allowed[name]

    def _told(self, name: str) -> None:
        """The store knows the class, so it need not be remembered."""
        self._allowed.pop(name, None)


def judges(connection: Connection, metrics: DaemonMetrics) -> tuple[Judge[Any], ...]:
    """One for each kind of classes."""
    groups = {version: group_class(version) for version in names.GROUP_SNAPSHOT_VERSIONS}
    return (
        Judge(connection, {names.SNAPSHOT_VERSION: SNAPSHOT_CLASS}, names.DEFAULT_CLASS, metrics),
        Judge(connection, groups, names.DEFAULT_GROUP_CLASS, metrics),
    )


def admission(judges: tuple[Judge[Any], ...]) -> Review:
    """Answers AdmissionReviews of classes."""
    by_kind = {judge.group_kind: judge for judge in judges}

    async def review(body: bytes) -> Reviewed:
        request = _read(body)
        judge = by_kind.get((request.kind.group, request.kind.kind))
        if judge is None:
            raise NotUnderstood("only classes of snapshots and group snapshots are reviewed here")
        objection = await judge.objection(request) if request.operation in ("CREATE", "UPDATE") else None
        if objection is None:
            return Reviewed(_answer(_Response(request.uid, allowed=True)), SUCCESS)
        log.info("second default class denied", kind=request.kind.kind, dry_run=bool(request.dry_run))
        return Reviewed(_answer(_Response(request.uid, allowed=False, status=_Status(objection))), DENIED)

    return review


def _read(body: bytes) -> _Request:
    try:
        question = _questions.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        raise NotUnderstood(f"the body is not an {KIND} of {API_VERSION}") from None
    if (question.kind, question.api_version) != (KIND, API_VERSION):
        raise NotUnderstood(f"the body must be an {KIND} of {API_VERSION}")
    if question.request is None:
        raise NotUnderstood(f"the {KIND} has no request")
    return question.request


def _answer(response: _Response) -> bytes:
    return msgspec.json.encode(_Answer(KIND, API_VERSION, response))


def _now() -> float:
    return asyncio.get_running_loop().time()
