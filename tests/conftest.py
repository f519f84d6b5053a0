"""What holds for all tests."""

import asyncio
import os

# gRPC would tell of each connection that a test breaks.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# A plugin asks for the current loop also in tests that have none. Python 3.11 would make one then, and nobody
# would close it.
asyncio.set_event_loop(None)
