"""A webhook of the tests' own, which the server that is tested calls over TLS."""

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import trustme
from aiohttp import web

from tests.contract.client import Json

Reply = Json | bytes | int | None
"""What a webhook answers: a JSON body, a body as it is, a status without more, or None: it hangs up."""


@dataclass
class Webhook:
    """Answers each review as `answer` says, and remembers what it was asked. Lives on 127.0.0.1."""

    answer: Callable[[Json], Reply]
    url: str = ""
    bundle: str = ""
    """The certificate to trust, as a `caBundle`."""
    asked: list[Json] = field(default_factory=list)
    """The bodies of the requests so far."""
    requests: list[web.Request] = field(default_factory=list)

    @property
    def client_config(self) -> Json:
        return {"url": self.url, "caBundle": self.bundle}

    @property
    def address(self) -> str:
        """Its host and port."""
        return self.url.split("/")[2]

    def last(self) -> Json:
        """What it was asked last, without the review around it."""
        request: Json = self.asked[-1]["request"]
        return request

    async def handle(self, request: web.Request) -> web.Response:
        body: Json = await request.json()
        self.asked.append(body)
        self.requests.append(request)
        match self.answer(body):
            case None:
                if request.transport is not None:
                    request.transport.close()
                return web.Response()
            case int() as status:
                return web.Response(status=status, text="no review")
            case bytes() as text:
                return web.Response(body=text, content_type="application/json")
            case answer:
                return web.json_response(answer)


@contextlib.asynccontextmanager
async def serving(webhook: Webhook, *names: str) -> AsyncIterator[Webhook]:
    """The webhook, with a certificate for 127.0.0.1, or for the given names instead."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    app = web.Application()
    app.router.add_post("/{path:.*}", webhook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        host, port = runner.addresses[0][:2]
        webhook.url = f"https://{host}:{port}/hook"
        webhook.bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
        yield webhook
    finally:
        await runner.cleanup()
