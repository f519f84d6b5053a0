"""A Kubernetes API server small enough to read, honest enough to trust.

`server` puts it together. A request comes in through `handlers`, passes the gate of `access`, is read with `requests`,
and ends in `registry` (writes), `lists` or `watching`. Objects are in `store`; what holds for them is in `kinds`,
`schema`, `rules`, `metadata` and `builtin`. What the controllers of a cluster would do is in `housekeeping`.
"""

from snapshotter.testing.apiserver.requests import Record
from snapshotter.testing.apiserver.server import ApiServer
from snapshotter.testing.apiserver.status import ApiError

__all__ = ["ApiError", "ApiServer", "Record"]
