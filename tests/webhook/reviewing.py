"""The webhook in this process, asked over real TLS."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from snapshotter.settings import AdmissionSettings, EndSettings, TlsSettings, WebhookSettings, WebSettings
from snapshotter.webhook.app import started
from tests.certificates import Files, Pair, files_in, make_pair

Json = dict[str, Any]

GROUP = "groupsnapshot.storage.k8s.io"
BETA1, BETA2, V1 = (f"{GROUP}/{version}" for version in ("v1beta1", "v1beta2", "v1"))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    text: str = field(repr=False)

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.text)
        return found

    def converted(self) -> list[Json]:
        """The objects of a conversion that worked."""
        assert self.status == 200, self
        response = self.json["response"]
        assert response["result"]["status"] == "Success", response
        found: list[Json] = response["convertedObjects"]
        return found

    def failure(self) -> str:
        """Why a conversion did not work."""
        assert self.status == 200, self
        response = self.json["response"]
        assert response["result"]["status"] == "Failure", response
        assert response["convertedObjects"] is None
        message: str = response["result"]["message"]
        return message


@dataclass(frozen=True, slots=True)
class Running:
    """A webhook at work."""

    port: int
    web_port: int
    files: Files
    http: aiohttp.ClientSession

    async def post(
        self, path: str, body: bytes, content_type: str | None = "application/json", **headers: str
    ) -> Answer:
        given = headers if content_type is None else headers | {"Content-Type": content_type}
        skip = ["Content-Type", "Accept"]
        async with (
            asyncio.timeout(30),
            self.http.post(
                f"https://localhost:{self.port}{path}", data=io.BytesIO(body), headers=given, skip_auto_headers=skip
            ) as answer,
        ):
            return Answer(answer.status, answer.headers["Content-Type"], await answer.text())

    async def convert(self, desired: str, *objects: object) -> Answer:
        return await self.post("/convert?timeout=30s", json.dumps(conversion_review(desired, *objects)).encode())

    async def metric(self, name: str, **labels: str) -> float:
        """The value of a series; 0 where there is none."""
        async with self.http.get(f"http://127.0.0.1:{self.web_port}/metrics") as answer:
            page = await answer.text()
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        for line in page.splitlines():
            series, _, value = line.rpartition(" ")
            found, _, told = series.partition("{")
            if found == name and wanted == set(filter(None, told.rstrip("}").split(","))):
                return float(value)
        return 0.0


def conversion_review(desired: str, *objects: object, uid: str = "uid-1") -> Json:
    return {
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": list(objects)},
    }


@asynccontextmanager
async def running(
    directory: Path, web_port: int, *, kubeconfig: Path | None = None, pair: Pair | None = None
) -> AsyncIterator[Running]:
    """A webhook; with a kubeconfig it judges default classes as well."""
    files, pair = files_in(directory), pair or make_pair()
    files.write(pair)
    settings = WebhookSettings(
        tls=TlsSettings(str(files.certificate), str(files.key), port=0),
        admission=AdmissionSettings(enabled=kubeconfig is not None, kubeconfig=str(kubeconfig or "")),
        end=EndSettings(delay=0.0, grace=5.0),
        web=WebSettings(f"127.0.0.1:{web_port}"),
    )
    connector = aiohttp.TCPConnector(ssl=pair.trusting())
    async with started(settings) as webhook, aiohttp.ClientSession(connector=connector) as http:
        end = asyncio.Event()

        async def ended() -> None:
            await end.wait()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(webhook.work(ended), name="webhook")
            yield Running(webhook.port, web_port, files, http)
            end.set()
