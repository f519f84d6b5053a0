"""Tests that need a command which Python cannot bring are passed over where it is missing."""

import shutil

import pytest

from tests.manifests.rendering import kustomize


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_kustomize = pytest.mark.skip(reason="there is neither a kubectl with kustomize 5 nor kustomize on the path")
    no_kubectl = pytest.mark.skip(reason="there is no kubectl on the path")
    for item in items:
        if item.get_closest_marker("kustomize") and kustomize() is None:
            item.add_marker(no_kustomize)
        if item.get_closest_marker("kubectl") and shutil.which("kubectl") is None:
            item.add_marker(no_kubectl)
