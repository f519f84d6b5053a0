"""In which form a review comes, and in which the answer goes: JSON, or YAML as upstream's webhook takes it too."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import yaml

JSON: Final = "application/json"
YAML: Final = "application/yaml"

MOST_VALUES: Final = 1_000_000
"""Values in a body, which take far more memory than the few bytes that they may be written with. A review of 500 group
contents of 100 members each has about 600,000."""

LONGEST_YAML: Final = 128 << 10
"""Characters. API servers send JSON; YAML is for people who try the webhook out, and takes long to read."""
MOST_BRACKETS: Final = 5000
"""In YAML: the time that open ones take grows with the square of their number."""
_LONGEST_SHOWN: Final = 100


class NotUnderstood(Exception):
    """A request that is not what it should be; the text says in which way, and holds nothing of the body."""


def given_form(content_type: str) -> str:
    """The form of a body; parameters such as a charset are passed over. Raises `NotUnderstood`."""
    form = content_type.partition(";")[0].strip().lower()
    if form not in (JSON, YAML):
        raise NotUnderstood(f"Content-Type must be {JSON} or {YAML}, not {_shown(content_type)}")
    return form


def wanted_form(accept: str) -> str:
    """The form for the answer: of those that the client accepts the one that it likes best. Raises `NotUnderstood`.

    A client that does not mind gets JSON.
    """
    if not accept.strip():
        return JSON
    for accepted in _by_preference(accept):
        if accepted in (JSON, "application/*", "*/*"):
            return JSON
        if accepted == YAML:
            return YAML
    raise NotUnderstood(f"Accept must allow {JSON} or {YAML}, which {_shown(accept)} does not")


def _by_preference(accept: str) -> Iterator[str]:
    """The media ranges of an Accept header (RFC 9110, 12.5.1) without those of quality 0, the best first."""
    ranges = []
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((text for text in parameters if text.startswith("q=")), "q=1").removeprefix("q=")
        if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) and float(quality) > 0:
            ranges.append((-float(quality), name))
    return (name for _, name in sorted(ranges, key=lambda item: item[0]))


def json_from(body: bytes, form: str) -> bytes:
    """A body as JSON, which is not checked if it was JSON. Raises `NotUnderstood`."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise NotUnderstood("the body is not UTF-8") from None
    if sum(map(body.count, (b",", b"{", b"["))) > MOST_VALUES:
        raise NotUnderstood(f"the body holds more than {MOST_VALUES} values")
    return body if form == JSON else _json_from_yaml(text)


def in_form(body: bytes, form: str) -> bytes:
    """JSON in the form that is wanted."""
    if form == JSON:
        return body
    # JSON is YAML, but for characters that YAML wants to see escaped (YAML 1.2.2, 5.1 and 5.4).
    return body.decode().translate(_NOT_FOR_YAML).encode()


_NOT_FOR_YAML: Final = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}


_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")

# The one that is written in C is many times faster; it is in all of PyYAML's wheels.
_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _json_from_yaml(text: str) -> bytes:
    if len(text) > LONGEST_YAML:
        raise NotUnderstood(f"a body of YAML must not be longer than {LONGEST_YAML} characters")
    if text.count("{") + text.count("[") > MOST_BRACKETS:
        raise NotUnderstood(f"a body of YAML must not have more than {MOST_BRACKETS} brackets")
    try:
        return msgspec.json.encode(_value(yaml.parse(text, _Parser)))
    except (yaml.YAMLError, ValueError):
        raise NotUnderstood("the body is not YAML") from None
    except RecursionError:
        raise NotUnderstood("the body is nested too deeply") from None


def _value(events: Iterable[yaml.Event]) -> Any:
    """The one document, with the scalars of JSON alone: a time is a text, and `on` is no boolean.

    Aliases are refused: a few lines of them can stand for more than fits into memory.
    """
    documents: list[Any] = []
    inside: list[list[Any]] = [documents]
    for event in events:
        match event:
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                inside.append([])
            case yaml.SequenceEndEvent():
                items = inside.pop()
                inside[-1].append(items)
            case yaml.MappingEndEvent():
                items = inside.pop()
                inside[-1].append(dict(zip(map(_key, items[::2]), items[1::2], strict=True)))
            case yaml.ScalarEvent():
                inside[-1].append(_scalar(event))
            case yaml.AliasEvent():
                raise NotUnderstood("the body uses aliases of YAML")
    if len(documents) != 1:
        raise NotUnderstood("the body is not one document of YAML")
    return documents[0]


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise NotUnderstood("the body has a key that is not a text")
    return value


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return msgspec.Raw(text.encode()) if _NUMBER.fullmatch(text) else text


def _shown(text: str) -> str:
    """What somebody else wrote, short and on one line."""
    return msgspec.json.encode(text[:_LONGEST_SHOWN].encode(errors="replace").decode()).decode()
