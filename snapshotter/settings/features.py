"""Parts of the programs that can be turned off."""

from dataclasses import dataclass

from snapshotter.settings import gates
from snapshotter.settings.forms import flag, switches
from snapshotter.settings.topics import Mistake


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Parts that can be turned off."""

    gates: tuple[tuple[str, bool], ...] = flag(
        "feature-gates",
        switches,
        (),
        f"Parts to turn on or off, as name=true,name=false: {gates.GROUP_SNAPSHOTS} (groups; on), "
        f"{gates.RELEASE_ON_EXIT} (give the lease away at the end; on). The gates of the API server's library are "
        "accepted without effect. May be repeated.",
        shown="",
        accumulates=True,
    )

    @property
    def group_snapshots(self) -> bool:
        return gates.is_on(self.gates, gates.GROUP_SNAPSHOTS)

    @property
    def release_on_exit(self) -> bool:
        return gates.is_on(self.gates, gates.RELEASE_ON_EXIT)

    def mistakes(self) -> list[Mistake]:
        return gates.mistakes(self.gates)
