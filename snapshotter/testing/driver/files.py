"""Files of bytes: making, copying and measuring them, with their holes kept.

Volumes may be declared much larger than what is written to them; a copy costs what was written.
"""

import errno
import fcntl
import os
from pathlib import Path

CHUNK_BYTES = 1 << 20

FICLONE = 0x40049409
"""The ioctl that lets two files share their blocks, on filesystems that can."""


def make(path: Path, size_bytes: int, content: bytes = b"") -> None:
    """A new file of this size that begins with the content and is zero from there on."""
    with path.open("xb") as file:
        file.write(content)
        file.truncate(size_bytes)


def write(path: Path, content: bytes, offset: int) -> None:
    """Overwrite what stands at the offset."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def copy(source: Path, target: Path, size_bytes: int) -> None:
    """A new file with the bytes of the source, followed by zeros up to this size."""
    with source.open("rb") as read, target.open("xb") as written:
        if not _share_blocks(read.fileno(), written.fileno()):
            _copy_data(read.fileno(), written.fileno())
        written.truncate(size_bytes)


def grow(path: Path, size_bytes: int) -> None:
    """Append zeros up to this size."""
    os.truncate(path, size_bytes)


def _share_blocks(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


def _copy_data(source: int, target: int) -> None:
    """Copy what lies between the holes."""
    end = 0
    while (begin := _next_data(source, end)) is not None:
        end = os.lseek(source, begin, os.SEEK_HOLE)
        position = begin
        while position < end:
            chunk = os.pread(source, min(CHUNK_BYTES, end - position), position)
            position += os.pwrite(target, chunk, position)


def _next_data(file: int, offset: int) -> int | None:
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return None
        raise
