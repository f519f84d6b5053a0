"""Where the stand-in asks no admission webhook, and what it does not follow. The rest is in `tests/contract`."""

import asyncio

import pytest

from snapshotter.testing.apiserver import ApiError, ApiServer
from tests.contract.client import Json
from tests.contract.test_admission import configuration, deny, rule
from tests.contract.webhooks import Webhook, serving

PLURAL = "validatingwebhookconfigurations"
SOON = 10.0


async def test_what_the_server_does_itself_is_asked_of_nobody() -> None:
    async with serving(Webhook(deny)) as webhook, ApiServer.serve() as server:
        server.create(PLURAL, configuration(webhook.client_config, rule("configmaps", "*", "")))
        server.create("namespaces", {"metadata": {"name": "home"}})
        owner = server.create("secrets", {"metadata": {"name": "gone"}}, "home")["metadata"]
        ref = {"apiVersion": "v1", "kind": "Secret", "name": "gone", "uid": owner["uid"][::-1]}
        server.create("configmaps", {"metadata": {"name": "kept"}}, "home")
        server.create("configmaps", {"metadata": {"name": "left", "ownerReferences": [ref]}}, "home")
        async with asyncio.timeout(SOON):
            while server.get("configmaps", "left", "home") is not None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
        assert server.get("configmaps", "kept", "home") is not None
        assert webhook.asked == []


REFUSED: dict[str, tuple[Json, str]] = {
    "conditions": ({"matchConditions": [{"name": "a", "expression": "true"}]}, "webhooks[0].matchConditions"),
    "the reviews of v1beta1 alone": ({"admissionReviewVersions": ["v1beta1"]}, "webhooks[0].admissionReviewVersions"),
}


@pytest.mark.parametrize(("change", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_it_refuses_what_only_a_real_server_follows(change: Json, field: str) -> None:
    async with ApiServer.serve() as server:
        with pytest.raises(ApiError) as refused:
            server.create(PLURAL, configuration({"url": "https://a.example.com"}, **change))
        causes = (refused.value.details or {})["causes"]
        assert [cause["field"] for cause in causes] == [field]
