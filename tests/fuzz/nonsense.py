"""What an odd driver answers: by what may follow from it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from tests.fuzz.odd_driver import MESSAGES, Refusal, Spoil
from tests.fuzz.oddities import SECRET

Change = Callable[[Any], object]
"""Makes an answer odd, in place."""

UNKNOWN_FIELD: Final = b"\xfa\x7f\x05hello"
"""Field 2047 with a text: what a later version of the interface might say."""


def changed(method: str, change: Change) -> Spoil:
    """The honest answer with a change."""

    def spoil(honest: bytes) -> bytes:
        message: Message = MESSAGES[method][1].FromString(honest)
        change(message)
        return message.SerializeToString()

    return spoil


# What is in the answer about one snapshot, wherever that stands.
HARMLESS: Final[Mapping[str, Change]] = {
    "a negative size": lambda snap: setattr(snap, "size_bytes", -1),
    "the least size": lambda snap: setattr(snap, "size_bytes", -(2**63)),
    "no time": lambda snap: snap.ClearField("creation_time"),
    "the epoch": lambda snap: _time(snap, 0),
    "the year 0": lambda snap: _time(snap, -62167219200),
    "before all times": lambda snap: _time(snap, -(2**63), -(2**31)),
    "after all times": lambda snap: _time(snap, 2**63 - 1, 2**31 - 1),
    "the year 9999": lambda snap: _time(snap, 253402300799),
    "negative nanoseconds": lambda snap: _time(snap, 0, -1),
    "too many nanoseconds": lambda snap: _time(snap, 1, 2**31 - 1),
    "no volume": lambda snap: setattr(snap, "source_volume_id", ""),
}
"""With these a snapshot becomes ready all the same, and its status is true."""

DENIED: Final[Mapping[str, Change]] = {
    "no id": lambda snap: setattr(snap, "snapshot_id", ""),
    "an id of a megabyte": lambda snap: setattr(snap, "snapshot_id", "x" * (1 << 20)),
    "an id of a group of a megabyte": lambda snap: setattr(snap, "group_snapshot_id", "x" * (1 << 20)),
    "another volume": lambda snap: setattr(snap, "source_volume_id", "vol"),
    "a volume of control characters": lambda snap: setattr(snap, "source_volume_id", "\x00\x1b[31m\n" * 1000),
}
"""These are no answer to what was asked."""

OF_GROUPS: Final[Mapping[str, Change]] = {
    "no id of the group": lambda group: setattr(group, "group_snapshot_id", ""),
    "an id of the group of a megabyte": lambda group: setattr(group, "group_snapshot_id", "x" * (1 << 20)),
    "no members": lambda group: group.ClearField("snapshots"),
    "a member less": lambda group: group.snapshots.pop(),
    "a member twice": lambda group: group.snapshots.append(group.snapshots[0]),
    "a member more": lambda group: group.snapshots.add(snapshot_id="more", source_volume_id="more"),
    "a member of another group": lambda group: setattr(group.snapshots[0], "group_snapshot_id", "another"),
    "a member without an id": lambda group: setattr(group.snapshots[0], "snapshot_id", ""),
    "a member of another volume": lambda group: setattr(group.snapshots[0], "source_volume_id", "another"),
    "members without volumes": lambda group: [each.ClearField("source_volume_id") for each in group.snapshots],
    "ten thousand members": lambda group: [
        group.snapshots.add(snapshot_id=f"s-{number}", source_volume_id=f"v-{number}") for number in range(10_000)
    ],
}

OF_LISTS: Final[Mapping[str, Change]] = {
    "a page that leads to itself": lambda answer: _page(answer, "same"),
    "a page of nothing": lambda answer: _page(answer, ""),
    "ten thousand others": lambda answer: [
        answer.entries.add().snapshot.CopyFrom(type(answer.entries[0].snapshot)(snapshot_id=f"s-{number}"))
        for number in range(10_000)
    ],
    "entries of nothing": lambda answer: [answer.entries.insert(0, type(answer.entries[0])()) for _ in range(100)],
    "an entry of something else": lambda answer: setattr(answer.entries[0].snapshot, "snapshot_id", "another"),
    "all of it twice": lambda answer: answer.entries.extend(list(answer.entries)),
    "a token of a megabyte": lambda answer: _page(answer, "x" * (1 << 20)),
}

RAW: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "nothing": lambda _: b"",
    "half a message": lambda honest: honest[: len(honest) // 2] + b"\x0a\x7f",
    "a message without its end": lambda honest: honest[:-1],
    "bytes that are no message": lambda _: b"\xff" * 50,
    "a number in the place of the snapshot": lambda _: b"\x08\x05",
    "a text that is no UTF-8": lambda _: b"\x0a\x06\x12\x04\xff\xfe\xc0\xaf",
    "more than is taken": lambda honest: honest + b"\xfa\x7f\x80\x80\x80\x0a" + bytes(20 << 20),
}
"""Where a message is not even one."""

RAW_HARMLESS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "a field that nobody knows": lambda honest: honest + UNKNOWN_FIELD,
    "five megabytes that nobody knows": lambda honest: honest + b"\xfa\x7f\x80\x80\xc0\x02" + bytes(5 << 20),
}

TEXTS: Final[Mapping[str, str]] = {
    "plain": "the array is on fire",
    "empty": "",
    "lines": "one\ntwo\r\n\tthree",
    "control characters": "\x1b[2J\x1b[31mred\x07\x7f\u202eevil",
    "a secret": f"login of admin with {SECRET} failed",
    "a secret in JSON": f'{{"password": "{SECRET}"}}',
    "a megabyte": "x" * (1 << 20),
    "a megabyte of lines with a secret": f"{SECRET}\n" * 40_000,
    "a megabyte of blanks": " " * (1 << 20) + "end",
    "other languages": "größer 大きい \U0001f4be",
    "the names of fields": "$.status.error %s {0} ${token}",
}
CODES: Final = tuple(code for code in grpc.StatusCode if code is not grpc.StatusCode.OK)


def _page(answer: Any, token: str) -> None:
    answer.ClearField("entries")
    answer.next_token = token


def _time(snap: Any, seconds: int, nanos: int = 0) -> None:
    snap.creation_time.seconds = seconds
    snap.creation_time.nanos = nanos


@dataclass(frozen=True, slots=True)
class Odd:
    """One odd answer."""

    what: str
    """For people."""
    spoil: Spoil
    denied: bool
    """Whether it cannot be taken for an answer to a create call."""


class Nonsense:
    """Chooses, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 (the same each time)

    def about(self, method: str, field: str) -> Odd:
        """An odd answer to a create or a look-up; `field` is that of the snapshot or the group."""
        grouped = field == "group_snapshot"
        match self._random.randrange(6):
            case 0:
                return self._refusal()
            case 1:
                return self._raw()
            case 2:
                what = self._random.choice(list(RAW_HARMLESS))
                return Odd(what, RAW_HARMLESS[what], denied=False)
            case 3 | 4:
                what, change = self._random.choice(list((OF_GROUPS if grouped else DENIED).items()))
                return Odd(what, changed(method, lambda answer: change(getattr(answer, field))), denied=True)
            case _:
                what, change = self._random.choice(list(HARMLESS.items()))
                if not grouped:
                    return Odd(what, changed(method, lambda answer: change(answer.snapshot)), denied=False)
                every = changed(method, lambda answer: [change(each) for each in answer.group_snapshot.snapshots])
                return Odd(f"members: {what}", every, denied=what == "no volume")

    def about_a_list(self, method: str) -> Odd:
        """An odd answer to a look-up by a list."""
        match self._random.randrange(4):
            case 0:
                return self._refusal()
            case 1:
                return self._raw()
            case 2:
                what, change = self._random.choice(list(HARMLESS.items()))
                return Odd(what, changed(method, lambda answer: change(answer.entries[0].snapshot)), denied=False)
            case _:
                what, change = self._random.choice(list(OF_LISTS.items()))
                return Odd(what, changed(method, change), denied=False)

    def about_a_deletion(self) -> Odd:
        """An odd answer where a good one is empty."""
        return self._random.choice((self._refusal, self._raw))()

    def _refusal(self) -> Odd:
        what = self._random.choice(list(TEXTS))
        code = self._random.choice(CODES)
        trailers = (("x-odd", "y"), ("grpc-status-details-bin", b"\xff\xfe"))
        return Odd(f"{code.name}: {what}", Refusal(code, TEXTS[what], trailers), denied=True)

    def _raw(self) -> Odd:
        what = self._random.choice(list(RAW))
        return Odd(what, RAW[what], denied=True)
