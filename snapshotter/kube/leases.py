"""The Lease of a leader election (coordination.k8s.io/v1): names, the object, and events about it.

The door for `runtime.leader`. It is used over a connection of its own, so that renewals wait for nobody.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from snapshotter.kube.connection import Connection
from snapshotter.kube.errors import ApiError, Conflict, NotFound
from snapshotter.kube.events import new_event
from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.plan.status import rfc3339
from snapshotter.runtime.leader import LeaseConflict, LeaseMissing, LeaseRecord, LeaseTrouble

log = structlog.get_logger(__name__)

API_VERSION: Final = "coordination.k8s.io/v1"
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the namespace of its service account."""
EVENT_SECONDS = 2.0
"""Time that an event about the lease may take to be sent."""


def lease_name(driver: str) -> str:
    """The name of a driver's lease: upstream's, if objects can have that name.

    Upper case cannot be in an object's name. A driver with such a name gets a hash of it behind the lower-case one, so
    that it does not share a lease with a driver whose name differs in nothing else.
    """
    name = _plain(f"external-snapshotter-leader-{driver}")
    lower = name.lower().rstrip("-")
    if lower == name:
        return name
    return f"{lower}-{hashlib.sha256(driver.encode()).hexdigest()[:8]}"


def identity(host: str) -> str:
    """A name for this process that no other process has, also not on the same host."""
    return f"{_plain(host)}-{secrets.token_hex(4)}"


def _plain(text: str) -> str:
    return re.sub("[^a-zA-Z0-9-]", "-", text)


def lease_namespace(*, given: str, pod: str, file: Path = NAMESPACE_FILE) -> str:
    """Where the lease lives: as given, else the pod's namespace, else the service account's, else `default`."""
    return given or pod or _read(file) or "default"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()


_leases: Final = Reader(_Lease)
_trees: Final = Reader(dict[str, Any])


class LeaseDoor:
    """One Lease. A `snapshotter.runtime.leader.Leases`.

    Only `get`, `create` and `update` are used, which is what upstream's role allows.
    """

    def __init__(self, connection: Connection, namespace: str, name: str, labels: Mapping[str, str]) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._labels = labels
        self._stored: dict[str, Any] = {}
        """The object as we last saw it: what others have written into it stays."""

    @property
    def _collection(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self._namespace}/leases"

    async def read(self) -> LeaseRecord:
        return await self._ask("GET", f"{self._collection}/{self._name}")

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        self._stored = {}
        return await self._ask("POST", self._collection, self._with(replace(record, version="")))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        return await self._ask("PUT", f"{self._collection}/{self._name}", self._with(record))

    async def _ask(self, method: str, path: str, body: object = None) -> LeaseRecord:
        try:
            answer = await self._connection.request(method, path, body=body)
            lease = _leases.read(answer)
            stored = _trees.read(answer)
        except Conflict as error:
            raise LeaseConflict(str(error)) from error
        except NotFound as error:
            # A namespace that is missing is answered in the same way, and no lease can be made in it.
            raise (LeaseTrouble if method == "POST" else LeaseMissing)(str(error)) from error
        except ApiError as error:
            raise LeaseTrouble(str(error)) from error
        except Unreadable as error:
            raise LeaseTrouble(f"{method} {path}: the lease cannot be read: {error}") from error
        self._stored = stored
        return _record(lease)

    def _with(self, record: LeaseRecord) -> dict[str, Any]:
        metadata = self._stored.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), **self._labels}
        mine: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if record.version:
            mine["resourceVersion"] = record.version
        if labels:
            mine["labels"] = labels
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.duration_seconds,
            "acquireTime": _micro_time(record.acquired_at),
            "renewTime": _micro_time(record.renewed_at),
            "leaseTransitions": record.transitions,
        }
        return {
            **self._stored,
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": {**metadata, **mine},
            "spec": {**(self._stored.get("spec") or {}), **spec},
        }


def _record(lease: _Lease) -> LeaseRecord:
    spec = lease.spec
    return LeaseRecord(
        holder=spec.holder_identity or "",
        duration_seconds=spec.lease_duration_seconds,
        acquired_at=spec.acquire_time,
        renewed_at=spec.renew_time,
        transitions=spec.lease_transitions or 0,
        version=lease.metadata.resource_version,
    )


def _micro_time(at: datetime | None) -> str | None:
    """As the API server writes it: UTC with exactly six digits."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LeaseEvents:
    """Tells about the lease who leads. An event that cannot be sent is only logged."""

    def __init__(self, connection: Connection, namespace: str, name: str, component: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._component = component

    async def tell(self, message: str) -> None:
        involved = {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "namespace": self._namespace,
            "name": self._name,
        }
        event = new_event(
            f"{self._name}.{time.time_ns():x}",
            self._namespace,
            involved,
            "Normal",
            "LeaderElection",
            message,
            component=self._component,
            at=rfc3339(datetime.now(UTC)),
        )
        try:
            async with asyncio.timeout(EVENT_SECONDS):
                await self._connection.request("POST", f"/api/v1/namespaces/{self._namespace}/events", body=event)
        except (ApiError, TimeoutError) as error:
            log.warning("event about the lease not sent", reason=str(error) or type(error).__name__)
