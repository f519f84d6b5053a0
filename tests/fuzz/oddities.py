"""Objects that no schema would let pass: good ones of every kind that the programs read, with something odd in them.

Everything follows from a seed, so that a failure can be had again. What is made is JSON by its grammar, as bytes, for
it may hold what Python's dicts cannot: doubled keys, halves of surrogate pairs, bytes that are no UTF-8.
"""

import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from snapshotter import names

T = TypeVar("T")

Json = dict[str, Any]
Path = tuple[str | int, ...]

DRIVER: Final = "bytes.csi.example.com"
SECRET: Final = "hunter2-correct-horse"  # noqa: S105 (of a test)
"""Stands in every Secret, and must be found nowhere else."""
SINGLE_API: Final = "snapshot.storage.k8s.io/v1"
GROUP_API: Final = "groupsnapshot.storage.k8s.io/v1"
CREATED_AT: Final = "2024-01-01T00:00:00Z"
HUGE: Final = 1 << 20

# Texts that stand for bytes which Python's JSON does not write.
_NO_UTF8: Final = "@no-utf8@"
_DEEP: Final = "@deep@"
_RAW: Final = {
    _NO_UTF8: b"\xff\xc0\xaf",
    f'"{_DEEP}"': b"[" * 5000 + b"]" * 5000,
}


@dataclass(frozen=True, slots=True)
class Odd:
    """One odd object."""

    plural: str
    namespace: str
    name: str
    raw: bytes
    what: str
    """What is odd about it, for people."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind, and how a good object of it looks."""

    plural: str
    namespaced: bool
    good: Callable[[str, str], Json]
    """Made of a name and a uid."""


def _meta(name: str, uid: str, **more: Any) -> Json:
    return {"name": name, "uid": uid, "resourceVersion": "@version@", "creationTimestamp": CREATED_AT, **more}


def _ref(name: str, uid: str, **more: Any) -> Json:
    return {"name": name, "namespace": "default", "uid": f"of-{uid}", **more}


def _error() -> Json:
    return {"message": "it was odd", "time": CREATED_AT}


def _snapshot(name: str, uid: str) -> Json:
    owner = {"apiVersion": GROUP_API, "kind": "VolumeGroupSnapshot", "name": "nobody", "uid": "nobody"}
    return {
        "apiVersion": SINGLE_API,
        "kind": "VolumeSnapshot",
        "metadata": _meta(
            name,
            uid,
            namespace="default",
            finalizers=[names.SOURCE_FINALIZER, names.BOUND_FINALIZER],
            **({"ownerReferences": [owner]} if name.endswith("7") else {}),
        ),
        "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "class"},
        "status": {
            "boundVolumeSnapshotContentName": f"snapcontent-{uid}",
            "creationTime": CREATED_AT,
            "readyToUse": False,
            "restoreSize": "1Gi",
            "error": _error(),
            "volumeGroupSnapshotName": "nobody",
        },
    }


def _content(name: str, uid: str) -> Json:
    return {
        "apiVersion": SINGLE_API,
        "kind": "VolumeSnapshotContent",
        "metadata": _meta(
            name,
            uid,
            finalizers=[names.CONTENT_FINALIZER],
            annotations={names.DELETION_SECRET_NAME: "secret", names.DELETION_SECRET_NAMESPACE: "default"},
        ),
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": "Delete",
            "source": {"volumeHandle": "vol"},
            "volumeSnapshotRef": _ref(name, uid, kind="VolumeSnapshot", apiVersion=SINGLE_API),
            "volumeSnapshotClassName": "class",
            "sourceVolumeMode": "Filesystem",
        },
        "status": {
            "snapshotHandle": "held-by-nobody",
            "creationTime": 1_700_000_000_123_456_789,
            "restoreSize": 1 << 30,
            "readyToUse": False,
            "error": _error(),
        },
    }


def _class(kind: str, api: str) -> Callable[[str, str], Json]:
    def good(name: str, uid: str) -> Json:
        return {
            "apiVersion": api,
            "kind": kind,
            "metadata": _meta(name, uid, annotations={names.DEFAULT_CLASS: "false"}),
            "driver": DRIVER,
            "deletionPolicy": "Delete",
            "parameters": {names.SNAPSHOTTER_SECRET_NAME: "secret", names.SNAPSHOTTER_SECRET_NAMESPACE: "default"},
        }

    return good


def _group(name: str, uid: str) -> Json:
    selector = {
        "matchLabels": {"app": "odd"},
        "matchExpressions": [{"key": "app", "operator": "In", "values": ["odd"]}],
    }
    return {
        "apiVersion": GROUP_API,
        "kind": "VolumeGroupSnapshot",
        "metadata": _meta(name, uid, namespace="default", finalizers=[names.GROUP_BOUND_FINALIZER]),
        "spec": {"source": {"selector": selector}, "volumeGroupSnapshotClassName": "class"},
        "status": {
            "boundVolumeGroupSnapshotContentName": f"groupsnapcontent-{uid}",
            "creationTime": CREATED_AT,
            "readyToUse": False,
            "error": _error(),
        },
    }


def _group_content(name: str, uid: str) -> Json:
    members = [
        {
            "volumeHandle": volume,
            "snapshotHandle": f"held-by-{volume}",
            "creationTime": 1_700_000_000_123_456_789,
            "readyToUse": False,
            "restoreSize": 1 << 20,
        }
        for volume in ("vol", "vol2")
    ]
    return {
        "apiVersion": GROUP_API,
        "kind": "VolumeGroupSnapshotContent",
        "metadata": _meta(name, uid, finalizers=[names.GROUP_CONTENT_FINALIZER], labels={}, annotations={}),
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": "Delete",
            "source": {"volumeHandles": ["vol", "vol2"]},
            "volumeGroupSnapshotRef": _ref(name, uid),
            "volumeGroupSnapshotClassName": "class",
        },
        "status": {
            "volumeGroupSnapshotHandle": "held-by-nobody",
            "creationTime": CREATED_AT,
            "readyToUse": False,
            "volumeSnapshotInfoList": members,
            "error": _error(),
        },
    }


def _claim(name: str, uid: str) -> Json:
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "nobody"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _meta(name, uid, namespace="odd", labels={"app": "db"}, finalizers=[names.CLAIM_FINALIZER]),
        "spec": {"volumeName": f"pv-{name}", "dataSource": source, "dataSourceRef": source},
        "status": {"phase": "Bound"},
    }


def _volume(name: str, uid: str) -> Json:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["1"]}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": _meta(name, uid),
        "spec": {
            "csi": {"driver": DRIVER, "volumeHandle": f"handle-{name}"},
            "claimRef": {"name": "odd", "namespace": "odd", "uid": uid},
            "volumeMode": "Filesystem",
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def _node(name: str, uid: str) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "metadata": _meta(name, uid, labels={"zone": "2"})}


FORMS: Final = (
    Form("volumesnapshots", True, _snapshot),
    Form("volumesnapshotcontents", False, _content),
    Form("volumesnapshotclasses", False, _class("VolumeSnapshotClass", SINGLE_API)),
    Form("volumegroupsnapshots", True, _group),
    Form("volumegroupsnapshotcontents", False, _group_content),
    Form("volumegroupsnapshotclasses", False, _class("VolumeGroupSnapshotClass", GROUP_API)),
    Form("persistentvolumeclaims", True, _claim),
    Form("persistentvolumes", False, _volume),
    Form("nodes", False, _node),
)


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"x": [value]}
    return value


VALUES: Final[Sequence[Any]] = (
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, 10**30, 10**400, 1.5, 1e308, -0.0,
    "", " ", "x", "null", "true", "0", "-1", "9" * 5000, "٣",
    "a/b", "..", ".", "../../../secrets/a", "%2e%2e", "a?b=c#d",
    "x" * 63, "x" * 64, "x" * 253, "x" * 254, "x" * 5000,
    "\x00", "\x1b[31mred", "a\nb\r\tc", "\u202eevil", "\ud800", "\udfff\ud800", "\U0001f4be", "é" * 300, _NO_UTF8,
    "\\ud800",
    [], {}, [None], [[]], [{}], {"": ""}, {"": None}, ["x", "x"], [1, "x"], {"x": 1}, [""], _deep(5), _deep(60), _DEEP,
    "0001-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-14:00",
    "2024-01-01T00:00:00", "2024-01-01", "2024-02-30T00:00:00Z", "2024-01-01T00:00:00.123456789123Z", "yesterday",
    "2024-01-01t00:00:00z", "1700000000", "1Gi", "-1Gi", "1e400", "1e3", "1.5Ki", "1KiB", "0", "1Zi",
    "Delete", "Retain", "delete", "Destroy", "Bound", "Pending", "In", "Gt", "Unknown",
)  # fmt: skip
"""What is put in the place of something else."""

KEYS: Final = ("", "x", "driver", "é", "\ud800", "x" * 5000, "source", "metadata", names.BEING_CREATED)


class Oddities:
    """Makes odd objects, one after the other."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 (the same each time)
        self._made = 0

    def choose(self, among: Sequence[T]) -> T:
        return self._random.choice(among)

    def next(self, form: Form | None = None) -> Odd:
        """A new object with something odd, of any kind if none is named."""
        form = form or self._random.choice(FORMS)
        self._made += 1
        name = f"odd-{self._made}"
        good = form.good(name, f"uid-{self._made}")
        if self._random.random() < 0.5:
            good.pop("status", None)
        if self._random.random() < 0.2:
            good["metadata"]["deletionTimestamp"] = CREATED_AT
        return self.spoiled(form, name, good)

    def spoiled(self, form: Form, name: str, good: Mapping[str, Any]) -> Odd:
        """An object that was good, with something odd."""
        body = copy.deepcopy(dict(good))
        changes = [self._change(body) for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        namespace = "" if not form.namespaced else str(good["metadata"]["namespace"])
        raw = encoded(body)
        if self._random.random() < 0.03:
            raw, change = self._doubled(raw)
            changes.append(change)
        return Odd(form.plural, namespace, name, raw, "; ".join(changes))

    def _change(self, body: Json) -> str:
        """Make one thing odd, in place."""
        path = self._random.choice([path for path in _paths(body) if not _is_identity(path)])
        parent = _at(body, path[:-1])
        last = path[-1]
        at = "/".join(map(str, path))
        kind = self._random.random()
        if kind < 0.15:
            del parent[last]
            return f"without {at}"
        if kind < 0.2:
            parent[last] = [parent[last]]
            return f"{at} in a list"
        if kind < 0.25 and isinstance(parent[last], dict):
            key = self._random.choice(KEYS)
            parent[last][key] = self._value()
            return f"{at} with {key[:20]!r}"
        if kind < 0.3 and isinstance(parent[last], list):
            parent[last] += [copy.deepcopy(self._random.choice([None, *parent[last]])) for _ in range(2)]
            return f"{at} with more of the same"
        if kind < 0.303 and isinstance(parent[last], str):
            parent[last] = "x" * HUGE
            return f"{at} enormous"
        parent[last] = value = self._value()
        return f"{at} = {repr(value)[:40]}"

    def _value(self) -> Any:
        return copy.deepcopy(self._random.choice(VALUES))

    def _doubled(self, raw: bytes) -> tuple[bytes, str]:
        """With a key twice: decoders take the last, or the first."""
        key = self._random.choice(("metadata", "spec", "status", "kind", "driver"))
        value = json.dumps(self._random.choice(({}, None, "x", [], {"driver": "x"}))).encode()
        return raw[:-1] + b',"' + key.encode() + b'":' + value + b"}", f"{key} twice"


def encoded(body: Mapping[str, Any]) -> bytes:
    """The JSON of an object, with the bytes that some texts stand for."""
    raw = json.dumps(body).encode()
    if len(raw) < HUGE and b"@" in raw:
        for text, stood_for in _RAW.items():
            raw = raw.replace(text.encode(), stood_for)
    return raw


def _paths(value: Any, path: Path = ()) -> list[Path]:
    """Where in an object things are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[Path] = [path] if path else []
    for key, item in inside:
        if len(path) < 8:
            found += _paths(item, (*path, key))
    return found


def _is_identity(path: Path) -> bool:
    """What the API server itself vouches for."""
    return path in (("metadata", "name"), ("metadata", "namespace"), ("metadata", "resourceVersion"), ("metadata",))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
