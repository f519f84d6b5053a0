"""The tables that `kubectl get` shows: columns by JSONPath, dates as ages."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from snapshotter.testing.apiserver.jsonpath import find
from snapshotter.testing.apiserver.kinds import Column, Version
from snapshotter.testing.apiserver.status import Json

_NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may "
    "allow a client to request the generation of an appropriate name automatically."
)

# Each stage: below so many seconds, one unit, and with it a finer unit (of so many seconds) unless it is 0.
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_AGE_STAGES: tuple[tuple[int, int, str, int, str], ...] = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def table(
    objects: Iterable[Json], version: Version, metadata: Json, now: float, include: str, *, headers: bool = True
) -> Json:
    """The objects as a Table. `include` says what a row carries of its object: None, Metadata or Object."""
    columns = version.columns
    result: Json = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_NAME_COLUMN, *(_definition(column) for column in columns)] if headers else None,
        "rows": [_row(obj, columns, now, include) for obj in objects],
    }
    return result


def partial(obj: Mapping[str, Any]) -> Json:
    """The object with its metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


_NAME_COLUMN: Json = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": _NAME_DESCRIPTION,
    "priority": 0,
}


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row(obj: Json, columns: Iterable[Column], now: float, include: str) -> Json:
    row: Json = {"cells": [obj["metadata"]["name"], *(_cell(obj, column, now) for column in columns)]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def _cell(obj: Json, column: Column, now: float) -> Any:
    found = find(obj, column.path)
    if column.show:
        return _SHOWN[column.show](obj, found[0] if found else None, now)
    if not found:
        return None
    return _CELLS.get(column.type, _as_is)(found[0], now)


def _as_is(value: Any, _: float) -> Any:
    return value


def _text(value: Any, _: float) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return _as_json(value)
        case _:
            return str(value)


def _as_json(value: Any) -> str:

    return msgspec.json.encode(value).decode()


def _integer(value: Any, _: float) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: Any, _: float) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Any, now: float) -> str:
    return age_of(value, now) if isinstance(value, str) else "<unknown>"


_CELLS: dict[str, Callable[[Any, float], Any]] = {
    "string": _text,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
}


def age_of(moment: str, now: float) -> str:
    """How long ago that was, as `kubectl get` shows it."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "<invalid>"
    return short_duration(now - then.replace(tzinfo=then.tzinfo or UTC).timestamp())


def short_duration(seconds: float) -> str:
    """A duration in at most two units, coarser as it grows: 119s, 5m30s, 47h, 3d4h, 2y."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for below, unit_seconds, unit, finer_seconds, finer in _AGE_STAGES:
        if whole < below:
            count, rest = divmod(whole, unit_seconds)
            more = rest // finer_seconds if finer_seconds else 0
            return f"{count}{unit}" + (f"{more}{finer}" if more else "")
    return f"{whole // _YEAR}y"


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _shown_phase(obj: Json, phase: Any, _: float) -> str:
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else str(phase or "")


def _shown_claim(_: Json, claim: Any, __: float) -> str:
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _shown_object(_: Json, involved: Any, __: float) -> str:
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}" if involved else ""


def _shown_node(_: Json, conditions: Any, __: float) -> str:
    for condition in conditions or ():
        if condition.get("type") == "Ready":
            return "Ready" if condition.get("status") == "True" else "NotReady"
    return "Unknown"


def _shown_last_seen(obj: Json, last: Any, now: float) -> str:
    return _date(last or obj.get("eventTime") or obj["metadata"].get("creationTimestamp"), now)


def _shown_labels(_: Json, labels: Any, __: float) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _shown_quota(obj: Json, hard: Any, _: float) -> str:
    used = obj["status"].get("used", {})
    return ", ".join(f"{name}: {used.get(name, 0)}/{limit}" for name, limit in sorted((hard or {}).items()))


_SHOWN: dict[str, Callable[[Json, Any, float], Any]] = {
    "age": lambda _, value, now: _date(value, now),
    "time": lambda _, value, __: value,
    "count": lambda _, value, __: str(len(value or ())),
    "length": lambda _, value, __: len(value or ()),
    "text": lambda _, value, __: "" if value is None else str(value),
    "unset": lambda _, value, __: str(value or "<unset>"),
    "flag": lambda _, value, __: "true" if value else "false",
    "modes": lambda _, value, __: ",".join(_MODES.get(mode, mode) for mode in value or ()),
    "phase": _shown_phase,
    "claim": _shown_claim,
    "object": _shown_object,
    "node": _shown_node,
    "ready": lambda obj, ready, __: f"{ready or 0}/{obj['spec'].get('replicas', 0)}",
    "number": lambda _, value, __: int(value or 0),
    "given": lambda _, value, __: "N/A" if value is None else str(value),
    "labels": _shown_labels,
    "none": lambda _, value, __: str(value or "<none>"),
    "ports": lambda _, ports, __: ",".join(f"{port['port']}/{port['protocol']}" for port in ports or ()),
    "listed": lambda _, value, __: ",".join(value or ()) or "<unset>",
    "quota": _shown_quota,
    "role": lambda _, ref, __: f"{ref['kind']}/{ref['name']}",
    "last-seen": _shown_last_seen,
}
