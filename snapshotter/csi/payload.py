"""Requests and answers as they may be logged: one-line data with every secret replaced."""

import base64
import json
import re
from collections.abc import Iterable, Mapping

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from csi_proto import csi_pb2
from snapshotter.names import STRIPPED

Payload = dict[str, object]

SHORTEST_SECRET = 4
"""Characters of a value from which on it is found inside of words, too."""
SHORTEST_LINE = 8
"""Characters of a line that is taken for a secret of its own."""


def payload(message: Message) -> Payload:
    """A message as plain data with proto field names; fields marked `csi_secret` are replaced as a whole."""
    bare = type(message)()
    bare.CopyFrom(message)
    secret_paths = list(_take_secrets(bare))
    try:
        data: Payload = MessageToDict(bare, preserving_proto_field_name=True)
    except SerializeToJsonError:
        # JSON has no form for some values, such as a time before the year 1. The secrets are out.
        return {"text": text_format.MessageToString(bare, as_one_line=True)}
    for path in secret_paths:
        _put(data, path)
    return data


def without_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """A text of the driver's in which no value of the secrets of the call is left."""
    # The longest first, so that no rest of a value stays where one holds another.
    for form in sorted({form for value in secrets.values() for form in _forms(value)}, key=len, reverse=True):
        # A short value is one only where it stands alone: "a" is not the secret in "nobody may".
        pattern = re.escape(form) if len(form) >= SHORTEST_SECRET else rf"(?<!\w){re.escape(form)}(?!\w)"
        text = re.sub(pattern, STRIPPED, text)
    return text


def _forms(value: str) -> set[str]:
    """How a value may appear in a text: as it is, trimmed, escaped, encoded, or line by line."""
    forms = {line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST_LINE}
    for whole in (value, value.strip()):
        forms |= {whole, json.dumps(whole)[1:-1], json.dumps(whole, ensure_ascii=False)[1:-1]}
        forms.add(base64.b64encode(whole.encode()).decode())
    return {form for form in forms if form.strip()}


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
