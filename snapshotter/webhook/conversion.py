"""`/convert`: ConversionReviews of the API server, answered by `snapshotter.plan.conversion`."""

import asyncio
import re
from typing import Final

import msgspec
import structlog

from snapshotter.metrics import WebhookMetrics
from snapshotter.plan.conversion import Converted, Unconvertible, convert
from snapshotter.webhook.media import NotUnderstood
from snapshotter.webhook.reviews import FAILURE, SUCCESS, Review, Reviewed

log = structlog.get_logger(__name__)

KIND: Final = "ConversionReview"
API_VERSION: Final = "apiextensions.k8s.io/v1"

_PLAIN: Final = re.compile(r"[A-Za-z0-9./-]{1,253}")
"""What can be told and logged as it is, of what others have written."""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str = ""
    desired_api_version: str = msgspec.field(name="desiredAPIVersion", default="")
    objects: list[msgspec.Raw] | None = None


class _Question(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


class _Result(msgspec.Struct, frozen=True, omit_defaults=True):
    metadata: dict[str, str]
    status: str
    message: str = ""


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    converted_objects: list[msgspec.Raw] | None
    result: _Result


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    request: _Request
    response: _Response


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Named(msgspec.Struct, frozen=True):
    kind: str = ""
    metadata: _Metadata = _Metadata()


_questions: Final = msgspec.json.Decoder(_Question)
_named: Final = msgspec.json.Decoder(_Named)


def conversion(metrics: WebhookMetrics) -> Review:
    """Answers ConversionReviews."""

    async def review(body: bytes) -> Reviewed:
        request = _read(body)
        desired = request.desired_api_version
        try:
            converted = await _all_converted(request.objects or [], desired)
        except _Failed as error:
            log.warning("objects not converted", to=_plain(desired), uid=_plain(request.uid), reason=str(error))
            return Reviewed(_answer(request.uid, None, _Result({}, "Failure", str(error))), FAILURE)
        for each in converted:
            metrics.converted_objects.labels(_short(each.version), _short(desired)).inc()
        log.debug("objects converted", to=_plain(desired), uid=_plain(request.uid), objects=len(converted))
        objects = [each.object for each in converted] or None
        return Reviewed(_answer(request.uid, objects, _Result({}, "Success")), SUCCESS)

    return review


def _read(body: bytes) -> _Request:
    try:
        question = _questions.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        raise NotUnderstood(f"the body is not a {KIND} of {API_VERSION}") from None
    if (question.kind, question.api_version) != (KIND, API_VERSION):
        what = f"{_plain(question.kind)} of {_plain(question.api_version)}"
        raise NotUnderstood(f"the body must be a {KIND} of {API_VERSION}, not {what}")
    if question.request is None:
        raise NotUnderstood(f"the {KIND} has no request")
    return question.request


class _Failed(Exception):
    """One object cannot be converted, and with it the whole review; the text says which one and why."""


async def _all_converted(objects: list[msgspec.Raw], desired: str) -> list[Converted]:
    converted = []
    for index, given in enumerate(objects):
        try:
            converted.append(convert(given, desired))
        except Unconvertible as error:
            raise _Failed(f"objects[{index}]{_called(given)}: {error}") from error
        # A long review lets others have their turn: the probe of the kubelet, and reviews of one object.
        await asyncio.sleep(0)
    return converted


def _called(given: msgspec.Raw) -> str:
    """Kind and name of an object, as far as it has them, to be found by."""
    try:
        named = _named.decode(given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return f" ({_plain(named.kind)} {_plain(named.metadata.name)})"


def _answer(uid: str, objects: list[msgspec.Raw] | None, result: _Result) -> bytes:
    # Upstream sends an empty request back.
    return msgspec.json.encode(_Answer(KIND, API_VERSION, _Request(), _Response(uid, objects, result)))


def _short(api_version: str) -> str:
    """The version without its group."""
    return api_version.rpartition("/")[2]


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else "?"
