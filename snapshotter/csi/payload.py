"""Requests and answers as they may be logged: one-line data with every secret replaced."""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from csi_proto import csi_pb2
from snapshotter.names import STRIPPED

Payload = dict[str, object]


def payload(message: Message) -> Payload:
    """A message as plain data with proto field names; fields marked `csi_secret` are replaced as a whole."""
    bare = type(message)()
    bare.CopyFrom(message)
    secret_paths = list(_take_secrets(bare))
    data: Payload = MessageToDict(bare, preserving_proto_field_name=True)
    for path in secret_paths:
        _put(data, path)
    return data


def without_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """A text of the driver's in which no value of the secrets of the call is left."""
    # Drivers trim what they read, such as the line feed at the end of a file. The longest first, so that no rest
    # of a value stays where one holds another.
    values = {form for value in secrets.values() for form in (value, value.strip()) if form.strip()}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, STRIPPED)
    return text


_Path = tuple[str | int, ...]


def _take_secrets(message: Message, path: _Path = ()) -> Iterable[_Path]:
    """Clear the secret fields of a message, nested ones included, and tell where they were."""
    for descriptor, value in message.ListFields():
        here = (*path, descriptor.name)
        if descriptor.GetOptions().Extensions[csi_pb2.csi_secret]:
            message.ClearField(descriptor.name)
            yield here
        elif descriptor.type != FieldDescriptor.TYPE_MESSAGE or _is_map(descriptor):
            continue
        elif descriptor.is_repeated:
            for number, item in enumerate(value):
                yield from _take_secrets(item, (*here, number))
        else:
            yield from _take_secrets(value, here)


def _is_map(descriptor: FieldDescriptor) -> bool:
    # No message of CSI is the value of a map, so there is nothing secret inside.
    return descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry


def _put(data: object, path: _Path) -> None:
    *parents, last = path
    for step in parents:
        if isinstance(data, dict):
            data = data.setdefault(step, {})
        elif isinstance(data, list) and isinstance(step, int):
            data = data[step]
    if isinstance(data, dict):
        data[last] = STRIPPED
