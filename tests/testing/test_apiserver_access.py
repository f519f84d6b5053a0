"""Tokens and roles of the stand-in, as far as a test on a real server cannot show it (see `tests/contract`)."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from snapshotter.testing.apiserver import ApiError, ApiServer
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.users import ADMIN, ANONYMOUS, service_account
from snapshotter.testing.client import ApiFailure, KubeClient

SOON = 30.0
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def tokens_of_one_account(clock: Clock) -> tuple[Tokens, Store]:
    store = Store()
    store.put(("", "serviceaccounts"), ("ns", "a"), {"metadata": {"uid": "1"}})
    return Tokens(store, clock), store


def is_refused(tokens: Tokens, token: str) -> bool:
    try:
        tokens.user_of(f"Bearer {token}")
    except ApiError as error:
        return error.code == 401
    return False


class TestTokens:
    def test_tell_the_account_and_its_groups(self) -> None:
        tokens, _ = tokens_of_one_account(Clock())
        user = tokens.user_of(f"Bearer {tokens.issue('ns', 'a', '1', 600)}")
        assert user == service_account("ns", "a")
        assert user.name == "system:serviceaccount:ns:a"
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")

    def test_tell_the_administrator_and_strangers(self) -> None:
        tokens, _ = tokens_of_one_account(Clock())
        assert tokens.user_of(f"bearer {tokens.admin}") == ADMIN
        assert tokens.user_of("") == ANONYMOUS
        assert tokens.user_of("Basic YTpi") == ANONYMOUS
        assert is_refused(tokens, "é")

    def test_expire(self) -> None:
        clock = Clock()
        tokens, _ = tokens_of_one_account(clock)
        token = tokens.issue("ns", "a", "1", 600)
        clock.now += 599
        assert not is_refused(tokens, token)
        clock.now += 1
        assert is_refused(tokens, token)

    def test_go_with_their_account_also_when_it_comes_again(self) -> None:
        tokens, store = tokens_of_one_account(Clock())
        token = tokens.issue("ns", "a", "1", 600)
        store.remove(("", "serviceaccounts"), ("ns", "a"))
        assert is_refused(tokens, token)
        store.put(("", "serviceaccounts"), ("ns", "a"), {"metadata": {"uid": "2"}})
        assert is_refused(tokens, token)


@pytest.mark.parametrize("credentials", ["", "Bearer made-up"])
async def test_without_roles_everybody_may_do_everything(credentials: str) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession(server.url) as session:
        assert "token" not in server.kubeconfig()
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "delete", "resource": "secrets"}},
        }
        headers = {"Authorization": credentials}
        async with session.post(REVIEWS, json=review, headers=headers) as answer:
            assert (answer.status, (await answer.json())["status"]) == (201, {"allowed": True})
        assert server.list("clusterroles") == []


@pytest.mark.parametrize("tls", [False, True], ids=["HTTP", "HTTPS"])
async def test_a_kubeconfig_is_for_the_bearer_of_its_token(tmp_path: Path, tls: bool) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with ApiServer.serve(rbac=True, tls=tls) as server:
        kubeconfig.write_text(server.kubeconfig(server.token_for("default", "reader")))
        async with KubeClient.of(kubeconfig) as reader:
            with pytest.raises(ApiFailure, match=r"system:serviceaccount:default:reader.*cannot list"):
                await reader.list("Secret")
            rules = [{"verbs": ["list"], "apiGroups": [""], "resources": ["secrets"]}]
            ref = {"kind": "ClusterRole", "name": "reader"}
            subjects = [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}]
            server.create("clusterroles", {"metadata": {"name": "reader"}, "rules": rules})
            binding = {"metadata": {"name": "reader"}, "roleRef": ref, "subjects": subjects}
            server.create("clusterrolebindings", binding)
            assert (await reader.list("Secret")).items == []
            # Another token of the same account, not another account.
            kubeconfig.write_text(server.kubeconfig(server.token_for("default", "reader")))
            async with KubeClient.of(kubeconfig) as again:
                assert (await again.list("Secret")).items == []
        kubeconfig.write_text(server.kubeconfig())
        async with KubeClient.of(kubeconfig) as admin:
            assert [item["metadata"]["name"] for item in (await admin.list("Namespace")).items]


async def test_the_process_serves_roles_over_tls(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "snapshotter.testing.apiserver", "--tls", "--authorization-mode=RBAC"),
        *("--crds", str(tmp_path), "--kubeconfig", str(kubeconfig)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(SOON):
        assert (await process.stdout.readline()).startswith(b"https://127.0.0.1:")
        config = yaml.safe_load(kubeconfig.read_text())
        async with KubeClient.of(kubeconfig) as admin:
            assert (await admin.list("Secret")).items == []
        del config["users"][0]["user"]["token"]
        kubeconfig.write_text(yaml.safe_dump(config))
        async with KubeClient.of(kubeconfig) as stranger:
            with pytest.raises(ApiFailure, match="system:anonymous"):
                await stranger.list("Secret")
        process.terminate()
        assert await process.wait() == 0
