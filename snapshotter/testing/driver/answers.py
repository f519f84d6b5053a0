"""Answers that a script changes, sensible or not."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message


class BadScript(Exception):
    """The script names a field that the message has not, or gives it a value that it cannot hold."""


def overwrite(message: Message, fields: Mapping[str, Any]) -> None:
    """Set these fields, named as in csi.proto; a dot leads into a message: `{"snapshot.snapshot_id": ""}`.

    None clears a field. A mapping changes the named fields of a message and leaves its others; a mapping replaces
    a map. A time is `{"seconds": 1, "nanos": 0}`.

    A list replaces a repeated field as a whole. A number in it stands for the message that was at that place, from
    0: `{"group_snapshot.snapshots": [0, 0]}` has the first member twice and no other. A place leads into one of the
    messages: `{"group_snapshot.snapshots.1.snapshot_id": ""}`.
    """
    for path, value in fields.items():
        name, dot, rest = path.partition(".")
        _set(message, name, {rest: value} if dot else value)


def _set(message: Message, name: str, value: Any) -> None:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise BadScript(f"{message.DESCRIPTOR.name} has no field {name!r}")
    try:
        if value is None:
            message.ClearField(name)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            message.ClearField(name)
            getattr(message, name).update(value)
        elif field.is_repeated:
            _set_repeated(getattr(message, name), value, of_messages=field.message_type is not None)
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            overwrite(getattr(message, name), value)
        else:
            setattr(message, name, value)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadScript(f"{message.DESCRIPTOR.name}.{name} cannot be {value!r}") from error


def _set_repeated(repeated: Any, value: Any, *, of_messages: bool) -> None:
    if of_messages and isinstance(value, Mapping):
        for path, change in value.items():
            place, _, rest = path.partition(".")
            overwrite(repeated[int(place)], {rest: change} if rest else change)
        return
    before = list(repeated)
    del repeated[:]
    if not of_messages:
        repeated.extend(value)
        return
    for item in value:
        if isinstance(item, int):
            repeated.add().CopyFrom(before[item])
        else:
            overwrite(repeated.add(), item)
