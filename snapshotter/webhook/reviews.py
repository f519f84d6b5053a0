"""What all reviews have in common: the API server posts a question, and the answer has the same form."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from snapshotter.metrics import WebhookMetrics
from snapshotter.web.tls import Answer, BadBody, Handler, Request, text
from snapshotter.webhook.media import NotUnderstood, given_form, in_form, json_from, wanted_form

log = structlog.get_logger(__name__)

SUCCESS: Final = "success"
DENIED: Final = "denied"
FAILURE: Final = "failure"
REJECTED: Final = "rejected"
"""What can come of a review; see `snapshotter.metrics.REVIEW_OUTCOMES`."""


class CannotJudge(Exception):
    """The question is understood, but cannot be answered now. The API server does what its configuration says."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The answer, as JSON, and what it says."""

    body: bytes
    outcome: str


Review = Callable[[bytes], Awaitable[Reviewed]]
"""Answers a question, which is UTF-8 and should be JSON. Raises `NotUnderstood` and `CannotJudge`."""


def handler(kind: str, review: Review, metrics: WebhookMetrics) -> Handler:
    """How a path is served where reviews of a kind are posted to."""
    durations = metrics.review_durations.labels(kind)

    async def handle(request: Request) -> Answer:
        started = None
        try:
            given, wanted = given_form(request.content_type), wanted_form(request.accept)
            body = await request.read()
            started = _now()
            reviewed = await review(json_from(body, given))
            answer, outcome = Answer(200, in_form(reviewed.body, wanted), wanted), reviewed.outcome
        except NotUnderstood as error:
            answer, outcome = text(400, str(error)), REJECTED
        except BadBody as error:
            answer, outcome = text(error.status, str(error)), REJECTED
        except CannotJudge as error:
            answer, outcome = text(500, str(error)), FAILURE
        if answer.status != 200:
            log.warning("review not answered", review=kind, status=answer.status, reason=answer.body.decode().strip())
        metrics.reviews.labels(kind, outcome).inc()
        if started is not None:
            durations.observe(_now() - started)
        return answer

    return handle


def _now() -> float:
    return time.perf_counter()
