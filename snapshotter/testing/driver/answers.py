"""Answers that a script changes, sensible or not."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message


class BadScript(Exception):
    """The script names a field that the message has not, or gives it a value that it cannot hold."""


def overwrite(message: Message, fields: Mapping[str, Any]) -> None:
    """Set these fields, named as in csi.proto; a dot leads into a message: `{"snapshot.snapshot_id": ""}`.

    None clears a field. A mapping changes the named fields of a message and leaves its others; a list replaces
    a repeated field as a whole; a mapping replaces a map. A time is `{"seconds": 1, "nanos": 0}`.
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
            message.ClearField(name)
            _extend(getattr(message, name), value, of_messages=field.message_type is not None)
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            overwrite(getattr(message, name), value)
        else:
            setattr(message, name, value)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadScript(f"{message.DESCRIPTOR.name}.{name} cannot be {value!r}") from error


def _extend(repeated: Any, values: Any, *, of_messages: bool) -> None:
    if not of_messages:
        repeated.extend(values)
        return
    for value in values:
        overwrite(repeated.add(), value)
