"""Conversion of group objects between the versions of their API, from JSON to JSON.

All versions have the same fields but for one list in the status of VolumeGroupSnapshotContent. What is not concerned
stays as it is, byte for byte. `snapshotter.webhook.conversion` answers the API server with it.
"""

import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from snapshotter.names import (
    GROUP_SNAPSHOT_GROUP,
    GROUP_SNAPSHOT_OLD_VERSION,
    GROUP_SNAPSHOT_VERSIONS,
    KEPT_INFO_LIST,
)

CONTENT: Final = "VolumeGroupSnapshotContent"
KINDS: Final = frozenset({CONTENT, "VolumeGroupSnapshot", "VolumeGroupSnapshotClass"})

OLD: Final = f"{GROUP_SNAPSHOT_GROUP}/{GROUP_SNAPSHOT_OLD_VERSION}"
API_VERSIONS: Final = (OLD, *(f"{GROUP_SNAPSHOT_GROUP}/{version}" for version in GROUP_SNAPSHOT_VERSIONS))
"""The versions that objects are converted between, as objects write them."""

INFO_LIST: Final = "volumeSnapshotInfoList"
"""In the status, in the later versions: handles, time, readiness and size of each snapshot of the group."""
PAIR_LIST: Final = "volumeSnapshotHandlePairList"
"""In the status, in the old version: the handles alone."""
EXTRAS: Final = frozenset({"creationTime", "readyToUse", "restoreSize"})
"""What the old version cannot tell of a snapshot."""

_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "volumeHandle": (str, "a string"),
    "snapshotHandle": (str, "a string"),
    "creationTime": (int, "a 64-bit integer"),
    "readyToUse": (bool, "a boolean"),
    "restoreSize": (int, "a 64-bit integer"),
}
_KEPT_PATH: Final = f'metadata.annotations["{KEPT_INFO_LIST}"]'
_INFO_PATH: Final = f"status.{INFO_LIST}"
_PAIR_PATH: Final = f"status.{PAIR_LIST}"

LONGEST_KEPT: Final = 3 << 20
"""Bytes of the annotation. An API server takes no request that is longer, so none of its own is."""
_LONGEST_SHOWN: Final = 100

Members = dict[str, Any]
"""A JSON object. What has not been looked into is a `msgspec.Raw`."""
Entry = dict[str, Any]
"""One snapshot of the group, in one of the two lists."""


class Unconvertible(Exception):
    """The object cannot be converted. The text says where it is at fault, and nothing of its content."""


@dataclass(frozen=True, slots=True)
class Converted:
    object: msgspec.Raw
    version: str
    """The API version that the object had before."""


def convert(given: msgspec.Raw, desired: str) -> Converted:
    """An object in another API version. Raises `Unconvertible`."""
    try:
        members = _object(given, "what is to be converted")
        kind, version = _text(members, "kind"), _text(members, "apiVersion")
        if not kind:
            raise Unconvertible("what is to be converted has no kind")
        _check(kind, version, desired)
        if kind == CONTENT and desired == OLD:
            _convert_down(members)
        elif kind == CONTENT and version == OLD:
            _convert_up(members)
        members["apiVersion"] = desired
        return Converted(msgspec.Raw(msgspec.json.encode(members)), version)
    except RecursionError:
        raise Unconvertible("the object is nested too deeply") from None


def _check(kind: str, version: str, desired: str) -> None:
    if version == desired:
        raise Unconvertible(f"conversion to itself: the object is in {_shown(version)} already")
    if kind not in KINDS:
        raise Unconvertible(f"objects of the kind {_shown(kind)} are not converted")
    if version not in API_VERSIONS or desired not in API_VERSIONS:
        raise Unconvertible(f"there is no conversion from {_shown(version)} to {_shown(desired)}")


def _convert_down(members: Members) -> None:
    """To the old version: the list of handles, and all that we know of the snapshots in an annotation."""
    status = _optional(members, "status", "status")
    if INFO_LIST not in status:
        # An annotation that is left from earlier would bring back a list that is not there any more.
        if KEPT_INFO_LIST in (annotations := _annotations(members)):
            del annotations[KEPT_INFO_LIST]
            _set_annotations(members, annotations)
        return
    infos = _entries(_decoded(status.pop(INFO_LIST), _INFO_PATH), _INFO_PATH)
    _set_annotations(members, _annotations(members) | {KEPT_INFO_LIST: canonical(infos).decode()})
    status[PAIR_LIST] = [{key: value for key, value in info.items() if key not in EXTRAS} for info in infos]
    members["status"] = status


def _convert_up(members: Members) -> None:
    """From the old version: the handles that are listed, with all that the annotation has kept of them."""
    status = _optional(members, "status", "status")
    annotations = _annotations(members)
    infos: list[Entry] | None = None
    if KEPT_INFO_LIST in annotations:
        infos = _kept(annotations.pop(KEPT_INFO_LIST))
        _set_annotations(members, annotations)
    if PAIR_LIST in status:
        pairs = _checked(_entries(_decoded(status.pop(PAIR_LIST), _PAIR_PATH), _PAIR_PATH), _PAIR_PATH)
        infos = _joined(pairs, infos or ())
    if infos is not None:
        status[INFO_LIST] = infos
        members["status"] = status


def _joined(pairs: Sequence[Entry], kept: Sequence[Entry]) -> list[Entry]:
    """The pairs with what was kept of each. Of equal pairs the first gets what was kept first."""
    waiting: dict[tuple[str | None, str | None], deque[Entry]] = defaultdict(deque)
    for info in kept:
        waiting[_handles(info)].append(info)
    return [pair | (fitting.popleft() if (fitting := waiting[_handles(pair)]) else {}) for pair in pairs]


def _handles(entry: Entry) -> tuple[str | None, str | None]:
    return entry.get("volumeHandle"), entry.get("snapshotHandle")


def _kept(annotation: msgspec.Raw) -> list[Entry]:
    """What the annotation says. In the old version every user who may write the object can write there."""
    text = _decoded(annotation, _KEPT_PATH)
    if not isinstance(text, str):
        raise Unconvertible(f"{_KEPT_PATH} is not a string")
    if len(kept := text.encode()) > LONGEST_KEPT:
        raise Unconvertible(f"{_KEPT_PATH} is longer than {LONGEST_KEPT} bytes")
    return _checked(_entries(_decoded(kept, _KEPT_PATH), _KEPT_PATH), _KEPT_PATH)


def _entries(given: Any, path: str) -> list[Entry]:
    if not isinstance(given, list):
        raise Unconvertible(f"{path} is not a list")
    for index, entry in enumerate(given):
        if not isinstance(entry, dict):
            raise Unconvertible(f"{path}[{index}] is not an object")
        if not all(map(_fits_into_64_bits, entry.values())):
            raise Unconvertible(f"{path}[{index}] has an integer that does not fit into 64 bits")
    return given


def _fits_into_64_bits(value: Any) -> bool:
    """Whether all integers are ones that an API server can hold."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if isinstance(value, dict):
        return all(map(_fits_into_64_bits, value.values()))
    return not isinstance(value, list) or all(map(_fits_into_64_bits, value))


def _checked(entries: list[Entry], path: str) -> list[Entry]:
    """Entries in which the fields that we know have their types; null is as good as nothing."""
    for index, entry in enumerate(entries):
        for field, (kind, called) in _TYPES.items():
            if field not in entry:
                continue
            if entry[field] is None:
                del entry[field]
            elif type(entry[field]) is not kind:
                raise Unconvertible(f"{path}[{index}].{field} is not {called}")
    return entries


def _annotations(members: Members) -> Members:
    metadata = _optional(members, "metadata", "metadata")
    return _optional(metadata, "annotations", "metadata.annotations")


def _set_annotations(members: Members, annotations: Members) -> None:
    members["metadata"] = _optional(members, "metadata", "metadata") | {"annotations": annotations}


def _optional(members: Members, key: str, path: str) -> Members:
    """An object in an object; an empty one where there is none, or null. Not yet a part of the outer one."""
    value = members.get(key)
    return {} if value is None or value == _NULL else _object(value, path)


_NULL: Final = msgspec.Raw(b"null")

_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _object(raw: msgspec.Raw, path: str) -> Members:
    try:
        return dict(_objects.decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unconvertible(f"{path} is not a JSON object") from None


def _text(members: Members, key: str) -> str:
    """A string; empty where there is none."""
    value = _decoded(members[key], key) if key in members else ""
    if not isinstance(value, str):
        raise Unconvertible(f"{key} is not a string")
    return value


def _number(text: str) -> int | msgspec.Raw:
    """A number that is not written as an integer. Whole ones, such as 1e3, are integers all the same."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("out of range")
    if value == 0:
        return 0
    if abs(value) < 1 << 64 and (exact := Decimal(text)) == exact.to_integral_value():
        return int(exact)
    return msgspec.Raw(_as_go_writes(value).encode())


def _as_go_writes(value: float) -> str:
    """A number as Go's encoding/json writes it: with an exponent only when it is very small or very large."""
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f")
    return repr(value).replace("e-0", "e-")


_values: Final = msgspec.json.Decoder(float_hook=_number)


def _decoded(raw: msgspec.Raw | bytes, path: str) -> Any:
    try:
        return _values.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unconvertible(f"{path} is not valid JSON") from None


_ESCAPED: Final = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


def canonical(value: Any) -> bytes:
    """JSON as Go's encoding/json writes a map, byte for byte: upstream's webhook and ours may take turns.

    Keys are sorted, there are no blanks, and what would be special in HTML or JavaScript is escaped.
    """
    text = msgspec.json.encode(value, order="deterministic")
    for character, escaped in _ESCAPED.items():
        # None of these stands outside of a string.
        text = text.replace(character, escaped)
    return text


def _shown(text: str) -> str:
    """What somebody else wrote, short and on one line, for a message."""
    return canonical(text[:_LONGEST_SHOWN]).decode()
