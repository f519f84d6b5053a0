"""Secrets, read when a call needs them and kept for a moment. Their values appear in no text at all."""

import asyncio
import base64
from collections.abc import Iterator, Mapping

import msgspec

from snapshotter.kube.connection import Connection
from snapshotter.kube.errors import ApiError, Malformed
from snapshotter.kube.reading import Reader, Unreadable
from snapshotter.names import STRIPPED
from snapshotter.plan.failure import one_line

KEEP_SECONDS = 30.0
"""For so long a Secret is not read again; polling would read it each time."""


class Credentials(Mapping[str, str]):
    """The entries of a Secret. Looks like a mapping to the code that sends it, and like nothing in a text."""

    def __init__(self, data: Mapping[str, str]) -> None:
        self._data = dict(data)

    def __getitem__(self, key: str) -> str:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"Credentials({STRIPPED})"


NO_CREDENTIALS = Credentials({})


class UnusableSecret(ApiError):
    """A Secret that cannot be sent to a driver: a value is not text, which CSI demands."""


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


class Secrets:
    """Reads Secrets."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._secrets = Reader(_Secret)
        self._kept: dict[tuple[str, str], tuple[float, Credentials]] = {}

    async def read(self, namespace: str, name: str) -> Credentials:
        """The values of a Secret as text. Raises `ApiError`, `UnusableSecret`."""
        now = asyncio.get_running_loop().time()
        if (kept := self._kept.get((namespace, name))) is not None and now - kept[0] < KEEP_SECONDS:
            return kept[1]
        body = await self._connection.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        credentials = self._decode(body, f"{namespace}/{name}")
        self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] < KEEP_SECONDS}
        self._kept[namespace, name] = (now, credentials)
        return credentials

    def forget(self, namespace: str, name: str) -> None:
        """Read the Secret anew the next time: the driver did not accept it."""
        self._kept.pop((namespace, name), None)

    def _decode(self, body: bytes, where: str) -> Credentials:
        try:
            data = self._secrets.read(body).data or {}
        except Unreadable:
            raise Malformed(f"Secret {where} is malformed") from None
        values: dict[str, str] = {}
        for key, encoded in data.items():
            try:
                values[key] = base64.b64decode(encoded, validate=True).decode()
            except ValueError:
                # That base64 is broken, or holds no UTF-8, or is not even ASCII.
                # The cause is not chained: it holds the value.
                raise UnusableSecret(f'Secret {where}: the value of key "{one_line(key)}" is not UTF-8 text') from None
        return Credentials(values)
