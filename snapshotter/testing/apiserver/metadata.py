"""What holds for the metadata of every object: names, labels, finalizers, and what a writer may not change."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from snapshotter.testing.apiserver.kinds import NameForm
from snapshotter.testing.apiserver.status import Cause, Json

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_PATTERN = re.compile(_LABEL)
_SUBDOMAIN_PATTERN = re.compile(_SUBDOMAIN)
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_PATTERN = re.compile(_QUALIFIED)
_LABEL_VALUE = rf"({_QUALIFIED})?"
_LABEL_VALUE_PATTERN = re.compile(_LABEL_VALUE)

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    f"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    f"validation is '{_LABEL_VALUE}')"
)
_IMMUTABLE = "field is immutable"
_MAY_BE_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields")
_NOT_CHANGED = ("uid", "deletionTimestamp", "deletionGracePeriodSeconds")
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_LARGEST_ANNOTATIONS_BYTES = 256 * 1024


def timestamp(seconds: float) -> str:
    """A time of day as it stands in objects, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_terminating(obj: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def tidy(metadata: Json) -> None:
    """Drop what is null or an empty map or list, and what no writer sets."""
    metadata.pop("selfLink", None)
    for name, value in list(metadata.items()):
        if value is None or (name in _MAY_BE_EMPTY and not value):
            del metadata[name]


def carry_over(metadata: Json, old: Mapping[str, Any]) -> None:
    """What an update leaves out keeps its earlier value; what is the server's to set does so always."""
    for name in ("uid", "managedFields"):
        if name in old and not metadata.get(name):
            metadata[name] = old[name]
    metadata["creationTimestamp"] = old["creationTimestamp"]
    if "generation" in old:
        metadata["generation"] = old["generation"]
    else:
        metadata.pop("generation", None)
    if "deletionTimestamp" in old:
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata[name] = old[name]


def broken_name(metadata: Mapping[str, Any], form: NameForm) -> Iterator[Cause]:
    """Why the name of a new object is refused, or the beginning that it was made from."""
    if form == "path":
        yield from _broken_path_name(metadata["name"])
        return
    is_label = form == "label"
    pattern, rule, limit = (_LABEL_PATTERN, _LABEL_RULE, 63) if is_label else (_SUBDOMAIN_PATTERN, _SUBDOMAIN_RULE, 253)
    beginning, name = metadata.get("generateName", ""), metadata["name"]
    if beginning and not pattern.fullmatch(beginning.removesuffix("-") or "-"):
        yield Cause("metadata.generateName", "FieldValueInvalid", rule, value=beginning)
    if not name:
        yield Cause("metadata.name", "FieldValueRequired", "name or generateName is required")
    elif len(name) > limit:
        yield Cause("metadata.name", "FieldValueInvalid", f"must be no more than {limit} bytes", value=name)
    elif not pattern.fullmatch(name):
        yield Cause("metadata.name", "FieldValueInvalid", rule, value=name)


def _broken_path_name(name: str) -> Iterator[Cause]:
    """Names of roles, such as `system:discovery`, need only be one part of a path."""
    if not name:
        yield Cause("metadata.name", "FieldValueRequired", "name or generateName is required")
    elif name in (".", ".."):
        yield Cause("metadata.name", "FieldValueInvalid", f"may not be '{name}'", value=name)
    for character in "/%":
        if character in name:
            yield Cause("metadata.name", "FieldValueInvalid", f"may not contain '{character}'", value=name)


def broken_metadata(metadata: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with labels, annotations, finalizers and owner references."""
    for key, value in metadata.get("labels", {}).items():
        if (rule := _broken_key(key)) is not None:
            yield Cause("metadata.labels", "FieldValueInvalid", rule, value=key)
        if len(value) > 63:
            yield Cause("metadata.labels", "FieldValueInvalid", "must be no more than 63 bytes", value=value)
        elif not _LABEL_VALUE_PATTERN.fullmatch(value):
            yield Cause("metadata.labels", "FieldValueInvalid", _LABEL_VALUE_RULE, value=value)
    for key in metadata.get("annotations", {}):
        if (rule := _broken_key(key.lower())) is not None:
            yield Cause("metadata.annotations", "FieldValueInvalid", rule, value=key)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.get("annotations", {}).items())
    if size > _LARGEST_ANNOTATIONS_BYTES:
        detail = f"may not be more than {_LARGEST_ANNOTATIONS_BYTES} bytes"
        yield Cause("metadata.annotations", "FieldValueTooLong", detail)
    for finalizer in metadata.get("finalizers", ()):
        if (rule := _broken_key(finalizer)) is not None:
            yield Cause("metadata.finalizers", "FieldValueInvalid", rule, value=finalizer)
    for owner in metadata.get("ownerReferences", ()):
        for member in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(member):
                yield Cause(f"metadata.ownerReferences.{member}", "FieldValueInvalid", "must not be empty", value="")

    controllers = [owner["name"] for owner in metadata.get("ownerReferences", ()) if owner.get("controller")]
    if len(controllers) > 1:
        found = " and ".join(controllers)
        detail = f'Only one reference can have Controller set to true. Found "true" in references for {found}'
        yield Cause("metadata.ownerReferences", "FieldValueInvalid", detail)


def unqualified_finalizers(metadata: Mapping[str, Any]) -> list[str]:
    """Finalizers that do not say whose they are. Built-in kinds refuse them, custom ones take them with a warning."""
    return [name for name in metadata.get("finalizers", ()) if "/" not in name and name not in _STANDARD_FINALIZERS]


def _broken_key(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN_PATTERN.fullmatch(prefix):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return None if _QUALIFIED_PATTERN.fullmatch(name) else _QUALIFIED_RULE


def forbidden_changes(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    """What an update must not change."""
    for name in _NOT_CHANGED:
        if metadata.get(name) != old.get(name):
            yield Cause(f"metadata.{name}", "FieldValueInvalid", _IMMUTABLE, value=metadata.get(name))
    if "deletionTimestamp" in old:
        earlier = old.get("finalizers", ())
        added = [finalizer for finalizer in metadata.get("finalizers", ()) if finalizer not in earlier]
        if added:
            names = ", ".join(f'"{finalizer}"' for finalizer in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{names}}}"
            )
            yield Cause("metadata.finalizers", "FieldValueForbidden", detail)
