"""What the tests of rules and dashboards share."""

import asyncio
from collections.abc import Callable

import pytest

from tests.manifests.prometheus_rule import rules
from tests.manifests.series import Pages, pages


@pytest.fixture(scope="session")
def metrics(tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]) -> Pages:
    """The series that the programs really have, and those that the rules compute of them."""
    found = asyncio.run(pages(tmp_path_factory.mktemp("metrics"), unused_tcp_port_factory))
    for rule in rules():
        if "record" in rule:
            found.record(rule["record"], rule["expr"])
    return found
