"""The server as a whole, in process."""

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from snapshotter.runtime.beside import beside
from snapshotter.testing.admin import PREFIX, admin_routes, json_response
from snapshotter.testing.apiserver.access import Gate
from snapshotter.testing.apiserver.authorization import RBAC_GROUP, bootstrap_objects
from snapshotter.testing.apiserver.encryption import encryption_for
from snapshotter.testing.apiserver.handlers import Handlers
from snapshotter.testing.apiserver.housekeeping import Housekeeping
from snapshotter.testing.apiserver.json_tree import copied
from snapshotter.testing.apiserver.kinds import CRD_GROUP, CRD_PLURAL, Catalogue, builtin_kinds, from_definition
from snapshotter.testing.apiserver.planting import outline
from snapshotter.testing.apiserver.registry import Registry
from snapshotter.testing.apiserver.requests import Record
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Change, Resource, Store
from snapshotter.testing.apiserver.targets import Target, WriteOptions
from snapshotter.testing.apiserver.tokens import Tokens
from snapshotter.testing.apiserver.views import Views
from snapshotter.testing.apiserver.watching import Watches
from snapshotter.testing.apiserver.webhook_calls import WebhookCalls
from snapshotter.testing.faults import Faults
from snapshotter.testing.kubeconfig import kubeconfig

_NAMESPACES = ("default", "kube-system")
_DEFINITIONS: Resource = (CRD_GROUP, CRD_PLURAL)
_BOOKMARK_SECONDS = 10.0
_SHUTDOWN_SECONDS = 0.5
_LARGEST_BODY_BYTES = 3 * 1024 * 1024


class Objects:
    """The objects of a server, for assertions. A plural may be qualified: `leases.coordination.k8s.io`."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    def get(self, plural: str, name: str, namespace: str = "") -> Json | None:
        """A copy of the object, in its storage version."""
        stored = self._store.get(self._catalogue.of_plural(plural).key, (namespace, name))
        return None if stored is None else stored.fresh()

    def list(self, plural: str, namespace: str | None = None) -> list[Json]:
        """Copies of the objects, by namespace and name; `namespace` None: of all namespaces."""
        return [stored.fresh() for stored in self._store.all(self._catalogue.of_plural(plural).key, namespace)]


class ApiServer:
    """A Kubernetes API server small enough to read. Make one with `ApiServer.serve()`."""

    def __init__(self, calls: WebhookCalls, bookmark_seconds: float = _BOOKMARK_SECONDS, *, rbac: bool = False) -> None:
        self.url = ""
        self.authority = ""
        """The PEM text of the certificate that clients have to trust; empty without TLS."""
        self.faults = Faults()
        self._store = Store()
        self._catalogue = Catalogue(builtin_kinds())
        self._registry = Registry(self._store, self._catalogue, time.time)
        self._watches = Watches()
        self.services = calls.services
        """Where the services of the cluster are found that webhooks may name: `host:port`, by `namespace/name`."""
        self._housekeeping = Housekeeping(self._registry, calls)
        self._tokens = Tokens(self._store, time.time)
        self._gate = Gate(self._store, self._tokens, rbac=rbac)
        self._handlers = Handlers(
            self._registry, self.faults, self._watches, bookmark_seconds, self._gate, self._tokens, calls
        )
        self._store.listen(Views(self._catalogue, calls).follow)
        self._store.listen(self._follow_definitions)
        self._store.listen(self._watches.publish)
        self.objects = Objects(self._store, self._catalogue)
        self.get = self.objects.get
        self.list = self.objects.list

    @classmethod
    @asynccontextmanager
    async def serve(
        cls,
        crds: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        bookmark_seconds: float = _BOOKMARK_SECONDS,
        rbac: bool = False,
        tls: bool = False,
        services: Mapping[str, str] | None = None,
    ) -> AsyncIterator["ApiServer"]:
        """Serve until the block is left. `crds`: a directory of definitions; None: the shipped ones.

        Port 0 takes a free one. `rbac`: roles and bindings decide who may do what, and clients show tokens; without
        it everybody may do everything. `tls`: serve HTTPS; kubectl shows its token to no other server.
        `services`: where webhooks are found that are named by their service, see `ApiServer.services`.
        Raises `ApiError` for a definition that is refused, `OSError` for a port in use.
        """
        async with WebhookCalls(services or {}) as calls:
            server = cls(calls, bookmark_seconds, rbac=rbac)
            async with server._serving(crds or shipped_crds(), host, port, tls=tls):
                yield server

    @asynccontextmanager
    async def _serving(self, crds: Path, host: str, port: int, *, tls: bool) -> AsyncIterator[None]:
        for namespace in _NAMESPACES:
            self.create("namespaces", {"metadata": {"name": namespace}})
        for definition in definitions_in(crds):
            self.create(f"{CRD_PLURAL}.{CRD_GROUP}", definition)
        for plural, body in () if self._gate.is_open else bootstrap_objects():
            self.create(f"{plural}.{RBAC_GROUP}", body)
        self.compact()
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            encryption = encryption_for(host) if tls else None
            await web.TCPSite(runner, host, port, ssl_context=encryption.context if encryption else None).start()
            address, bound = runner.addresses[0][:2]
            self.url = f"{'https' if tls else 'http'}://{address}:{bound}"
            self.authority = encryption.authority if encryption else ""
            async with beside(self._housekeeping.run(), "housekeeping"):
                yield
        finally:
            self.faults.clear()
            for watch in self._watches.everyone():
                watch.end()
            await runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.add_routes(admin_routes(self.faults, lambda: self.requests, self.requests.clear))
        app.add_routes(
            [
                web.post(f"{PREFIX}/compact", self._on_compact),
                web.post(f"{PREFIX}/cut-watches", self._on_cut_watches),
                web.post(f"{PREFIX}/mute-watches", self._on_mute_watches),
                web.post(f"{PREFIX}/plant", self._on_plant),
                web.route("*", f"{PREFIX}/{{path:.*}}", _no_such_action),
                web.route("*", "/{path:.*}", self._handlers.handle),
            ]
        )
        return app

    @property
    def requests(self) -> "list[Record]":
        """The requests so far, in the order in which they were answered; a watch counts from its first byte."""
        return self._handlers.requests

    def create(self, plural: str, body: Json, namespace: str = "") -> Json:
        """Create an object past HTTP, in the storage version of its kind. Raises `ApiError`."""
        kind = self._catalogue.of_plural(plural)
        body = {"apiVersion": kind.api_version(kind.storage_version), "kind": kind.kind, **copied(body)}
        target = Target(kind, kind.storage, namespace)
        return self._registry.create(target, body, WriteOptions()).stored.fresh()

    def plant(self, plural: str, name: str, raw: bytes, namespace: str = "") -> None:
        """Put JSON in the place of an object past every rule, as if an earlier schema had let it pass.

        Whoever reads the object gets it as it is, with its new version where it has `@version@`.
        """
        kind = self._catalogue.of_plural(plural)
        self._store.plant(kind.key, (namespace, name), outline(kind, (namespace, name), raw), raw)

    def uproot(self, plural: str, name: str, namespace: str = "") -> None:
        """Remove an object past every rule, whatever finalizers it has. Raises `KeyError` if there is none."""
        self._store.remove(self._catalogue.of_plural(plural).key, (namespace, name))

    @property
    def admin_token(self) -> str:
        """The token that lets its bearer do everything; empty where nobody needs one."""
        return "" if self._gate.is_open else self._tokens.admin

    def token_for(self, namespace: str, name: str) -> str:
        """A token of a ServiceAccount, which is created if it is not there."""
        account = self.get("serviceaccounts", name, namespace) or self.create(
            "serviceaccounts", {"metadata": {"name": name}}, namespace
        )
        return self._tokens.issue(namespace, name, account["metadata"]["uid"], math.inf)

    def kubeconfig(self, token: str = "") -> str:
        """The YAML text of a kubeconfig for this server: for the bearer of the token, or the administrator."""
        return kubeconfig(self.url, authority=self.authority, token=token or self.admin_token)

    def compact(self) -> None:
        """Forget the history: the next watch from an older version gets 410."""
        self._store.compact()

    def cut_watches(self) -> None:
        """Reset the connection of every open watch."""
        for watch in self._watches.everyone():
            watch.cut()

    def mute_watches(self) -> None:
        """Let every open watch go silent but stay open. Later watches are as usual."""
        for watch in self._watches.everyone():
            watch.mute()

    async def _on_compact(self, _: web.Request) -> web.Response:
        self.compact()
        return json_response({})

    async def _on_plant(self, request: web.Request) -> web.Response:
        about = request.query
        self.plant(about["plural"], about["name"], await request.read(), about.get("namespace", ""))
        return json_response({})

    async def _on_cut_watches(self, _: web.Request) -> web.Response:
        self.cut_watches()
        return json_response({})

    async def _on_mute_watches(self, _: web.Request) -> web.Response:
        self.mute_watches()
        return json_response({})

    def _follow_definitions(self, resource: Resource, change: Change) -> None:
        """Serve the kinds that are defined, as they are defined, and no others."""
        if resource != _DEFINITIONS:
            return
        definition = change.new.object
        kind = from_definition(definition)
        if change.type == "DELETED":
            self._catalogue.remove(kind.key)
        elif change.old is not None and change.old.object["spec"] == definition["spec"]:
            return
        else:
            self._catalogue.add(kind)
        for watch in self._watches.everyone(kind.key):
            watch.end()


async def _no_such_action(_: web.Request) -> web.Response:
    raise web.HTTPNotFound


def shipped_crds() -> Path:
    """Where the definitions of this project are: in the package when installed, beside it in a source tree."""
    package = Path(__file__).parents[2]
    installed = package / "manifests" / "crds"
    return installed if installed.is_dir() else package.parent / "manifests" / "crds"


def definitions_in(directory: Path) -> "list[Json]":
    """The CustomResourceDefinitions in the YAML files of a directory."""
    documents = [document for path in sorted(directory.glob("*.y*ml")) for document in _parsed(path.read_text())]
    return [copied(item) for item in documents if item and item.get("kind") == "CustomResourceDefinition"]


@lru_cache(maxsize=16)
def _parsed(text: str) -> "list[Any]":
    """The documents of a YAML text. One process starts many servers with the same definitions."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(text, loader))
