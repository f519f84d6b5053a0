"""How the stand-in finds a webhook, and what it does for itself with objects that a webhook has to convert.

What users see of conversion is the business of `tests/contract`.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.apiserver.__main__ import main
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls, WebhookFailed
from tests.contract.client import Client, Json
from tests.contract.test_conversion import DEFINITIONS, Gadgets, answer_to, by_webhook, convert, definition
from tests.contract.webhooks import Webhook, serving

GROUP = "example.com"
SERVICE = {"name": "webhook", "namespace": "hooks", "path": "/convert", "port": 8443}
HOST = "webhook.hooks.svc"
SOON = 30.0


@contextlib.asynccontextmanager
async def gadgets_on(server: ApiServer, webhook: Webhook, config: Json) -> AsyncIterator[Gadgets]:
    server.create("customresourcedefinitions", definition(GROUP, by_webhook(config)))
    async with aiohttp.ClientSession(server.url) as session:
        yield Gadgets(Client(session), webhook, GROUP)


async def test_a_service_is_found_where_it_is_said_to_be_and_shows_the_certificate_of_its_name() -> None:
    async with serving(Webhook(convert), HOST) as webhook:
        where = {"hooks/webhook": webhook.address}
        config = {"service": SERVICE, "caBundle": webhook.bundle}
        async with ApiServer.serve(services=where) as server, gadgets_on(server, webhook, config) as gadgets:
            name = await gadgets.create(3)
            assert (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()["spec"] == {"oldSize": 3}
            assert webhook.requests[-1].path == "/convert"
            assert webhook.requests[-1].host == f"{HOST}:8443"
            del server.services["hooks/webhook"]
            refused = await gadgets.api.get(gadgets.path("v1beta1", name))
            assert refused.message.endswith(
                f'failed: Post "https://{HOST}:8443/convert": dial tcp: lookup {HOST}: no such host'
            )


async def test_a_service_with_the_certificate_of_another_name_is_not_trusted() -> None:
    async with serving(Webhook(convert), "other.hooks.svc") as webhook:
        config = {"service": SERVICE, "caBundle": webhook.bundle}
        where = {"hooks/webhook": webhook.address}
        async with ApiServer.serve(services=where) as server, gadgets_on(server, webhook, config) as gadgets:
            refused = await gadgets.api.get(gadgets.path("v1beta1", await gadgets.create(3)))
            assert refused.status == 500
            assert f'Post "https://{HOST}:8443/convert?timeout=30s": tls: failed to verify' in refused.message
            assert webhook.asked == []


async def test_a_bundle_that_holds_no_certificate_is_named() -> None:
    async with ApiServer.serve() as server:
        config = {"url": "https://127.0.0.1:1/convert", "caBundle": "aGFsbG8="}
        async with gadgets_on(server, Webhook(convert), config) as gadgets:
            refused = await gadgets.api.get(gadgets.path("v1beta1", await gadgets.create(3)))
            assert refused.message.endswith("unable to load root certificates: unable to parse bytes as PEM block")


async def test_a_webhook_that_is_away_is_named() -> None:
    async with ApiServer.serve() as server:
        config = {"url": "https://127.0.0.1:1/convert"}
        async with gadgets_on(server, Webhook(convert), config) as gadgets:
            refused = await gadgets.api.get(gadgets.path("v1beta1", await gadgets.create(3)))
            assert 'failed: Post "https://127.0.0.1:1/convert?timeout=30s": ' in refused.message


async def test_a_webhook_that_hangs_is_given_up() -> None:
    hangs = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hangs.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as listener, WebhookCalls({}) as calls:
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/x"
        with pytest.raises(WebhookFailed, match="context deadline exceeded"):
            await calls.post({"url": url}, {}, 0.1)
        hangs.set()


async def test_a_watch_ends_with_an_error_when_an_object_cannot_be_converted() -> None:
    async with (
        serving(Webhook(convert)) as webhook,
        ApiServer.serve() as server,
        gadgets_on(server, webhook, webhook.client_config) as gadgets,
    ):
        old = gadgets.path("v1beta1")
        since = (await gadgets.api.get(old)).ok()["metadata"]["resourceVersion"]
        async with gadgets.api.watch(old, resourceVersion=since) as watch:
            name = await gadgets.create(1)
            await watch.expect("ADDED", name)
            webhook.answer = lambda review: answer_to(review, result={"status": "Failure", "message": "no way"})
            (await gadgets.api.merge(gadgets.path("v1", name), {"spec": {"size": 2}})).ok()
            error = await watch.next()
            assert error is not None
            assert (error["type"], error["object"]["code"]) == ("ERROR", 500)
            assert error["object"]["message"].endswith("failed: no way")
            assert await watch.next() is None
        async with gadgets.api.session.get(old, params={"watch": "1"}) as refused:
            assert refused.status == 500


async def test_watches_of_one_version_share_what_is_converted() -> None:
    async with (
        serving(Webhook(convert)) as webhook,
        ApiServer.serve() as server,
        gadgets_on(server, webhook, webhook.client_config) as gadgets,
    ):
        old = gadgets.path("v1beta1")
        since = (await gadgets.api.get(old)).ok()["metadata"]["resourceVersion"]
        one = gadgets.api.watch(old, resourceVersion=since)
        two = gadgets.api.watch(old, resourceVersion=since)
        async with one as first, two as second:
            name = await gadgets.create(1)
            await first.expect("ADDED", name)
            await second.expect("ADDED", name)
        assert len(webhook.asked) == 1


async def test_what_is_stored_in_an_older_version_goes_with_its_owner_once_the_webhook_is_back() -> None:
    async with (
        serving(Webhook(convert)) as webhook,
        ApiServer.serve() as server,
        gadgets_on(server, webhook, webhook.client_config) as gadgets,
    ):
        owner = server.create("configmaps", {"metadata": {"name": "owner"}}, "default")
        ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        given = gadgets.made("v1", size=1)
        given["metadata"]["ownerReferences"] = [ref]
        (await gadgets.api.create(gadgets.path("v1"), given)).ok()
        (await gadgets.api.get(gadgets.path("v1beta1"))).ok()  # no question about it is open any more
        versions = definition(GROUP)["spec"]["versions"]
        moved = [each | {"storage": each["name"] == "v1beta1"} for each in versions]
        place = f"{DEFINITIONS}/gadgets.{GROUP}"
        (await gadgets.api.merge(place, {"spec": {"versions": moved}})).ok()
        webhook.answer = lambda _: 503
        asked = len(webhook.asked)
        (await gadgets.api.delete("/api/v1/namespaces/default/configmaps/owner")).ok()
        path = gadgets.path("v1", given["metadata"]["name"])
        async with asyncio.timeout(SOON):
            while len(webhook.asked) == asked:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            refused = [each["request"]["desiredAPIVersion"] for each in webhook.asked[asked:]]
            assert refused == [f"{GROUP}/v1beta1"]
            assert (await gadgets.api.get(path)).status == 200
            webhook.answer = convert
            while (await gadgets.api.get(path)).status != 404:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)


async def test_the_process_is_told_where_services_are(tmp_path: Path) -> None:
    async with serving(Webhook(convert), HOST) as webhook:
        config = {"service": SERVICE, "caBundle": webhook.bundle}
        (tmp_path / "crd.yaml").write_text(yaml.safe_dump(definition(GROUP, by_webhook(config))))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "snapshotter.testing.apiserver"),
            *("--crds", str(tmp_path), f"--service=hooks/webhook={webhook.address}"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(SOON):
            url = (await process.stdout.readline()).decode().strip()
            async with aiohttp.ClientSession(url) as session:
                gadgets = Gadgets(Client(session), webhook, GROUP)
                name = await gadgets.create(3)
                assert (await gadgets.api.get(gadgets.path("v1beta1", name))).ok()["spec"] == {"oldSize": 3}
            process.terminate()
            assert await process.wait() == 0


@pytest.mark.parametrize("text", ["a", "a/b", "a=b:1", "a/b=c", "a/b=c:d"])
def test_the_process_refuses_a_service_that_it_cannot_read(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--service={text}"])
    assert "is not NAMESPACE/NAME=HOST:PORT" in capsys.readouterr().err
