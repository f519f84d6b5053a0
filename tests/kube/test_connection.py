"""What holds for all requests: credentials, waiting as the server asks, limits, errors by their meaning."""

import asyncio
from pathlib import Path

import pytest

from snapshotter.kube import errors
from snapshotter.kube.connection import MOST_AT_ONCE, BadConfiguration, Connection, Limits, connect
from snapshotter.metrics import Metrics
from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.faults import Fault
from tests.kube.conftest import Connect, kubeconfig_for

NAMESPACE = "/api/v1/namespaces/default"

STATUSES = {
    400: (errors.BadRequest, False),
    401: (errors.Unauthorized, True),
    403: (errors.Forbidden, False),
    404: (errors.NotFound, False),
    409: (errors.Conflict, False),
    410: (errors.Gone, False),
    429: (errors.TooManyRequests, True),
    500: (errors.ServerTrouble, True),
    503: (errors.ServerTrouble, True),
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items(), ids=map(str, STATUSES))
async def test_a_refusal_becomes_the_error_of_its_meaning(
    server: ApiServer, connected: Connect, status: int, expected: tuple[type[errors.ApiError], bool]
) -> None:
    server.faults.set(Fault(match=NAMESPACE, error=status, message="for a reason", headers={"Retry-After": "0"}))
    async with connected() as connection:
        with pytest.raises(errors.ApiError) as raised:
            await connection.request("GET", NAMESPACE)
    assert type(raised.value) is expected[0]
    assert raised.value.transient is expected[1]
    if status != 429:
        assert f"GET {NAMESPACE}: {status}: for a reason" in str(raised.value)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_no_answer_is_an_error_that_may_pass(server: ApiServer, connected: Connect, moment: str) -> None:
    server.faults.set(Fault(match="POST", cut=moment))  # type: ignore[arg-type]
    async with connected() as connection:
        with pytest.raises(errors.Unreachable) as raised:
            await connection.request("POST", "/api/v1/namespaces", body={"metadata": {"name": "new"}})
    assert raised.value.transient


async def test_a_request_without_an_answer_is_given_up(
    server: ApiServer, connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshotter.kube.connection.REQUEST_TIMEOUT", 0.2)
    server.faults.set(Fault(match=NAMESPACE, hold="before"))
    async with connected() as connection:
        with pytest.raises(errors.Unreachable) as raised:
            await connection.request("GET", NAMESPACE)
    assert raised.value.transient


async def test_nobody_there_is_an_error_that_may_pass(tmp_path: Path, metrics: Metrics, unused_tcp_port: int) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_for(f"http://127.0.0.1:{unused_tcp_port}"))
    async with connect(path, Limits(), metrics, user_agent="test/1") as connection:
        with pytest.raises(errors.Unreachable):
            await connection.request("GET", NAMESPACE)


async def test_promise_13_retry_after_is_obeyed(server: ApiServer, connected: Connect) -> None:
    server.faults.set(Fault(match=NAMESPACE, times=1, error=429, headers={"Retry-After": "0.3"}))
    start = asyncio.get_running_loop().time()
    async with connected() as connection:
        await connection.request("GET", NAMESPACE)
    assert asyncio.get_running_loop().time() - start >= 0.3
    assert [record.status for record in server.requests] == [429, 200]


async def test_so_many_requests_are_under_way_at_a_time_and_the_rest_waits_here(
    server: ApiServer, connected: Connect
) -> None:
    number = server.faults.set(Fault(match=NAMESPACE, hold="before"))
    async with connected() as connection:
        asked = [asyncio.create_task(connection.request("GET", NAMESPACE)) for _ in range(MOST_AT_ONCE + 10)]
        await server.faults.wait_for_held(MOST_AT_ONCE)
        await asyncio.sleep(0.05)
        assert len(server.faults.held()) == MOST_AT_ONCE
        server.faults.lift(number)
        async with asyncio.timeout(30):
            await asyncio.gather(*asked)


async def test_who_is_asked_to_come_later_keeps_nobody_waiting(server: ApiServer, connected: Connect) -> None:
    server.faults.set(Fault(match=NAMESPACE, times=MOST_AT_ONCE, error=429, headers={"Retry-After": "20"}))
    async with connected() as connection:
        later = [asyncio.create_task(connection.request("GET", NAMESPACE)) for _ in range(MOST_AT_ONCE)]
        while len(server.requests) < MOST_AT_ONCE:  # noqa: ASYNC110 - it does not tell, it has to be asked
            await asyncio.sleep(0.01)
        async with asyncio.timeout(15):
            await connection.request("GET", NAMESPACE)
        for task in later:
            task.cancel()
        await asyncio.wait(later)


async def test_promise_13_a_limit_that_was_asked_for_holds(connected: Connect) -> None:
    async with connected(Limits(qps=20.0, burst=5)) as connection:
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(connection.request("GET", NAMESPACE) for _ in range(15)))
    # Five at once, the other ten at twenty a second.
    assert asyncio.get_running_loop().time() - start >= 0.45


async def test_an_expired_token_is_read_anew(server: ApiServer, tmp_path: Path, metrics: Metrics) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_for(server.url, token="old"))  # noqa: S106 (a word)
    async with connect(path, Limits(), metrics, user_agent="test/1") as connection:
        await connection.request("GET", NAMESPACE)
        path.write_text(kubeconfig_for(server.url, token="new"))  # noqa: S106 (a word)
        server.faults.set(Fault(match=NAMESPACE, times=1, error=401))
        await connection.request("GET", NAMESPACE)
        assert connection._configuration.api_key["BearerToken"] == "Bearer new"
    assert [record.status for record in server.requests] == [200, 401, 200]


async def test_a_kubeconfig_that_breaks_meanwhile_is_lived_with(
    server: ApiServer, kubeconfig: Path, connected: Connect
) -> None:
    async with connected() as connection:
        kubeconfig.unlink()  # noqa: ASYNC240 (a small file)
        server.faults.set(Fault(match=NAMESPACE, times=1, error=401))
        await connection.request("GET", NAMESPACE)


async def test_lines_longer_than_any_buffer_arrive_whole(server: ApiServer, connected: Connect) -> None:
    for number in range(3):
        server.create("configmaps", {"metadata": {"name": f"m{number}"}, "data": {"big": "x" * 700_000}}, "default")
    async with (
        connected() as connection,
        connection.stream(
            "/api/v1/namespaces/default/configmaps",
            query={"watch": "true", "resourceVersion": "0", "timeoutSeconds": "5"},
            seconds=10.0,
        ) as lines,
    ):
        sizes = [len(await anext(lines)) for _ in range(3)]
    assert all(size > 700_000 for size in sizes)


async def test_a_stream_that_says_nothing_is_given_up(server: ApiServer, connected: Connect) -> None:
    server.faults.set(Fault(match="WATCH", hold="after"))
    async with connected() as connection:
        with pytest.raises(errors.Unreachable, match="interrupted"):
            await read_all(connection)


async def test_in_a_cluster_the_environment_says_where_it_is(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BadConfiguration, match="the in-cluster configuration is unusable"):
        async with connect(None, Limits(), metrics, user_agent="test/1"):
            pass


async def read_all(connection: Connection) -> list[bytes]:
    async with connection.stream("/api/v1/namespaces", query={"watch": "true"}, seconds=0.3) as lines:
        return [line async for line in lines]
