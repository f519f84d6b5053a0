"""Bodies in Kubernetes' protobuf encoding, which Go clients prefer for built-in kinds; read only.

`kubectl create secret` sends one, and so do Go programs that write Events and Leases. Answers are always JSON,
which those clients understand.
"""

import base64
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from snapshotter.testing.apiserver.status import Json

MAGIC = b"k8s\x00"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Scalar = Literal["string", "int", "bool", "bytes", "time", "micro-time"]


class ProtobufError(ValueError):
    """The bytes cannot be read."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: its JSON name, what its value is, and whether there are several."""

    name: str
    holds: "Scalar | Message" = "string"
    many: Literal["", "list", "map"] = ""


Message = Mapping[int, Field]


def _strings(*names: str) -> Message:
    return {number: Field(name) for number, name in enumerate(names, 1)}


_OWNER: Message = {
    1: Field("kind"),
    3: Field("name"),
    4: Field("uid"),
    5: Field("apiVersion"),
    6: Field("controller", "bool"),
    7: Field("blockOwnerDeletion", "bool"),
}
_METADATA: Message = {
    **_strings("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"),
    7: Field("generation", "int"),
    8: Field("creationTimestamp", "time"),
    9: Field("deletionTimestamp", "time"),
    10: Field("deletionGracePeriodSeconds", "int"),
    11: Field("labels", many="map"),
    12: Field("annotations", many="map"),
    13: Field("ownerReferences", _OWNER, "list"),
    14: Field("finalizers", many="list"),
}
_REFERENCE = _strings("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_NAMESPACE_SPEC: Message = {1: Field("finalizers", many="list")}
_LEASE_SPEC: Message = {
    1: Field("holderIdentity"),
    2: Field("leaseDurationSeconds", "int"),
    3: Field("acquireTime", "micro-time"),
    4: Field("renewTime", "micro-time"),
    5: Field("leaseTransitions", "int"),
    6: Field("strategy"),
    7: Field("preferredHolder"),
}
_ACCESS: Message = {
    1: Field(
        "resourceAttributes", _strings("namespace", "verb", "group", "version", "resource", "subresource", "name")
    ),
    2: Field("nonResourceAttributes", _strings("path", "verb")),
}
_POLICY_RULE: Message = {
    number: Field(name, many="list")
    for number, name in enumerate(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1)
}
_ROLE: Message = {1: Field("metadata", _METADATA), 2: Field("rules", _POLICY_RULE, "list")}
_BINDING: Message = {
    1: Field("metadata", _METADATA),
    2: Field("subjects", _strings("kind", "apiGroup", "name", "namespace"), "list"),
    3: Field("roleRef", _strings("apiGroup", "kind", "name")),
}
_TOKEN_SPEC: Message = {
    1: Field("audiences", many="list"),
    3: Field("boundObjectRef", _strings("kind", "apiVersion", "name", "uid")),
    4: Field("expirationSeconds", "int"),
}

_KINDS: Mapping[str, Message] = {
    "Namespace": {1: Field("metadata", _METADATA), 2: Field("spec", _NAMESPACE_SPEC)},
    "Secret": {
        1: Field("metadata", _METADATA),
        2: Field("data", "bytes", "map"),
        3: Field("type"),
        4: Field("stringData", many="map"),
        5: Field("immutable", "bool"),
    },
    "ConfigMap": {
        1: Field("metadata", _METADATA),
        2: Field("data", many="map"),
        3: Field("binaryData", "bytes", "map"),
        4: Field("immutable", "bool"),
    },
    "ServiceAccount": {
        1: Field("metadata", _METADATA),
        2: Field("secrets", _REFERENCE, "list"),
        3: Field("imagePullSecrets", _strings("name"), "list"),
        4: Field("automountServiceAccountToken", "bool"),
    },
    "Event": {
        1: Field("metadata", _METADATA),
        2: Field("involvedObject", _REFERENCE),
        3: Field("reason"),
        4: Field("message"),
        5: Field("source", _strings("component", "host")),
        6: Field("firstTimestamp", "time"),
        7: Field("lastTimestamp", "time"),
        8: Field("count", "int"),
        9: Field("type"),
        10: Field("eventTime", "micro-time"),
        12: Field("action"),
        13: Field("related", _REFERENCE),
        14: Field("reportingComponent"),
        15: Field("reportingInstance"),
    },
    "Lease": {1: Field("metadata", _METADATA), 2: Field("spec", _LEASE_SPEC)},
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "SelfSubjectAccessReview": {1: Field("metadata", _METADATA), 2: Field("spec", _ACCESS)},
    "SelfSubjectReview": {1: Field("metadata", _METADATA)},
    "TokenRequest": {1: Field("metadata", _METADATA), 2: Field("spec", _TOKEN_SPEC)},
}

_TYPE = _strings("apiVersion", "kind")


def decoded(body: bytes) -> Json:
    """The object as JSON. Raises `ProtobufError`."""
    parts = {number: value for number, value in _fields(body.removeprefix(MAGIC)) if isinstance(value, bytes)}
    identity = _message(parts.get(1, b""), _TYPE)
    layout = _KINDS.get(str(identity.get("kind")))
    if layout is None:
        raise ProtobufError(f"the kind {identity.get('kind')} is understood as JSON only")
    return identity | _message(parts.get(2, b""), layout)


def _message(data: bytes, layout: Message) -> Json:
    result: Json = {}
    for number, raw in _fields(data):
        field = layout.get(number)
        if field is None:
            continue
        if field.many == "map":
            entry = _message(_as_bytes(raw), {1: Field("key"), 2: Field("value", field.holds)})
            result.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", "")
            continue
        value = _value(raw, field.holds)
        if field.many == "list":
            result.setdefault(field.name, []).append(value)
        # Go writes empty strings and messages; as JSON they are absent.
        elif value not in ("", {}, None):
            result[field.name] = value
    return result


def _value(raw: int | bytes, holds: "Scalar | Message") -> Any:
    match holds:
        case "string":
            return _as_bytes(raw).decode()
        case "bytes":
            return base64.b64encode(_as_bytes(raw)).decode()
        case "int":
            return raw
        case "bool":
            return bool(raw)
        case "time" | "micro-time":
            return _time(_as_bytes(raw), "seconds" if holds == "time" else "microseconds")
        case layout:
            return _message(_as_bytes(raw), layout)


def _time(data: bytes, precision: Literal["seconds", "microseconds"]) -> str | None:
    parts = dict(_fields(data))
    seconds, nanoseconds = parts.get(1), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        return None
    # The zero time of Go lies long before the epoch and means that there is none.
    if seconds >= 1 << 63:
        return None
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _as_bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ProtobufError("a number stands where text is expected")
    return raw


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbered values of a message, in their order."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                number, position = _varint(data, position)
                yield tag >> 3, number
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise ProtobufError("the body ends too early")
                yield tag >> 3, data[position : position + length]
                position += length
            case 1 | 5 as wire_type:
                layout = "<q" if wire_type == 1 else "<i"
                size = struct.calcsize(layout)
                if position + size > len(data):
                    raise ProtobufError("the body ends too early")
                yield tag >> 3, int(struct.unpack_from(layout, data, position)[0])
                position += size
            case wire_type:
                raise ProtobufError(f"unknown wire type {wire_type}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
    raise ProtobufError("the body ends too early")
