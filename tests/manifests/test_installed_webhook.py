"""The webhook as its manifests install it: the API server asks the running program over TLS, by its Service.

What a kubelet does, and cert-manager, is done by hand: the certificate is put where the pod looks for it.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme

from snapshotter.testing.apiserver import ApiServer
from snapshotter.testing.playground.pieces import Command, Piece, free_port
from tests.contract.client import MERGE, Client
from tests.contract.conftest import session_of
from tests.contract.objects import collection_of, group_class, group_content, in_version, path_of, snapshot_class
from tests.manifests.rendering import Json, build, of_kind, one, overlay, rendered, workloads, written
from tests.manifests.test_certificates import DEFINITION, SECRET, SERVICE, Cluster
from tests.manifests.test_rights import ROLES, give

CERTS = "/etc/snapshot-conversion-webhook/certs"
SOON_SECONDS = 60.0
MEMBERS = [
    {
        "volumeHandle": f"vol-{number}",
        "snapshotHandle": f"snap-{number}",
        "creationTime": 1755612345123456789,
        "readyToUse": True,
        "restoreSize": 1 << 30,
    }
    for number in (1, 2)
]
PAIRS = [{key: member[key] for key in ("volumeHandle", "snapshotHandle")} for member in MEMBERS]


class Mounted:
    """The Secret of the webhook, as a pod sees it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def show(self, secret: Json) -> None:
        self.directory.mkdir(exist_ok=True)
        for name, value in secret["data"].items():
            new = self.directory / f".{name}"
            new.write_bytes(base64.b64decode(value))
            new.replace(self.directory / name)


@asynccontextmanager
async def webhook_of_the_manifest(
    directory: Path, certs: Path, objects: tuple[Json, ...] | None = None, *more: str
) -> AsyncIterator[str]:
    """The installed command with the arguments of the manifest, apart from its places; where it serves."""
    (container,) = workloads(objects or written("webhook"))[0].containers
    ports = {container.ports[name]: free_port() for name in ("webhook", "http")}
    arguments = [argument.replace(CERTS, str(certs)) for argument in container.arguments]
    for written_port, port in ports.items():
        arguments = [argument.replace(str(written_port), str(port)) for argument in arguments]
    serving, http = ports.values()
    command = Command(
        name="the webhook",
        arguments=(str(Path(sys.executable).with_name(container.program)), *arguments, "--shutdown-delay=0s", *more),
        log=directory / "webhook.log",
        ready_url=f"http://127.0.0.1:{http}/readyz",
    )
    async with asyncio.TaskGroup() as tasks:
        piece = Piece(command, tasks)
        await piece.start()
        try:
            yield f"127.0.0.1:{serving}"
        finally:
            await piece.terminate()


async def make_group_content(api: Client) -> Json:
    given = group_content()
    (await api.create(collection_of(given), given)).ok()
    return (await api.merge(f"{path_of(given)}/status", {"status": {"volumeSnapshotInfoList": MEMBERS}})).ok()


async def until_converted(api: Client, given: Json) -> Json:
    """The object at v1beta1, once the webhook answers and is trusted. Raises `TimeoutError`."""
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            answer = await api.get(path_of(in_version(given, "v1beta1")))
            if answer.status == 200:
                return answer.body
            await asyncio.sleep(0.1)


async def check_that_nothing_is_lost(api: Client) -> Json:
    """A write at v1beta1 leaves the members as they are."""
    given = await make_group_content(api)
    old = await until_converted(api, given)
    assert old["status"] == {"volumeSnapshotHandlePairList": PAIRS}
    label = {"metadata": {"labels": {"a": "b"}}}
    (await api.request("PATCH", path_of(old), label, MERGE)).ok()
    for version in ("v1", "v1beta2"):
        found = (await api.get(path_of(in_version(given, version)))).ok()
        assert found["metadata"]["labels"] == {"a": "b"}
        assert found["status"] == {"volumeSnapshotInfoList": MEMBERS}
    return given


def secret_of(server: ApiServer) -> Json:
    found = server.get("secrets", SECRET, "default")
    assert found is not None
    return found


@pytest.mark.kubectl
async def test_by_the_scripts_group_contents_are_converted_and_go_on_being_so_when_the_certificate_is_renewed(
    tmp_path: Path,
) -> None:
    async with ApiServer.serve() as server, aiohttp.ClientSession(server.url) as session:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        cluster, api, mounted = Cluster(server, kubeconfig), Client(session), Mounted(tmp_path / "certs")
        await cluster.ok("create-cert.sh")
        mounted.show(secret_of(server))
        async with webhook_of_the_manifest(tmp_path, mounted.directory) as address:
            server.services[f"default/{SERVICE}"] = address
            await cluster.ok("patch-ca-bundle.sh")
            given = await check_that_nothing_is_lost(api)

            # The pod has the new certificate later than the API server has the new CA.
            await cluster.ok("create-cert.sh")
            await cluster.ok("patch-ca-bundle.sh")
            await until_converted(api, given)
            mounted.show(secret_of(server))
            await until_converted(api, await make_group_content(api))

            await cluster.ok("patch-ca-bundle.sh", "--off")
            assert cluster.conversion == {"strategy": "None"}


CLASSES: dict[Callable[..., Json], str] = {
    snapshot_class: "snapshot.storage.kubernetes.io/is-default-class",
    group_class: "groupsnapshot.storage.kubernetes.io/is-default-class",
}


@pytest.mark.kubectl
@pytest.mark.kustomize
async def test_by_the_scripts_and_its_role_a_second_default_class_is_refused(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path / "overlay", "webhook", "webhook/default-class-admission"))
    async with ApiServer.serve(rbac=True, tls=True) as server, session_of(server) as session:
        give(server, of_kind(objects, *ROLES))
        for name, token in (("admin", ""), ("webhook", server.token_for("default", "snapshot-conversion-webhook"))):
            (tmp_path / name).write_text(server.kubeconfig(token))
        cluster, api, mounted = Cluster(server, tmp_path / "admin"), Client(session), Mounted(tmp_path / "certs")
        (configuration,) = of_kind(objects, "ValidatingWebhookConfiguration")
        (await api.create(f"/apis/{configuration['apiVersion']}/validatingwebhookconfigurations", configuration)).ok()
        await cluster.ok("create-cert.sh")
        mounted.show(secret_of(server))
        kubeconfig = f"--kubeconfig={tmp_path / 'webhook'}"
        async with webhook_of_the_manifest(tmp_path, mounted.directory, objects, kubeconfig) as address:
            server.services[f"default/{SERVICE}"] = address
            await cluster.ok("patch-ca-bundle.sh")
            for make, annotation in CLASSES.items():
                default = {"annotations": {annotation: "true"}}
                first = make(name="first", metadata={"name": "first", **default})
                (await api.create(collection_of(first), first)).ok()
                second = make(name="second", metadata={"name": "second", **default})
                refused = await api.create(collection_of(second), second)
                assert refused.status >= 400
                assert 'admission webhook "default-class.snapshot.storage.k8s.io" denied the request' in refused.message
                assert '"first"' in refused.message
                (await api.create(collection_of(second), second | {"driver": "other.example.com"})).ok()


def inject(objects: tuple[Json, ...], bundle: str, kind: str, place: Callable[[Json], list[Json]]) -> list[Json]:
    """What cert-manager does: the CA goes to the objects that ask for that of this certificate."""
    certificate = one(objects, "Certificate", "snapshot-conversion-webhook")["metadata"]
    wanted = f"{certificate['namespace']}/{certificate['name']}"
    asking = [
        json.loads(json.dumps(each))
        for each in of_kind(objects, kind)
        if each["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from") == wanted
    ]
    for each in asking:
        for config in place(each):
            config["caBundle"] = bundle
    return asking


@pytest.mark.kustomize
async def test_by_cert_manager_group_contents_are_converted(tmp_path: Path) -> None:
    objects = rendered("overlays/webhook-cert-manager")
    authority = trustme.CA()
    asked = one(objects, "Certificate", "snapshot-conversion-webhook")["spec"]
    issued = authority.issue_cert(*asked["dnsNames"])
    mounted = Mounted(tmp_path / "certs")
    parts = {"tls.crt": issued.cert_chain_pems[0], "tls.key": issued.private_key_pem}
    mounted.show({"data": {name: base64.b64encode(part.bytes()) for name, part in parts.items()}})
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    (definition,) = inject(
        objects,
        bundle,
        "CustomResourceDefinition",
        lambda each: [each["spec"]["conversion"]["webhook"]["clientConfig"]],
    )
    (admission,) = inject(
        objects,
        bundle,
        "ValidatingWebhookConfiguration",
        lambda each: [webhook["clientConfig"] for webhook in each["webhooks"]],
    )
    assert definition["metadata"]["name"] == DEFINITION
    async with (
        ApiServer.serve() as server,
        aiohttp.ClientSession(server.url) as session,
        webhook_of_the_manifest(tmp_path, mounted.directory) as address,
    ):
        server.services[f"default/{SERVICE}"] = address
        api = Client(session)
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}"
        (await api.request("PATCH", path, {"spec": definition["spec"]}, MERGE)).ok()
        (await api.create(f"/apis/{admission['apiVersion']}/validatingwebhookconfigurations", admission)).ok()
        await check_that_nothing_is_lost(api)
