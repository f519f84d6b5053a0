"""Reads the lock files of the image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image.lock import HERE

PIN: Final = re.compile(r"^([a-z0-9-]+)==(\S+?)( ; ([^\\]+))? \\$")
HASH: Final = re.compile(r"^    --hash=sha256:([0-9a-f]{64})( \\)?$")


@dataclass(frozen=True, slots=True)
class Pin:
    version: str
    marker: str
    """When it is installed, as a requirement has it; empty: always."""
    hashes: tuple[str, ...]


def read(name: str, directory: Path = HERE) -> dict[str, Pin]:
    """The pins by canonical name. Fails on any line that is neither a pin nor a hash nor a comment."""
    pins: dict[str, Pin] = {}
    for line in (directory / name).read_text().splitlines():
        if line.startswith("#"):
            continue
        if match := PIN.match(line):
            pins[canonicalize_name(match[1])] = Pin(match[2], (match[4] or "").strip(), ())
        else:
            match = HASH.match(line)
            assert match, f"{name}: {line}"
            last = next(reversed(pins))
            pins[last] = Pin(pins[last].version, pins[last].marker, (*pins[last].hashes, match[1]))
    return pins


def installed(name: str) -> dict[str, str]:
    """The versions that the lock installs on this machine, by canonical name."""
    return {
        package: pin.version
        for package, pin in read(name).items()
        if not pin.marker or applies(Requirement(f"{package}; {pin.marker}"))
    }


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def unmet(requirements: Sequence[str], pins: dict[str, Pin]) -> list[str]:
    """The requirements that the pins do not meet."""
    wanted = [Requirement(text) for text in requirements]
    return [
        str(requirement)
        for requirement in wanted
        if (pin := pins.get(canonicalize_name(requirement.name))) is None or pin.version not in requirement.specifier
    ]
