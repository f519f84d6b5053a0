"""The forms of a flag's value, as Go's flags read them, and how a field of the settings is tied to its flag."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Parse = Callable[[str], Any]


class BadValue(ValueError):
    """A flag's value is not of the flag's form; the text says what is."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field is set from the command line."""

    name: str
    help: str
    parse: Parse
    shown_default: str
    note: str = ""
    """A warning to give when the flag is used."""
    accumulates: bool = False
    """Whether the flag may be given several times, each adding to a tuple."""


def flag(
    name: str,
    parse: Parse,
    default: object,
    text: str,
    *,
    shown: str | None = None,
    note: str = "",
    accumulates: bool = False,
) -> Any:
    """A dataclass field that is set by `--name`. `shown`: the default as users write it."""
    written = shown if shown is not None else _written(default)
    return field(default=default, metadata={"flag": Flag(name, text, parse, written, note, accumulates)})


def variable(name: str) -> Any:
    """A dataclass field that is set by an environment variable; empty without it."""
    return field(default="", metadata={"variable": name})


def _written(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def string(text: str) -> str:
    return text


def integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadValue(f'"{text}" is not a whole number')
    return int(text)


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadValue(f'"{text}" is not a number') from None
    if not math.isfinite(value):
        raise BadValue(f'"{text}" is no amount; 0 means no limit')
    return value


_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise BadValue(f'"{text}" is neither true nor false') from None


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"


def duration(text: str) -> float:
    """Seconds, from `1m30s`, `500ms`, `-1s`, `0`."""
    unsigned = text[1:] if text.startswith(("-", "+")) else text
    if unsigned == "0":
        return 0.0
    if not re.fullmatch(f"(?:{_PART})+", unsigned):
        raise BadValue(f'"{text}" is not a duration such as 5s or 1m30s')
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(_PART, unsigned))
    return -seconds if text.startswith("-") else seconds


_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")


def quantity(text: str) -> str:
    """An amount as Kubernetes writes it, such as `64Ki`; left as it is."""
    if not _QUANTITY.fullmatch(text):
        raise BadValue(f'"{text}" is not an amount such as 0 or 64Ki')
    return text


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Keys and values, from `key:value,key:value`."""
    found = []
    for item in text.split(",") if text else ():
        key, colon, value = item.partition(":")
        if not colon or ":" in value:
            raise BadValue(f'"{item}" is not of the form key:value')
        found.append((key.strip(), value.strip()))
    return tuple(found)


def switches(text: str) -> tuple[tuple[str, bool], ...]:
    """Names that are turned on or off, from `name=true,name=false`."""
    found = []
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            raise BadValue(f'"{item}" is not of the form name=true or name=false')
        found.append((name.strip(), boolean(value.strip())))
    return tuple(found)


def verbosities(text: str) -> str:
    """Patterns of file names with a verbosity for each, `pattern=N,pattern=N`; left as they are."""
    for item in filter(None, text.split(",")):
        pattern, _, level = item.partition("=")
        if not pattern or not re.fullmatch(r"[0-9]+", level):
            raise BadValue(f'"{item}" is not of the form pattern=N')
    return text
