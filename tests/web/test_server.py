"""The HTTP endpoint: metrics in the form that is asked for, health as it is."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from snapshotter.metrics import Metrics
from snapshotter.web.server import ListenError, serving


async def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_metrics_are_served_in_prometheus_form() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.queue_adds.labels("q").inc()
    async with serving(
        "127.0.0.1", 0, registry=metrics.registry, metrics_path="/numbers", alive=list, ready=list
    ) as port:
        status, content_type, page = await get(port, "/numbers")
        assert status == 200
        assert content_type.startswith("text/plain")
        families = {family.name for family in text_string_to_metric_families(page)}
        assert {"workqueue_adds", "process_cpu_seconds", "csi_sidecar_operations_seconds"} <= families
        _, content_type, _ = await get(port, "/numbers", Accept="application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        assert (await get(port, "/metrics"))[0] == 404


async def test_health_tells_every_problem() -> None:
    problems: list[str] = []
    async with serving(
        "127.0.0.1",
        0,
        registry=CollectorRegistry(),
        metrics_path="/metrics",
        alive=lambda: problems,
        ready=lambda: ["not yet"],
    ) as port:
        assert (await get(port, "/healthz"))[::2] == (200, "ok")
        problems += ["one thing", "another"]
        assert (await get(port, "/healthz"))[::2] == (500, "one thing\nanother\n")
        assert (await get(port, "/readyz"))[::2] == (500, "not yet\n")


async def test_trouble_with_the_election_is_a_part_of_health_and_told_apart() -> None:
    trouble: list[str] = []
    async with serving(
        "127.0.0.1",
        0,
        registry=CollectorRegistry(),
        metrics_path="/metrics",
        alive=lambda: ["silence"],
        ready=list,
        election=lambda: trouble,
    ) as port:
        assert (await get(port, "/healthz/leader-election"))[::2] == (200, "ok")
        trouble.append("not renewed")
        assert (await get(port, "/healthz/leader-election"))[::2] == (500, "not renewed\n")
        assert (await get(port, "/healthz"))[::2] == (500, "silence\nnot renewed\n")


async def test_an_address_that_is_taken_is_named() -> None:
    async with serving("127.0.0.1", 0, registry=CollectorRegistry(), metrics_path="/m", alive=list, ready=list) as port:
        with pytest.raises(ListenError, match=f"cannot listen at 127.0.0.1:{port}"):
            async with serving(
                "127.0.0.1", port, registry=CollectorRegistry(), metrics_path="/m", alive=list, ready=list
            ):
                pass
