"""A real kube-apiserver with its etcd, on 127.0.0.1, for as long as a test session lasts.

`build_kube.py` makes the binaries. Of the controllers of a cluster only the garbage collector and the one for quotas
run, if asked for.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from tests.contract.build_kube import cache_directory, missing

CRDS = Path(__file__).parents[2] / "manifests" / "crds"
START_SECONDS = 90.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Kube:
    """Where the API server listens, and what an administrator needs to be let in."""

    url: str
    token: str
    authority: Path
    """PEM file that vouches for the server."""
    etcd_url: str

    def kubeconfig(self) -> str:
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "kube", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": self.token}}],
                "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": "admin"}}],
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


class NotStartedError(Exception):
    """A server did not come up; the text ends with what it last logged."""


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, authorization: str = "AlwaysAllow", controllers: bool = False
) -> AsyncIterator[Kube]:
    """An API server that is ready and serves our custom resources. It keeps its files in the directory.

    Raises NotStartedError, also when the binaries have not been built.
    """
    if absent := missing(cache_directory()):
        raise NotStartedError(f"not built: {', '.join(absent)}; run tests/contract/build_kube.py first")
    async with _etcd(directory) as etcd_url, _apiserver(directory, etcd_url, authorization) as kube:
        await _install(kube)
        if not controllers:
            yield kube
            return
        async with _controllers(directory, kube):
            yield kube


@contextlib.asynccontextmanager
async def _etcd(directory: Path) -> AsyncIterator[str]:
    url, peer_url = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    flags = {
        "data-dir": str(directory / "etcd"),
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"default={peer_url}",
        "unsafe-no-fsync": "true",
    }
    async with _process("etcd", flags, directory) as process:
        async with aiohttp.ClientSession(url) as session:
            await _wait_until_ready(process, session, "/health")
        yield url


@contextlib.asynccontextmanager
async def _apiserver(directory: Path, etcd_url: str, authorization: str) -> AsyncIterator[Kube]:
    port, token = _free_port(), secrets.token_hex(16)
    tokens, account_key = directory / "tokens.csv", directory / "service-accounts.key"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    await _make_rsa_key(account_key)
    flags = {
        "bind-address": "127.0.0.1",
        "secure-port": str(port),
        "cert-dir": str(directory / "certificates"),
        "etcd-servers": etcd_url,
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
    async with _process("kube-apiserver", flags, directory) as process:
        authority = directory / "certificates" / "apiserver.crt"
        await _wait_for_file(process, authority)
        kube = Kube(f"https://127.0.0.1:{port}", token, authority, etcd_url)
        async with kube.session() as session:
            await _wait_until_ready(process, session, "/readyz")
        yield kube


@contextlib.asynccontextmanager
async def _controllers(directory: Path, kube: Kube) -> AsyncIterator[None]:
    """A controller manager with those that the contract is about. It sees the kinds that are served when it starts."""
    kubeconfig = directory / "controller-manager.kubeconfig"
    kubeconfig.write_text(kube.kubeconfig())
    flags = {
        "kubeconfig": str(kubeconfig),
        "controllers": "garbage-collector-controller,resourcequota-controller",
        "leader-elect": "false",
        "secure-port": "0",
    }
    async with _process("kube-controller-manager", flags, directory):
        yield


async def _install(kube: Kube) -> None:
    """Apply the custom resource definitions and wait until their objects are served."""
    async with kube.session() as session, asyncio.timeout(START_SECONDS):
        for file in sorted(CRDS.glob("*_*.yaml")):
            definition = yaml.safe_load(file.read_text())
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            async with session.post(path, json=definition) as answer:
                if answer.status != 201:
                    raise NotStartedError(f"{file.name} is refused: {await answer.text()}")
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
            raise NotStartedError(f"exit code {self.process.returncode}\n{self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


@contextlib.asynccontextmanager
async def _process(name: str, flags: dict[str, str], directory: Path) -> AsyncIterator[_Process]:
    """A server process that ends with the block."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            cache_directory() / name,
            *(f"--{flag}={value}" for flag, value in flags.items()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield _Process(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_until_ready(process: _Process, session: aiohttp.ClientSession, path: str) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                process.check()
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(path) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise NotStartedError(f"not ready after {START_SECONDS:.0f} s\n{process.last_words()}") from error


async def _wait_for_file(process: _Process, file: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not _is_written(file):
            process.check()
            await asyncio.sleep(0.1)


def _is_written(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


async def _make_rsa_key(file: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "openssl", "genrsa", "-out", file, "2048", stderr=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise NotStartedError("openssl could not make a key")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
