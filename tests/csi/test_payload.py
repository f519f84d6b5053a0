"""What may be logged of the driver's messages. Promise 15: no secret gets out."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from csi_proto import csi_pb2
from snapshotter.csi.payload import payload, without_secrets
from snapshotter.names import STRIPPED

DEEPEST = 4
"""Messages within messages that are filled."""


# The descriptors' own types differ between the implementations of protobuf.
Field = Any


def secret(field: Field) -> bool:
    return bool(field.GetOptions().Extensions[csi_pb2.csi_secret])


def message_with_secrets_everywhere() -> type[Message]:
    """CSI has secrets at the top of its requests alone; this one has them in lists and deep inside as well."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/nested.proto", package="tests", syntax="proto3", dependency=[csi_pb2.DESCRIPTOR.name]
    )
    nested = file.message_type.add(name="Nested")
    kinds = descriptor_pb2.FieldDescriptorProto
    nested.field.add(
        name="one", number=1, type=kinds.TYPE_MESSAGE, type_name=".csi.v1.CreateSnapshotRequest", label="LABEL_OPTIONAL"
    )
    nested.field.add(
        name="many",
        number=2,
        type=kinds.TYPE_MESSAGE,
        type_name=".csi.v1.DeleteSnapshotRequest",
        label="LABEL_REPEATED",
    )
    nested.field.add(
        name="deeper", number=3, type=kinds.TYPE_MESSAGE, type_name=".tests.Nested", label="LABEL_OPTIONAL"
    )
    nested.field.add(name="plain", number=4, type=kinds.TYPE_STRING, label="LABEL_REPEATED")
    lone = nested.field.add(name="lone", number=5, type=kinds.TYPE_STRING, label="LABEL_OPTIONAL")
    several = nested.field.add(name="several", number=6, type=kinds.TYPE_STRING, label="LABEL_REPEATED")
    for field in (lone, several):
        field.options.Extensions[csi_pb2.csi_secret] = True
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.Nested"))


def all_messages() -> list[type[Message]]:
    def within(descriptor: Descriptor) -> list[Descriptor]:
        inner = [one for nested in descriptor.nested_types for one in within(nested)]
        return [] if descriptor.GetOptions().map_entry else [descriptor, *inner]

    top = csi_pb2.DESCRIPTOR.message_types_by_name.values()
    return [message_factory.GetMessageClass(one) for descriptor in top for one in within(descriptor)]


NESTED = message_with_secrets_everywhere()
MESSAGES = all_messages()
SECRETIVE = [kind for kind in MESSAGES if any(secret(field) for field in kind.DESCRIPTOR.fields)]


class Filling:
    """Fills a message. The texts are all different, and tell whether they may be seen."""

    def __init__(self, choose: Callable[[], bool]) -> None:
        self._choose = choose
        self.shown: list[str] = []
        self.hidden: list[str] = []
        self.secret_fields = 0

    def fill(self, message: Message, *, deep: int = DEEPEST) -> None:
        for field in message.DESCRIPTOR.fields:
            taken = field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name) is not None
            if taken or not self._choose():
                continue
            if secret(field):
                self.secret_fields += 1
            self._set(message, field, deep)

    def _set(self, message: Message, field: Field, deep: int) -> None:
        values: Any = getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            if entry.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING:
                values[self._text(field)] = self._text(field)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if deep:
                inner = values.add() if field.is_repeated else values
                inner.SetInParent()
                self.fill(inner, deep=deep - 1)
        elif field.is_repeated:
            values.extend([self._value(field), self._value(field)])
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: Field) -> object:
        match field.type:
            case FieldDescriptor.TYPE_STRING:
                return self._text(field)
            case FieldDescriptor.TYPE_ENUM:
                return field.enum_type.values[-1].number
            case FieldDescriptor.TYPE_BOOL:
                return True
            case _:
                return 7

    def _text(self, field: Field) -> str:
        number = len(self.shown) + len(self.hidden)
        texts = self.hidden if secret(field) else self.shown
        texts.append(f"{'hidden' if secret(field) else 'shown'}-{number}-")
        return texts[-1]


def assert_stripped(message: Message, filling: Filling) -> None:
    before = message.SerializeToString(deterministic=True)
    text = str(payload(message))
    assert [value for value in filling.hidden if value in text] == []
    assert "hidden" not in text
    assert [value for value in filling.shown if value not in text] == []
    assert text.count(STRIPPED) == filling.secret_fields
    assert message.SerializeToString(deterministic=True) == before, "the message itself is sent as it is"


def test_csi_has_messages_with_secrets() -> None:
    found = {kind.DESCRIPTOR.name for kind in SECRETIVE}
    assert {"CreateSnapshotRequest", "DeleteSnapshotRequest", "ListSnapshotsRequest", "GetSnapshotRequest"} <= found


@pytest.mark.parametrize("kind", [*MESSAGES, NESTED], ids=lambda kind: kind.DESCRIPTOR.full_name)
def test_a_full_message_is_shown_without_its_secrets(kind: type[Message]) -> None:
    """Case 114."""
    message, filling = kind(), Filling(lambda: True)
    filling.fill(message)
    assert_stripped(message, filling)


@settings(deadline=None)
@given(st.sampled_from([*SECRETIVE, NESTED]), st.data())
def test_no_secret_is_shown_whatever_the_message_holds(kind: type[Message], data: st.DataObject) -> None:
    message, filling = kind(), Filling(lambda: data.draw(st.booleans()))
    filling.fill(message)
    assert_stripped(message, filling)


def test_no_message_of_csi_is_the_value_of_a_map() -> None:
    """So nothing that is secret can be inside of one."""
    for kind in MESSAGES:
        for field in kind.DESCRIPTOR.fields:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                assert field.message_type.fields_by_name["value"].message_type is None


PAYLOADS: dict[str, tuple[Message, dict[str, object]]] = {
    "names are those of the contract, and what is not set is left out": (
        csi_pb2.CreateSnapshotRequest(source_volume_id="vol-1", name="n", parameters={"a": "b"}),
        {"source_volume_id": "vol-1", "name": "n", "parameters": {"a": "b"}},
    ),
    "secrets are replaced as a whole, keys and all (case 114)": (
        csi_pb2.DeleteSnapshotRequest(snapshot_id="snap-1", secrets={"user": "u", "password": "p"}),
        {"snapshot_id": "snap-1", "secrets": STRIPPED},
    ),
    "an empty secret is a secret": (
        csi_pb2.DeleteSnapshotRequest(secrets={"": ""}),
        {"secrets": STRIPPED},
    ),
    "enumerations are shown by name": (
        csi_pb2.ControllerServiceCapability(rpc={"type": "LIST_SNAPSHOTS"}),  # type: ignore[arg-type]
        {"rpc": {"type": "LIST_SNAPSHOTS"}},
    ),
    "an empty message is empty": (csi_pb2.ProbeRequest(), {}),
    "a message that holds nothing but a secret keeps its place": (
        NESTED(one={"secrets": {"a": "b"}}, many=[{"snapshot_id": "s"}, {"secrets": {"a": "b"}}, {}]),
        {"one": {"secrets": STRIPPED}, "many": [{"snapshot_id": "s"}, {"secrets": STRIPPED}, {}]},
    ),
}


@pytest.mark.parametrize(("message", "expected"), PAYLOADS.values(), ids=PAYLOADS.keys())
def test_payload(message: Message, expected: dict[str, object]) -> None:
    assert payload(message) == expected


TEXTS: dict[str, tuple[str, dict[str, str], str]] = {
    "a text without a secret stays": ("no space left", {"password": "hunter2"}, "no space left"),
    "no secrets, nothing to take out": ("no space left", {}, "no space left"),
    "a value is taken out wherever it stands": (
        "hunter2: bad password hunter2!",
        {"password": "hunter2"},
        f"{STRIPPED}: bad password {STRIPPED}!",
    ),
    "each of several values is": (
        "ann/hunter2",
        {"user": "ann", "password": "hunter2"},
        f"{STRIPPED}/{STRIPPED}",
    ),
    "no rest stays of a value that holds another": (
        "hunter2",
        {"short": "hunter", "long": "hunter2"},
        STRIPPED,
    ),
    "an empty value is nowhere": ("no", {"password": ""}, "no"),
    "neither is a blank one": ("a b", {"password": " \n"}, "a b"),
    "the line feed at its end need not be in the text": (
        "bad password 'hunter2'",
        {"password": "hunter2\n"},
        f"bad password '{STRIPPED}'",
    ),
    "names of secrets may be seen": ("no password", {"password": "hunter2"}, "no password"),
    "a short value is taken out where it stands alone": (
        "pin 1 is wrong (1), 12 are left",
        {"pin": "1"},
        f"pin {STRIPPED} is wrong ({STRIPPED}), 12 are left",
    ),
    "but not out of other words": ("nobody may", {"password": "a"}, "nobody may"),
    "a value of four characters is taken out of words as well": (
        "xabcdx abcx",
        {"password": "abcd", "pin": "abc"},
        f"x{STRIPPED}x abcx",
    ),
    "escapes of a driver that writes other letters as they are": (
        r'bad "pâss\nwörd"',
        {"password": "pâss\nwörd"},
        rf'bad "{STRIPPED}"',
    ),
    "escapes of a driver that writes plain letters alone": (
        r'bad "p\u00e2ss\nw\u00f6rd"',
        {"password": "pâss\nwörd"},
        rf'bad "{STRIPPED}"',
    ),
    "a line of eight characters is secret by itself, a shorter one is not": (
        "12345678 or 1234567",
        {"key": "12345678\n1234567\n"},
        f"{STRIPPED} or 1234567",
    ),
    "a value is found in quotes with escapes": (
        r'password "hun\"ter\n2" is wrong',
        {"password": 'hun"ter\n2'},
        f'password "{STRIPPED}" is wrong',
    ),
    "a value is found when it is encoded": (
        "Authorization: aHVudGVyMg==",
        {"password": "hunter2"},
        f"Authorization: {STRIPPED}",
    ),
    "a long line of a value is secret by itself": (
        "cannot read line MIIEpAIBAAKCAQEA",
        {"key": "-----BEGIN-----\nMIIEpAIBAAKCAQEA\n-----END-----\n"},
        f"cannot read line {STRIPPED}",
    ),
    "what stands for a pattern elsewhere is plain text": ("a.c+ abcc", {"password": "a.c+"}, f"{STRIPPED} abcc"),
    "a value of several lines": ("key: a\nb.", {"key": "a\nb\n"}, f"key: {STRIPPED}."),
}


@pytest.mark.parametrize(("text", "secrets", "expected"), TEXTS.values(), ids=TEXTS.keys())
def test_a_drivers_text_is_shown_without_the_secrets_of_the_call(
    text: str, secrets: dict[str, str], expected: str
) -> None:
    assert without_secrets(text, secrets) == expected


# Of letters that the mark for what was stripped has not, or the mark itself might hold a value. Values of a few
# characters are taken out only where they stand alone, so there is no such law for them.
values = st.text(alphabet="xyz0 \n", min_size=4).filter(lambda value: len(value.strip()) >= 4)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=4), st.lists(st.text(alphabet="xyz0 \n"), max_size=4), st.randoms())
def test_no_value_is_left_in_any_text(given_values: list[str], others: list[str], random: Any) -> None:
    parts = [*given_values, *(value.strip() for value in given_values), *others]
    random.shuffle(parts)
    shown = without_secrets("".join(parts), {str(number): value for number, value in enumerate(given_values)})
    assert [value for value in given_values if value.strip() in shown] == []


NO_JSON = {
    "the year 0": (-62167219200, 0, "seconds: -62167219200"),
    "after the year 9999": (253402300800, 0, "seconds: 253402300800"),
    "negative nanoseconds": (0, -1, "nanos: -1"),
}


@pytest.mark.parametrize(("seconds", "nanos", "shown"), NO_JSON.values(), ids=NO_JSON.keys())
def test_a_time_that_json_has_no_form_for_is_shown_as_it_is(seconds: int, nanos: int, shown: str) -> None:
    answer = csi_pb2.CreateSnapshotResponse(
        snapshot=csi_pb2.Snapshot(snapshot_id="a", creation_time=Timestamp(seconds=seconds, nanos=nanos))
    )
    assert payload(answer) == {"text": f'snapshot {{ snapshot_id: "a" creation_time {{ {shown} }} }}'}
