"""How long operations take: the series that upstream's dashboards know, from the times that the objects carry.

So a restart loses nothing, and nothing is counted before it is written.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from snapshotter.metrics import ControllerMetrics
from snapshotter.model.user_snapshot import UserSnapshot

UNKNOWN = "unknown"
"""The driver of a request of which nothing tells the driver."""


class Operations:
    """Records operations on requests of one kind, which ends in `CreateSnapshot` or `CreateGroupSnapshot`."""

    def __init__(
        self,
        metrics: ControllerMetrics,
        thing: str,
        driver_of: Callable[[UserSnapshot], str | None],
        leading: Callable[[], bool],
    ) -> None:
        """Who is not `leading` records nothing: an operation counts once, however many replicas look on."""
        self._leading = leading
        self._seconds = metrics.operations
        self._thing = thing
        self._driver_of = driver_of
        self._drivers: dict[str, str] = {}
        """The last known driver by uid: when a request is gone, what told its driver may be gone as well."""

    def reported(self, before: UserSnapshot, after: UserSnapshot) -> None:
        """A status was written."""
        if not before.cut and after.cut:
            self._record(after, f"Create{self._thing}", "success", after.metadata.creation_timestamp)
        if not before.ready and after.ready:
            self._record(after, f"Create{self._thing}AndReady", "success", after.metadata.creation_timestamp)

    def seen(self, request: UserSnapshot) -> None:
        """A request was looked at, and perhaps what tells its driver is there."""
        if (driver := self._driver_of(request)) is not None:
            self._drivers[request.uid] = driver

    def gone(self, request: UserSnapshot) -> None:
        """A request is not there any more."""
        if request.deleting:
            self._record(request, f"Delete{self._thing}", "success", request.metadata.deletion_timestamp)
            made = request.metadata.creation_timestamp
            if not request.cut:
                self._record(request, f"Create{self._thing}", "cancel", made)
            if not request.ready:
                self._record(request, f"Create{self._thing}AndReady", "cancel", made)
        self._drivers.pop(request.uid, None)

    def _record(self, request: UserSnapshot, operation: str, status: str, since: datetime | None) -> None:
        if since is None or not self._leading():
            return
        driver = self._driver_of(request) or self._drivers.get(request.uid) or UNKNOWN
        sort = "dynamic" if request.imported_name is None else "pre-provisioned"
        took = max(0.0, (datetime.now(UTC) - since).total_seconds())
        self._seconds.labels(driver, operation, sort, status).observe(took)


def in_flight(requests: Iterable[UserSnapshot]) -> float:
    """The number of operations that are under way: cutting, becoming ready, being deleted."""
    return float(sum((not each.cut) + (not each.ready) + each.deleting for each in requests))
