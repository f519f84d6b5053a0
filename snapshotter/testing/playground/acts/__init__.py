"""The acts of the demo, in the order in which they are played."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from snapshotter.testing.playground.acts.crash import kill_the_sidecar
from snapshotter.testing.playground.acts.ending import delete_everything, stop
from snapshotter.testing.playground.acts.importing import hand_over_a_retained_snapshot
from snapshotter.testing.playground.acts.singles import cut_snapshots, make_volumes, restore_a_snapshot
from snapshotter.testing.playground.acts.stage import Stage
from snapshotter.testing.playground.acts.together import cut_a_group

ACTS: Final[Sequence[Callable[[Stage], Awaitable[None]]]] = (
    make_volumes,
    cut_snapshots,
    restore_a_snapshot,
    kill_the_sidecar,
    hand_over_a_retained_snapshot,
    cut_a_group,
    delete_everything,
    stop,
)
