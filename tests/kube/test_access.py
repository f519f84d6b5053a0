"""Questions about our own permissions, and what a refusal says."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from snapshotter.kube.access import PATH, AccessReviews
from snapshotter.kube.connection import Connection, Limits, connect
from snapshotter.kube.errors import Forbidden, Malformed, NotFound, ServerTrouble
from snapshotter.metrics import DaemonMetrics
from snapshotter.plan.permissions import Access
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault

RBAC = "rbac.authorization.k8s.io"
LOGIN = "/api/v1/namespaces/default/secrets/login"
READ_LOGIN = Access("get", "", "secrets", namespace="default", name="login")
QUESTIONS = (
    READ_LOGIN,
    Access("get", "", "secrets", namespace="default", name="other"),
    Access("get", "", "secrets", namespace="default"),
    Access("get", "", "secrets", namespace="kube-system", name="login"),
    Access("patch", "snapshot.storage.k8s.io", "volumesnapshotcontents", "status"),
)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer.serve(rbac=True) as made:
        yield made


@asynccontextmanager
async def as_account(
    server: ApiServer, directory: Path, metrics: DaemonMetrics, refused: Callable[[Access], None] = lambda _: None
) -> AsyncIterator[Connection]:
    """A connection of an account to which nothing is granted yet."""
    kubeconfig = directory / "account"
    kubeconfig.write_text(server.kubeconfig(server.token_for("default", "account")))
    async with connect(kubeconfig, Limits(), metrics, user_agent="test/1", refused=refused) as connection:
        yield connection


def grant(server: ApiServer, rule: Mapping[str, list[str]]) -> None:
    metadata = {"name": "account"}
    server.create(f"roles.{RBAC}", {"metadata": metadata, "rules": [rule]}, "default")
    subject = {"kind": "ServiceAccount", "name": "account", "namespace": "default"}
    ref = {"apiGroup": RBAC, "kind": "Role", "name": "account"}
    server.create(f"rolebindings.{RBAC}", {"metadata": metadata, "subjects": [subject], "roleRef": ref}, "default")


async def test_a_role_by_name_answers_for_the_name(server: ApiServer, tmp_path: Path, metrics: DaemonMetrics) -> None:
    async with as_account(server, tmp_path, metrics) as connection:
        reviews = AccessReviews(connection)
        assert (await reviews.ask(QUESTIONS)).allowed == dict.fromkeys(QUESTIONS, False)
        grant(server, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["login"]})
        answers = await reviews.ask(QUESTIONS)
    assert answers.trouble is None
    assert answers.allowed == {question: question is READ_LOGIN for question in QUESTIONS}


TROUBLE = {
    "there are no reviews": ({"error": 404}, NotFound),
    "reviews are refused": ({"error": 403}, Forbidden),
    "the server has trouble": ({"error": 500}, ServerTrouble),
}


@pytest.mark.parametrize(("fault", "expected"), TROUBLE.values(), ids=TROUBLE.keys())
async def test_trouble_is_an_answer_too(
    server: ApiServer,
    tmp_path: Path,
    metrics: DaemonMetrics,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, int],
    expected: type,
) -> None:
    monkeypatch.setattr("snapshotter.kube.patience.PAUSES", (0.01,))
    server.faults.set(Fault(match=f"POST {PATH}", **fault))  # type: ignore[arg-type]
    async with as_account(server, tmp_path, metrics) as connection:
        answers = await AccessReviews(connection).ask(QUESTIONS * 20)
    assert type(answers.trouble) is expected
    assert not answers.allowed
    # Each of those who ask at the same time learns of it once.
    assert sum(record.path == PATH for record in server.requests) <= 8


async def test_an_answer_that_is_no_review_is_trouble(
    server: ApiServer, tmp_path: Path, metrics: DaemonMetrics
) -> None:
    async with as_account(server, tmp_path, metrics) as connection:
        server.faults.set(Fault(match=PATH, error=201, message="not a review"))
        answers = await AccessReviews(connection).ask(QUESTIONS)
    assert isinstance(answers.trouble, Malformed)


async def test_api_groups_may_be_missing(server: ApiServer, tmp_path: Path, metrics: DaemonMetrics) -> None:
    async with as_account(server, tmp_path, metrics) as connection:
        reviews = AccessReviews(connection)
        assert await reviews.serves("groupsnapshot.storage.k8s.io")
        assert not await reviews.serves("no.example.com")
        # As long as it is not known, it may be there.
        server.faults.set(Fault(match="/apis/no.example.com", error=403))
        assert await reviews.serves("no.example.com")


async def test_trouble_that_passes_is_waited_for(
    server: ApiServer, tmp_path: Path, metrics: DaemonMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.kube.patience.PAUSES", (0.01,) * 4)
    server.faults.set(Fault(match=PATH, error=503, times=2))
    async with as_account(server, tmp_path, metrics) as connection:
        answers = await AccessReviews(connection).ask(QUESTIONS)
    assert answers.trouble is None
    assert answers.allowed.keys() == set(QUESTIONS)


async def test_a_refusal_says_which_permission_is_missing_and_is_told_of(
    server: ApiServer, tmp_path: Path, metrics: DaemonMetrics
) -> None:
    told: list[Access] = []
    async with as_account(server, tmp_path, metrics, told.append) as connection:
        with pytest.raises(Forbidden) as raised:
            await connection.request("GET", LOGIN)
        assert raised.value.missing == READ_LOGIN
        assert f"GET {LOGIN}: permission is missing: {READ_LOGIN}: 403:" in str(raised.value)
        with pytest.raises(Forbidden, match="permission is missing: watch secrets in namespace"):
            async with connection.stream("/api/v1/namespaces/default/secrets", query={"watch": "true"}, seconds=1.0):
                pass
    assert told == [READ_LOGIN, Access("watch", "", "secrets", namespace="default")]


async def test_a_refusal_by_admission_is_not_called_a_missing_permission(
    server: ApiServer, tmp_path: Path, metrics: DaemonMetrics
) -> None:
    grant(server, {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]})
    server.faults.set(Fault(match="POST", error=403, message='events "a" is forbidden: exceeded quota'))
    async with as_account(server, tmp_path, metrics) as connection:
        with pytest.raises(Forbidden) as raised:
            await connection.request("POST", "/api/v1/namespaces/default/events", body={})
    assert raised.value.missing is None
    assert "permission is missing" not in str(raised.value)
    assert "exceeded quota" in str(raised.value)
