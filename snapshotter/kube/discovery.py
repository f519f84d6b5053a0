"""Which versions of an API group the server serves at the moment."""

import msgspec

from snapshotter.kube.connection import Connection
from snapshotter.kube.errors import Malformed, NotFound


class _Version(msgspec.Struct):
    version: str


class _ApiGroup(msgspec.Struct):
    versions: list[_Version]


_decoder = msgspec.json.Decoder(_ApiGroup)


async def served_versions(connection: Connection, group: str) -> frozenset[str]:
    """The versions of a group; none where the group is not known. Raises `ApiError`."""
    try:
        body = await connection.request("GET", f"/apis/{group}")
    except NotFound:
        return frozenset()
    try:
        return frozenset(version.version for version in _decoder.decode(body).versions)
    except msgspec.MsgspecError as error:
        raise Malformed(f"API group {group}: {error}") from error
