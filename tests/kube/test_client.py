"""The library behind the connection is imported as far as it is used, and is whole for whoever asks for more."""

import subprocess
import sys

FIRST_OURS = """
import asyncio
import sys
from snapshotter.kube import connection

loaded = [name for name in sys.modules if name.startswith("kubernetes_asyncio")]
assert "kubernetes_asyncio.config" in loaded
assert not [name for name in loaded if name.startswith("kubernetes_asyncio.client.models.")]
assert len(loaded) < 40, loaded
assert sys.modules["kubernetes_asyncio"].config.ConfigException is connection.ConfigException
assert "kubernetes_asyncio.client.api_client" not in loaded


async def client_as_the_library_makes_it():
    async with sys.modules["kubernetes_asyncio.config.kube_config"].ApiClient() as client:
        return client


made = asyncio.run(client_as_the_library_makes_it())
assert type(made) is sys.modules["kubernetes_asyncio.client.api_client"].ApiClient

import kubernetes_asyncio
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api, V1Pod
from kubernetes_asyncio.client.models import V1Namespace
from kubernetes_asyncio.watch import Watch

assert kubernetes_asyncio.client.models.V1Pod is V1Pod
assert Configuration is connection.Configuration
assert V1Pod(kind="Pod").to_dict()["kind"] == "Pod"
assert kubernetes_asyncio.client.V1Namespace is V1Namespace
assert callable(kubernetes_asyncio.utils.create_from_yaml)
assert kubernetes_asyncio.__version__
try:
    kubernetes_asyncio.client.NoSuchThing
except AttributeError as error:
    assert "NoSuchThing" in str(error)
else:
    raise SystemExit("there is no such thing")
"""

FIRST_THE_LIBRARY = """
import kubernetes_asyncio.client
from snapshotter.kube import connection

assert kubernetes_asyncio.client.Configuration is connection.Configuration
assert kubernetes_asyncio.client.V1Pod(kind="Pod").kind == "Pod"
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_generated_models_are_imported_by_those_who_ask_for_them() -> None:
    run(FIRST_OURS)


def test_a_library_that_is_there_already_is_left_as_it_is() -> None:
    run(FIRST_THE_LIBRARY)
