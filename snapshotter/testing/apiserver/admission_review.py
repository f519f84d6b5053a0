"""Admission by a webhook: the review that is sent, and what its answer comes to."""

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from snapshotter.testing.apiserver.status import ApiError, Json
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls, WebhookFailed

_API_VERSION: Final = "admission.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a webhook says to a request. Without a refusal it has no objection."""

    refusal: ApiError | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a webhook has something against a request. The answer is an `Opinion`."""

    webhook: bytes
    """The JSON of the webhook in its configuration."""
    request: bytes
    """The JSON of the request, but for the uid of the review."""

    async def ask(self, calls: WebhookCalls) -> Opinion:
        webhook: Json = msgspec.json.decode(self.webhook)
        uid = str(uuid.uuid4())
        request = {"uid": uid, **msgspec.json.decode(self.request)}
        review = {"kind": "AdmissionReview", "apiVersion": _API_VERSION, "request": request}
        try:
            answer = await calls.post(webhook["clientConfig"], review, webhook["timeoutSeconds"])
        except WebhookFailed as error:
            return _failed(webhook, f"failed to call webhook: {error}")
        response = answer.get("response")
        if (wrong := _wrong(answer, response, uid)) is not None:
            return _failed(webhook, f"received invalid webhook response: {wrong}")
        return _opinion(webhook["name"], response or {})


def _wrong(answer: Json, response: Any, uid: str) -> str | None:
    """Why this is no answer to the review."""
    found = answer.get("apiVersion", ""), answer.get("kind", "")
    if found != (_API_VERSION, "AdmissionReview"):
        group, _, version = str(found[0]).rpartition("/")
        return (
            f"expected webhook response of {_API_VERSION}, Kind=AdmissionReview, got {group}/{version}, Kind={found[1]}"
        )
    if not isinstance(response, dict):
        return "webhook response was absent"
    if (given := response.get("uid", "")) != uid:
        return f'expected response.uid="{uid}", got "{given}"'
    for member in ("patch", "patchType"):
        if response.get(member):
            return f"validating webhook may not return response.{member}"
    return None


def _failed(webhook: Json, text: str) -> Opinion:
    """What becomes of a request about which the webhook has not said anything."""
    if webhook["failurePolicy"] == "Ignore":
        return Opinion()
    message = f'failed calling webhook "{webhook["name"]}": {text}'
    details = {"causes": [{"message": message}]}
    return Opinion(ApiError(500, "InternalError", f"Internal error occurred: {message}", details))


def _opinion(name: str, response: Json) -> Opinion:
    warnings = [str(text) for text in response.get("warnings") or ()]
    if response.get("allowed"):
        return Opinion(warnings=warnings)
    status = response.get("status") or {}
    told = status.get("message") or status.get("reason") or ""
    explained = f": {told}" if told else " without explanation"
    message = f'admission webhook "{name}" denied the request{explained}'
    refusal = ApiError(status.get("code") or 400, status.get("reason", ""), message, status.get("details"))
    return Opinion(refusal, warnings)
