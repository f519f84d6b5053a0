"""Measurements that are run by hand, and in short by `tests/bench`. See README.md."""

import os

# gRPC would tell of each process that is started beside it.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
