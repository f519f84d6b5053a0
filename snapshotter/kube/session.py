"""The HTTP session with an API server: TLS, proxy and connections, as the configuration and the environment say."""

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from snapshotter.kube.client import Configuration

READ_BUFFER_BYTES = 1 << 21
"""Room for an event about the largest object that etcd takes."""


def open_session(configuration: Configuration) -> aiohttp.ClientSession:
    """A session; the caller closes it. Raises OSError, `ssl.SSLError` and ValueError for unusable certificates."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=_trust(configuration)),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy(configuration),
        # With `trust_env` aiohttp would look for a proxy and a netrc file before each request, each time in a thread.
        trust_env=False,
        read_bufsize=READ_BUFFER_BYTES,
    )


def _trust(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def proxy(configuration: Configuration) -> str | None:
    """The proxy to go through: that of the kubeconfig, else what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say."""
    if configuration.proxy:
        return str(configuration.proxy)
    server = urlsplit(configuration.host or "")
    if proxy_bypass(server.netloc):
        return None
    return getproxies().get(server.scheme)
