"""Whom a claim concerns. What is done about it is shown with the plans of snapshots and of groups."""

import pytest

from snapshotter.controller.stores import Stores
from snapshotter.plan.claims import groups_concerned
from tests.requests import claim, cluster, group_request, made_group_content, volume

DATA, VOLUME = claim("data"), volume("pv-data")
READY = group_request(bound=made_group_content().name, created="2024-01-02T03:04:05Z", ready=True)

CONCERNED: dict[str, tuple[Stores, bool]] = {
    "a group that selects it": (cluster(DATA, VOLUME, group_request()), True),
    "a group that selects it before it has a volume": (cluster(claim("data", volume=""), group_request()), True),
    "a group of other labels": (cluster(DATA, VOLUME, group_request(labels={"app": "web"})), False),
    "a group of another namespace": (cluster(DATA, VOLUME, group_request(namespace="other")), False),
    "a group whose content has its volume": (cluster(DATA, VOLUME, READY, made_group_content()), True),
    "a group whose content was made without it": (
        cluster(DATA, VOLUME, group_request(), made_group_content(volumes=("vol-log",))),
        False,
    ),
    "an import": (cluster(DATA, VOLUME, group_request(imports="imported")), False),
}


@pytest.mark.parametrize(("known", "concerned"), CONCERNED.values(), ids=CONCERNED.keys())
def test_a_change_of_a_claim_concerns(known: Stores, concerned: bool) -> None:
    given = known.storage.claim("shop/data")
    assert given is not None
    assert bool(list(groups_concerned(given, known))) is concerned
