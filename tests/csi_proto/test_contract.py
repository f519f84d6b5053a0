"""csi.proto says what CSI 1.12 says: `contract.txt` holds the facts, the descriptor is written in its form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csi_proto import csi_pb2

CONTRACT = dict(
    line.split(":", 1)
    for line in (Path(__file__).parent / "contract.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def described() -> Iterator[tuple[str, str]]:
    """The contract's lines as the descriptor has them: what stands before and after the colon."""
    file = csi_pb2.DESCRIPTOR
    for service in file.services_by_name.values():
        methods = ", ".join(_method(method) for method in service.methods)
        yield f"service {service.name}{_alpha(service, csi_pb2.alpha_service)}", f" {methods}"
    for enum in file.enum_types_by_name.values():
        yield _enum(enum)
    for message in file.message_types_by_name.values():
        yield from _message(message)


def _method(method: Any) -> str:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"
    assert not method.client_streaming
    stream = " stream" if method.server_streaming else ""
    return f"{method.name}{stream}{_alpha(method, csi_pb2.alpha_method)}"


def _message(message: Any) -> Iterator[tuple[str, str]]:
    if message.GetOptions().map_entry:
        return
    fields = "; ".join(_field(field) for field in message.fields)
    yield f"{_short(message)}{_alpha(message, csi_pb2.alpha_message)}", f" {fields}" if fields else ""
    for enum in message.enum_types:
        yield _enum(enum)
    for nested in message.nested_types:
        yield from _message(nested)


def _field(field: Any) -> str:
    words = [str(field.number), field.name]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        assert [_type(part) for part in field.message_type.fields] == ["string", "string"]
        words.append("map")
    else:
        words += ["repeated"] * field.is_repeated + [_type(field)]
    if field.containing_oneof:
        words.append(f"@{field.containing_oneof.name}")
    if field.GetOptions().Extensions[csi_pb2.csi_secret]:
        words.append("secret")
    return " ".join(words) + _alpha(field, csi_pb2.alpha_field)


def _type(field: Any) -> str:
    if named := field.message_type or field.enum_type:
        return _short(named)
    names = {
        field.TYPE_STRING: "string",
        field.TYPE_INT64: "int64",
        field.TYPE_INT32: "int32",
        field.TYPE_BOOL: "bool",
    }
    return names[field.type]


def _enum(enum: Any) -> tuple[str, str]:
    values = (f"{value.number} {value.name}{_alpha(value, csi_pb2.alpha_enum_value)}" for value in enum.values)
    return f"enum {_short(enum)}", f" {'; '.join(values)}"


def _short(named: Any) -> str:
    return str(named.full_name.removeprefix("csi.v1."))


def _alpha(named: Any, option: Any) -> str:
    return " alpha" if named.GetOptions().Extensions[option] else ""


DESCRIBED = dict(described())


def test_nothing_is_missing_and_nothing_is_made_up() -> None:
    assert sorted(DESCRIBED) == sorted(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_it_is_as_agreed(name: str) -> None:
    assert DESCRIBED[name] == CONTRACT[name]


def test_the_options_have_their_numbers() -> None:
    extensions: Any = csi_pb2.DESCRIPTOR.extensions_by_name
    assert {name: (option.containing_type.name, option.number) for name, option in extensions.items()} == {
        "csi_secret": ("FieldOptions", 1059),
        "alpha_field": ("FieldOptions", 1060),
        "alpha_enum": ("EnumOptions", 1060),
        "alpha_enum_value": ("EnumValueOptions", 1060),
        "alpha_message": ("MessageOptions", 1060),
        "alpha_method": ("MethodOptions", 1060),
        "alpha_service": ("ServiceOptions", 1060),
    }


def test_the_package_is_that_of_the_wire() -> None:
    assert csi_pb2.DESCRIPTOR.package == "csi.v1"
