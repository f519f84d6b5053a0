"""Which versions of an API group the server serves at the moment."""

from typing import Final

import msgspec

from snapshotter.kube.connection import Connection
from snapshotter.kube.errors import Malformed, NotFound
from snapshotter.kube.reading import Reader, Unreadable


class _Version(msgspec.Struct):
    version: str


class _ApiGroup(msgspec.Struct):
    versions: list[_Version]


_groups: Final = Reader(_ApiGroup)


async def served_versions(connection: Connection, group: str) -> frozenset[str]:
    """The versions of a group; none where the group is not known. Raises `ApiError`."""
    try:
        body = await connection.request("GET", f"/apis/{group}")
    except NotFound:
        return frozenset()
    try:
        return frozenset(version.version for version in _groups.read(body).versions)
    except Unreadable as error:
        raise Malformed(f"API group {group}: {error}") from error
