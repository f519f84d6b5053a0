"""What a request has found out, kept while it is carried out anew.

An operation on objects runs whole, without waiting, so that nobody disturbs it. Where it needs the answer of a webhook
it stops with `Unanswered` before it has changed anything; `settled` waits for the answer, notes it, and runs the
operation again from its beginning, on the objects as they are then.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from snapshotter.testing.apiserver.webhook_calls import WebhookCalls

T = TypeVar("T")


class Question(Protocol):
    """Something that only a webhook knows. Questions are equal when their answers are."""

    def __hash__(self) -> int: ...

    async def ask(self, calls: WebhookCalls) -> Any:
        """Raises `ApiError` when there is no answer."""


class Unanswered(Exception):
    """The answers to these questions are needed first."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} unanswered")
        self.questions = questions


class Notes:
    """Answers, and what is made up once: the time, the uid of a new object."""

    def __init__(self) -> None:
        self._answers: dict[Question, Any] = {}
        self._made: dict[str, Any] = {}

    def answer(self, question: Question) -> Any:
        """Raises `Unanswered`."""
        if question not in self._answers:
            raise Unanswered([question])
        return self._answers[question]

    def require(self, questions: Iterable[Question]) -> None:
        """Raises `Unanswered` with all of those that have no answer, so that they are asked together."""
        missing = [question for question in questions if question not in self._answers]
        if missing:
            raise Unanswered(missing)

    def learn(self, question: Question, answer: Any) -> None:
        self._answers[question] = answer

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gave at the first time: each run works with the same."""
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made


async def settled(operation: Callable[[Notes], T], calls: WebhookCalls) -> T:
    """What the operation comes to once nothing is unanswered. Raises what it raises, and `ApiError` for a webhook."""
    notes = Notes()
    while True:
        try:
            return operation(notes)
        except Unanswered as unanswered:
            questions = unanswered.questions
        answers = await asyncio.gather(*(question.ask(calls) for question in questions), return_exceptions=True)
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            notes.learn(question, answer)
