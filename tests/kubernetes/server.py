"""A real Kubernetes API server with its etcd on 127.0.0.1, for as long as a block or a test session lasts.

`build.py` makes the program that is started here. Where KUBEBUILDER_ASSETS names a directory with the usual
kube-apiserver and etcd, these are taken, and there are no controllers then.

`python -m tests.kubernetes.server DIRECTORY` runs one for a person, and says where its kubeconfig is.
"""

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kubernetes import build

CRDS = Path(__file__).parents[2] / "manifests" / "crds"
AUDIT_POLICY = Path(__file__).parent / "audit-policy.yaml"
START_SECONDS = 120.0
STOP_SECONDS = 20.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kube:
    """Where the API server listens, and what an administrator needs to be let in."""

    url: str
    token: str
    authority: Path
    """PEM file that vouches for the server."""
    etcd_url: str
    audit_log: Path
    controllers: bool
    """Whether garbage is collected, quotas are counted, namespaces emptied, and unused claims let go."""

    def kubeconfig(self, token: str | None = None) -> str:
        """That of whoever bears the token, by default the administrator."""
        trust = base64.b64encode(self.authority.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": trust}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "kube", "cluster": cluster}],
                "users": [{"name": "user", "user": {"token": self.token if token is None else token}}],
                "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": "user"}}],
                "current-context": "kube",
            },
        )

    def session(self) -> aiohttp.ClientSession:
        """A session with the administrator's rights; the caller closes it."""
        return aiohttp.ClientSession(
            self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self.authority))),
        )

    async def compact(self) -> None:
        """Make etcd forget every version but the present one."""
        async with aiohttp.ClientSession(self.etcd_url) as etcd:
            async with etcd.post("/v3/kv/range", json={"key": "AA=="}, raise_for_status=True) as answer:
                revision = (await answer.json())["header"]["revision"]
            async with etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True}) as answer:
                if answer.status != 200 and "has been compacted" not in (text := await answer.text()):
                    raise RuntimeError(f"etcd does not compact: {text}")

    def audited(self) -> Iterator[Json]:
        """What the audit log has, in its order; nothing if none was asked for."""
        if self.audit_log.exists():
            with self.audit_log.open("rb") as log:
                for line in log:
                    yield json.loads(line)


class NotStartedError(Exception):
    """A server did not come up; the text ends with what it last logged."""


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    *,
    authorization: str = "RBAC",
    controllers: bool = False,
    audit: bool = False,
    crds: bool = True,
) -> AsyncIterator[Kube]:
    """An API server that is ready, and serves our custom resources if `crds`. It keeps its files in the directory.

    Raises NotStartedError, also when nothing has been built.
    """
    flags = _apiserver_flags(directory, authorization, audit=audit)
    token = flags.pop("token")
    start = _built(directory, flags, controllers=controllers)
    if (assets := build.assets()) is not None:
        controllers, start = False, _usual(assets, directory, flags, token)
    async with start as places:
        authority = directory / "certificates" / "apiserver.crt"
        kube = Kube(places["url"], token, authority, places["etcd"], directory / "audit.log", controllers)
        if crds:
            await _install(kube)
        yield kube


def _apiserver_flags(directory: Path, authorization: str, *, audit: bool) -> dict[str, str]:
    """Flags for kube-apiserver, and the files that they name; `token` is the administrator's."""
    token = secrets.token_hex(16)
    tokens, account_key = directory / "tokens.csv", directory / "service-accounts.key"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    account_key.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    flags = {
        "token": token,
        "cert-dir": str(directory / "certificates"),
        "token-auth-file": str(tokens),
        "authorization-mode": authorization,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(account_key),
        "service-account-signing-key-file": str(account_key),
        "service-cluster-ip-range": "10.0.0.0/24",
        "endpoint-reconciler-type": "none",
        "etcd-compaction-interval": "0",
        "shutdown-delay-duration": "0s",
    }
    if audit:
        flags |= {"audit-log-path": str(directory / "audit.log"), "audit-policy-file": str(AUDIT_POLICY)}
    return flags


@contextlib.asynccontextmanager
async def _built(directory: Path, flags: Mapping[str, str], *, controllers: bool) -> AsyncIterator[dict[str, str]]:
    """What `build.py` has built, at work. It tells where API server and etcd listen."""
    program = build.binary()
    if not program.exists():
        raise NotStartedError("not built: run `python tests/kubernetes/build.py` first")
    ours = {"etcd-directory": str(directory / "etcd"), "controllers": str(controllers).lower()}
    async with _process(program, {**flags, **ours}, directory) as process:
        places: dict[str, str] = json.loads(await process.first_line())
        yield places


@contextlib.asynccontextmanager
async def _usual(assets: Path, directory: Path, flags: Mapping[str, str], token: str) -> AsyncIterator[dict[str, str]]:
    """The usual binaries at work, on ports that were free a moment ago."""
    etcd_url, peer_url = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    port = _free_port()
    etcd = {
        "data-dir": str(directory / "etcd"),
        "listen-client-urls": etcd_url,
        "advertise-client-urls": etcd_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"default={peer_url}",
        "unsafe-no-fsync": "true",
    }
    where = {"bind-address": "127.0.0.1", "secure-port": str(port), "etcd-servers": etcd_url}
    async with (
        _process(assets / "etcd", etcd, directory),
        _process(assets / "kube-apiserver", {**flags, **where}, directory) as process,
    ):
        url = f"https://127.0.0.1:{port}"
        # Nobody vouches for it yet: it makes its certificate while it starts.
        connector = aiohttp.TCPConnector(ssl=False)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
            await _wait_until_ready(process, session)
        yield {"url": url, "etcd": etcd_url}


async def _install(kube: Kube) -> None:
    """Apply the custom resource definitions and wait until their objects are served."""
    async with kube.session() as session, asyncio.timeout(START_SECONDS):
        definitions = [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*_*.yaml"))]
        for definition in definitions:
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            async with session.post(path, json=definition) as answer:
                if answer.status != 201:
                    raise NotStartedError(f"{definition['metadata']['name']} is refused: {await answer.text()}")
        for definition in definitions:
            spec = definition["spec"]
            served = f"/apis/{spec['group']}/v1/{spec['names']['plural']}"
            while True:
                async with session.get(served) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class _Process:
    process: asyncio.subprocess.Process
    log: Path

    def check(self) -> None:
        if self.process.returncode is not None:
            raise self.failure(f"exit code {self.process.returncode}")

    def failure(self, what: str) -> NotStartedError:
        return NotStartedError(f"{what}\n{self.log.read_text(errors='replace')[-3000:]}")

    async def first_line(self) -> bytes:
        """What it prints when it is ready."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                if line := await self.process.stdout.readline():
                    return line
                await self.process.wait()
        except TimeoutError as error:
            raise self.failure(f"not ready after {START_SECONDS:.0f} s") from error
        raise self.failure(f"exit code {self.process.returncode}")


@contextlib.asynccontextmanager
async def _process(program: Path, flags: Mapping[str, str], directory: Path) -> AsyncIterator[_Process]:
    """A server process that ends with the block."""
    log = directory / f"{program.name}.log"
    with log.open("wb") as output:
        # The other end of its standard input is ours alone: it ends with us, however we do.
        process = await asyncio.create_subprocess_exec(
            program,
            *(f"--{flag}={value}" for flag, value in flags.items()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    try:
        yield _Process(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()


async def _wait_until_ready(process: _Process, session: aiohttp.ClientSession) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                process.check()
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get("/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise process.failure(f"not ready after {START_SECONDS:.0f} s") from error


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def main(directory: Path) -> None:
    async with running(directory, controllers=True, audit=True) as kube:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(kube.kubeconfig())
        sys.stdout.write(f"export KUBECONFIG={kubeconfig}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]).absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(chosen))
