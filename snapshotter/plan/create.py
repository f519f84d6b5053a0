"""What a CreateSnapshot request holds besides the volume: its name and its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.plan.secrets import Problem


@dataclass(frozen=True, slots=True)
class Naming:
    """How snapshots are named on the storage: `--snapshot-name-prefix`, `--snapshot-name-uuid-length`."""

    prefix: str = "snapshot"
    uuid_length: int | None = None
    """None: the whole UID with its dashes. Else so many of its characters, without dashes."""


def snapshot_name(naming: Naming, content: Content) -> str | Problem:
    """The name that makes CreateSnapshot idempotent: the same for the same content, whenever it is asked."""
    uid = content.spec.volume_snapshot_ref.uid
    if not uid:
        return Problem("spec.volumeSnapshotRef.uid is empty, so the snapshot has no name")
    if naming.uuid_length is None:
        return f"{naming.prefix}-{uid}"
    return f"{naming.prefix}-{uid.replace('-', '')[: naming.uuid_length]}"


def driver_parameters(parameters: Mapping[str, str]) -> dict[str, str] | Problem:
    """A class's parameters without the reserved ones; the unknown among those are a mistake in the class."""
    reserved = {key for key in parameters if key.startswith(names.RESERVED_PREFIX)}
    if unknown := sorted(reserved - names.RESERVED_PARAMETERS):
        listed = ", ".join(f'"{key}"' for key in unknown)
        return Problem(f"class parameters {listed} are unknown, and {names.RESERVED_PREFIX} is reserved")
    return {key: value for key, value in parameters.items() if key not in reserved}


def extra_metadata(content: Content) -> dict[str, str]:
    """What `--extra-create-metadata` adds: which objects the snapshot is made for."""
    ref = content.spec.volume_snapshot_ref
    return {
        names.METADATA_SNAPSHOT_NAME: ref.name,
        names.METADATA_SNAPSHOT_NAMESPACE: ref.namespace,
        names.METADATA_CONTENT_NAME: content.name,
    }
