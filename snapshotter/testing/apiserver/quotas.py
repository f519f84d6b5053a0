"""ResourceQuotas that count objects: `count/<plural>.<group>`. Other limits are stored, and nothing more.

`registry` asks before it creates; `housekeeping` writes down what is used.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from snapshotter.testing.apiserver.status import Cause, Json, forbidden
from snapshotter.testing.apiserver.store import Resource, Store, Stored
from snapshotter.testing.apiserver.targets import Target

QUOTAS: Resource = ("", "resourcequotas")

_COUNT = "count/"
_THOUSANDS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_WHOLE = re.compile(r"(?P<digits>\d+)(?P<unit>[kMG]?)")


def check_quotas(store: Store, target: Target) -> None:
    """Whether one more object of the kind may be created in the namespace. Raises `ApiError` 403."""
    if not target.namespace or not store.has_any(QUOTAS):
        return
    for quota in store.all(QUOTAS, target.namespace):
        name = count_of(target.kind.key)
        limit = limits(quota).get(name)
        if limit is None:
            continue
        used = len(store.all(target.kind.key, target.namespace))
        if used >= limit:
            told = f"requested: {name}=1, used: {name}={used}, limited: {name}={limit}"
            raise forbidden(target.subject, f"exceeded quota: {quota.key[1]}, {told}")


def limits(quota: Stored) -> dict[str, int]:
    """How many objects there may be, by the name that the quota has for them."""
    hard = quota.object.get("spec", {}).get("hard") or {}
    counted = {name: _whole(value) for name, value in hard.items() if name.startswith(_COUNT)}
    return {name: limit for name, limit in counted.items() if limit is not None}


def count_of(resource: Resource) -> str:
    group, plural = resource
    return f"{_COUNT}{plural}.{group}" if group else f"{_COUNT}{plural}"


def usage(store: Store, quota: Stored) -> Json:
    """The status of a quota: what it limits, and how much of that there is."""
    hard = {name: str(limit) for name, limit in limits(quota).items()}
    used = {name: str(len(store.all(_resource(name), quota.key[0]))) for name in hard}
    return {"hard": hard, "used": used}


def _resource(name: str) -> Resource:
    plural, _, group = name.removeprefix(_COUNT).partition(".")
    return group, plural


def _whole(quantity: Any) -> int | None:
    found = _WHOLE.fullmatch(str(quantity))
    return None if found is None else int(found["digits"]) * _THOUSANDS[found["unit"]]


def complete_quota(quota: Json) -> None:
    """Quantities are written as text."""
    hard = quota.setdefault("spec", {}).get("hard") or {}
    for name, value in hard.items():
        hard[name] = str(value)


def broken_quota(quota: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterator[Cause]:
    for name, value in (quota["spec"].get("hard") or {}).items():
        if str(value).startswith("-"):
            detail = "must be greater than or equal to 0"
            yield Cause(f"spec.hard[{name}]", "FieldValueInvalid", detail, value=value)
        elif name.startswith(_COUNT) and _whole(value) is None:
            yield Cause(f"spec.hard[{name}]", "FieldValueInvalid", "must be an integer", value=value)
