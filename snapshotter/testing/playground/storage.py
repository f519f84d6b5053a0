"""What lies on the driver's storage, seen over its admin address: volumes, snapshots and their bytes."""

import base64
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from snapshotter.testing.admin import PREFIX, AdminError

STORAGE_SECONDS = 30.0


class StoredVolume(msgspec.Struct, frozen=True):
    id: str
    size_bytes: int


class StoredSnapshot(msgspec.Struct, frozen=True):
    id: str
    name: str
    volume_id: str
    size_bytes: int
    created_at_ns: int
    parameters: dict[str, str] = {}
    """With which it was asked for."""


class StoredGroup(msgspec.Struct, frozen=True):
    id: str
    snapshot_ids: list[str]


class Stored(msgspec.Struct, frozen=True):
    """All that the driver holds, by id."""

    volumes: dict[str, StoredVolume]
    snapshots: dict[str, StoredSnapshot]
    groups: dict[str, StoredGroup]


class Storage:
    """The driver's storage, while the context lasts.

    Methods raise `AdminError` for a refusal and `aiohttp.ClientError` when the driver does not answer.
    """

    def __init__(self, admin_url: str) -> None:
        self._url = admin_url.rstrip("/") + PREFIX
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(STORAGE_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def held(self) -> Stored:
        """The volumes, snapshots and groups at this moment."""
        return msgspec.json.decode(await self._ask("GET", "/state"), type=Stored)

    async def make_volume(self, name: str, content: bytes, size_bytes: int | None = None) -> str:
        """A volume that begins with this content; gives its id, which is its name."""
        body = {"name": name, "content": base64.b64encode(content).decode(), "size": size_bytes}
        await self._ask("POST", "/volumes", msgspec.json.encode(body))
        return name

    async def write_volume(self, volume: str, content: bytes, offset: int = 0) -> None:
        body = {"content": base64.b64encode(content).decode(), "offset": offset}
        await self._ask("POST", f"/volumes/{volume}/write", msgspec.json.encode(body))

    async def read_volume(self, volume: str) -> bytes:
        return await self._ask("GET", f"/volumes/{volume}/content")

    async def read_snapshot(self, handle: str) -> bytes:
        return await self._ask("GET", f"/snapshots/{handle}/content")

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        if self._session is None:
            raise RuntimeError("the storage is used outside of its context")
        async with self._session.request(method, self._url + path, data=body) as response:
            answer = await response.read()
        if response.status >= 400:
            raise AdminError(f"{method} {path}: {response.status} {answer.decode(errors='replace')}")
        return answer
