"""Asks the API server what we may do (authorization.k8s.io/v1, SelfSubjectAccessReview)."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

import msgspec

from snapshotter.kube.connection import Connection
from snapshotter.kube.discovery import served_versions
from snapshotter.kube.errors import ApiError, Malformed
from snapshotter.kube.patience import persistently
from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.plan.permissions import Access

API_VERSION: Final = "authorization.k8s.io/v1"
PATH: Final = f"/apis/{API_VERSION}/selfsubjectaccessreviews"
AT_A_TIME = 4
"""Reviews that are asked for at a time."""


class _Status(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Status


_reviews: Final = Reader(_Review)


@dataclass(slots=True)
class Answers:
    """What the API server has said, and what kept it from saying more."""

    allowed: dict[Access, bool] = field(default_factory=dict)
    trouble: ApiError | None = None


class AccessReviews:
    """The door to the authorizer. Its connection needs no permit: a review changes nothing, though it is a POST."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(self, accesses: Iterable[Access]) -> Answers:
        """Which of these accesses we have. With the first trouble that does not pass, the rest is not asked about."""
        answers, waiting = Answers(), iter(list(accesses))
        async with asyncio.TaskGroup() as tasks:
            for number in range(AT_A_TIME):
                tasks.create_task(self._ask_each(waiting, answers), name=f"access reviews {number}")
        return answers

    async def serves(self, group: str) -> bool:
        """Whether there is such an API group; as long as the server does not say, there may be."""
        try:
            return bool(await served_versions(self._connection, group))
        except ApiError:
            return True

    async def _ask_each(self, waiting: Iterator[Access], answers: Answers) -> None:
        for access in waiting:
            if answers.trouble is not None:
                return
            try:
                answers.allowed[access] = await self._allowed(access)
            except ApiError as error:
                answers.trouble = error

    async def _allowed(self, access: Access) -> bool:
        body = {
            "apiVersion": API_VERSION,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asdict(access)},
        }
        answer = await persistently(lambda: self._connection.request("POST", PATH, body=body))
        try:
            return _reviews.read(answer).status.allowed
        except Unreadable as error:
            raise Malformed(f"review of {access}: {error}") from error
